/* Live readers: who follows which streams, and who gets his turn when.
 *
 * A reader is a cursor, not a queue: at his turn he gets everything between his cursor and the tail
 * in one write. Turns go round robin in small slices, with input polled between, so that an idle
 * server sends each event at once and a busy one several per write, by itself. Readers at the same
 * cursor share one frame. A reader whose connection does not take bytes keeps his cursor and waits
 * for it to drain.
 *
 * How the bytes look is the business of a view: Durable Streams (streams_live.c), EventSource
 * (events.c), ... */
#pragma once

#include "worker-sse/edge/request.h"
#include "worker-sse/live/sse.h"
#include "worker-sse/worker.h"

/* Why an answer ends. */
enum fanout_end {
	FANOUT_END_TIME,    /* end_ms has come */
	FANOUT_END_DRAIN,   /* this worker stops */
	FANOUT_END_CLOSED,  /* all its streams are closed, and everything is delivered */
	FANOUT_END_GONE,    /* the stream was deleted */
	FANOUT_END_TRIMMED, /* retention took what comes next */
	FANOUT_END_LAG,     /* further behind than limits.reader_lag_bytes */
	FANOUT_END_RESUME,  /* he is to come back: what he follows has to be looked up anew */
};

/* What a view is asked for: the messages [from, to) of the stream. */
struct frame_query {
	struct sse_worker *worker;
	const struct stream *stream;
	uint64_t from, to;
	uint64_t variant; /* the reader's own number: frames of another variant are other frames */
	void *owner;      /* of one reader of this variant when the frame is shared */
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
	 * his answer ends when that is so of all his streams. */
	bool (*finished)(void *owner, const struct stream *stream);
	/* The reader is gone, whatever the cause; frees the owner. May be NULL. */
	void (*left)(void *owner);
};

struct fanout *fanout_create(struct sse_worker *w);

/* Gives readers of changed streams their turn, a slice of them; the rest follows by itself. */
void fanout_turn(struct fanout *fanout);

/* Takes a request over whose streamed answer has begun (reply_start(), and what the view wants to
 * say first). From here on request->feature and its hooks are the fan-out's. `end_ms`: monotonic.
 */
struct live_reader *fanout_join(struct request *request, const struct fanout_view *view,
                                void *owner, uint64_t variant, uint64_t end_ms);
/* The reader follows this stream too, from position `from` on, and is served with what is there. In
 * a view whose frames are shared there is one stream only. False: the reader is gone. */
bool fanout_add(struct live_reader *reader, struct stream *stream, uint64_t from);
/* Bytes of the view's own, between frames. */
void fanout_send(struct live_reader *reader, const struct sse_frame *frame);
/* Ends it now, with the view's farewell. */
void fanout_leave(struct live_reader *reader, enum fanout_end why);
/* Moves the end, for an answer that must not outlive its permission. */
void fanout_set_end(struct live_reader *reader, uint64_t end_ms);

/* When an SSE answer that begins now is to end: http.sse_lifetime, spread by a quarter so that
 * readers who came together do not come back together. */
uint64_t fanout_lifetime_end(const struct sse_worker *w);

/* Takes the request over: answered when there is something behind `from`, when the stream closes or
 * goes, or at its time-out. `cursor` is what Stream-Cursor is to say. */
void fanout_join_long_poll(struct request *request, struct stream *stream, uint64_t from,
                           uint64_t cursor);

/* Streams are created: a view with patterns looks at each, in the next turn. `stream` NULL: some
 * may have been missed, look at all. One observer. */
void fanout_observe(struct fanout *fanout, void (*on_created)(void *arg, struct stream *stream),
                    void *arg);

/* Ends every reader; none joins any more. */
void fanout_drain(struct fanout *fanout);
bool fanout_draining(const struct fanout *fanout);
