/* What is said on a stream from another worker: a call to the one that has it. */
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define CALL_PATH "/connections/"

struct saying {
	void (*done)(void *arg, bool said, const json_t *event);
	void *arg;
	json_t *event; /* owned */
};

static void add_seq(json_t *event, const json_t *seq)
{
	if (json_is_integer(seq) && json_integer_value(seq) >= 0)
		json_object_set(event, "seq", (json_t *)seq);
}

/* "watched" of what is watched already says where the stream stands, which is known here only. */
static bool say(struct connection_stream *s, json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	const char *id = json_string_value(json_object_get(event, "sessionId"));
	bool watched = type != NULL && id != NULL && strcmp(type, "watched") == 0 &&
	               conversation_id_good(span_str(id));
	const struct stream *stream = watched ? connection_events(worker_of(s->request), id) : NULL;
	for (size_t i = 0; stream != NULL && i < s->count; i++)
		if (s->places[i].stream_id == stream->id)
			json_object_set_new(event, "seq",
			                    json_integer((json_int_t)s->places[i].position));
	return connection_stream_say(s, event);
}

static void on_said(void *arg, enum ask_outcome outcome, const struct party *from,
                    const struct proto_call_reply *reply)
{
	struct saying *saying = arg;
	(void)from;
	bool said = outcome == ASK_ANSWERED && (reply->status == 200 || reply->status == 204);
	json_t *answer = said ? json_take(reply->body, 0, NULL, NULL) : NULL;
	if (saying->done != NULL) {
		add_seq(saying->event, json_object_get(answer, "seq"));
		saying->done(saying->arg, said, saying->event);
	}
	json_decref(answer);
	json_decref(saying->event);
	free(saying);
}

static void ask(struct connections *all, const struct connection *row, json_t *event,
                void (*done)(void *arg, bool said, const json_t *event), void *arg)
{
	char path[sizeof CALL_PATH + CONNECTION_CID_LEN];
	const struct party holder = {
	        .role = ROLE_SSE, .slot = row->slot, .generation = row->worker};
	int len = snprintf(path, sizeof path, CALL_PATH "%s", row->cid);
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	struct saying *saying = xcalloc(1, sizeof *saying);
	*saying = (struct saying){done, arg, json_incref(event)};
	const struct proto_call call = {.method = CALL_POST,
	                                .path = span_of(path, (size_t)len),
	                                .content_type = SPAN("application/json"),
	                                .body = span_str(text)};
	if (asks_send(all->worker->asks, &holder, &call, on_said, saying, NULL) != ASK_SENT) {
		if (done != NULL)
			done(arg, false, event);
		json_decref(event);
		free(saying);
	}
	free(text);
}

void connection_say(struct connections *all, const struct connection *row, json_t *event,
                    void (*done)(void *arg, bool said, const json_t *event), void *arg)
{
	const struct worker *worker = all->worker->worker;
	check(event != NULL);
	if (!row->open) {
		if (done != NULL)
			done(arg, false, event);
	} else if (row->slot != worker->slot || row->worker != worker->generation) {
		ask(all, row, event, done, arg);
	} else {
		struct connection_stream *stream = connection_stream_find(all, row->cid);
		bool said = stream != NULL && say(stream, event);
		if (done != NULL)
			done(arg, said, event);
	}
	json_decref(event);
}

void connections_on_call(struct call *call)
{
	const size_t head = sizeof CALL_PATH - 1;
	struct sse_worker *w = call->context;
	char cid[CONNECTION_CID_ROOM];
	struct connection_stream *stream = NULL;
	if (call->path.len > head &&
	    connection_cid_read(span_of(call->path.at + head, call->path.len - head), cid))
		stream = connection_stream_find(w->connections, cid);
	if (stream == NULL) {
		call_refuse(call, 404, "no stream of this connection is here");
		return;
	}
	json_t *event = call_json(call);
	if (event == NULL)
		return;
	bool said = json_is_object(event) && say(stream, event);
	json_t *seq = json_incref(json_object_get(event, "seq"));
	json_decref(event);
	if (said && seq != NULL)
		call_reply(call, 200, json_pack("{s:o}", "seq", json_incref(seq)));
	else if (said)
		call_reply(call, 204, NULL);
	else
		call_refuse(call, 503, "it takes nothing more");
	json_decref(seq);
}
