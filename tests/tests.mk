# SPDX-License-Identifier: PostgreSQL
#
# Everything but the build itself.
#
#   make check            every test; K=EXPR chooses by name as pytest's -k does,
#                         T=PATHS by file or folder (T=tests/unit)
#   make check-matrix     integration tests and statements against other servers and libpqs, and the
#                         clients on Debian 13; CELLS='13/15.8 18/18' chooses
#   make check-debian     `make check`, whole, in a Debian 13 root (tests/debian.sh); K and T
#                         as there; TARGETS='asan tsan valgrind': these instead
#   make check-package    the Debian packages: built, installed, used and purged in roots of
#                         Debian 12 and 13; K as above
#   make check-share      the clients, as ones that share sessions through a keeper; T=PATHS: what
#                         is run bare and pooled in these tests, too; K as above
#   make check-static     clang-tidy, gcc -fanalyzer and cppcheck over shim/ and tools/
#   make check-clang      built by clang: the unit tests, and some of the integration tests
#   make fuzz             what reads the bytes of others, fed with nonsense by clang's libFuzzer,
#                         statements by chance, compared with a server, and connects by
#                         chance, compared with libpq; FUZZ_SECONDS=600 each; in `make check`
#                         for a moment
#   make coverage         which lines of the shim the tests run, by folder; T=PATHS as above
#   make lint             only the rules of the house
#   make format           puts the C files into the house's format
#   make asan, make tsan  unit tests and stress programs under the sanitizers
#   make stress           programs that share while all is killed around them, logs of a million lines,
#                         and a large report's page, at full size
#   make soak         programs of all kinds while faults arrive at random, SOAK_SECONDS=1800;
#                     SOAK_SEED, SOAK_KEEPER=on, SOAK_TLS=on, SOAK_LIBPQ=13, PQPOOL_RESET=auto
#   make inject           each call of the shim's and of libpq's fails once, in many programs; K as above
#   make valgrind         ordinary programs, preloaded, under valgrind's memcheck; K as above
#   make recovery         how long it takes after a fault until a program works again, bare and pooled
#   make mutate           one mechanism after another is taken out of the shim, and a test fails each
#                         time; K as above
#   make demo             what it is good for, in under a minute
#   make bench            what it costs and saves; see tests/bench/README.md. T=TABLES chooses,
#                         AGAINST=REVISION compares with that one's build
#   make setup            installs what `make check` needs
#
# Results go below $(BUILD), those of the variants below $(BUILD)/asan and so on.

# The one that Debian's packages belong to, whatever else is on PATH.
PYTHON := /usr/bin/python3
SERVER := $(PYTHON) tests/server.py
RUNNER := PQPOOL_BUILD='$(BUILD)' $(PYTHON) tests/run.py
JOBS   := $(shell nproc 2>/dev/null || echo 2)
# A make of our own: parallel, and with the tools that setup.sh has just installed.
REMAKE := $(MAKE) --no-print-directory -j$(JOBS)
COMMA  := ,
K ?=
T ?=
CELLS ?=

# --- test programs: ordinary libpq programs, which know nothing of us ----------
# (those in programs/modules/ are shared libraries, built by the tests that load them)

