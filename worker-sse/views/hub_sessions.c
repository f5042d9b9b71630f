/* An agent that registered as {"accepts": ["items"]} is handed what people send to conversations,
 * in its socket, and says there what it has done with (docs/hub.md).
 *
 * It is the same lease as any agent's (docs/conversations.md, "Who answers"): the hub asks for it
 * in the agent's name, as the agent would by HTTP, and an acknowledgement is a renewal that says
 * what is done. So whoever asks for conversations, by whichever way, one has each of them; what the
 * hub keeps here is only what it has handed out. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/conversation.h"
#include "worker-sse/views/conversations.h"
#include "worker-sse/views/hub_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ITEMS_MAX = 16,        /* of a conversation that are handed and not done with */
	BYTES_MAX = 128 << 10, /* of an agent's, all together; one item may be more */
	SESSIONS_MAX = 256,    /* leases of an agent */
	LOOKS = 16,            /* conversations that are looked at in one slice */
	SCAN_BYTES = 64 << 10,
	WAIT_S = 50,     /* for a conversation that waits */
	AGAIN_MS = 1000, /* after a refusal */
	LEFT_MS = 5000,  /* after a lease that it let pass: others have the first chance */
	PATH_ROOM = CONVERSATION_ID_MAX + 48,
};

/* A conversation of which an agent here has the lease. */
struct hub_session {
	UT_hash_handle hh; /* hub->sessions, by id */
	struct hub *hub;
	struct hub_conn *conn; /* never NULL */
	uint64_t epoch;
	uint64_t lineage; /* of its inbox: another is another conversation's */
	uint64_t done;
	uint64_t lease_ms;
	char *begun; /* an answer of a predecessor's, JSON, told with its first item; NULL: none */
	uint64_t ends[ITEMS_MAX]; /* of what it was handed, and has not done with */
	size_t bytes[ITEMS_MAX], count;
	struct wheel_node end; /* of the lease, if nothing renews it */
	bool due;              /* in line to be looked at */
	struct hub_session *due_next;
	char id[CONVERSATION_ID_ROOM];
};

/* ---- asking, in the agent's name ---- */

enum what { ASK_NEXT, ASK_RENEW, ASK_RELEASE };

struct hub_asked {
	struct request request; /* first */
	struct span headers[HEADER_COUNT];
	struct hub *hub;
	struct hub_conn *conn;              /* NULL: it has left */
	struct hub_asked *next, **previous; /* hub->asked */
	enum what what;
	json_t *reply_id;
	uint64_t epoch, done;
	char id[CONVERSATION_ID_ROOM];
	char path[PATH_ROOM];
	char *body;
};

static void asked_free(struct hub_asked *a)
{
	*a->previous = a->next;
	if (a->next != NULL)
		a->next->previous = a->previous;
	identity_release(&a->request.identity);
	json_decref(a->reply_id);
	free(a->body);
	free(a);
}

static void on_answer(struct request *request, unsigned status, struct span body);

/* Takes `body`; `conn` NULL: nobody is told. It may be answered before this returns. */
static void ask(struct hub *hub, struct identity *identity, struct hub_conn *conn, enum what what,
                const struct hub_session *s, uint64_t done, const json_t *reply_id, json_t *body)
{
	static const char *const deeds[] = {
	        [ASK_NEXT] = "lease", [ASK_RENEW] = "lease/renew", [ASK_RELEASE] = "lease/release"};
	struct hub_asked *a = xcalloc(1, sizeof *a);
	a->hub = hub;
	a->conn = conn;
	a->what = what;
	a->done = done;
	a->reply_id = json_incref((json_t *)(uintptr_t)reply_id);
	a->next = hub->asked;
	a->previous = &hub->asked;
	if (a->next != NULL)
		a->next->previous = &a->next;
	hub->asked = a;
	if (s != NULL) {
		a->epoch = s->epoch;
		memcpy(a->id, s->id, sizeof a->id);
	}
	snprintf(a->path, sizeof a->path, "/v1/sessions/%s/%s", s != NULL ? s->id : "$next",
	         deeds[what]);
	a->body = json_dumps(body, JSON_COMPACT);
	check(a->body != NULL);
	json_decref(body);
	a->request.edge = &hub->worker->edge;
	a->request.method = METHOD_POST;
	a->request.path = span_str(a->path);
	a->request.headers = a->headers;
	a->request.body = (uint8_t *)a->body;
	a->request.body_len = strlen(a->body);
	a->request.body_room = a->request.body_len + 1;
	a->request.identity = identity_hold(identity);
	a->request.answer = on_answer;
	if (what == ASK_NEXT && conn != NULL)
		conn->asking = a;
	conversations_handle(&a->request);
}

