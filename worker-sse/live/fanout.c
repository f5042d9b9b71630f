#include "worker-sse/live/fanout.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/views/streams.h"
#include "worker-sse/views/streams_read.h"

#include <stdlib.h>

enum {
	SLICE_READERS = 16,       /* served between two polls for input: some fifty microseconds */
	QUIET_SLICES = 8,         /* nobody said anything for so many of them: */
	QUIET_SLICE_READERS = 96, /* ... a poll less often */
	FRAME_BYTES = 256 * 1024, /* payload of one frame */
	CATCH_UP_BYTES =
	        32 * 1024,     /* of one for a reader far behind: so much at each of his turns */
	CATCH_UP_READERS = 1,  /* who get one between two polls, */
	CATCH_UP_SLICES = 8,   /* ... or one in so many slices while live readers wait */
	SLICE_BYTES = 1 << 20, /* of frames made, not of those shared: a slice ends, a reader who
	                          comes catches up */
	FRAMES_KEPT = 4,       /* per stream: readers that are not all at one cursor share too */
};

/* Where a reader stands in one stream. */
struct live_cursor {
	struct live_reader *reader;
	struct followed *followed;
	struct live_cursor *next, *previous; /* followed->first ... last */
	struct live_cursor *sibling;         /* the reader's next stream */
	struct live_cursor *behind_next,
	        **behind_previous; /* fanout->behind; previous NULL: not on it */
	uint64_t position;         /* everything before it was handed to his connection */
	bool live; /* has been at the tail: from then on he may not fall far behind */
};

/* One live reader: 208 bytes with his first stream, beside what his connection and request take. */
struct live_reader {
	struct live_cursor cursor; /* the first; followed NULL: follows nothing */
	struct request *request;
	const struct fanout_view *view; /* NULL: long-poll */
	void *owner;
	uint64_t variant;
	uint64_t sent_ms;
	uint64_t end_ms;
	struct wheel_node timer;
	struct live_reader *next, **previous; /* fanout->readers */
	bool blocked;                         /* waits for his connection to drain */
	bool said_closed;                     /* his last frame told that the stream is closed */
};

struct kept_frame {
	const struct fanout_view *view;
	struct sse_frame frame;
	uint64_t variant, tail; /* of the stream when it was made */
	uint64_t asked;         /* up to where; it may end sooner */
	bool closed;
};

/* Where a page of a stream ends. */
struct page {
	uint64_t from, to, tail;
	size_t bytes_max;
};

/* A stream that somebody follows. */
struct followed {
	struct stream *stream; /* pinned */
	struct fanout *fanout;
	struct live_cursor *first, *last;
	struct live_cursor *turn; /* next to be served; NULL: the first */
	size_t count, left;       /* cursors; those to be served since the last change */
	struct followed *ready_next;
	struct followed *next, **previous; /* fanout->all */
	struct kept_frame frames[FRAMES_KEPT];
	unsigned frame_next;
	struct page page; /* the last that was looked up */
	bool ready;
};

struct fanout {
	struct sse_worker *worker;
	struct live_reader *readers;
	struct followed *all;
	struct followed *ready, **ready_last;      /* changed since their readers were served */
	struct live_cursor *behind, **behind_last; /* catching up, in turn, a frame each */
	uv_idle_t more; /* runs while somebody is left over: the loop polls input but does not sleep
	                 */
	void (*on_created)(void *arg, struct stream *stream);
	void *on_created_arg;
	uint64_t *created; /* ids of streams the observer has not yet seen */
	size_t created_count, created_room;
	size_t made;     /* bytes of frames since the last slice began */
	uint64_t heard;  /* bytes received when the last slice began */
	unsigned quiet;  /* slices since then without any */
	unsigned slices; /* since somebody who catches up was served */
	bool draining;
};

/* ---- frames ---- */

