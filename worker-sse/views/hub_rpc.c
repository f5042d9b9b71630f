/* /ws: one kind of socket for agents and dashboards. It hears of every change of the roster, from
 * the moment of its first message on, and asks by messages of its own. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "proto/roles.h"
#include "worker-sse/edge/client_address.h"
#include "worker-sse/views/hub_tunnel.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	MESSAGE_BYTES = 65536,
	QUEUE_MAX = 64,  /* requests of one socket that wait for the disk */
	AGAIN_MS = 1000, /* until what the store refused is tried again */
	PAGE_BYTES = 256 << 10,
	SLICE_BYTES = 128 << 10,
	STILL_MAX = 2, /* pings, between which an init got nowhere */
};

/* ---- what it hears ---- */

struct page {
	struct sse_builder *builder;
	uint64_t to;
	size_t left;
	bool numbered;
};

static bool put_event(void *arg, const struct store_message *message)
{
	struct page *page = arg;
	char seq[40] = "";
	uint8_t header[WEBSOCKET_HEADER_MAX];
	struct span event = message->bytes;
	if (event.len > page->left && page->to != 0)
		return false;
	if (page->numbered && event.len > 2) {
		snprintf(seq, sizeof seq, ",\"seq\":%llu}", (unsigned long long)message->ends_at);
		event.len--; /* its brace */
	}
	size_t seq_len = strlen(seq);
	size_t header_len = websocket_header(header, 0x81, event.len + seq_len);
	sse_put(page->builder, span_of(header, header_len));
	sse_put(page->builder, event);
	sse_put(page->builder, span_of(seq, seq_len));
	page->to = message->ends_at;
	page->left -= event.len < page->left ? event.len : page->left;
	return true;
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct page page = {.builder = q->builder,
	                    .left = waiting_piece(q->waiting, PAGE_BYTES),
	                    .numbered = q->variant != 0};
	sse_begin(q->builder);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_event, &page) !=
	            STORE_READ_OK ||
	    page.to == 0)
		return false;
	sse_end(q->builder, frame);
	frame->to = page.to;
	return true;
}

static void listener_left(void *owner)
{
	((struct hub_conn *)owner)->reader = NULL;
}

static const struct fanout_view view = {
        .name = "hub", .shared = true, .frame = build, .left = listener_left};

/* ---- the first message ---- */

/* The roster of one instant, sent piece by piece; then it hears of what came behind that. */
struct hub_init {
	struct slices_job job; /* first */
	struct hub_conn *conn;
	struct hub_list *list;
	size_t at;  /* of its texts that were sent */
	bool waits; /* for its socket to take what it was given */
	bool numbered;
	unsigned still; /* pings since it got on */
	uint64_t from;  /* the position that it is of */
	char tail[80];
};

/* What hears of it before it has it all would hear it in the middle of a message. */
static void hear(struct hub_conn *conn, struct stream *stream, bool numbered, uint64_t from)
{
	conn->reader = fanout_join(conn->hub->worker->fanout, websocket_sink(conn->websocket),
	                           &view, conn, numbered, UINT64_MAX);
	fanout_add(conn->reader, stream, from);
}

static void init_free(struct hub_init **init)
{
	if (*init == NULL)
		return;
	slices_remove(&(*init)->conn->hub->worker->slices, &(*init)->job);
	hub_list_destroy(&(*init)->list);
	free(*init);
	*init = NULL;
}

static struct stream *find_stream(struct sse_worker *w);

static void init_end(struct hub_conn *conn)
{
	uint64_t from = conn->init->from;
	bool numbered = conn->init->numbered;
	struct stream *stream = find_stream(conn->hub->worker);
	init_free(&conn->init);
	websocket_hold(conn->websocket, false);
	if (stream != NULL)
		hear(conn, stream, numbered, from);
	else
		websocket_close(conn->websocket, WEBSOCKET_TRY_LATER,
		                "the roster's stream is gone");
}

/* So that nobody else waits for a large roster: a slice, and the rest at the next turn, or when the
 * socket has taken it. True: at the next turn. */