static void ask_release(struct hub *hub, struct identity *identity, const struct hub_session *s)
{
	ask(hub, identity, NULL, ASK_RELEASE, s, 0, NULL,
	    json_pack("{s:I}", "epoch", (json_int_t)s->epoch));
}

/* ---- what is kept of one ---- */

static struct hub_session *find(struct hub *hub, const char *id, size_t len)
{
	struct hub_session *s;
	HASH_FIND(hh, hub->sessions, id, len, s);
	return s;
}

static void look_again(struct hub_session *s)
{
	struct hub *hub = s->hub;
	if (s->due)
		return;
	s->due = true;
	s->due_next = NULL;
	*hub->session_due_last = s;
	hub->session_due_last = &s->due_next;
	slices_add(&hub->worker->slices, &hub->session_work);
}

static void take_off_line(struct hub_session *s)
{
	struct hub *hub = s->hub;
	struct hub_session **at = &hub->session_due;
	if (!s->due)
		return;
	while (*at != s)
		at = &(*at)->due_next;
	*at = s->due_next;
	if (hub->session_due_last == &s->due_next)
		hub->session_due_last = at;
	s->due = false;
}

/* There is room for another one, or for more of those that are there. */
static void ask_soon(struct hub_conn *conn, uint64_t ms)
{
	struct wheel *wheel = &conn->hub->worker->wheel;
	if (conn->takes && conn->asking == NULL)
		wheel_set(wheel, &conn->asks, wheel->now_ms + ms);
}

/* It has done with the first `count` of what it has. */
static void take_back(struct hub_session *s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		s->conn->handed_bytes -= s->bytes[i];
	s->count -= count;
	memmove(s->ends, s->ends + count, s->count * sizeof *s->ends);
	memmove(s->bytes, s->bytes + count, s->count * sizeof *s->bytes);
}

static void drop(struct hub_session *s)
{
	struct hub_conn *conn = s->conn;
	take_back(s, s->count);
	take_off_line(s);
	wheel_cancel(&s->end);
	HASH_DEL(s->hub->sessions, s);
	conn->sessions--;
	free(s->begun);
	free(s);
	ask_soon(conn, 0);
}

/* The lease is over, or the conversation. */
static void lose(struct hub_session *s)
{
	char text[CONVERSATION_ID_ROOM + 64];
	struct hub_conn *conn = s->conn;
	snprintf(text, sizeof text, "{\"event\":\"session_lost\",\"session\":\"%s\"}", s->id);
	bool told = s->count > 0 && conn->websocket != NULL;
	drop(s);
	if (told)
		websocket_send(conn->websocket, span_str(text));
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
	const struct agent_item item = {.conversation = s->id,
	                                .epoch = s->epoch,
	                                .lease_ms = s->lease_ms,
	                                .generation = s->begun,
	                                .seq = message->ends_at,
	                                .item = message->bytes};
	char *text = agent_session_item(&item, &len);
	websocket_send(conn->websocket, span_of(text, len));
	free(text);
	free(s->begun);
	s->begun = NULL;
	s->ends[s->count] = message->ends_at;
	s->bytes[s->count++] = message->bytes.len;
	conn->handed_bytes += message->bytes.len;
	counter_add(s->hub->worker->counters, hub_items_total, 1);
	return true;
}

static struct stream *inbox_of(struct hub *hub, const char *id)
{
	char path[CONVERSATION_PATH_ROOM];
	struct stream *stream = state_find(store_view(hub->worker->store),
	                                   span_str(conversation_path(id, "inbox", path)));
	return stream != NULL && !stream->deleted ? stream : NULL;
}

/* The row knows what it said elsewhere, by its epoch: how long it has the lease, what it has done
 * with, whether it let it go. */
