/* The registry: /sessions, and what of /v1/sessions/ID makes, shows and removes. */
#include "common/base/json_take.h"
#include "common/store/offset.h"
#include "worker-sse/views/conversation_parts.h"
#include "worker-sse/views/conversations.h"
#include "worker-sse/views/events.h"

#include <stdio.h>
#include <stdlib.h>

static const char not_found[] = "Session not found";
#define REGISTRY_PATH "/sessions"
/* Where clients keep the stream of a session that they make themselves. */
#define CLIENT_STREAMS "/v1/stream/streams/"

/* ---- what is said of one ---- */

static json_t *info(const struct conversation_call *call)
{
	if (!call->coded)
		return conversation_info(&call->row);
	char url[CONVERSATION_PATH_ROOM];
	snprintf(url, sizeof url, "/v1/stream/sessions/%s", call->id);
	return json_pack("{s:s, s:s}", "sessionId", call->id, "streamUrl", url);
}

/* False: it is not what If-Match wants; answered. */
static bool is_wanted(struct conversation_call *call)
{
	struct span wanted = call->request->headers[HEADER_IF_MATCH];
	char etag[32];
	if (wanted.at == NULL)
		return true;
	json_t *is = info(call);
	char *text = json_dumps(is, JSON_COMPACT);
	bool same = etag_matches(wanted, conversation_etag(span_str(text), etag));
	free(text);
	json_decref(is);
	if (!same)
		conversation_fault(call, 412, "PRECONDITION_FAILED", "Precondition failed");
	return same;
}

void conversation_get_step(struct conversation_call *call)
{
	if (!call->there) {
		conversation_fault(call, 404, "SESSION_NOT_FOUND", not_found);
		return;
	}
	conversation_answer(call, 200, info(call));
	call->tagged = true;
}

/* ---- making ---- */

/* A client that has no title for it: its id. */
void conversation_ensure_step(struct conversation_call *call)
{
	if (!call->there && !conversation_make(call, call->id, ""))
		return;
	conversation_open_streams(call);
	conversation_answer(call, 200, info(call));
}

static const char *body_text(const struct conversation_call *call, const char *name)
{
	const char *text = json_string_value(json_object_get(call->body, name));
	return text != NULL ? text : "";
}

static void register_step(struct conversation_call *call)
{
	const char *title = body_text(call, "title");
	if (call->there && call->strict && strcmp(call->row.title, title) != 0) {
		conversation_fault(call, 409, NULL, "Session exists with another title");
		return;
	}
	bool was_there = call->there;
	if (!was_there && !conversation_make(call, title, body_text(call, "createdBy")))
		return;
	conversation_answer(call, was_there && call->strict ? 200 : 201, info(call));
}

static void change_step(struct conversation_call *call)
{
	if (!call->there) {
		conversation_fault(call, 404, NULL, not_found);
		return;
	}
	if (!is_wanted(call))
		return;
	const char *title = body_text(call, "title");
	if (strcmp(call->row.title, title) != 0) {
		snprintf(call->row.title, sizeof call->row.title, "%s", title);
		call->row.revision++;
		call->row.changed_ms = call->now_ms;
		conversation_put(call);
		conversation_tell_change(call, "changed");
	}
	conversation_answer(call, 200, info(call));
	call->tagged = true;
}

/* ---- removing ---- */

static void forget(struct conversation_call *call)
{
	char text[CONVERSATION_KEY_ROOM];
	struct rows *rows = call->change->rows;
	snprintf(text, sizeof text, CONVERSATION_MESSAGE_KEY "%s/", call->id);
	conversation_forget_rows(call, text);
	snprintf(text, sizeof text, CONVERSATION_SLOT_KEY "%s/", call->id);
	conversation_forget_rows(call, text);
	conversation_presence_key(call->id, text);
	rows_put(rows, text, (struct span){0});
	conversation_agents_key(call->id, text);
	rows_put(rows, text, (struct span){0});
	if (call->due_ms != 0) {
		conversation_due_key(call->id, call->due_asked, call->due_ms, text);
		rows_put(rows, text, (struct span){0});
	}
	conversation_time_key(call->id, call->row.created_ms, text);
	rows_put(rows, text, (struct span){0});
	conversation_key(call->id, text);
	rows_put(rows, text, (struct span){0});
}

