# batch.mk - many photos, each to what reconstruct.mk makes of it.
#
#   make -f pipelines/batch.mk INPUT=photos OUTPUT=out CKPT=model.safetensors TARGET_ELEVATION=30
#
# The PNG, JPEG and WebP files of the folder INPUT and those below it; or those of LIST=photos.tsv, whose
# first row names its columns: photo, object, elevation, azimuth, crop_size, target_elevation, seed.
# Photo NAME.png ends in OUTPUT/NAME/ and as a line of OUTPUT/manifest.jsonl.  Run again, what is missing
# or was made with other settings is made, and with RETRY=1 what failed.  A photo that fails costs itself
# alone, and so does one on which the tools show no progress for TIMEOUT seconds; the status is then not 0.
#
# The photos in the order of their names make shards of SHARD photos.  All of them are done, JOBS at once,
# or one alone, with the goal shard-0, shard-1, ...; "count" prints how many there are.  batch.slurm and
# man/pf-batch.7 give them to other machines.  The other variables are those of reconstruct.mk (common.mk).
.DEFAULT_GOAL := all
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

OUTPUT  ?= $(error OUTPUT=FOLDER is missing)
SHARD   ?= 32
# Seconds without progress after which a photo is given up; 0: any number.
TIMEOUT ?= 0
RETRY   ?=
# Shards at once: one for each GPU, say.
JOBS    ?= 1

ifneq ($(SAMPLE),)
$(error SAMPLE is for one photo: of SAMPLES a batch takes the best of each)
endif

# What shard.sh takes: what to do, and the commands of the stages.
export PF_INPUT    := $(call typed,INPUT)
export PF_LIST     := $(call typed,LIST)
export PF_OUTPUT   := $(call typed,OUTPUT)
export PF_SHARD    := $(SHARD)
export PF_TIMEOUT  := $(TIMEOUT)
export PF_RETRY    := $(RETRY)
export PF_JOBS     := $(JOBS)
export PF_DEVICE   := $(DEVICE)
export PF_SEED     := $(SEED)
export PF_TARGET_ELEVATION := $(TARGET_ELEVATION)
export PF_VERSION  := $(word 3,$(VERSION))
export PF_SETTINGS := $(foreach s,cutout input refined views sample masked field mesh film,$(made_$(s)))
export PF_CUTOUT   := $(if $(CUTS),$(cutout))
export PF_CROP     := $(crop)
export PF_EMBED    := $(embed)
export PF_TRY      := $(try)
export PF_REFINE   := $(refine)
export PF_SAMPLE   := $(sample)
export PF_PICK     := $(pick)
export PF_MASK     := $(mask)
export PF_NEUS     := $(neus)
export PF_MESH     := $(mesh)
export PF_FILM     := $(film)
shard := $(HERE)shard.sh

.PHONY: all count FORCE
all:
	@exec $(call q,$(shard)) all
count:
	@exec $(call q,$(shard)) count
FORCE:
shard-%: FORCE
	@exec $(call q,$(shard)) run $*