static bool init_slice(struct slices_job *job)
{
	struct hub_init *init = (struct hub_init *)job;
	struct websocket *websocket = init->conn->websocket;
	bool taken = true;
	if (!websocket_open(websocket))
		return false;
	for (size_t sent = 0; taken && sent < SLICE_BYTES && init->at < init->list->count;) {
		struct chunk *text = init->list->texts[init->at];
		size_t from = init->at++ == 0; /* the first has no comma before it */
		sent += text->len - from;
		taken = websocket_piece_shared(websocket, text, from, text->len - from);
	}
	init->waits = !taken;
	if (init->at < init->list->count)
		return taken;
	websocket_piece(websocket, span_str(init->tail));
	init_end(init->conn);
	return false;
}

static void on_drained(void *arg)
{
	struct hub_conn *conn = arg;
	if (conn->init == NULL || !conn->init->waits)
		return;
	conn->init->waits = false;
	conn->init->still = 0;
	slices_add(&conn->hub->worker->slices, &conn->init->job);
}

static void send_init(struct hub_conn *conn, bool numbered, uint64_t seq)
{
	static const struct span head = {(const uint8_t *)"{\"event\":\"init\",\"nodes\":[", 25};
	struct hub_init *init = conn->init = xcalloc(1, sizeof *init);
	*init = (struct hub_init){.job.run = init_slice,
	                          .conn = conn,
	                          .list = hub_roster_list(conn->hub),
	                          .from = seq,
	                          .numbered = numbered};
	int len = snprintf(init->tail, sizeof init->tail, "],\"protocol_version\":\"1\"%s",
	                   numbered ? "" : "}");
	if (numbered)
		len += snprintf(init->tail + len, sizeof init->tail - (size_t)len, ",\"seq\":%llu}",
		                (unsigned long long)seq);
	/* What it asks meanwhile is answered behind it. */
	websocket_hold(conn->websocket, true);
	websocket_frame(conn->websocket, 0x81, head.len + init->list->bytes - 2 + (size_t)len);
	websocket_piece(conn->websocket, head);
	if (init_slice(&init->job))
		slices_add(&conn->hub->worker->slices, &init->job);
}

/* True: *from is where it stopped listening, and nothing behind that is lost. */
static bool resumes(struct sse_worker *w, struct span query, const struct stream *stream,
                    uint64_t *from)
{
	struct span value;
	uint64_t at = 0;
	if (query_find(query, "resume", &value) == 0 || value.len == 0 || value.len > 19)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
		at = at * 10 + (uint64_t)(value.at[i] - '0');
	}
	*from = at;
	return at <= stream->tail && at >= stream_first(store_view(w->store), stream) &&
	       store_boundary(w->store, stream, at);
}

/* Snapshot and what follows it are of one instant: the view does not move between them. */
static void listen_to_all(struct hub_conn *conn, struct stream *stream, bool numbered, bool resumed,
                          uint64_t from)
{
	if (resumed)
		hear(conn, stream, numbered, from);
	else
		send_init(conn, numbered, from);
}

/* ---- answers ---- */

void hub_answer(struct hub_conn *conn, const json_t *id, json_t *result, const char *error)
{
	if (conn->websocket == NULL) {
		json_decref(result);
		return;
	}
	char *text = agent_reply(id, result, error);
	websocket_send(conn->websocket, span_str(text));
	free(text);
}

/* ---- changes, one after another ---- */

static void run_next(struct hub_conn *conn);

static void conn_free(struct hub_conn *conn)
{
	wheel_cancel(&conn->again);
	identity_release(&conn->identity);
	free(conn);
}

static void drop_entry(struct hub_conn *conn)
{
	struct hub_entry *e = hub_entry_find(conn->hub, span_str(conn->id));
	*conn->id = '\0';
	hub_sessions_leave(conn);
	if (e == NULL || e->conn != conn)
		return;
	e->conn = NULL;
	hub_entry_let_go(conn->hub, e);
}

static void begin_entry(struct hub_conn *conn, const struct agent *agent)
{
	if (*conn->id != '\0')
		drop_entry(conn);
	snprintf(conn->id, sizeof conn->id, "%s", agent->id);
	conn->generation = agent->generation;
	conn->tunnel = agent->tunnel;
	hub_entry_of(conn->hub, span_str(conn->id))->conn = conn;
	if (agent->items)
		hub_sessions_join(conn);
}

bool hub_conn_judge(struct hub_conn *conn, const struct hub_entry *entry)
{
	bool ours = entry->generation == conn->generation && entry->there;
	/* What it registers at the moment is judged when that ends. */
	if (ours || (conn->first != NULL && !entry->evicted))
		return true;
	*conn->id = '\0';
	hub_sessions_leave(conn);
	if (entry->evicted && conn->websocket != NULL)
		websocket_close(conn->websocket, WEBSOCKET_POLICY, "evicted by an operator");
	return false;
}

