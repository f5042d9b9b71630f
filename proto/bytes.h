/* Borrowed byte ranges and bounded cursors. No allocation, no I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A range someone else owns. Valid for as long as its source says it is. */
struct span {
	const uint8_t *at;
	size_t len;
};

/* A span over a string literal. */
#define SPAN(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline struct span span_of(const void *at, size_t len)
{
	return (struct span){(const uint8_t *)at, len};
}

static inline struct span span_str(const char *text)
{
	return (struct span){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Byte-wise order, the shorter one first when one is a prefix of the other. */
static inline int span_compare(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len != 0 ? memcmp(a.at, b.at, len) : 0;
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Equal when ASCII letters are folded: header names, media types, tokens. */
static inline bool span_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t x = a.at[i], y = b.at[i];
		x = x >= 'A' && x <= 'Z' ? (uint8_t)(x | 0x20) : x;
		y = y >= 'A' && y <= 'Z' ? (uint8_t)(y | 0x20) : y;
		if (x != y)
			return false;
	}
	return true;
}

/* Reads left to right; `ok` turns false at the first shortfall and stays so. */
struct reader {
	const uint8_t *at, *end;
	bool ok;
};

/* Writes left to right into caller memory; `ok` turns false when it is full. */
struct writer {
	uint8_t *at, *end;
	bool ok;
};

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* Big-endian unsigned of `width` bytes (1 to 8). */
static inline uint64_t reader_uint(struct reader *r, size_t width)
{
	uint64_t v = 0;
	if (!r->ok || reader_left(r) < width) {
		r->ok = false;
		return 0;
	}
	for (size_t i = 0; i < width; i++)
		v = v << 8 | r->at[i];
	r->at += width;
	return v;
}

/* `len` bytes as they stand; the length is compared with what is left before it is used. */
static inline struct span reader_bytes(struct reader *r, size_t len)
{
	if (!r->ok || reader_left(r) < len) {
		r->ok = false;
		return (struct span){0};
	}
	struct span s = {r->at, len};
	r->at += len;
	return s;
}

/* A 32-bit length, at most `max`, then that many bytes. */
static inline struct span reader_span(struct reader *r, size_t max)
{
	size_t len = (size_t)reader_uint(r, 4);
	if (!r->ok || len > max) {
		r->ok = false;
		return (struct span){0};
	}
	return reader_bytes(r, len);
}

static inline void writer_uint(struct writer *w, uint64_t v, size_t width)
{
	if (!w->ok || (size_t)(w->end - w->at) < width) {
		w->ok = false;
		return;
	}
	for (size_t i = 0; i < width; i++)
		w->at[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	w->at += width;
}

static inline void writer_bytes(struct writer *w, struct span s)
{
	if (!w->ok || (size_t)(w->end - w->at) < s.len) {
		w->ok = false;
		return;
	}
	if (s.len != 0)
		memcpy(w->at, s.at, s.len);
	w->at += s.len;
}

static inline void writer_span(struct writer *w, struct span s, size_t max)
{
	if (s.len > max) {
		w->ok = false;
		return;
	}
	writer_uint(w, s.len, 4);
	writer_bytes(w, s);
}