static struct frame_query query_of(const struct live_cursor *c, uint64_t to)
{
	const struct live_reader *r = c->reader;
	return (struct frame_query){.worker = r->request->worker,
	                            .stream = c->followed != NULL ? c->followed->stream : NULL,
	                            .from = c->position,
	                            .to = to,
	                            .variant = r->variant,
	                            .owner = r->owner};
}

static void forget_frames(struct followed *f)
{
	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		sse_frame_finish(&f->frames[i].frame);
}

/* The frame for [position, to), shared with whoever else is there. NULL: cannot be read. */
static const struct sse_frame *shared_frame(const struct live_cursor *c, uint64_t to)
{
	struct followed *f = c->followed;
	const struct live_reader *r = c->reader;
	const struct stream *s = f->stream;
	for (unsigned i = 0; i < FRAMES_KEPT; i++) {
		struct kept_frame *kept = &f->frames[i];
		if (kept->frame.chunk != NULL && kept->frame.from == c->position &&
		    kept->asked == to && kept->view == r->view && kept->variant == r->variant &&
		    (kept->tail == to) == (s->tail == to) && kept->closed == s->closed)
			return &kept->frame;
	}
	struct kept_frame *kept = &f->frames[f->frame_next++ % FRAMES_KEPT];
	sse_frame_finish(&kept->frame);
	const struct frame_query query = query_of(c, to);
	if (!r->view->frame(&kept->frame, &query))
		return NULL;
	f->fanout->made += kept->frame.chunk->len;
	kept->view = r->view;
	kept->variant = r->variant;
	kept->tail = s->tail;
	kept->closed = s->closed;
	kept->asked = to;
	kept->frame.from = c->position;
	if (kept->frame.to == 0)
		kept->frame.to = to;
	return &kept->frame;
}

static void send_frame(struct live_reader *r, const struct sse_frame *frame)
{
	r->sent_ms = r->request->worker->now_ms;
	r->said_closed = frame->closed;
	r->blocked = r->request->close_delimited
	                     ? !reply_write_chunk(r->request, frame->chunk, frame->bare_from,
	                                          frame->bare_len)
	                     : !reply_write_chunk(r->request, frame->chunk, 0, frame->chunk->len);
	counter_add(r->request->worker->counters, deliveries_total, 1);
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
	if (f->first != NULL || f->ready)
		return; /* one on the ready list goes when it is taken off */
	*f->previous = f->next;
	if (f->next != NULL)
		f->next->previous = f->previous;
	f->stream->follower = NULL;
	f->stream->pins--;
	forget_frames(f);
	free(f);
}

/* Behind all others: whoever came first is served first. */
static void cursor_link(struct live_cursor *c, struct followed *f)
{
	c->followed = f;
	c->next = NULL;
	c->previous = f->last;
	if (f->last != NULL)
		f->last->next = c;
	else
		f->first = c;
	f->last = c;
	f->count++;
}

/* ---- catching up ---- */

static void run_more(struct fanout *fanout);

static void behind_push(struct live_cursor *c)
{
	struct fanout *fanout = c->followed->fanout;
	if (c->behind_previous != NULL)
		return;
	c->behind_next = NULL;
	c->behind_previous = fanout->behind_last;
	*fanout->behind_last = c;
	fanout->behind_last = &c->behind_next;
	run_more(fanout);
}

static void behind_remove(struct live_cursor *c)
{
	struct fanout *fanout = c->followed->fanout;
	if (c->behind_previous == NULL)
		return;
	*c->behind_previous = c->behind_next;
	if (c->behind_next != NULL)
		c->behind_next->behind_previous = c->behind_previous;
	else
		fanout->behind_last = c->behind_previous;
	c->behind_previous = NULL;
}

static void cursor_unlink(struct live_cursor *c)
{
	struct followed *f = c->followed;
	if (f == NULL)
		return;
	behind_remove(c);
	if (f->turn == c)
		f->turn = c->next;
	if (c->previous != NULL)
		c->previous->next = c->next;
	else
		f->first = c->next;
	if (c->next != NULL)
		c->next->previous = c->previous;
	else
		f->last = c->previous;
	f->count--;
	if (f->left > f->count)
		f->left = f->count;
	c->followed = NULL;
	unfollow(f);
}

