/*
 * utf8.c - is a text UTF-8?
 */
#include "utf8.h"

/* How many bytes a character begins that has this first one, and what the second may be; 0: none.
 */
static size_t
look_at_first(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    if (first == 0xe0)
        *low = 0xa0;
    if (first == 0xed)
        *high = 0x9f; /* surrogates stand behind it */
    if (first == 0xf0)
        *low = 0x90;
    if (first == 0xf4)
        *high = 0x8f;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

bool
tx_utf8_is_valid(const uint8_t *text, size_t bytes)
{
    size_t i = 0;

    while (i < bytes) {
        uint8_t low, high;
        const size_t length = look_at_first(text[i], &low, &high);

        if (length == 0 || length > bytes - i)
            return false;
        for (size_t k = 1; k < length; k++) {
            if (text[i + k] < low || text[i + k] > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
        i += length;
    }
    return true;
}

size_t
tx_utf8_put(uint32_t point, uint8_t *out)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}
