/* A connection in one WebSocket: events one way, requests the other. Who says hello has a stream as
 * any other; what it asks is what it could ask by POST, one after another, but for what may not
 * wait. */
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "worker-sse/edge/websocket.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HELLO_MS = 1000,    /* the wire's */
	QUEUE_MAX = 64,     /* messages that wait for their turn; more end it with 1008 */
	TYPE_MAX = 32,      /* bytes */
	CLOSE_HELLO = 4000, /* codes of this wire */
	CLOSE_JSON = 4001,
	CLOSE_REFUSED = 4403,
};

struct queued {
	struct queued *next;
	json_t *message;
};

struct connection_socket {
	struct connections *all;
	struct websocket *websocket; /* NULL: it is over */
	struct request *request;     /* that it began with, as long as it is there */
	struct wheel_node hello;     /* until it says so */
	char cid[CONNECTION_CID_ROOM];
	char generation[24];
	bool greeted;   /* it has said hello, */
	bool begun;     /* ... and its stream is there */
	bool busy;      /* one is under way of those that come one after another */
	bool running;   /* next() is on the stack */
	size_t pending; /* that are under way */
	struct queued *first, **last;
	size_t queued;
};

/* A message on its way through what answers requests. */
struct asked {
	struct request request; /* first */
	struct connection_socket *socket;
	struct span headers[HEADER_COUNT];
	json_t *id; /* as it was given; NULL: none */
	char type[TYPE_MAX + 1];
	bool in_turn;
};

static void next(struct connection_socket *socket);

struct websocket *connection_socket_of(const struct connection_socket *socket)
{
	return socket->websocket;
}

struct request *connection_socket_request(const struct connection_socket *socket)
{
	return socket->request;
}

/* ---- answers ---- */

static void free_if_over(struct connection_socket *socket)
{
	if (socket->websocket == NULL && socket->pending == 0)
		free(socket);
}

static void asked_over(struct asked *asked)
{
	struct connection_socket *socket = asked->socket;
	if (asked->in_turn)
		socket->busy = false;
	socket->pending--;
	identity_release(&asked->request.identity);
	json_decref(asked->id);
	free(asked);
	if (socket->websocket != NULL)
		next(socket);
	else
		free_if_over(socket);
}

void connection_socket_answered(struct request *request)
{
	asked_over((struct asked *)request);
}

/* What HTTP would have answered; text that is no JSON is an error's. */
static void answer(struct request *request, unsigned status, struct span body)
{
	struct asked *asked = (struct asked *)request;
	struct connection_socket *socket = asked->socket;
	if (socket->websocket != NULL) {
		json_t *said = json_take(body, 0, NULL, NULL);
		json_t *event = json_pack("{s:i, s:s, s:s, s:i}", "v", CONNECTION_PROTOCOL, "type",
		                          "answer", "to", asked->type, "status", (int)status);
		check(event != NULL);
		if (asked->id != NULL)
			json_object_set(event, "id", asked->id);
		if (said != NULL)
			json_object_set(event, "body", said);
		char *text = json_dumps(event, JSON_COMPACT);
		check(text != NULL);
		websocket_send(socket->websocket, span_str(text));
		if (!socket->begun && socket->greeted)
			websocket_close(socket->websocket, CLOSE_REFUSED,
			                "this connection is not to be had");
		free(text);
		json_decref(event);
		json_decref(said);
	}
	asked_over(asked);
}

/* ---- what is asked ---- */

static struct asked *asked_create(struct connection_socket *socket, const json_t *message,
                                  bool in_turn)
{
	struct asked *asked = xcalloc(1, sizeof *asked);
	const char *type = json_string_value(json_object_get(message, "type"));
	struct request *request = &asked->request;
	request->edge = socket->request->edge;
	request->method = METHOD_POST;
	request->headers = asked->headers;
	request->identity = identity_hold(socket->request->identity);
	request->answer = answer;
	if (*socket->generation != '\0')
		asked->headers[HEADER_X_CONNECTION_GENERATION] = span_str(socket->generation);
	snprintf(asked->type, sizeof asked->type, "%s", type != NULL ? type : "");
	asked->socket = socket;
	asked->id = json_incref(json_object_get(message, "id"));
	asked->in_turn = in_turn;
	socket->busy |= in_turn;
	socket->pending++;
	return asked;
}

static void ask(struct connection_socket *socket, json_t *message, bool in_turn)
{
	struct asked *asked = asked_create(socket, message, in_turn);
	json_object_del(message, "id");
	connection_ask(&asked->request, span_str(asked->type), socket->cid, message);
}

