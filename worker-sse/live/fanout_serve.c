#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-sse/live/fanout_parts.h"

#include <stdlib.h>

enum {
	CATCH_UP_BYTES =
	        32 * 1024, /* of one for a reader far behind: so much at each of its turns */
};

/* ---- frames ---- */

struct frame_query cursor_query(const struct live_cursor *c, uint64_t to)
{
	const struct live_reader *r = c->reader;
	struct fanout *fanout = r->fanout;
	return (struct frame_query){.store = fanout->options.store,
	                            .builder = &fanout->builder,
	                            .waiting = fanout->options.waiting,
	                            .context = fanout->options.context,
	                            .stream = c->followed != NULL ? c->followed->stream : NULL,
	                            .from = c->position,
	                            .to = to,
	                            .variant = r->variant,
	                            .owner = r->owner};
}

static void forget_frames(struct followed *f)
{
	for (unsigned i = 0; i < FANOUT_FRAMES_KEPT; i++)
		sse_frame_finish(&f->frames[i].frame);
}

/* The frame for [position, to), shared with whoever else is there. NULL: cannot be read. */
static const struct sse_frame *shared_frame(const struct live_cursor *c, uint64_t to)
{
	struct followed *f = c->followed;
	const struct live_reader *r = c->reader;
	const struct stream *s = f->stream;
	for (unsigned i = 0; i < FANOUT_FRAMES_KEPT; i++) {
		struct kept_frame *kept = &f->frames[i];
		if (kept->frame.chunk != NULL && kept->frame.from == c->position &&
		    kept->asked == to && kept->view == r->view && kept->variant == r->variant &&
		    (kept->tail == to) == (s->tail == to) && kept->closed == s->closed)
			return &kept->frame;
	}
	struct kept_frame *kept = &f->frames[f->frame_next++ % FANOUT_FRAMES_KEPT];
	sse_frame_finish(&kept->frame);
	const struct frame_query query = cursor_query(c, to);
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

void reader_send(struct live_reader *r, const struct sse_frame *frame)
{
	r->sent_ms = r->fanout->options.wheel->now_ms;
	r->said_closed = frame->closed;
	r->blocked = !r->sink.kind->write(r->sink.to, frame);
	counter_add(r->fanout->options.counters, deliveries_total, 1);
}

/* ---- coming and going ---- */

struct followed *followed_of(struct fanout *fanout, struct stream *stream)
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

void followed_release(struct followed *f)
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
void cursor_link(struct live_cursor *c, struct followed *f)
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

void cursor_fall_behind(struct live_cursor *c)
{
	struct fanout *fanout = c->followed->fanout;
	if (c->behind_previous != NULL)
		return;
	c->behind_next = NULL;
	c->behind_previous = fanout->behind_last;
	*fanout->behind_last = c;
	fanout->behind_last = &c->behind_next;
	fanout_run_more(fanout);
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
	followed_release(f);
}

void fanout_drop(struct live_reader *r, const struct stream *stream)
{
	for (struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling)
		if (c->followed != NULL && c->followed->stream == stream)
			cursor_unlink(c);
}

struct sink reader_leave(struct live_reader *r)
{
	struct sink sink = r->sink;
	struct fanout *fanout = r->fanout;
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
	fanout->options.on_readers(fanout->options.context, -1);
	if (sink.kind != NULL)
		sink.kind->release(sink.to);
	if (r->view->left != NULL)
		r->view->left(r->owner);
	free(r);
	return sink;
}

void reader_tell(struct live_reader *r, enum fanout_news news)
{
	struct stream *stream = r->cursor.followed->stream;
	uint64_t position = r->cursor.position, variant = r->variant;
	const struct fanout_view *view = r->view;
	void *owner = r->owner;
	stream->pins++; /* it is the last that follows it, maybe */
	reader_leave(r);
	view->news(owner, stream, position, variant, news);
	stream->pins--;
}

static void say_farewell(struct live_reader *r, enum fanout_end why)
{
	struct sse_frame frame = {0};
	const struct frame_query query = cursor_query(&r->cursor, r->cursor.position);
	bool said = why == FANOUT_END_CLOSED && r->said_closed;
	if (!said && r->view->farewell != NULL && r->view->farewell(&frame, &query, why))
		reader_send(r, &frame);
	sse_frame_finish(&frame);
}

void fanout_leave(struct live_reader *r, enum fanout_end why)
{
	const struct fanout_options *o = &r->fanout->options;
	bool cut = why == FANOUT_END_LAG || why == FANOUT_END_TRIMMED;
	if (why == FANOUT_END_LAG) {
		log_info("reader cut", "view=%s behind_more_than=%llu", r->view->name,
		         (unsigned long long)o->settings->limits_reader_lag_bytes);
		counter_add(o->counters, readers_cut_total, 1);
	}
	say_farewell(r, why);
	struct sink sink = reader_leave(r);
	/* Cut where the client must not take the end for a whole answer. */
	sink.kind->end(sink.to, cut ? SINK_CUT : SINK_WHOLE);
}

/* ---- serving ---- */

bool fanout_overfull(const struct live_reader *r)
{
	const struct fanout_options *o = &r->fanout->options;
	return r->blocked && r->sink.kind->pending(r->sink.to) >
	                             waiting_room(o->waiting, o->settings->limits_reader_lag_bytes);
}

/* True: it goes on. */
static bool lose(struct live_cursor *c, enum fanout_end why)
{
	struct live_reader *r = c->reader;
	struct sse_frame frame = {0};
	const struct stream *s = c->followed->stream;
	uint64_t first = why == FANOUT_END_TRIMMED
	                         ? stream_first(store_view(r->fanout->options.store), s)
	                         : c->position;
	const struct frame_query query = cursor_query(c, first);
	if (fanout_overfull(r)) {
		fanout_leave(r, FANOUT_END_LAG);
		return false;
	}
	bool go_on = r->view->lost != NULL && first >= c->position &&
	             (why == FANOUT_END_GONE || first > c->position) &&
	             r->view->lost(&frame, &query, why);
	if (go_on) {
		reader_send(r, &frame);
		c->position = first;
		if (why == FANOUT_END_GONE)
			cursor_unlink(c);
	}
	sse_frame_finish(&frame);
	if (!go_on)
		fanout_leave(r, why);
	return go_on;
}

/* One write. False: it is gone. */
static bool deliver(struct live_cursor *c, uint64_t to)
{
	struct live_reader *r = c->reader;
	struct sse_frame own = {0};
	const struct sse_frame *frame;
	if (r->view->shared) {
		frame = shared_frame(c, to);
	} else {
		const struct frame_query query = cursor_query(c, to);
		frame = r->view->frame(&own, &query) ? &own : NULL;
		c->followed->fanout->made += frame != NULL ? own.chunk->len : 0;
	}
	if (frame == NULL && store_view(r->fanout->options.store)->unreadable) {
		fanout_leave(r, FANOUT_END_RESUME); /* not gone: when it is back, it is told with a
		                                       status */
		return false;
	}
	if (frame == NULL)
		return lose(c, FANOUT_END_TRIMMED);
	c->position = frame->to != 0 ? frame->to : to;
	reader_send(r, frame);
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
		                        store_page_end(f->fanout->options.store, s, c->position,
		                                       s->tail, bytes_max),
		                        s->tail, bytes_max};
	return f->page.to;
}

