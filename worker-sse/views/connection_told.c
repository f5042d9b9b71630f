/* Events as everybody is told them. Thousands may watch one conversation, and each has ids of its
 * own before its events: the rest is made once for all. */
#include "common/base/check.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	TOLD_BYTES = 256 * 1024, /* of text; then the next event is another's */
	KEEP_BYTES = 1 << 20,    /* one large event is not held in memory for ever */
};

/* A line end within JSON is white space. */
static void put_line(struct sse_builder *b, struct span text)
{
	size_t from = 0;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '\n' || text.at[i] == '\r') {
			sse_put(b, span_of(text.at + from, i - from));
			SSE_PUT(b, " ");
			from = i + 1;
		}
	sse_put(b, span_of(text.at + from, text.len - from));
}

static bool begins_with(struct span text, struct span head)
{
	return text.len >= head.len && memcmp(text.at, head.at, head.len) == 0;
}

/* The event as it is in the stream, with what the wire says of each in front. */
static void put_event(struct sse_builder *b, const char *id, struct span text, uint64_t before,
                      uint64_t position)
{
	bool typed = begins_with(text, SPAN("{\"type\":"));
	bool object = text.len > 2 && text.at[0] == '{';
	sse_printf(b, "{\"v\":%d,\"sessionId\":\"%s\",\"seq\":%llu,\"prevSessionSeq\":%llu,%s%s",
	           CONNECTION_PROTOCOL, id, (unsigned long long)position,
	           (unsigned long long)before, typed ? "" : "\"type\":\"control\",",
	           object ? "" : "\"value\":");
	put_line(b, object ? span_of(text.at + 1, text.len - 1) : text);
	if (!object)
		SSE_PUT(b, "}");
}

struct telling {
	struct connection_told *told;
	char id[CONVERSATION_ID_ROOM];
	uint64_t to; /* behind the last message put */
	size_t max;
};

static bool tell(void *arg, const struct store_message *message)
{
	struct telling *t = arg;
	struct connection_told *told = t->told;
	size_t before = told->text.len;
	if (told->count == told->room) {
		told->room = told->room != 0 ? 2 * told->room : 8;
		told->events = xrealloc(told->events, told->room * sizeof *told->events);
	}
	put_event(&told->text, t->id, message->bytes, t->to, message->ends_at);
	told->events[told->count++] =
	        (struct connection_told_event){message->ends_at, told->text.len - before};
	t->to = message->ends_at;
	return told->text.len < t->max;
}

static void forget_tails(struct connection_told *told)
{
	for (size_t i = 0; i < sizeof told->tails / sizeof *told->tails; i++)
		sse_tail_finish(&told->tails[i]);
}

static void forget(struct connection_told *told)
{
	forget_tails(told);
	sse_builder_finish(&told->text);
	free(told->events);
	*told = (struct connection_told){0};
}

static struct connection_told *make(struct connections *all, const struct frame_query *q)
{
	struct connection_told *told = &all->told[all->told_next++ % CONNECTION_TOLD_KEPT];
	struct telling t = {
	        .told = told, .to = q->from, .max = waiting_piece(q->waiting, TOLD_BYTES)};
	if (told->text.room > KEEP_BYTES)
		forget(told);
	sse_begin(&told->text);
	forget_tails(told);
	told->count = 0;
	told->stream_id = 0;
	if (!connection_conversation(q->stream, t.id) ||
	    store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, tell, &t) != STORE_READ_OK)
		return NULL;
	told->stream_id = q->stream->id;
	told->from = q->from;
	told->asked = q->to;
	return told;
}

/* Where in it somebody goes on who has everything before `from`. False: not in it. */
static bool find(struct connection_told *told, uint64_t from, struct connection_telling *out)
{
	uint64_t at = told->from;
	*out = (struct connection_telling){
	        .at = told->text.at, .events = told->events, .tails = told->tails};
	for (size_t i = 0; i < told->count && at <= from; i++) {
		if (at == from) {
			out->count = told->count - i;
			return true;
		}
		at = told->events[i].ends_at;
		out->at += told->events[i].len;
		out->events++;
	}
	return false;
}

bool connection_tell(struct connections *all, const struct frame_query *q,
                     struct connection_telling *out)
{
	for (size_t i = 0; i < CONNECTION_TOLD_KEPT; i++) {
		struct connection_told *told = &all->told[i];
		if (told->stream_id == q->stream->id && told->asked == q->to &&
		    find(told, q->from, out))
			return true;
	}
	struct connection_told *told = make(all, q);
	return told != NULL && find(told, q->from, out);
}
