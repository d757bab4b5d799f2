/*
 * scene.h - what the sweep does with a store while something fails, and how it is judged.
 *
 * A scene is used in three steps: `prepare` makes the files, once; `run` works on a copy of them
 * while something fails; `check` looks at what is left when the cause is gone. Each run and its
 * check are in one child process, which is the only one that has the files open.
 *
 * The ledger knows what each numbered transaction was answered, and what must be there of it.
 * Verdicts: `wrong` (an error that is none of this cause, or does not say where; a state that
 * cannot be), `lost` (something acknowledged is not there), `leaked`. Each ends the child.
 *
 * Threads: the main one.
 */
#ifndef TXKV_TEST_SCENE_H
#define TXKV_TEST_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "../support/support.h"
#include "failing.h"

enum {
    SCENE_TRANSACTIONS = 20,
    SCENE_PARTS_MAX = 40,
    SCENE_KEY_BYTES_MAX = 4000,
    SCENE_VALUE_BYTES = 7000
};

/* Where the cause of an error is: which errors are answers to it. */
enum cause {
    CAUSE_NONE,
    CAUSE_FILE,
    CAUSE_SHORT,
    CAUSE_SPACE,
    CAUSE_MEMORY,
    CAUSE_HANDLES,
    CAUSE_THREAD
};

enum verdict { VERDICT_WELL, VERDICT_WRONG = 101, VERDICT_LOST, VERDICT_LEAKED, VERDICT_UNABLE };

/* What must be true of a transaction when the cause is gone. */
enum fate { ABSENT, PRESENT, EITHER };

struct scene {
    const char *name;
    const char *about;
    void (*prepare)(void); /* NULL: no files */
    void (*run)(void);
    void (*check)(void);
    uint32_t parts;     /* keys of a transaction; 0: 2 */
    uint32_t key_bytes; /* 0: short ones */
};

/* In memory that the parent shares; all zero when a child begins. */
struct scene_state {
    bool failed; /* something returned an error */
    enum fate fates[SCENE_TRANSACTIONS];
    uint64_t digest;      /* of the files that `prepare` has left */
    char text[700];       /* of a verdict */
    char failed_call[24]; /* the call on a file that was made to fail */
};

extern struct scene_state *scene_state;
extern const struct scene *scene;

/* The scene's own directory, the store in it, and another name in it. */
extern char scene_dir[TEST_PATH_BYTES];
extern char scene_store[TEST_PATH_BYTES];
void scene_path(char path[TEST_PATH_BYTES], const char *name);

/* The store's options, for all scenes: small segments, and no checkpoint by itself. */
extern const struct txkv_options scene_options;

/* ---- verdicts ---- */

/* What may be answered from now on; CAUSE_NONE: no error at all. */
void scene_cause(enum cause cause);
enum cause scene_cause_now(void);

__attribute__((format(printf, 2, 3), noreturn)) void scene_end(enum verdict verdict,
                                                               const char *format, ...);
#define wrong(...)  scene_end(VERDICT_WRONG, __VA_ARGS__)
#define lost(...)   scene_end(VERDICT_LOST, __VA_ARGS__)
#define leaked(...) scene_end(VERDICT_LEAKED, __VA_ARGS__)

/* True for TXKV_OK. Another code must be an answer to the cause, with a sentence that names a
 * path of the scene where a file is the cause. */
bool answered(enum txkv_rc rc, struct txkv_error *err, const char *what);
/* The same for a code that is no error here as well. */
bool answered_or(enum txkv_rc rc, enum txkv_rc also, struct txkv_error *err, const char *what);

/* What the process holds; scene_leaks ends it when it holds more than before. */
void scene_holds(void);
void scene_leaks(void);

/* Whether there is something of that name in the scene's own directory. */
bool scene_has(const char *name);
/* The names in the scene's directory that contain `part`, in the store's too. */
uint64_t scene_names(const char *part);
/* A number for all bytes of all files of the scene. */
uint64_t scene_digest(void);

/* ---- the ledger ---- */

/* An open store with its table and a session; used by one scene at a time. */
struct use {
    struct txkv *store;
    struct txkv_session *session;
    uint32_t table;
};

/* False, and nothing open, when it fails. `options` NULL: scene_options. */
bool use_open(struct use *use, const struct txkv_options *options);
void use_close(struct use *use);

/* The key number `part` of transaction i, and its value. */
struct txkv_bytes ledger_key(uint32_t i, uint32_t part, char key[SCENE_KEY_BYTES_MAX]);
struct txkv_bytes ledger_value(uint32_t i);
uint32_t ledger_parts(void);

/* Write transaction i (without the commit); rolls back and returns false when that fails. */
bool ledger_write(struct use *use, uint32_t i);
/* The same with the commit; its fate is noted. */
void ledger_commit(struct use *use, uint32_t i, enum txkv_sync sync);
/* Delete what it wrote. */
void ledger_erase(struct use *use, uint32_t i, enum txkv_sync sync);
/* What an answer means for transaction i, which then is there or not. */
void ledger_note(uint32_t i, enum txkv_rc rc, enum fate when_ok);
/* Each transaction is visible as it was answered. */
void ledger_visible(struct use *use);
/* Every row is one of the ledger's, in order, as far as the scan gets. */
void ledger_scan(struct use *use);

/* For `check`: the store opens, holds what the ledger says, and takes commits. */
void ledger_check(const char *dir, const struct txkv_options *options);
/* For `prepare`: a store with transactions from..to-1, closed, or, with `crash`, as a killed
 * process leaves it. */
void ledger_fill(uint32_t from, uint32_t to, bool crash);

/* All scenes; a NULL name ends them. */
extern const struct scene scenes_store[], scenes_care[], scenes_copies[], scenes_sql[];

#endif /* TXKV_TEST_SCENE_H */
