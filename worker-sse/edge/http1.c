#include "worker-sse/edge/http1.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"

enum {
	DISCARD_BYTES_MAX = 65536, /* a refused body up to here is read to keep the connection */
	LOOKS_QUIET = 4,           /* looks behind the first that send nothing */
};

/* ---- clients that may be gone ---- */

/* Bytes that mean nothing to a client that is there: for one that is not, its kernel answers them
 * with a reset. */
static void probe(struct conn *conn)
{
	const struct exchange *e = conn->first;
	/* RFC 9110 15.2.1: whoever did not ask for a 100 discards it. */
	struct span bytes = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
	if (e->state != EXCHANGE_WORKING)
		bytes = e->chunked_out ? SPAN("3\r\n:\n\n\r\n") : SPAN(":\n\n");
	else if (e->request.close_delimited)
		return; /* HTTP/1.0 knows no such thing: the time-out of its answer ends it */
	const struct iovec iov = {(void *)(uintptr_t)bytes.at, bytes.len};
	if (conn->out.count == 0 && !conn->writing) /* else there is something that asks as well */
		conn_write_now(conn, &iov, 1);
}

/* It sends no more, and its answer waits for something: it may want it still, or be gone
 * altogether. */
static bool may_be_gone(const struct conn *conn)
{
	const struct exchange *e = conn->first;
	return conn->eof && e != NULL && exchange_state_works(e->state) &&
	       e->request.on_gone != NULL && !e->measured;
}

/* The kernel does not say whether a client that closed its side still reads. Bytes for one that
 * does not are answered with a reset: the first go at once, the next when it had its time to come.
 */
static void look(struct conn *conn)
{
	if (conn->looks == 0 || conn->looks > LOOKS_QUIET)
		probe(conn);
	if (conn->looks < CONN_LOOKS_LONGER)
		conn->looks++;
	if (conn->wire.kind->was_reset(&conn->wire)) {
		conn_close(conn);
		return;
	}
	conn_touch(conn);
	wheel_set(conn->edge->wheel, &conn->timer, conn->since_ms + conn_limit_ms(conn));
}

/* ---- time ---- */

static unsigned wait_for(const struct conn *conn)
{
	if (conn->last != NULL && !conn->last->body_whole)
		return WAIT_BODY;
	if (conn->first != NULL)
		return may_be_gone(conn) ? WAIT_GONE : WAIT_NOTHING;
	if (conn->in_len > 0)
		return WAIT_HEAD;
	return conn->edge->draining && !conn->served ? WAIT_FIRST : WAIT_REQUEST;
}

static void time_is_up(struct conn *conn)
{
	struct exchange *last = conn->last;
	switch ((enum conn_wait)conn->wait) {
	case WAIT_HEAD:
		counter_add(conn->edge->counters, timeouts_total, 1);
		http1_refuse_head(conn, 408, "the request did not come");
		return;
	case WAIT_BODY:
		counter_add(conn->edge->counters, timeouts_total, 1);
		last->close_after = true;
		if (last->discard)
			conn_close(conn);
		else
			exchange_refuse(last, 408, "the body did not come");
		return;
	case WAIT_REQUEST:
	case WAIT_FIRST:
		conn_close(conn);
		return;
	case WAIT_GONE:
		look(conn);
		return;
	case WAIT_HANDSHAKE:
	case WAIT_WRITE:
	case WAIT_LINGER:
	case WAIT_STREAMS:
	case WAIT_NOTHING:
		return;
	}
}

static void credited(struct exchange *e)
{
	uint64_t timeout_ns = e->request.edge->settings->http_body_timeout_ms * 1000000;
	e->conn->since_ms = (e->body_late_ns - timeout_ns) / 1000000;
}

static bool over(const struct conn *conn)
{
	/* Nothing more comes: neither a request nor the rest of one. */
	bool waits = conn->last != NULL && conn->last->waits;
	bool starved = conn->eof && !conn->hungry && !waits && conn->out.count == 0 &&
	               (conn->first == NULL || !conn->first->body_whole);
	/* Nothing can be said that tells whether it is there: to a picture in many parts, or a
	 * WebSocket. */
	bool deaf = may_be_gone(conn) && conn->first->state != EXCHANGE_WORKING &&
	            !conn->first->request.comments;
	return starved || deaf;
}

/* ---- the order of answers ---- */

void http1_append(struct conn *conn, struct exchange *e)
{
	if (conn->last != NULL)
		conn->last->next = e;
	else
		conn->first = e;
	conn->last = e;
	conn->exchanges++;
}

/* Whoever is first now may write what it had to hold back. */
static void promote(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (e == NULL || http1_of(e)->held == NULL)
		return;
	struct chunk *held = http1_of(e)->held;
	http1_of(e)->held = NULL;
	conn_write_later(conn, held);
}

