/*
 * decimal.c - reals as decimal text, and back, without the program's locale.
 *
 * The C library rounds right, which SQLite's own functions do not for very large and very small
 * numbers. Its locale "C" costs nothing to have.
 */
#include "decimal.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MIN = 15, DIGITS_MAX = 17, SAFE_BEHIND = 3 };

/* Behind the digits in front of an exponent. */
static void
add_point(char *text)
{
    char *at = text + strcspn(text, ".e");

    if (*at == '.')
        return;
    memmove(at + 2, at, strlen(at) + 1);
    memcpy(at, ".0", 2);
}

static void
print(double real, int digits_min, char out[TX_DECIMAL_BYTES])
{
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t before = uselocale(plain);

    if (isinf(real)) {
        (void)snprintf(out, TX_DECIMAL_BYTES, "%s9.0e+999", real < 0 ? "-" : "");
    } else {
        for (int digits = digits_min; digits <= DIGITS_MAX; digits++) {
            double back;

            (void)snprintf(out, TX_DECIMAL_BYTES, "%.*g", digits, real);
            back = strtod(out, NULL);
            if (!(back < real) && !(back > real))
                break;
        }
        add_point(out);
    }
    (void)uselocale(before);
    freelocale(plain);
}

void
tx_decimal_print(double real, char out[TX_DECIMAL_BYTES])
{
    print(real, DIGITS_MIN, out);
}

void
tx_decimal_print_safe(double real, char out[TX_DECIMAL_BYTES])
{
    size_t behind;

    print(real, DIGITS_MIN, out);
    behind = strspn(out + strcspn(out, "."), ".0123456789");
    if (strchr(out, 'e') != NULL || behind > SAFE_BEHIND + 1)
        print(real, DIGITS_MAX, out);
}

static const char *
skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

bool
tx_decimal_is_number(const char *text, bool *integral)
{
    const char *p = text + (*text == '-'), *digits = p;

    *integral = true;
    p = skip_digits(p);
    if (p == digits || (*digits == '0' && p != digits + 1))
        return false;
    if (*p == '.') {
        *integral = false;
        digits = p + 1;
        p = skip_digits(digits);
        if (p == digits)
            return false;
    }
    if (*p == 'e' || *p == 'E') {
        *integral = false;
        p++;
        digits = p + (*p == '+' || *p == '-');
        p = skip_digits(digits);
        if (p == digits)
            return false;
    }
    return *p == '\0';
}

bool
tx_decimal_read(const char *text, double *out)
{
    locale_t plain;
    bool integral;

    if (!tx_decimal_is_number(text, &integral))
        return false;
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *out = strtod_l(text, NULL, plain);
    freelocale(plain);
    return true;
}

bool
tx_decimal_integer(const char *text, long long *out)
{
    bool integral;

    if (!tx_decimal_is_number(text, &integral) || !integral)
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}