/* Takes the reader off every list; his request is the caller's. */
static struct request *leave(struct live_reader *r)
{
	struct request *request = r->request;
	wheel_cancel(&r->timer);
	*r->previous = r->next;
	if (r->next != NULL)
		r->next->previous = r->previous;
	struct live_cursor *more = r->cursor.sibling;
	cursor_unlink(&r->cursor);
	while (more != NULL) {
		struct live_cursor *next = more->sibling;
		cursor_unlink(more);
		free(more);
		more = next;
	}
	sse_worker_count_readers(request->worker, -1);
	request->on_gone = NULL;
	request->on_drain = NULL;
	request->feature = NULL;
	if (r->view != NULL && r->view->left != NULL)
		r->view->left(r->owner);
	free(r);
	return request;
}

static void on_gone(struct request *request)
{
	leave(request->feature);
}

static void say_farewell(struct live_reader *r, enum fanout_end why)
{
	struct sse_frame frame = {0};
	const struct frame_query query = query_of(&r->cursor, r->cursor.position);
	bool said = why == FANOUT_END_CLOSED && r->said_closed;
	if (!said && r->view->farewell != NULL && r->view->farewell(&frame, &query, why))
		send_frame(r, &frame);
	sse_frame_finish(&frame);
}

void fanout_leave(struct live_reader *r, enum fanout_end why)
{
	struct sse_worker *w = r->request->worker;
	bool cut = why == FANOUT_END_LAG || why == FANOUT_END_TRIMMED;
	if (why == FANOUT_END_LAG) {
		log_info("reader cut", "view=%s behind_more_than=%llu", r->view->name,
		         (unsigned long long)w->settings->limits_reader_lag_bytes);
		counter_add(w->counters, readers_cut_total, 1);
	}
	say_farewell(r, why);
	struct request *request = leave(r);
	/* Cut where the client must not take the end for a whole answer. */
	if (cut)
		reply_abort(request);
	else
		reply_end(request);
}

/* ---- serving ---- */

static bool stream_gone(const struct stream *s)
{
	return s->dropped || s->deleted;
}

/* What is said of streams that come and go is said at once: it must not pile up before one who
 * takes nothing. */
static bool overfull(const struct live_reader *r)
{
	return r->blocked &&
	       reply_pending(r->request) > r->request->worker->settings->limits_reader_lag_bytes;
}

/* True: he goes on. */
static bool lose(struct live_cursor *c, enum fanout_end why)
{
	struct live_reader *r = c->reader;
	struct sse_frame frame = {0};
	const struct stream *s = c->followed->stream;
	uint64_t first = why == FANOUT_END_TRIMMED
	                         ? stream_first(store_view(r->request->worker->store), s)
	                         : c->position;
	const struct frame_query query = query_of(c, first);
	if (overfull(r)) {
		fanout_leave(r, FANOUT_END_LAG);
		return false;
	}
	bool go_on = r->view->lost != NULL && first >= c->position &&
	             (why == FANOUT_END_GONE || first > c->position) &&
	             r->view->lost(&frame, &query, why);
	if (go_on) {
		send_frame(r, &frame);
		c->position = first;
		if (why == FANOUT_END_GONE)
			cursor_unlink(c);
	}
	sse_frame_finish(&frame);
	if (!go_on)
		fanout_leave(r, why);
	return go_on;
}

