/* An agent that registered as {"accepts": ["sessions"]} is handed what people send to conversations,
 * in its socket, and says what it has done with (docs/hub.md).
 *
 * Whose a conversation is stands in a row (struct agent_session), with how far he is. Each worker that
 * has such agents keeps what it needs of every conversation whose inbox is not done with; the agent's
 * own hands out, the others wait whether its agent goes, or leaves it lying for hub.session_lease: by
 * their own monotonic clock, from when they first saw it lie. Whoever claims it does so in one
 * transaction, on condition that it is still whose it was; what comes late from the one before is
 * refused by that row. So an item comes at least once, and in order; after its ack never again. */
#include "common/base/check.h"
#include "common/domain/conversation.h"
#include "worker-sse/views/hub_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ITEMS_MAX = 16,        /* of a conversation that are handed and not done with */
	BYTES_MAX = 128 << 10, /* of an agent's, all together; one item may be more */
	LOOKS = 16,            /* conversations that are looked at in one slice */
	SCANNED = 64,          /* rows */
	WOKEN = 64,            /* that wait for room, when there is some */
	SCAN_BYTES = 64 << 10,
	SESSIONS_MAX =
	        4096, /* that are kept in mind; others are looked for again when there is room */
};

/* In one of the two lines, or in none. */
enum line { LINE_NONE, LINE_DUE, LINE_WAITS };

/* One whose inbox is not done with, or that is to be looked at. */
struct hub_session {
	UT_hash_handle hh; /* by id */
	struct hub *hub;
	enum line line;
	struct hub_session *line_next, **line_previous;
	/* Handed out here: */
	struct hub_conn *conn;
	uint64_t ends[ITEMS_MAX];
	size_t bytes[ITEMS_MAX], count;
	/* As its row was when it was looked at last: */
	struct agent_session row; /* agent "": nobody's */
	bool claiming;
	struct wheel_node lease; /* it lies since then */
	bool overdue;
	char id[];
};

/* ---- lines ---- */

static void take_off_line(struct hub_session *s)
{
	struct hub *hub = s->hub;
	if (s->line == LINE_NONE)
		return;
	*s->line_previous = s->line_next;
	if (s->line_next != NULL)
		s->line_next->line_previous = s->line_previous;
	else if (s->line == LINE_DUE)
		hub->session_due_last = s->line_previous;
	else
		hub->session_waits_last = s->line_previous;
	hub->session_waiting -= s->line == LINE_WAITS;
	s->line = LINE_NONE;
}

static void put_on_line(struct hub_session *s, enum line line)
{
	struct hub *hub = s->hub;
	if (s->line == line)
		return;
	take_off_line(s);
	struct hub_session ***last =
	        line == LINE_DUE ? &hub->session_due_last : &hub->session_waits_last;
	s->line = line;
	s->line_next = NULL;
	s->line_previous = *last;
	**last = s;
	*last = &s->line_next;
	hub->session_waiting += line == LINE_WAITS;
	if (line == LINE_DUE)
		slices_add(&hub->worker->slices, &hub->session_work);
}

static void look_again(struct hub_session *s)
{
	put_on_line(s, LINE_DUE);
}

/* Somebody has room again. */
static void wake(struct hub *hub, bool all)
{
	size_t count = all || hub->session_waiting < WOKEN ? hub->session_waiting : WOKEN;
	while (count-- > 0)
		look_again(hub->session_waits);
}

/* ---- what is kept of one ---- */

static void on_lease(struct wheel_node *node)
{
	struct hub_session *s =
	        (struct hub_session *)((char *)node - offsetof(struct hub_session, lease));
	s->overdue = true;
	look_again(s);
}

