# What make can do: make help.
-include config.mk

NVCC     ?= $(shell command -v nvcc)
CUDART   := $(firstword $(wildcard $(foreach d,lib64 lib targets/*/lib,$(dir $(NVCC))../$d/libcudart_static.a)))
CUDA     ?= $(if $(and $(NVCC),$(CUDART)),1,0)
GPU_ARCH ?= 90a
ARCH     ?= native
CFLAGS   ?= -O3 -g
prefix   ?= /usr/local
VERSION  := $(shell sed -n 's/^\#define PF_VERSION "\(.*\)"/\1/p' common/opt.h)
BUILD    ?= build
.DEFAULT_GOAL := all
$(V)$(V).SILENT:

# Each mode has its own tree of objects; the tools of the plain mode are at build/bin.
comma    := ,
GENERIC  := $(filter generic,$(ARCH))
MODE     := $(or $(subst $(comma),-,$(SAN)),release)$(if $(filter 1,$(CUDA)),-cuda)$(GENERIC:%=-%)
B        := $(BUILD)/$(MODE)
BIN      := $(if $(SAN)$(GENERIC),$(B)/bin,$(BUILD)/bin)
LIBDIR   := $(BIN:bin=lib)/posefusion
CUDA_BUILD ?= $(B)

PACKAGES := pkg-config libpng-dev zlib1g-dev libyaml-dev libjansson-dev libavcodec-dev libavformat-dev libavutil-dev \
            libswscale-dev libjpeg-dev libwebp-dev liblcms2-dev libdnnl-dev libmeshoptimizer-dev libopenblas-dev libassimp-dev \
            libcmocka-dev mandoc
PC       := libpng zlib yaml-0.1 jansson libavcodec libavformat libavutil libswscale libjpeg libwebp libwebpdemux lcms2 assimp

PF_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -fopenmp -march=$(ARCH:generic=x86-64) -fno-math-errno -fno-trapping-math -ffp-contract=off -pthread \
             -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unknown-pragmas
PF_CFLAGS += $(if $(findstring clang,$(CC)),-Wno-pass-failed,-Wno-maybe-uninitialized)
ifneq ($(SAN),)
CFLAGS    := -O1 -g -fno-omit-frame-pointer
PF_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
ifneq ($(findstring fuzzer,$(SAN)),)
PF_CFLAGS += -DPF_FUZZER
endif
LDLIBS   := -Wl,--as-needed $(shell pkg-config --libs $(PC) 2>/dev/null) -ldnnl -lmeshoptimizer -lopenblas -lm
PF_CFLAGS += $(shell pkg-config --cflags $(PC) 2>/dev/null)
# Machine code for GPU_ARCH, and PTX from which the driver makes it for any other card.
NVCCFLAGS := -std=c++17 -O3 -lineinfo -I. -DPF_WITH_CUDA -Xcompiler -Wall,-Wno-unknown-pragmas,-fPIC,-fvisibility=hidden \
             $(foreach a,$(GPU_ARCH),-gencode=arch=compute_$a,code=sm_$a) -gencode=arch=compute_80,code=compute_80

COMMON  := $(wildcard common/*.c)
# tree PATTERN: the files of that name in a folder and those below it.
tree     = $(wildcard $(1) $(dir $(1))*/$(notdir $(1)) $(dir $(1))*/*/$(notdir $(1)))
KERNELS := $(filter-out kernels/module/%,$(call tree,kernels/*.c))
HALF    := kernels/module/half.c kernels/module/load.c
TOOLS   := $(notdir $(wildcard tools/pf-*))
TESTS   := $(foreach d,common kernels tools,$(call tree,tests/$d/test_*.c))
BENCH   := $(filter-out tests/bench/device_time.c,$(wildcard tests/bench/*.c))
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all faults-cuda deps demo demo-run check check-run check-long check-gpu check-faults check-reference fuzz fuzz-run fuzz-targets fuzz-seeds coverage coverage-run lint lint-layers lint-columns install uninstall dist tarball check-tarball deb check-deb clean help tests bench
all: $(TOOLS:%=$(BIN)/%)

$(B)/%.c.o: %.c
	mkdir -p $(@D); $(CC) $(CPPFLAGS) $(PF_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
# gcc 12 makes one rounding of a product and a sum or difference in turns, -ffp-contract=off or not; what must have the
# bits of raster_priv.h may not.
$(B)/kernels/raster/%.c.o $(B)/tests/kernels/raster/%.c.o: PF_CFLAGS += -fno-tree-slp-vectorize
$(CUDA_BUILD)/%.cu.o: %.cu
	mkdir -p $(@D); $(NVCC) $(NVCCFLAGS) -MMD -MP -c -o $@ $<
# The bits of the CPU: no product joins a sum in one rounding (kernels/spad.h, kernels/raster/raster_priv.h).
$(CUDA_BUILD)/kernels/epipolar.cu.o $(CUDA_BUILD)/kernels/raster/raster.cu.o: NVCCFLAGS += --fmad=false
# Files that a tool carries inside: tools/pf-report/report.css is _binary_tools_pf_report_report_css_start there.
$(B)/%.css.o: %.css
	mkdir -p $(@D); $(LD) -r -b binary -z noexecstack -o $@ $<
$(B)/%.js.o: %.js
	mkdir -p $(@D); $(LD) -r -b binary -z noexecstack -o $@ $<
LIBS := $(B)/libpfk.a $(B)/libpf.a
$(B)/libpf.a: $(COMMON:%=$(B)/%.o)
	$(RM) $@; $(AR) rcs $@ $^
$(B)/libpfk.a: $(KERNELS:%=$(B)/%.o) $(if $(filter 1,$(CUDA)),$(HALF:%=$(B)/%.o))
	$(RM) $@; $(AR) rcs $@ $^

# Libraries that are ours alone: the tools find them from where they are, wherever that is; tests have no such place.
# STANDALONE=1 (make tarball): those that our libraries need in turn are there, too, and before all others.
BESIDE     ?= ../lib/posefusion
RPATH      := $(if $(STANDALONE)$(filter 1,$(CUDA)),-Wl$(comma)-rpath$(comma)'$$ORIGIN/$(BESIDE)' $(STANDALONE:1=-Wl$(comma)--disable-new-dtags))
# CUDA's half is a library of its own, which the tools load where there is a GPU: kernels/module/module.md.
ifeq ($(CUDA),1)
PF_CFLAGS  += -DPF_WITH_CUDA
MODULE     := $(LIBDIR)/libpf-cuda.so
CUDA_RPATH ?= $(dir $(CUDART))
CUDA_LIBS  := -Wl,--as-needed,--exclude-libs,ALL -L$(dir $(CUDART)) $(CUDA_RPATH:%=-Wl,-rpath,%) $(CUDART) -ldl -lrt -lstdc++ -lm
CUDA_INCLUDE := -isystem $(dir $(NVCC))../include
CUDA_OBJECTS := $(patsubst %,$(CUDA_BUILD)/%.o,$(call tree,kernels/*.cu))
HOST_OBJECTS := $(patsubst %,$(B)/%.o,$(COMMON) $(KERNELS))
NAMES      := $(B)/kernels/module/names.h
$(NAMES): kernels/module/names $(CUDA_OBJECTS) $(HOST_OBJECTS)
	mkdir -p $(@D); kernels/module/names $(VERSION) $(CUDA_OBJECTS) -- $(HOST_OBJECTS) >$@
$(B)/kernels/module/half.c.o: $(NAMES)
$(B)/kernels/module/half.cuda.o: kernels/module/half.c $(NAMES)
	$(CC) $(CPPFLAGS) $(PF_CFLAGS) $(CFLAGS) -I$(B) -DPF_CUDA_HALF -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
$(B)/kernels/module/half.c.o: PF_CFLAGS += -I$(B)
$(MODULE): $(B)/kernels/module/half.cuda.o $(CUDA_OBJECTS)
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(@F) $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -o $@ $^ $(CUDA_LIBS)
endif

# ARCH=generic, for packages: every tool is made for each of these levels of x86-64, and in its own place is a program
# that starts the best one that the processor has.
ifneq ($(GENERIC),)
LEVELS := x86-64 x86-64-v3 x86-64-v4
.PHONY: levels
levels:
	for l in $(LEVELS); do $(MAKE) --no-print-directory ARCH=$$l BUILD=$(B)/$$l BIN=$(LIBDIR)/$$l LIBDIR=$(LIBDIR) BESIDE=.. \
	  CUDA_BUILD=$(B) all || exit 1; done
$(TOOLS:%=$(BIN)/%): $(B)/tools/start.c.o
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $<
all: levels
else
# One program per folder of tools/.
define tool
$(BIN)/$(1): $$(patsubst %,$(B)/%.o,$$(wildcard $$(addprefix tools/$(1)/*.,c css js))) $(LIBS) | $(MODULE)
	mkdir -p $$(@D); $$(CC) $$(PF_CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) $$(RPATH)
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))
endif

# One program per test file.  A test of a tool's part, tests/tools/test_unet.c, names that tool's
# files in a line "// uses: tools/pf-sample/unet.c ...".
uses = $(shell sed -n 's,^// uses: ,,p' $(1))
define test
$(B)/$(basename $(1)): $(B)/$(1).o $(patsubst %,$(B)/%.o,$(call uses,$(1))) $(LIBS) | $(MODULE)
	mkdir -p $$(@D); $$(CC) $$(PF_CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS) -lcmocka $(if $(RPATH),-Wl$(comma)-rpath$(comma)$(abspath $(LIBDIR)))
endef
$(foreach t,$(TESTS) $(BENCH) $(FUZZ),$(eval $(call test,$(t))))
# What lets a tool's allocations and system calls fail.
FAULT := $(B)/tests/fault
$(FAULT)/fault: tests/fault/fault.c
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(CFLAGS) -o $@ $<
$(FAULT)/malloc.so: tests/fault/malloc.c
	mkdir -p $(@D); $(CC) $(filter-out -fsanitize=%,$(PF_CFLAGS) $(CFLAGS)) -fPIC -shared -o $@ $< -ldl
# A CUDA half whose calls of CUDA fail.
ifeq ($(CUDA),1)
CUDA_FAULT := $(FAULT)/cuda/libpf-cuda.so
WRAPPED    := $(shell sed -n 's/^CALL.[A-Z]*, \([A-Za-z_]*\),.*/\1/p' tests/fault/cuda.c)
$(FAULT)/cuda.c.o: tests/fault/cuda.c
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden $(CUDA_INCLUDE) -MMD -MP -c -o $@ $<
$(CUDA_FAULT): $(FAULT)/cuda.c.o $(B)/kernels/module/half.cuda.o $(CUDA_OBJECTS)
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,-z,defs $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(CUDA_LIBS)
faults-cuda: $(FAULT)/fault $(CUDA_FAULT)
endif
# What tries to do harm from inside a tool.
DECODER := $(B)/tests/tools/sandbox/decoder.so
$(DECODER): tests/tools/sandbox/decoder.c
	mkdir -p $(@D); $(CC) $(filter-out -fsanitize=%,$(PF_CFLAGS) $(CFLAGS)) -fPIC -shared -o $@ $< -ldl
tests: all $(TESTS:%.c=$(B)/%) $(FUZZ:%.c=$(B)/%) $(FAULT)/fault $(FAULT)/malloc.so $(DECODER)

# What the GPU did while a tool ran: for tests/bench/bench_tools, where the toolkit has CUPTI.
CUPTI       := $(if $(filter 1,$(CUDA)),$(firstword $(wildcard $(foreach d,include extras/CUPTI/include,$(dir $(NVCC))../$d/cupti.h))))
CUPTI_LIBS  := $(dir $(CUDART)) $(dir $(CUPTI))../lib64
DEVICE_TIME := $(if $(CUPTI),$(B)/tests/bench/libpf_device_time.so)
$(B)/tests/bench/libpf_device_time.so: tests/bench/device_time.c
	mkdir -p $(@D); $(CC) $(PF_CFLAGS) $(CFLAGS) -isystem $(dir $(CUPTI)) -isystem $(dir $(NVCC))../include -MMD -MP -shared -fPIC \
	  -o $@ $< $(CUPTI_LIBS:%=-L%) -Wl,-rpath,'$$ORIGIN/../lib' $(CUPTI_LIBS:%=-Wl,-rpath,%) -lcupti -lstdc++
bench: all $(BENCH:%.c=$(B)/%) $(DEVICE_TIME)

-include $(shell find $(sort $(B) $(CUDA_BUILD)/kernels) -name '*.d' 2>/dev/null)

# What is missing is installed with apt-get; a machine without it gets one line that says what to do.
APT := $(if $(filter 0,$(shell id -u)),,sudo )env DEBIAN_FRONTEND=noninteractive apt-get
deps:
	missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	[ -z "$$missing" ] || { echo "installing" $$missing; \
	  { $(APT) -qq update && $(APT) -qq -y install --no-install-recommends $$missing; } >/dev/null; } || \
	{ echo "cannot install: please install" $$missing "and run make again" >&2; exit 1; }

# The flags above come from pkg-config, which deps may only now have installed: hence a second make.
demo: deps
	$(MAKE) --no-print-directory all
	$(MAKE) --no-print-directory demo-run
DEMO_OUT   ?= out/demo
DEMO_PHOTO ?= configs/demo/photos/chair-18.png
demo-run:
	$(MAKE) --no-print-directory -f pipelines/demo.mk INPUT=$(DEMO_PHOTO) OUTPUT=$(DEMO_OUT)

check: deps
	$(MAKE) --no-print-directory tests
	$(MAKE) --no-print-directory check-run
SCRIPTS := $(filter-out tests/tools/lib.sh,$(call tree,tests/tools/*.sh))
# So many tests at once.  First what runs whole tools and takes longest: no processor waits for it at the end.
JOBS  ?= $(shell nproc)
LONG  := $(filter tests/tools/%,$(TESTS))
SHORT := $(filter-out tests/tools/%,$(TESTS))
check-run: tests
	BIN=$(abspath $(BIN)) PF_SAN=$(SAN) PF_FAULT=$(abspath $(FAULT)) PF_DECODER_SO=$(abspath $(DECODER)) JOBS=$(JOBS) tests/run $(SCRIPTS) tests/fault/sample.sh $(patsubst %.c,$(B)/%,$(LONG) $(SHORT) $(FUZZ))

# The slow comparisons: the tiny golden model's whole run of 50 steps; from 36 pictures to a mesh; npm's IS-Net; batches
# that are killed or run by Slurm and GNU parallel, where these are.
check-long: deps
	PF_LONG=1 tests/golden.sh $(BUILD)
	$(MAKE) --no-print-directory all $(B)/tests/tools/pf-stream/test_pack $(B)/tests/tools/pipelines/test_shards
	PF_LONG=1 BIN=$(abspath $(BIN)) $(B)/tests/tools/pf-stream/test_pack
	PF_LONG=1 BIN=$(abspath $(BIN)) PF_MODEL=$(abspath $(B))/tests/tools/pipelines/test_shards tests/run tests/tools/pf-cutout/imgly.sh tests/tools/pipelines/batch.sh \
	  tests/tools/pipelines/killed.sh
	PF_LONG=1 BIN=$(abspath $(BIN)) $(B)/tests/tools/pipelines/test_shards

# Every allocation and system call of a small run of each tool fails once; POINTS=20: so many of each kind.
check-faults: all $(FAULT)/fault $(FAULT)/malloc.so
	BIN=$(abspath $(BIN)) tests/fault/faults.sh $(abspath $(FAULT)/fault $(FAULT)/malloc.so) $(POINTS)

# libFuzzer over one parser, T=NAME of tests/fuzz/fuzz_NAME.c, for so many SECONDS; what it finds grows the corpus of
# the build folder, and a crash is left there.  Needs clang and its OpenMP.
FUZZ_SAN := fuzzer-no-link,address,undefined
SECONDS  ?= 60
fuzz:
	$(MAKE) --no-print-directory CC=clang CUDA=0 SAN=$(FUZZ_SAN) fuzz-run
ifneq ($(findstring fuzzer,$(SAN)),)
$(FUZZ:%.c=$(B)/%): LDFLAGS += -fsanitize=fuzzer
fuzz-targets: $(FUZZ:%.c=$(B)/%)
fuzz-run: $(B)/tests/fuzz/fuzz_$(T)
	mkdir -p $(B)/corpus/$(T) $(B)/crashes
	$(B)/tests/fuzz/fuzz_$(T) -max_total_time=$(SECONDS) -max_len=$(or $(MAX_LEN),65536) -timeout=10 -rss_limit_mb=1024 \
	  -artifact_prefix=$(B)/crashes/$(T)- -print_final_stats=1 $(B)/corpus/$(T) $(SEED_FOLDERS)
endif
SEED_FOLDERS      = $(wildcard tests/data/seeds/$(T) $(or $(SEEDS),$(SEEDS_$(T))))
fuzz-seeds:
	echo $(SEED_FOLDERS)
SEEDS_checkpoint := tests/data/checkpoint
SEEDS_image      := tests/data/images
SEEDS_strip      := tests/data/images
SEEDS_onnx       := tests/data/onnx
SEEDS_ply        := tests/data/meshes
SEEDS_stream     := tests/data/seeds/document
SEEDS_views      := tests/data/seeds/document

# With a build folder of its own, and those tests that read in their own process.
READERS := $(filter tests/common/% %/test_capture.c %/test_shape.c,$(TESTS)) $(FUZZ)
coverage:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage CUDA=0 CFLAGS="-O0 -g --coverage" LDFLAGS=--coverage coverage-run
coverage-run: $(READERS:%.c=$(B)/%)
	tests/fuzz/coverage.sh $(B) $(READERS:%.c=$(B)/%)

# PF_SANITIZE=1 adds compute-sanitizer.  tests/gpu/run says what it needs where nothing can be built.
check-gpu: tests
	tests/gpu/run $(abspath $(BIN)) $(B)/tests

# The PyTorch twin and the object generator; needs Debian's python3-torch.
check-reference:
	/usr/bin/python3 -B -m unittest discover -s tests/reference

# clang-format 14 cannot leave aligned comments at the ends of lines alone, which the style uses, so
# .clang-format is for editors and not checked here.
lint:
	for f in $(COMMON) $(KERNELS) $(wildcard tools/*.c tools/*/*.c) $(TESTS) $(BENCH) $(FUZZ) $(filter-out $(if $(filter 0,$(CUDA)),tests/fault/cuda.c),$(wildcard tests/fault/*.c tests/tools/sandbox/*.c)); do \
	  $(CC) $(PF_CFLAGS) $(CFLAGS) $(CUDA_INCLUDE) -Werror -fsyntax-only $$f || exit 1; done
	mandoc -Tlint -W warning man/*.[157]
	# Columns come out as one word a line in groff's 80 columns: tagged lists instead.
	! grep -n 'Bl -column' man/*.[157]
	$(MAKE) --no-print-directory lint-layers lint-columns

# What may include what: tools -> kernels -> common, operators -> neither field nor march, a tool -> no other.
# Each line: files, then what they may not include.
layer = ! grep -rnE '^ *\#include "($(2))' $(wildcard $(1)) /dev/null --include='*.[ch]' --include='*.cu*'
lint-layers:
	$(call layer,common,kernels/|tools/|tests/)
	$(call layer,kernels,tools/|tests/)
	$(call layer,kernels/*.[ch] kernels/*.cu*,kernels/(field|march)/)
	$(call layer,kernels/march,kernels/field/|common/doc)
	$(call layer,tools,tests/)
	for t in $(TOOLS); do ! grep -rnE '^ *\#include "tools/' tools/$$t | grep -v "\"tools/$$t/" || exit 1; done
	[ "$$(sed -n '1s/^posefusion (\(.*\)-.*/\1/p' debian/changelog)" = "$(VERSION)" ] || \
	  { echo "debian/changelog does not begin with $(VERSION)" >&2; exit 1; }
	[ "$$(sed -n '1s/^posefusion \([^ ]*\).*/\1/p' NEWS)" = "$(VERSION)" ] || { echo "NEWS does not begin with $(VERSION)" >&2; exit 1; }

# No line of C or CUDA is longer than 100 columns.
lint-columns:
	files=$$(git ls-files '*.[ch]' '*.cu' '*.cuh') && \
	! awk 'length > 100 { print FILENAME ":" FNR ": " length " columns" }' $$files | grep .

SHARE := $(DESTDIR)$(prefix)/share
install: all
	install -d $(addprefix $(DESTDIR)$(prefix)/,bin share/man/man1 share/man/man5 share/man/man7 share/posefusion)
	install $(TOOLS:%=$(BIN)/%) $(DESTDIR)$(prefix)/bin
	$(if $(RPATH)$(GENERIC),install -d $(DESTDIR)$(prefix)/lib && cp -r $(LIBDIR) $(DESTDIR)$(prefix)/lib)
	for n in 1 5 7; do install -m 644 man/*.$$n $(DESTDIR)$(prefix)/share/man/man$$n; done
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions
	for t in $(TOOLS); do PATH=$(abspath $(BIN)):$$PATH; \
	  man/completion bash $$t >$(SHARE)/bash-completion/completions/$$t && \
	  man/completion zsh $$t >$(SHARE)/zsh/site-functions/_$$t || exit 1; done
	cp -r configs pipelines $(DESTDIR)$(prefix)/share/posefusion

uninstall:
	$(RM) $(TOOLS:%=$(DESTDIR)$(prefix)/bin/%)
	$(RM) $(TOOLS:%=$(SHARE)/bash-completion/completions/%) $(TOOLS:%=$(SHARE)/zsh/site-functions/_%)
	for n in 1 5 7; do for f in man/*.$$n; do $(RM) $(SHARE)/man/man$$n/$${f#man/}; done; done
	$(if $(RPATH)$(GENERIC),$(RM) -r $(DESTDIR)$(prefix)/lib/posefusion)
	$(RM) -r $(SHARE)/posefusion/configs $(SHARE)/posefusion/pipelines
	[ ! -d $(SHARE)/posefusion ] || rmdir --ignore-fail-on-non-empty $(SHARE)/posefusion

# A release: the files that git has, the same bytes wherever and by whoever it is made; its bill of materials; checksums.
DIST := posefusion-$(VERSION)
dist deb tarball: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
PACK = --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=a+rX,u+w,go-w --format=gnu -cf -
dist:
	git diff --quiet HEAD || { echo "only what is committed becomes a release" >&2; exit 1; }
	$(RM) -r $(BUILD)/dist; mkdir -p $(BUILD)/dist
	git ls-files -z | tar --null --no-recursion -T - --transform 's,^,$(DIST)/,S' $(PACK) | gzip -9n >$(BUILD)/dist/$(DIST).tar.gz
	debian/sbom $(BUILD)/dist/$(DIST).tar.gz $(VERSION) >$(BUILD)/dist/$(DIST).spdx.json
	cd $(BUILD)/dist && sha256sum $(DIST).* >SHA256SUMS && cat SHA256SUMS

# The tools with all libraries but the C library's, to be unpacked anywhere and run: without CUDA, made from the release
# alone, the same bytes from any folder of the same system.
READY := $(DIST)-linux-$(shell uname -m)
tarball: dist
	$(RM) -r $(BUILD)/tarball; mkdir -p $(BUILD)/tarball
	tar -C $(BUILD)/tarball -xzf $(BUILD)/dist/$(DIST).tar.gz
	+env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES $(MAKE) -j$(JOBS) -C $(BUILD)/tarball/$(DIST) CUDA=0 ARCH=generic STANDALONE=1 CFLAGS=-O3 BUILD=build \
	  prefix= DESTDIR=$(abspath $(BUILD)/tarball/$(READY)) install
	find $(BUILD)/tarball/$(READY)/bin $(BUILD)/tarball/$(READY)/lib -type f -exec strip {} +
	cp LICENSE NEWS README.md $(BUILD)/tarball/$(READY)
	debian/carry $(BUILD)/tarball/$(READY)
	tar -C $(BUILD)/tarball --sort=name $(PACK) $(READY) | xz -T1 >$(BUILD)/dist/$(READY).tar.xz
	cd $(BUILD)/dist && sha256sum $(DIST)* >SHA256SUMS && cat SHA256SUMS
# In a system of the C library and a shell alone: as root.
check-tarball:
	debian/check-tarball $(BUILD)/dist/$(READY).tar.xz

# The release as a Debian package, made from the tarball alone.
deb: dist
	$(RM) -r $(BUILD)/deb; mkdir -p $(BUILD)/deb
	cp $(BUILD)/dist/$(DIST).tar.gz $(BUILD)/deb/posefusion_$(VERSION).orig.tar.gz
	tar -C $(BUILD)/deb -xzf $(BUILD)/dist/$(DIST).tar.gz
	cd $(BUILD)/deb/$(DIST) && env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES dpkg-buildpackage -us -uc
	! command -v lintian >/dev/null || lintian --fail-on error $(BUILD)/deb/*.changes

# What make deb made, in a clean system: as root, with debootstrap and a mirror of Debian.
check-deb:
	debian/check $(BUILD)/deb $(BUILD)/clean

define HELP
posefusion $(VERSION)

make                     the tools, in $(BUILD)/bin; with nvcc both backends
make demo                install what is missing, build, a photo that ships -> mesh and video in out/demo
make check               the tests, as many at once as there are processors, or JOBS=N
make check-long          the tiny golden model's whole run of 50 steps; from 36 pictures to a mesh; npm's IS-Net;
                         batches, killed, and by Slurm and GNU parallel where they are installed
make check-gpu           CUDA against the CPU; PF_SANITIZE=1 adds compute-sanitizer
make check-faults        every allocation and system call of a run of each tool fails once
make check-reference     the PyTorch twin and the objects; needs python3-torch
make fuzz T=checkpoint   libFuzzer over a parser of tests/fuzz, for SECONDS=60
make coverage            lines of the parsers that the tests of them reach
make lint                warnings, man pages, what includes what, 100 columns
make bench               timing programs
make install             tools, man pages, completion, configs and pipelines below DESTDIR and prefix
make uninstall           removes them
make dist                a release, in $(BUILD)/dist: tarball, SPDX, checksums
make tarball             the tools with all libraries that they need, to unpack anywhere; CPU
make check-tarball       tries it in a system of the C library alone; needs root
make deb                 the same as Debian packages, in $(BUILD)/deb; needs debhelper
make check-deb           installs and tries these in a clean system; needs root and debootstrap
make clean               removes $(BUILD)

CUDA=0                   without CUDA
SAN=address,undefined    under sanitizers: make check SAN=...
ARCH=native  GPU_ARCH=90a  CFLAGS="-O3 -g"
ARCH=generic             for every x86-64: each tool starts the one for the processor's level; in $(BUILD)/release-generic
prefix=/usr/local  DESTDIR=
V=1                      show the commands
config.mk                such settings for good, one a line
endef
export HELP
help:
	printf '%s\n' "$$HELP"

clean:
	$(RM) -r $(BUILD)