void http1_advance(struct conn *conn)
{
	while (conn->first != NULL && exchange_state_over(conn->first->state) &&
	       (conn->first->body_whole || conn->first->close_after)) {
		struct exchange *e = conn->first;
		if (e->close_after) {
			conn_finish(conn);
			return;
		}
		conn->first = e->next;
		if (conn->first == NULL)
			conn->last = NULL;
		conn->exchanges--;
		exchange_free(e);
		promote(conn);
	}
}

static void ended(struct exchange *e)
{
	struct conn *conn = e->conn;
	http1_advance(conn);
	conn->hungry = conn->in_len > 0;
	conn_mark_dirty(conn);
}

static void released(struct conn *conn)
{
	conn->hungry = conn->in_len > 0;
	conn_mark_dirty(conn);
}

static void go_on(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (e != NULL && e->wants_drain && conn->out.count == 0 && !conn->lingering)
		exchange_drained(e);
}

static bool answers(const struct conn *conn)
{
	return conn->first != NULL && conn->first->wants_drain;
}

/* All is with the kernel: whoever waited for that goes on. */
static void flushed(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (conn->lingering)
		return;
	if (e != NULL && e->wants_drain) {
		turn_note(&conn->edge->turn, clock_monotonic_ns());
		if (conn->task.lined || conn->edge->turn.over) {
			conn_wait_in_line(conn);
			return;
		}
		exchange_drained(e);
	}
	if (conn->in_len > 0)
		conn_parse(conn);
}

/* ---- the end ---- */

static void discard(struct exchange *e)
{
	if (!e->body_whole && (e->body_chunked || e->body_left > DISCARD_BYTES_MAX))
		e->close_after = true;
}

void http1_refuse_head(struct conn *conn, unsigned status, const char *reason)
{
	const struct http1_head nothing = {.path = SPAN("/"), .minor = 1};
	struct exchange *e =
	        exchange_create(conn, sizeof(struct http1_exchange), &nothing, (const uint8_t *)"");
	http1_append(conn, e);
	e->close_after = true;
	counter_add(conn->edge->counters, requests_total, 1);
	reply_error(&e->request, status, reason);
}

static void abandon(struct conn *conn)
{
	while (conn->first != NULL) {
		struct exchange *e = conn->first;
		conn->first = e->next;
		chunk_unref(&http1_of(e)->held);
		exchange_abandon(e);
	}
	conn->last = NULL;
	conn->exchanges = 0;
}

static bool refuse_stalled(struct conn *conn, uint64_t before_ns)
{
	struct exchange *e = conn->first;
	if (e == NULL || e->begun_ns > before_ns || !exchange_waits_for_store(e))
		return false;
	abandon(conn);
	http1_refuse_head(conn, 503, "the log stands still; nothing is promised");
	return true;
}

/* The first may close the connection: it comes last. */
static void judge(struct conn *conn)
{
	struct exchange *first = conn->first;
	for (struct exchange *e = first != NULL ? first->next : NULL, *next; e != NULL; e = next) {
		next = e->next; /* none goes before the first */
		exchange_judge(e);
	}
	if (first != NULL)
		exchange_judge(first);
}

static void admit_waiting(struct conn *conn)
{
	if (conn->last != NULL && conn->last->waits)
		exchange_admit_again(conn->last);
}

static void drain(struct conn *conn)
{
	/* The last in the row: those before it may be done, and are answered as well. */
	if (conn->last != NULL)
		conn->last->close_after = true;
	/* A first request may be on the way: a reset would lose it. */
	if (conn->first == NULL && conn->in_len == 0 && conn->served && !conn->lingering &&
	    !conn->task.lined)
		conn_finish(conn);
}

const struct protocol http1_protocol = {.refuse = http1_refuse_head,
                                        .take = http1_take,
                                        .flushed = flushed,
                                        .go_on = go_on,
                                        .answers = answers,
                                        .over = over,
                                        .wait = wait_for,
                                        .time_is_up = time_is_up,
                                        .judge = judge,
                                        .admit_waiting = admit_waiting,
                                        .released = released,
                                        .refuse_stalled = refuse_stalled,
                                        .gone = may_be_gone,
                                        .drain = drain,
                                        .abandon = abandon,
                                        .answer = http1_answer,
                                        .start = http1_start,
                                        .upgrade = http1_upgrade,
                                        .write = http1_write,
                                        .write_chunk = http1_write_chunk,
                                        .again = http1_again,
                                        .pending = http1_pending,
                                        .end = http1_end,
                                        .cut = http1_cut,
                                        .expect = http1_expect,
                                        .ended = ended,
                                        .discard = discard,
                                        .credited = credited,
                                        .sink = http1_sink};
