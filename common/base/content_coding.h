/* Content codings that answers may have: names on the wire, in the order in which we prefer them.
 * zstd: RFC 8878; br: RFC 7932; gzip: RFC 1952. Pure. */
#pragma once

#include "proto/bytes.h"

#include <stdbool.h>

#define CONTENT_CODINGS(C) C(ZSTD, "zstd") C(BR, "br") C(GZIP, "gzip")

#define CODING_ENUM(NAME, text) CODING_##NAME,
enum content_coding { CONTENT_CODINGS(CODING_ENUM) CODING_COUNT, CODING_IDENTITY = CODING_COUNT };
#undef CODING_ENUM

/* "zstd"; of CODING_IDENTITY "identity". */
const char *content_coding_name(enum content_coding coding);
/* By its name, in any case; "x-gzip" is gzip. CODING_COUNT: none of these. */
enum content_coding content_coding_find(struct span name);
/* Of http.compression: names with commas, or "off". Bits 1 << CODING_...; false: something there is
 * no coding. */
bool content_coding_list(const char *list, unsigned *codings);
