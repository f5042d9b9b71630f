/* Names of streams as they stand in URLs. Two that differ only in percent-encoding are one name
 * (RFC 3986 6.2.2), and it has one canonical form: unreserved characters, sub-delimiters, ':', '@'
 * and '/' stand as they are, every other byte as %XX in upper case, a '%' that begins no escape as
 * %25. An escaped '/' stays one: it parts no segments. Pure.
 *
 * Releases before this rule stored a stream under the spelling of the request that made it: those
 * are found by the spelling that they are asked for by, and by those that clients use
 * (stream_name_spelling()). */
#pragma once

#include "proto/bytes.h"

enum {
	STREAM_NAME_STORED_MAX = 480,           /* the most that limits.path_bytes may say */
	STREAM_NAME_MAX = 1500,                 /* longer ones are nobody's */
	STREAM_NAME_ROOM = 3 * STREAM_NAME_MAX, /* for any spelling of one */
};

bool stream_name_is_canonical(struct span name);
/* `out` has room for 3 * name.len. Returns the length. */
size_t stream_name_canonical(struct span name, uint8_t *out);
/* The same as a text without a NUL inside; false: out_len, its NUL counted, is not enough. */
bool stream_name_text(struct span name, char *out, size_t out_len);
bool stream_name_equal(struct span a, struct span b);

/* The n-th way to spell the name: 0 as given, 1 canonical, then those of browsers, curl,
 * encodeURIComponent, ... Points into `out` or to `name`. False: there are no more; of a name that
 * has but one spelling n = 0 is all. One may come twice. */
bool stream_name_spelling(unsigned n, struct span name, uint8_t out[STREAM_NAME_ROOM],
                          struct span *spelling);