/* One write. False: he is gone. */
static bool deliver(struct live_cursor *c, uint64_t to)
{
	struct live_reader *r = c->reader;
	struct sse_frame own = {0};
	const struct sse_frame *frame;
	if (r->view->shared) {
		frame = shared_frame(c, to);
	} else {
		const struct frame_query query = query_of(c, to);
		frame = r->view->frame(&own, &query) ? &own : NULL;
		c->followed->fanout->made += frame != NULL ? own.chunk->len : 0;
	}
	if (frame == NULL && store_view(r->request->worker->store)->unreadable) {
		fanout_leave(r, FANOUT_END_RESUME); /* not gone: when he is back, he is told with a
		                                       status */
		return false;
	}
	if (frame == NULL)
		return lose(c, FANOUT_END_TRIMMED);
	c->position = frame->to != 0 ? frame->to : to;
	send_frame(r, frame);
	sse_frame_finish(&own);
	return true;
}

static bool all_closed(const struct live_reader *r)
{
	for (const struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling)
		if (c->followed != NULL &&
		    !(c->followed->stream->closed && c->position == c->followed->stream->tail))
			return false;
	return true;
}

/* Looked up once for all who stand at the same place. */
static uint64_t page_end(const struct live_cursor *c, size_t bytes_max)
{
	struct followed *f = c->followed;
	const struct stream *s = f->stream;
	if (s->tail - c->position <= bytes_max)
		return s->tail;
	if (f->page.from != c->position || f->page.bytes_max != bytes_max ||
	    f->page.tail != s->tail)
		f->page = (struct page){c->position,
		                        store_page_end(c->reader->request->worker->store, s,
		                                       c->position, s->tail, bytes_max),
		                        s->tail, bytes_max};
	return f->page.to;
}

/* One write of at most about bytes_max: for a live reader that is everything between his position
 * and the tail. Whoever has more to get waits for his turn among those who catch up. False: he is
 * gone. */
static bool serve_up_to(struct live_cursor *c, size_t bytes_max)
{
	struct live_reader *r = c->reader;
	const struct stream *s = c->followed->stream;
	struct sse_worker *w = r->request->worker;
	if (stream_gone(s))
		return lose(c, FANOUT_END_GONE);
	if (!r->blocked && c->position < s->tail) {
		if (c->live && s->tail - c->position > w->settings->limits_reader_lag_bytes) {
			fanout_leave(r, FANOUT_END_LAG);
			return false;
		}
		if (!deliver(c, page_end(c, bytes_max)))
			return false;
	}
	if (c->position < s->tail && !r->blocked && c->followed != NULL)
		behind_push(c);
	c->live |= c->position == s->tail;
	if (!s->closed || r->blocked || c->position < s->tail)
		return true;
	if (r->view->finished != NULL && r->view->finished(r->owner, s)) {
		cursor_unlink(c);
	} else if (all_closed(r)) {
		fanout_leave(r, FANOUT_END_CLOSED);
		return false;
	}
	return true;
}

/* A turn. False: he is gone. */
static bool serve_cursor(struct live_cursor *c)
{
	const struct stream *s = c->followed->stream;
	if (c->behind_previous != NULL && !stream_gone(s))
		return true; /* he has his turn elsewhere */
	if (s->tail - c->position > FRAME_BYTES && !c->reader->blocked) {
		behind_push(c);
		return true;
	}
	return serve_up_to(c, FRAME_BYTES);
}

static void serve_behind(struct fanout *fanout, int readers)
{
	while (fanout->behind != NULL && readers-- > 0) {
		struct live_cursor *c = fanout->behind;
		struct stream *stream = c->followed->stream;
		stream->pins++; /* he may leave */
		behind_remove(c);
		serve_up_to(c, CATCH_UP_BYTES);
		stream->pins--;
	}
}

