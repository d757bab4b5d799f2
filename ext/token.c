/*
 * token.c - SQL text as tokens, for the reader of column definitions.
 */
#include "token.h"

#include <string.h>

#include "sqlite.h"

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* As SQLite: letters, digits, _, $ and everything beyond ASCII. */
static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           is_digit(c) || (unsigned char)c >= 0x80;
}

/* Behind white space and comments; NULL when a comment does not end. */
static const char *
skip_space(const char *text)
{
    for (;;) {
        if (is_space(*text)) {
            text++;
        } else if (text[0] == '-' && text[1] == '-') {
            text += strcspn(text, "\n");
        } else if (text[0] == '/' && text[1] == '*') {
            text = strstr(text + 2, "*/");
            if (text == NULL)
                return NULL;
            text += 2;
        } else {
            return text;
        }
    }
}

/* The bytes of a quoted token, a doubled closing quote being part of it; 0 when it has no end. */
static int
quoted_bytes(const char *text, char end)
{
    int i = 1;

    for (; text[i] != '\0'; i++) {
        if (text[i] != end)
            continue;
        if (end == ']' || text[i + 1] != end)
            return i + 1;
        i++;
    }
    return 0;
}

static int
digits_bytes(const char *text)
{
    int i = 0;

    while (is_digit(text[i]))
        i++;
    return i;
}

/* The bytes of a number, with a sign; 0 when there is none. More of a word behind it, which makes
 * it none for SQLite, counts as its part: *good is false then. */
static int
number_bytes(const char *text, bool *good)
{
    int i = text[0] == '+' || text[0] == '-';

    if (!is_digit(text[i]) && !(text[i] == '.' && is_digit(text[i + 1])))
        return 0;
    if (text[i] == '0' && (text[i + 1] == 'x' || text[i + 1] == 'X') &&
        strspn(text + i + 2, "0123456789abcdefABCDEF") > 0) {
        i += 2 + (int)strspn(text + i + 2, "0123456789abcdefABCDEF");
    } else {
        i += digits_bytes(text + i);
        if (text[i] == '.')
            i += 1 + digits_bytes(text + i + 1);
        if (text[i] == 'e' || text[i] == 'E') {
            const int sign = text[i + 1] == '+' || text[i + 1] == '-';
            const int digits = digits_bytes(text + i + 1 + sign);

            i += digits > 0 ? 1 + sign + digits : 0;
        }
    }
    *good = !is_word(text[i]);
    while (is_word(text[i]))
        i++;
    return i;
}

struct tx_token
tx_token_next(const char *text)
{
    const char *at = skip_space(text);
    struct tx_token token = { TX_TOKEN_SIGN, at, 1 };
    bool good = true;

    if (at == NULL)
        return (struct tx_token){ TX_TOKEN_BROKEN, text, (int)strlen(text) };
    if (*at == '\0')
        return (struct tx_token){ TX_TOKEN_END, at, 0 };
    if (*at == '"' || *at == '\'' || *at == '`' || *at == '[') {
        token.bytes = quoted_bytes(at, *at == '[' ? ']' : *at);
        token.kind = token.bytes > 0 ? TX_TOKEN_QUOTED : TX_TOKEN_BROKEN;
        if (token.bytes == 0)
            token.bytes = (int)strlen(at);
    } else if ((token.bytes = number_bytes(at, &good)) > 0) {
        token.kind = good ? TX_TOKEN_NUMBER : TX_TOKEN_SIGN;
    } else if (is_word(*at) && *at != '$') { /* which begins a parameter */
        token.kind = TX_TOKEN_WORD;
        while (is_word(at[token.bytes]))
            token.bytes++;
    } else {
        token.bytes = 1;
    }
    return token;
}

bool
tx_token_is(const struct tx_token *token, const char *word)
{
    return token->kind == TX_TOKEN_WORD && token->bytes == (int)strlen(word) &&
           sqlite3_strnicmp(token->at, word, token->bytes) == 0;
}

bool
tx_token_is_sign(const struct tx_token *token, char sign)
{
    return token->kind == TX_TOKEN_SIGN && *token->at == sign;
}

char *
tx_token_name(const struct tx_token *token)
{
    char *name = sqlite3_malloc(token->bytes + 1);
    const char end = *token->at == '[' ? ']' : *token->at;
    int used = 0;

    if (name == NULL)
        return NULL;
    if (token->kind == TX_TOKEN_WORD) {
        memcpy(name, token->at, (size_t)token->bytes);
        used = token->bytes;
    } else {
        for (int i = 1; i < token->bytes - 1; i++) {
            name[used++] = token->at[i];
            if (token->at[i] == end)
                i++; /* the second of a doubled quote */
        }
    }
    name[used] = '\0';
    return name;
}
