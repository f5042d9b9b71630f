/* The id of an event in the EventSource view: where a reader stands in each of its streams, so that
 * one Last-Event-ID resumes them all, on any worker, without gap or repeat.
 *
 *     [NEWEST-]STREAM.POSITION[-STREAM.POSITION ...]      numbers in base 36
 *
 * NEWEST is the highest stream number looked at when the patterns of the request were matched: a
 * stream above it is new to the reader, one below it that is not listed is finished for it.
 * Without it, it is the highest number listed. For clients the text is opaque. */
#pragma once

#include "proto/bytes.h"

struct event_place {
	uint64_t stream_id; /* not 0 */
	uint64_t position;
};

/* Room for one place, and for the rest. */
enum { EVENT_ID_PLACE_ROOM = 28, EVENT_ID_ROOM = 16 };

/* Prints into `out`, which has room for EVENT_ID_ROOM + count * EVENT_ID_PLACE_ROOM bytes; returns
 * the length. newest 0: left out. count may be 0 when newest is not. */
size_t event_id_print(uint64_t newest, const struct event_place *places, size_t count, char *out);

/* False: malformed, a stream twice, or more than places_max. *newest is filled in when left out. */
bool event_id_parse(struct span text, uint64_t *newest, struct event_place *places,
                    size_t places_max, size_t *count);
