#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/live/fanout_parts.h"
#include "worker-sse/live/touch.h"

#include <stdlib.h>

enum {
	SLICE_READERS = 16,       /* served between two polls for input: some fifty microseconds */
	QUIET_SLICES = 8,         /* nobody said anything for so many of them: */
	QUIET_SLICE_READERS = 96, /* ... a poll less often */
	EXPIRED_AT_ONCE = 512,    /* who end in one tick because their credential does: some ms */
	CATCH_UP_READERS = 1,     /* who get one between two polls, */
	CATCH_UP_SLICES = 8,      /* ... or one in so many slices while live readers wait */
};

/* ---- time ---- */

/* A stream with a short TTL is kept by whoever reads it. */
static uint64_t renewal_due(const struct live_reader *r, uint64_t due_ms)
{
	uint64_t now_ms = r->fanout->options.wheel->now_ms;
	for (const struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling) {
		const struct stream *s = c->followed != NULL ? c->followed->stream : NULL;
		if (s != NULL && s->ttl_present && now_ms + s->ttl_s * 500 + 50 < due_ms)
			due_ms = now_ms + s->ttl_s * 500 + 50;
	}
	return due_ms;
}

/* When to look at the reader again: heartbeat, end of its answer, renewal of a short TTL. */
static void set_timer(struct live_reader *r)
{
	const struct fanout_options *o = &r->fanout->options;
	uint64_t due_ms = r->end_ms;
	/* One that takes nothing gets no heartbeat: it is looked at no oftener than others. */
	uint64_t beat_ms =
	        (r->blocked ? o->wheel->now_ms : r->sent_ms) + o->settings->http_sse_keepalive_ms;
	if (r->view->heartbeat != NULL && beat_ms < due_ms)
		due_ms = beat_ms;
	wheel_set(o->wheel, &r->timer, renewal_due(r, due_ms));
}

static void beat(struct live_reader *r)
{
	struct sse_frame frame = {0};
	const struct frame_query query = cursor_query(&r->cursor, r->cursor.position);
	if (!r->blocked && r->view->heartbeat(&frame, &query, &r->variant))
		reader_send(r, &frame);
	sse_frame_finish(&frame);
}

static void touch_all(struct live_reader *r)
{
	for (struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling)
		if (c->followed != NULL && !stream_gone(c->followed->stream))
			touch_stream(r->fanout->options.store, c->followed->stream,
			             clock_wall_ms());
}

static void end_reader(struct live_reader *r, enum fanout_end why)
{
	if (r->view->news != NULL)
		reader_tell(r, FANOUT_NEWS_NONE);
	else
		fanout_leave(r, why);
}

/* All who came with one credential end with it: some at each tick, so that others have their turn.
 */
static bool may_end(const struct live_reader *r)
{
	struct fanout *fanout = r->fanout;
	uint64_t now_ms = fanout->options.wheel->now_ms;
	if (!r->expires)
		return true;
	if (fanout->expired_ms != now_ms)
		fanout->expired = 0;
	fanout->expired_ms = now_ms;
	return fanout->expired++ < EXPIRED_AT_ONCE;
}

static void on_timer(struct wheel_node *node)
{
	struct live_reader *r = (void *)((uint8_t *)node - offsetof(struct live_reader, timer));
	const struct fanout_options *o = &r->fanout->options;
	uint64_t now_ms = o->wheel->now_ms;
	touch_all(r);
	if (now_ms >= r->end_ms && !may_end(r)) {
		wheel_set(o->wheel, &r->timer, now_ms + 1);
		return;
	}
	if (now_ms >= r->end_ms) {
		end_reader(r, r->expires ? FANOUT_END_EXPIRED : FANOUT_END_TIME);
		return;
	}
	if (r->view->heartbeat != NULL && now_ms >= r->sent_ms + o->settings->http_sse_keepalive_ms)
		beat(r);
	set_timer(r);
}

