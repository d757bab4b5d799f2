# bench.mk - how the benchmark is built: one program of several files, linked to SQLite but not to the store.
$(OUT)/tests/bench/bench: $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/bench/*.c))
	$(Q)$(CC) $(ALL_CFLAGS) $^ -o $@ -lsqlite3
