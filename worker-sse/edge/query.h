/* What stands in queries and in lists of header fields (RFC 3986, RFC 9110 5.6.1, WHATWG URL).
 * Pure. */
#pragma once

#include "proto/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Value of a query parameter, raw (not percent-decoded). Returns how often it occurs; *value is the
 * first. */
unsigned query_find(struct span query, const char *name, struct span *value);

/* Takes each parameter of this name out of the query, in its place; the length that is left. */
size_t query_remove(uint8_t *query, size_t len, const char *name);

/* The next parameter of the query: its name and raw value; *query moves behind it. False: no more.
 */
bool query_next(struct span *query, struct span *name, struct span *value);

/* The next element of a header's comma-separated value, without the blanks around it (RFC
 * 9110 5.6.1); *list moves behind it. False: no more. */
bool list_next(struct span *list, struct span *element);
/* Its last element that is not empty: what the nearest proxy said. */
struct span list_last(struct span list);

/* Percent-decodes into out (at most in.len bytes); returns the length, SIZE_MAX when malformed. */
size_t percent_decode(struct span in, uint8_t *out);
/* The same for the value of a query parameter, where '+' is a blank (URLSearchParams, forms). */
size_t query_decode(struct span in, uint8_t *out);
