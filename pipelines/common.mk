# common.mk - what the pipelines share: where the tools are, shells that stop at the first error, names
# of files as they were typed, and the command of every stage.
.DELETE_ON_ERROR:
.SECONDARY:
HERE := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))
# Beside the sources, or where make install puts them: PREFIX/bin for PREFIX/share/posefusion/pipelines.
export PATH := $(firstword $(wildcard $(HERE)../build/bin $(HERE)../../../bin)):$(PATH)

comma  := ,
# One word for the shell, whatever is in it.
q      = '$(subst ','\'',$(1))'
option = $(if $(2),$(1) $(call q,$(2)))
# The value of a variable as it was typed: make would take a "$" in a file's name for one of its own.
typed  = $(if $(filter command environment,$(firstword $(origin $(1)))),$(value $(1)),$($(1)))
# A name that no tool takes for an option or for standard input.
name   = $(if $(filter -%,$(firstword $(call typed,$(1)))),./)$(call typed,$(1))
# What tells a file of this name from another one: all of its bytes, or, of weights, which may be large,
# size and time.
bytes  = $(or $(firstword $(shell 2>/dev/null sha256sum <$(call q,$(call name,$(1))))),$(call unreadable,$(1)))
stamp  = $(or $(shell stat -Lc '%s %.9Y' $(call q,$(call name,$(1))) 2>/dev/null),$(call unreadable,$(1)))
unreadable = $(error $(1): there is no file "$(call typed,$(1))" that can be read)

CKPT             ?= $(error CKPT=WEIGHTS is missing)
CONFIG           ?= $(HERE)../configs/posefusion.yaml
NEUS_CONFIG      ?= $(HERE)../configs/neus.yaml
# auto: pf-pick estimates how far above the horizon the photo's camera stood: as the model's encoder tells
# it or, roughly, by views made supposing several elevations, of few steps and without guidance;
# elevation.tsv has the scores.  Or degrees.
INPUT_ELEVATION  ?= auto
# Empty: no views are made, since the model's encoder tells the elevation (clip.elevation in CONFIG, in
# one line or in several).
ifeq ($(origin CANDIDATES),undefined)
CANDIDATES       := $(if $(shell sed -n '/^clip *:/{:a;s/\#.*//;/[{, \t]elevation *: *[0-9]/{s/.*/told/p;q};n;/^[^[:space:]\#]/q;ba}' \
                      $(call q,$(call name,CONFIG)) 2>/dev/null),,-10$(comma)35)
endif
CANDIDATE_STEPS  ?= 8
# One elevation, or several separated by commas: all of them are fused into one field.
TARGET_ELEVATION ?= 30
SEED             ?= 6033
DEVICE           ?= auto
# Empty: as the tool or the config has it.
CROP_SIZE        ?=
# auto: pf-cutout cuts the object out of a photo without transparency; off: such a photo is refused.
CUTOUT           ?= auto
# Empty: the network that ships.
CUTOUT_WEIGHTS   ?=
# 1: a photo without transparency is all object.
OPAQUE           ?=
# So many samples are made; pf-pick chooses the one of each target elevation that becomes the mesh, and
# samples.tsv has the scores.  SAMPLE=K takes number K instead, from 0 on.
SAMPLES          ?= $(SAMPLE_NUM)
SAMPLE_NUM       ?=
SAMPLE           ?=
CFG_SCALE        ?=
SAMPLE_STEPS     ?=
NEUS_STEPS       ?=
RESOLUTION       ?=
FRAMES           ?=
# Side of a frame, even.
FILM_SIZE        ?=