static void note(struct hub *hub, struct span id)
{
	struct hub_session *s;
	if (hub->takers == NULL || !conversation_id_good(id))
		return;
	HASH_FIND(hh, hub->sessions, id.at, id.len, s);
	if (s == NULL && HASH_COUNT(hub->sessions) >= SESSIONS_MAX) {
		hub->session_missed = true;
		return;
	}
	if (s == NULL) {
		s = xcalloc(1, sizeof *s + id.len + 1);
		memcpy(s->id, id.at, id.len);
		s->hub = hub;
		s->lease.due = on_lease;
		HASH_ADD_KEYPTR(hh, hub->sessions, s->id, id.len, s);
	}
	look_again(s);
}

/* It has it no more, or has done with the first `count` of what it has. */
static void take_back(struct hub_session *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		s->conn->handed_bytes -= s->bytes[i];
	s->count -= count;
	memmove(s->ends, s->ends + count, s->count * sizeof *s->ends);
	memmove(s->bytes, s->bytes + count, s->count * sizeof *s->bytes);
	if (count > 0)
		wake(s->hub, s->conn->handed_bytes == 0);
}

static void detach(struct hub_session *s)
{
	char text[CONVERSATION_ID_ROOM + 64];
	struct hub_conn *conn = s->conn;
	if (conn == NULL)
		return;
	bool lost = s->count > 0;
	take_back(s, s->count);
	s->conn = NULL;
	if (!lost || conn->websocket == NULL)
		return;
	snprintf(text, sizeof text, "{\"event\":\"session_lost\",\"session\":\"%s\"}", s->id);
	websocket_send(conn->websocket, span_str(text));
}

static void scan_all(struct hub *hub);

static void drop(struct hub_session *s)
{
	struct hub *hub = s->hub;
	if (s->claiming)
		return; /* it is looked at again when that has ended */
	detach(s);
	take_off_line(s);
	wheel_cancel(&s->lease);
	HASH_DEL(hub->sessions, s);
	free(s);
	if (!hub->session_missed || HASH_COUNT(hub->sessions) > SESSIONS_MAX / 2)
		return;
	hub->session_missed = false;
	scan_all(hub);
}

/* ---- whose it is ---- */

/* The agent whose it is, if he is there. */
static struct hub_entry *holder_of(const struct hub_session *s)
{
	struct hub_entry *e =
	        *s->row.agent != '\0' ? hub_entry_find(s->hub, span_str(s->row.agent)) : NULL;
	bool there = e != NULL && e->there && e->status == AGENT_ACTIVE &&
	             e->generation == s->row.generation &&
	             hub_alive(s->hub, e->slot, e->process_ms);
	return there ? e : NULL;
}

static bool is_his(const struct hub_session *s, const struct hub_conn *conn)
{
	return strcmp(s->row.agent, conn->id) == 0 && s->row.generation == conn->generation;
}

/* Who has least to do, of those who may and have room. *any: some may. */
static struct hub_conn *choose(const struct hub_session *s, bool *any)
{
	char path[CONVERSATION_PATH_ROOM];
	struct hub_conn *best = NULL;
	*any = false;
	conversation_path(s->id, "inbox", path);
	for (struct hub_conn *conn = s->hub->takers; conn != NULL; conn = conn->taker_next) {
		if (conn->request == NULL || is_his(s, conn) ||
		    !request_may(conn->request, RIGHT(READ), span_str(path)))
			continue;
		*any = true;
		if (conn->handed_bytes < BYTES_MAX &&
		    (best == NULL || conn->handed_bytes < best->handed_bytes))
			best = conn;
	}
	return best;
}

static void on_claimed(struct hub_change *c, enum actor_end end)
{
	struct hub *hub = c->hub;
	struct hub_session *s;
	(void)end; /* the row says it */
	HASH_FIND(hh, hub->sessions, c->id, strlen(c->id), s);
	hub_change_free(c);
	if (s == NULL)
		return;
	s->claiming = false;
	look_again(s);
}

static void claim(struct hub_session *s, const struct hub_conn *conn, uint64_t lineage)
{
	struct hub_change *c = hub_change_create(s->hub, HUB_CLAIM);
	snprintf(c->id, sizeof c->id, "%s", s->id);
	snprintf(c->agent.id, sizeof c->agent.id, "%s", conn->id);
	snprintf(c->former, sizeof c->former, "%s", s->row.agent);
	c->agent.generation = conn->generation;
	c->former_generation = s->row.generation;
	c->lineage = lineage;
	c->done = on_claimed;
	s->claiming = true;
	hub_change_run(c);
}

