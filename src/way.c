/*
 * way.c - right of way: a transaction that keeps losing gets through.
 */
#include "way.h"

#include <string.h>

#include "hashidx.h"
#include "os.h"

enum { WINDOW_US_MIN = 10000, WINDOW_US_MAX = 1000000, WINDOW_FACTOR = 4 };

void
tx_way_init(struct tx_way *way)
{
    memset(way, 0, sizeof *way);
    (void)pthread_mutex_init(&way->mutex, NULL);
    tx_event_init(&way->freed);
}

void
tx_way_destroy(struct tx_way *way)
{
    (void)pthread_mutex_destroy(&way->mutex);
}

/* Under the mutex. */
static void
add_key(struct tx_way *way, const struct txkv_session *session)
{
    const uint32_t bytes = session->conflict_key_bytes;

    for (uint32_t i = 0; i < way->count; i++)
        if (way->keys[i].table == session->conflict_table && way->keys[i].bytes == bytes &&
            memcmp(way->keys[i].data, session->conflict_key, bytes) == 0)
            return;
    if (way->count == TX_WAY_KEYS_MAX)
        return;
    way->keys[way->count].table = session->conflict_table;
    way->keys[way->count].bytes = bytes;
    memcpy(way->keys[way->count].data, session->conflict_key, bytes);
    way->count++;
}

void
tx_way_lose(struct tx_way *way, struct txkv_session *session)
{
    const uint64_t now = tx_os_now_us();
    uint64_t window = WINDOW_US_MIN;

    if (session->losses < TX_WAY_LOSSES)
        session->losses++;
    if (session->losses < TX_WAY_LOSSES || session->conflict_key_bytes == 0)
        return;
    if (session->begun_us != 0)
        window = tx_max_u64(window, WINDOW_FACTOR * (now - session->begun_us));
    (void)pthread_mutex_lock(&way->mutex);
    if (way->holder != session && (way->holder == NULL || now >= way->until_us)) {
        way->holder = session;
        way->count = 0;
        tx_store_release_32(&way->taken, 1);
        tx_count(&session->core->counters.rights_of_way, 1);
    }
    if (way->holder == session) {
        add_key(way, session);
        way->until_us = now + tx_min_u64(window, WINDOW_US_MAX);
    }
    (void)pthread_mutex_unlock(&way->mutex);
}

/* Under the mutex. */
static void
give_up(struct tx_way *way)
{
    way->holder = NULL;
    tx_store_release_32(&way->taken, 0);
}

/* Under the mutex. */
static bool
is_in_the_way(const struct tx_way *way, const struct txkv_session *session)
{
    for (uint32_t i = 0; i < way->count; i++) {
        const struct tx_key key = { way->keys[i].data, way->keys[i].bytes, way->keys[i].table };

        if (tx_writeset_find(&session->current->writes, &key, tx_key_hash(&key)) != NULL)
            return true;
    }
    return false;
}

void
tx_way_give(struct tx_way *way, const struct txkv_session *session)
{
    while (tx_load_acquire_32(&way->taken) != 0) {
        const uint32_t seen = tx_event_value(&way->freed);
        const uint64_t now = tx_os_now_us();
        uint64_t until = 0;

        (void)pthread_mutex_lock(&way->mutex);
        if (way->holder != NULL && now >= way->until_us)
            give_up(way);
        if (way->holder != NULL && way->holder != session && is_in_the_way(way, session))
            until = way->until_us;
        (void)pthread_mutex_unlock(&way->mutex);
        if (now >= until)
            return;
        (void)tx_event_wait(&way->freed, seen, 0, until - now);
    }
}

void
tx_way_end(struct tx_way *way, struct txkv_session *session)
{
    const bool may_hold = session->losses >= TX_WAY_LOSSES;

    session->losses = 0;
    if (!may_hold)
        return;
    (void)pthread_mutex_lock(&way->mutex);
    if (way->holder == session)
        give_up(way);
    (void)pthread_mutex_unlock(&way->mutex);
    tx_event_signal(&way->freed);
}
