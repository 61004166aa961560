# demo.mk - reconstruct.mk with the model that ships, then a list of what it made.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

OUTPUT ?= out/demo
INPUT  ?= $(HERE)../configs/demo/photos/ball-20.png
# Photos that ship are named after their elevation in degrees; that of others is estimated.  Their
# cut-outs were taken as the model's own pictures were: the object has its size already.
SHIPS  := $(filter $(realpath $(HERE)../configs/demo/photos)/%,$(realpath $(INPUT)))
NUMBER := $(if $(SHIPS),$(lastword $(subst -, ,$(basename $(notdir $(INPUT))))))
INPUT_ELEVATION ?= $(or $(NUMBER),auto)
CROP_SIZE ?= $(if $(filter %.png,$(SHIPS)),-1)

demo:
	$(MAKE) --no-print-directory -f $(HERE)reconstruct.mk INPUT=$(INPUT) OUTPUT=$(OUTPUT) \
	  CKPT=$(HERE)../configs/demo/weights.safetensors CONFIG=$(HERE)../configs/demo/config.yaml \
	  INPUT_ELEVATION=$(INPUT_ELEVATION) CROP_SIZE=$(CROP_SIZE) TARGET_ELEVATION=30 RESOLUTION=128 FRAMES=90
	@echo; echo "made from $(INPUT):"
	@printf '  %-28s %s\n' $(OUTPUT)/0.png "the 16 views" $(OUTPUT)/masks.png "the same, cut out" \
	  $(OUTPUT)/mesh.ply "mesh with vertex colours" $(OUTPUT)/mesh.glb "the same for viewers and browsers" \
	  $(OUTPUT)/rendering.mp4 "turntable video" $(OUTPUT)/loss.csv "loss of every training step"