uint64_t fanout_lifetime_end(const struct fanout *fanout)
{
	uint64_t lifetime_ms = fanout->options.settings->http_sse_lifetime_ms;
	return fanout->options.wheel->now_ms + lifetime_ms +
	       clock_random_below(lifetime_ms / 4 + 1);
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
	if (fanout->observers == NULL)
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
	struct state *view = store_view(fanout->options.store);
	for (size_t i = 0; i < fanout->created_count; i++) {
		uint64_t id = fanout->created[i];
		struct stream *stream = id != 0 ? state_find_id(view, id) : NULL;
		if (id != 0 && (stream == NULL || stream_gone(stream)))
			continue;
		if (stream != NULL)
			stream->pins++;
		for (struct fanout_observer *o = fanout->observers; o != NULL; o = o->next)
			if (o->created != NULL)
				o->created(fanout->options.context, stream);
		if (stream != NULL)
			stream->pins--;
	}
	fanout->created_count = 0;
}

static void tell_changed(const struct fanout *fanout, const struct stream *stream)
{
	for (const struct fanout_observer *o = fanout->observers; o != NULL; o = o->next)
		if (o->changed != NULL)
			o->changed(fanout->options.context, stream);
}

static void tell_row(const struct fanout *fanout, struct span key, bool there)
{
	for (const struct fanout_observer *o = fanout->observers; o != NULL; o = o->next)
		if (o->row != NULL)
			o->row(fanout->options.context, key, there);
}

static void on_change(void *arg, const struct store_change *change)
{
	struct fanout *fanout = arg;
	if (change->lapped) {
		for (struct followed *f = fanout->all; f != NULL; f = f->next)
			make_ready(f);
		note_created(fanout, 0);
		tell_changed(fanout, NULL);
		tell_row(fanout, (struct span){0}, false);
		return;
	}
	if (change->entry->kind == ENTRY_KV)
		tell_row(fanout, change->entry->key, change->entry->value.at != NULL);
	if (change->stream == NULL)
		return;
	if (change->stream->follower != NULL)
		make_ready(change->stream->follower);
	if (change->entry->kind == ENTRY_CREATE)
		note_created(fanout, change->stream->id);
	tell_changed(fanout, change->stream);
}

void fanout_observe(struct fanout *fanout, struct fanout_observer *observer)
{
	observer->next = fanout->observers;
	fanout->observers = observer;
}

static void fetch_near(const struct live_reader *r)
{
	if (r->sink.kind != NULL)
		r->sink.kind->prefetch_near(r->sink.to);
}

static void fetch_far(const struct live_reader *r)
{
	if (r->sink.kind != NULL)
		r->sink.kind->prefetch_far(r->sink.to);
}

static void fetch_first(const struct live_reader *r)
{
	if (r->sink.kind != NULL && r->sink.kind->prefetch_first != NULL)
		r->sink.kind->prefetch_first(r->sink.to);
}

/* Ten thousand readers do not stay in the cache between two events: what the next ones need is
 * fetched while the kernel sends for this one. */
static void prefetch(const struct live_cursor *c)
{
	const struct live_cursor *soon = c->next, *later = soon != NULL ? soon->next : NULL;
	if (soon != NULL)
		fetch_near(soon->reader);
	if (later == NULL)
		return;
	fetch_far(later->reader);
	const struct live_cursor *last = later->next;
	if (last == NULL)
		return;
	fetch_first(last->reader);
	if (last->next != NULL) {
		__builtin_prefetch(last->next);
		__builtin_prefetch((const uint8_t *)last->next + 64);
	}
}

