#include "worker-sse/fanout.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/offset.h"
#include "worker-sse/sse.h"
#include "worker-sse/streams.h"
#include "worker-sse/streams_read.h"

#include <stdlib.h>

enum {
	SLICE_READERS = 512,       /* served between two polls for input */
	FRAME_BYTES = 256 * 1024,  /* payload of one frame */
	FRAMES_KEPT = 4,           /* per stream: readers that are not all at one cursor share too */
};

enum live_kind { READER_SSE, READER_LONG_POLL };

/* One live reader. 120 bytes, beside his connection's. */
struct live_reader {
	struct request *request;
	struct followed *followed;
	struct live_reader *next, **previous; /* followed->readers */
	uint64_t position;               /* everything before it was handed to his connection */
	uint64_t cursor;                 /* largest Stream-Cursor sent */
	uint64_t end_ms;                 /* of his answer: lifetime or long-poll time-out */
	uint64_t sent_ms;
	struct wheel_node timer;
	uint8_t kind;
	bool blocked; /* waits for his connection to drain */
	bool live;    /* has been at the tail: from then on he may not fall far behind */
};

/* A stream that somebody follows. */
struct followed {
	struct stream *stream; /* pinned */
	struct fanout *fanout;
	struct live_reader *readers;
	struct live_reader *turn;        /* next to be served in the present round */
	struct followed *ready_next;
	struct followed *next, **previous; /* fanout->all */
	struct sse_frame frames[FRAMES_KEPT];
	unsigned frame_next;
	bool ready;
};

struct fanout {
	struct sse_worker *worker;
	struct followed *all;
	struct followed *ready, **ready_last; /* changed since their readers were served */
	bool draining;
};

/* ---- frames ---- */

static void forget_frames(struct followed *f)
{
	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		sse_frame_finish(&f->frames[i]);
}

/* The frame for [from, to), shared with whoever else is there. NULL: cannot be read. */
static const struct sse_frame *frame_for(struct followed *f, uint64_t from, uint64_t to,
                                         uint64_t cursor)
{
	const struct stream *s = f->stream;
	for (unsigned i = 0; i < FRAMES_KEPT; i++) {
		struct sse_frame *frame = &f->frames[i];
		if (frame->chunk != NULL && frame->from == from && frame->to == to &&
		    frame->cursor == cursor && frame->up_to_date == (to == s->tail) &&
		    frame->closed == (to == s->tail && s->closed))
			return frame;
	}
	struct sse_frame *frame = &f->frames[f->frame_next++ % FRAMES_KEPT];
	sse_frame_finish(frame);
	return sse_frame_build(frame, f->fanout->worker->store, s, from, to, cursor) ? frame : NULL;
}

/* ---- coming and going ---- */

static struct followed *follow(struct fanout *fanout, struct stream *stream)
{
	struct followed *f = stream->follower;
	if (f != NULL)
		return f;
	f = xcalloc(1, sizeof *f);
	f->stream = stream;
	f->fanout = fanout;
	f->next = fanout->all;
	f->previous = &fanout->all;
	if (f->next != NULL)
		f->next->previous = &f->next;
	fanout->all = f;
	stream->follower = f;
	stream->pins++;
	return f;
}

static void unfollow(struct followed *f)
{
	if (f->readers != NULL || f->ready)
		return; /* one on the ready list goes when it is taken off */
	*f->previous = f->next;
	if (f->next != NULL)
		f->next->previous = f->previous;
	f->stream->follower = NULL;
	f->stream->pins--;
	forget_frames(f);
	free(f);
}

/* Takes the reader off every list; his request is the caller's. */
static struct request *leave(struct live_reader *r)
{
	struct followed *f = r->followed;
	struct request *request = r->request;
	wheel_cancel(&r->timer);
	if (f->turn == r)
		f->turn = r->next;
	*r->previous = r->next;
	if (r->next != NULL)
		r->next->previous = r->previous;
	sse_worker_count_readers(f->fanout->worker, -1);
	request->on_gone = NULL;
	request->on_drain = NULL;
	request->feature = NULL;
	free(r);
	unfollow(f);
	return request;
}

static void on_gone(struct request *request)
{
	leave(request->feature);
}

/* ---- serving ---- */

/* When to look at the reader again: keep-alive, end of his answer, renewal of a short TTL. */
static void set_timer(struct live_reader *r)
{
	struct sse_worker *w = r->followed->fanout->worker;
	const struct stream *s = r->followed->stream;
	uint64_t due_ms = r->end_ms;
	if (r->kind == READER_SSE && r->sent_ms + w->settings->http_sse_keepalive_ms < due_ms)
		due_ms = r->sent_ms + w->settings->http_sse_keepalive_ms;
	if (s->ttl_present && w->now_ms + s->ttl_s * 500 + 50 < due_ms)
		due_ms = w->now_ms + s->ttl_s * 500 + 50;
	wheel_set(&w->wheel, &r->timer, due_ms);
}

