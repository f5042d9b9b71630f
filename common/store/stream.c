#include "common/base/check.h"
#include "common/store/state.h"

#include <stdlib.h>

/* Sliding expiry is renewed no oftener than this, so that reading a stream does not become
 * writing: a tenth of its TTL, at most a second. */
enum { TOUCH_INTERVAL_MS_MAX = 1000 };

uint64_t stream_touch_interval_ms(const struct stream *stream)
{
	uint64_t tenth_ms = stream->ttl_s * 100;
	return tenth_ms < TOUCH_INTERVAL_MS_MAX ? tenth_ms : TOUCH_INTERVAL_MS_MAX;
}

uint64_t stream_expires_ms(const struct stream *stream)
{
	if (stream->ttl_present)
		return stream->touched_ms + stream->ttl_s * 1000 + stream_touch_interval_ms(stream);
	if (stream->expires_present)
		return stream->expires_at_ms > 0 ? (uint64_t)stream->expires_at_ms : 0;
	return UINT64_MAX;
}

bool stream_expired(const struct stream *stream, uint64_t now_ms)
{
	return now_ms >= stream_expires_ms(stream);
}

uint64_t stream_first(struct state *state, const struct stream *stream)
{
	uint64_t first = stream->first;
	state->unreadable = false;
	while (stream->source_id != 0 && first <= stream->fork_offset) {
		const struct stream *source = state_find_id(state, stream->source_id);
		if (source == NULL)
			return first;
		/* What the source has trimmed is gone for the fork too, up to where its own begins.
		 */
		uint64_t below = source->first;
		first = below < stream->fork_offset ? below : stream->fork_offset;
		if (below >= stream->fork_offset && below > source->fork_offset)
			return first;
		stream = source;
	}
	return first;
}

void stream_pieces_trim(struct stream *stream, uint64_t lsn)
{
	uint32_t gone = 0;
	while (gone < stream->pieces_count && stream->pieces[gone].lsn < lsn)
		gone++;
	if (gone == 0)
		return;
	stream->pieces_count -= gone;
	memmove(stream->pieces, stream->pieces + gone,
	        stream->pieces_count * sizeof *stream->pieces);
}

void stream_producer_load(struct stream *stream, struct span id, uint64_t epoch, uint64_t seq,
                          uint64_t at_ms, uint64_t lsn)
{
	struct stream_producer *producer;
	HASH_FIND(hh, stream->producers, id.at, id.len, producer);
	if (producer != NULL)
		return;
	producer = xcalloc(1, sizeof *producer + id.len);
	*producer = (struct stream_producer){
	        .epoch = epoch, .seq = seq, .at_ms = at_ms, .lsn = lsn, .id_len = (uint16_t)id.len};
	memcpy(producer->id, id.at, id.len);
	HASH_ADD(hh, stream->producers, id, producer->id_len, producer);
}

/* Nearly every stream has one of these. */
static const char *const texts[] = {"",
                                    "application/json",
                                    "application/octet-stream",
                                    "text/plain",
                                    "text/plain; charset=utf-8",
                                    "text/html",
                                    "application/x-ndjson",
                                    "image/jpeg"};

const char *stream_text(struct span text)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (span_equal(span_str(texts[i]), text))
			return texts[i];
	return xmemdup_text(text.at, text.len);
}

void stream_text_free(const char *text)
{
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (text == texts[i])
			return;
	free((void *)(uintptr_t)text);
}

void stream_clear(struct stream *stream)
{
	struct stream_producer *producer, *next;
	HASH_ITER (hh, stream->producers, producer, next) {
		HASH_DEL(stream->producers, producer);
		free(producer);
	}
	free(stream->path);
	stream_text_free(stream->content_type);
	stream_text_free(stream->fork_source);
	stream_text_free(stream->closed_producer);
	free(stream->stream_seq);
}

void stream_free(struct stream *stream)
{
	stream_clear(stream);
	free(stream->pieces);
	free(stream);
}

static struct span media_type(struct span content_type)
{
	size_t len = 0;
	while (len < content_type.len && content_type.at[len] != ';')
		len++;
	while (len > 0 && (content_type.at[len - 1] == ' ' || content_type.at[len - 1] == '\t'))
		len--;
	size_t from = 0;
	while (from < len && (content_type.at[from] == ' ' || content_type.at[from] == '\t'))
		from++;
	return (struct span){content_type.at + from, len - from};
}

bool media_type_equal(struct span a, struct span b)
{
	return span_equal_nocase(media_type(a), media_type(b));
}

bool media_type_json(struct span content_type)
{
	return span_equal_nocase(media_type(content_type), SPAN("application/json"));
}