/* Readers of one stream until the slice is used up. */
static void serve_followed(struct followed *f, int *slice)
{
	while (f->left > 0 && *slice > 0 && f->fanout->made < FANOUT_SLICE_BYTES) {
		struct live_cursor *c = f->turn != NULL ? f->turn : f->first;
		f->turn = c->next;
		f->left--;
		(*slice)--;
		prefetch(c);
		cursor_serve(c);
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
	uint64_t heard = counter_get(fanout->options.counters, bytes_in_total);
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
	while (fanout->ready != NULL && slice > 0 && fanout->made < FANOUT_SLICE_BYTES) {
		struct followed *f = fanout->ready;
		struct stream *stream = f->stream;
		stream->pins++; /* the last reader may leave in its turn */
		serve_followed(f, &slice);
		take_ready(fanout);
		if (f->left > 0) {
			size_t left = f->left;
			make_ready(f); /* to the end of the line */
			f->left = left;
		} else {
			followed_release(f);
		}
		stream->pins--;
	}
	fanout_serve_behind(fanout, catch_up_readers(fanout));
	if (fanout->ready == NULL && fanout->behind == NULL)
		uv_idle_stop(&fanout->more);
	else
		fanout_run_more(fanout);
}

/* ---- joining ---- */

struct fanout *fanout_create(const struct fanout_options *options)
{
	struct fanout *fanout = xcalloc(1, sizeof *fanout);
	fanout->options = *options;
	fanout->ready_last = &fanout->ready;
	fanout->behind_last = &fanout->behind;
	fanout->on_more = on_more;
	uv_idle_init(options->loop, &fanout->more);
	fanout->more.data = fanout;
	store_set_follower(options->store, on_change, fanout);
	return fanout;
}

void fanout_use(struct fanout *fanout, const struct settings *settings)
{
	fanout->options.settings = settings;
}

struct sse_builder *fanout_builder(struct fanout *fanout)
{
	return &fanout->builder;
}

static void on_drained(void *holder)
{
	struct live_reader *r = holder;
	r->blocked = false;
	for (struct live_cursor *c = &r->cursor, *next; c != NULL; c = next) {
		next = c->sibling;
		if (c->followed != NULL && !cursor_serve(c))
			return;
	}
}

static void on_gone(void *holder)
{
	reader_leave(holder);
}

struct live_reader *fanout_join(struct fanout *fanout, struct sink sink,
                                const struct fanout_view *view, void *owner, uint64_t variant,
                                uint64_t end_ms)
{
	static const struct sink_events events = {.drained = on_drained, .gone = on_gone};
	struct live_reader *r = xcalloc(1, sizeof *r);
	check((sink.kind == NULL) == (view->news != NULL));
	*r = (struct live_reader){.fanout = fanout,
	                          .sink = sink,
	                          .view = view,
	                          .owner = owner,
	                          .variant = variant,
	                          .end_ms = end_ms,
	                          .sent_ms = fanout->options.wheel->now_ms,
	                          .timer = {.due = on_timer}};
	r->cursor.reader = r;
	r->next = fanout->readers;
	r->previous = &fanout->readers;
	if (r->next != NULL)
		r->next->previous = &r->next;
	fanout->readers = r;
	fanout->options.on_readers(fanout->options.context, 1);
	if (sink.kind != NULL)
		sink.kind->hold(sink.to, r, &events);
	set_timer(r);
	return r;
}

void fanout_expire_at(struct live_reader *r, uint64_t due_ms)
{
	if (due_ms >= r->end_ms)
		return;
	r->end_ms = due_ms;
	r->expires = true;
	set_timer(r);
}

bool fanout_follows_only(const struct live_reader *r,
                         bool (*fits)(void *arg, const struct stream *stream), void *arg)
{
	for (const struct live_cursor *c = &r->cursor; c != NULL; c = c->sibling)
		if (c->followed != NULL && !fits(arg, c->followed->stream))
			return false;
	return true;
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
	struct fanout *fanout = r->fanout;
	struct live_cursor *c = add_cursor(r);
	c->position = from;
	cursor_link(c, followed_of(fanout, stream));
	set_timer(r);
	if (fanout->draining) {
		end_reader(r, FANOUT_END_DRAIN);
		return false;
	}
	if (r->view->news != NULL)
		return true; /* it has looked itself */
	if (fanout_overfull(r)) {
		fanout_leave(r, FANOUT_END_LAG);
		return false;
	}
	if (fanout->made >= FANOUT_SLICE_BYTES && from < stream->tail) {
		cursor_fall_behind(c);
		return true;
	}
	return r->blocked || cursor_serve(c);
}

void fanout_send(struct live_reader *r, const struct sse_frame *frame)
{
	reader_send(r, frame);
}

void fanout_cancel(struct live_reader *r)
{
	reader_leave(r);
}

void fanout_drain(struct fanout *fanout)
{
	fanout->draining = true;
	while (fanout->readers != NULL)
		end_reader(fanout->readers, FANOUT_END_DRAIN);
}

bool fanout_draining(const struct fanout *fanout)
{
	return fanout->draining;
}
