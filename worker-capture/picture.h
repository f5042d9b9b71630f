/* One picture of a page: a JPEG as the browser made it, reference-counted, never changed. Loop
 * thread only. It is decoded from the browser's message straight into its own memory and from there
 * on only referenced: by the session (its last one), by every output, by every viewer. */
#pragma once

#include "proto/bytes.h"

struct picture {
	uint32_t refs;
	uint32_t width, height; /* of the picture, from the JPEG itself */
	uint32_t len;           /* of bytes */
	uint64_t seq;      /* grows by one with each picture of a session, over all recoveries */
	uint64_t at_ms;    /* monotonic, when it arrived here */
	double drawn_at_s; /* wall clock of the browser when it was drawn, seconds */
	uint8_t bytes[];
};

/* Room for `len` bytes; one reference, the caller's. Everything else is zero. */
struct picture *picture_create(size_t len);

static inline struct picture *picture_ref(struct picture *picture)
{
	picture->refs++;
	return picture;
}

/* Drops one reference and sets the pointer to NULL; NULL is fine. */
void picture_unref(struct picture **picture);

/* Reads width and height from a JPEG's frame header. False: it is no JPEG, is cut off before that
 * header, or says 0 by something. Reads nothing beyond `jpeg`. */
bool picture_measure(struct span jpeg, uint32_t *width, uint32_t *height);
