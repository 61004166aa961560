# reconstruct.mk - one photo to a mesh and a turntable video.
#
#   make -f pipelines/reconstruct.mk INPUT=alarm.png OUTPUT=out/alarm CKPT=model.safetensors TARGET_ELEVATION=50
#
# What SyncDreamer's README types as
#   generate.py --ckpt W --input P --output DIR --sample_num 4 --cfg_scale 2.0 --elevation 30 --crop_size 200
# is here CKPT=W INPUT=P OUTPUT=DIR SAMPLE_NUM=4 CFG_SCALE=2.0 INPUT_ELEVATION=30 CROP_SIZE=200.
# common.mk has all variables.
#
# Every stage is a file in OUTPUT, and what made it is its prerequisite: the stage before, and a file in
# OUTPUT/settings with its command and what tells its photo, config and weights from others.  So make
# redoes what changed, all of it and nothing else, -j runs mesh and video side by side, and a stage that
# fails leaves nothing that looks finished.  INPUT, CKPT and the configs may have any name.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

INPUT  ?= $(error INPUT=PHOTO is missing)
OUTPUT ?= $(error OUTPUT=FOLDER is missing)
O      := $(call typed,OUTPUT)
# Targets are in OUTPUT, and a makefile cannot name all files that there may be.
STRANGE := $(shell printf %s $(call q,$(O)) | LC_ALL=C tr -d 'A-Za-z0-9_./,+@^\200-\377-')
ifneq ($(if $(O)$(STRANGE),$(STRANGE)$(word 2,$(O))$(filter -%,$(O)),nothing),)
$(error OUTPUT: make takes letters, digits and _ . / , + @ ^ - in the name of a folder, and no - in front, not "$(O)")
endif

.PHONY: all
all: $(O)/0.png $(O)/masks.png $(O)/mesh.ply $(O)/mesh.glb $(O)/rendering.mp4

PHOTO := $(if $(CUTS),$(O)/cutout.png,$(call name,INPUT))
made_photo := $(call bytes,INPUT)

# A file of settings is written anew where it would differ.  (Make 4.3 leaves the last newline of some files.)
differs  = $(if $(subst :$(strip $(made_$(1))),,:$(strip $(file <$(O)/settings/$(1)))),$(O)/settings/$(1))
CHANGED := $(foreach s,photo cutout input refined views sample masked field mesh film,$(call differs,$(s)))
.PHONY: FORCE
$(CHANGED): FORCE
$(O)/settings/%:
	@mkdir -p $(O)/settings
	@printf '%s\n' $(call q,$(made_$*)) >$@

$(O)/cutout.png: $(addprefix $(O)/settings/,photo cutout)
	$(cutout) -d $(DEVICE) -o $@ $(call q,$(call name,INPUT))
$(O)/input.pf: $(if $(CUTS),$(O)/cutout.png) $(addprefix $(O)/settings/,photo input)
	$(crop) $(call q,$(PHOTO)) | $(embed) -d $(DEVICE) -o $@
$(O)/candidates.pf: $(O)/input.pf $(O)/settings/refined
	$(try) $(seed) -d $(DEVICE) -o $@ $<
$(O)/refined.pf: $(O)/$(if $(try),candidates,input).pf $(O)/settings/refined
	$(refine) --print -o $@ $< >$(O)/elevation.tsv || { rm -f $(O)/elevation.tsv; exit 1; }
$(O)/views.pf: $(O)/$(if $(AUTO),refined,input).pf $(O)/settings/views
	$(sample) $(seed) $(target) -d $(DEVICE) -o $@ $<
# One sample of each elevation: others show the object otherwise, and no field fits all.
$(O)/sample.pf: $(O)/views.pf $(O)/settings/sample
ifeq ($(SAMPLE),)
	$(pick) --print -o $@ $< >$(O)/samples.tsv || { rm -f $(O)/samples.tsv; exit 1; }
else
	for e in $$(seq 0 $$(($(ELEVATIONS) - 1))); do \
	  pf-stream cat --index $$((e * $(or $(SAMPLES),1) + $(SAMPLE))) $<; done | pf-stream cat -o $@
endif
$(O)/masked.pf: $(O)/$(if $(pick),sample,views).pf $(addprefix $(O)/settings/,sample masked)
	$(mask) -o $@ $<
$(O)/field.pf: $(O)/masked.pf $(O)/settings/field
	$(neus) $(seed) -d $(DEVICE) --log $(O)/loss.csv -o $@ $<
$(O)/mesh.ply $(O)/mesh.glb $(O)/mesh.obj: $(O)/field.pf $(O)/settings/mesh
	$(mesh) -d $(DEVICE) -o $@ $<
$(O)/rendering.mp4: $(O)/field.pf $(O)/settings/film
	$(film) -d $(DEVICE) -o $@ $<
$(O)/0.png: $(O)/views.pf
	pf-stream png -o $@ $<
$(O)/masks.png: $(O)/masked.pf
	pf-stream png -o $@ $<
