/*
 * fuzz_entry.c - what stands in LMDB under a key of full length (src/tree_long.h): any bytes are
 * refused, or are an entry that lies within them and is written in the same way again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/tree_long.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
    if (!holds)
        abort();
}

static void
check_row(const uint8_t *data, size_t size, const struct tx_tree_entry *entry)
{
    const uint32_t head_bytes = tx_tree_entry_bytes(entry->tail_bytes);
    uint8_t *head = malloc(head_bytes);

    check(head != NULL && entry->tail > data && entry->row == entry->tail + entry->tail_bytes);
    check(entry->row + entry->row_bytes == data + size);
    check(tx_tree_entry_encode(head, entry->tail, entry->tail_bytes) == head + head_bytes);
    /* A length may be written in more bytes than it needs. */
    check((size_t)(entry->row - data) > head_bytes || memcmp(head, data, head_bytes) == 0);
    free(head);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[TX_TREE_NODE_ENTRY_BYTES];
    const MDB_val value = tx_tree_val(data, size);
    struct tx_tree_entry entry;

    (void)tx_tree_node_number(&value, 1);
    if (!tx_tree_entry_decode(&value, &entry))
        return 0;
    if (entry.node == 0) {
        check_row(data, size, &entry);
    } else {
        tx_tree_entry_encode_node(bytes, entry.node);
        check(size == sizeof bytes && memcmp(data, bytes, size) == 0);
    }
    return 0;
}
