# Makefile - build, test and check txkv. Everything made goes under build/, but txkv.so; `make help` lists targets.
#
# Variables
#   CC=gcc|clang  MODE=release|debug  SAN=address,undefined|thread  COV=1  V=1 (print commands)
#   T=name (unit: one test; fuzz: targets)  FUZZ_SECONDS=60  CRASH_ROUNDS=200  SOAK_MINUTES=10  B="--help" (bench: its options)
#   SQLITE_DIR=prefix of another SQLite than the system's: its include/, lib/ and, if it is there, bin/sqlite3
#   PREFIX=/usr/local  LIBDIR=PREFIX/lib  DESTDIR=
ifeq ($(origin CC),default)
CC := gcc
endif
MODE ?= release
SAN  ?=
COV  ?=
SQLITE_DIR ?=
comma := ,
VARIANT := $(notdir $(CC))-$(MODE)$(if $(SAN),-$(subst $(comma),+,$(SAN)))$(if $(COV),-cov)$(if $(FUZZ),-fuzz)$(if $(SQLITE_DIR),-$(notdir $(abspath $(SQLITE_DIR))))
OUT := build/$(VARIANT)
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align -Wpointer-arith \
        -Wformat=2 -Wundef -Wvla -Walloca -Wnull-dereference -Wimplicit-fallthrough -Wswitch-enum \
        -Wwrite-strings -Wredundant-decls -Wnested-externs -Wunused-macros -Wdate-time
WARN_gcc := -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init \
            -Wcast-align=strict -Wstack-usage=$(if $(SAN),65536,8192)
WARN_clang := -Wcomma -Wassign-enum -Wconditional-uninitialized -Wunreachable-code -Wextra-semi
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden -pthread -Werror $(WARN) \
              $(WARN_$(notdir $(CC))) -MMD -MP
