/*
 * way.c - right of way: a transaction that keeps losing gets through.
 */
#include "way.h"

#include "hashidx.h"
#include "os.h"

enum {
    WINDOW_US_MIN = 10000,
    WINDOW_US_MAX = 1000000,
    WINDOW_FACTOR = 4,
    LOOK_US = 200,      /* how often to look at a right that another process holds */
    LOCK_WAIT_US = 2000 /* it is held for a few steps; who has it longer is stopped */
};

void
tx_way_init(struct tx_way *way)
{
    tx_event_init(&way->freed);
}

static bool
lock(struct tx_shared *shared)
{
    return tx_shared_lock(shared, TX_LOCK_WAY, LOCK_WAIT_US, NULL, NULL) == TXKV_OK;
}

/* Under the lock. */
static bool
is_holder(const struct tx_shared *shared, const struct txkv_session *session)
{
    return shared->way_pid == tx_os_pid() && shared->way_session == (uintptr_t)session;
}

/* Under the lock. */
static void
add_key(struct tx_shared *shared, const struct txkv_session *session)
{
    const struct tx_key key = { session->conflict_key, session->conflict_key_bytes,
                                session->conflict_table };
    const uint64_t hash = tx_key_hash(&key);
    const uint64_t count = tx_min_u64(shared->way_count, TX_WAY_KEYS_MAX);

    for (uint64_t i = 0; i < count; i++)
        if (shared->way_hashes[i] == hash)
            return;
    if (count == TX_WAY_KEYS_MAX)
        return;
    shared->way_hashes[count] = hash;
    shared->way_count = count + 1;
}

void
tx_way_lose(struct txkv_session *session)
{
    struct tx_shared *shared = session->core->shared;
    const uint64_t now = tx_os_now_us();
    uint64_t window = WINDOW_US_MIN;

    if (session->losses < TX_WAY_LOSSES)
        session->losses++;
    if (session->losses < TX_WAY_LOSSES || session->conflict_key_bytes == 0 || !lock(shared))
        return;
    if (session->begun_us != 0)
        window = tx_max_u64(window, WINDOW_FACTOR * (now - session->begun_us));
    if (now >= shared->way_until_us) {
        shared->way_pid = tx_os_pid();
        shared->way_session = (uintptr_t)session;
        shared->way_count = 0;
        tx_count(&session->core->counters.rights_of_way, 1);
    }
    if (is_holder(shared, session)) {
        add_key(shared, session);
        tx_store_release_64(&shared->way_until_us, now + tx_min_u64(window, WINDOW_US_MAX));
    }
    tx_shared_unlock(shared, TX_LOCK_WAY);
}

/* Under the lock. */
static bool
is_in_the_way(const struct tx_shared *shared, const struct txkv_session *session)
{
    const struct tx_writeset *set = &session->current->writes;
    const uint64_t count = tx_min_u64(shared->way_count, TX_WAY_KEYS_MAX);

    for (uint32_t w = 0; w < set->count; w++)
        for (uint64_t i = 0; i < count; i++)
            if (set->writes[w].hash == shared->way_hashes[i])
                return true;
    return false;
}

void
tx_way_give(struct tx_way *way, const struct txkv_session *session)
{
    struct tx_shared *shared = session->core->shared;

    while (tx_load_acquire_64(&shared->way_until_us) != 0) {
        const uint32_t seen = tx_event_value(&way->freed);
        const uint64_t now = tx_os_now_us();
        uint64_t until = 0;

        if (!lock(shared))
            return;
        /* A right that lasts longer than one can be was written by a damaged process. */
        if (now >= shared->way_until_us || shared->way_until_us - now > WINDOW_US_MAX)
            tx_store_release_64(&shared->way_until_us, 0);
        else if (!is_holder(shared, session) && is_in_the_way(shared, session))
            until = shared->way_until_us;
        tx_shared_unlock(shared, TX_LOCK_WAY);
        if (now >= until)
            return;
        (void)tx_event_wait(&way->freed, seen, 0, tx_min_u64(until - now, LOOK_US));
    }
}

void
tx_way_end(struct tx_way *way, struct txkv_session *session)
{
    struct tx_shared *shared = session->core->shared;
    const bool may_hold = session->losses >= TX_WAY_LOSSES;

    session->losses = 0;
    if (!may_hold || !lock(shared))
        return;
    if (is_holder(shared, session))
        tx_store_release_64(&shared->way_until_us, 0);
    tx_shared_unlock(shared, TX_LOCK_WAY);
    tx_event_signal(&way->freed);
}