static bool stream_gone(const struct stream *s)
{
	return s->dropped || s->deleted;
}

/* Everything between his position and the tail, in one write. */
static void serve_sse(struct live_reader *r)
{
	struct followed *f = r->followed;
	struct sse_worker *w = f->fanout->worker;
	const struct stream *s = f->stream;
	if (stream_gone(s)) {
		reply_end(leave(r));
		return;
	}
	while (!r->blocked && r->position < s->tail) {
		if (r->live && s->tail - r->position > w->settings->limits_reader_lag_bytes) {
			log_info("reader cut", "path=%s behind=%llu", s->path,
			         (unsigned long long)(s->tail - r->position));
			counter_add(w->counters, readers_cut_total, 1);
			reply_abort(leave(r));
			return;
		}
		uint64_t to = store_page_end(w->store, s, r->position, s->tail, FRAME_BYTES);
		const struct sse_frame *frame = frame_for(f, r->position, to, r->cursor);
		if (frame == NULL) {
			reply_abort(leave(r)); /* trimmed: he learns it by 410 when he comes back */
			return;
		}
		r->position = to;
		r->sent_ms = w->now_ms;
		bool bare = r->request->close_delimited;
		r->blocked = !reply_write_chunk(r->request, frame->chunk, bare ? frame->bare_from : 0,
		                                bare ? frame->bare_len : frame->chunk->len);
		counter_add(w->counters, deliveries_total, 1);
	}
	r->live |= r->position == s->tail;
	if (r->position == s->tail && s->closed)
		reply_end(leave(r));
}

static void serve_long_poll(struct live_reader *r)
{
	struct stream *s = r->followed->stream;
	uint64_t position = r->position, cursor = r->cursor;
	if (s->dropped || s->deleted) {
		bool soft = !s->dropped;
		reply_error(leave(r), soft ? 410 : 404, "stream is deleted");
	} else if (position < s->tail) {
		s->pins++;
		streams_reply_page(leave(r), s, position, cursor);
		s->pins--;
	} else if (s->closed) {
		s->pins++;
		streams_reply_nothing(leave(r), s, cursor);
		s->pins--;
	}
}

static void serve(struct live_reader *r)
{
	if (r->kind == READER_SSE)
		serve_sse(r);
	else
		serve_long_poll(r);
}

static void on_drain(struct request *request)
{
	struct live_reader *r = request->feature;
	r->blocked = false;
	serve_sse(r);
}

/* A control event alone: what the client sees of a quiet stream. */
static void send_control(struct live_reader *r)
{
	struct sse_worker *w = r->followed->fanout->worker;
	uint64_t now = cursor_next(sse_worker_wall_ms(), (struct span){0});
	if (now > r->cursor)
		r->cursor = now;
	const struct sse_frame *frame = frame_for(r->followed, r->position, r->position, r->cursor);
	if (frame == NULL || r->blocked)
		return;
	bool bare = r->request->close_delimited;
	r->sent_ms = w->now_ms;
	r->blocked = !reply_write_chunk(r->request, frame->chunk, bare ? frame->bare_from : 0,
	                                bare ? frame->bare_len : frame->chunk->len);
}

static void on_timer(struct wheel_node *node)
{
	struct live_reader *r = (void *)((uint8_t *)node - offsetof(struct live_reader, timer));
	struct sse_worker *w = r->followed->fanout->worker;
	struct stream *s = r->followed->stream;
	if (!stream_gone(s))
		streams_touch(w, s);
	if (w->now_ms < r->end_ms) {
		if (r->kind == READER_SSE &&
		    w->now_ms >= r->sent_ms + w->settings->http_sse_keepalive_ms)
			send_control(r);
		set_timer(r);
		return;
	}
	if (r->kind == READER_SSE) {
		reply_end(leave(r));
		return;
	}
	uint64_t cursor = r->cursor;
	s->pins++;
	streams_reply_nothing(leave(r), s, cursor);
	s->pins--;
}

/* ---- turns ---- */

static void make_ready(struct followed *f)
{
	f->turn = f->readers;
	if (f->ready)
		return;
	f->ready = true;
	f->ready_next = NULL;
	*f->fanout->ready_last = f;
	f->fanout->ready_last = &f->ready_next;
}

static void on_change(void *arg, const struct store_change *change)
{
	struct fanout *fanout = arg;
	if (change->lapped)
		for (struct followed *f = fanout->all; f != NULL; f = f->next)
			make_ready(f);
	else if (change->stream != NULL && change->stream->follower != NULL)
		make_ready(change->stream->follower);
}

