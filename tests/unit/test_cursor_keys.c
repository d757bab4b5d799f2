/*
 * test_cursor_keys.c - the merged scan where keys begin alike.
 */
#include "store_fixture.h"

/* Up to 20 bytes that others begin with as well: what is compared as two words, and what is not. */
static void
make_key(char key[32], int i)
{
    static const int begins[] = { 0, 7, 8, 15, 16, 20 };
    const int same = begins[i % 6];

    memset(key, 'k', (size_t)same);
    (void)snprintf(key + same, 32 - (size_t)same, "%c%.*s", "ajkz"[i / 6], i % 3, "xy");
}

static int
compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Random layers without own writes, where LMDB's rows are compared with the overlay's next one. */
static void
random_keys_of_all_lengths_scan_like_a_sorted_array(void **state)
{
    enum { KEYS = 24 };
    char keys[KEYS][32], expected[2][1024], value[8];
    bool there[KEYS] = { false };
    int values[KEYS] = { 0 };
    uint32_t random = 11;

    (void)state;
    for (int i = 0; i < KEYS; i++)
        make_key(keys[i], i);
    qsort(keys, KEYS, sizeof keys[0], compare_keys);
    for (int round = 0; round < 300; round++) {
        size_t used[2] = { 0, 0 };
        int k;

        random = random * 1103515245 + 12345;
        k = (int)((random >> 16) % KEYS);
        there[k] = random >> 29 != 0;
        values[k] = round;
        (void)snprintf(value, sizeof value, "%d", round);
        set(s1, keys[k], there[k] ? value : NULL);
        if ((random >> 8) % 16 == 0)
            checkpoint();
        for (int i = 0; i < KEYS; i++) {
            const int at[2] = { i, KEYS - 1 - i };

            for (int way = 0; way < 2; way++)
                if (there[at[way]])
                    used[way] += (size_t)snprintf(expected[way] + used[way], 1024 - used[way],
                                                  "%s=%d ", keys[at[way]], values[at[way]]);
        }
        expected[0][used[0]] = expected[1][used[1]] = '\0';
        expect_scan(s2, "(,)", expected[0]);
        expect_scan(s2, "<(,)", expected[1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(random_keys_of_all_lengths_scan_like_a_sorted_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
