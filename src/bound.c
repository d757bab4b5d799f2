/*
 * bound.c - a bound of a cursor's range, copied.
 */
#include "bound.h"

#include <string.h>

/* Room for a long bound; NULL when out of memory. */
__attribute__((noinline)) static uint8_t *
long_room(struct tx_bound *bound, size_t bytes)
{
    uint8_t *data;

    if (bytes <= bound->room)
        return bound->data;
    data = tx_realloc(bound->data, bytes);
    if (data == NULL)
        return NULL;
    bound->data = data;
    bound->room = bytes;
    return data;
}

enum txkv_rc
tx_bound_copy_key(struct tx_bound *bound, struct txkv_bytes from, uint32_t table,
                  struct tx_key *key, struct txkv_error *err)
{
    uint8_t *to = bound->own;

    if (from.bytes == 0 || from.bytes > TXKV_KEY_BYTES_MAX)
        return tx_fail(err, TXKV_MISUSE, "a bound has 1 to %u bytes, not %zu", TXKV_KEY_BYTES_MAX,
                       from.bytes);
    if (from.bytes > sizeof bound->own && (to = long_room(bound, from.bytes)) == NULL)
        return tx_fail_nomem(err);
    memcpy(to, from.data, from.bytes);
    *key = (struct tx_key){ to, (uint32_t)from.bytes, table };
    return TXKV_OK;
}
