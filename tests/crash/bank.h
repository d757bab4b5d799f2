/*
 * bank.h - the rows of a bank, the threads that work in it, and the memory that outlives them.
 *
 * Account n is the row "a<n>", a number. Writer w has a row "w<w>": how many transfers it has made,
 * what they have added to each account, and a tail of bytes that is a function of both. Transfer
 * number s of writer w changes two accounts, its writer's row, and the row "j<w><s modulo JOURNAL>"
 * in one transaction. So in every state of the store each account has what it began with and what
 * the writers' rows say, and the journal has the last JOURNAL numbers: a lost update, half a
 * transaction, and one that is missing between others cannot cancel out.
 */
#ifndef TXKV_TEST_BANK_H
#define TXKV_TEST_BANK_H

#include <stdatomic.h>

#include "teller.h"

enum {
    SLOTS_MAX = 16, /* processes at once */
    SLOT_WRITERS = 2,
    WRITERS = SLOTS_MAX * SLOT_WRITERS,
    ACCOUNTS = 12,
    JOURNAL = 64,
    BALANCE = 1000
};

struct bank {
    /* The parent's. */
    char dir[TEST_PATH_BYTES];
    uint64_t seed;
    uint32_t slots;
    atomic_bool stop;
    /* Of writer w: the number of its newest transfer that was handed to commit, and that was
     * acknowledged; and when that was. The next process in its slot goes on with them. */
    atomic_uint_fast64_t submitted[WRITERS], acked[WRITERS], acked_us[WRITERS];
    atomic_uint_fast64_t transfers, snapshots, conflicts, busy, checkpoints;
    /* What had been acknowledged when a process of the slot last began a backup. */
    uint64_t backup_acked[SLOTS_MAX][WRITERS];
    /* Of the slot's own table: steps of bank_side_step that were begun, and that returned. */
    atomic_uint_fast64_t side_begun[SLOTS_MAX], side_ended[SLOTS_MAX];
    atomic_uint_fast64_t backups, tables_made, tables_dropped;
};

extern struct bank *bank;

/* In a process of its own: make the accounts. */
void bank_make(void);

/* How many threads a process in the slot writes with; 0: it reads. */
uint32_t bank_slot_writers(uint32_t slot);

/* Work in a slot until bank->stop, or until the process is killed. */
void bank_work(uint32_t slot, uint64_t generation);

/* In a process of its own, when no other one has the store open: the store holds what the writers
 * were told. Settles what they have not been told. */
void bank_verify(struct rng *rng, bool close_well);

/* Every account in a copy of the store, and at least what `acked` says. */
void bank_check_copy(const char *dir, const uint64_t acked[WRITERS]);

/* ---- bank_side.c: what else goes on in a slot's process ---- */

/*
 * A backup to the slot's own target; the copy is checked, and removed. One that an earlier process
 * has finished before it was killed comes first.
 */
void bank_side_backup(uint32_t slot, struct teller *teller);
/* Check and remove what backups have left in the slot. */
void bank_side_check_backup(uint32_t slot);

/* In a process of the C API: make and fill the slot's own table, or drop it, in turn. */
void bank_side_step(uint32_t slot);
/* The table must be what the last step that returned has left, or the one that was killed. Settles
 * which. */
void bank_side_settle(uint32_t slot);

#endif /* TXKV_TEST_BANK_H */
