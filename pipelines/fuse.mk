# fuse.mk - one photo, views at several elevations, one field: the views that one elevation cannot
# see (top, bottom) come from another.
#
#   make -f pipelines/fuse.mk INPUT=alarm.png OUTPUT=out/alarm CKPT=model.safetensors TARGET_ELEVATION=-20,30,70
#
# The variables are those of reconstruct.mk; only the default of TARGET_ELEVATION differs.
TARGET_ELEVATION ?= -20,30
include $(dir $(lastword $(MAKEFILE_LIST)))reconstruct.mk
