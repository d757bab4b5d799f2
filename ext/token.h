/*
 * token.h - SQL text as tokens, for the reader of column definitions. Pure; any thread.
 */
#ifndef TX_TOKEN_H
#define TX_TOKEN_H

#include <stdbool.h>

enum tx_token_kind {
    TX_TOKEN_END,
    TX_TOKEN_WORD,   /* a bare identifier or keyword */
    TX_TOKEN_QUOTED, /* "..", `..`, [..] or '..' */
    TX_TOKEN_NUMBER, /* with a sign or without */
    TX_TOKEN_SIGN,   /* any other character, and what is nothing in SQL: 12ab */
    TX_TOKEN_BROKEN  /* a quote or comment that does not end */
};

struct tx_token {
    enum tx_token_kind kind;
    const char *at;
    int bytes;
};

/* The token at `text`, behind white space and comments; the next one begins at at + bytes. */
struct tx_token tx_token_next(const char *text);

bool tx_token_is(const struct tx_token *token, const char *word); /* a bare word, in any case */
bool tx_token_is_sign(const struct tx_token *token, char sign);

/* The name that a word or a quoted token is, to be freed with sqlite3_free; NULL: no memory. */
char *tx_token_name(const struct tx_token *token);

#endif /* TX_TOKEN_H */
