#include "worker-sse/edge/websocket_deflate.h"
#include "common/base/check.h"
#include "worker-sse/edge/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum {
	BITS_MIN = 9, /* zlib makes no raw stream with 8 */
	BITS_MAX = 15,
	LEVEL = 4,
	MEMORY = 8,         /* zlib's usual */
	WORTH_BYTES = 128,  /* shorter messages go as they are, */
	PACK_MAX = 1 << 20, /* ... and so do longer ones: all wait while one is packed */
	TAIL_BYTES = 4,     /* 00 00 ff ff: RFC 7692 7.2.1 takes it away */
	KEEP_BYTES = 128 << 10,
};

/* ---- negotiation ---- */

static struct span trimmed(struct span s)
{
	while (s.len > 0 && (*s.at == ' ' || *s.at == '\t'))
		s = span_of(s.at + 1, s.len - 1);
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Up to the next `mark`, and behind it. False: there is nothing more. */
static bool cut(struct span *rest, char mark, struct span *part)
{
	if (rest->at == NULL)
		return false;
	const uint8_t *end = rest->len > 0 ? memchr(rest->at, mark, rest->len) : NULL;
	size_t len = end != NULL ? (size_t)(end - rest->at) : rest->len;
	*part = trimmed(span_of(rest->at, len));
	*rest = end != NULL ? span_of(end + 1, rest->len - len - 1) : (struct span){0};
	return true;
}

/* 8 to 15, maybe quoted; 0: it is not (RFC 7692 7.1.2). */
static unsigned window_bits(struct span value)
{
	if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
		value = span_of(value.at + 1, value.len - 2);
	if (value.len == 1 && (*value.at == '8' || *value.at == '9'))
		return *value.at - (unsigned)'0';
	if (value.len == 2 && value.at[0] == '1' && value.at[1] >= '0' && value.at[1] <= '5')
		return 10 + value.at[1] - (unsigned)'0';
	return 0;
}

/* What an offer's parameters say: one bit each, for each may stand once. */
enum { NO_SERVER_CONTEXT = 1, NO_CLIENT_CONTEXT = 2, SERVER_BITS = 4, CLIENT_BITS = 8 };

static unsigned parameter(struct span text, unsigned *server_bits)
{
	struct span rest = text, name, value = {0};
	cut(&rest, '=', &name);
	bool valued = rest.at != NULL;
	if (valued)
		value = trimmed(rest);
	if (span_equal_nocase(name, SPAN("server_no_context_takeover")))
		return valued ? 0 : NO_SERVER_CONTEXT;
	if (span_equal_nocase(name, SPAN("client_no_context_takeover")))
		return valued ? 0 : NO_CLIENT_CONTEXT;
	if (span_equal_nocase(name, SPAN("client_max_window_bits")))
		return valued && window_bits(value) == 0 ? 0 : CLIENT_BITS;
	if (!span_equal_nocase(name, SPAN("server_max_window_bits")))
		return 0;
	*server_bits = window_bits(value);
	return *server_bits >= BITS_MIN ? SERVER_BITS : 0;
}

/* A parameter that is unknown, wrong or there twice declines the offer (7.1). */
static bool can_take(struct span offer, unsigned *server_bits)
{
	struct span part;
	unsigned seen = 0;
	cut(&offer, ';', &part);
	if (!span_equal_nocase(part, SPAN("permessage-deflate")))
		return false;
	while (cut(&offer, ';', &part)) {
		unsigned bit = parameter(part, server_bits);
		if (bit == 0 || (seen & bit) != 0)
			return false;
		seen |= bit;
	}
	return true;
}

unsigned websocket_deflate_negotiate(struct span offers, char answer[WEBSOCKET_DEFLATE_ANSWER_ROOM])
{
	struct span offer;
	while (list_next(&offers, &offer)) {
		unsigned bits = 0;
		if (!can_take(offer, &bits))
			continue;
		int len = snprintf(answer, WEBSOCKET_DEFLATE_ANSWER_ROOM,
		                   "permessage-deflate; server_no_context_takeover; "
		                   "client_no_context_takeover");
		if (bits != 0)
			snprintf(answer + len, WEBSOCKET_DEFLATE_ANSWER_ROOM - (size_t)len,
			         "; server_max_window_bits=%u", bits);
		return bits != 0 ? bits : BITS_MAX;
	}
	return 0;
}

/* ---- packing ---- */

struct websocket_packer {
	z_stream *deflaters[BITS_MAX + 1]; /* by bits; NULL: not needed yet */
	z_stream *inflater;
	uint8_t *out;
	size_t room;
};

struct websocket_packer *websocket_packer_create(void)
{
	return xcalloc(1, sizeof(struct websocket_packer));
}

void websocket_packer_destroy(struct websocket_packer **packer)
{
	struct websocket_packer *p = *packer;
	*packer = NULL;
	if (p == NULL)
		return;
	for (unsigned bits = 0; bits <= BITS_MAX; bits++)
		if (p->deflaters[bits] != NULL) {
			deflateEnd(p->deflaters[bits]);
			free(p->deflaters[bits]);
		}
	if (p->inflater != NULL)
		inflateEnd(p->inflater);
	free(p->inflater);
	free(p->out);
	free(p);
}

/* One large message is not held in memory for ever. */
static void begin(struct websocket_packer *p, size_t needed)
{
	if (p->room >= needed && p->room <= KEEP_BYTES)
		return;
	free(p->out);
	p->room = needed;
	p->out = xmalloc(p->room);
}

static z_stream *deflater_of(struct websocket_packer *p, unsigned bits)
{
	check(bits >= BITS_MIN && bits <= BITS_MAX);
	if (p->deflaters[bits] == NULL) {
		p->deflaters[bits] = xcalloc(1, sizeof(z_stream));
		check(deflateInit2(p->deflaters[bits], LEVEL, Z_DEFLATED, -(int)bits, MEMORY,
		                   Z_DEFAULT_STRATEGY) == Z_OK);
	} else {
		deflateReset(p->deflaters[bits]);
	}
	return p->deflaters[bits];
}

struct span websocket_pack(struct websocket_packer *p, unsigned bits, struct span message)
{
	static const uint8_t tail[TAIL_BYTES] = {0, 0, 0xff, 0xff};
	if (message.len < WORTH_BYTES || message.len > PACK_MAX)
		return (struct span){0};
	z_stream *z = deflater_of(p, bits);
	begin(p, deflateBound(z, (uLong)message.len) + 16); /* and what a flush adds */
	z->next_in = (uint8_t *)(uintptr_t)message.at;
	z->avail_in = (uInt)message.len;
	z->next_out = p->out;
	z->avail_out = (uInt)p->room;
	check(deflate(z, Z_SYNC_FLUSH) == Z_OK && z->avail_in == 0 && z->avail_out > 0);
	size_t len = p->room - z->avail_out;
	check(len > TAIL_BYTES && memcmp(p->out + len - TAIL_BYTES, tail, TAIL_BYTES) == 0);
	len -= TAIL_BYTES;
	return len < message.len ? span_of(p->out, len) : (struct span){0};
}

/* ---- unpacking ---- */

static z_stream *inflater_of(struct websocket_packer *p)
{
	if (p->inflater == NULL) {
		p->inflater = xcalloc(1, sizeof(z_stream));
		check(inflateInit2(p->inflater, -BITS_MAX) == Z_OK);
	} else {
		inflateReset(p->inflater);
	}
	return p->inflater;
}

/* Room for one byte more than may come out tells that too much would. */
static bool grow(struct websocket_packer *p, z_stream *z, size_t max)
{
	size_t had = p->room;
	if (had > max)
		return false;
	p->room = had * 2 <= max ? had * 2 : max + 1;
	p->out = xrealloc(p->out, p->room);
	z->next_out = p->out + had;
	z->avail_out = (uInt)(p->room - had);
	return true;
}

static enum websocket_unpacked feed(struct websocket_packer *p, z_stream *z, struct span in,
                                    size_t max)
{
	z->next_in = (uint8_t *)(uintptr_t)in.at;
	z->avail_in = (uInt)in.len;
	for (;;) {
		int result = inflate(z, Z_SYNC_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return WEBSOCKET_UNPACK_BROKEN;
		if (p->room - z->avail_out > max)
			return WEBSOCKET_UNPACK_LONG;
		if (result == Z_STREAM_END) { /* BFINAL, which may stand in it (7.2.3.4) */
			if (z->avail_in == 0)
				return WEBSOCKET_UNPACKED;
			inflateReset(z);
		} else if (z->avail_out == 0) {
			if (!grow(p, z, max))
				return WEBSOCKET_UNPACK_LONG;
		} else if (z->avail_in == 0) {
			return WEBSOCKET_UNPACKED;
		} else if (result == Z_BUF_ERROR) {
			return WEBSOCKET_UNPACK_BROKEN;
		}
	}
}

enum websocket_unpacked websocket_unpack(struct websocket_packer *p, struct span payload,
                                         size_t max, struct span *message)
{
	static const uint8_t tail[TAIL_BYTES] = {0, 0, 0xff, 0xff};
	z_stream *z = inflater_of(p);
	check(payload.len <= UINT32_MAX && max < UINT32_MAX / 2);
	begin(p, payload.len < max / 4 ? payload.len * 4 + 64 : max + 1);
	z->next_out = p->out;
	z->avail_out = (uInt)p->room;
	enum websocket_unpacked result = feed(p, z, payload, max);
	if (result == WEBSOCKET_UNPACKED)
		result = feed(p, z, span_of(tail, sizeof tail), max);
	*message = span_of(p->out, p->room - z->avail_out);
	return result;
}
