# refpoint - reference points of virtual machine disks, and their export
#
# make [all]     refpoint, librefpoint.so.0, librefpoint.a and refpoint.pc in build/
# make tests     the programs of tests/ and bench/
# make deps      install the Debian packages that all targets need (as root)
# make check     run all tests; as root, or those that mount are skipped
# make demo      the main job on a real guest, from nothing
# make fuzz      the readers of image formats under libFuzzer; FUZZ=1800 seconds
# make bench     the benchmarks; QUICK=1 for a short run, W='cross many' for some of them
# make bench-report     the tables and plots of the runs there are, again
# make gate      what must pass before a commit: both compilers with -Werror, check,
#                check-asan, check-tsan, formatting, shellcheck
# make check-asan, check-tsan     check under sanitizers
# make install, uninstall, format, clean, help
#
# Variables on the command line:
#   O=build      where everything is built       V=1     show the commands
#   CC=cc        the compiler                    CFLAGS, CPPFLAGS, LDFLAGS  yours
#   T=job_test   check: only these tests (% is a wildcard)
#   SAN=address,undefined   or thread: build with sanitizers (use another O)
#   WERROR=1     warnings are errors             PKG_CONFIG=pkg-config, OBJCOPY=objcopy
#   PREFIX=/usr/local  BINDIR  LIBDIR  INCLUDEDIR  MANDIR  DESTDIR

O          ?= build
CFLAGS     ?= -O2 -g
PKG_CONFIG ?= pkg-config
OBJCOPY    ?= objcopy
T          ?= %
FUZZ       ?= 1800
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man

# One name for one folder: what an object depends on is noted under that.
override O := $(patsubst $(CURDIR)/%,%,$(abspath $(O)))

VERSION := $(file <VERSION)
SO      := $(O)/librefpoint.so.0
MAP     := engine/librefpoint.map
OUT     := $(O)/refpoint $(SO) $(O)/librefpoint.so $(O)/librefpoint.a $(O)/refpoint.pc

