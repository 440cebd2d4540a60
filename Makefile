# SPDX-License-Identifier: PostgreSQL
#
# make            build/libpqpool.so and build/pqpool
# make demo       set everything up, run pgbench without and with the shim, show a leak report
# make check      set everything up, run every test
# make check-matrix   the same against other servers and libpqs, and on Debian 13
# make bench      set everything up, measure what it costs and saves
# make install    to prefix (/usr/local), below DESTDIR if that is set; make uninstall
# make dist       a tarball of what is committed, which needs neither git nor npm to be built
# make deb        Debian packages of it, by tools/debian
# make check-package check-share check-static check-clang coverage asan tsan stress soak inject valgrind recovery mutate lint format clean: see tests/tests.mk

ifeq ($(origin CC),default)
CC       := gcc
endif
BUILD    ?= build
VERSION  := $(shell sed -n 's/.*define PQPOOL_VERSION "\(.*\)"/\1/p' shim/base/config/version.h 2>/dev/null)
CFLAGS   ?= -O2 -g
# Threads of 16 kB are to get along with us (base/scratch.h).
SHIM_WARNINGS := -Wframe-larger-than=2048
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
ifneq ($(WERROR),)
WARNINGS += -Werror
endif

# One sentence for what the compiler would say at length. Nothing is said where there is none yet.
HASH := \#
ifeq (old,$(shell printf '%s\n' '$(HASH)include <features.h>' '$(HASH)ifndef __GLIBC_PREREQ' \
	'$(HASH)define __GLIBC_PREREQ(major, minor) 0' '$(HASH)endif' \
	'$(HASH)if !__GLIBC_PREREQ(2, 35)' old '$(HASH)endif' | $(CC) -E -P - 2>/dev/null | tail -n1))
$(error pqpool needs glibc 2.35 or newer, to be built and to run)
endif

# The floors call each other's small functions all the time: compiled as one, a lease is a tenth
# cheaper. Other compilers want a linker of their own for that. LTO_FLAGS= leaves it.
ifeq ($(origin LTO_FLAGS)$(findstring gcc version,$(shell LC_ALL=C $(CC) -v 2>&1)),undefinedgcc version)
# Newer ones would make vectors of neighbouring pointers, each with addresses to be relocated.
LTO_FLAGS := -flto -flto-partition=none -ffat-lto-objects -fno-tree-slp-vectorize
endif

PGINCLUDE := $(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)
CPPFLAGS  += -D_GNU_SOURCE -Ishim -isystem $(PGINCLUDE)
OURFLAGS  := -std=c11 $(WARNINGS) -fvisibility=hidden