static void on_forgotten(struct hub_change *c, enum actor_end end)
{
	(void)end; /* the next scan finds it again */
	hub_change_free(c);
}

static void forget_row(struct hub_session *s)
{
	struct hub_change *c = hub_change_create(s->hub, HUB_FORGET);
	snprintf(c->id, sizeof c->id, "%s", s->id);
	c->lineage = s->row.lineage;
	c->done = on_forgotten;
	hub_change_run(c);
}

/* ---- handing out ---- */

struct handing {
	struct hub_session *session;
	bool full;
};

static bool hand_one(void *arg, const struct store_message *message)
{
	struct handing *h = arg;
	struct hub_session *s = h->session;
	struct hub_conn *conn = s->conn;
	size_t len;
	h->full = s->count == ITEMS_MAX ||
	          (conn->handed_bytes > 0 && conn->handed_bytes + message->bytes.len > BYTES_MAX);
	if (h->full)
		return false;
	char *text = agent_session_item(s->id, message->ends_at, message->bytes, &len);
	websocket_send(conn->websocket, span_of(text, len));
	free(text);
	s->ends[s->count] = message->ends_at;
	s->bytes[s->count++] = message->bytes.len;
	conn->handed_bytes += message->bytes.len;
	counter_add(s->hub->worker->counters, hub_items_total, 1);
	return true;
}

static void hand_out(struct hub_session *s, const struct stream *stream, uint64_t from)
{
	struct handing h = {.session = s};
	if (s->count > 0)
		from = s->ends[s->count - 1];
	if (from < stream->tail && s->conn->websocket != NULL)
		store_scan(s->hub->worker->store, stream, from, stream->tail, SCAN_BYTES, hand_one,
		           &h);
	if (h.full && s->count < ITEMS_MAX)
		put_on_line(s, LINE_WAITS);
	else if (!h.full && s->count < ITEMS_MAX && s->count > 0 &&
	         s->ends[s->count - 1] < stream->tail)
		look_again(s); /* a page of it was read */
}

/* ---- looking at one ---- */

/* What its row says now; false: it cannot be read. */
static bool read_row(struct hub_session *s)
{
	char key[AGENT_KEY_ROOM];
	struct span value;
	struct agent_session before = s->row;
	struct state *view = store_view(s->hub->worker->store);
	bool there = state_kv_get(view, agent_session_key(span_str(s->id), key), &value);
	s->row = (struct agent_session){0};
	if (!there)
		return !view->unreadable;
	if (agent_session_read(&s->row, value) != ROW_PRESENT) {
		row_alert(s->hub->worker->counters, key);
		return false;
	}
	if (before.acked != s->row.acked || before.generation != s->row.generation ||
	    strcmp(before.agent, s->row.agent) != 0) {
		wheel_cancel(&s->lease); /* somebody got on with it */
		s->overdue = false;
	}
	return true;
}

static void attach(struct hub_session *s, struct hub_conn *conn)
{
	size_t done = 0;
	if (s->conn != conn)
		detach(s);
	s->conn = conn;
	if (conn == NULL)
		return;
	while (done < s->count && s->ends[done] <= s->row.acked)
		done++;
	counter_add(s->hub->worker->counters, hub_items_done_total, done);
	take_back(s, done);
}

/* It is somebody's who is there, and may lie for so long. */
static void set_lease(struct hub_session *s)
{
	struct wheel *wheel = &s->hub->worker->wheel;
	if (s->lease.previous == NULL)
		wheel_set(wheel, &s->lease,
		          wheel->now_ms + s->hub->worker->settings->hub_session_lease_ms);
}