static void add(struct hub_conn *conn, struct hub_change *change)
{
	*conn->last = change;
	conn->last = &change->next;
	conn->queued++;
	if (conn->first == change)
		run_next(conn);
}

static const char *refusal_of(const struct hub_change *c, enum actor_end end)
{
	switch (end) {
	case ACTOR_DURABLE:
	case ACTOR_RESTED:
		return c->fault;
	case ACTOR_STOPPED:
		return "this node's row cannot be read";
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		break;
	}
	return "the store takes nothing at present: try again";
}

/* The first has ended: whoever waits behind it goes on. */
static void shift(struct hub_conn *conn, struct hub_change *c)
{
	check(conn->first == c);
	conn->first = c->next;
	if (conn->first == NULL)
		conn->last = &conn->first;
	conn->queued--;
	hub_change_free(c);
	run_next(conn);
}

static void on_registered(struct hub_change *c, enum actor_end end)
{
	struct hub_conn *conn = c->arg;
	const char *fault = refusal_of(c, end);
	if (fault == NULL) {
		begin_entry(conn, &c->agent);
		counter_add(conn->hub->worker->counters, hub_registrations_total, 1);
	}
	hub_answer(conn, c->reply_id,
	           fault == NULL ? json_pack("{s:s}", "status", "registered") : NULL, fault);
	shift(conn, c);
}

static void on_deregistered(struct hub_change *c, enum actor_end end)
{
	struct hub_conn *conn = c->arg;
	const char *fault = refusal_of(c, end);
	if (fault == NULL && strcmp(conn->id, c->id) == 0)
		drop_entry(conn);
	hub_answer(conn, c->reply_id,
	           fault == NULL
	                   ? json_pack("{s:s}", "status", c->found ? "deregistered" : "not_found")
	                   : NULL,
	           fault);
	shift(conn, c);
}

static void leave(struct hub_conn *conn);

static void on_again(struct wheel_node *node)
{
	leave((struct hub_conn *)((char *)node - offsetof(struct hub_conn, again)));
}

static void on_left(struct hub_change *c, enum actor_end end)
{
	struct hub_conn *conn = c->arg;
	struct wheel *wheel = &conn->hub->worker->wheel;
	hub_change_free(c);
	if (end == ACTOR_FAILED || end == ACTOR_OVERTAKEN) {
		wheel_set(wheel, &conn->again, wheel->now_ms + AGAIN_MS);
		return;
	}
	drop_entry(conn);
	conn_free(conn);
}

/* Its socket is closed: so is its agent, if it is still the one that it registered. */
static void leave(struct hub_conn *conn)
{
	if (*conn->id == '\0') {
		conn_free(conn);
		return;
	}
	struct hub_change *c = hub_change_create(conn->hub, HUB_OFFLINE);
	snprintf(c->id, sizeof c->id, "%s", conn->id);
	c->generation = conn->generation;
	c->agent.last_seen_s = conn->seen_s;
	c->done = on_left;
	c->arg = conn;
	hub_change_run(c);
}

static void run_next(struct hub_conn *conn)
{
	if (conn->first != NULL) {
		struct hub_change *c = conn->first;
		snprintf(c->former, sizeof c->former, "%s", conn->id);
		c->former_generation = conn->generation;
		hub_change_run(c);
	} else if (conn->websocket == NULL) {
		leave(conn);
	}
}

/* ---- what it asks ---- */

static struct hub_change *change_for(struct hub_conn *conn, enum hub_change_kind kind,
                                     const json_t *id)
{
	const struct identity *identity = conn->request->identity;
	struct hub_change *c = hub_change_create(conn->hub, kind);
	snprintf(c->owner, sizeof c->owner, "%s", identity->principal);
	free(c->formers);
	c->formers = xmemdup_text(identity->former.at, identity->former.len);
	c->reply_id = json_incref((json_t *)(uintptr_t)id);
	c->arg = conn;
	return c;
}

/* NULL: it may. */
static const char *refuse(struct hub_conn *conn, unsigned verbs, const char *id)
{
	char path[AGENT_PATH_ROOM];
	return request_may(conn->request, verbs, agent_path(span_str(id), path))
	               ? NULL
	               : "Unauthorized: no right to this node";
}

