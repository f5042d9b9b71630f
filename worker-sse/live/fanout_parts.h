/* Inside the fan-out: what fanout.c (turns, time, coming and going) and fanout_serve.c (one
 * reader's turn) share. */
#pragma once

#include "worker-sse/live/fanout.h"

enum {
	FANOUT_FRAME_BYTES = 256 * 1024, /* payload of one frame */
	FANOUT_SLICE_BYTES = 1 << 20,    /* of frames made, not of those shared: a slice ends, a
	                                    reader who comes catches up */
	FANOUT_FRAMES_KEPT = 4,          /* per stream: readers that are not all at one cursor share
	                                    too */
};

/* Where a reader stands in one stream. */
struct live_cursor {
	struct live_reader *reader;
	struct followed *followed;
	struct live_cursor *next, *previous; /* followed->first ... last */
	struct live_cursor *sibling;         /* the reader's next stream */
	struct live_cursor *behind_next,
	        **behind_previous; /* fanout->behind; previous NULL: not on it */
	uint64_t position;         /* everything before it was handed to its sink */
	bool live; /* has been at the tail: from then on it may not fall far behind */
};

/* One live reader: 224 bytes with its first stream, beside what its connection and request take. */
struct live_reader {
	struct live_cursor cursor; /* the first; followed NULL: follows nothing */
	struct fanout *fanout;
	struct sink sink; /* kind NULL: its view has news() */
	const struct fanout_view *view;
	void *owner;
	uint64_t variant;
	uint64_t sent_ms;
	uint64_t end_ms;
	struct wheel_node timer;
	struct live_reader *next, **previous; /* fanout->readers */
	bool blocked;                         /* waits for its sink to drain */
	bool said_closed;                     /* its last frame told that the stream is closed */
	bool expires;                         /* at end_ms: fanout_expire_at() */
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
	struct kept_frame frames[FANOUT_FRAMES_KEPT];
	unsigned frame_next;
	struct page page; /* the last that was looked up */
	bool ready;
};

struct fanout {
	struct fanout_options options;
	struct sse_builder builder;
	struct fanout_observer *observers;
	struct live_reader *readers;
	struct followed *all;
	struct followed *ready, **ready_last;      /* changed since their readers were served */
	struct live_cursor *behind, **behind_last; /* catching up, in turn, a frame each */
	void (*on_more)(uv_idle_t *idle);
	uv_idle_t more; /* runs while somebody is left over: the loop polls input but does not sleep
	                 */
	uint64_t *created; /* ids of streams the observers have not yet seen */
	size_t created_count, created_room;
	size_t made;         /* bytes of frames since the last slice began */
	uint64_t heard;      /* bytes received when the last slice began */
	unsigned quiet;      /* slices since then without any */
	unsigned slices;     /* since somebody who catches up was served */
	uint64_t expired_ms; /* when readers ended last because their credential did, */
	unsigned expired;    /* ... and how many then */
	bool draining;
};

/* ---- fanout_serve.c ---- */

/* Behind all others: whoever came first is served first. */
void cursor_link(struct live_cursor *cursor, struct followed *followed);
/* Waits for its turn among those who catch up. */
void cursor_fall_behind(struct live_cursor *cursor);
/* Its turn: a live reader gets everything between its position and the tail; whoever has more to
 * get waits among those who catch up. False: it is gone. */
bool cursor_serve(struct live_cursor *cursor);
/* So many of those who catch up get a piece each. */
void fanout_serve_behind(struct fanout *fanout, int readers);

/* The stream as somebody follows it; made when nobody did. */
struct followed *followed_of(struct fanout *fanout, struct stream *stream);
/* Freed when nobody follows it and it is not ready. */
void followed_release(struct followed *followed);

void reader_send(struct live_reader *reader, const struct sse_frame *frame);
/* Takes it off every list and frees it; its sink is the caller's to end. */
struct sink reader_leave(struct live_reader *reader);
/* Its view's news(): it is gone. */
void reader_tell(struct live_reader *reader, enum fanout_news news);

struct frame_query cursor_query(const struct live_cursor *cursor, uint64_t to);

static inline bool stream_gone(const struct stream *s)
{
	return s->dropped || s->deleted;
}

static inline void fanout_run_more(struct fanout *fanout)
{
	if (!uv_is_active((const uv_handle_t *)&fanout->more))
		uv_idle_start(&fanout->more, fanout->on_more);
}
