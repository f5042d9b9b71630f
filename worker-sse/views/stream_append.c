#include "worker-sse/views/stream_append.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ASIDE_BYTES = 256 * 1024, /* JSON from here on takes the loop longer than a turn may: a
	                             million elements in 2 MB */
};
static const uint64_t producer_number_max = (1ull << 53) - 1;

/* ---- bodies ---- */

static const char empty_array[] = "an empty array appends nothing";

static void take_body(struct stream_write *w)
{
	struct command *c = &w->command;
	if (w->len == 0)
		return;
	if (!w->json) {
		w->size = (uint32_t)w->len;
		c->body = (struct batch){&w->size, 1, span_of(w->bytes, w->len)};
		return;
	}
	c->body_fault = json_split(w->bytes, w->len, w->depth_max, &w->split);
	if (c->body_fault == NULL && w->split.count == 0 && !w->empty_array_ok)
		c->body_fault = empty_array;
	if (c->body_fault == NULL)
		c->body = (struct batch){w->split.sizes, w->split.count, w->split.bytes};
}

static void take_aside(uv_work_t *work)
{
	take_body(work->data);
}

static void on_taken(uv_work_t *work, int status)
{
	struct stream_write *w = work->data;
	(void)status; /* never cancelled */
	free(work);
	w->taken(w);
}

bool stream_write_take(struct stream_write *w, uv_loop_t *loop)
{
	if (!w->json || w->len < ASIDE_BYTES) {
		take_body(w);
		return true;
	}
	uv_work_t *work = xcalloc(1, sizeof *work);
	work->data = w;
	check(uv_queue_work(loop, work, take_aside, on_taken) == 0);
	return false;
}

void stream_write_finish(struct stream_write *w)
{
	free(w->split.sizes);
}

const char *stream_append_fault(const struct settings *s, const struct command *c, size_t body_len)
{
	const struct producer_tag *producer = &c->producer;
	if (producer->present &&
	    (producer->id.len == 0 || producer->id.len > s->limits_producer_id_bytes))
		return "Producer-Id must have 1 to limits.producer_id_bytes bytes";
	if (producer->epoch > producer_number_max)
		return "malformed Producer-Epoch";
	if (producer->seq > producer_number_max)
		return "malformed Producer-Seq";
	if (c->stream_seq.len > s->limits_stream_seq_bytes)
		return "Stream-Seq longer than limits.stream_seq_bytes";
	if (body_len == 0 && !c->close)
		return "empty body";
	if (body_len != 0 && c->content_type.len == 0)
		return "Content-Type is missing";
	return NULL;
}

/* ---- what became of it ---- */

const char *stream_write_fault(const struct stream_write *w, char text[STREAM_FAULT_ROOM])
{
	if (w->command.body_fault == empty_array)
		return empty_array;
	snprintf(text, STREAM_FAULT_ROOM, "the body is no JSON: %s at byte %zu",
	         w->command.body_fault, w->split.fault_at + 1);
	return text;
}

