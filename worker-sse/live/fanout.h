/* Live readers: who follows which streams, and who gets its turn when.
 *
 * A reader is a cursor, not a queue: at its turn it gets everything between its cursor and the tail
 * in one write. Turns go round robin in small slices, with input polled between, so that an idle
 * server sends each event at once and a busy one several per write, by itself. Readers at the same
 * cursor share one frame. A reader whose sink does not take bytes keeps its cursor and waits for it
 * to drain.
 *
 * How the bytes look is the business of a view: Durable Streams, EventSource, ... Where they go is
 * the business of a sink. Loop thread only. */
#pragma once

#include "common/base/counters.h"
#include "common/base/settings.h"
#include "common/base/wheel.h"
#include "worker-sse/live/sink.h"
#include "worker-sse/live/waiting.h"

#include <uv.h>

struct fanout;
struct live_reader;

/* Why an answer ends. */
enum fanout_end {
	FANOUT_END_TIME,    /* end_ms has come */
	FANOUT_END_DRAIN,   /* this worker stops */
	FANOUT_END_CLOSED,  /* all its streams are closed, and everything is delivered */
	FANOUT_END_GONE,    /* the stream was deleted */
	FANOUT_END_TRIMMED, /* retention took what comes next */
	FANOUT_END_LAG,     /* further behind than limits.reader_lag_bytes */
	FANOUT_END_RESUME,  /* it is to come back: what it follows has to be looked up anew */
	FANOUT_END_EXPIRED, /* whoever follows may no longer: his credential has ended */
};

/* What a view is asked for: the messages [from, to) of the stream. */
struct frame_query {
	struct store *store;
	struct sse_builder *builder; /* to make it with; the fan-out's, free */
	const struct waiting *waiting;
	void *context; /* fanout_options.context */
	const struct stream *stream;
	uint64_t from, to;
	uint64_t variant; /* the reader's own number: frames of another variant are other frames */
	void *owner;      /* of one reader of this variant when the frame is shared */
};

/* What somebody who waits for news of a stream is told. */
enum fanout_news {
	FANOUT_NEWS_DATA,   /* there is something behind its position */
	FANOUT_NEWS_CLOSED, /* the stream is closed, and nothing is behind it */
	FANOUT_NEWS_GONE,   /* the stream was deleted */
	FANOUT_NEWS_NONE,   /* end_ms has come, or this worker stops */
};

/* How an answer looks. Constant, one for each kind of answer. */
struct fanout_view {
	const char *name; /* for logs */
	/* Frames depend on stream, range and variant only: made once for all readers of the view at
	 * the same place. Else made for each, with its owner. */
	bool shared;
	/* from < to. It may stop at a message before `to`, and says where in frame->to; 0: it has
	 * all. False: they cannot be read (retention, I/O). */
	bool (*frame)(struct sse_frame *frame, const struct frame_query *query);
	/* from == to: what a reader gets after http.sse_keepalive of silence. May change *variant.
	 * NULL: nothing. */
	bool (*heartbeat)(struct sse_frame *frame, const struct frame_query *query,
	                  uint64_t *variant);
	/* Last words before the answer ends, where the connection still takes them. NULL or false:
	 * none. */
	bool (*farewell)(struct sse_frame *frame, const struct frame_query *query,
	                 enum fanout_end why);
	/* FANOUT_END_GONE or FANOUT_END_TRIMMED befell one of its streams. True: the frame says so
	 * and the reader goes on, without a stream that is gone, or from the first position
	 * retained. NULL or false: the answer ends. */
	bool (*lost)(struct sse_frame *frame, const struct frame_query *query, enum fanout_end why);
	/* The stream is closed and delivered. True: the reader goes on without it. NULL or false:
	 * its answer ends when that is so of all its streams. */
	bool (*finished)(void *owner, const struct stream *stream);
	/* The reader is gone, whatever the cause; frees the owner. May be NULL. */
	void (*left)(void *owner);
	/* In place of all of these, for who waits once (long-poll): no sink is written to. Called
	 * when the reader is gone, with its stream pinned. */
	void (*news)(void *owner, struct stream *stream, uint64_t position, uint64_t variant,
	             enum fanout_news news);
};

/* Everything is the caller's and outlives the fan-out. */
struct fanout_options {
	uv_loop_t *loop;
	struct wheel *wheel; /* with the time of this turn */
	const struct settings *settings;
	const struct waiting *waiting; /* how large frames may be */
	struct counters_slot *counters;
	struct store *store;
	/* Readers came (positive) or went. */
	void (*on_readers)(void *context, int change);
	void *context; /* handed to views and observers */
};

/* Takes the store's follower. */
struct fanout *fanout_create(const struct fanout_options *options);
/* After a reload. */
void fanout_use(struct fanout *fanout, const struct settings *settings);

/* Gives readers of changed streams their turn, a slice of them; the rest follows by itself. */
void fanout_turn(struct fanout *fanout);

/* Takes the sink over; what the view wants to say first has been said, or is sent next. `end_ms`:
 * monotonic. A view with news() has no sink. */
struct live_reader *fanout_join(struct fanout *fanout, struct sink sink,
                                const struct fanout_view *view, void *owner, uint64_t variant,
                                uint64_t end_ms);
/* At `due_ms` (monotonic), if that is sooner than its end, whoever follows may no longer. */
void fanout_expire_at(struct live_reader *reader, uint64_t due_ms);
/* Is it so of every stream that it follows? */
bool fanout_follows_only(const struct live_reader *reader,
                         bool (*fits)(void *arg, const struct stream *stream), void *arg);
/* The reader follows this stream too, from position `from` on, and is served with what is there. In
 * a view whose frames are shared, or with news(), there is one stream only. False: the reader is
 * gone. */
bool fanout_add(struct live_reader *reader, struct stream *stream, uint64_t from);
/* It follows this stream no more. Not from within its view. */
void fanout_drop(struct live_reader *reader, const struct stream *stream);
/* Bytes of the view's own, between frames. */
void fanout_send(struct live_reader *reader, const struct sse_frame *frame);
/* It takes nothing, and more waits for it than may: whoever would send it more has to end it, with
 * FANOUT_END_LAG. */
bool fanout_overfull(const struct live_reader *reader);
/* Ends it now, with the view's farewell. */
void fanout_leave(struct live_reader *reader, enum fanout_end why);
/* Of a view with news(): nobody waits any more, and it is not told. */
void fanout_cancel(struct live_reader *reader);

/* When an answer that begins now is to end: http.sse_lifetime, spread by a quarter so that readers
 * who came together do not come back together. */
uint64_t fanout_lifetime_end(const struct fanout *fanout);
/* To make frames with; free between two calls of the fan-out. */
struct sse_builder *fanout_builder(struct fanout *fanout);

/* Who looks at streams as they are created and changed; zero-initialised but for the hooks. Each
 * may be NULL. The observer is the caller's and outlives the fan-out. */
struct fanout_observer {
	/* In the next turn; the stream is living. NULL: some may have been missed, look at all. */
	void (*created)(void *context, struct stream *stream);
	/* Within a change of the view: take note, read nothing. NULL as above. */
	void (*changed)(void *context, const struct stream *stream);
	/* Within a change of the view: this small value was put, or is gone. at NULL: as above. */
	void (*row)(void *context, struct span key, bool there);
	struct fanout_observer *next;
};
void fanout_observe(struct fanout *fanout, struct fanout_observer *observer);

/* Ends every reader; none joins any more. */
void fanout_drain(struct fanout *fanout);
bool fanout_draining(const struct fanout *fanout);