static void look(struct hub_session *s)
{
	char path[CONVERSATION_PATH_ROOM];
	struct hub *hub = s->hub;
	struct state *view = store_view(hub->worker->store);
	bool any;
	if (s->claiming)
		return;
	if (hub->takers == NULL || !read_row(s)) {
		drop(s);
		return;
	}
	struct stream *stream = state_find(view, span_str(conversation_path(s->id, "inbox", path)));
	if (stream == NULL || stream->deleted) {
		if (*s->row.agent != '\0' && !view->unreadable)
			forget_row(s);
		drop(s);
		return;
	}
	uint64_t done = s->row.lineage == stream->lineage ? s->row.acked : 0,
	         first = stream_first(view, stream), from = done > first ? done : first;
	struct hub_entry *holder = holder_of(s);
	/* Of another lineage nothing is his yet. */
	bool held = holder != NULL && s->row.lineage == stream->lineage;
	attach(s, held && holder->conn != NULL && holder->conn->takes ? holder->conn : NULL);
	if (from >= stream->tail) {
		drop(s);
		return;
	}
	if (!held || s->overdue) {
		struct hub_conn *conn = choose(s, &any);
		s->overdue = false;
		if (conn != NULL) {
			claim(s, conn, stream->lineage);
			return;
		}
		if (!held && any) {
			put_on_line(s, LINE_WAITS);
			return;
		}
		if (!held) {
			/* Of the same agent in another life, say: he is not asked for himself. */
			drop(s);
			return;
		}
	}
	set_lease(s);
	if (s->conn != NULL)
		hand_out(s, stream, from);
}

static bool work(struct slices_job *job)
{
	struct hub *hub = (struct hub *)((char *)job - offsetof(struct hub, session_work));
	sse_worker_catch_up(hub->worker);
	hub_roster_refresh(hub);
	for (size_t i = 0; i < LOOKS && hub->session_due != NULL; i++) {
		struct hub_session *s = hub->session_due;
		take_off_line(s);
		look(s);
	}
	return hub->session_due != NULL;
}

/* ---- all of them ---- */

struct scan {
	struct hub *hub;
	size_t seen;
};

static bool scan_row(void *arg, struct span key, struct span value)
{
	struct scan *scan = arg;
	struct hub *hub = scan->hub;
	size_t head =
	        hub->session_scan_rows ? sizeof AGENT_SESSION_KEY - 1 : sizeof CONVERSATION_KEY - 1;
	(void)value;
	if (key.len >= sizeof hub->session_scanned || key.len <= head)
		return true;
	memcpy(hub->session_scanned, key.at, key.len);
	hub->session_scanned[key.len] = '\0';
	note(hub, span_of(key.at + head, key.len - head));
	return ++scan->seen < SCANNED;
}

/* In slices, and no faster than they are looked at. */
static bool scan_on(struct slices_job *job)
{
	struct hub *hub = (struct hub *)((char *)job - offsetof(struct hub, session_scan));
	struct scan scan = {.hub = hub};
	if (hub->takers == NULL || hub->session_missed)
		return false; /* it begins anew when there is room */
	if (hub->session_due != NULL)
		return true;
	state_kv_page(store_view(hub->worker->store),
	              hub->session_scan_rows ? SPAN(AGENT_SESSION_KEY) : SPAN(CONVERSATION_KEY),
	              span_str(hub->session_scanned), scan_row, &scan);
	if (scan.seen == SCANNED)
		return true;
	*hub->session_scanned = '\0';
	hub->session_scan_rows = !hub->session_scan_rows;
	return hub->session_scan_rows;
}

static void scan_all(struct hub *hub)
{
	*hub->session_scanned = '\0';
	hub->session_scan_rows = false;
	slices_add(&hub->worker->slices, &hub->session_scan);
}

/* ---- what happens ---- */

static void on_changed(void *context, const struct stream *stream)
{
	struct hub *hub = ((struct sse_worker *)context)->hub;
	const size_t head = sizeof CONVERSATION_ROOT - 1, tail = sizeof "/inbox" - 1;
	if (hub->takers == NULL)
		return;
	if (stream == NULL) {
		scan_all(hub);
		return;
	}
	size_t len = stream->path_len;
	if (len > head + tail && memcmp(stream->path, CONVERSATION_ROOT, head) == 0 &&
	    memcmp(stream->path + len - tail, "/inbox", tail) == 0)
		note(hub, span_of(stream->path + head, len - head - tail));
}