static bool holds(struct hub_session *s, struct conversation *row)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	return state_kv_get(store_view(s->hub->worker->store), conversation_key(s->id, key),
	                    &value) &&
	       conversation_read(row, value) == ROW_PRESENT && row->epoch == s->epoch &&
	       strcmp(row->agent, s->conn->id) == 0;
}

static void done_with(struct hub_session *s, uint64_t done)
{
	size_t count = 0;
	while (count < s->count && s->ends[count] <= done)
		count++;
	counter_add(s->hub->worker->counters, hub_items_done_total, count);
	take_back(s, count);
	if (done > s->done)
		s->done = done;
	if (count == 0)
		return;
	/* Others of its may have waited for the room. */
	struct hub_session *other, *next;
	if (s->conn->sessions > 1)
		HASH_ITER (hh, s->hub->sessions, other, next)
			if (other->conn == s->conn && other != s)
				look_again(other);
	ask_soon(s->conn, 0);
}

/* Of what it said elsewhere. False: it has it no more. */
static bool learn(struct hub_session *s)
{
	struct conversation *row = xcalloc(1, sizeof *row);
	bool its = holds(s, row);
	if (its)
		done_with(s, row->done);
	else
		lose(s);
	free(row);
	return its;
}

static void hand_out(struct hub_session *s)
{
	struct stream *stream = inbox_of(s->hub, s->id);
	struct handing h = {.session = s};
	if (stream == NULL || stream->lineage != s->lineage) {
		lose(s);
		return;
	}
	uint64_t from = s->count > 0 ? s->ends[s->count - 1] : s->done,
	         first = stream_first(store_view(s->hub->worker->store), stream);
	if (from < first)
		from = first;
	if (from >= stream->tail || s->count == ITEMS_MAX || s->conn->websocket == NULL)
		return;
	size_t before = s->count;
	store_scan(s->hub->worker->store, stream, from, stream->tail, SCAN_BYTES, hand_one, &h);
	if (!h.full && s->count > before && s->ends[s->count - 1] < stream->tail)
		look_again(s); /* a page of it was read */
}

static bool work(struct slices_job *job)
{
	struct hub *hub = (struct hub *)((char *)job - offsetof(struct hub, session_work));
	sse_worker_catch_up(hub->worker);
	for (size_t i = 0; i < LOOKS && hub->session_due != NULL; i++) {
		struct hub_session *s = hub->session_due;
		take_off_line(s);
		if (learn(s))
			hand_out(s);
	}
	return hub->session_due != NULL;
}

/* Within a change of the view. */
static void on_changed(void *context, const struct stream *stream)
{
	struct hub *hub = ((struct sse_worker *)context)->hub;
	const size_t head = sizeof CONVERSATION_ROOT - 1, tail = sizeof "/inbox" - 1;
	struct hub_session *s, *next;
	if (stream == NULL) {
		HASH_ITER (hh, hub->sessions, s, next)
			look_again(s);
		return;
	}
	size_t len = stream->path_len;
	if (hub->sessions == NULL || len <= head + tail ||
	    memcmp(stream->path, CONVERSATION_ROOT, head) != 0 ||
	    memcmp(stream->path + len - tail, "/inbox", tail) != 0)
		return;
	s = find(hub, stream->path + head, len - head - tail);
	if (s != NULL)
		look_again(s);
}

void hub_sessions_row(struct hub *hub, struct span key)
{
	const size_t head = sizeof CONVERSATION_KEY - 1;
	struct hub_session *s, *next;
	if (key.at == NULL) {
		HASH_ITER (hh, hub->sessions, s, next)
			look_again(s);
		return;
	}
	if (hub->sessions == NULL || key.len <= head || memcmp(key.at, CONVERSATION_KEY, head) != 0)
		return;
	s = find(hub, (const char *)key.at + head, key.len - head);
	if (s != NULL)
		look_again(s);
}

/* ---- leases ---- */

static void on_end(struct wheel_node *node);

static void set_end(struct hub_session *s, uint64_t until_ms)
{
	struct wheel *wheel = &s->hub->worker->wheel;
	uint64_t now_ms = clock_wall_ms();
	wheel_set(wheel, &s->end, wheel->now_ms + (until_ms > now_ms ? until_ms - now_ms : 0) + 1);
}

