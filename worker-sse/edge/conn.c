#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/client_address.h"
#include "common/base/check.h"

#include <stdlib.h>

enum {
	LINED_MS = 100, /* whoever waits for us is not late */
	LINGER_MS =
	        2000,    /* for the answer to arrive before what the client still sends resets it */
	FIRST_MS = 2000, /* a drain waits so long for the first request of a connection */
	STREAMS_MS = 1000,
	LOOK_MS = 25, /* until a client that sends no more is looked at again; then twice as long,
	                 and so on */
};

/* ---- time ---- */

uint64_t conn_limit_ms(const struct conn *conn)
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
	case WAIT_STREAMS:
		return STREAMS_MS;
	case WAIT_GONE:
		return (uint64_t)LOOK_MS
		       << (conn->looks < CONN_LOOKS_LONGER ? conn->looks : CONN_LOOKS_LONGER);
	}
	return 0;
}

static enum conn_wait wait_now(const struct conn *conn)
{
	if (conn->shaking)
		return WAIT_HANDSHAKE;
	if (conn->writing)
		return WAIT_WRITE;
	if (conn->lingering)
		return WAIT_LINGER;
	return (enum conn_wait)conn->protocol->wait(conn);
}

/* The timer is moved only when it would come too late: most waits end long before their limit, and
 * one that fires early is set again. */
static void set_wait(struct conn *conn, enum conn_wait wait)
{
	if (conn->wait == wait)
		return;
	conn->wait = (uint8_t)wait;
	conn_touch(conn);
	uint64_t due_ms = conn->since_ms + conn_limit_ms(conn);
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
		wheel_set(conn->edge->wheel, &conn->timer, conn->since_ms + conn_limit_ms(conn));
	}
	return less;
}

static void time_is_up(struct conn *conn)
{
	switch ((enum conn_wait)conn->wait) {
	case WAIT_HANDSHAKE:
		counter_add(conn->edge->counters, timeouts_total, 1);
		conn_close(conn);
		return;
	case WAIT_WRITE:
		if (delivers(conn))
			return;
		counter_add(conn->edge->counters, timeouts_total, 1);
		conn_close(conn);
		return;
	case WAIT_LINGER:
		conn_close(conn);
		return;
	case WAIT_NOTHING:
		return;
	case WAIT_REQUEST:
	case WAIT_FIRST:
	case WAIT_HEAD:
	case WAIT_BODY:
	case WAIT_GONE:
	case WAIT_STREAMS:
		conn->protocol->time_is_up(conn);
		return;
	}
}

static void on_timer(struct wheel_node *node)
{
	struct conn *conn = (void *)((uint8_t *)node - offsetof(struct conn, timer));
	uint64_t due_ms = conn->since_ms + conn_limit_ms(conn);
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

void conn_free(struct conn *conn)
{
	if (conn->protocol->finish != NULL)
		conn->protocol->finish(conn);
	free(conn);
}

static void on_closed(struct wire *wire)
{
	struct conn *conn = conn_of(wire);
	conn->closed = true;
	if (!conn->dirty && !conn->task.lined)
		conn_free(conn);
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
	conn->protocol->abandon(conn);
	out_queue_drop(&conn->out);
	forget_input(conn);
	conn->wire.kind->close(&conn->wire);
}

void conn_finish(struct conn *conn)
{
	conn->lingering = true;
	conn->protocol->abandon(conn);
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
	if (!conn->closing && conn->protocol->over(conn))
		conn_close(conn);
	if (conn->closing)
		return;
	set_wait(conn, wait_now(conn));
	if (conn->wait == WAIT_GONE && conn->looks == 0)
		time_is_up(conn); /* the first look is at once */
	if (conn->closing)
		return;
	conn->wire.kind->want(&conn->wire, (conn_wants_input(conn) ? WIRE_READABLE : 0u) |
	                                           (conn->writing ? WIRE_WRITABLE : 0u));
}

/* ---- turns ---- */

static void go_on(struct conn *conn)
{
	conn->protocol->go_on(conn);
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
		conn_free(conn);
}

void conn_wait_in_line(struct conn *conn)
{
	if (!conn->closing)
		turn_wait(&conn->edge->turn, &conn->task,
		          conn->protocol->answers(conn) ? TURN_ANSWERS : TURN_REQUESTS);
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
	conn->protocol = edge->http1;
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
	conn->protocol->refuse(conn, status, reason);
	conn_settle(conn);
}

void conns_refuse_stalled(struct edge *edge, uint64_t before_ns)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		if (conn->lingering)
			continue;
		if (conn->protocol->refuse_stalled(conn, before_ns))
			conn_settle(conn);
	}
}

bool conns_judge(struct edge *edge, unsigned count)
{
	for (; edge->judge_next != NULL && count > 0; count--) {
		struct conn *conn = edge->judge_next;
		edge->judge_next = conn->next;
		conn->protocol->judge(conn);
	}
	return edge->judge_next != NULL;
}

void conns_admit_waiting(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		conn->protocol->admit_waiting(conn);
	}
}

void requests_drop_gone(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		if (conn->protocol->gone(conn) && conn->wire.kind->was_reset(&conn->wire))
			conn_close(conn);
	}
}

void conns_drain(struct edge *edge)
{
	struct conn *next;
	for (struct conn *conn = edge->conns; conn != NULL; conn = next) {
		next = conn->next;
		conn->protocol->drain(conn);
		conn_settle(conn);
	}
}