/* Readers of one stream until the slice is used up. */
static void serve_followed(struct followed *f, int *left)
{
	while (f->turn != NULL && *left > 0) {
		struct live_reader *r = f->turn;
		f->turn = r->next;
		(*left)--;
		serve(r);
	}
}

void fanout_turn(struct fanout *fanout)
{
	int left = SLICE_READERS;
	while (fanout->ready != NULL && left > 0) {
		struct followed *f = fanout->ready;
		struct stream *stream = f->stream;
		stream->pins++; /* the last reader may leave in his turn */
		serve_followed(f, &left);
		fanout->ready = f->ready_next;
		if (fanout->ready == NULL)
			fanout->ready_last = &fanout->ready;
		f->ready = false;
		if (f->turn != NULL) {
			struct live_reader *turn = f->turn;
			make_ready(f); /* to the end of the line */
			f->turn = turn;
		} else {
			unfollow(f);
		}
		stream->pins--;
	}
	if (fanout->ready != NULL)
		uv_async_send(&fanout->worker->store_async);
}

bool fanout_waiting(const struct fanout *fanout)
{
	return fanout->ready != NULL;
}

/* ---- joining ---- */

struct fanout *fanout_create(struct sse_worker *w)
{
	struct fanout *fanout = xcalloc(1, sizeof *fanout);
	fanout->worker = w;
	fanout->ready_last = &fanout->ready;
	store_set_follower(w->store, on_change, fanout);
	return fanout;
}

static struct live_reader *join(struct request *request, struct stream *stream, enum live_kind kind,
                           uint64_t from, uint64_t cursor, uint64_t lifetime_ms)
{
	struct sse_worker *w = request->worker;
	struct followed *f = follow(w->fanout, stream);
	struct live_reader *r = xcalloc(1, sizeof *r);
	*r = (struct live_reader){.request = request,
	                     .followed = f,
	                     .position = from,
	                     .cursor = cursor,
	                     .end_ms = w->now_ms + lifetime_ms,
	                     .timer = {.due = on_timer},
	                     .kind = (uint8_t)kind};
	r->next = f->readers;
	r->previous = &f->readers;
	if (r->next != NULL)
		r->next->previous = &r->next;
	f->readers = r;
	request->feature = r;
	request->on_gone = on_gone;
	sse_worker_count_readers(w, 1);
	return r;
}

void fanout_join_long_poll(struct request *request, struct stream *stream, uint64_t from,
                           uint64_t cursor)
{
	struct sse_worker *w = request->worker;
	if (w->fanout->draining) {
		streams_reply_nothing(request, stream, cursor);
		return;
	}
	set_timer(join(request, stream, READER_LONG_POLL, from, cursor,
	               w->settings->http_long_poll_timeout_ms));
}

/* Spread, so that readers who came together do not come back together. */
static uint64_t lifetime_ms(const struct settings *s)
{
	return s->http_sse_lifetime_ms + clock_random_below(s->http_sse_lifetime_ms / 4 + 1);
}

void fanout_join_sse(struct request *request, struct stream *stream, uint64_t from, uint64_t cursor)
{
	struct sse_worker *w = request->worker;
	struct header headers[5] = {{"content-type", SPAN("text/event-stream")},
	                            {"cache-control", SPAN("no-cache")},
	                            {"x-accel-buffering", SPAN("no")}};
	size_t count = 3;
	if (sse_needs_base64(stream))
		headers[count++] = (struct header){"stream-sse-data-encoding", SPAN("base64")};
	struct live_reader *r =
	        join(request, stream, READER_SSE, from, cursor, lifetime_ms(w->settings));
	reply_start(request, 200, headers, count, UINT64_MAX);
	request->on_drain = on_drain;
	set_timer(r);
	if (from == stream->tail)
		send_control(r); /* the first and only frame of a reader who is up to date */
	if (w->fanout->draining)
		reply_end(leave(r));
	else
		serve_sse(r);
}

void fanout_drain(struct fanout *fanout)
{
	fanout->draining = true;
	for (struct followed *f = fanout->all, *next; f != NULL; f = next) {
		next = f->next;
		for (struct live_reader *r = f->readers, *after; r != NULL; r = after) {
			after = r->next;
			struct stream *s = f->stream;
			uint64_t cursor = r->cursor;
			enum live_kind kind = (enum live_kind)r->kind;
			s->pins++;
			struct request *request = leave(r);
			if (kind == READER_SSE)
				reply_end(request);
			else
				streams_reply_nothing(request, s, cursor);
			s->pins--;
			if (after == NULL)
				break; /* f may be gone with its last reader */
		}
	}
}