static void stand_back(struct hub_conn *conn)
{
	struct hub_asked *a = conn->asking;
	if (a != NULL && a->request.on_gone != NULL) {
		conn->asking = NULL;
		a->request.on_gone(&a->request);
		asked_free(a);
	}
	ask_soon(conn, LEFT_MS);
}

static void on_end(struct wheel_node *node)
{
	struct hub_session *s =
	        (struct hub_session *)((char *)node - offsetof(struct hub_session, end));
	struct hub_conn *conn = s->conn;
	struct conversation *row = xcalloc(1, sizeof *row);
	sse_worker_catch_up(s->hub->worker);
	uint64_t until_ms = holds(s, row) ? row->lease_until_ms : 0;
	bool lapsed = until_ms != 0;
	free(row);
	if (until_ms > clock_wall_ms()) {
		set_end(s, until_ms);
		return;
	}
	lapsed &= s->count > 0;
	lose(s);
	if (lapsed)
		stand_back(conn);
}

/* Taken: it is its agent's. False: it may not be. */
static bool begin(struct hub_conn *conn, const json_t *lease)
{
	const char *id = json_string_value(json_object_get(lease, "sessionId"));
	struct hub *hub = conn->hub;
	char path[CONVERSATION_PATH_ROOM];
	sse_worker_catch_up(hub->worker);
	struct stream *stream = id != NULL ? inbox_of(hub, id) : NULL;
	struct hub_session *s = id != NULL ? find(hub, id, strlen(id)) : NULL;
	if (s != NULL)
		lose(s); /* it was another's here, or ours in another epoch */
	if (stream == NULL)
		return true;
	s = xcalloc(1, sizeof *s);
	s->hub = hub;
	s->conn = conn;
	s->epoch = (uint64_t)json_integer_value(json_object_get(lease, "epoch"));
	s->done = (uint64_t)json_integer_value(json_object_get(lease, "done"));
	s->lease_ms = (uint64_t)json_integer_value(json_object_get(lease, "leaseMs"));
	s->begun = json_dumps(json_object_get(lease, "generation"), JSON_COMPACT);
	s->lineage = stream->lineage;
	s->end.due = on_end;
	snprintf(s->id, sizeof s->id, "%s", id);
	HASH_ADD_KEYPTR(hh, hub->sessions, s->id, strlen(s->id), s);
	conn->sessions++;
	if (!request_may(conn->request, RIGHT(READ),
	                 span_str(conversation_path(id, "inbox", path)))) {
		/* It may speak, and not hear any more: whoever chose it did not know. */
		ask_release(conn->hub, conn->identity, s);
		drop(s);
		return false;
	}
	set_end(s, clock_wall_ms() + s->lease_ms);
	look_again(s);
	return true;
}

static void renewed(struct hub_conn *conn, const struct hub_asked *a)
{
	struct hub_session *s = find(conn->hub, a->id, strlen(a->id));
	if (s == NULL || s->conn != conn || s->epoch != a->epoch)
		return;
	done_with(s, a->done);
	look_again(s);
}

static void answered_ack(struct hub_conn *conn, const struct hub_asked *a, unsigned status,
                         const json_t *said)
{
	const char *error = json_string_value(json_object_get(said, "error"));
	struct hub_session *s;
	if (status == 200) {
		json_t *result = json_pack("{s:s}", "status", "acknowledged");
		if (json_is_true(json_object_get(said, "pending")))
			check(json_object_set_new(result, "pending", json_true()) == 0);
		renewed(conn, a);
		hub_answer(conn, a->reply_id, result, NULL);
		return;
	}
	hub_answer(conn, a->reply_id, NULL,
	           status == 409 || status == 404 ? "this session is not yours any more"
	           : error != NULL                ? error
	                           : "the store takes nothing at present: try again");
	s = find(conn->hub, a->id, strlen(a->id));
	if ((status == 409 || status == 404) && s != NULL && s->conn == conn &&
	    s->epoch == a->epoch)
		lose(s);
}

/* It was given to an agent that has left meanwhile. */
static void give_back(const struct hub_asked *a, const json_t *lease)
{
	const char *id = json_string_value(json_object_get(lease, "sessionId"));
	struct hub_session s = {
	        .epoch = (uint64_t)json_integer_value(json_object_get(lease, "epoch"))};
	snprintf(s.id, sizeof s.id, "%s", id != NULL ? id : "");
	ask_release(a->hub, a->request.identity, &s);
}

