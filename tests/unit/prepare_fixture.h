/*
 * prepare_fixture.h - a store that is impatient, and a resolver that the test answers for.
 */
#ifndef PREPARE_FIXTURE_H
#define PREPARE_FIXTURE_H

#include "../../src/apply.h"
#include "child_fixture.h"

/* A shell command about one or two paths. */
static inline void
run(const char *command, const char *a, const char *b)
{
    char line[1024];

    (void)snprintf(line, sizeof line, "a='%s' b='%s'; %s", a, b, command);
    assert_int_equal(system(line), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

#define NO_NOTE ((struct txkv_bytes){ NULL, 0 })

/* ---- a resolver that the test answers for ---- */

static struct {
    enum txkv_decision answer;
    uint32_t asked;
    uint64_t store_id, lsn;
    char note[64];
} resolver;

static inline enum txkv_decision
resolve(void *arg, const char *path, uint64_t store_id, uint64_t lsn, struct txkv_bytes note)
{
    (void)path;
    assert(arg == &resolver);
    tx_store_release_32(&resolver.asked, resolver.asked + 1);
    resolver.store_id = store_id;
    resolver.lsn = lsn;
    (void)snprintf(resolver.note, sizeof resolver.note, "%.*s", (int)note.bytes,
                   (const char *)note.data);
    return resolver.answer;
}

/* Impatient, so that a test need not wait; and with the resolver. */
static inline struct txkv_options
options_of(uint32_t stall_timeout_ms)
{
    struct txkv_options options = small_store;

    options.stall_timeout_ms = stall_timeout_ms;
    options.resolve = resolve;
    options.resolve_arg = &resolver;
    return options;
}

static inline void
answer(enum txkv_decision decision)
{
    memset(&resolver, 0, sizeof resolver);
    resolver.answer = decision;
}

static inline void
open_with_stall(uint32_t ms)
{
    const struct txkv_options options = options_of(ms);

    reopen_with(&options);
}

static inline int
setup_impatient(void **state)
{
    (void)alarm(LIMIT_S);
    if (make_dir(state) != 0)
        return -1;
    answer(TXKV_UNDECIDED);
    open_with_stall(50);
    return 0;
}

#define IMPATIENT_TEST(name) cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)

static inline void
prepare(struct txkv_session *s, const char *note)
{
    const enum txkv_rc rc = txkv_prepare(s, text(note), &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
    assert_true(txkv_prepared_lsn(s) > 0);
}

/* begin, one write, prepare */
static inline void
prepare_write(struct txkv_session *s, const char *key, const char *value)
{
    begin(s);
    put(s, key, value);
    prepare(s, "note");
}

#endif /* PREPARE_FIXTURE_H */
