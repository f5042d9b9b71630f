#include "worker-sse/views/conversations.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/domain/agent.h"
#include "worker-sse/views/conversation_parts.h"
#include "worker-sse/views/streams.h"

#include <stdlib.h>
#include <string.h>

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
	all->due_count = 0;
	state_kv_each(store_view(all->worker->store), SPAN(CONVERSATION_DUE_KEY), count_one,
	              &all->due_count);
	state_kv_each(store_view(all->worker->store), SPAN(CONVERSATION_ASK_KEY), count_one,
	              &all->due_count);
	counter_set(all->worker->counters, conversations_waiting, all->due_count);
	conversation_due_changed(all);
}

/* One more, or one less. */
static void count_row(uint64_t *count, bool there)
{
	if (there)
		++*count;
	else if (*count > 0)
		--*count;
}

/* A row of the order by time is put once, and removed once. */
static void on_row(void *context, struct span key, bool there)
{
	struct conversations *all = ((struct sse_worker *)context)->conversations;
	struct span id;
	uint64_t due_ms;
	if (key.at == NULL) {
		count_all(all);
	} else if (conversation_time_key_id(key, &id)) {
		count_row(&all->count, there);
		counter_set(all->worker->counters, conversations, all->count);
	} else if (conversation_due_key_read(key, &due_ms, &id)) {
		count_row(&all->due_count, there);
		counter_set(all->worker->counters, conversations_waiting, all->due_count);
		conversation_due_changed(all);
	} else if (all->waiters != NULL && key.len > sizeof AGENT_KEY - 1 &&
	           memcmp(key.at, AGENT_KEY, sizeof AGENT_KEY - 1) == 0) {
		conversation_due_changed(all); /* it may wait, and be gone */
	}
}

int conversations_start(struct sse_worker *w)
{
	struct conversations *all = xcalloc(1, sizeof *all);
	all->worker = w;
	w->conversations = all;
	all->waiters_last = &all->waiters;
	int code = conversation_import_file(w);
	while (store_advance(w->store, 0)) {
	}
	count_all(all);
	all->observer.row = on_row;
	fanout_observe(w->fanout, &all->observer);
	return code;
}

