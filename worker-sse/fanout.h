/* Live readers: who follows which stream, and who gets his turn when.
 *
 * A reader is a cursor, not a queue: at his turn he gets everything between his cursor and the tail
 * in one write. Turns go round robin in slices, with input polled between, so that an idle server
 * sends each event at once and a busy one several per write. Readers at the same cursor share one
 * frame. A reader whose connection does not take bytes keeps his cursor and waits for it to drain. */
#pragma once

#include "worker-sse/request.h"
#include "worker-sse/worker.h"

struct fanout *fanout_create(struct sse_worker *w);

/* Gives readers of changed streams their turn, a bounded slice of them. */
void fanout_turn(struct fanout *fanout);
/* Is anybody left over from the last slice? */
bool fanout_waiting(const struct fanout *fanout);

/* Takes the request over: an SSE answer from position `from` on. */
void fanout_join_sse(struct request *request, struct stream *stream, uint64_t from, uint64_t cursor);

/* Takes the request over: answered when there is something behind `from`, when the stream closes or
 * goes, or at its time-out. `cursor` is what Stream-Cursor is to say. */
void fanout_join_long_poll(struct request *request, struct stream *stream, uint64_t from,
                           uint64_t cursor);

/* Ends every reader; none joins any more. */
void fanout_drain(struct fanout *fanout);
