/* Base64 (RFC 4648): the standard alphabet with padding (§4), and for URLs without (§5). */
#pragma once

#include "proto/bytes.h"

/* Into `out`, which has room for len / 4 * 3 bytes. The number of bytes, or -1: malformed. */
int64_t base64_decode(struct span text, uint8_t *out);

/* For URLs and without padding, into `out`, which has room for len / 4 * 3 + 2 bytes. The number of
 * bytes, or -1: malformed, or not as base64url_text() writes it (padding, blanks, bits behind the
 * last byte: RFC 4648 3.5), so that no bytes have two spellings. */
int64_t base64url_decode(struct span text, uint8_t *out);

/* NUL-terminated, to be freed. */
char *base64_text(struct span bytes);

/* For URLs and without padding; NUL-terminated, to be freed. */
char *base64url_text(struct span bytes);
