#include "worker-sse/views/account_events.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "proto/roles.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/call.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/views/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* As the bridge writes it. */
static const char stream_path[] = "/v1/ledger/changes";
enum { ID_MAX = 64, RETRY_MS = 2000, PATH_ROOM = 128 };

/* Who follows: from where on, and what. */
struct watcher {
	char id[ID_MAX + 1]; /* "": all accounts */
	uint64_t from;
	bool resumed; /* has seen how the account stood */
};

/* ---- messages ---- */

/* {"account":"ID","at":N,"type":"TYPE",...}: compared and taken as it was written. False:
 * another's. */
static bool is_its(const struct watcher *watcher, struct span message)
{
	static const struct span head = SPAN("{\"account\":\"");
	size_t len = strlen(watcher->id);
	return len == 0 ||
	       (message.len > head.len + len && memcmp(message.at, head.at, head.len) == 0 &&
	        memcmp(message.at + head.len, watcher->id, len) == 0 &&
	        message.at[head.len + len] == '"');
}

static struct span type_of(struct span message)
{
	static const char mark[] = "\"type\":\"";
	const uint8_t *at = memmem(message.at, message.len, mark, sizeof mark - 1);
	if (at == NULL)
		return SPAN("change");
	at += sizeof mark - 1;
	const uint8_t *end = memchr(at, '"', message.len - (size_t)(at - message.at));
	return end != NULL ? span_of(at, (size_t)(end - at)) : SPAN("change");
}

static void put_id(struct sse_builder *b, const struct stream *stream, uint64_t position)
{
	char room[OFFSET_ROOM];
	SSE_PUT(b, "id: ");
	sse_put(b, offset_print(stream->lineage, position, room));
	SSE_PUT(b, "\n");
}

struct putting {
	const struct frame_query *q;
	const struct watcher *watcher;
};

static bool put_message(void *arg, const struct store_message *message)
{
	const struct putting *p = arg;
	struct sse_builder *b = p->q->builder;
	if (!is_its(p->watcher, message->bytes))
		return true;
	put_id(b, p->q->stream, message->ends_at);
	SSE_PUT(b, "event: ");
	sse_put(b, type_of(message->bytes));
	SSE_PUT(b, "\ndata: ");
	sse_put(b, message->bytes);
	SSE_PUT(b, "\n\n");
	return true;
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct putting putting = {q, q->owner};
	sse_begin(q->builder);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message, &putting) !=
	    STORE_READ_OK)
		return false;
	sse_end(q->builder, frame);
	return true;
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	(void)variant;
	sse_begin(q->builder);
	sse_comment(q->builder, "hb %" PRIu64, clock_wall_ms());
	sse_end(q->builder, frame);
	return true;
}

static void left(void *owner)
{
	free(owner);
}

static const struct fanout_view view = {
        .name = "account", .frame = build, .heartbeat = heartbeat, .left = left};

/* ---- joining ---- */

static struct stream *find(struct request *r)
{
	sse_worker_catch_up(worker_of(r));
	return state_find(store_view(worker_of(r)->store),
	                  span_of(stream_path, sizeof stream_path - 1));
}

/* NULL: answered. */
static struct watcher *watcher_create(struct request *r)
{
	const struct stream *stream = find(r);
	struct span cursor = r->headers[HEADER_LAST_EVENT_ID];
	struct offset at = offset_parse(cursor);
	if (stream == NULL) {
		reply_error(r, 503, "the ledger is not there yet");
		return NULL;
	}
	bool good = at.kind == OFFSET_AT && at.position <= stream->tail &&
	            (at.position == 0 || at.lineage == stream->lineage);
	if (cursor.len != 0 && !good) {
		reply_error(r, 400, "this Last-Event-ID is none of these events'");
		return NULL;
	}
	struct watcher *watcher = xcalloc(1, sizeof *watcher);
	watcher->resumed = cursor.len != 0;
	watcher->from = watcher->resumed ? at.position : stream->tail;
	return watcher;
}