static void do_register(struct hub_conn *conn, const struct agent_request *ask)
{
	struct hub *hub = conn->hub;
	struct hub_change *c = change_for(conn, HUB_REGISTER, ask->id);
	const char *fault = agent_take(ask->params, &c->agent);
	if (fault == NULL)
		fault = refuse(conn, RIGHT(CREATE), c->agent.id);
	if (fault != NULL) {
		hub_answer(conn, ask->id, NULL, fault);
		hub_change_free(c);
		return;
	}
	snprintf(c->agent.owner, sizeof c->agent.owner, "%s", c->owner);
	snprintf(c->agent.address, sizeof c->agent.address, "%s", conn->address);
	c->agent.slot = hub->worker->worker->slot;
	c->agent.process_ms = hub_process_ms(hub);
	c->done = on_registered;
	add(conn, c);
}

static void do_deregister(struct hub_conn *conn, const struct agent_request *ask)
{
	const json_t *id = json_object_get(ask->params, "id");
	const char *text = json_string_value(id), *fault = NULL;
	if (text == NULL)
		fault = "Missing params.id";
	else if (*conn->id != '\0' && strcmp(conn->id, text) != 0)
		fault = "Unauthorized: cannot deregister another node";
	if (fault != NULL) {
		hub_answer(conn, ask->id, NULL, fault);
		return;
	}
	if (!agent_id_good(span_of(text, json_string_length(id)))) {
		hub_answer(conn, ask->id, json_pack("{s:s}", "status", "not_found"), NULL);
		return;
	}
	struct hub_change *c = change_for(conn, HUB_DEREGISTER, ask->id);
	snprintf(c->id, sizeof c->id, "%s", text);
	c->any = strcmp(conn->id, text) == 0 || refuse(conn, RIGHT(DELETE), text) == NULL;
	c->done = on_deregistered;
	add(conn, c);
}

static void do_list(struct hub_conn *conn, const struct agent_request *ask)
{
	struct websocket *websocket = conn->websocket;
	struct hub_list *list = hub_roster_list(conn->hub);
	char *id = ask->id != NULL ? json_dumps(ask->id, JSON_ENCODE_ANY) : NULL, *head;
	check(asprintf(&head, "{%s%s%s\"result\":[", id != NULL ? "\"id\":" : "",
	               id != NULL ? id : "", id != NULL ? "," : "") > 0);
	if (websocket_begin(websocket, 0x81, strlen(head) + list->bytes)) {
		websocket_piece(websocket, span_str(head));
		for (size_t i = 0; i < list->count; i++)
			websocket_piece_shared(websocket, list->texts[i], i == 0,
			                       list->texts[i]->len - (i == 0));
		websocket_piece(websocket, SPAN("]}"));
	}
	hub_list_destroy(&list);
	free(head);
	free(id);
}

static void do_ping(struct hub_conn *conn, const struct agent_request *ask)
{
	hub_roster_refresh(conn->hub);
	hub_answer(conn, ask->id,
	           json_pack("{s:s, s:I, s:s}", "status", "healthy", "nodes",
	                     (json_int_t)conn->hub->count, "version", ringside_version),
	           NULL);
}

static const struct {
	const char *method;
	void (*does)(struct hub_conn *conn, const struct agent_request *ask);
	bool waits; /* for the disk */
} methods[] = {
        {"register", do_register, true},   {"deregister", do_deregister, true},
        {"list_nodes", do_list, false},    {"ping", do_ping, false},
        {"ack", hub_sessions_ack, false},  {"list_directories", hub_directories, false},
        {"spawn_agent", hub_spawn, false},
};

static void do_other(struct hub_conn *conn, const struct agent_request *ask)
{
	char fault[160];
	snprintf(fault, sizeof fault, "Method not found: %.100s", ask->method);
	hub_answer(conn, ask->id, NULL, fault);
}

static void dispatch(struct hub_conn *conn, const struct agent_request *ask)
{
	sse_worker_catch_up(conn->hub->worker);
	counter_add(conn->hub->worker->counters, hub_calls_total, 1);
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		if (strcmp(methods[i].method, ask->method) != 0)
			continue;
		if (methods[i].waits && conn->queued == QUEUE_MAX)
			websocket_close(conn->websocket, WEBSOCKET_POLICY,
			                "too many requests at once");
		else
			methods[i].does(conn, ask);
		return;
	}
	do_other(conn, ask);
}

/* ---- the socket ---- */