PROGRAM_NAMES := $(basename $(notdir $(wildcard tests/programs/*.c)))
PROGRAMS      := $(PROGRAM_NAMES:%=$(BUILD)/tests/programs/%)

$(BUILD)/tests/programs/%: tests/programs/%.c
	@mkdir -p $(@D)
	$(CC) -O1 -g -Wall -I$(PGINCLUDE) -MMD -MP -MF $@.d -o $@ $< \
		-Wl,--as-needed -lpq -lpthread -ldl

# --- real clients: small programs in the languages of libpq's clients -----------

CLIENTS := $(addprefix $(BUILD)/tests/clients/,odbc pqxx embedded coroutines)
CXX     ?= g++

$(BUILD)/tests/clients/odbc: tests/clients/programs/odbc.c
	@mkdir -p $(@D)
	$(CC) -O1 -g -Wall -o $@ $< -lodbc -lpthread

$(BUILD)/tests/clients/pqxx: tests/clients/programs/pqxx.cpp
	@mkdir -p $(@D)
	$(CXX) -O1 -g -Wall -o $@ $< -lpqxx -lpq -lpthread

$(BUILD)/tests/clients/coroutines: tests/clients/programs/coroutines.cpp
	@mkdir -p $(@D)
	$(CXX) -O1 -g -Wall -I$(PGINCLUDE) -o $@ $< -lpq -lboost_context

$(BUILD)/tests/clients/embedded: tests/clients/programs/embedded.pgc
	@mkdir -p $(@D)
	ecpg -o $@.c $<
	$(CC) -O1 -g -Wall -I$(PGINCLUDE) -o $@ $@.c -lecpg -lpthread

# Node's libpq from the npm registry, built against the headers of the node in use. No
# registry, no module: then the tests that want it say so.
NODE_LIBPQ  := libpq@1.11.0
NODE_FOLDER := $(BUILD)/tests/clients/$(NODE_LIBPQ)
NODE_PREFIX := $(patsubst %/bin/,%,$(dir $(realpath $(shell command -v node 2>/dev/null))))

$(NODE_FOLDER)/done: tests/tests.mk
	@mkdir -p $(@D)
	@npm_config_nodedir='$(NODE_PREFIX)' tests/patiently.sh npm install --no-save --no-audit --no-fund \
		--prefix '$(@D)' '$(NODE_LIBPQ)' >'$(@D)/log' 2>&1 && touch $@ || \
		echo "npm cannot install $(NODE_LIBPQ); see $(@D)/log"

# The checker of accessibility for tests/page, likewise.
$(BUILD)/tests/page/npm/done: tests/page/package.json tests/page/package-lock.json
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@cd '$(@D)' && $(CURDIR)/tests/patiently.sh npm ci --ignore-scripts --no-audit --no-fund >log 2>&1 && touch done || \
		echo "npm cannot install what tests/page needs; see $(@D)/log"

# --- unit tests: all floors below hooks/, with their own checks on --------

DEBUG_SOURCES := $(filter-out shim/hooks/%,$(SHIM_SOURCES))
DEBUG_OBJECTS := $(DEBUG_SOURCES:%.c=$(BUILD)/debug/%.o)
UNIT_NAMES    := $(basename $(notdir $(wildcard tests/unit/test_*.c)))
UNITS         := $(UNIT_NAMES:%=$(BUILD)/tests/unit/%)
UNIT_HELPERS  := $(patsubst %.c,$(BUILD)/debug/%.o,\
	$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))

$(BUILD)/debug/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DPQPOOL_DEBUG $(OURFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# An archive, so that a test gets only what it uses and can bring stand-ins for the rest.
$(BUILD)/debug/libfloors.a: $(DEBUG_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

# The keeper, for the tests of it: test_keeper_x.
KEEPER_SOURCES := $(filter-out %/keep.c,$(wildcard tools/keep/*.c tools/keep/*/*.c tools/common/keeper/*.c)) \
	tools/common/xalloc.c tools/common/terminal_text.c
KEEPER_OBJECTS := $(KEEPER_SOURCES:%.c=$(BUILD)/debug/%.o)
$(KEEPER_OBJECTS) $(BUILD)/debug/tests/unit/test_keeper_%.o: CPPFLAGS += -Itools

$(BUILD)/debug/libkeeper.a: $(KEEPER_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/tests/unit/test_keeper_%: $(BUILD)/debug/tests/unit/test_keeper_%.o $(BUILD)/debug/libkeeper.a \
		$(BUILD)/debug/libfloors.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_$(@F)) -o $@ $^ -lcmocka -lpthread -ldl

# What replays logs, for the tests of it: test_replay_x.
REPLAY_OBJECTS := $(patsubst %,$(BUILD)/debug/tools/common/%.o,replay/simulation replay/pool_trace replay/what_if percentile xalloc)
$(REPLAY_OBJECTS) $(BUILD)/debug/tests/unit/test_replay_%.o: CPPFLAGS += -Itools

$(BUILD)/tests/unit/test_replay_%: $(BUILD)/debug/tests/unit/test_replay_%.o $(REPLAY_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka

# Flags for one test's link go into LDFLAGS_test_name, e.g. -Wl,--wrap=malloc.
# These export symbols for the shim to find, two of them as interpreters do.
$(BUILD)/tests/unit/test_safe_read: LDFLAGS_test_safe_read = -rdynamic
$(BUILD)/tests/unit/test_script: LDFLAGS_test_script = -rdynamic
$(BUILD)/tests/unit/test_script_damage: LDFLAGS_test_script_damage = -rdynamic
$(BUILD)/tests/unit/test_interpreters: LDFLAGS_test_interpreters = -rdynamic
LDFLAGS_test_bell := -Wl,--wrap=write
LDFLAGS_test_deadlock := -Wl,--wrap=open
LDFLAGS_test_wakeup_socket := -Wl,--wrap=socket,--wrap=send
LDFLAGS_test_thread_block := -Wl,--wrap=mmap,--wrap=pthread_setspecific
LDFLAGS_test_pool_schedules := -Wl,--wrap=lock_take,--wrap=bell_ring,--wrap=write
LDFLAGS_test_scratch := -Wl,--wrap=mmap
# The allocations of our objects (tests/unit/memory_out.h).
LDFLAGS_MEMORY_OUT := $(patsubst %,-Wl$(COMMA)--wrap=%,malloc calloc realloc reallocarray strdup strndup asprintf free)
LDFLAGS_test_memory_out := $(LDFLAGS_MEMORY_OUT)
LDFLAGS_test_script_memory := -rdynamic $(LDFLAGS_MEMORY_OUT)
LDFLAGS_test_keeper_memory := $(LDFLAGS_MEMORY_OUT)

$(BUILD)/tests/unit/%: $(BUILD)/debug/tests/unit/%.o $(UNIT_HELPERS) $(BUILD)/debug/libfloors.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LDFLAGS_$(@F)) -o $@ $^ -lcmocka -lpq -lpthread -ldl

# --- programs with the shim's floors in them, for tests that need a server ---------

FLOOR_PROGRAMS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/shim/*.c))

$(BUILD)/tests/shim/%: $(BUILD)/debug/tests/shim/%.o $(BUILD)/debug/libfloors.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lpq -lpthread -ldl

# --- stress programs: the whole shim linked in, for the sanitizers' sake ----------
# (but not its dlsym and dlopen: the sanitizers call these before they are set up)

STRESS_NAMES := $(basename $(notdir $(wildcard tests/stress/*.c)))
STRESSES     := $(STRESS_NAMES:%=$(BUILD)/tests/stress/%)
# Without dlsym, dlopen, exit handlers and sockets: the sanitizers have these themselves, or call
# them before they can bear instrumented code.
STRESS_OBJECTS := $(filter-out %/hooks/loader.o %/hooks/exit_handlers.o %/hooks/socket_calls.o,$(SHIM_OBJECTS))

$(BUILD)/tests/stress/%: tests/stress/%.c $(STRESS_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -Wall -MMD -MP -MF $@.d -rdynamic -o $@ $< \
		$(STRESS_OBJECTS) -lpq -lpthread -ldl

# --- fuzz targets: what reads the bytes of others, as clang's libFuzzer builds it -----------

FUZZ_NAMES   := $(basename $(notdir $(wildcard tests/fuzz/fuzz_*.c)))
FUZZERS      := $(FUZZ_NAMES:%=$(BUILD)/fuzz/%)
FUZZED       := $(KEEPER_SOURCES) $(patsubst %,shim/share/%.c,ask member packet start_record start_tape) \
	$(wildcard shim/base/config/*.c shim/base/elf/*.c shim/sql/*.c) shim/base/text/glob.c shim/base/text/logfmt.c \
	shim/trace/stack/frame_names.c $(addprefix shim/trace/script/,perl.c php.c python.c python_lines.c ruby.c script.c) \
	$(patsubst %,tools/%.c,common/history/history common/history/marks common/leases/kept_rule common/leases/lease_ends common/leases/lease_lines common/leases/process_alive common/percentile common/replay/pool_trace common/replay/simulation common/replay/what_if common/log/log_line common/log/log_lines common/log/log_files common/pages/page_file common/pages/page_folders common/pages/processes common/pages/status_pages common/symbols/call_frames metrics/http_request)
FUZZ_OBJECTS := $(FUZZED:%.c=$(BUILD)/fuzz/%.o)
FUZZ_CHECKS  := address,undefined -fno-sanitize-recover=all
# How long each target runs.
FUZZ_SECONDS ?= 600

$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	clang $(CPPFLAGS) -Itools -DPQPOOL_DEBUG $(OURFLAGS) -O1 -g -fno-omit-frame-pointer \
		-fsanitize=fuzzer-no-link,$(FUZZ_CHECKS) -MMD -MP -c -o $@ $<

# What it holds is said here.
$(BUILD)/fuzz/libfuzzed.a: $(FUZZ_OBJECTS) tests/tests.mk
	@rm -f $@
	$(AR) rcs $@ $(FUZZ_OBJECTS)

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(BUILD)/fuzz/libfuzzed.a $(BUILD)/debug/libfloors.a
	clang -fsanitize=fuzzer,$(FUZZ_CHECKS) -o $@ $^ -lpthread -ldl

.SECONDARY: $(FUZZ_OBJECTS) $(FUZZ_NAMES:%=$(BUILD)/fuzz/tests/fuzz/%.o)
.SECONDARY: $(DEBUG_OBJECTS) $(KEEPER_OBJECTS) $(UNIT_HELPERS) $(UNIT_NAMES:%=$(BUILD)/debug/tests/unit/%.o)
.PHONY: bench-programs programs clients units stresses fuzzers print-flags
programs: $(PROGRAMS)
clients: $(CLIENTS) $(NODE_FOLDER)/done $(BUILD)/tests/page/npm/done
units: $(UNITS) $(FLOOR_PROGRAMS) $(BUILD)/tests/bench/contention
stresses: $(STRESSES)
fuzzers: $(FUZZERS)
# What the shim is compiled with, for tests/lint.
print-flags:
	@echo $(CPPFLAGS) $(OURFLAGS)

# --- what one calls -----------------------------------------------------------

setup:
	@BUILD='$(BUILD)' tests/setup.sh check

check:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) WERROR=1 all units programs clients fuzzers
	@tests/patiently.sh $(PYTHON) tests/versions.py || true
	@$(RUNNER) $(if $(K),-k '$(K)') $(if $(T),$(T),$(addprefix --ignore=tests/,analysis package recovery valgrind) tests)

check-share:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all programs clients
	@$(RUNNER) --share $(if $(K),-k '$(K)') $(if $(T),$(T),tests/clients)

check-static:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(RUNNER) $(if $(K),-k '$(K)') tests/analysis

CLANG_TESTS := $(wildcard tests/unit/test_*.c) $(patsubst %,tests/integration/test_%.py,async coroutines fork_exit \
	identity leaks leaving script state)

# What a target finds is kept, and where it begins the next time.
fuzz:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s fuzzers units
	@$(PYTHON) tests/fuzz/seeds.py '$(BUILD)/fuzz/seeds'
	@for target in $(FUZZ_NAMES); do \
		mkdir -p "$(BUILD)/fuzz/found/$$target" && \
		echo "$$target: $(FUZZ_SECONDS) s, log in $(BUILD)/fuzz/$$target.log" && \
		TMPDIR=/dev/shm "$(BUILD)/fuzz/$$target" -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix="$(BUILD)/fuzz/" "$(BUILD)/fuzz/found/$$target" \
			"$(BUILD)/fuzz/seeds/$$target" >"$(BUILD)/fuzz/$$target.log" 2>&1 || \
		{ tail -40 "$(BUILD)/fuzz/$$target.log"; exit 1; }; \
	done
	@PQPOOL_FUZZ_SECONDS='$(FUZZ_SECONDS)' $(RUNNER) tests/fuzz/test_statements.py tests/fuzz/test_connects.py

check-clang:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 CC=clang BUILD='$(BUILD)/clang' all units
	@$(REMAKE) -s BUILD='$(BUILD)/clang' programs
	@PQPOOL_BUILD='$(BUILD)/clang' $(PYTHON) tests/run.py $(if $(K),-k '$(K)') \
		$(if $(T),$(T),$(CLANG_TESTS))

# What a test says of the output of a program fails here where gcov cannot write what it counted:
# the table is what counts.
# The shim reports after gcov has written what it counted: tests/coverage_end.c has it write
# once more.
COVERAGE_FLAGS := -O0 -g --coverage -fprofile-update=atomic

coverage:
	@BUILD='$(BUILD)' tests/setup.sh check
	@mkdir -p '$(BUILD)/coverage'
	@$(CC) $(CPPFLAGS) -fPIC -c -o '$(BUILD)/coverage/end.o' tests/coverage_end.c
	@$(REMAKE) -s BUILD='$(BUILD)/coverage' LTO_FLAGS= CFLAGS='$(COVERAGE_FLAGS)' \
		LDFLAGS='$(BUILD)/coverage/end.o -Wl,--wrap=lease_leaks,--wrap=status_remove' \
		'$(BUILD)/coverage/libpqpool.so'
	@$(REMAKE) -s BUILD='$(BUILD)/coverage' LTO_FLAGS= CFLAGS='$(COVERAGE_FLAGS)' all units programs
	-@GCOV_ERROR_FILE=/dev/null PQPOOL_BUILD='$(BUILD)/coverage' $(PYTHON) tests/run.py \
		$(if $(T),$(T),tests/unit tests/integration)
	@$(PYTHON) tests/coverage.py '$(BUILD)/coverage'

check-matrix:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all programs '$(BUILD)/tests/shim/judge'
	@PQPOOL_BUILD='$(BUILD)' $(PYTHON) tests/matrix.py $(CELLS)

check-package:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all
	@$(RUNNER) $(if $(K),-k '$(K)') tests/package

check-debian:
	@PQPOOL_BUILD='$(BUILD)' tests/debian.sh --make $(or $(TARGETS),check) K='$(K)' T='$(T)'

lint:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) WERROR=1 all
	@$(RUNNER) $(if $(K),-k '$(K)') tests/lint

format: CLANG_FORMAT = $(or $(shell command -v clang-format-14),clang-format)
format:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(CLANG_FORMAT) --version | grep -q 'version 14\.' || \
		{ echo 'make format needs clang-format 14: others format a little differently'; exit 1; }
	$(CLANG_FORMAT) -i $(wildcard shim/*/*.[ch] shim/*/*/*.[ch] tools/*.[ch] tools/*/*.[ch] tools/*/*/*.[ch] tests/*/*.[ch] \
		tests/clients/programs/*.c tests/clients/programs/*.cpp)

demo:
	@tests/setup.sh demo
	@$(REMAKE) -s '$(BUILD)/libpqpool.so' '$(BUILD)/tests/programs/leaky'
	@PQPOOL_BUILD='$(BUILD)' $(PYTHON) tests/demo.py

# --- benchmarks ------------------------------------------------------------------

BENCH_PROGRAMS := $(addprefix $(BUILD)/tests/bench/,cycles growth calls handover once floor.so empty.so hikari/Hikari.class)

$(BUILD)/tests/bench/%.so: tests/bench/programs/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -Wall -I$(PGINCLUDE) -shared -fPIC -o $@ $< -ldl

$(BUILD)/tests/bench/hikari/%.class: tests/bench/programs/%.java
	@mkdir -p $(@D)
	javac -cp /usr/share/java/HikariCP.jar -d $(@D) $<

$(BUILD)/tests/bench/%: tests/bench/programs/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -Wall -I$(PGINCLUDE) -o $@ $< -lpq -lpthread

# The whole shim linked in, with its own checks and counts on.
$(BUILD)/tests/bench/contention: tests/bench/programs/contention.c $(SHIM_SOURCES:%.c=$(BUILD)/debug/%.o)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DPQPOOL_DEBUG $(CFLAGS) -Wall -no-pie -rdynamic -o $@ $^ -lpq -lpthread -ldl

bench-programs: $(BENCH_PROGRAMS) $(BUILD)/tests/bench/contention

bench:
	@tests/setup.sh bench
	@$(REMAKE) -s all bench-programs
	@PQPOOL_BUILD='$(BUILD)' T='$(T)' ROUNDS='$(ROUNDS)' AGAINST='$(AGAINST)' \
		$(PYTHON) tests/bench/bench.py

# --- variants -------------------------------------------------------------------

asan: export ASAN_OPTIONS  = exitcode=66:detect_stack_use_after_return=1:strict_string_checks=1
asan: export UBSAN_OPTIONS = print_stacktrace=1
asan: SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
tsan: export TSAN_OPTIONS  = exitcode=66:second_deadlock_stack=1:halt_on_error=0
tsan: SANITIZE = -fsanitize=thread

asan tsan:
	@tests/setup.sh sanitize
	@$(REMAKE) BUILD='$(BUILD)/$@' LTO_FLAGS= \
		CFLAGS='-O1 -g -fno-omit-frame-pointer $(SANITIZE)' units stresses
	@PQPOOL_SANITIZED=1 PQPOOL_BUILD='$(BUILD)/$@' $(PYTHON) tests/run.py \
		$(if $(K),-k '$(K)') tests/unit $(wildcard tests/stress)

inject:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) WERROR=1 all programs
	@PQPOOL_INJECT=full $(RUNNER) -s $(if $(K),-k '$(K)') tests/integration/test_injection.py

stress:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) WERROR=1 all programs
	@PQPOOL_STRESS=full $(RUNNER) -s tests/integration/test_share_faults.py tests/integration/test_replay.py \
		tests/integration/test_report_page.py tests/page/test_large.py

SOAK_SECONDS ?= 1800

soak:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all programs
	@SOAK_SECONDS='$(SOAK_SECONDS)' $(RUNNER) -s tests/soak

valgrind:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all programs
	@$(RUNNER) $(if $(K),-k '$(K)') tests/valgrind

recovery:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(REMAKE) -s WERROR=1 all programs
	@$(RUNNER) -q -s $(if $(K),-k '$(K)') tests/recovery

# The tests are shown to fail where the shim is broken; K='ping room' chooses.
mutate:
	@BUILD='$(BUILD)' tests/setup.sh check
	@$(PYTHON) tests/mutations.py '$(BUILD)' $(K)
