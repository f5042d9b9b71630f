/* Base58 in Bitcoin's alphabet, as Solana writes addresses, hashes, signatures and keys: a number
 * of big-endian bytes in base 58, each leading zero byte a '1'. Its time grows with the square of
 * the length, so both ways have a ceiling. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BASE58_BYTES_MAX = 64, /* a signature, or a key pair */
	BASE58_TEXT_ROOM = 89, /* of so many, with the NUL */
};

/* `count` bytes, BASE58_BYTES_MAX at most. */
void base58_print(const uint8_t *bytes, size_t count, char out[BASE58_TEXT_ROOM]);

/* False: it is not the text of exactly `count` bytes; `out` is undefined then. */
bool base58_read(const char *text, uint8_t *out, size_t count);
