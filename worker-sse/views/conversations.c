#include "worker-sse/views/conversations.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "worker-sse/views/conversation_parts.h"
#include "worker-sse/views/streams.h"

#include <stdlib.h>

/* ---- how many there are ---- */

static bool count_one(void *arg, struct span key, struct span value)
{
	(void)key;
	(void)value;
	++*(uint64_t *)arg;
	return true;
}

static void count_all(struct conversations *all)
{
	all->count = 0;
	state_kv_each(store_view(all->worker->store), SPAN(CONVERSATION_TIME_KEY), count_one,
	              &all->count);
	counter_set(all->worker->counters, conversations, all->count);
}

/* A row of the order by time is put once, and removed once. */
static void on_row(void *context, struct span key, bool there)
{
	struct conversations *all = ((struct sse_worker *)context)->conversations;
	struct span id;
	if (key.at == NULL) {
		count_all(all);
	} else if (conversation_time_key_id(key, &id)) {
		if (there)
			all->count++;
		else if (all->count > 0)
			all->count--;
		counter_set(all->worker->counters, conversations, all->count);
	}
}

/* Whoever follows the registry before the first conversation finds a stream. */
static int make_changes_stream(struct sse_worker *w)
{
	struct state *view = store_view(w->store);
	if (state_find(view, SPAN(CONVERSATION_CHANGES)) != NULL || view->unreadable)
		return 0;
	struct txn *txn = txn_create();
	txn_stream(txn, CONVERSATION_CHANGES);
	enum verdict verdict = txn_execute(&txn, w->store);
	if (verdict != VERDICT_OK)
		log_warn("the stream of conversations' changes could not be made", "verdict=%s",
		         verdict_name(verdict));
	return 0;
}

int conversations_start(struct sse_worker *w)
{
	struct conversations *all = xcalloc(1, sizeof *all);
	all->worker = w;
	w->conversations = all;
	int code = conversation_import_file(w);
	if (code == 0)
		code = make_changes_stream(w);
	while (store_advance(w->store, 0)) {
	}
	count_all(all);
	all->observer.row = on_row;
	fanout_observe(w->fanout, &all->observer);
	return code;
}

/* ---- refusals, health, other names ---- */

static bool begins_with(struct span path, struct span prefix)
{
	return path.len >= prefix.len && memcmp(path.at, prefix.at, prefix.len) == 0;
}

void conversations_refuse(struct request *request, unsigned status, const char *reason)
{
	const char *text = status == 413   ? "Payload too large"
	                   : status == 405 ? "Method not allowed"
	                   : status == 401 && begins_with(request->path, SPAN("/v1/"))
	                           ? "Unauthorized"
	                           : reason;
	conversation_reply_fault(request, status, NULL, NULL, text);
}

static bool is_ready(const struct sse_worker *w)
{
	struct store_status status;
	store_status(w->store, &status);
	return counters_ready(w->worker->counters) && status.refusing == 0 && !w->worker->stalled;
}

/* The last says whether what is asked for can be done: workers, disk, room. */
void conversations_health(struct request *request)
{
	bool asks = span_equal(request->path, SPAN("/health/ready"));
	bool ready = !asks || is_ready(worker_of(request));
	json_t *answer = json_pack("{s:s}", "status", ready ? "ok" : "unavailable");
	conversation_reply(request, ready ? 200 : 503, answer);
	json_decref(answer);
}

static void rename_to(struct request *request, const char *before, struct span name,
                      const char *behind)
{
	size_t head = strlen(before), tail = strlen(behind);
	char *path = xmalloc(head + name.len + tail);
	memcpy(path, before, head);
	memcpy(path + head, name.at, name.len);
	memcpy(path + head + name.len, behind, tail);
	request_rename(request, span_of(path, head + name.len + tail), request->query);
	free(path);
}

void conversations_stream(struct request *request)
{
	rename_to(request, "/v1/stream", request->path, "");
	streams_handle(request);
}

