/*
 * expire_fixture.h - a store whose snapshots are ended after a fraction of the second that the
 * option allows.
 */
#ifndef EXPIRE_FIXTURE_H
#define EXPIRE_FIXTURE_H

#include "../../src/expire.h"
#include "store_fixture.h"

enum { TIMEOUT_US = 30000, LONG_US = 2000000000 };

static inline void
set_timeout(uint64_t timeout_us)
{
    tx_store_relaxed_64(&db->core.limits.snapshot_timeout_us, timeout_us);
    tx_event_signal(&db->core.checkpointer_wake);
}

static inline int
setup_timed(void **state)
{
    if (setup(state) != 0)
        return -1;
    set_timeout(TIMEOUT_US);
    return 0;
}

#define TIMED_TEST(name) cmocka_unit_test_setup_teardown(name, setup_timed, teardown)

static inline void
sleep_us(uint64_t us)
{
    const uint64_t until = tx_os_now_us() + us;

    while (tx_os_now_us() < until)
        nap();
}

static inline void
wait_for(const char *name, double value)
{
    while (stat_of(name) != value)
        nap();
}

static inline void
assert_expired(enum txkv_rc rc)
{
    assert_int_equal(rc, TXKV_EXPIRED);
    assert_int_equal(err.rc, TXKV_EXPIRED);
}

static inline enum txkv_rc
try_get(struct txkv_session *s, const char *key)
{
    struct txkv_bytes value;

    return txkv_get(s, table, text(key), &value, &err);
}

/* s1 in a transaction that has read "a", which has since been written again. */
static inline void
begin_outdated(void)
{
    set(s2, "a", "1");
    begin(s1);
    assert_true(has(s1, "a", "1"));
    set(s2, "a", "2");
}

#endif /* EXPIRE_FIXTURE_H */
