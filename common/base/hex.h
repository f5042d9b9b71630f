/* Bytes in lower-case hexadecimal digits. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* `out` has room for 2 * count + 1, of which the last is the NUL. */
void hex_print(const uint8_t *bytes, size_t count, char *out);
