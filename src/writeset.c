/*
 * writeset.c - a transaction's own writes: its pending log record, and an index over it.
 */
#include "writeset.h"

#include <string.h>

#include "hashidx.h"
#include "keysort.h"

enum {
    RECORD_BYTES_START = 4096,
    RECORD_BYTES_KEPT = 1 << 20,  /* a larger buffer is given back after the transaction */
    RECORD_BYTES_MORE = 64 << 20, /* at a time, at most, beyond what is needed */
    LET_GO_BYTES = 16 << 20,      /* after so many more of the record it is let go of */
    WRITES_START = 16,
    WRITES_KEPT = 1 << 14,
    SLOTS_KEPT = 1 << 16, /* a larger table is given back before a commit */
    SORT_FROM = 64        /* smaller sets are entered as they stand */
};

#define SLOT_FREE UINT32_MAX

void
tx_writeset_init(struct tx_writeset *set, const char *dir)
{
    memset(set, 0, sizeof *set);
    tx_room_init(&set->record, dir);
    set->record_used = TX_RECORD_HEADER_BYTES;
    tx_arena_init(&set->arena);
}

void
tx_writeset_free(struct tx_writeset *set)
{
    tx_room_free(&set->record);
    tx_array_free(set->writes, set->room * sizeof *set->writes);
    tx_array_free(set->slots, set->slot_count * sizeof *set->slots);
    tx_free(set->order);
    tx_arena_free(&set->arena);
    tx_writeset_init(set, set->record.dir);
}

void
tx_writeset_reset(struct tx_writeset *set)
{
    if (set->record.bytes > RECORD_BYTES_KEPT || set->record.fd >= 0 || set->room > WRITES_KEPT) {
        tx_writeset_free(set);
        return;
    }
    if (set->slots_used > 0)
        memset(set->slots, 0xff, set->slot_count * sizeof *set->slots);
    set->slots_used = 0;
    set->record_used = TX_RECORD_HEADER_BYTES;
    set->let_go_at = 0;
    set->count = 0;
    tx_free(set->order);
    set->order = NULL;
    if (set->list_made)
        tx_arena_reset(&set->arena);
    set->list_made = false;
}

/* ---- the hash table ---- */

/* The slot that holds the key, or the free one where it would go. */
static uint32_t
slot_of(const struct tx_writeset *set, const struct tx_key *key, uint64_t hash)
{
    const uint32_t mask = set->slot_count - 1, tag = (uint32_t)(hash >> 32);
    uint32_t at = (uint32_t)hash & mask;

    for (;; at = (at + 1) & mask) {
        const struct tx_write *write;
        struct tx_key other;

        if (set->slots[at].index == SLOT_FREE)
            return at;
        if (set->slots[at].tag != tag)
            continue;
        write = &set->writes[set->slots[at].index];
        if (write->hash != hash)
            continue;
        other = tx_write_key(set, write);
        if (other.table == key->table && other.bytes == key->bytes &&
            memcmp(other.data, key->data, key->bytes) == 0)
            return at;
    }
}

/* A table of that many slots for the writes that are there. */
static bool
make_slots(struct tx_writeset *set, uint32_t count)
{
    struct tx_write_slot *slots = tx_array_alloc(count * sizeof *slots);

    if (slots == NULL)
        return false;
    memset(slots, 0xff, count * sizeof *slots);
    set->slots_used = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const uint64_t hash = set->writes[i].hash;
        uint32_t at = (uint32_t)hash & (count - 1);

        if (set->writes[i].superseded)
            continue;
        while (slots[at].index != SLOT_FREE)
            at = (at + 1) & (count - 1);
        slots[at] = (struct tx_write_slot){ i, (uint32_t)(hash >> 32) };
        set->slots_used++;
    }
    tx_array_free(set->slots, set->slot_count * sizeof *set->slots);
    set->slots = slots;
    set->slot_count = count;
    return true;
}

/* Room for one key more. */
static bool
grow_slots(struct tx_writeset *set)
{
    uint64_t count = tx_max_u64(set->slot_count, WRITES_START);

    /* Without a table as large a one as there may be live writes. */
    do
        count *= 2;
    while (set->slots == NULL && count < 2 * ((uint64_t)set->count + 1) && count < 1u << 31);
    return make_slots(set, (uint32_t)count);
}

/* Without a table, and without memory for one. */
static const struct tx_write *
look_for(const struct tx_writeset *set, const struct tx_key *key, uint64_t hash)
{
    for (uint32_t i = set->count; i-- > 0;) {
        struct tx_key other;

        if (set->writes[i].hash != hash)
            continue;
        other = tx_write_key(set, &set->writes[i]);
        if (tx_key_compare(&other, key) == 0)
            return &set->writes[i];
    }
    return NULL;
}

