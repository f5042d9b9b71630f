#include "worker-sse/edge/turn.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"

#include <stdlib.h>

static const uint64_t requests_ns =
        10000000; /* a turn; a thousand appends, or some dozen slices of large answers */
static const uint64_t answers_ns =
        1000000; /* of large answers: live readers wait that much longer */

void turn_note(struct sse_worker *w, uint64_t now_ns)
{
	if (w->turn.due_ns == 0)
		w->turn.due_ns = now_ns + requests_ns;
	else if (now_ns >= w->turn.due_ns)
		w->turn.over = true;
}

void turn_begin(struct sse_worker *w)
{
	w->turn.due_ns = 0;
	w->turn.over = w->turn.requests.first != NULL;
}

/* ---- the lines ---- */

static void on_more(uv_idle_t *idle);

void turn_wait(struct conn *conn)
{
	struct turn *turn = &conn->worker->turn;
	if (conn->lined || conn->closing)
		return;
	bool answer = conn->first != NULL && conn->first->wants_drain;
	struct turn_line *line = answer ? &turn->answers : &turn->requests;
	conn->lined = true;
	conn->line_next = NULL;
	*line->last = conn;
	line->last = &conn->line_next;
	if (!uv_is_active((const uv_handle_t *)&turn->more))
		uv_idle_start(&turn->more, on_more);
}

static struct conn *take_first(struct turn_line *line)
{
	struct conn *conn = line->first;
	line->first = conn->line_next;
	if (line->first == NULL)
		line->last = &line->first;
	conn->lined = false;
	return conn;
}

static void serve(struct sse_worker *w, struct turn_line *line, uint64_t ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	w->turn.due_ns = now_ns + ns;
	w->turn.over = false;
	while (line->first != NULL && !w->turn.over) {
		struct conn *conn = take_first(line);
		if (!conn->closed)
			conn_proceed(conn);
		else if (!conn->dirty)
			free(conn);
		turn_note(w, clock_monotonic_ns());
	}
}

static void on_more(uv_idle_t *idle)
{
	struct sse_worker *w = idle->data;
	w->wheel.now_ms = clock_monotonic_ms();
	serve(w, &w->turn.requests, requests_ns);
	serve(w, &w->turn.answers, answers_ns);
	if (w->turn.requests.first == NULL && w->turn.answers.first == NULL)
		uv_idle_stop(&w->turn.more);
}

void turn_start(struct sse_worker *w)
{
	w->turn.requests.last = &w->turn.requests.first;
	w->turn.answers.last = &w->turn.answers.first;
	uv_idle_init(w->worker->loop, &w->turn.more);
	w->turn.more.data = w;
}
