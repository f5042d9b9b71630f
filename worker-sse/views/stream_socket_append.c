#include "common/base/check.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/views/stream_socket_parts.h"

#include <stdlib.h>

/* One append on its way. It outlives its socket's connection, for what was begun is done. */
struct stream_socket_append {
	struct stream_write write; /* first */
	struct stream_socket *socket;
	struct stream_socket_append *next;
	size_t counted; /* bytes */
	char *request;  /* NULL: none */
	char *path, *content_type, *producer_id, *stream_seq;
	uint8_t body[]; /* and one byte behind it */
};

static void account(struct stream_socket_append *a, int64_t change)
{
	struct stream_socket *socket = a->socket;
	struct sse_worker *w = socket->worker;
	int64_t bytes = change * (int64_t)a->counted;
	socket->appends += (size_t)change;
	socket->append_bytes += (size_t)bytes;
	w->edge.body_bytes += (size_t)bytes;
	counter_add(w->counters, ws_appends, (uint64_t)change);
	counter_add(w->counters, ws_append_bytes, (uint64_t)bytes);
}

static void append_free(struct stream_socket_append *a)
{
	stream_write_finish(&a->write);
	free(a->request);
	free(a->path);
	free(a->content_type);
	free(a->producer_id);
	free(a->stream_seq);
	free(a);
}

/* ---- what became of it ---- */

static void tell_receipt(const struct stream_socket_append *a,
                         const struct stream_append_told *told)
{
	const struct command *c = &a->write.command;
	struct sse_builder *b = fanout_builder(a->socket->worker->fanout);
	sse_begin(b);
	size_t begun = stream_socket_begin(b);
	sse_printf(b, "{\"type\":\"receipt\",\"status\":%u", told->status);
	if (a->request != NULL) {
		SSE_PUT(b, ",\"request\":");
		stream_socket_put(b, span_str(a->request));
	}
	if (c->verdict != VERDICT_OK)
		SSE_PUT(b, ",\"duplicate\":true");
	stream_socket_put_fields(b, told, c);
	SSE_PUT(b, "}");
	stream_socket_tell(a->socket, b, begun);
}

static void tell_refusal(const struct stream_socket_append *a,
                         const struct stream_append_told *told)
{
	const struct command *c = &a->write.command;
	char fault[STREAM_FAULT_ROOM];
	bool body = c->verdict == VERDICT_BAD_BODY && c->body_fault != NULL;
	const struct stream_socket_error error = {
	        .status = told->status,
	        .code = verdict_name(c->verdict),
	        .reason = body ? stream_write_fault(&a->write, fault)
	                       : stream_verdict(c->verdict).reason,
	        .request = a->request,
	        .told = told,
	        .command = c};
	stream_socket_refuse(a->socket, &error);
}

static void appended(struct command *c)
{
	struct stream_socket_append *a = c->owner;
	struct stream_socket *socket = a->socket;
	const struct stream_append_told told = stream_append_told(c);
	if (c->verdict == VERDICT_OK) {
		counter_add(socket->worker->counters, appends_total, 1);
		counter_add(socket->worker->counters, append_bytes_total, c->body.bytes.len);
	}
	if (socket->websocket != NULL && told.status < 300)
		tell_receipt(a, &told);
	else if (socket->websocket != NULL)
		tell_refusal(a, &told);
	account(a, -1);
	append_free(a);
	stream_socket_settle(socket);
}

/* ---- on its way ---- */

static void submit_next(struct stream_socket *socket);

static void on_taken(struct stream_write *write)
{
	struct stream_socket *socket = ((struct stream_socket_append *)write)->socket;
	socket->splitting = false;
	socket->appends++; /* it stays until those behind are on their way */
	store_submit(socket->worker->store, &write->command);
	submit_next(socket);
	socket->appends--;
	stream_socket_settle(socket);
}

/* They take effect in their order: behind a large one that is read by another thread they wait. */
static void submit_next(struct stream_socket *socket)
{
	while (socket->first != NULL && !socket->splitting) {
		struct stream_socket_append *a = socket->first;
		socket->first = a->next;
		if (socket->first == NULL)
			socket->last = &socket->first;
		if (stream_write_take(&a->write, socket->worker->worker->loop))
			store_submit(socket->worker->store, &a->write.command);
		else
			socket->splitting = true;
	}
}

/* ---- judging ---- */

