# batch.mk - many photos: every PNG, JPEG or WebP of a folder through reconstruct.mk.
#
#   make -k -j2 -f pipelines/batch.mk INPUT=photos OUTPUT=out CKPT=model.safetensors TARGET_ELEVATION=30
#
# Photo NAME.png ends in OUTPUT/NAME/.  With -k one bad photo does not stop the others; run it again
# and only what is missing or older than its photo is made.  Stages run beside each other under -j, so
# give each its share of the cores: OMP_NUM_THREADS.
include $(dir $(lastword $(MAKEFILE_LIST)))common.mk

INPUT  ?= $(error INPUT=FOLDER is missing)
OUTPUT ?= $(error OUTPUT=FOLDER is missing)
PHOTOS := $(wildcard $(addprefix $(INPUT)/*.,png jpg jpeg webp))
NAMES  := $(basename $(notdir $(PHOTOS)))
ifneq ($(words $(NAMES)),$(words $(sort $(NAMES))))
$(error two photos of $(INPUT) share a name and would share a folder)
endif

.PHONY: all $(NAMES)
all: $(NAMES)
$(NAMES):
	$(MAKE) --no-print-directory -f $(HERE)reconstruct.mk INPUT=$(firstword $(wildcard $(addprefix $(INPUT)/$@.,png jpg jpeg webp))) OUTPUT=$(OUTPUT)/$@
