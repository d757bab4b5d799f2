/*
 * sltfile.c - see sltfile.h.
 */
#include "sltfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

enum { WORDS_MAX = 5, WORD_BYTES = 64 };

bool
slt_open(struct slt_file *file, const char *name)
{
    FILE *from = fopen(name, "rb");
    size_t room = 1 << 16, used = 0, got = 1;

    *file = (struct slt_file){ .name = name, .line = 0 };
    if (from == NULL)
        return false;
    while (got > 0) {
        file->text = realloc(file->text, 2 * room);
        if (file->text == NULL)
            test_die("out of memory");
        room *= 2;
        got = fread(file->text + used, 1, room - used - 1, from);
        used += got;
    }
    (void)fclose(from);
    file->text[used] = '\0';
    file->rest = file->text;
    return strlen(file->text) == used; /* a zero byte would hide what follows it */
}

void
slt_close(struct slt_file *file)
{
    free(file->text);
    *file = (struct slt_file){ .name = file->name };
}

/* The next line, cut out of the text, or NULL at the end. */
static char *
next_line(struct slt_file *file)
{
    char *line = file->rest, *end;

    if (*line == '\0')
        return NULL;
    file->line++;
    end = strchr(line, '\n');
    file->rest = end == NULL ? line + strlen(line) : end + 1;
    if (end != NULL)
        *end = '\0';
    if (end != NULL && end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

/* Moves the lines up to an empty one, or to "----", together: "a\nb\n". */
static char *
take_lines(struct slt_file *file, bool until_dashes, bool *dashes)
{
    char *first = file->rest, *to = first, *line;

    *dashes = false;
    while (*file->rest != '\0') {
        size_t bytes;

        line = next_line(file);
        *dashes = until_dashes && strcmp(line, "----") == 0;
        if (*line == '\0' || *dashes)
            break;
        bytes = strlen(line);
        memmove(to, line, bytes);
        to += bytes;
        if (to < file->rest)
            *to++ = '\n';
    }
    *to = '\0';
    return first;
}

static int
split(const char *line, char words[WORDS_MAX][WORD_BYTES])
{
    memset(words, 0, WORDS_MAX * sizeof(words[0]));
    return sscanf(line, "%63s %63s %63s %63s %63s", words[0], words[1], words[2], words[3],
                  words[4]);
}

static int
complain(struct slt_file *file, const char *about)
{
    (void)snprintf(file->complaint, sizeof(file->complaint), "%.119s", about);
    return -1;
}

static int
read_query(struct slt_file *file, char words[WORDS_MAX][WORD_BYTES], struct slt_record *out)
{
    static const char *const sorts[] = { "nosort", "rowsort", "valuesort" };
    int sort = 0;
    bool dashes;

    (void)snprintf(out->types, sizeof(out->types), "%.63s", words[1]);
    if (out->types[0] == '\0' || strspn(out->types, "TIR") != strlen(out->types))
        return complain(file, "the types of a query are T, I and R");
    while (words[2][0] != '\0' && sort < 3 && strcmp(words[2], sorts[sort]) != 0)
        sort++;
    if (sort == 3)
        return complain(file, "a query is nosort, rowsort or valuesort");
    out->sort = (enum slt_sort)sort;
    (void)snprintf(out->label, sizeof(out->label), "%.39s", words[3]);
    out->kind = SLT_QUERY;
    out->sql = take_lines(file, true, &dashes);
    if (dashes)
        out->expected = take_lines(file, false, &dashes);
    return 1;
}

/* A line that begins a record: 1 with the record, 0 when it only prepares one, -1. */
static int
begin_record(struct slt_file *file, const char *line, struct slt_record *out)
{
    char words[WORDS_MAX][WORD_BYTES];
    const int count = split(line, words);
    bool dashes;

    out->line = file->line;
    if (strcmp(words[0], "statement") == 0) {
        if (strcmp(words[1], "ok") != 0 && strcmp(words[1], "error") != 0)
            return complain(file, "a statement is ok or error");
        out->kind = SLT_STATEMENT;
        out->fails = strcmp(words[1], "error") == 0;
        out->sql = take_lines(file, false, &dashes);
        return 1;
    }
    if (strcmp(words[0], "query") == 0)
        return read_query(file, words, out);
    if (strcmp(words[0], "halt") == 0) {
        out->kind = SLT_HALT;
        return 1;
    }
    if (strcmp(words[0], "skipif") == 0 || strcmp(words[0], "onlyif") == 0) {
        struct slt_condition *condition = &out->conditions[out->condition_count];

        if (count < 2 || out->condition_count == SLT_CONDITIONS_MAX)
            return complain(file, "skipif and onlyif take a name; 8 of them at most");
        condition->only = words[0][0] == 'o';
        (void)snprintf(condition->name, sizeof(condition->name), "%.19s", words[1]);
        out->condition_count++;
        return 0;
    }
    /* The threshold is for who writes results: a reader sees which of the two a result is. */
    if (strcmp(words[0], "hash-threshold") == 0)
        return 0;
    return complain(file, "no such record");
}

int
slt_read(struct slt_file *file, struct slt_record *out)
{
    const char *line;
    int rc;

    *out = (struct slt_record){ .line = file->line };
    while ((line = next_line(file)) != NULL) {
        if (*line == '\0' || *line == '#')
            continue;
        rc = begin_record(file, line, out);
        if (rc != 0)
            return rc;
    }
    return 0;
}

bool
slt_applies(const struct slt_record *record, const char *name, const char *other)
{
    for (int i = 0; i < record->condition_count; i++) {
        const struct slt_condition *condition = &record->conditions[i];
        const bool is_me =
            strcmp(condition->name, name) == 0 || strcmp(condition->name, other) == 0;

        if (condition->only != is_me)
            return false;
    }
    return true;
}