void conversations_drain(struct sse_worker *w)
{
	w->conversations->stopping = true;
	conversation_next_stop(w->conversations);
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

static unsigned verbs_of(enum method method)
{
	static const unsigned verbs[] = {[METHOD_GET] = RIGHT(READ),
	                                 [METHOD_HEAD] = RIGHT(READ),
	                                 [METHOD_POST] = RIGHT(APPEND),
	                                 [METHOD_PUT] = RIGHT(CREATE),
	                                 [METHOD_DELETE] = RIGHT(DELETE)};
	return verbs[method];
}

/* The stream that the request names by now. */
static void serve_stream(struct request *request, bool owned)
{
	const char *reason;
	unsigned verbs = verbs_of(request->method);
	bool may_as_owner = owned && verbs == RIGHT(READ);
	unsigned status =
	        may_as_owner ? 0 : request_refusal(request, verbs, request->path, &reason);
	if (status != 0)
		reply_error(request, status, reason);
	else
		streams_handle(request);
}

void conversations_stream(struct request *request)
{
	rename_to(request, "/v1/stream", request->path, "");
	serve_stream(request, false);
}

static bool is_owned(const struct request *request, struct span id)
{
	char text[CONVERSATION_ID_ROOM], key[CONVERSATION_KEY_ROOM];
	struct conversation row;
	struct span value;
	memcpy(text, id.at, id.len);
	text[id.len] = '\0';
	return state_kv_get(store_view(worker_of(request)->store), conversation_key(text, key),
	                    &value) &&
	       conversation_read(&row, value) == ROW_PRESENT && conversation_owned(request, &row);
}

void conversations_events(struct request *request)
{
	static const struct span prefix = {(const uint8_t *)"/v1/stream/sessions/", 20};
	uint8_t room[3 * CONVERSATION_ID_MAX];
	struct span raw = span_of(request->path.at + prefix.len, request->path.len - prefix.len);
	size_t len = raw.len <= sizeof room ? percent_decode(raw, room) : SIZE_MAX;
	struct span id = span_of(room, len);
	bool one = len != SIZE_MAX && conversation_id_good(id);
	if (one)
		rename_to(request, CONVERSATION_ROOT, id, "/events");
	serve_stream(request, one && is_owned(request, id));
}

/* ---- /v1/sessions/ID/... ---- */

struct deed {
	const char *name; /* "": none */
	enum method method;
	bool makes;        /* what is not there; else 404 */
	bool optional;     /* a body that is none is as good as an empty one */
	bool argument;     /* one more segment is needed */
	const char *fixed; /* the argument that is meant, where it is but a word */
	unsigned verbs;    /* what is asked about the stream `about` of what is there */
	const char *about;
	const char *(*take)(struct conversation_call *call);
	void (*step)(struct conversation_call *call);
};

#define READS      .verbs = RIGHT(READ), .about = "events"
#define PEOPLE     .verbs = RIGHT(APPEND), .about = "inbox"
#define AGENT      .verbs = RIGHT(APPEND), .about = "events"
#define POSTS      .method = METHOD_POST
#define DOES(deed) .take = conversation_##deed##_take, .step = conversation_##deed##_step
static const struct deed deeds[] = {
        {.name = "",
         .method = METHOD_PUT,
         .makes = true,
         .optional = true,
         READS,
         .step = conversation_ensure_step},
        {.name = "", .method = METHOD_GET, .optional = true, READS, .step = conversation_get_step},
        {.name = "", .method = METHOD_HEAD, .optional = true, READS, .step = conversation_get_step},
        {.name = "",
         .method = METHOD_DELETE,
         .optional = true,
         .verbs = RIGHT(DELETE),
         .about = "events",
         .step = conversation_delete_step},
        {.name = "messages", POSTS, .makes = true, PEOPLE, DOES(message)},
        {.name = "tool-results", POSTS, .makes = true, PEOPLE, DOES(result)},
        {.name = "approvals", POSTS, .makes = true, .argument = true, PEOPLE, DOES(approval)},
        {.name = "answers", POSTS, .argument = true, PEOPLE, DOES(reply)},
        {.name = "stop",
         POSTS,
         .optional = true,
         PEOPLE,
         .take = conversation_end_take,
         .step = conversation_stop_step},
        {.name = "chunks",
         POSTS,
         AGENT,
         .take = conversation_piece_take,
         .step = conversation_pieces_step},
        {.name = "chunks",
         POSTS,
         .fixed = "batch",
         AGENT,
         .take = conversation_pieces_take,
         .step = conversation_pieces_step},
        {.name = "generations",
         POSTS,
         .optional = true,
         .fixed = "start",
         AGENT,
         .take = conversation_end_take,
         .step = conversation_begin_step},
        {.name = "generations",
         POSTS,
         .optional = true,
         .fixed = "finish",
         AGENT,
         .take = conversation_end_take,
         .step = conversation_finish_step},
        {.name = "lease", POSTS, .makes = true, AGENT, DOES(lease)},
        {.name = "lease",
         .method = METHOD_GET,
         .optional = true,
         READS,
         .step = conversation_lease_look_step},
        {.name = "lease",
         POSTS,
         .fixed = "renew",
         AGENT,
         .take = conversation_keep_take,
         .step = conversation_renew_step},
        {.name = "lease",
         POSTS,
         .fixed = "release",
         AGENT,
         .take = conversation_keep_take,
         .step = conversation_release_step},
        {.name = "agents", POSTS, .makes = true, AGENT, DOES(agents)},
        {.name = "agents",
         .method = METHOD_GET,
         .optional = true,
         READS,
         .step = conversation_agents_look_step},
        {.name = "agents",
         .method = METHOD_DELETE,
         .optional = true,
         .argument = true,
         AGENT,
         .step = conversation_agents_drop_step},
        {.name = "login", POSTS, .makes = true, PEOPLE, DOES(login)},
        {.name = "logout", POSTS, PEOPLE, DOES(logout)},
        {.name = "reset", POSTS, .optional = true, AGENT, .step = conversation_reset_step},
        {.name = "fork", POSTS, .optional = true, READS, DOES(fork)},
};
#undef READS
#undef PEOPLE
#undef AGENT
#undef POSTS
#undef DOES

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

static bool argument_fits(const struct deed *deed, struct span argument)
{
	if (deed->fixed != NULL)
		return span_equal(argument, span_str(deed->fixed));
	return deed->argument ? argument.len > 0 && argument.len < CONVERSATION_ID_ROOM &&
	                                memchr(argument.at, '\0', argument.len) == NULL
	                      : argument.len == 0;
}

/* NULL: there is none of this name, or (then *known) not with this method. */
static const struct deed *find_deed(const struct request *request, const struct place *place,
                                    bool *known)
{
	*known = false;
	for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
		if (!span_equal(place->verb, span_str(deeds[i].name)) ||
		    !argument_fits(&deeds[i], place->argument))
			continue;
		*known = true;
		if (deeds[i].method == request->method)
			return &deeds[i];
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

/* Of what is not there nothing but its making, looks and removals. */
static void step_of_what_is_there(struct conversation_call *call)
{
	if (!call->there)
		conversation_fault(call, 404, "SESSION_NOT_FOUND", "Session not found");
	else
		call->verb_step(call);
}

/* False: it is none, and one is needed; answered. */
static bool take_body(struct request *request, const struct deed *deed,
                      struct conversation_call *call)
{
	call->body =
	        json_take(span_of(request->body, request->body_len), JSON_DECODE_ANY, NULL, NULL);
	if (!json_is_object(call->body) && deed->optional) {
		json_decref(call->body);
		call->body = json_object();
	}
	const char *fault = !json_is_object(call->body) ? "Invalid request body"
	                    : deed->take != NULL        ? deed->take(call)
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
	const struct deed *deed = found ? find_deed(request, &place, &known) : NULL;
	if (found && span_equal(place.id, SPAN("$next")) && deed != NULL &&
	    deed->step == conversation_lease_step) {
		conversation_next(request);
		return;
	}
	if (deed == NULL) {
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
	call->verb_step = deed->step;
	call->step = deed->makes || *deed->name == '\0' ? deed->step : step_of_what_is_there;
	call->makes = deed->makes;
	call->verbs = deed->verbs;
	call->about = deed->about;
	if (take_body(request, deed, call))
		conversation_call_run(call);
}
