/* Standard base64 with padding (RFC 4648 §4). */
#pragma once

#include "proto/bytes.h"

/* Into `out`, which has room for len / 4 * 3 bytes. The number of bytes, or -1: malformed. */
int64_t base64_decode(struct span text, uint8_t *out);

/* NUL-terminated, to be freed. */
char *base64_text(struct span bytes);
