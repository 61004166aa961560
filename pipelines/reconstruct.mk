# reconstruct.mk - one photo to a mesh and a turntable video.
#
#   make -f pipelines/reconstruct.mk INPUT=alarm.png OUTPUT=out/alarm CKPT=model.safetensors TARGET_ELEVATION=50
#
# What SyncDreamer's README types as
#   generate.py --ckpt W --input P --output DIR --sample_num 4 --cfg_scale 2.0 --elevation 30 --crop_size 200
# is here CKPT=W INPUT=P OUTPUT=DIR SAMPLE_NUM=4 CFG_SCALE=2.0 INPUT_ELEVATION=30 CROP_SIZE=200.
#
# Every stage is a file in OUTPUT, so make redoes only what changed, -j runs mesh and video side by
# side, and a stage that fails leaves nothing that looks finished.  File names without spaces.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

INPUT            ?= $(error INPUT=PHOTO is missing)
OUTPUT           ?= $(error OUTPUT=FOLDER is missing)
CKPT             ?= $(error CKPT=WEIGHTS is missing)
CONFIG           ?= $(HERE)../configs/posefusion.yaml
NEUS_CONFIG      ?= $(HERE)../configs/neus.yaml
# auto: pf-pick estimates how far above the horizon the photo's camera stood: as the model's encoder tells
# it or, roughly, by views made supposing several elevations, of few steps and without guidance;
# elevation.tsv has the scores.  Or degrees.
INPUT_ELEVATION  ?= auto
# Empty: no views are made, since the model's encoder tells the elevation (clip.elevation in CONFIG).
CANDIDATES       ?= $(if $(shell grep -s '^clip:.* elevation: *[0-9]' $(CONFIG)),,-10$(comma)35)
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

option = $(if $(2),$(1) $(2))
comma := ,
ELEVATIONS := $(words $(subst $(comma), ,$(TARGET_ELEVATION)))
O := $(OUTPUT)

.PHONY: all
all: $(O)/0.png $(O)/masks.png $(O)/mesh.ply $(O)/mesh.glb $(O)/rendering.mp4

ifeq ($(filter auto off,$(CUTOUT)),)
$(error CUTOUT is auto or off, not "$(CUTOUT)")
endif
PHOTO := $(if $(OPAQUE)$(filter off,$(CUTOUT)),$(INPUT),$(O)/cutout.png)

ifeq ($(strip $(INPUT_ELEVATION)),)
$(error INPUT_ELEVATION is auto or degrees)
endif
ifneq ($(SAMPLE),)
ifeq ($(filter $(SAMPLE),$(shell seq 0 $$(($(or $(SAMPLES),1) - 1)))),)
$(error SAMPLE is the number of a sample, 0 to SAMPLES - 1, not "$(SAMPLE)")
endif
endif

# What made a stage is its prerequisite: a file that is written anew only where it would differ.
quoted   = '$(subst ','\'',$(1))'
settings = $(O)/settings/$(1)
define rule
$(call settings,$(1)): FORCE
	@mkdir -p $(O)/settings
	@printf '%s\n' $(call quoted,$(2)) | cmp -s - $$@ || printf '%s\n' $(call quoted,$(2)) >$$@
endef
.PHONY: FORCE
FORCE:
$(eval $(call rule,cutout,$(INPUT) $(CUTOUT_WEIGHTS)))
$(eval $(call rule,input,$(PHOTO) $(CONFIG) $(CKPT) crop $(CROP_SIZE) opaque $(OPAQUE) $(filter-out auto,$(INPUT_ELEVATION))))
$(eval $(call rule,candidates,$(SEED) $(CANDIDATES) $(CANDIDATE_STEPS)))
$(eval $(call rule,views,$(SEED) $(INPUT_ELEVATION) to $(TARGET_ELEVATION) samples $(SAMPLES) cfg $(CFG_SCALE) steps $(SAMPLE_STEPS)))
$(eval $(call rule,sample,$(SAMPLE) of $(SAMPLES)))
$(eval $(call rule,field,$(NEUS_CONFIG) $(SEED) $(NEUS_STEPS)))
$(eval $(call rule,mesh,$(RESOLUTION)))
$(eval $(call rule,film,$(FRAMES)))