/* Rows and streams go in one transaction: nobody finds one without the other. */
void conversation_delete_step(struct conversation_call *call)
{
	char path[sizeof CLIENT_STREAMS + CONVERSATION_PATH_ROOM];
	if (!call->there) {
		conversation_fault(call, 404, "SESSION_NOT_FOUND", not_found);
		if (call->coded)
			conversation_answer(call, 204, NULL);
		return;
	}
	if (!is_wanted(call))
		return;
	if (call->cascade) {
		snprintf(path, sizeof path, CLIENT_STREAMS "%s", call->id);
		if (!conversation_allowed(call, RIGHT(DELETE), span_str(path)))
			return;
		txn_delete(call->change->txn, path);
	}
	conversation_tell_change(call, "deleted");
	forget(call);
	txn_delete(call->change->txn, conversation_path(call->id, "events", path));
	txn_delete(call->change->txn, conversation_path(call->id, "inbox", path));
	call->write = true;
	conversation_answer(call, 204, NULL);
}

/* ---- requests ---- */

static bool has_parameter(const struct request *request, const char *name)
{
	struct span value;
	return query_find(request->query, name, &value) > 0 && !span_equal(value, SPAN("0")) &&
	       !span_equal(value, SPAN("false"));
}

/* Without the blanks around it. */
static bool trim_member(json_t *body, const char *name)
{
	const char *text = json_string_value(json_object_get(body, name));
	if (text == NULL)
		return false;
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	size_t from = 0;
	while (from < len && strchr(" \t\r\n", text[from]) != NULL)
		from++;
	json_object_set_new(body, name, json_stringn(text + from, len - from));
	return true;
}

static bool is_blank(const json_t *body, const char *name)
{
	const json_t *value = json_object_get(body, name);
	return value == NULL || json_is_null(value) || json_is_false(value) ||
	       (json_is_integer(value) && json_integer_value(value) == 0) ||
	       (json_is_string(value) && json_string_length(value) == 0);
}

static const char *title_fault(json_t *body)
{
	trim_member(body, "title");
	const json_t *title = json_object_get(body, "title");
	if (!json_is_string(title))
		return "title must be a string";
	if (json_string_length(title) > CONVERSATION_TITLE_MAX)
		return "title must have at most 1024 bytes";
	return NULL;
}

/* NULL: it can be taken. The first is how the original says it. */
static const char *registration_fault(json_t *body)
{
	static const char needed[] = "sessionId and title are required";
	trim_member(body, "sessionId");
	trim_member(body, "title");
	if (is_blank(body, "sessionId") || is_blank(body, "title"))
		return needed;
	const json_t *id = json_object_get(body, "sessionId");
	const json_t *by = json_object_get(body, "createdBy");
	if (!json_is_string(id) || !json_is_string(json_object_get(body, "title")))
		return "sessionId and title must be strings";
	if (!conversation_id_good(span_str(json_string_value(id))))
		return "sessionId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	if (by != NULL && !json_is_null(by) &&
	    (!json_is_string(by) || json_string_length(by) > CONVERSATION_NAME_MAX))
		return "createdBy must be a string of at most 256 bytes";
	return title_fault(body);
}

/* NULL: it is none, answered. */
static json_t *take_body(struct request *request)
{
	json_t *body =
	        json_take(span_of(request->body, request->body_len), JSON_DECODE_ANY, NULL, NULL);
	if (body != NULL && !json_is_null(body))
		return body;
	json_decref(body);
	conversation_reply_fault(request, 400, NULL, NULL, "Invalid JSON body");
	return NULL;
}

static void register_one(struct request *request)
{
	json_t *body = take_body(request);
	if (body == NULL)
		return;
	const char *fault = registration_fault(body);
	if (fault != NULL) {
		conversation_reply_fault(request, 400, NULL, NULL, fault);
		json_decref(body);
		return;
	}
	struct conversation_call *call = conversation_call_create(
	        request, span_str(json_string_value(json_object_get(body, "sessionId"))), false);
	call->body = body;
	call->step = register_step;
	call->strict = has_parameter(request, "strict");
	call->verbs = RIGHT(CREATE) | RIGHT(READ);
	call->makes = true;
	conversation_call_run(call);
}