static void on_answer(struct request *request, unsigned status, struct span body)
{
	struct hub_asked *a = (struct hub_asked *)request;
	struct hub_conn *conn = a->conn;
	json_t *said = json_loadb((const char *)body.at, body.len, 0, NULL);
	if (a->what == ASK_NEXT && conn != NULL) {
		conn->asking = NULL;
		bool good = status == 200 || status == 204;
		if (status == 200 && conn->takes)
			good = begin(conn, said);
		ask_soon(conn, good ? 0 : AGAIN_MS);
	} else if (a->what == ASK_RENEW && conn != NULL) {
		answered_ack(conn, a, status, said);
	}
	if (a->what == ASK_NEXT && conn == NULL && status == 200)
		give_back(a, said);
	json_decref(said);
	asked_free(a);
}

/* ---- who takes them ---- */

static void on_asks(struct wheel_node *node)
{
	struct hub_conn *conn = (struct hub_conn *)((char *)node - offsetof(struct hub_conn, asks));
	if (!conn->takes || conn->asking != NULL || conn->websocket == NULL ||
	    conn->hub->worker->edge.draining || conn->handed_bytes >= BYTES_MAX ||
	    conn->sessions >= SESSIONS_MAX)
		return; /* it is asked when there is room */
	sse_worker_catch_up(conn->hub->worker);
	ask(conn->hub, conn->identity, conn, ASK_NEXT, NULL, 0, NULL,
	    json_pack("{s:s, s:i}", "agent", conn->id, "wait", WAIT_S));
}

void hub_sessions_start(struct hub *hub)
{
	hub->session_due_last = &hub->session_due;
	hub->session_work.run = work;
	hub->observer.changed = on_changed;
}

void hub_sessions_join(struct hub_conn *conn)
{
	conn->asks.due = on_asks;
	conn->takes = true;
	ask_soon(conn, 0);
}

void hub_sessions_leave(struct hub_conn *conn)
{
	struct hub_session *s, *next;
	struct hub_asked *a, *after;
	conn->takes = false;
	wheel_cancel(&conn->asks);
	for (a = conn->hub->asked; a != NULL; a = after) {
		after = a->next;
		if (a->conn != conn)
			continue;
		a->conn = NULL;
		if (a->what != ASK_NEXT || a->request.on_gone == NULL)
			continue; /* answered later, to nobody */
		conn->asking = NULL;
		a->request.on_gone(&a->request);
		asked_free(a);
	}
	conn->asking = NULL;
	HASH_ITER (hh, conn->hub->sessions, s, next) {
		if (s->conn != conn)
			continue;
		/* What it has not done with waits for the next one, from now on. Where it is this
		 * worker that goes, the agent may be in the middle of an answer, and has it. */
		if (!conn->hub->worker->edge.draining)
			ask_release(conn->hub, conn->identity, s);
		drop(s);
	}
}

/* ---- acknowledging ---- */

void hub_sessions_ack(struct hub_conn *conn, const struct agent_request *ask_)
{
	const json_t *id = json_object_get(ask_->params, "session"),
	             *seq = json_object_get(ask_->params, "seq");
	const char *text = json_string_value(id);
	size_t i = 0;
	if (text == NULL || !json_is_integer(seq) || json_integer_value(seq) < 0) {
		hub_answer(conn, ask_->id, NULL, "Missing params");
		return;
	}
	/* What has become of it by what this agent was answered elsewhere is told first. */
	sse_worker_catch_up(conn->hub->worker);
	struct hub_session *s = find(conn->hub, text, json_string_length(id));
	if (s == NULL || s->conn != conn || !learn(s)) {
		hub_answer(conn, ask_->id, NULL, "this session is not yours");
		return;
	}
	while (i < s->count && s->ends[i] != (uint64_t)json_integer_value(seq))
		i++;
	if (i == s->count) {
		hand_out(s);
		hub_answer(conn, ask_->id, NULL, "no item of this seq waits to be acknowledged");
		return;
	}
	ask(conn->hub, conn->identity, conn, ASK_RENEW, s, s->ends[i], ask_->id,
	    json_pack("{s:I, s:I}", "epoch", (json_int_t)s->epoch, "done", (json_int_t)s->ends[i]));
}
