/* Offsets, cursors and entity tags on the wire (Durable Streams, sections on offsets and caching).
 */
#pragma once

#include "common/store/state.h"

enum { OFFSET_TEXT_LEN = 33, OFFSET_ROOM = 40 };

enum offset_kind { OFFSET_BAD, OFFSET_START /* -1 */, OFFSET_NOW, OFFSET_AT };

struct offset {
	enum offset_kind kind;
	uint64_t lineage, position;
};

/* "-1", "now" or exactly 16 digits, '_', 16 digits. */
struct offset offset_parse(struct span text);

/* Position 0 is all zeros, whatever the stream. Returns a span over `out`. */
struct span offset_print(uint64_t lineage, uint64_t position, char out[OFFSET_ROOM]);

/* The present cursor interval, or one beyond what the client echoes. */
uint64_t cursor_next(uint64_t wall_ms, struct span echoed);

/* "id-from-to" with 'c' when closed; quoted. */
struct span etag_print(const struct stream *stream, uint64_t from, uint64_t to, bool closed,
                       char out[96]);

/* If-None-Match: lists, weak tags and '*' (RFC 9110 13.1.2). */
bool etag_matches(struct span if_none_match, struct span etag);

/* RFC 3339 date-time to Unix ms. False: malformed. */
bool timestamp_parse(struct span text, int64_t *unix_ms);
struct span timestamp_print(int64_t unix_ms, char out[40]);

/* Decimal digits only, at most `max`. */
bool number_parse(struct span text, uint64_t max, uint64_t *out);