ifeq ($(filter auto off,$(CUTOUT)),)
$(error CUTOUT is auto or off, not "$(CUTOUT)")
endif
ifeq ($(strip $(INPUT_ELEVATION)),)
$(error INPUT_ELEVATION is auto or degrees)
endif
ifneq ($(SAMPLE),)
ifeq ($(filter $(SAMPLE),$(shell seq 0 $$(($(or $(SAMPLES),1) - 1)))),)
$(error SAMPLE is the number of a sample, 0 to SAMPLES - 1, not "$(SAMPLE)")
endif
endif
# (A shell of $(shell) has the PATH that make was started with.)
VERSION := $(shell PATH=$(call q,$(PATH)) pf-stream --version 2>/dev/null)
ifeq ($(VERSION),)
$(error the tools are neither in $(HERE)../build/bin nor on the PATH: run make)
endif

ELEVATIONS := $(words $(subst $(comma), ,$(TARGET_ELEVATION)))
CUTS       := $(if $(OPAQUE)$(filter off,$(CUTOUT)),,1)
AUTO       := $(filter auto,$(INPUT_ELEVATION))
conf       := -c $(call q,$(call name,CONFIG))
model      := $(conf) -w $(call q,$(call name,CKPT))

# The command of each stage, without what it reads and writes, without the device, which decides nothing
# but the last bits, and without what a list says of each photo:
seed   := $(call option,--seed,$(SEED))
target := $(call option,--target-elevation,$(TARGET_ELEVATION))
cutout := pf-cutout -q $(if $(CUTOUT_WEIGHTS),-w $(call q,$(call name,CUTOUT_WEIGHTS)))
crop   := pf-crop $(conf) $(call option,--crop-size,$(CROP_SIZE)) $(if $(OPAQUE),--opaque) \
          $(if $(AUTO),,$(call option,--input-elevation,$(INPUT_ELEVATION)))
embed  := pf-clip-embed $(model)
# The views of candidates stand at 30 degrees, whatever TARGET_ELEVATION is: pf-pick was fitted so.
try    := $(if $(AUTO),$(if $(CANDIDATES),pf-sample $(model) --target-elevation 30 \
          --input-elevation $(call q,$(CANDIDATES)) $(call option,--steps,$(CANDIDATE_STEPS)) --cfg-scale 1))
refine := $(if $(AUTO),pf-pick $(conf) --refine)
sample := pf-sample $(model) $(call option,--sample-num,$(SAMPLES)) $(call option,--cfg-scale,$(CFG_SCALE)) \
          $(call option,--steps,$(SAMPLE_STEPS))
pick   := $(if $(filter-out 1,$(SAMPLES)),pf-pick $(conf))
mask   := pf-mask $(conf)
neus   := pf-neus -c $(call q,$(call name,NEUS_CONFIG)) $(call option,--steps,$(NEUS_STEPS))
mesh   := pf-extract-mesh $(call option,--resolution,$(RESOLUTION))
film   := pf-render-video $(call option,--frames,$(FRAMES))$(if $(FILM_SIZE), --size $(call q,$(FILM_SIZE)))

# What made a stage, but for the files of the stages before it: commands in which what a file holds
# stands for its name.
unnamed = $(subst $(call q,$(call name,$(1))),$(1),$(2))
told    = $(VERSION) $(call unnamed,CONFIG,$(call unnamed,CKPT,$(1)))
made_cutout  := $(call told,$(call unnamed,CUTOUT_WEIGHTS,$(cutout))) $(if $(CUTOUT_WEIGHTS),$(call stamp,CUTOUT_WEIGHTS))
made_input   := $(call told,$(if $(CUTS),cut out) $(crop) $(embed)) $(call bytes,CONFIG) $(call stamp,CKPT)
made_refined := $(call told,$(try) $(if $(try),$(seed)) $(refine))
made_views   := $(call told,$(sample) $(seed) $(target) of $(INPUT_ELEVATION))
made_sample  := $(call told,$(pick) $(SAMPLE))
made_masked  := $(call told,$(mask)) $(call bytes,CONFIG)
made_field   := $(call told,$(call unnamed,NEUS_CONFIG,$(neus) $(seed))) $(call bytes,NEUS_CONFIG)
made_mesh    := $(call told,$(mesh))
made_film    := $(call told,$(film))

# The recipes' shell; the one above is the faster /bin/sh.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