/* One write of at most about bytes_max: for a live reader that is everything between its position
 * and the tail. Whoever has more to get waits for its turn among those who catch up. False: it is
 * gone. */
static bool serve_up_to(struct live_cursor *c, size_t bytes_max)
{
	struct live_reader *r = c->reader;
	const struct stream *s = c->followed->stream;
	if (stream_gone(s))
		return lose(c, FANOUT_END_GONE);
	if (!r->blocked && c->position < s->tail) {
		if (c->live &&
		    s->tail - c->position > r->fanout->options.settings->limits_reader_lag_bytes) {
			fanout_leave(r, FANOUT_END_LAG);
			return false;
		}
		const struct waiting *waiting = r->fanout->options.waiting;
		uint64_t to = page_end(c, waiting_piece(waiting, bytes_max));
		if (!waiting_fits(waiting, (size_t)(to - c->position))) { /* one message */
			log_info("no room for a message", "bytes=%llu",
			         (unsigned long long)(to - c->position));
			fanout_leave(r, FANOUT_END_LAG);
			return false;
		}
		if (!deliver(c, to))
			return false;
	}
	if (c->position < s->tail && !r->blocked && c->followed != NULL)
		cursor_fall_behind(c);
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

static void serve_wait(struct live_reader *r)
{
	const struct stream *s = r->cursor.followed->stream;
	if (stream_gone(s))
		reader_tell(r, FANOUT_NEWS_GONE);
	else if (r->cursor.position < s->tail)
		reader_tell(r, FANOUT_NEWS_DATA);
	else if (s->closed)
		reader_tell(r, FANOUT_NEWS_CLOSED);
}

bool cursor_serve(struct live_cursor *c)
{
	const struct stream *s = c->followed->stream;
	if (c->reader->view->news != NULL) {
		serve_wait(c->reader);
		return true;
	}
	if (c->behind_previous != NULL && !stream_gone(s))
		return true; /* it has its turn elsewhere */
	if (s->tail - c->position > FANOUT_FRAME_BYTES && !c->reader->blocked) {
		cursor_fall_behind(c);
		return true;
	}
	return serve_up_to(c, FANOUT_FRAME_BYTES);
}

void fanout_serve_behind(struct fanout *fanout, int readers)
{
	while (fanout->behind != NULL && readers-- > 0) {
		struct live_cursor *c = fanout->behind;
		struct stream *stream = c->followed->stream;
		stream->pins++; /* it may leave */
		behind_remove(c);
		serve_up_to(c, CATCH_UP_BYTES);
		stream->pins--;
	}
}
