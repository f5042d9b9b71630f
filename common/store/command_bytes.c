#include "common/store/command_bytes.h"
#include "common/store/stream_name.h"

enum {
	ENTRY_BYTES = 256, /* of an entry, without its texts, value and messages (entry.c) */
	CHAIN_BYTES = FORK_DEPTH_MAX * (2 * ENTRY_BYTES + STREAM_NAME_STORED_MAX),
	TYPE_BYTES = 4096, /* limits.content_type_bytes at most; and so of a Stream-Seq */
	PRODUCER_BYTES = 4096,
};

/* Names are stored in one spelling: three bytes for one, at most. */
static size_t name_bytes(struct span name)
{
	size_t len = 3 * name.len;
	return len < STREAM_NAME_STORED_MAX ? len : STREAM_NAME_STORED_MAX;
}

static size_t body_bytes(const struct batch *body)
{
	return body->bytes.len + 4 * (size_t)body->count;
}

/* The source has one fork more; the stream; what comes behind a fork's prefix. */
static size_t create_bytes(const struct command *c, size_t fork_prefix_bytes_max)
{
	return 3 * ENTRY_BYTES + name_bytes(c->path) + c->fork_source.len +
	       (c->content_type.len != 0 ? c->content_type.len : TYPE_BYTES) +
	       (c->fork_sub_offset != 0 ? fork_prefix_bytes_max : 0) + body_bytes(&c->body);
}

/* And a producer that is forgotten in its favour. */
static size_t append_bytes(const struct command *c)
{
	size_t others = c->producer.present ? ENTRY_BYTES + PRODUCER_BYTES : 0;
	return ENTRY_BYTES + others + c->producer.id.len + c->stream_seq.len + body_bytes(&c->body);
}

/* `dropped`: what goes with the stream that is, or stands in the way. */
static size_t one_bytes(const struct command *c, size_t fork_prefix_bytes_max, size_t dropped)
{
	switch (c->kind) {
	case COMMAND_CREATE:
		return create_bytes(c, fork_prefix_bytes_max) + dropped;
	case COMMAND_DELETE:
	case COMMAND_EXPIRE:
		return ENTRY_BYTES + dropped;
	case COMMAND_APPEND:
		return append_bytes(c);
	case COMMAND_TOUCH:
	case COMMAND_TRIM:
		return ENTRY_BYTES;
	case COMMAND_KV:
		return ENTRY_BYTES + c->key.len + c->value.len;
	case COMMAND_TXN:
		break;
	}
	return 0;
}

size_t command_bytes_max(const struct command *c, const struct state_limits *limits)
{
	size_t bytes = 0;
	if (c->kind != COMMAND_TXN)
		return one_bytes(c, limits->fork_prefix_bytes_max, CHAIN_BYTES);
	for (uint32_t i = 0; i < c->part_count; i++)
		bytes += command_bytes_max(&c->parts[i], limits);
	return bytes;
}

/* ---- as it is ---- */

static size_t chain_bytes(struct state *state, const struct stream *stream)
{
	size_t bytes = 0;
	while (stream != NULL) {
		bytes += 2 * ENTRY_BYTES + stream->path_len;
		stream = stream->source_id != 0 ? state_find_id(state, stream->source_id) : NULL;
	}
	return bytes;
}

/* Under every spelling that it may be found by. One that lives is in nobody's way. */
static size_t dropped_bytes(const struct command *c, struct state *state)
{
	uint8_t out[STREAM_NAME_ROOM];
	struct span spelling;
	size_t bytes = 0;
	if (c->kind == COMMAND_EXPIRE)
		return chain_bytes(state, state_find_id(state, c->stream_id));
	if (c->kind != COMMAND_CREATE && c->kind != COMMAND_DELETE)
		return 0;
	for (unsigned n = 0; stream_name_spelling(n, c->path, out, &spelling); n++) {
		const struct stream *stream = spelling.len <= STREAM_NAME_STORED_MAX
		                                      ? state_find_exact(state, spelling)
		                                      : NULL;
		bool may_expire =
		        stream != NULL && (stream->ttl_present || stream->expires_present);
		if (stream != NULL && (c->kind == COMMAND_DELETE || may_expire))
			bytes += chain_bytes(state, stream);
	}
	return bytes;
}

size_t command_bytes_now(const struct command *c, struct state *state)
{
	size_t bytes = 0;
	if (c->kind != COMMAND_TXN)
		return one_bytes(c, state->limits.fork_prefix_bytes_max, dropped_bytes(c, state));
	for (uint32_t i = 0; i < c->part_count; i++)
		bytes += command_bytes_now(&c->parts[i], state);
	return bytes;
}
