#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/client_address.h"
#include "common/base/check.h"

#include <stdlib.h>

enum {
	LINED_MS = 100, /* whoever waits for us is not late */
	LINGER_MS =
	        2000,    /* for the answer to arrive before what the client still sends resets it */
	FIRST_MS = 2000, /* a drain waits so long for the first request of a connection */
	LOOK_MS = 25, /* until a client that sends no more is looked at again; then twice as long,
	                 and so on */
	LOOKS_QUIET = 4,  /* looks behind the first that send nothing */
	LOOKS_LONGER = 8, /* from here on every 6.4 s */
};

/* ---- time ---- */

static uint64_t limit_ms(const struct conn *conn)
{
	const struct settings *s = conn->edge->settings;
	switch ((enum conn_wait)conn->wait) {
	case WAIT_NOTHING:
		break;
	case WAIT_HANDSHAKE:
		return s->tls_handshake_timeout_ms;
	case WAIT_REQUEST:
		return s->http_keepalive_timeout_ms;
	case WAIT_FIRST:
		return FIRST_MS;
	case WAIT_HEAD:
		return s->http_header_timeout_ms;
	case WAIT_BODY:
		return s->http_body_timeout_ms;
	case WAIT_WRITE:
		return s->http_write_timeout_ms;
	case WAIT_LINGER:
		return LINGER_MS;
	case WAIT_GONE:
		return (uint64_t)LOOK_MS
		       << (conn->looks < LOOKS_LONGER ? conn->looks : LOOKS_LONGER);
	}
	return 0;
}

/* It sends no more, and its answer waits for something: it may want it still, or be gone
 * altogether. */
static bool may_be_gone(const struct conn *conn)
{
	const struct exchange *e = conn->first;
	return conn->eof && e != NULL && exchange_state_works(e->state) &&
	       e->request.on_gone != NULL && !e->measured;
}

static enum conn_wait wait_now(const struct conn *conn)
{
	if (conn->shaking)
		return WAIT_HANDSHAKE;
	if (conn->writing)
		return WAIT_WRITE;
	if (conn->lingering)
		return WAIT_LINGER;
	if (conn->last != NULL && !conn->last->body_whole)
		return WAIT_BODY;
	if (conn->first != NULL)
		return may_be_gone(conn) ? WAIT_GONE : WAIT_NOTHING;
	if (conn->in_len > 0)
		return WAIT_HEAD;
	return conn->edge->draining && !conn->served ? WAIT_FIRST : WAIT_REQUEST;
}

/* The timer is moved only when it would come too late: most waits end long before their limit, and
 * one that fires early is set again. */
static void set_wait(struct conn *conn, enum conn_wait wait)
{
	if (conn->wait == wait)
		return;
	conn->wait = (uint8_t)wait;
	conn_touch(conn);
	uint64_t due_ms = conn->since_ms + limit_ms(conn);
	if (wait != WAIT_NOTHING && (conn->timer.previous == NULL || conn->timer.due_ms > due_ms))
		wheel_set(conn->edge->wheel, &conn->timer, due_ms);
}

void conn_touch(struct conn *conn)
{
	conn->since_ms = conn->edge->wheel->now_ms;
}

/* A slow client may take long; one that takes nothing is cut. */
static bool delivers(struct conn *conn)
{
	size_t left = conn_undelivered(conn);
	bool less = left < conn->write_left;
	conn->write_left = left;
	if (less) {
		conn_touch(conn);
		wheel_set(conn->edge->wheel, &conn->timer, conn->since_ms + limit_ms(conn));
	}
	return less;
}

/* The kernel does not say whether a client that closed its side still reads. Bytes for one that
 * does not are answered with a reset: the first go at once, the next when it had its time to come.
 */
static void look(struct conn *conn)
{
	if (conn->looks == 0 || conn->looks > LOOKS_QUIET)
		conn_probe(conn);
	if (conn->looks < LOOKS_LONGER)
		conn->looks++;
	if (conn->wire.kind->was_reset(&conn->wire)) {
		conn_close(conn);
		return;
	}
	conn_touch(conn);
	wheel_set(conn->edge->wheel, &conn->timer, conn->since_ms + limit_ms(conn));
}