void conversations_events(struct request *request)
{
	static const struct span prefix = {(const uint8_t *)"/v1/stream/sessions/", 20};
	uint8_t id[3 * CONVERSATION_ID_MAX];
	struct span raw = span_of(request->path.at + prefix.len, request->path.len - prefix.len);
	size_t len = raw.len <= sizeof id ? percent_decode(raw, id) : SIZE_MAX;
	if (len != SIZE_MAX && conversation_id_good(span_of(id, len)))
		rename_to(request, CONVERSATION_ROOT, span_of(id, len), "/events");
	streams_handle(request);
}

/* ---- /v1/sessions/ID/... ---- */

struct verb {
	const char *name; /* "": none */
	enum method method;
	bool creates;  /* what is not there; else 404 */
	bool optional; /* a body that is none is as good as an empty one */
	const char *(*take)(struct conversation_call *call);
	void (*step)(struct conversation_call *call);
	bool argument;     /* one more segment is needed */
	const char *fixed; /* the argument that is meant, where it is but a word */
};

static const struct verb verbs[] = {
        {"", METHOD_PUT, true, true, NULL, conversation_ensure_step, false, NULL},
        {"", METHOD_GET, true, true, NULL, conversation_get_step, false, NULL},
        {"", METHOD_HEAD, true, true, NULL, conversation_get_step, false, NULL},
        {"", METHOD_DELETE, true, true, NULL, conversation_delete_step, false, NULL},
        {"messages", METHOD_POST, true, false, conversation_message_take, conversation_message_step,
         false, NULL},
        {"tool-results", METHOD_POST, true, false, conversation_result_take,
         conversation_result_step, false, NULL},
        {"approvals", METHOD_POST, true, false, conversation_approval_take,
         conversation_approval_step, true, NULL},
        {"answers", METHOD_POST, false, false, conversation_reply_take, conversation_reply_step,
         true, NULL},
        {"stop", METHOD_POST, false, true, conversation_end_take, conversation_stop_step, false,
         NULL},
        {"chunks", METHOD_POST, false, false, conversation_piece_take, conversation_pieces_step,
         false, NULL},
        {"chunks", METHOD_POST, false, false, conversation_pieces_take, conversation_pieces_step,
         true, "batch"},
        {"generations", METHOD_POST, false, true, conversation_end_take, conversation_begin_step,
         true, "start"},
        {"generations", METHOD_POST, false, true, conversation_end_take, conversation_finish_step,
         true, "finish"},
        {"login", METHOD_POST, true, false, conversation_login_take, conversation_login_step, false,
         NULL},
        {"logout", METHOD_POST, false, false, conversation_logout_take, conversation_logout_step,
         false, NULL},
        {"reset", METHOD_POST, false, true, NULL, conversation_reset_step, false, NULL},
        {"fork", METHOD_POST, false, true, conversation_fork_take, conversation_fork_step, false,
         NULL},
};

/* The next segment; *path moves behind it and its slash. */
static struct span next_segment(struct span *path)
{
	const uint8_t *slash = path->len > 0 ? memchr(path->at, '/', path->len) : NULL;
	size_t len = slash != NULL ? (size_t)(slash - path->at) : path->len;
	struct span segment = span_of(path->at, len);
	size_t used = slash != NULL ? len + 1 : len;
	path->at += used;
	path->len -= used;
	return segment;
}

struct place {
	struct span id, verb, argument; /* the first and the last decoded */
	uint8_t room[2][3 * CONVERSATION_NAME_MAX];
};

static bool decode_segment(struct span raw, uint8_t room[3 * CONVERSATION_NAME_MAX],
                           struct span *out)
{
	size_t len = raw.len <= 3 * CONVERSATION_NAME_MAX ? percent_decode(raw, room) : SIZE_MAX;
	*out = span_of(room, len == SIZE_MAX ? 0 : len);
	return len != SIZE_MAX;
}