void hub_sessions_start(struct hub *hub)
{
	hub->session_due_last = &hub->session_due;
	hub->session_waits_last = &hub->session_waits;
	hub->session_work.run = work;
	hub->session_scan.run = scan_on;
	hub->observer.changed = on_changed;
}

void hub_sessions_row(struct hub *hub, struct span conversation)
{
	if (hub->takers == NULL)
		return;
	if (conversation.at == NULL)
		scan_all(hub);
	else
		note(hub, conversation);
}

void hub_sessions_agent(struct hub *hub, const struct hub_entry *entry)
{
	struct hub_session *s, *next;
	if (hub->takers == NULL || (entry->there && entry->status == AGENT_ACTIVE))
		return;
	HASH_ITER (hh, hub->sessions, s, next)
		if (strcmp(s->row.agent, entry->id) == 0)
			look_again(s);
}

void hub_sessions_join(struct hub_conn *conn)
{
	struct hub *hub = conn->hub;
	if (!conn->takes) {
		conn->takes = true;
		conn->taker_next = hub->takers;
		conn->taker_previous = &hub->takers;
		if (hub->takers != NULL)
			hub->takers->taker_previous = &conn->taker_next;
		hub->takers = conn;
	}
	scan_all(hub);
}

void hub_sessions_leave(struct hub_conn *conn)
{
	struct hub_session *s, *next;
	if (!conn->takes)
		return;
	conn->takes = false;
	*conn->taker_previous = conn->taker_next;
	if (conn->taker_next != NULL)
		conn->taker_next->taker_previous = conn->taker_previous;
	HASH_ITER (hh, conn->hub->sessions, s, next) {
		if (s->conn == conn) {
			detach(s);
			look_again(s);
		} else if (conn->hub->takers == NULL) {
			look_again(s); /* to be forgotten */
		}
	}
}

/* ---- acknowledging ---- */

static void on_acked(struct hub_change *c, enum actor_end end)
{
	struct hub_conn *conn = c->arg;
	const char *fault = hub_change_refusal(c, end);
	hub_answer(conn, c->reply_id,
	           fault == NULL ? json_pack("{s:s}", "status", "acknowledged") : NULL, fault);
	hub_conn_changed(conn, c);
}

void hub_sessions_ack(struct hub_conn *conn, const struct agent_request *ask)
{
	const json_t *id = json_object_get(ask->params, "session"),
	             *seq = json_object_get(ask->params, "seq");
	const char *text = json_string_value(id);
	struct hub_session *s = NULL;
	char path[CONVERSATION_PATH_ROOM];
	size_t i = 0;
	if (text == NULL || !json_is_integer(seq) || json_integer_value(seq) < 0) {
		hub_answer(conn, ask->id, NULL, "Missing params");
		return;
	}
	HASH_FIND(hh, conn->hub->sessions, text, json_string_length(id), s);
	if (s == NULL || s->conn != conn) {
		hub_answer(conn, ask->id, NULL, "this session is not yours");
		return;
	}
	while (i < s->count && s->ends[i] != (uint64_t)json_integer_value(seq))
		i++;
	struct stream *stream = state_find(store_view(conn->hub->worker->store),
	                                   span_str(conversation_path(s->id, "inbox", path)));
	if (i == s->count || stream == NULL) {
		hub_answer(conn, ask->id, NULL, "no item of this seq waits to be acknowledged");
		return;
	}
	struct hub_change *c = hub_conn_ask(conn, HUB_ACK, ask->id);
	snprintf(c->id, sizeof c->id, "%s", s->id);
	c->position = s->ends[i];
	c->lineage = s->row.lineage;
	c->done = on_acked;
	hub_conn_change(conn, c);
}