static void time_is_up(struct conn *conn)
{
	struct exchange *last = conn->last;
	switch ((enum conn_wait)conn->wait) {
	case WAIT_HANDSHAKE:
		counter_add(conn->edge->counters, timeouts_total, 1);
		conn_close(conn);
		return;
	case WAIT_HEAD:
		counter_add(conn->edge->counters, timeouts_total, 1);
		conn_refuse_head(conn, 408, "the request did not come");
		return;
	case WAIT_BODY:
		counter_add(conn->edge->counters, timeouts_total, 1);
		last->close_after = true;
		if (last->discard)
			conn_close(conn);
		else
			exchange_refuse(last, 408, "the body did not come");
		return;
	case WAIT_WRITE:
		if (delivers(conn))
			return;
		counter_add(conn->edge->counters, timeouts_total, 1);
		conn_close(conn);
		return;
	case WAIT_REQUEST:
	case WAIT_FIRST:
	case WAIT_LINGER:
		conn_close(conn);
		return;
	case WAIT_GONE:
		look(conn);
		return;
	case WAIT_NOTHING:
		return;
	}
}

static void on_timer(struct wheel_node *node)
{
	struct conn *conn = (void *)((uint8_t *)node - offsetof(struct conn, timer));
	uint64_t due_ms = conn->since_ms + limit_ms(conn);
	if (conn->wait == WAIT_NOTHING)
		return;
	if (due_ms > conn->edge->wheel->now_ms)
		wheel_set(conn->edge->wheel, node, due_ms);
	else if (conn->task.lined)
		wheel_set(conn->edge->wheel, node, conn->edge->wheel->now_ms + LINED_MS);
	else
		time_is_up(conn);
}

/* ---- the end ---- */

static struct conn *conn_of(struct wire *wire)
{
	return (struct conn *)((uint8_t *)wire - offsetof(struct conn, wire));
}

static void on_closed(struct wire *wire)
{
	struct conn *conn = conn_of(wire);
	conn->closed = true;
	if (!conn->dirty && !conn->task.lined)
		free(conn);
}

static void abandon_all(struct conn *conn)
{
	while (conn->first != NULL) {
		struct exchange *e = conn->first;
		conn->first = e->next;
		exchange_abandon(e);
	}
	conn->last = NULL;
	conn->exchanges = 0;
}

static void forget_input(struct conn *conn)
{
	free(conn->in);
	conn->in = NULL;
	conn->edge->waiting.in_bytes -= conn->in_len;
	conn->in_len = conn->in_room = 0;
	conn->hungry = false;
}

void conn_close(struct conn *conn)
{
	if (conn->closing)
		return;
	struct edge *edge = conn->edge;
	conn->closing = true;
	counter_add(edge->counters, tls_failures_total, conn->shaking);
	wheel_cancel(&conn->timer);
	*conn->previous = conn->next;
	if (conn->next != NULL)
		conn->next->previous = conn->previous;
	if (edge->judge_next == conn)
		edge->judge_next = conn->next;
	edge->conns_count--;
	counter_add(edge->counters, connections, -1);
	client_address_release(&edge->addresses, conn->address);
	abandon_all(conn);
	out_queue_drop(&conn->out);
	forget_input(conn);
	conn->wire.kind->close(&conn->wire);
}

/* No further request is read; what is answered still leaves. */
static void finish(struct conn *conn)
{
	conn->lingering = true;
	abandon_all(conn);
	forget_input(conn);
	conn_mark_dirty(conn);
}

/* The answer has left, but the client may still be sending: closing now would reset the connection
 * and take the answer with it. */
static void shut_down(struct conn *conn)
{
	conn->shut = true;
	if (conn->eof || !conn->wire.kind->shut(&conn->wire))
		conn_close(conn);
}

void conn_settle(struct conn *conn)
{
	if (conn->closing)
		return;
	if (conn->out.count == 0 && conn->lingering && !conn->shut)
		shut_down(conn);
	/* Nothing more comes: neither a request nor the rest of one. */
	bool waits = conn->last != NULL && conn->last->waits;
	bool starved = conn->eof && !conn->hungry && !waits && conn->out.count == 0 &&
	               (conn->first == NULL || !conn->first->body_whole);
	/* Nothing can be said that tells whether it is there: to a picture in many parts, or a
	 * WebSocket. */
	bool deaf = may_be_gone(conn) && conn->first->state != EXCHANGE_WORKING &&
	            !conn->first->request.comments;
	if (starved || deaf)
		conn_close(conn);
	if (conn->closing)
		return;
	set_wait(conn, wait_now(conn));
	if (conn->wait == WAIT_GONE && conn->looks == 0)
		look(conn);
	if (conn->closing)
		return;
	conn->wire.kind->want(&conn->wire, (conn_wants_input(conn) ? WIRE_READABLE : 0u) |
	                                           (conn->writing ? WIRE_WRITABLE : 0u));
}

/* ---- the order of answers ---- */