# Sources: one list per folder. In tests and bench every file is a program of its own,
# except those that all of them share.
IO     := $(sort $(wildcard io/*.c))
ENGINE := $(sort $(wildcard engine/*.c))
CLI    := $(sort $(wildcard cli/*.c))
BENCH  := $(sort $(wildcard bench/*.c))
TESTS  := $(sort $(wildcard tests/*.c))
BENCH_SHARED := $(filter bench/bench.c,$(BENCH))
TESTS_SHARED := $(filter-out %_test.c,$(TESTS))
SCRIPTS := $(sort $(wildcard tests/*_test.sh))
objects  = $(patsubst %.c,$(O)/%.o,$(1))
programs = $(patsubst %.c,$(O)/%,$(1))
BENCH_PROGRAMS := $(call programs,$(filter-out $(BENCH_SHARED),$(BENCH)))
TEST_PROGRAMS  := $(call programs,$(filter %_test.c,$(TESTS)))
FORMATTED := $(sort $(wildcard include/*.h io/*.[ch] engine/*.[ch] cli/*.[ch] bench/*.[ch] \
	tests/*.[ch]))

# Debian packages, by what needs them first: build, check, demo, bench, gate.
DEBS := gcc libc6-dev make pkg-config liburing-dev libaio-dev libjansson-dev \
	libxxhash-dev libxml2-dev uuid-dev \
	perl mount e2fsprogs xfsprogs btrfs-progs fuse3 libfuse3-dev nbdkit libnbd-bin \
	qemu-utils python3-libvhdi \
	jq groff mandoc \
	qemu-system-x86 busybox-static grub-pc-bin grub-common fdisk \
	fio rsync gnuplot-nox linux-perf \
	clang clang-format shellcheck

# Asked for when first needed, not when this file is read: "make deps all" must work.
PKGS  := liburing jansson libxxhash uuid
# Of libxml2 only the headers: who needs it loads it (engine/xml.h).
HEADS := libxml-2.0
once   = $(eval $(1) := $$(shell $(2)))$($(1))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(PKG_CONFIG) --cflags $(PKGS) $(HEADS))
PKG_LIBS   = $(call once,PKG_LIBS,$(PKG_CONFIG) --libs $(PKGS))
LIBS       = $(PKG_LIBS) -laio
CLI_LIBS   = $(call once,CLI_LIBS,$(PKG_CONFIG) --libs jansson)
TEST_LIBS  = $(call once,TEST_LIBS,$(PKG_CONFIG) --libs fuse3 $(HEADS))

SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
OUR_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DREFPOINT_VERSION='"$(VERSION)"' -Iinclude -I.
OUR_CFLAGS   := -std=gnu11 -fPIC -pthread -Wall -Wextra -Wmissing-prototypes \
	-Wstrict-prototypes -Wshadow -Wpointer-arith $(if $(WERROR),-Werror) $(SANITIZE)
COMPILE = $(CC) $(CPPFLAGS) $(OUR_CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) $(OUR_CFLAGS)
LINK    = $(CC) $(CFLAGS) -pthread $(SANITIZE) $(LDFLAGS) -Wl,--as-needed
# The program finds its library beside itself (build/) and where install puts it.
RPATH = $$ORIGIN:$$ORIGIN/$(shell realpath -m --relative-to='$(BINDIR)' '$(LIBDIR)')

Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-7s %s\n' $(1) '$(patsubst $(O)/%,%,$@)')

all: $(OUT)
tests: $(TEST_PROGRAMS) $(BENCH_PROGRAMS)
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# What is built depends on the flags and compiler it was built with (and refpoint.pc on
# the paths): these files change when they do.
$(O)/flags: export NOW = $(COMPILE) $(LINK) $(LIBS) $(RPATH)
$(O)/paths: export NOW = $(VERSION) $(PREFIX) $(LIBDIR) $(INCLUDEDIR)
$(O)/flags $(O)/paths: FORCE | $(filter deps,$(MAKECMDGOALS))
	@$(PKG_CONFIG) --print-errors --exists $(PKGS) $(HEADS) || \
		{ echo 'A library is missing; "make deps" installs it.' >&2; exit 1; }
	@mkdir -p $(@D); printf '%s\n' "$$NOW" | cmp -s - $@ || printf '%s\n' "$$NOW" >$@

$(O)/%.o: %.c $(O)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

# The archive, too, has no names but those of the methods: it is one object, in which the
# others are local. Tests and benchmarks, which look inside, have one of their own.
$(O)/librefpoint.o: $(call objects,$(IO) $(ENGINE)) $(MAP)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) -r -nostdlib -o $@ $(filter %.o,$^)
	$(Q)$(OBJCOPY) $(patsubst %,-G %,$(shell sed -n 's/^\t\(rp_.*\);$$/\1/p' $(MAP))) $@

$(O)/librefpoint.a: $(O)/librefpoint.o
$(O)/inside.a: $(call objects,$(IO) $(ENGINE))
$(O)/tests/shared.a: $(call objects,$(TESTS_SHARED))
$(O)/bench/shared.a: $(call objects,$(BENCH_SHARED))
$(O)/%.a:
	$(call say,AR)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# A sanitizer's runtime is in the program, so its symbols stay open in the library. That is
# never unloaded: nobody can wait for the last step of a thread of its own.
$(SO): $(call objects,$(IO) $(ENGINE)) $(MAP)
	$(if $(filter REFPOINT_$(basename $(VERSION)),$(shell sed -n 's/ {$$//p' $(MAP) | \
		tail -n 1)),,$(error VERSION $(VERSION) and the last node of $(MAP) differ))
	$(call say,LD)
	$(Q)$(LINK) -shared -Wl,-soname,$(@F) $(if $(SAN),,-Wl,-z,defs) \
		-Wl,-z,nodelete -Wl,--no-undefined-version -Wl,--version-script,$(MAP) \
		-o $@ $(filter %.o,$^) $(LIBS)

$(O)/librefpoint.so: $(SO)
	$(Q)ln -sf $(<F) $@

$(O)/refpoint: $(call objects,$(CLI)) $(SO)
	$(call say,LD)
	$(Q)$(LINK) -Wl,-rpath,'$(RPATH)' -o $@ $(filter %.o,$^) $(SO) $(CLI_LIBS)

$(O)/refpoint.pc: engine/refpoint.pc.in $(O)/paths
	$(call say,GEN)
	$(Q)sed -e 's|@VERSION@|$(VERSION)|' -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
		-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@PKGS@|$(PKGS)|' $< >$@

$(TEST_PROGRAMS): $(O)/tests/shared.a
$(BENCH_PROGRAMS): $(O)/bench/shared.a
$(TEST_PROGRAMS) $(BENCH_PROGRAMS): $(O)/%: $(O)/%.o $(O)/inside.a
	$(call say,LD)
	$(Q)$(LINK) -o $@ $< $(filter %/shared.a,$^) $(O)/inside.a $(LIBS) $(TEST_LIBS)

# What tests, demo and bench scripts are told.
RUN := O='$(abspath $(O))' REFPOINT='$(abspath $(O))/refpoint' CC='$(CC)' SAN='$(SAN)' \
	UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS='suppressions=$(CURDIR)/tests/tsan.supp' \
	$(if $(QUICK),QUICK=$(QUICK)) $(if $(W),W='$(W)')
CHOSEN := $(filter $(T:%=$(O)/tests/%),$(TEST_PROGRAMS)) $(filter $(T:%=tests/%.sh),$(SCRIPTS))

# Two programs at once: most wait for devices half of the time.
check: all $(filter $(O)/%,$(CHOSEN))
	$(if $(strip $(CHOSEN)),,$(error No test is named $(T)))
	$(Q)$(RUN) prove --jobs 2 --directives --exec '' $(CHOSEN)
check-asan:
	$(Q)$(MAKE) check SAN=address,undefined O=build-asan
check-tsan:
	$(Q)$(MAKE) check SAN=thread O=build-tsan
bench: all $(BENCH_PROGRAMS)
	$(Q)$(RUN) bench/run.sh
bench-report:
	$(Q)$(RUN) bench/report.sh
demo: all
	$(Q)$(RUN) tests/demo.sh

# One program of all sources, so that all of them are watched; its seeds are our images.
FUZZER := clang $(OUR_CPPFLAGS) -std=gnu11 -O1 -g -pthread \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
fuzz: $(O)/tests/format_corpus_test
	$(Q)rm -rf $(O)/corpus && mkdir $(O)/corpus
	$(Q)CORPUS=$(O)/corpus $(O)/tests/format_corpus_test
	$(Q)$(FUZZER) $(PKG_CFLAGS) -o $(O)/fuzz tests/format_fuzz.c $(IO) $(ENGINE) $(LIBS)
	$(Q)$(O)/fuzz -max_total_time=$(FUZZ) -max_len=65536 -timeout=20 -rss_limit_mb=1024 \
		-artifact_prefix=$(O)/ -print_final_stats=1 $(O)/corpus

gate:
	$(Q)$(MAKE) all tests WERROR=1 CC=clang O=build-clang
	$(Q)$(MAKE) all tests check WERROR=1 CC=gcc O=build-gcc
	$(Q)$(MAKE) check-asan check-tsan WERROR=1
	clang-format --dry-run -Werror $(FORMATTED)
	shellcheck $(wildcard tests/*.sh bench/*.sh) .ci/run
format:
	clang-format -i $(FORMATTED)

deps:
	@set -e; missing=; for deb in $(DEBS); do \
		dpkg-query -W -f '$${db:Status-Status}' $$deb 2>/dev/null | grep -qx installed || \
		missing="$$missing $$deb"; done; \
	[ -n "$$missing" ] || { echo 'All packages are installed.'; exit 0; }; \
	[ "$$(id -u)" = 0 ] || { echo "Missing:$$missing" >&2; \
		echo 'Only root can install them: sudo make deps' >&2; exit 1; }; \
	export DEBIAN_FRONTEND=noninteractive; apt-get update; \
	apt-get install -y --no-install-recommends --no-upgrade $$missing

# One list for install and uninstall: what, where, mode.
INSTALLED := $(O)/refpoint:$(BINDIR)/refpoint:755 $(SO):$(LIBDIR)/$(notdir $(SO)):755 \
	$(notdir $(SO)):$(LIBDIR)/librefpoint.so:link \
	$(O)/librefpoint.a:$(LIBDIR)/librefpoint.a:644 \
	$(O)/refpoint.pc:$(LIBDIR)/pkgconfig/refpoint.pc:644 \
	include/refpoint.h:$(INCLUDEDIR)/refpoint.h:644 \
	$(foreach page,$(wildcard man/*.[1-8]),$(page):$(MANDIR)/man$(subst .,,$(suffix \
		$(page)))/$(notdir $(page)):644)
row = $(word $(1),$(subst :, ,$(2)))
define put
	$(Q)$(if $(filter link,$(call row,3,$(1))),ln -sf,install -D -m $(call row,3,$(1))) \
		$(call row,1,$(1)) '$(DESTDIR)$(call row,2,$(1))'

endef
install: all
	$(foreach file,$(INSTALLED),$(call put,$(file)))
uninstall:
	$(Q)rm -f $(foreach file,$(INSTALLED),'$(DESTDIR)$(call row,2,$(file))')

clean:
	rm -rf $(O) build-asan build-tsan build-gcc build-clang

FORCE:
.PHONY: FORCE all tests help check check-asan check-tsan bench bench-report demo fuzz gate format deps \
	install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(patsubst %.c,$(O)/%.d,$(IO) $(ENGINE) $(CLI) $(TESTS) $(BENCH))