/* Whose credential may be judged otherwise by now comes back, and is. */
static void judge(struct request *r)
{
	fanout_leave(r->feature, FANOUT_END_RESUME);
}

/* Takes the watcher. `account`: as it stands, or empty. */
static void join(struct request *r, struct watcher *watcher, struct span account)
{
	static const struct header headers[] = {{"content-type", SPAN("text/event-stream")},
	                                        {"cache-control", SPAN("no-store")},
	                                        {"x-accel-buffering", SPAN("no")}};
	struct sse_worker *w = worker_of(r);
	struct stream *stream = find(r);
	struct sse_builder *b = fanout_builder(w->fanout);
	struct sse_frame frame = {0};
	uint64_t from = watcher->from;
	if (stream == NULL || !request_hold_reader(r)) {
		free(watcher);
		if (stream == NULL)
			reply_error(r, 503, "the ledger is not there any more");
		return;
	}
	sse_begin(b);
	sse_printf(b, "retry: %d\n\n", RETRY_MS);
	if (account.len != 0 && !watcher->resumed) {
		put_id(b, stream, from);
		SSE_PUT(b, "event: account\n");
		sse_put_data(b, account);
		SSE_PUT(b, "\n");
	}
	sse_end(b, &frame);
	reply_start(r, 200, headers, sizeof headers / sizeof *headers, UINT64_MAX);
	struct live_reader *reader = fanout_join(w->fanout, request_sink(r), &view, watcher, 0,
	                                         fanout_lifetime_end(w->fanout));
	reading_bind(r, reader, judge);
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	fanout_add(reader, stream, from);
}

/* ---- one account's ---- */

static void on_reply(struct request *r, const struct proto_call_reply *reply)
{
	struct watcher *watcher = r->feature;
	r->feature = NULL;
	if (reply->status == 200 && r->method == METHOD_GET) {
		join(r, watcher, reply->body);
		return;
	}
	free(watcher);
	call_relay(r, reply);
}

static void on_failed(struct request *r, const char *reason)
{
	free(r->feature);
	r->feature = NULL;
	reply_error(r, 503, reason);
}

static void on_gone(struct request *r)
{
	free(r->feature);
	r->feature = NULL;
}

static bool ends_in(struct span path, struct span end)
{
	return path.len > end.len &&
	       span_equal(span_of(path.at + path.len - end.len, end.len), end);
}

static void follow(struct request *r, struct span account_path)
{
	static const char accounts[] = "/v1/ledger/accounts/";
	struct span id = span_of(account_path.at + sizeof accounts - 1,
	                         account_path.len - (sizeof accounts - 1));
	if (id.len == 0 || id.len > ID_MAX || memchr(id.at, '/', id.len) != NULL) {
		reply_error(r, 404, "no such account");
		return;
	}
	struct watcher *watcher = watcher_create(r);
	if (watcher == NULL)
		return;
	memcpy(watcher->id, id.at, id.len);
	call_send(r, ROLE_BRIDGE,
	          &(struct call_options){.path = account_path,
	                                 .on_reply = on_reply,
	                                 .on_failed = on_failed,
	                                 .on_gone = on_gone,
	                                 .kept = watcher});
}

void account_events_handle(struct request *r)
{
	static const struct span end = SPAN("/events");
	if (ends_in(r->path, end) && (r->method == METHOD_GET || r->method == METHOD_HEAD))
		follow(r, span_of(r->path.at, r->path.len - end.len));
	else
		call_forward(r, ROLE_BRIDGE);
}

/* ---- everybody's ---- */

void account_events_of_all(struct request *r)
{
	struct watcher *watcher = watcher_create(r);
	if (watcher == NULL)
		return;
	watcher->resumed = true;
	if (r->method == METHOD_GET) {
		join(r, watcher, (struct span){0});
		return;
	}
	static const struct header type = {"content-type", SPAN("text/event-stream")};
	free(watcher);
	reply(r, 200, &type, 1, (struct span){0});
}