const struct tx_write *
tx_writeset_find(struct tx_writeset *set, const struct tx_key *key, uint64_t hash)
{
    uint32_t at;

    if (set->count == 0)
        return NULL;
    if (set->slots == NULL && !grow_slots(set))
        return look_for(set, key, hash);
    at = slot_of(set, key, hash);
    return set->slots[at].index == SLOT_FREE ? NULL : &set->writes[set->slots[at].index];
}

/* Empty slot `hole`, moving up what linear probing would no longer find behind it. */
static void
remove_slot(struct tx_writeset *set, uint32_t hole)
{
    const uint32_t mask = set->slot_count - 1;
    uint32_t at = hole;

    for (;;) {
        uint32_t home;

        at = (at + 1) & mask;
        if (set->slots[at].index == SLOT_FREE)
            break;
        home = (uint32_t)set->writes[set->slots[at].index].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            set->slots[hole] = set->slots[at];
            hole = at;
        }
    }
    set->slots[hole].index = SLOT_FREE;
    set->slots_used--;
}

static void
leave_slot(struct tx_writeset *set, uint32_t index)
{
    const struct tx_write *write = &set->writes[index];
    const struct tx_key key = tx_write_key(set, write);
    const uint32_t slot = slot_of(set, &key, write->hash);

    assert(set->slots[slot].index == index);
    if (write->older == TX_WRITE_NONE)
        remove_slot(set, slot);
    else
        set->slots[slot].index = write->older;
}

/* ---- the list ---- */

static bool
enter_in_list(struct tx_writeset *set, uint32_t index)
{
    const struct tx_write *write = &set->writes[index];
    const struct tx_version version = { .tag = index };
    struct tx_key key = tx_write_key(set, write);
    struct tx_version *later;
    struct tx_node *node;
    uint8_t *copy;
    bool made;

    node = write->older == TX_WRITE_NONE ? NULL : tx_skiplist_find(&set->list, &key);
    if (node == NULL) {
        /* The record moves as it grows; the list's keys must not. */
        copy = tx_arena_alloc(&set->arena, key.bytes);
        if (copy == NULL)
            return false;
        memcpy(copy, key.data, key.bytes);
        key.data = copy;
        node = tx_skiplist_insert(&set->list, &key, &version, &made);
        if (node == NULL || made)
            return node != NULL;
    }
    later = tx_arena_alloc(&set->arena, sizeof *later);
    if (later == NULL)
        return false;
    *later = version;
    tx_node_push(node, later);
    return true;
}

static void
leave_list(struct tx_writeset *set, uint32_t index)
{
    const struct tx_key key = tx_write_key(set, &set->writes[index]);
    struct tx_node *node = tx_skiplist_find(&set->list, &key);

    if (node != NULL && node->newest != NULL && node->newest->tag == index)
        tx_store_release_ptr((void **)&node->newest, node->newest->older);
}

const struct tx_skiplist *
tx_writeset_list(struct tx_writeset *set)
{
    if (set->list_made)
        return &set->list;
    if (tx_skiplist_init(&set->list, &set->arena, set->count) != TXKV_OK)
        goto fail;
    for (uint32_t i = 0; i < set->count; i++)
        if (!enter_in_list(set, i))
            goto fail;
    set->list_made = true;
    return &set->list;

fail:
    tx_arena_free(&set->arena);
    tx_arena_init(&set->arena);
    return NULL;
}

/* ---- adding and undoing ---- */

static enum txkv_rc
make_room(struct tx_writeset *set, uint64_t op_bytes, struct txkv_error *err)
{
    const uint64_t need = set->record_used + op_bytes + 8; /* 8: the padding at the end */

    if (need > TX_RECORD_BYTES_MAX)
        return tx_fail(err, TXKV_TOOBIG,
                       "the transaction is larger than 4 GiB; commit it in several parts");
    if (need > set->record.bytes) {
        uint64_t room = tx_max_u64(set->record.bytes, RECORD_BYTES_START);
        enum txkv_rc rc;

        while (room < need)
            room += tx_min_u64(room / 2, RECORD_BYTES_MORE);
        rc = tx_room_grow(&set->record, tx_min_u64(room, TX_RECORD_BYTES_MAX), set->record_used,
                          err);
        if (rc != TXKV_OK)
            return rc;
    }
    if (set->count == set->room) {
        const uint32_t room = set->room == 0 ? WRITES_START : set->room + set->room / 2;
        struct tx_write *writes =
            tx_array_resize(set->writes, set->room * sizeof *writes, room * sizeof *writes);

        if (writes == NULL)
            return tx_fail_nomem(err);
        set->writes = writes;
        set->room = room;
    }
    if ((set->slots == NULL || (set->slots_used + 1) * 2 > set->slot_count) && !grow_slots(set))
        return tx_fail_nomem(err);
    return TXKV_OK;
}

