# Makefile - build, test and check txkv. Everything made goes under build/, but txkv.so; `make help` lists targets.
#
# Variables: CC=gcc|clang  MODE=release|debug  SAN=address,undefined|thread  COV=1  T=name  V=1
ifeq ($(origin CC),default)
CC := gcc
endif
MODE ?= release
SAN  ?=
COV  ?=
comma := ,
VARIANT := $(notdir $(CC))-$(MODE)$(if $(SAN),-$(subst $(comma),+,$(SAN)))$(if $(COV),-cov)
OUT := build/$(VARIANT)
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
        -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align -Wpointer-arith \
        -Wformat=2 -Wundef -Wvla -Walloca -Wnull-dereference -Wimplicit-fallthrough -Wswitch-enum \
        -Wwrite-strings -Wredundant-decls -Wnested-externs -Wunused-macros -Wdate-time
WARN_gcc := -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init \
            -Wcast-align=strict -Wstack-usage=8192
WARN_clang := -Wcomma -Wassign-enum -Wconditional-uninitialized -Wunreachable-code -Wextra-semi
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -g -fPIC -fvisibility=hidden -pthread -Werror $(WARN) \
              $(WARN_$(notdir $(CC))) -MMD -MP
ALL_CFLAGS += $(if $(filter debug,$(MODE)),-O0,-O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
ifneq ($(SAN),)
ALL_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_CFLAGS += $(if $(findstring thread,$(SAN)),-DCK_USE_CC_BUILTINS=1)
endif
ALL_CFLAGS += $(if $(COV),--coverage) $(CFLAGS)
LIBS := -lck -llmdb -lxxhash

SRC := $(patsubst %.c,$(OUT)/%.o,$(wildcard src/*.c))
EXT := $(patsubst %.c,$(OUT)/%.o,$(wildcard ext/*.c))
TESTS := $(patsubst tests/unit/%.c,$(OUT)/%,$(wildcard tests/unit/test_*.c))
RUN := $(if $(findstring thread,$(SAN)),TSAN_OPTIONS="suppressions=tests/tsan.supp halt_on_error=1" setarch -R)

.DEFAULT_GOAL := all
.PHONY: all help unit clean
.SECONDARY:

all: txkv.so ## build the extension

txkv.so: $(OUT)/txkv.so
	$(Q)cp $< $@

$(OUT)/txkv.so: $(SRC) $(EXT)
	$(Q)$(CC) $(ALL_CFLAGS) -shared $^ -o $@ $(LIBS)

$(OUT)/libtxkv.a: $(SRC)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

# Unit tests of src/ link the store; those named test_ext_* link ext/ compiled against the SQLite library as well.
$(OUT)/ext-static/%.o: ext/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DSQLITE_CORE -c $< -o $@

EXT_STATIC := $(patsubst ext/%.c,$(OUT)/ext-static/%.o,$(wildcard ext/*.c))

$(OUT)/test_ext_%: $(OUT)/tests/unit/test_ext_%.o $(EXT_STATIC) $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ -lcmocka -lsqlite3 $(LIBS)

$(OUT)/test_%: $(OUT)/tests/unit/test_%.o $(OUT)/libtxkv.a
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ -lcmocka $(LIBS)

unit: $(TESTS) ## run the unit tests (T=name: only those)
	@rc=0; for t in $(if $(T),$(OUT)/$(T),$(TESTS)); do echo "== $$t"; $(RUN) $$t || rc=1; done; exit $$rc

clean: ## remove build/
	rm -rf build txkv.so

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