$(O)/cutout.png: $(INPUT) $(CUTOUT_WEIGHTS) $(call settings,cutout)
	mkdir -p $(O)
	pf-cutout -q $(call option,-w,$(CUTOUT_WEIGHTS)) -d $(DEVICE) -o $@ $(INPUT)
$(O)/input.pf: $(PHOTO) $(CONFIG) $(CKPT) $(call settings,input)
	mkdir -p $(O)
	pf-crop -c $(CONFIG) $(call option,--crop-size,$(CROP_SIZE)) $(if $(OPAQUE),--opaque) \
	  $(call option,--input-elevation,$(filter-out auto,$(INPUT_ELEVATION))) $(PHOTO) | \
	  pf-clip-embed -c $(CONFIG) -w $(CKPT) -d $(DEVICE) -o $@
# The views of candidates stand at 30 degrees, whatever TARGET_ELEVATION is: pf-pick was fitted so.
$(O)/candidates.pf: $(O)/input.pf $(call settings,candidates)
	pf-sample -c $(CONFIG) -w $(CKPT) -d $(DEVICE) --seed $(SEED) --target-elevation 30 \
	  --input-elevation $(CANDIDATES) --steps $(CANDIDATE_STEPS) --cfg-scale 1 -o $@ $<
$(O)/refined.pf: $(O)/$(if $(CANDIDATES),candidates,input).pf $(call settings,candidates)
	pf-pick -c $(CONFIG) --refine --print -o $@ $< >$(O)/elevation.tsv || { rm -f $(O)/elevation.tsv; exit 1; }
$(O)/views.pf: $(O)/$(if $(filter auto,$(INPUT_ELEVATION)),refined,input).pf $(call settings,views)
	pf-sample -c $(CONFIG) -w $(CKPT) -d $(DEVICE) --seed $(SEED) --target-elevation $(TARGET_ELEVATION) \
	  $(call option,--sample-num,$(SAMPLES)) $(call option,--cfg-scale,$(CFG_SCALE)) \
	  $(call option,--steps,$(SAMPLE_STEPS)) -o $@ $<
# One sample of each elevation: others show the object otherwise, and no field fits all.
$(O)/sample.pf: $(O)/views.pf $(call settings,sample)
ifeq ($(SAMPLE),)
	pf-pick -c $(CONFIG) --print -o $@ $< >$(O)/samples.tsv || { rm -f $(O)/samples.tsv; exit 1; }
else
	for e in $$(seq 0 $$(($(ELEVATIONS) - 1))); do \
	  pf-stream cat --index $$((e * $(or $(SAMPLES),1) + $(SAMPLE))) $<; done | pf-stream cat -o $@
endif
$(O)/masked.pf: $(if $(filter-out 1,$(SAMPLES)),$(O)/sample.pf,$(O)/views.pf) $(call settings,sample)
	pf-mask -o $@ $<
$(O)/field.pf: $(O)/masked.pf $(NEUS_CONFIG) $(call settings,field)
	pf-neus -c $(NEUS_CONFIG) -d $(DEVICE) --seed $(SEED) $(call option,--steps,$(NEUS_STEPS)) --log $(O)/loss.csv -o $@ $<
$(O)/mesh.ply $(O)/mesh.glb $(O)/mesh.obj: $(O)/field.pf $(call settings,mesh)
	pf-extract-mesh -d $(DEVICE) $(call option,--resolution,$(RESOLUTION)) -o $@ $<
$(O)/rendering.mp4: $(O)/field.pf $(call settings,film)
	pf-render-video -d $(DEVICE) $(call option,--frames,$(FRAMES)) -o $@ $<
$(O)/0.png: $(O)/views.pf
	pf-stream png -o $@ $<
$(O)/masks.png: $(O)/masked.pf
	pf-stream png -o $@ $<