/* One after another: what is said second is said behind what was said first. */
static void next(struct connection_socket *socket)
{
	if (socket->running)
		return;
	socket->running = true;
	socket->pending++; /* it stays until the loop is done */
	while (socket->first != NULL && !socket->busy && socket->begun &&
	       socket->websocket != NULL) {
		struct queued *queued = socket->first;
		socket->first = queued->next;
		if (socket->first == NULL)
			socket->last = &socket->first;
		socket->queued--;
		ask(socket, queued->message, true);
		free(queued);
	}
	socket->pending--;
	socket->running = false;
	free_if_over(socket);
}

static bool may_not_wait(const char *type)
{
	return strcmp(type, "stop") == 0 || strcmp(type, "interrupt") == 0 ||
	       strcmp(type, "permission") == 0;
}

static void take(struct connection_socket *socket, json_t *message, const char *type)
{
	if (socket->begun && may_not_wait(type) && socket->pending <= QUEUE_MAX) {
		ask(socket, message, false);
	} else if (socket->queued == QUEUE_MAX || socket->pending > QUEUE_MAX) {
		json_decref(message);
		websocket_close(socket->websocket, WEBSOCKET_POLICY, "too many messages at once");
	} else {
		struct queued *queued = xcalloc(1, sizeof *queued);
		queued->message = message;
		*socket->last = queued;
		socket->last = &queued->next;
		socket->queued++;
		next(socket);
	}
}

/* ---- hello ---- */

static void greet(struct connection_socket *socket, json_t *message)
{
	const json_t *id = json_object_get(message, "connectionId");
	/* What is no text is no id either, and malformed; none, or null, is for us to choose. */
	struct span cid = id == NULL || json_is_null(id) ? (struct span){0} : SPAN("");
	if (json_is_string(id))
		cid = span_of(json_string_value(id), json_string_length(id));
	wheel_cancel(&socket->hello);
	socket->greeted = true;
	struct asked *asked = asked_create(socket, message, true);
	connection_stream_open(&asked->request, cid, (struct span){0}, socket);
	json_decref(message);
}

void connection_socket_begun(struct connection_socket *socket, const struct connection *row)
{
	memcpy(socket->cid, row->cid, sizeof socket->cid);
	snprintf(socket->generation, sizeof socket->generation, "%llu",
	         (unsigned long long)row->generation);
	socket->begun = true;
}

static bool is_hello(const json_t *message, const char *type)
{
	const json_t *version = json_object_get(message, "protocolVersion");
	return strcmp(type, "hello") == 0 && json_is_integer(version) &&
	       json_integer_value(version) >= CONNECTION_PROTOCOL;
}

static void on_text(void *arg, struct span text)
{
	struct connection_socket *socket = arg;
	json_t *message = json_take(text, 0, NULL, NULL);
	const char *type = json_string_value(json_object_get(message, "type"));
	sse_worker_catch_up(socket->all->worker); /* as before each request of HTTP */
	if (type == NULL || strlen(type) > TYPE_MAX) {
		json_decref(message);
		websocket_close(socket->websocket, CLOSE_JSON,
		                "a message is an object with a type");
	} else if (socket->greeted) {
		take(socket, message, type);
	} else if (is_hello(message, type)) {
		greet(socket, message);
	} else {
		json_decref(message);
		websocket_close(socket->websocket, CLOSE_HELLO,
		                "hello with protocolVersion 2 comes first");
	}
}

static void on_late(struct wheel_node *node)
{
	struct connection_socket *socket =
	        (struct connection_socket *)((char *)node -
	                                     offsetof(struct connection_socket, hello));
	websocket_close(socket->websocket, CLOSE_HELLO, "no hello came");
}

/* ---- beginning and end ---- */

static void on_closed(void *arg, unsigned code)
{
	struct connection_socket *socket = arg;
	(void)code;
	wheel_cancel(&socket->hello);
	socket->websocket = NULL;
	socket->request = NULL;
	while (socket->first != NULL) {
		struct queued *queued = socket->first;
		socket->first = queued->next;
		json_decref(queued->message);
		free(queued);
	}
	free_if_over(socket);
}

void connections_socket(struct request *request)
{
	struct sse_worker *w = worker_of(request);
	struct connection_socket *socket = xcalloc(1, sizeof *socket);
	const struct websocket_events events = {
	        .on_text = on_text, .on_closed = on_closed, .arg = socket};
	socket->all = w->connections;
	socket->request = request;
	socket->last = &socket->first;
	socket->hello.due = on_late;
	if (!request_hold_reader(request)) {
		free(socket);
		return;
	}
	socket->websocket =
	        websocket_accept(request, &events, w->settings->conversations_message_bytes);
	if (socket->websocket == NULL) {
		free(socket);
		return;
	}
	request_forget(request);
	wheel_set(&w->wheel, &socket->hello, w->wheel.now_ms + HELLO_MS);
}
