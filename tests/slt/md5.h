/*
 * md5.h - the hash that files of the sqllogictest format give long results by.
 */
#ifndef TXKV_TEST_MD5_H
#define TXKV_TEST_MD5_H

#include <stddef.h>

enum { MD5_HEX_BYTES = 33 };

/* 32 hexadecimal digits and a zero byte. */
void md5_hex(const void *data, size_t bytes, char out[MD5_HEX_BYTES]);

#endif /* TXKV_TEST_MD5_H */