static void serve_long_poll(struct live_reader *r)
{
	struct stream *s = r->cursor.followed->stream;
	uint64_t position = r->cursor.position, cursor = r->variant;
	if (stream_gone(s)) {
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

static void on_drain(struct request *request)
{
	struct live_reader *r = request->feature;
	r->blocked = false;
	for (struct live_cursor *c = &r->cursor, *next; c != NULL; c = next) {
		next = c->sibling;
		if (c->followed != NULL && !serve_cursor(c))
			return;
	}
}

/* ---- time ---- */

/* A stream with a short TTL is kept by whoever reads it. */
static uint64_t renewal_due(const struct live_reader *r, uint64_t due_ms)
{
	uint64_t now_ms = r->request->worker->now_ms;
	for (const struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling) {
		const struct stream *s = c->followed != NULL ? c->followed->stream : NULL;
		if (s != NULL && s->ttl_present && now_ms + s->ttl_s * 500 + 50 < due_ms)
			due_ms = now_ms + s->ttl_s * 500 + 50;
	}
	return due_ms;
}

/* When to look at the reader again: heartbeat, end of his answer, renewal of a short TTL. */
static void set_timer(struct live_reader *r)
{
	struct sse_worker *w = r->request->worker;
	uint64_t due_ms = r->end_ms;
	bool beats = r->view != NULL && r->view->heartbeat != NULL;
	if (beats && r->sent_ms + w->settings->http_sse_keepalive_ms < due_ms)
		due_ms = r->sent_ms + w->settings->http_sse_keepalive_ms;
	wheel_set(&w->wheel, &r->timer, renewal_due(r, due_ms));
}

static void beat(struct live_reader *r)
{
	struct sse_frame frame = {0};
	const struct frame_query query = query_of(&r->cursor, r->cursor.position);
	if (!r->blocked && r->view->heartbeat(&frame, &query, &r->variant))
		send_frame(r, &frame);
	sse_frame_finish(&frame);
}

static void touch_all(struct live_reader *r)
{
	for (struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling)
		if (c->followed != NULL && !stream_gone(c->followed->stream))
			streams_touch(r->request->worker, c->followed->stream);
}

static void on_timer(struct wheel_node *node)
{
	struct live_reader *r = (void *)((uint8_t *)node - offsetof(struct live_reader, timer));
	struct sse_worker *w = r->request->worker;
	touch_all(r);
	if (w->now_ms < r->end_ms) {
		if (r->view != NULL && r->view->heartbeat != NULL &&
		    w->now_ms >= r->sent_ms + w->settings->http_sse_keepalive_ms)
			beat(r);
		set_timer(r);
	} else if (r->view != NULL) {
		fanout_leave(r, FANOUT_END_TIME);
	} else {
		struct stream *s = r->cursor.followed->stream;
		uint64_t cursor = r->variant;
		s->pins++;
		streams_reply_nothing(leave(r), s, cursor);
		s->pins--;
	}
}

void fanout_set_end(struct live_reader *r, uint64_t end_ms)
{
	r->end_ms = end_ms;
	set_timer(r);
}

uint64_t fanout_lifetime_end(const struct sse_worker *w)
{
	uint64_t lifetime_ms = w->settings->http_sse_lifetime_ms;
	return w->now_ms + lifetime_ms + clock_random_below(lifetime_ms / 4 + 1);
}

/* ---- turns ---- */

/* Everybody is due once more, from whoever is next. */
static void make_ready(struct followed *f)
{
	f->left = f->count;
	if (f->ready)
		return;
	f->ready = true;
	f->ready_next = NULL;
	*f->fanout->ready_last = f;
	f->fanout->ready_last = &f->ready_next;
}

/* Looked at in the next turn: within a change nothing may be read. */
static void note_created(struct fanout *fanout, uint64_t id)
{
	if (fanout->on_created == NULL)
		return;
	if (fanout->created_count == fanout->created_room) {
		fanout->created_room = fanout->created_room != 0 ? fanout->created_room * 2 : 16;
		fanout->created =
		        xrealloc(fanout->created, fanout->created_room * sizeof *fanout->created);
	}
	fanout->created[fanout->created_count++] = id;
}

static void tell_created(struct fanout *fanout)
{
	struct state *view = store_view(fanout->worker->store);
	for (size_t i = 0; i < fanout->created_count; i++) {
		uint64_t id = fanout->created[i];
		struct stream *stream = id != 0 ? state_find_id(view, id) : NULL;
		if (id == 0 || (stream != NULL && !stream_gone(stream)))
			fanout->on_created(fanout->on_created_arg, stream);
	}
	fanout->created_count = 0;
}

static void on_change(void *arg, const struct store_change *change)
{
	struct fanout *fanout = arg;
	if (change->lapped) {
		for (struct followed *f = fanout->all; f != NULL; f = f->next)
			make_ready(f);
		note_created(fanout, 0);
		return;
	}
	if (change->stream == NULL)
		return;
	if (change->stream->follower != NULL)
		make_ready(change->stream->follower);
	if (change->entry->kind == ENTRY_CREATE)
		note_created(fanout, change->stream->id);
}

void fanout_observe(struct fanout *fanout, void (*on_created)(void *arg, struct stream *stream),
                    void *arg)
{
	fanout->on_created = on_created;
	fanout->on_created_arg = arg;
}

/* Ten thousand readers do not stay in the cache between two events: what the next ones need is
 * fetched while the kernel sends for this one. */
static void prefetch(const struct live_cursor *c)
{
	const struct live_cursor *soon = c->next, *later = soon != NULL ? soon->next : NULL;
	if (soon != NULL)
		reply_prefetch_near(soon->reader->request);
	if (later == NULL)
		return;
	reply_prefetch_far(later->reader->request);
	if (later->next != NULL) {
		__builtin_prefetch(later->next);
		__builtin_prefetch((const uint8_t *)later->next + 64);
	}
}

/* Readers of one stream until the slice is used up. */
static void serve_followed(struct followed *f, int *slice)
{
	while (f->left > 0 && *slice > 0 && f->fanout->made < SLICE_BYTES) {
		struct live_cursor *c = f->turn != NULL ? f->turn : f->first;
		f->turn = c->next;
		f->left--;
		(*slice)--;
		prefetch(c);
		if (c->reader->view != NULL)
			serve_cursor(c);
		else
			serve_long_poll(c->reader);
	}
}

static struct followed *take_ready(struct fanout *fanout)
{
	struct followed *f = fanout->ready;
	fanout->ready = f->ready_next;
	if (fanout->ready == NULL)
		fanout->ready_last = &fanout->ready;
	f->ready = false;
	return f;
}

static void on_more(uv_idle_t *idle)
{
	fanout_turn(idle->data);
}

static int slice_size(struct fanout *fanout)
{
	uint64_t heard = counter_get(fanout->worker->counters, bytes_in_total);
	fanout->quiet = heard == fanout->heard ? fanout->quiet + 1 : 0;
	fanout->heard = heard;
	return fanout->quiet < QUIET_SLICES ? SLICE_READERS : QUIET_SLICE_READERS;
}

/* Live readers go first, but not for ever. */
static int catch_up_readers(struct fanout *fanout)
{
	if (fanout->ready != NULL && ++fanout->slices % CATCH_UP_SLICES != 0)
		return 0;
	return fanout->ready != NULL ? 1 : CATCH_UP_READERS;
}

void fanout_turn(struct fanout *fanout)
{
	int slice = slice_size(fanout);
	tell_created(fanout);
	fanout->made = 0;
	while (fanout->ready != NULL && slice > 0 && fanout->made < SLICE_BYTES) {
		struct followed *f = fanout->ready;
		struct stream *stream = f->stream;
		stream->pins++; /* the last reader may leave in his turn */
		serve_followed(f, &slice);
		take_ready(fanout);
		if (f->left > 0) {
			size_t left = f->left;
			make_ready(f); /* to the end of the line */
			f->left = left;
		} else {
			unfollow(f);
		}
		stream->pins--;
	}
	serve_behind(fanout, catch_up_readers(fanout));
	if (fanout->ready == NULL && fanout->behind == NULL)
		uv_idle_stop(&fanout->more);
	else
		run_more(fanout);
}

static void run_more(struct fanout *fanout)
{
	if (!uv_is_active((const uv_handle_t *)&fanout->more))
		uv_idle_start(&fanout->more, on_more);
}

/* ---- joining ---- */

struct fanout *fanout_create(struct sse_worker *w)
{
	struct fanout *fanout = xcalloc(1, sizeof *fanout);
	fanout->worker = w;
	fanout->ready_last = &fanout->ready;
	fanout->behind_last = &fanout->behind;
	uv_idle_init(w->worker->loop, &fanout->more);
	fanout->more.data = fanout;
	store_set_follower(w->store, on_change, fanout);
	return fanout;
}

struct live_reader *fanout_join(struct request *request, const struct fanout_view *view,
                                void *owner, uint64_t variant, uint64_t end_ms)
{
	struct fanout *fanout = request->worker->fanout;
	struct live_reader *r = xcalloc(1, sizeof *r);
	*r = (struct live_reader){.request = request,
	                          .view = view,
	                          .owner = owner,
	                          .variant = variant,
	                          .end_ms = end_ms,
	                          .sent_ms = request->worker->now_ms,
	                          .timer = {.due = on_timer}};
	r->cursor.reader = r;
	r->next = fanout->readers;
	r->previous = &fanout->readers;
	if (r->next != NULL)
		r->next->previous = &r->next;
	fanout->readers = r;
	request->feature = r;
	request->on_gone = on_gone;
	request->on_drain = view != NULL ? on_drain : NULL;
	request->comments = view != NULL;
	sse_worker_count_readers(request->worker, 1);
	if (view != NULL)
		request_forget(request);
	set_timer(r);
	return r;
}

/* One that follows nothing any more, or a new one. */
static struct live_cursor *add_cursor(struct live_reader *r)
{
	struct live_cursor *c = &r->cursor;
	while (c->followed != NULL && c->sibling != NULL)
		c = c->sibling;
	if (c->followed != NULL) {
		c->sibling = xcalloc(1, sizeof *c);
		c = c->sibling;
		c->reader = r;
	}
	c->live = false;
	return c;
}

bool fanout_add(struct live_reader *r, struct stream *stream, uint64_t from)
{
	struct fanout *fanout = r->request->worker->fanout;
	struct live_cursor *c = add_cursor(r);
	c->position = from;
	cursor_link(c, follow(fanout, stream));
	set_timer(r);
	if (fanout->draining) {
		fanout_leave(r, FANOUT_END_DRAIN);
		return false;
	}
	if (overfull(r)) {
		fanout_leave(r, FANOUT_END_LAG);
		return false;
	}
	if (fanout->made >= SLICE_BYTES && from < stream->tail) {
		behind_push(c);
		return true;
	}
	return r->blocked || serve_cursor(c);
}

void fanout_send(struct live_reader *r, const struct sse_frame *frame)
{
	send_frame(r, frame);
}

void fanout_join_long_poll(struct request *request, struct stream *stream, uint64_t from,
                           uint64_t cursor)
{
	struct sse_worker *w = request->worker;
	if (w->fanout->draining) {
		streams_reply_nothing(request, stream, cursor);
		return;
	}
	struct live_reader *r = fanout_join(request, NULL, NULL, cursor,
	                                    w->now_ms + w->settings->http_long_poll_timeout_ms);
	struct live_cursor *c = add_cursor(r);
	c->position = from;
	cursor_link(c, follow(w->fanout, stream));
	set_timer(r);
}

static void end_reader(struct live_reader *r)
{
	if (r->view != NULL) {
		fanout_leave(r, FANOUT_END_DRAIN);
		return;
	}
	struct stream *s = r->cursor.followed->stream;
	uint64_t cursor = r->variant;
	s->pins++;
	streams_reply_nothing(leave(r), s, cursor);
	s->pins--;
}

void fanout_drain(struct fanout *fanout)
{
	fanout->draining = true;
	while (fanout->readers != NULL)
		end_reader(fanout->readers);
}

bool fanout_draining(const struct fanout *fanout)
{
	return fanout->draining;
}