static void run(struct request *request, struct span id, json_t *body, unsigned verbs,
                void (*step)(struct conversation_call *call))
{
	struct conversation_call *call = conversation_call_create(request, id, false);
	call->body = body;
	call->step = step;
	call->verbs = verbs;
	call->cascade = has_parameter(request, "cascade");
	conversation_call_run(call);
}

static void change_one(struct request *request, struct span id)
{
	json_t *body = take_body(request);
	if (body == NULL)
		return;
	const char *fault = is_blank(body, "title") ? "title is required" : title_fault(body);
	if (fault == NULL && is_blank(body, "title"))
		fault = "title is required";
	if (fault == NULL) {
		run(request, id, body, RIGHT(CREATE), change_step);
		return;
	}
	conversation_reply_fault(request, 400, NULL, NULL, fault);
	json_decref(body);
}

/* The registry's changes, as any EventSource follows them. */
static void follow(struct request *request)
{
	char query[512];
	const char *reason;
	unsigned status =
	        request_refusal(request, RIGHT(READ), SPAN(CONVERSATION_CHANGES), &reason);
	if (status != 0) {
		conversation_reply_fault(request, status, NULL, NULL, reason);
		return;
	}
	/* There is none before the first conversation: a pattern that fits nothing else waits for
	 * it. */
	bool there = state_find(store_view(worker_of(request)->store),
	                        SPAN(CONVERSATION_CHANGES)) != NULL;
	int len = snprintf(
	        query, sizeof query, "stream=%s%s%.*s",
	        &(there ? CONVERSATION_CHANGES : CONVERSATION_ROOT "*")[sizeof "/v1/stream/" - 1],
	        request->query.len > 0 ? "&" : "", (int)request->query.len,
	        (const char *)request->query.at);
	if ((size_t)len >= sizeof query) {
		conversation_reply_fault(request, 414, NULL, NULL, "the query is too long");
		return;
	}
	request_rename(request, SPAN("/v1/events"), span_of(query, (size_t)len));
	events_handle(request);
}

static void handle_one(struct request *request, struct span raw)
{
	uint8_t id[3 * CONVERSATION_ID_MAX];
	size_t len = raw.len <= sizeof id ? percent_decode(raw, id) : SIZE_MAX;
	struct span decoded = span_of(id, len);
	bool reads = request->method == METHOD_GET || request->method == METHOD_HEAD;
	if (len != SIZE_MAX && span_equal(decoded, SPAN("$events")) && reads) {
		follow(request);
		return;
	}
	if (len == SIZE_MAX || !conversation_id_good(decoded))
		conversation_reply_fault(request, 404, NULL, NULL, not_found);
	else if (reads)
		run(request, decoded, NULL, RIGHT(READ), conversation_get_step);
	else if (request->method == METHOD_PATCH)
		change_one(request, decoded);
	else
		run(request, decoded, NULL, RIGHT(DELETE), conversation_delete_step);
}

static void refuse_method(struct request *request, struct span allow)
{
	const struct header headers[] = {{"allow", allow},
	                                 {"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	reply(request, 405, headers, 3, SPAN("{\"error\":\"Method not allowed\"}"));
}

/* Both spellings of either path. */
void conversations_registry(struct request *request)
{
	struct span id = request->path;
	enum method method = request->method;
	id.at += sizeof REGISTRY_PATH - 1;
	id.len -= sizeof REGISTRY_PATH - 1;
	if (id.len > 0) {
		id.at++;
		id.len--;
	}
	if (id.len > 1 && id.at[id.len - 1] == '/')
		id.len--;
	bool whole = id.len == 0, reads = method == METHOD_GET || method == METHOD_HEAD;
	if (whole && reads)
		conversation_list(request);
	else if (whole && method == METHOD_POST)
		register_one(request);
	else if (whole)
		refuse_method(request, SPAN("GET, HEAD, POST, OPTIONS"));
	else if (reads || method == METHOD_PATCH || method == METHOD_DELETE)
		handle_one(request, id);
	else
		refuse_method(request, SPAN("GET, HEAD, PATCH, DELETE, OPTIONS"));
}