ALL_CFLAGS += $(if $(filter debug,$(MODE)),-O0,-O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
ifneq ($(SAN),)
ALL_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_CFLAGS += $(if $(findstring thread,$(SAN)),-DCK_USE_CC_BUILTINS=1)
endif
# Counters between the statements make gcc warn of what is not so; each file has its warnings in the other builds.
ALL_CFLAGS += $(if $(COV),--coverage -fprofile-update=atomic -w) $(if $(FUZZ),-fsanitize=fuzzer-no-link)
ALL_CFLAGS += $(SQLITE_DIR:%=-isystem %/include) $(CFLAGS)
# A row passes from src/ to ext/ in calls of a few instructions, which gcc's link-time optimization
# takes away from txkv.so. What else is linked from the objects takes the code in them, which is quick.
# It warns of what it sees in functions out of several files; each file alone has had its warnings.
LTO := $(if $(filter gcc-release,$(VARIANT)),-flto=auto)
NO_LTO := $(if $(LTO),-fno-lto)
LIBS := -lck -llmdb -lxxhash
HEADERS := ck_pr.h lmdb.h xxhash.h sqlite3ext.h
LDFLAGS := -Wl,--as-needed $(NO_LTO) $(if $(SQLITE_DIR),-L$(SQLITE_DIR)/lib -Wl$(comma)-rpath$(comma)$(abspath $(SQLITE_DIR))/lib) $(LDFLAGS)

SRC := $(patsubst %.c,$(OUT)/%.o,$(wildcard src/*.c))
EXT := $(patsubst %.c,$(OUT)/%.o,$(wildcard ext/*.c))
EXT_STATIC := $(patsubst ext/%.c,$(OUT)/ext-static/%.o,$(wildcard ext/*.c))
TESTS := $(patsubst tests/unit/%.c,$(OUT)/%,$(wildcard tests/unit/test_*.c))
# The other test programs stand in a directory that says of what kind they are. A file with a main is a
# program; those beside it without one are a library for it, tests/model.a.
KINDS := model slt stress history fault sweep crash power demo bench
SOURCES := $(wildcard $(KINDS:%=tests/%/*.c))
MAINS := $(if $(SOURCES),$(shell grep -lE '^main\>' $(SOURCES)))
PROGRAMS := $(MAINS:%.c=$(OUT)/%)
FUZZERS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_HELPERS := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c)))
DOC_PROGRAMS := $(patsubst %.c,$(OUT)/%,$(wildcard docs/*.c))
RUN := TXKV_SO=$(OUT)/txkv.so $(if $(findstring thread,$(SAN)),TSAN_OPTIONS="suppressions=tests/tsan.supp halt_on_error=1" setarch -R)

# What the benchmark compares with when it is there: rocksdb/c.h in -lrocksdb, and so on. `make PEERS=`
# builds without.
hash := \#
has_header = $(shell echo '$(hash)include <$(1)>' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
PEERS_KNOWN := rocksdb leveldb
PEERS := $(foreach p,$(PEERS_KNOWN),$(if $(call has_header,$(p)/c.h),$(p)))

# What Debian calls what `make check` and `make demo` need, and what the other targets need besides.
DEPS := gcc libc6-dev make sqlite3 libsqlite3-dev libck-dev liblmdb-dev lmdb-utils libxxhash-dev \
        libcmocka-dev libmd-dev unicode-data util-linux
DEPS_BENCH := $(DEPS) librocksdb-dev libleveldb-dev gnuplot-nox
DEPS_DEV := $(DEPS) clang clang-format clang-tidy cppcheck shellcheck libclang-rt-14-dev

JOBS := $(shell nproc 2>/dev/null || echo 2)
# A second make, so that what `make deps` has just installed is there when it looks for files. It
# builds in parallel unless the first one was told how to.
PARALLEL = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

.DEFAULT_GOAL := all
.PHONY: FORCE all help programs unit check asan tsan coverage measure suites lint fuzz fuzz-long fuzz-programs sweep crash soak bench \
        bench-full bench-large bench-soak bench-again bench-report demo deps deps-bench deps-dev install uninstall clean
.SECONDARY:

# The root's txkv.so is for the shell, which cannot load one that was built with a sanitizer.
all: $(if $(SAN)$(COV)$(FUZZ),$(OUT)/txkv.so,txkv.so) $(OUT)/libtxkv.a $(OUT)/libtxkv-sqlite.a ## build txkv.so, and the store as a library

# Whichever variant was built last, this is the one that was asked for.
txkv.so: $(OUT)/txkv.so FORCE
	$(Q)cmp -s $< $@ || { cp $< $@.new && mv $@.new $@; }

FORCE:

$(OUT)/txkv.so: $(SRC) $(EXT)
	$(Q)$(CC) $(ALL_CFLAGS) $(LTO:%=% -w) -shared -Wl,-soname,txkv.so $(if $(SAN),,-Wl,-z,defs) $^ -o $@ $(filter-out $(NO_LTO),$(LDFLAGS)) $(LIBS)

$(OUT)/libtxkv.a: $(SRC)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/libtxkv-sqlite.a: $(EXT_STATIC)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/%.o: %.c | $(OUT)/headers.ok
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(filter $(SRC) $(EXT),$@),$(LTO:%=% -ffat-lto-objects)) -c $< -o $@

# The extension compiled against the SQLite library, for programs that link both.
$(OUT)/ext-static/%.o: ext/%.c | $(OUT)/headers.ok
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DSQLITE_CORE -c $< -o $@

$(OUT)/headers.ok:
	@mkdir -p $(@D)
	@for h in $(HEADERS); do \
	    echo "#include <$$h>" | $(CC) -E -x c - >/dev/null 2>&1 || \
	    { echo "txkv: $(CC) cannot find <$$h>: run make deps" >&2; exit 1; }; \
	done
	@touch $@

# Unit tests of src/ link the store; those named test_ext_* link ext/ as well.
$(OUT)/test_ext_%: $(OUT)/tests/unit/test_ext_%.o $(OUT)/libtxkv-sqlite.a $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) -lcmocka -lsqlite3 $(LIBS)

$(OUT)/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) -lcmocka $(LIBS)

helpers = $(patsubst %.c,$(OUT)/%.o,$(filter-out $(MAINS),$(wildcard tests/$(1)/*.c)))
$(foreach k,$(KINDS) support,$(eval $(OUT)/tests/$(k).a: $(call helpers,$(k))))
$(OUT)/tests/%.a:
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(foreach m,$(MAINS),$(eval $(m:%.c=$(OUT)/%): $(m:%.c=$(OUT)/%.o) $(OUT)/$(patsubst %/,%,$(dir $(m))).a))
$(PROGRAMS): $(OUT)/tests/support.a $(OUT)/libtxkv-sqlite.a $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -o $@ $(LDFLAGS) -lcmocka -lsqlite3 $(LIBS) -lm -lmd

# Whoever installs or removes one of the libraries gets the benchmark built anew.
$(OUT)/peers: FORCE
	@mkdir -p $(@D)
	@echo '$(PEERS)' | cmp -s - $@ || echo '$(PEERS)' > $@
PEER_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/bench/kv_*.c))
$(PEER_OBJECTS): $(OUT)/peers
$(PEER_OBJECTS): ALL_CFLAGS += $(patsubst %,-DWITHOUT_%,$(filter-out $(PEERS),$(PEERS_KNOWN)))
$(OUT)/tests/bench/bench: LIBS += $(PEERS:%=-l%)

$(DOC_PROGRAMS): $(OUT)/%: $(OUT)/%.o $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDFLAGS) $(LIBS)

$(OUT)/tests/fuzz.a: $(FUZZ_HELPERS)
$(FUZZERS): $(OUT)/%: $(OUT)/%.o $(OUT)/tests/fuzz.a $(OUT)/tests/model.a $(OUT)/tests/support.a $(OUT)/libtxkv-sqlite.a $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $^ -o $@ $(LDFLAGS) -lsqlite3 $(LIBS)

programs: all $(TESTS) $(PROGRAMS) $(DOC_PROGRAMS)

unit: $(TESTS) ## run the unit tests (T=name: only that one)
	@rc=0; for t in $(if $(T),$(OUT)/$(T),$(TESTS)); do echo "== $$t"; $(RUN) $$t || rc=1; done; exit $$rc

# A suite is 'name|command'. Under a sanitizer the C programs run; the shell's own suites need no second
# run. ThreadSanitizer looks at threads only, where forked children tell it nothing new.
SAN_KINDS := model slt stress history $(if $(findstring thread,$(SAN)),,fault sweep crash power)
C_SUITES = $(foreach t,$(TESTS),'unit/$(notdir $(t))|$(RUN) $(t)') \
           $(foreach p,$(filter $(foreach k,$(SAN_KINDS),$(OUT)/tests/$(k)/%),$(PROGRAMS)), \
               '$(p:$(OUT)/tests/%=%)|$(RUN) $(p)')
SH_SUITES = $(foreach s,$(filter-out $(if $(COV),tests/install_test.sh),$(wildcard tests/*_test.sh tests/sql_conformance.sh)),'$(basename $(notdir $(s)))|$(if $(SQLITE_DIR),PATH=$(abspath $(SQLITE_DIR))/bin:$$PATH )OUT=$(OUT) sh $(s)') \
            $(if $(LIBFUZZER),'fuzz|$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=2')
LIBFUZZER := $(wildcard /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a)

suites: programs
	@tests/run_all.sh $(OUT)/logs $(C_SUITES) $(if $(SAN),,$(SH_SUITES))

check: deps ## build and run every test; ends with "N passed, N failed"
	@+$(PARALLEL) programs
	@$(MAKE) --no-print-directory suites

asan: ## the C tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@+$(PARALLEL) SAN=address,undefined programs
	@$(MAKE) --no-print-directory SAN=address,undefined suites

tsan: ## the C tests under ThreadSanitizer
	@+$(PARALLEL) SAN=thread programs
	@$(MAKE) --no-print-directory SAN=thread suites

# Without optimization, which would move lines and branches into each other. The fuzz targets are built by
# clang, and do not count; programs of others, which install_test builds, cannot link what gcov counts.
COVERAGE := COV=1 MODE=debug CC=gcc LIBFUZZER=

coverage: deps ## how much of src/ and ext/ the tests run, by file: lines and branches
	@+$(PARALLEL) txkv.so
	@+$(PARALLEL) $(COVERAGE) programs
	@$(MAKE) --no-print-directory $(COVERAGE) measure

measure:
	@find $(OUT) -name '*.gcda' -delete
	@rc=0; TXKV_SO=$(abspath $(OUT))/txkv.so SUITE_TIMEOUT_S=3000 $(MAKE) --no-print-directory suites || rc=1; \
	    tests/coverage.sh $(OUT) && exit $$rc

lint: ## layers, limits, clang-format, clang-tidy, cppcheck, gcc -fanalyzer, shellcheck
	@tests/lint/lint.sh

fuzz-programs: $(FUZZERS)

fuzz: ## run each fuzz target for FUZZ_SECONDS (60); T="NAME ...": only those
	@+$(PARALLEL) CC=clang SAN=address,undefined FUZZ=1 fuzz-programs
	@tests/fuzz.sh build/clang-release-address+undefined-fuzz $(or $(FUZZ_SECONDS),60) $(T)

sweep: ## every call, allocation and thread fails once, in every scene; limits; small file systems
	@+$(PARALLEL) $(OUT)/tests/sweep/sweep
	@$(RUN) $(OUT)/tests/sweep/sweep all

fuzz-long: ## run each fuzz target for an hour
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=3600

crash: ## the long kill -9 loops, "kills N, lost 0, wrong 0": CRASH_ROUNDS (200); power cuts: 500 times as many
	@+$(PARALLEL) txkv.so $(filter $(OUT)/tests/crash/% $(OUT)/tests/power/%,$(PROGRAMS))
	@tests/crash.sh $(OUT) $(or $(CRASH_ROUNDS),200)
	@$(RUN) $(OUT)/tests/power/power $$(($(or $(CRASH_ROUNDS),200) * 250))
	@$(RUN) $(OUT)/tests/power/power_processes $$(($(or $(CRASH_ROUNDS),200) * 250))
	@$(RUN) $(OUT)/tests/power/power_sql $$(($(or $(CRASH_ROUNDS),200) * 50))
	@$(RUN) $(OUT)/tests/power/power_copies $$(($(or $(CRASH_ROUNDS),200) * 25))
	@$(RUN) $(OUT)/tests/power/power_repairs $$(($(or $(CRASH_ROUNDS),200) * 20))

soak: ## kill -9, random operations, threads and processes for SOAK_MINUTES (10), with totals
	@+$(PARALLEL) programs
	@tests/soak.sh $(OUT) $(or $(SOAK_MINUTES),10)

bench: deps-bench ## compare with a native table in WAL mode and others, in 11 minutes (B="--help": options)
	@+$(PARALLEL) txkv.so $(OUT)/tests/bench/bench
	@OUT=$(OUT) tests/bench/run.sh $(B)

bench-full: ## everything that the benchmark has, in an hour
	@$(MAKE) --no-print-directory bench B="--full $(B)"

bench-large: ## 100,000,000 rows beside 1,000,000: half an hour, and 30 GB of disk
	@BENCH_DIR=$(or $(BENCH_DIR),build/bench)/large $(MAKE) --no-print-directory bench \
	    B="--only growth-point-1000000,growth-upsert-1000000,growth-commits-1000000,100000000 $(B)"

bench-soak: ## mixed work for SOAK_MINUTES (10) on each of both engines, second by second
	@BENCH_DIR=$(or $(BENCH_DIR),build/bench)/soak $(MAKE) --no-print-directory bench \
	    B="--only timeline --runs 1 --seconds $$(($(or $(SOAK_MINUTES),10) * 60)) $(B)"

bench-again: ## works once more, whose runs then stand in the report for the earlier ones (B="--runs 9 --only NAME")
	@BENCH_DIR=$(or $(BENCH_DIR),build/bench)/again $(MAKE) --no-print-directory bench

bench-report: deps-bench ## write docs/benchmarks.md and its pictures from the last runs of the benchmark
	@tests/bench/report.sh $(or $(BENCH_DIR),build/bench)

demo: deps ## real data through the whole path, killed and recovered on the way
	@+$(PARALLEL) all $(OUT)/tests/demo/writers
	@tests/demo/demo.sh $(OUT)

deps: ## install the Debian packages that are missing (apt-get, as root or through sudo)
	@tests/deps.sh $(DEPS)

deps-bench: ## the same, with the libraries that the benchmark compares with
	@tests/deps.sh $(DEPS_BENCH)

deps-dev: ## the same, with the tools of lint and fuzz
	@tests/deps.sh $(DEPS_DEV)

# The extension takes the name that Debian gives SQLite's modules. Its soname is txkv.so, and so the
# dynamic linker finds it by that name in every directory it knows: `.load txkv` works.
VERSION := $(shell sed -n 's/^\#define TXKV_VERSION *"\(.*\)"/\1/p' src/txkv.h)
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
INSTALLED = $(LIBDIR)/libsqlite3_mod_txkv.so $(LIBDIR)/txkv.so $(LIBDIR)/libtxkv.a $(LIBDIR)/libtxkv-sqlite.a \
            $(LIBDIR)/pkgconfig/txkv.pc $(INCLUDEDIR)/txkv.h $(MANDIR)/man3/txkv.3

install: all ## install below PREFIX (/usr/local), staged in DESTDIR
	$(Q)install -d $(addprefix $(DESTDIR),$(LIBDIR)/pkgconfig $(INCLUDEDIR) $(MANDIR)/man3)
	$(Q)install -m 755 txkv.so $(DESTDIR)$(LIBDIR)/libsqlite3_mod_txkv.so
	$(Q)ln -sf libsqlite3_mod_txkv.so $(DESTDIR)$(LIBDIR)/txkv.so
	$(Q)install -m 644 $(OUT)/libtxkv.a $(OUT)/libtxkv-sqlite.a $(DESTDIR)$(LIBDIR)
	$(Q)install -m 644 src/txkv.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)install -m 644 docs/txkv.3 $(DESTDIR)$(MANDIR)/man3
	$(Q)sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@includedir@|$(INCLUDEDIR)|' \
	    -e 's|@version@|$(VERSION)|' src/txkv.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/txkv.pc
	$(Q)chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/txkv.pc
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true
	@echo "installed; in the sqlite3 shell: .load txkv (or .load $(LIBDIR)/txkv where the linker does not look)"

uninstall: ## remove what install put there
	$(Q)rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

clean: ## remove build/ and txkv.so
	rm -rf build txkv.so

help: ## list the targets
	@echo "make deps installs what is missing; make demo shows it; make check proves it."
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