static bool refuse(struct stream_socket *socket, const struct stream_socket_message *m,
                   unsigned status, const char *code, const char *reason)
{
	stream_socket_refuse(socket, &(struct stream_socket_error){.status = status,
	                                                           .code = code,
	                                                           .reason = reason,
	                                                           .request = m->request});
	return false;
}

/* The whole path of the stream that is named, in its canonical form; NULL: it is no name. */
static char *path_of(struct stream_socket *socket, const char *text)
{
	bool whole = strncmp(text, SUBSCRIPTION_ROOT, EVENTS_ROOT_LEN) == 0;
	const char *below = whole ? text + EVENTS_ROOT_LEN : text;
	if (*below == '\0' || (!whole && *below == '/'))
		return NULL;
	return events_path_of(store_view(socket->worker->store), below, true);
}

static bool has_room(const struct stream_socket *socket, size_t bytes)
{
	const struct edge *edge = &socket->worker->edge;
	return edge->body_bytes + bytes <= edge->body_bytes_max;
}

static bool may(struct stream_socket *socket, const struct stream_socket_message *m,
                const char *path)
{
	const struct settings *s = socket->worker->settings;
	const char *reason;
	unsigned status = request_refusal(socket->request, RIGHT(APPEND), span_str(path), &reason);
	if (status != 0)
		return refuse(socket, m, status, NULL, reason);
	uint64_t again_ms = limits_take_from(socket->request, LIMIT_APPENDS, socket->address);
	if (again_ms != 0) {
		stream_socket_refuse(
		        socket, &(struct stream_socket_error){.status = 429,
		                                              .reason = limit_said(LIMIT_APPENDS),
		                                              .request = m->request,
		                                              .retry_ms = again_ms});
		return false;
	}
	if (strlen(path) > s->limits_path_bytes)
		return refuse(socket, m, 414, NULL, "path longer than limits.path_bytes");
	if (strlen(m->content_type) > s->limits_content_type_bytes)
		return refuse(socket, m, 400, NULL,
		              "contentType longer than limits.content_type_bytes");
	return has_room(socket, m->body.len) ||
	       refuse(socket, m, 503, NULL, "no room for it (limits.body_bytes_total)");
}

/* What the message has goes over into it. */
static struct stream_socket_append *append_create(struct stream_socket *socket,
                                                  struct stream_socket_message *m, char *path)
{
	struct stream_socket_append *a = xcalloc(1, sizeof *a + m->body.len + 1);
	a->socket = socket;
	a->counted = m->body.len;
	a->path = path;
	a->request = m->request;
	a->content_type = m->content_type;
	a->producer_id = m->producer_id;
	a->stream_seq = m->stream_seq;
	m->request = m->content_type = m->producer_id = m->stream_seq = NULL;
	if (m->body.len > 0)
		memcpy(a->body, m->body.at, m->body.len);
	a->write.bytes = a->body;
	a->write.len = m->body.len;
	a->write.json = media_type_json(span_str(a->content_type));
	a->write.depth_max = socket->worker->settings->limits_json_depth;
	a->write.taken = on_taken;
	a->write.command = (struct command){.kind = COMMAND_APPEND,
	                                    .done = appended,
	                                    .owner = a,
	                                    .path = span_str(a->path),
	                                    .content_type = span_str(a->content_type),
	                                    .close = m->close,
	                                    .stream_seq = span_str(a->stream_seq)};
	if (m->producer)
		a->write.command.producer = (struct producer_tag){.present = true,
		                                                  .id = span_str(a->producer_id),
		                                                  .epoch = m->producer_epoch,
		                                                  .seq = m->producer_seq};
	return a;
}

void stream_socket_append(struct stream_socket *socket, struct stream_socket_message *m)
{
	char *path = path_of(socket, m->stream);
	if (path == NULL) {
		refuse(socket, m, 400, NULL, "stream is a path below /v1/stream/");
		return;
	}
	if (!may(socket, m, path)) {
		free(path);
		return;
	}
	struct stream_socket_append *a = append_create(socket, m, path);
	const char *fault =
	        stream_append_fault(socket->worker->settings, &a->write.command, a->write.len);
	if (fault != NULL) {
		stream_socket_refuse(socket, &(struct stream_socket_error){.status = 400,
		                                                           .reason = fault,
		                                                           .request = a->request});
		append_free(a);
		return;
	}
	account(a, 1);
	a->next = NULL;
	*socket->last = a;
	socket->last = &a->next;
	socket->appends++; /* it stays until they are on their way */
	submit_next(socket);
	socket->appends--;
	stream_socket_settle(socket);
}
