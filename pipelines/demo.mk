# demo.mk - reconstruct.mk with the model that ships, then a list of what it made.
.DEFAULT_GOAL := demo
D      := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))../configs/demo
OUTPUT ?= out/demo
INPUT  ?= $(D)/photos/chair-18.png
CKPT   ?= $(D)/weights.safetensors
CONFIG ?= $(D)/config.yaml
# Photos that ship are named after their elevation in degrees; that of others is estimated.  Their
# cut-outs were taken as the model's own pictures were: the object has its size already.
SHIPS  := $(filter $(realpath $(D)/photos)/%,$(realpath $(INPUT)))
NUMBER := $(if $(SHIPS),$(lastword $(subst -, ,$(basename $(notdir $(INPUT))))))
INPUT_ELEVATION ?= $(or $(NUMBER),auto)
CROP_SIZE  ?= $(if $(filter %.png,$(SHIPS)),-1)
# Views from the side as well: fused, they make better meshes (tests/reference/README.md, "Several elevations").
TARGET_ELEVATION ?= 30,0
RESOLUTION ?= 128
FRAMES     ?= 90
include $(dir $(lastword $(MAKEFILE_LIST)))reconstruct.mk

demo: all
	@pf-report --photo $(call q,$(call name,INPUT)) -o $(O)/report.html $(O)
	@echo; echo "made from "$(call q,$(call typed,INPUT)):
	@printf '  %-28s %s\n' $(O)/0.png "the views, 16 at each elevation" $(O)/masks.png "the same, cut out" \
	  $(O)/mesh.ply "mesh with vertex colours" $(O)/mesh.glb "the same for viewers and browsers" \
	  $(O)/rendering.mp4 "turntable video" $(O)/loss.csv "loss of every training step" \
	  $(O)/report.html "all of it as one page"