enum txkv_rc
tx_writeset_add(struct tx_writeset *set, enum tx_op_kind kind, const struct tx_key *key,
                uint32_t value_bytes, uint8_t **value, struct txkv_error *err)
{
    const struct tx_writeset_mark before = tx_writeset_mark(set);
    const uint64_t hash = tx_key_hash(key);
    uint8_t *key_at, *value_at, *end;
    enum txkv_rc rc;
    uint32_t slot, older;

    *value = NULL;
    rc = make_room(set, tx_op_bytes_max(key->bytes, value_bytes), err);
    if (rc != TXKV_OK)
        return rc;
    end = tx_op_encode(set->record.at + set->record_used, kind, key->table, key->data, key->bytes,
                       value_bytes, &key_at, &value_at);
    slot = slot_of(set, key, hash);
    older = set->slots[slot].index;
    if (older == SLOT_FREE)
        set->slots_used++;
    else
        set->writes[older].superseded = true;
    set->writes[set->count] = (struct tx_write){ .hash = hash,
                                                 .op_at = set->record_used,
                                                 .older = older & TX_WRITE_NONE };
    set->slots[slot] = (struct tx_write_slot){ set->count++, (uint32_t)(hash >> 32) };
    set->record_used = (uint32_t)(end - set->record.at);
    if (set->list_made && !enter_in_list(set, set->count - 1)) {
        tx_writeset_undo(set, before);
        return tx_fail_nomem(err);
    }
    *value = value_at;
    if (set->record_used - set->let_go_at >= LET_GO_BYTES) {
        set->let_go_at = set->record_used;
        tx_writeset_let_go(set);
    }
    return TXKV_OK;
}

struct tx_writeset_mark
tx_writeset_mark(const struct tx_writeset *set)
{
    return (struct tx_writeset_mark){ set->record_used, set->count };
}

void
tx_writeset_undo(struct tx_writeset *set, struct tx_writeset_mark mark)
{
    assert(mark.count <= set->count && mark.record_used <= set->record_used);
    while (set->count > mark.count) {
        const uint32_t index = set->count - 1;
        const struct tx_write *write = &set->writes[index];

        if (set->list_made)
            leave_list(set, index);
        if (set->slots != NULL)
            leave_slot(set, index);
        if (write->older != TX_WRITE_NONE)
            set->writes[write->older].superseded = false;
        set->count--;
    }
    set->record_used = mark.record_used;
    set->let_go_at = (uint32_t)tx_min_u64(set->let_go_at, mark.record_used);
}

/* ---- the order of a large set ---- */

static bool
in_order(const struct tx_writeset *set)
{
    for (uint32_t i = 1; i < set->count; i++) {
        const struct tx_key a = tx_write_key(set, &set->writes[i - 1]);
        const struct tx_key b = tx_write_key(set, &set->writes[i]);

        if (tx_key_compare(&a, &b) > 0)
            return false;
    }
    return true;
}

static struct tx_key
key_of(const void *arg, uint32_t index)
{
    const struct tx_writeset *set = arg;

    return tx_write_key(set, &set->writes[index]);
}

static void
drop_slots(struct tx_writeset *set)
{
    tx_array_free(set->slots, set->slot_count * sizeof *set->slots);
    set->slots = NULL;
    set->slot_count = set->slots_used = 0;
}

void
tx_writeset_prepare(struct tx_writeset *set)
{
    struct tx_sort_item *items;
    uint32_t count = 0;

    tx_free(set->order);
    set->order = NULL;
    if (set->count >= TX_WRITES_MANY) {
        if (set->slot_count > SLOTS_KEPT)
            drop_slots(set);
        return;
    }
    if (set->count < SORT_FROM || in_order(set))
        return;
    items = tx_malloc(set->count * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        if (!set->writes[i].superseded)
            items[count++].index = i;
    tx_keysort(items, count, key_of, set);
    set->order = tx_malloc(count * sizeof *set->order);
    if (set->order != NULL)
        for (uint32_t i = 0; i < count; i++)
            set->order[i] = items[i].index;
    set->order_count = count;
    tx_free(items);
}