/* False: nothing is there. */
static bool find_place(struct span path, struct place *place)
{
	next_segment(&path); /* before the first slash */
	next_segment(&path); /* v1 */
	next_segment(&path); /* sessions */
	bool fits = decode_segment(next_segment(&path), place->room[0], &place->id);
	place->verb = next_segment(&path);
	return fits && decode_segment(next_segment(&path), place->room[1], &place->argument) &&
	       path.len == 0;
}

static bool argument_fits(const struct verb *verb, struct span argument)
{
	if (verb->fixed != NULL)
		return span_equal(argument, span_str(verb->fixed));
	return verb->argument ? argument.len > 0 && argument.len < CONVERSATION_ID_ROOM &&
	                                memchr(argument.at, '\0', argument.len) == NULL
	                      : argument.len == 0;
}

/* NULL: there is none of this name, or (then *known) not with this method. */
static const struct verb *find_verb(const struct request *request, const struct place *place,
                                    bool *known)
{
	*known = false;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (!span_equal(place->verb, span_str(verbs[i].name)) ||
		    !argument_fits(&verbs[i], place->argument))
			continue;
		*known = true;
		if (verbs[i].method == request->method)
			return &verbs[i];
	}
	return NULL;
}

static void refuse_unknown(struct request *request, const struct place *place, bool known)
{
	const struct header headers[] = {{"allow", place->verb.len == 0
	                                                   ? SPAN("GET, HEAD, PUT, DELETE, OPTIONS")
	                                                   : SPAN("POST, OPTIONS")},
	                                 {"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	if (known)
		reply(request, 405, headers, 3, SPAN("{\"error\":\"Method not allowed\"}"));
	else
		conversation_reply_fault(request, 404, "NOT_FOUND", NULL, "Not found");
}

/* What is needed and not there is told before the step. */
static void step_of_what_is_there(struct conversation_call *call)
{
	if (!call->there)
		conversation_fault(call, 404, "SESSION_NOT_FOUND", "Session not found");
	else
		call->verb_step(call);
}

/* False: it is none, and one is needed; answered. */
static bool take_body(struct request *request, const struct verb *verb,
                      struct conversation_call *call)
{
	call->body =
	        json_take(span_of(request->body, request->body_len), JSON_DECODE_ANY, NULL, NULL);
	if (!json_is_object(call->body) && verb->optional) {
		json_decref(call->body);
		call->body = json_object();
	}
	const char *fault = !json_is_object(call->body) ? "Invalid request body"
	                    : verb->take != NULL        ? verb->take(call)
	                                                : NULL;
	if (fault == NULL)
		return true;
	conversation_reply_fault(request, 400, "INVALID_BODY", call->id, fault);
	conversation_call_free(call);
	return false;
}

void conversations_handle(struct request *request)
{
	struct place place;
	bool known, found = find_place(request->path, &place);
	const struct verb *verb = found ? find_verb(request, &place, &known) : NULL;
	if (verb == NULL) {
		refuse_unknown(request, &place, found && known);
		return;
	}
	if (!conversation_id_good(place.id)) {
		conversation_reply_fault(request, 400, "INVALID_ID", NULL,
		                         "the id of a session is 1 to 128 of A-Z a-z 0-9 . _ ~ -");
		return;
	}
	if (request->body_len > worker_of(request)->settings->conversations_message_bytes) {
		conversations_refuse(request, 413, "");
		return;
	}
	struct conversation_call *call = conversation_call_create(request, place.id, true);
	struct span actor = request->headers[HEADER_X_ACTOR_ID];
	memcpy(call->argument, place.argument.at, place.argument.len);
	if (actor.len > 0 && actor.len <= CONVERSATION_NAME_MAX)
		memcpy(call->actor_id, actor.at, actor.len);
	call->verb_step = verb->step;
	call->step = verb->creates ? verb->step : step_of_what_is_there;
	if (take_body(request, verb, call))
		conversation_call_run(call);
}