struct verdict_row stream_verdict(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_OK:
	case VERDICT_DUPLICATE:
		return (struct verdict_row){204, NULL};
	case VERDICT_CREATED:
		return (struct verdict_row){201, NULL};
	case VERDICT_EXISTS:
		return (struct verdict_row){200, NULL};
	case VERDICT_NOT_FOUND:
		return (struct verdict_row){404, "stream not found"};
	case VERDICT_GONE:
		return (struct verdict_row){410, "stream is deleted"};
	case VERDICT_OWNED:
		return (struct verdict_row){403, "this stream is written by its own surface only"};
	case VERDICT_CONFIG_DIFFERS:
		return (struct verdict_row){409, "stream exists with another configuration"};
	case VERDICT_PATH_SOFT_DELETED:
		return (struct verdict_row){409, "path is held by a deleted stream with forks"};
	case VERDICT_SOURCE_NOT_FOUND:
		return (struct verdict_row){404, "fork source not found"};
	case VERDICT_SOURCE_GONE:
		return (struct verdict_row){409, "fork source is deleted"};
	case VERDICT_SOURCE_TYPE:
		return (struct verdict_row){409, "content type differs from the fork source's"};
	case VERDICT_FORK_OFFSET:
		return (struct verdict_row){400, "fork offset is not one of the source"};
	case VERDICT_FORK_SUB_OFFSET:
		return (struct verdict_row){400, "fork sub-offset goes beyond the next append"};
	case VERDICT_FORK_DEPTH:
		return (struct verdict_row){400, "chain of forks is too long"};
	case VERDICT_FORK_TRIMMED:
		return (struct verdict_row){410, "fork offset is before the first retained one"};
	case VERDICT_CLOSED:
		return (struct verdict_row){409, "stream is closed"};
	case VERDICT_CONTENT_TYPE:
		return (struct verdict_row){409, "content type differs from the stream's"};
	case VERDICT_BAD_BODY:
		return (struct verdict_row){400, "body is not valid JSON"};
	case VERDICT_PRODUCER_STALE:
		return (struct verdict_row){403, "producer epoch is stale"};
	case VERDICT_PRODUCER_EPOCH:
		return (struct verdict_row){400, "a new producer epoch begins with seq 0"};
	case VERDICT_PRODUCER_GAP:
		return (struct verdict_row){409, "producer seq leaves a gap"};
	case VERDICT_PRODUCER_LIMIT:
		return (struct verdict_row){429, "limits.producers_per_stream is reached"};
	case VERDICT_STREAM_SEQ:
		return (struct verdict_row){409, "Stream-Seq is not above the last sequence"};
	case VERDICT_STREAM_LIMIT:
		return (struct verdict_row){507, "limits.streams is reached"};
	case VERDICT_OFFSET_LIMIT:
		return (struct verdict_row){507, "the stream's offsets are used up"};
	case VERDICT_NO_SPACE:
		return (struct verdict_row){507, "no space left in the store"};
	case VERDICT_IO_ERROR:
		return (struct verdict_row){503, "the disk failed; nothing is promised"};
	case VERDICT_STALLED:
		return (struct verdict_row){503, "the log stands still; nothing is promised"};
	case VERDICT_STOPPING:
		return (struct verdict_row){503, "shutting down"};
	case VERDICT_ELSEWHERE:
		return (struct verdict_row){503, "this node follows another, which takes writes"};
	case VERDICT_PENDING:
	case VERDICT_KV_CONFLICT:
		break;
	}
	return (struct verdict_row){500, "unexpected verdict"};
}

struct stream_append_told stream_append_told(const struct command *c)
{
	struct stream_append_told told = {.status = stream_verdict(c->verdict).status};
	bool producer = c->producer.present;
	switch (c->verdict) {
	case VERDICT_OK:
	case VERDICT_DUPLICATE:
		told.offset = true;
		told.closed = c->closed;
		told.producer_epoch = told.producer_seq = producer;
		if (c->verdict == VERDICT_OK && producer && c->body.count != 0)
			told.status = 200;
		break;
	case VERDICT_CLOSED:
		told.offset = told.closed = true;
		told.producer_epoch = told.producer_seq = producer && c->closed_by_match;
		if (told.producer_epoch)
			told.status = 204;
		/* The official client repeats without end what a 409 without these two does not
		 * explain. */
		told.sequence = producer && !c->closed_by_match;
		told.expected_seq = told.received_seq = c->producer.seq;
		break;
	case VERDICT_PRODUCER_STALE:
		told.producer_epoch = true;
		break;
	case VERDICT_PRODUCER_GAP:
		told.sequence = true;
		told.expected_seq = c->expected_seq;
		told.received_seq = c->producer.seq;
		break;
	case VERDICT_PENDING:
	case VERDICT_CREATED:
	case VERDICT_EXISTS:
	case VERDICT_NOT_FOUND:
	case VERDICT_GONE:
	case VERDICT_OWNED:
	case VERDICT_CONFIG_DIFFERS:
	case VERDICT_PATH_SOFT_DELETED:
	case VERDICT_SOURCE_NOT_FOUND:
	case VERDICT_SOURCE_GONE:
	case VERDICT_SOURCE_TYPE:
	case VERDICT_FORK_OFFSET:
	case VERDICT_FORK_SUB_OFFSET:
	case VERDICT_FORK_DEPTH:
	case VERDICT_FORK_TRIMMED:
	case VERDICT_CONTENT_TYPE:
	case VERDICT_BAD_BODY:
	case VERDICT_PRODUCER_EPOCH:
	case VERDICT_PRODUCER_LIMIT:
	case VERDICT_STREAM_SEQ:
	case VERDICT_STREAM_LIMIT:
	case VERDICT_OFFSET_LIMIT:
	case VERDICT_KV_CONFLICT:
	case VERDICT_NO_SPACE:
	case VERDICT_IO_ERROR:
	case VERDICT_STALLED:
	case VERDICT_STOPPING:
	case VERDICT_ELSEWHERE:
		break;
	}
	return told;
}