SHIM_SOURCES := $(sort $(wildcard shim/*/*.c shim/*/*/*.c))
SHIM_OBJECTS := $(SHIM_SOURCES:%.c=$(BUILD)/%.o)
TOOL_SOURCES := $(wildcard tools/*.c tools/*/*.c tools/*/*/*.c) $(addprefix shim/,base/scratch.c base/config/config.c \
	base/config/value.c base/elf/build_id.c base/elf/elf_file.c base/elf/elf_needed.c base/elf/elf_note.c base/elf/symbol.c \
	base/text/decimal.c base/text/logfmt.c base/text/strbuf.c base/thread/pid.c trace/log/log_name.c \
	trace/log/pairs.c trace/log/rotate.c trace/status/page_dir.c)
TOOL_OBJECTS := $(TOOL_SOURCES:%.c=$(BUILD)/%.tool.o)
TOOL_LIBRARIES := -ldw -lelf -lncursesw -ltinfo

# GNU's names, each of which may be given to make; PREFIX is another name for prefix.
PREFIX       ?= /usr/local
DESTDIR      ?=
prefix        = $(PREFIX)
exec_prefix   = $(prefix)
bindir        = $(exec_prefix)/bin
libdir        = $(exec_prefix)/lib
datarootdir   = $(prefix)/share
mandir        = $(datarootdir)/man
man1dir       = $(mandir)/man1
man7dir       = $(mandir)/man7
docdir        = $(datarootdir)/doc/pqpool
pkgdatadir    = $(datarootdir)/pqpool
completiondir = $(datarootdir)/bash-completion/completions
unitdir       = $(prefix)/lib/systemd

.PHONY: all always deb demo dist bench check check-clang check-debian check-matrix check-package check-share check-static coverage fuzz inject lint format asan tsan stress soak valgrind recovery mutate clean setup install uninstall
all: $(BUILD)/libpqpool.so $(BUILD)/pqpool $(BUILD)/pqpool.1

# Every program that is preloaded pays for what the dynamic linker does with us at its start
# (tests/lint/test_start.py): functions are bound when they are called first, and code and
# constants are mapped as one.
LEAN := -Wl,-z,lazy -Wl,-z,noseparate-code -Wl,-O1

$(BUILD)/libpqpool.so: $(SHIM_OBJECTS) shim/hooks/exports.map
	$(CC) -shared -o $@ $(SHIM_OBJECTS) $(SHIM_WARNINGS) $(if $(WERROR),-Werror) $(CFLAGS) $(LTO_FLAGS) $(LDFLAGS) $(LEAN) -static-libgcc \
		-Wl,--version-script=shim/hooks/exports.map -Wl,-z,defs -Wl,-z,relro \
		-Wl,-z,nodelete -Wl,-soname,libpqpool.so

$(BUILD)/pqpool: $(TOOL_OBJECTS)
	$(CC) -o $@ $(TOOL_OBJECTS) $(CFLAGS) $(LDFLAGS) $(TOOL_LIBRARIES)

# The page of `pqpool report` is assembled in.
$(BUILD)/tools/report/page_template.tool.o: override CFLAGS += -Wa,-I$(BUILD)/report
$(BUILD)/tools/report/page_template.tool.o: $(BUILD)/report/page.html

$(BUILD)/pqpool.1: tools/man/pqpool.1 tools/man/variables.awk $(BUILD)/pqpool
	$(BUILD)/pqpool run --help | awk -f tools/man/variables.awk - tools/man/pqpool.1 >$@.new
	mv $@.new $@

# One line with Debian's packages that are missing, in place of the compiler's errors.
$(BUILD)/headers: NEEDED := 'libpq-fe.h libpq-dev for libpq' 'uthash.h uthash-dev for hash tables'
$(BUILD)/headers.tool: NEEDED := 'elfutils/libdwfl.h libdw-dev for source lines of leaks' \
	'gelf.h libelf-dev for pqpool doctor' 'curses.h libncurses-dev for pqpool top'
$(BUILD)/headers $(BUILD)/headers.tool: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' $(NEEDED) | { missing=; while read -r header package purpose; do \
		echo "#include <$$header>" | $(CC) $(CPPFLAGS) -E -o /dev/null - 2>/dev/null || \
			missing="$$missing$${missing:+, }$$package ($$purpose)"; done; \
		[ -z "$$missing" ] || { echo "pqpool needs $$missing" >&2; exit 1; }; }
	@touch $@

$(BUILD)/%.o: %.c | $(BUILD)/headers
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(OURFLAGS) $(SHIM_WARNINGS) -fPIC -ftls-model=initial-exec $(CFLAGS) $(LTO_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.tool.o: CPPFLAGS += -Itools
$(BUILD)/%.tool.o: %.c | $(BUILD)/headers $(BUILD)/headers.tool
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(OURFLAGS) -fPIE $(CFLAGS) -MMD -MP -c -o $@ $<

# The tool looks for the library there, from where it is itself, so that both may be moved as one.
LIBRARY_FROM_BIN = $(shell realpath -ms --relative-to='$(bindir)' '$(libdir)')
$(BUILD)/tools/common/preload_shim.tool.o: CPPFLAGS += -DPQPOOL_LIBDIR='"$(LIBRARY_FROM_BIN)"'
$(BUILD)/tools/common/preload_shim.tool.o: $(BUILD)/library-from-bin

# Made anew if it is another one, with other variables.
$(BUILD)/library-from-bin: always
	@mkdir -p $(@D)
	@echo '$(LIBRARY_FROM_BIN)' | cmp -s - $@ || echo '$(LIBRARY_FROM_BIN)' >$@

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)

include tools/report/page/page.mk tests/tests.mk

INSTALL         = install
INSTALL_PROGRAM = $(INSTALL) -m 755
INSTALL_DATA    = $(INSTALL) -m 644
UNITS           := user/pqpool-keep.socket user/pqpool-keep.service system/pqpool-keep@.service
DOCUMENTS       := README.md LICENSE tools/CHANGELOG.md

# Files are replaced, not overwritten: programs that run go on with the library that they have.
install: all
	$(INSTALL) -d $(addprefix $(DESTDIR),$(bindir) $(libdir) $(man1dir) $(man7dir) $(completiondir) $(docdir) \
		$(pkgdatadir) $(unitdir)/user $(unitdir)/system)
	$(INSTALL_PROGRAM) $(BUILD)/pqpool $(DESTDIR)$(bindir)/pqpool
	$(INSTALL_PROGRAM) $(BUILD)/libpqpool.so $(DESTDIR)$(libdir)/libpqpool.so
	$(INSTALL_DATA) $(BUILD)/pqpool.1 $(DESTDIR)$(man1dir)/pqpool.1
	$(INSTALL_DATA) tools/man/pqpool.7 $(DESTDIR)$(man7dir)/pqpool.7
	$(INSTALL_DATA) tools/completion/pqpool.bash $(DESTDIR)$(completiondir)/pqpool
	$(INSTALL_DATA) $(DOCUMENTS) $(DESTDIR)$(docdir)/
	$(INSTALL_DATA) tools/metrics/grafana.json $(DESTDIR)$(pkgdatadir)/grafana.json
	for unit in $(UNITS); do \
		sed 's|@BINDIR@|$(bindir)|' "tools/systemd/$${unit#*/}" | \
			$(INSTALL_DATA) /dev/stdin "$(DESTDIR)$(unitdir)/$$unit" || exit; \
	done

# Of the folders only those that are nobody else's.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(bindir)/pqpool $(libdir)/libpqpool.so $(man1dir)/pqpool.1 $(man7dir)/pqpool.7 \
		$(completiondir)/pqpool $(pkgdatadir)/grafana.json $(addprefix $(unitdir)/,$(UNITS)) \
		$(addprefix $(docdir)/,$(notdir $(DOCUMENTS))))
	for folder in $(addprefix $(DESTDIR),$(docdir) $(pkgdatadir)); do [ ! -d "$$folder" ] || rmdir "$$folder" || exit; done

