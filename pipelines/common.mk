# common.mk - what the pipelines share: where the tools are, and shells that stop at the first error.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
HERE := $(dir $(realpath $(lastword $(MAKEFILE_LIST))))
export PATH := $(HERE)../build/bin:$(PATH)
