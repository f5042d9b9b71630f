#include "worker-sse/views/stream_socket.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/stream_socket_parts.h"

#include <stdlib.h>

#define SUBPROTOCOL "ringside.streams.v1"

/* ---- what it is told ---- */

void stream_socket_tell(struct stream_socket *socket, struct sse_builder *b, size_t begun)
{
	struct sse_frame frame = {0};
	stream_socket_end(b, begun, false, &socket->worker->edge, 0);
	sse_end(b, &frame);
	websocket_chunk(socket->websocket, frame.chunk, frame.bare_from, frame.bare_len);
	sse_frame_finish(&frame);
}

static const char *code_of(unsigned status)
{
	switch (status) {
	case 401:
		return "unauthorized";
	case 403:
		return "forbidden";
	case 404:
		return "not-found";
	case 409:
		return "exists";
	case 414:
		return "too-long";
	case 429:
		return "limit";
	case 503:
		return "unavailable";
	default:
		return "invalid";
	}
}

static void put_named(struct sse_builder *b, const char *name, const char *text)
{
	if (text == NULL)
		return;
	sse_printf(b, ",\"%s\":", name);
	stream_socket_put(b, span_str(text));
}

void stream_socket_refuse(struct stream_socket *socket, const struct stream_socket_error *error)
{
	struct sse_builder *b = fanout_builder(socket->worker->fanout);
	bool again = error->status == 429 || error->status == 503 || error->status == 507;
	uint64_t retry_ms = error->retry_ms > 0 ? error->retry_ms : 1;
	counter_add(socket->worker->counters, ws_refused_total, 1);
	sse_begin(b);
	size_t begun = stream_socket_begin(b);
	sse_printf(b, "{\"type\":\"error\",\"status\":%u,\"code\":\"%s\"", error->status,
	           error->code != NULL ? error->code : code_of(error->status));
	put_named(b, "reason", error->reason);
	put_named(b, "subscription", error->subscription);
	put_named(b, "request", error->request);
	if (again)
		sse_printf(b, ",\"retryAfter\":%llu", (unsigned long long)(retry_ms + 999) / 1000);
	if (error->told != NULL)
		stream_socket_put_fields(b, error->told, error->command);
	SSE_PUT(b, "}");
	stream_socket_tell(socket, b, begun);
}

/* ---- what it says ---- */

static void take(struct stream_socket *socket, struct span bytes, bool binary)
{
	if (socket->leaving)
		return; /* it has no receipt, and is sent again elsewhere */
	/* As before each request of HTTP; what came to be known may have ended it. */
	sse_worker_catch_up(socket->worker);
	if (!websocket_open(socket->websocket))
		return;
	/* The object itself is not in the depth of what is in it. */
	size_t depth_max = socket->worker->settings->limits_json_depth + 1;
	struct stream_socket_message m = stream_socket_message_read(bytes, binary, depth_max);
	switch (m.said) {
	case STREAM_SOCKET_BAD:
		stream_socket_refuse(socket,
		                     &(struct stream_socket_error){.status = 400,
		                                                   .code = m.code,
		                                                   .reason = m.fault,
		                                                   .subscription = m.subscription,
		                                                   .request = m.request});
		break;
	case STREAM_SOCKET_SUBSCRIBE:
		stream_socket_subscribe(socket, &m);
		break;
	case STREAM_SOCKET_UNSUBSCRIBE:
		stream_socket_unsubscribe(socket, m.subscription);
		break;
	case STREAM_SOCKET_APPEND:
		stream_socket_append(socket, &m);
		break;
	}
	stream_socket_message_finish(&m);
}

static void on_text(void *arg, struct span text)
{
	take(arg, text, false);
}

static void on_binary(void *arg, struct span bytes)
{
	take(arg, bytes, true);
}

/* ---- limits, and the end ---- */

void stream_socket_close(struct stream_socket *socket, unsigned code, const char *reason)
{
	if (socket->held)
		websocket_hold(socket->websocket, false); /* its goodbye is heard */
	socket->held = false;
	websocket_close(socket->websocket, code, reason);
}

void stream_socket_settle(struct stream_socket *socket)
{
	const struct settings *s = socket->worker->settings;
	if (socket->websocket == NULL) {
		if (socket->appends == 0)
			free(socket);
		return;
	}
	if (socket->leaving && socket->appends == 0)
		stream_socket_close(socket, WEBSOCKET_RESTART, "this worker is on its way out");
	bool full =
	        websocket_open(socket->websocket) &&
	        (socket->appends >= s->ws_appends || socket->append_bytes >= s->ws_message_bytes);
	if (full == socket->held)
		return;
	socket->held = full;
	if (full)
		counter_add(socket->worker->counters, ws_holds_total, 1);
	websocket_hold(socket->websocket, full);
}

static void on_drained(void *arg)
{
	stream_socket_drained(arg);
}

static void on_leaving(void *arg)
{
	struct stream_socket *socket = arg;
	socket->leaving = true;
	stream_socket_leave(socket);
	stream_socket_settle(socket);
}

static void on_closed(void *arg, unsigned code)
{
	struct stream_socket *socket = arg;
	(void)code;
	stream_socket_drop(socket);
	socket->websocket = NULL;
	socket->request = NULL;
	stream_socket_settle(socket);
}

/* ---- beginning ---- */

void stream_socket_start(struct sse_worker *w)
{
	w->stream_sockets_seed = clock_random_below(UINT64_MAX);
}

/* Browsers ask nobody before they open one: what CORS is to POST, this is here. */
static bool welcomes(struct request *request)
{
	if (request->edge->cors.origins.any || request_page(request) != PAGE_FOREIGN)
		return true;
	reply_error(request, 403, "pages of this origin may not (http.allowed_origin)");
	return false;
}

void stream_socket_handle(struct request *request)
{
	struct sse_worker *w = worker_of(request);
	if (!welcomes(request) || !request_hold_reader(request))
		return;
	struct stream_socket *socket = xcalloc(1, sizeof *socket);
	const struct websocket_events events = {.on_text = on_text,
	                                        .on_binary = on_binary,
	                                        .on_drained = on_drained,
	                                        .on_leaving = on_leaving,
	                                        .on_closed = on_closed,
	                                        .arg = socket};
	const struct websocket_options options = {.message_bytes = w->settings->ws_message_bytes,
	                                          .subprotocol = SUBPROTOCOL,
	                                          .deflates = w->settings->ws_compression};
	socket->worker = w;
	socket->request = request;
	socket->line_last = &socket->line;
	socket->last = &socket->first;
	socket->websocket = websocket_accept_as(request, &events, &options);
	if (socket->websocket == NULL) {
		free(socket);
		return;
	}
	request_address(request, socket->address);
	request_forget(request);
}