static void on_text(void *arg, struct span text)
{
	struct hub_conn *conn = arg;
	struct agent_request ask;
	conn->seen_s = clock_wall_ms() / 1000;
	if (!agent_request_read(&ask, text))
		return; /* in silence, as its clients know it */
	dispatch(conn, &ask);
	agent_request_finish(&ask);
}

static void on_binary(void *arg, struct span bytes)
{
	struct hub_conn *conn = arg;
	conn->seen_s = clock_wall_ms() / 1000;
	hub_channels_take(conn, bytes);
}

static void on_beat(void *arg)
{
	struct hub_conn *conn = arg;
	conn->seen_s = clock_wall_ms() / 1000;
	if (conn->init != NULL && ++conn->init->still > STILL_MAX)
		websocket_close(conn->websocket, WEBSOCKET_TRY_LATER, "the roster is not read");
}

static void on_closed(void *arg, unsigned code)
{
	struct hub_conn *conn = arg;
	(void)code;
	conn->websocket = NULL;
	conn->request = NULL;
	init_free(&conn->init);
	hub_wishes_forget(conn);
	hub_sessions_leave(conn);
	hub_channels_drop(conn);
	if (conn->first == NULL)
		leave(conn);
}

static void print_address(const struct request *request, char out[AGENT_ADDRESS_ROOM])
{
	uint8_t address[16];
	request_address(request, address);
	if (inet_ntop(AF_INET6, address, out, AGENT_ADDRESS_ROOM) == NULL)
		*out = '\0';
	if (strncmp(out, "::ffff:", 7) == 0)
		memmove(out, out + 7, strlen(out + 7) + 1);
}

static struct stream *find_stream(struct sse_worker *w)
{
	struct stream *stream = state_find(store_view(w->store), SPAN(AGENT_ROSTER));
	return stream != NULL && !stream->deleted ? stream : NULL;
}

static void serve(struct request *request, struct stream *stream)
{
	struct sse_worker *w = worker_of(request);
	struct span value;
	uint64_t from = 0;
	struct hub_conn *conn = xcalloc(1, sizeof *conn);
	*conn = (struct hub_conn){.hub = w->hub,
	                          .request = request,
	                          .last = &conn->first,
	                          .again = {.due = on_again},
	                          .seen_s = clock_wall_ms() / 1000};
	const struct websocket_events events = {.on_text = on_text,
	                                        .on_binary = on_binary,
	                                        .on_beat = on_beat,
	                                        .on_drained = on_drained,
	                                        .on_closed = on_closed,
	                                        .arg = conn};
	bool resumed = resumes(w, request->query, stream, &from);
	bool numbered = resumed || query_find(request->query, "resume", &value) != 0;
	conn->identity = identity_hold(request->identity);
	print_address(request, conn->address);
	conn->websocket = websocket_accept(request, &events, MESSAGE_BYTES);
	if (conn->websocket == NULL) {
		identity_release(&conn->identity);
		free(conn);
		return;
	}
	request_forget(request);
	listen_to_all(conn, stream, numbered, resumed, resumed ? from : stream->tail);
}

/* ---- the first of a store, who finds no stream ---- */

struct first {
	struct sse_worker *worker;
	struct request *request; /* NULL: it has left */
};

static void on_first_gone(struct request *request)
{
	((struct first *)request->feature)->request = NULL;
}

static void on_stream_made(void *owner, enum verdict verdict)
{
	struct first *first = owner;
	struct request *request = first->request;
	struct stream *stream = find_stream(first->worker);
	(void)verdict; /* it is there, or it is not */
	free(first);
	if (request == NULL)
		return;
	request->feature = NULL;
	request->on_gone = NULL;
	if (stream != NULL)
		serve(request, stream);
	else
		reply_error(request, 503, "the roster's stream cannot be read, or made");
}

static void make_stream(struct request *request)
{
	struct first *first = xcalloc(1, sizeof *first);
	struct txn *txn = txn_create();
	*first = (struct first){worker_of(request), request};
	request->feature = first;
	request->on_gone = on_first_gone;
	txn_stream(txn, AGENT_ROSTER);
	txn_submit(&txn, first->worker->store, on_stream_made, first);
}

void hub_roster_handle(struct request *request)
{
	if (!hub_welcomes(request) || !websocket_expect(request) || !request_hold_reader(request))
		return;
	struct stream *stream = find_stream(worker_of(request));
	if (stream != NULL)
		serve(request, stream);
	else
		make_stream(request);
}