/* Whoever is first now may write what it had to hold back. */
static void promote(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (e == NULL || e->held == NULL)
		return;
	struct chunk *held = e->held;
	e->held = NULL;
	conn_write_later(conn, held);
}

void conn_advance(struct conn *conn)
{
	while (conn->first != NULL && exchange_state_over(conn->first->state) &&
	       (conn->first->body_whole || conn->first->close_after)) {
		struct exchange *e = conn->first;
		if (e->close_after) {
			finish(conn);
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

static void go_on(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (e != NULL && e->wants_drain && conn->out.count == 0 && !conn->lingering)
		exchange_drained(e);
	if (conn->in_len > 0)
		conn_parse(conn);
	/* Also behind what is not a whole head yet: while others wait, this is where it is read. */
	if (conn->unread && !conn->closing && !conn->task.lined && conn_wants_input(conn))
		conn_read_now(conn);
	conn_settle(conn);
}

static void proceed(struct turn_task *task)
{
	struct conn *conn = (void *)((uint8_t *)task - offsetof(struct conn, task));
	if (!conn->closing)
		go_on(conn);
	else if (conn->closed && !conn->dirty)
		free(conn);
}

void conn_wait_in_line(struct conn *conn)
{
	bool answer = conn->first != NULL && conn->first->wants_drain;
	if (!conn->closing)
		turn_wait(&conn->edge->turn, &conn->task, answer ? TURN_ANSWERS : TURN_REQUESTS);
}

/* ---- beginning, draining ---- */

static void on_readable(struct wire *wire)
{
	conn_on_readable(conn_of(wire));
}

static void on_writable(struct wire *wire)
{
	conn_on_writable(conn_of(wire));
}

const struct wire_events conn_wire_events = {
        .readable = on_readable, .writable = on_writable, .closed = on_closed};

struct conn *conn_create(struct edge *edge)
{
	struct conn *conn = xcalloc(1, sizeof *conn);
	conn->edge = edge;
	return conn;
}

static void begin(struct conn *conn)
{
	struct edge *edge = conn->edge;
	conn->timer.due = on_timer;
	conn->task.proceed = proceed;
	conn->next = edge->conns;
	conn->previous = &edge->conns;
	if (edge->conns != NULL)
		edge->conns->previous = &conn->next;
	edge->conns = conn;
	edge->conns_count++;
	counter_add(edge->counters, connections_total, 1);
	counter_add(edge->counters, connections, 1);
}

void conn_start(struct conn *conn)
{
	begin(conn);
	if (conn->edge->turn.over) {
		conn->unread = true;
		conn_wait_in_line(conn);
	} else {
		conn_read_now(conn); /* TCP_NODELAY is the listener's */
	}
	conn_settle(conn);
}

void conn_refuse(struct conn *conn, unsigned status, const char *reason)
{
	counter_add(conn->edge->counters, connections_refused_total, 1);
	begin(conn);
	conn_refuse_head(conn, status, reason);
	conn_settle(conn);
}

/* Whoever waits for anything else wants to hear when the client leaves. */
static bool waits_for_store(const struct exchange *e)
{
	return e->state == EXCHANGE_WORKING && e->request.on_gone == NULL;
}

void conns_refuse_stalled(struct edge *edge, uint64_t before_ns)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		struct exchange *e = conn->first;
		next = conn->next;
		if (e == NULL || conn->lingering || e->begun_ns > before_ns || !waits_for_store(e))
			continue;
		abandon_all(conn);
		conn_refuse_head(conn, 503, "the log stands still; nothing is promised");
		conn_settle(conn);
	}
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

bool conns_judge(struct edge *edge, unsigned count)
{
	for (; edge->judge_next != NULL && count > 0; count--) {
		struct conn *conn = edge->judge_next;
		edge->judge_next = conn->next;
		judge(conn);
	}
	return edge->judge_next != NULL;
}

void conns_admit_waiting(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		if (conn->last != NULL && conn->last->waits)
			exchange_admit_again(conn->last);
	}
}

void requests_drop_gone(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		if (may_be_gone(conn) && conn->wire.kind->was_reset(&conn->wire))
			conn_close(conn);
	}
}

void conns_drain(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		/* The last in the row: those before it may be done, and are answered as well. */
		if (conn->last != NULL)
			conn->last->close_after = true;
		/* A first request may be on the way: a reset would lose it. */
		if (conn->first == NULL && conn->in_len == 0 && conn->served && !conn->lingering &&
		    !conn->task.lined)
			finish(conn);
		conn_settle(conn);
	}
}