NAME := pqpool-$(VERSION)
DIST := $(BUILD)/$(NAME).tar.xz
DEB  := $(BUILD)/deb

# All times are the commit's, all owners root: the same commit makes the same tarball. The page of
# reports is in no commit, and making it takes npm: the tarball has it made.
dist: $(DIST)
$(BUILD)/$(NAME).tar.xz: always $(BUILD)/report/page.html
	@git rev-parse --verify --quiet HEAD >/dev/null || { echo 'make dist needs the git repository;' \
		'in an unpacked tarball: make deb DIST=$(NAME).tar.xz' >&2; exit 1; }
	@git diff --quiet HEAD || echo 'make dist: what is not committed is left out' >&2
	git -c tar.umask=0022 archive --output=$(@:.xz=) --prefix=$(NAME)/tools/report/page/ \
		--add-file=$(BUILD)/report/page.html --prefix=$(NAME)/ HEAD
	xz -f -T1 $(@:.xz=)

# The packages are built by a make of their own, which shall know nothing of this one.
deb: $(DIST)
	rm -rf $(DEB)
	mkdir -p $(DEB)
	cp $(DIST) $(DEB)/pqpool_$(VERSION).orig.tar.xz
	tar -C $(DEB) -xf $(DEB)/pqpool_$(VERSION).orig.tar.xz
	cp -r $(DEB)/$(NAME)/tools/debian $(DEB)/$(NAME)/debian
	cd $(DEB)/$(NAME) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u BUILD dpkg-buildpackage -us -uc
	@printf '%s\n' $(DEB)/*.deb

clean:
	rm -rf $(BUILD)
