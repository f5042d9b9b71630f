#include "worker-sse/views/subscriptions.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/signing.h"
#include "common/store/actor.h"
#include "common/domain/subscription_scan.h"
#include "common/domain/webhook_url.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/worker.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES_MAX = 50, LEASE_MS_MIN = 1000, LEASE_MS_MAX = 600000 };
static const char root[] = "/v1/stream/__ds/";

/* One call under way. `step` changes a copy of the document and says what to answer; it runs again
 * when somebody else changed the document meanwhile. */
struct call {
	struct slices_job job; /* first: while streams are looked for */
	struct actor actor;
	struct request *request;
	void (*step)(struct call *call);
	char id[SUBSCRIPTION_ID_MAX + 1];
	char *tail;     /* what follows the id in the path, decoded */
	json_t *body;   /* the request's */
	json_t *doc;    /* copy in hand; NULL: there is none */
	json_t *wanted; /* PUT: the document asked for */
	struct subscription_scan scan;
	json_t *found;       /* what the pattern matches and was not linked; NULL: not looked for */
	bool look;           /* set by a step that needs `found` */
	bool unreadable;     /* not all could be looked for */
	uint64_t generation; /* of the token */
	unsigned status;
	json_t *answer; /* NULL: no body */
	bool there;     /* its row is, though it may not be readable */
	bool write, remove;
	char key[sizeof SUBSCRIPTION_KEY_PREFIX + SUBSCRIPTION_ID_MAX];
};

static const struct header json_headers[] = {
        {"content-type", SPAN("application/json")},
        {"cache-control", SPAN("no-store")},
        {"retry-after", SPAN("1")}}; /* the last with 503 only */

static void call_free(struct call *c)
{
	json_decref(c->body);
	json_decref(c->doc);
	json_decref(c->wanted);
	json_decref(c->found);
	json_decref(c->answer);
	subscription_scan_end(&c->scan);
	free(c->tail);
	free(c);
}

static void send_json(struct request *request, unsigned status, const json_t *answer)
{
	char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
	reply(request, status, json_headers, status == 503 ? 3 : 2, span_str(text));
	free(text);
}

static json_t *error_json(const char *code, const char *message)
{
	return json_pack("{s{ss ss}}", "error", "code", code, "message", message);
}

static void send_error(struct request *request, unsigned status, const char *code,
                       const char *message)
{
	json_t *answer = error_json(code, message);
	send_json(request, status, answer);
	json_decref(answer);
}

static void call_error(struct call *c, unsigned status, const char *code, const char *message)
{
	json_decref(c->answer);
	c->status = status;
	c->answer = error_json(code, message);
	c->write = false;
}

static struct state *view_of(struct request *request)
{
	return store_view(worker_of(request)->store);
}

static size_t streams_max(const struct call *c)
{
	return worker_of(c->request)->settings->limits_subscription_streams;
}

/* ---- read, change, write if unchanged ---- */

static struct call *call_of(struct actor *actor)
{
	return (struct call *)((char *)actor - offsetof(struct call, actor));
}

static enum row_found load(struct call *c, struct rows *rows)
{
	struct span value;
	json_decref(c->doc);
	c->doc = NULL;
	enum row_found found = rows_find(rows, c->key, &value);
	c->there = found == ROW_PRESENT;
	if (c->there)
		c->doc = subscription_read(value);
	return c->there && c->doc == NULL ? ROW_UNREADABLE : found;
}

static void step_delete(struct call *c);

/* To remove a row nobody needs to understand it; but it must be seen what is removed. */
static void judge_unreadable(struct call *c, struct rows *rows)
{
	if (c->there && c->step == step_delete) {
		step_delete(c);
		return;
	}
	rows_mark(rows, c->key);
	if (c->there)
		call_error(c, 503, "UNREADABLE",
		           "this release cannot read this subscription: it stands still, as it is, "
		           "until a release comes that can, or it is deleted");
	else
		call_error(c, 503, "UNREADABLE",
		           store_unreadable_reason "; ringsidectl store check says what. Nothing "
		                                   "is changed or deleted before it can be read");
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct call *c = call_of(actor);
	enum row_found found = load(c, change->rows);
	json_decref(c->answer);
	c->answer = NULL;
	c->write = c->remove = c->look = false;
	if (found == ROW_UNREADABLE)
		judge_unreadable(c, change->rows);
	else
		c->step(c);
	if (!c->write)
		return found == ROW_UNREADABLE ? ACTOR_STOP : ACTOR_REST;
	char *text = c->remove ? NULL : json_dumps(c->doc, JSON_COMPACT | JSON_SORT_KEYS);
	rows_put(change->rows, c->key, span_str(text));
	free(text);
	return ACTOR_WRITE;
}

/* ---- looking for streams, in slices ---- */

static void gone(struct request *request)
{
	struct call *c = request->feature;
	slices_remove(&worker_of(request)->slices, &c->job);
	call_free(c);
}

/* One slice, and what follows the last. True: there is more to do. */
static bool look_on(struct slices_job *job)
{
	struct call *c = (struct call *)job;
	counter_add(worker_of(c->request)->counters, subscription_slices_total, 1);
	if (subscription_scan_step(&c->scan))
		return true;
	c->request->on_gone = NULL;
	c->found = json_incref(c->scan.found);
	c->unreadable = c->scan.unreadable;
	subscription_scan_end(&c->scan);
	check(actor_turn(&c->actor));
	return false;
}

/* For what was asked to be made, at its tail; else for what is there. */
static void look_for_streams(struct call *c)
{
	json_t *doc = c->wanted != NULL ? c->wanted : c->doc;
	subscription_scan_begin(&c->scan, doc, view_of(c->request), c->wanted != NULL,
	                        streams_max(c));
	c->job.run = look_on;
	c->request->feature = c;
	c->request->on_gone = gone;
	if (look_on(&c->job))
		slices_add(&worker_of(c->request)->slices, &c->job);
}

/* True: a step has to wait until they were looked for. */
static bool needs_look(struct call *c, const json_t *doc)
{
	c->look = c->found == NULL && *subscription_text(doc, "pattern") != '\0';
	return c->look;
}

/* ---- the end of it ---- */

static void on_end(struct actor *actor, enum actor_end end)
{
	struct call *c = call_of(actor);
	if (c->look) {
		look_for_streams(c);
		return;
	}
	switch (end) {
	case ACTOR_DURABLE:
	case ACTOR_RESTED:
	case ACTOR_STOPPED:
		send_json(c->request, c->status, c->answer);
		break;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		send_error(c->request, actor->verdict == VERDICT_NO_SPACE ? 507 : 503,
		           "UNAVAILABLE", verdict_name(actor->verdict));
		break;
	}
	call_free(c);
}

static const struct actor_type actor_type = {
        .decide = decide, .end = on_end, .tries_max = TRIES_MAX};

/* ---- what a subscription looks like from outside ---- */

static struct span secret_of(struct request *request, const char *name)
{
	struct span value = {0};
	state_kv_get(view_of(request), span_str(name), &value);
	return value;
}

static const char no_secret[] =
        "the secret that tokens are made with cannot be read, or is being made";

/* What rights are asked about: the path up to the subscription's id. */
static struct span subscription_path(const struct request *request)
{
	static const size_t prefix = sizeof root - 1 + sizeof "subscriptions/" - 1;
	struct span path = request->path;
	const uint8_t *slash =
	        path.len > prefix ? memchr(path.at + prefix, '/', path.len - prefix) : NULL;
	return span_of(path.at, slash != NULL ? (size_t)(slash - path.at) : path.len);
}

/* Whoever may change it may see the whole of it; to others path and query are secrets. */
static bool may_see_url(const struct request *request)
{
	return request_may(request, RIGHT(CREATE), subscription_path(request));
}

static json_t *webhook_json(struct request *request, const char *url)
{
	char shown[ADDRESS_URL_SHOWN_ROOM];
	char x[64], kid[64], base[2048], jwks[2200];
	size_t len = request_base_url(request, base, sizeof base);
	snprintf(jwks, sizeof jwks, "%.*s%sjwks.json", (int)len, base, root);
	if (!signing_public(secret_of(request, SUBSCRIPTION_SIGNING_KEY), x, kid))
		return json_null();
	address_url_shown(url, shown);
	return json_pack("{ss s{ss ss ss}}", "url", may_see_url(request) ? url : shown, "signing",
	                 "alg", "ed25519", "kid", kid, "jwks_url", jwks);
}

static json_t *text_or_null(const char *text)
{
	return *text != '\0' ? json_string(text) : json_null();
}

static json_t *present(struct call *c)
{
	const json_t *d = c->doc;
	json_t *out = json_pack("{ss ss ss sI sI ss}", "id", c->id, "subscription_id", c->id,
	                        "type", subscription_text(d, "type"), "lease_ttl_ms",
	                        (json_int_t)subscription_number(d, "lease_ttl_ms"), "created_at",
	                        (json_int_t)subscription_number(d, "created_ms"), "status",
	                        subscription_text(d, "status"));
	json_object_set_new(out, "pattern", text_or_null(subscription_text(d, "pattern")));
	json_object_set_new(out, "wake_stream", text_or_null(subscription_text(d, "wake_stream")));
	json_object_set_new(out, "description", text_or_null(subscription_text(d, "description")));
	json_object_set_new(out, "streams", subscription_streams(d, view_of(c->request)));
	const char *url = subscription_text(d, "webhook_url");
	if (*url != '\0')
		json_object_set_new(out, "webhook", webhook_json(c->request, url));
	return out;
}

/* ---- PUT ---- */

static const char unreadable_stream[] = store_unreadable_reason;
static const char too_many_streams[] =
        "more streams than limits.subscription_streams lets a subscription have";

/* Links what `streams` names; each begins at its tail, or before the first when it is yet to come.
 */
static const char *link_named(json_t *doc, const json_t *streams, struct state *view, size_t max)
{
	size_t i;
	json_t *item;
	json_array_foreach (streams, i, item) {
		char path[SUBSCRIPTION_NAME_ROOM], tail[40] = "-1";
		const char *text = json_string_value(item);
		if (text == NULL || !subscription_name(text, path))
			return "streams must be paths";
		if (!subscription_tail(view, path, tail) && view->unreadable)
			return unreadable_stream;
		if (subscription_link(doc, path, true, tail, max) == SUBSCRIPTION_FULL)
			return too_many_streams;
	}
	return NULL;
}

/* Why nobody but us writes or reads a stream of that name; NULL: they may. */
static const char *wake_stream_fault(const char *stream)
{
	char path[SUBSCRIPTION_NAME_ROOM], whole[sizeof SUBSCRIPTION_ROOT + sizeof path];
	if (!subscription_name(stream, path))
		return NULL;
	int len = snprintf(whole, sizeof whole, SUBSCRIPTION_ROOT "%s", path);
	if (state_path_owned(span_of(whole, (size_t)len)))
		return "wake_stream is written by its own surface only";
	return strncmp(whole, root, sizeof root - 1) == 0 ? "wake_stream cannot be below __ds/"
	                                                  : NULL;
}

static const char *check_put(struct call *c, const char **code)
{
	const struct settings *settings = worker_of(c->request)->settings;
	const json_t *b = c->body, *lease = json_object_get(b, "lease_ttl_ms");
	const char *type = subscription_text(b, "type"), *pattern = subscription_text(b, "pattern");
	const char *url = subscription_text(json_object_get(b, "webhook"), "url");
	const json_t *streams = json_object_get(b, "streams");
	bool webhook = strcmp(type, "webhook") == 0;
	*code = "INVALID_REQUEST";
	if (!webhook && strcmp(type, "pull-wake") != 0)
		return "type must be webhook or pull-wake";
	if (*pattern == '\0' && json_array_size(streams) == 0)
		return "pattern or streams is needed";
	if (streams != NULL && !json_is_array(streams))
		return "streams must be an array";
	if (lease != NULL && (!json_is_integer(lease) || json_integer_value(lease) < LEASE_MS_MIN ||
	                      json_integer_value(lease) > LEASE_MS_MAX))
		return "lease_ttl_ms must be 1000 to 600000";
	if (webhook && *url == '\0')
		return "webhook.url is needed";
	if (!webhook && *subscription_text(b, "wake_stream") == '\0')
		return "wake_stream is needed";
	const char *fault = webhook ? NULL : wake_stream_fault(subscription_text(b, "wake_stream"));
	if (fault != NULL)
		return fault;
	*code = "WEBHOOK_URL_REJECTED";
	return webhook && !webhook_url_allowed(url, settings->webhook_allow_private, settings->dev)
	               ? "webhook.url must be https to a public host; webhook.allow_private lists "
	                 "others"
	               : NULL;
}

static const char *build_wanted(struct call *c)
{
	char pattern[SUBSCRIPTION_NAME_ROOM] = "", wake[SUBSCRIPTION_NAME_ROOM] = "", base[2048];
	const json_t *b = c->body, *lease = json_object_get(b, "lease_ttl_ms");
	const char *asked = subscription_text(b, "pattern");
	if (*asked != '\0' && !subscription_name(asked, pattern))
		return "pattern is no path";
	asked = subscription_text(b, "wake_stream");
	if (*asked != '\0' && !subscription_name(asked, wake))
		return "wake_stream is no path";
	c->wanted = subscription_create(
	        c->id, subscription_text(b, "type"), pattern,
	        subscription_text(json_object_get(b, "webhook"), "url"), wake,
	        lease != NULL ? (uint64_t)json_integer_value(lease) : SUBSCRIPTION_LEASE_MS_DEFAULT,
	        subscription_text(b, "description"), clock_wall_ms());
	/* callback_url must begin as the client's own URLs do. */
	size_t len = request_base_url(c->request, base, sizeof base - 1);
	base[len] = '\0';
	json_object_set_new(c->wanted, "base_url", json_string(base));
	return link_named(c->wanted, json_object_get(b, "streams"), view_of(c->request),
	                  streams_max(c));
}

static bool count_one(void *arg, struct span key, struct span value)
{
	(void)key;
	(void)value;
	++*(uint64_t *)arg;
	return true;
}

static void step_put(struct call *c)
{
	if (c->doc != NULL) {
		bool same = subscription_same(c->doc, c->wanted);
		c->status = same ? 200 : 409;
		c->answer = same ? present(c)
		                 : error_json("SUBSCRIPTION_ALREADY_EXISTS",
		                              "it exists with another configuration");
		return;
	}
	uint64_t count = 0;
	state_kv_each(view_of(c->request), SPAN(SUBSCRIPTION_KEY_PREFIX), count_one, &count);
	if (view_of(c->request)->unreadable) {
		call_error(c, 503, "UNREADABLE", store_unreadable_reason);
		return;
	}
	if (count >= worker_of(c->request)->settings->limits_subscriptions) {
		call_error(c, 429, "LIMIT", "limits.subscriptions is reached");
		return;
	}
	if (needs_look(c, c->wanted))
		return;
	if (c->unreadable) {
		call_error(c, 503, "UNREADABLE", store_unreadable_reason);
		return;
	}
	bool full;
	c->doc = json_deep_copy(c->wanted);
	subscription_link_found(c->doc, view_of(c->request), c->found, streams_max(c), &full);
	if (full) {
		call_error(c, 400, "INVALID_REQUEST", too_many_streams);
		return;
	}
	c->status = 201;
	c->answer = present(c);
	c->write = true;
}

/* ---- the other calls ---- */

static void step_get(struct call *c)
{
	if (c->doc == NULL) {
		call_error(c, 404, "NOT_FOUND", "no such subscription");
		return;
	}
	c->status = 200;
	c->answer = present(c);
}

static void step_delete(struct call *c)
{
	c->status = 204;
	c->write = c->remove = c->there;
}

static bool missing(struct call *c)
{
	if (c->doc == NULL)
		call_error(c, 404, "NOT_FOUND", "no such subscription");
	return c->doc == NULL;
}

static void step_streams_add(struct call *c)
{
	if (missing(c))
		return;
	const char *fault = link_named(c->doc, json_object_get(c->body, "streams"),
	                               view_of(c->request), streams_max(c));
	c->status = 204;
	c->write = true;
	if (fault != NULL)
		call_error(c, fault == unreadable_stream ? 503 : 400,
		           fault == unreadable_stream ? "UNREADABLE" : "INVALID_REQUEST", fault);
}

static void step_streams_remove(struct call *c)
{
	char path[SUBSCRIPTION_NAME_ROOM];
	if (missing(c))
		return;
	c->status = 204;
	c->write = subscription_name(c->tail, path) &&
	           subscription_unlink(c->doc, path) == SUBSCRIPTION_OK;
}

static void refuse_result(struct call *c, enum subscription_result result)
{
	switch (result) {
	case SUBSCRIPTION_OK:
	case SUBSCRIPTION_UNCHANGED:
		return;
	case SUBSCRIPTION_FENCED:
		call_error(c, 409, "FENCED", "this wake is no longer the present one");
		return;
	case SUBSCRIPTION_INVALID_OFFSET:
		call_error(c, 409, "INVALID_OFFSET", "an acknowledged offset is not possible");
		return;
	case SUBSCRIPTION_CLAIMED:
		call_error(c, 409, "ALREADY_CLAIMED", "somebody holds the lease");
		json_object_set_new(json_object_get(c->answer, "error"), "current_holder",
		                    json_string(subscription_text(c->doc, "holder")));
		json_object_set_new(
		        json_object_get(c->answer, "error"), "generation",
		        json_integer((json_int_t)subscription_number(c->doc, "generation")));
		return;
	case SUBSCRIPTION_NO_WORK:
		call_error(c, 409, "NO_PENDING_WORK", "nothing to do");
		return;
	case SUBSCRIPTION_FULL:
		call_error(c, 400, "INVALID_REQUEST", too_many_streams);
		return;
	}
}

static void step_claim(struct call *c)
{
	char wake_id[40], token[SUBSCRIPTION_TOKEN_ROOM];
	uint64_t now_ms = clock_wall_ms();
	const char *worker = subscription_text(c->body, "worker");
	if (missing(c))
		return;
	if (strcmp(subscription_text(c->doc, "type"), "pull-wake") != 0 || *worker == '\0') {
		call_error(c, 400, "INVALID_REQUEST",
		           "claim needs a worker and a pull-wake subscription");
		return;
	}
	subscription_wake_id(wake_id);
	bool full;
	if (c->found != NULL)
		subscription_link_found(c->doc, view_of(c->request), c->found, streams_max(c),
		                        &full);
	enum subscription_result result =
	        subscription_claim(c->doc, view_of(c->request), worker, wake_id, now_ms);
	if (result == SUBSCRIPTION_NO_WORK && needs_look(c, c->doc))
		return;
	if (result != SUBSCRIPTION_OK) {
		refuse_result(c, result);
		return;
	}
	uint64_t generation = subscription_number(c->doc, "generation");
	uint64_t lease_ms = subscription_number(c->doc, "lease_ttl_ms");
	struct span secret = secret_of(c->request, SUBSCRIPTION_SECRET_KEY);
	if (secret.len == 0) { /* whoever knows that there is none could make such tokens */
		call_error(c, 503, "UNREADABLE", no_secret);
		return;
	}
	subscription_token_make(secret, c->id, generation, now_ms + 3600000 + lease_ms, token);
	c->status = 200;
	c->write = true;
	c->answer = json_pack("{ss sI ss sI so}", "wake_id", subscription_text(c->doc, "wake_id"),
	                      "generation", (json_int_t)generation, "token", token, "lease_ttl_ms",
	                      (json_int_t)lease_ms, "streams",
	                      subscription_streams(c->doc, view_of(c->request)));
}

static void step_ack(struct call *c)
{
	if (missing(c))
		return;
	const json_t *generation = json_object_get(c->body, "generation");
	bool done = json_is_true(json_object_get(c->body, "done"));
	if (json_is_integer(generation) &&
	    (uint64_t)json_integer_value(generation) != c->generation) {
		refuse_result(c, SUBSCRIPTION_FENCED);
		return;
	}
	enum subscription_result result = subscription_ack(
	        c->doc, view_of(c->request), c->generation, subscription_text(c->body, "wake_id"),
	        json_object_get(c->body, "acks"), done, clock_wall_ms());
	if (result != SUBSCRIPTION_OK) {
		refuse_result(c, result);
		return;
	}
	c->status = 200;
	c->write = true;
	c->answer = json_pack("{sb sb}", "ok", 1, "next_wake",
	                      done && subscription_pending(c->doc, view_of(c->request)));
}

static void step_release(struct call *c)
{
	if (missing(c))
		return;
	enum subscription_result result =
	        subscription_release(c->doc, c->generation, subscription_text(c->body, "wake_id"));
	c->status = 204;
	c->write = result == SUBSCRIPTION_OK;
	refuse_result(c, result);
}

/* ---- routes ---- */

enum body_need { BODY_NONE, BODY_JSON };

struct subscription_route {
	enum method method;
	const char *action; /* behind the id; "" none; a trailing '/' takes the rest as tail */
	enum body_need body;
	bool token;     /* the subscription's own token, not an access token */
	unsigned right; /* on the subscription's path; 0: none */
	void (*step)(struct call *call);
};

static const struct subscription_route routes[] = {
        {METHOD_PUT, "", BODY_JSON, false, RIGHT(CREATE), step_put},
        {METHOD_GET, "", BODY_NONE, false, RIGHT(READ), step_get},
        {METHOD_DELETE, "", BODY_NONE, false, RIGHT(DELETE), step_delete},
        {METHOD_POST, "streams", BODY_JSON, false, RIGHT(APPEND), step_streams_add},
        {METHOD_DELETE, "streams/", BODY_NONE, false, RIGHT(APPEND), step_streams_remove},
        {METHOD_POST, "claim", BODY_JSON, false, RIGHT(APPEND), step_claim},
        {METHOD_POST, "ack", BODY_JSON, true, 0, step_ack},
        {METHOD_POST, "callback", BODY_JSON, true, 0, step_ack},
        {METHOD_POST, "release", BODY_JSON, true, 0, step_release},
};

static bool action_matches(const char *action, struct span given)
{
	size_t len = strlen(action);
	if (len > 0 && action[len - 1] == '/')
		return given.len > len && memcmp(given.at, action, len) == 0;
	return span_equal(given, span_of(action, len));
}

/* Access, as for streams, except where the subscription's own token is asked for. */
static bool allowed(struct request *r, const struct subscription_route *route)
{
	if (route->token)
		return true;
	const char *fault;
	unsigned status = request_refusal(r, route->right, subscription_path(r), &fault);
	if (status != 0)
		send_error(r, status, status == 403 ? "FORBIDDEN" : "UNAUTHORIZED", fault);
	return status == 0;
}

/* ---- what a subscription reaches is what its maker may ---- */

static bool may_read_named(const struct request *r, const json_t *streams)
{
	size_t i;
	json_t *item;
	json_array_foreach (streams, i, item) {
		char path[SUBSCRIPTION_NAME_ROOM], whole[sizeof SUBSCRIPTION_ROOT + sizeof path];
		const char *text = json_string_value(item);
		if (text == NULL || !subscription_name(text, path))
			continue; /* is refused as what it is */
		int len = snprintf(whole, sizeof whole, SUBSCRIPTION_ROOT "%s", path);
		if (!request_may(r, RIGHT(READ), span_of(whole, (size_t)len)))
			return false;
	}
	return true;
}

/* It wakes its clients by a message there. */
static bool may_wake(const struct request *r, const char *stream)
{
	char path[SUBSCRIPTION_NAME_ROOM], whole[sizeof SUBSCRIPTION_ROOT + sizeof path];
	if (*stream == '\0' || !subscription_name(stream, path))
		return true; /* is refused as what it is */
	int len = snprintf(whole, sizeof whole, SUBSCRIPTION_ROOT "%s", path);
	return request_may(r, RIGHT(APPEND), span_of(whole, (size_t)len));
}

static bool may_match(const struct request *r, const char *pattern)
{
	char path[SUBSCRIPTION_NAME_ROOM], whole[sizeof SUBSCRIPTION_ROOT + sizeof path];
	if (*pattern == '\0' || !subscription_name(pattern, path))
		return true; /* is refused as what it is */
	int len = snprintf(whole, sizeof whole, SUBSCRIPTION_ROOT "%s", path);
	return identities_cover(r->edge->identities, r->identity, VERB_READ,
	                        span_of(whole, (size_t)len));
}

/* NULL, or what of it its maker may not. */
static const char *beyond_rights(const struct call *c)
{
	const json_t *b = c->body;
	if (!may_read_named(c->request, json_object_get(b, "streams")))
		return "a stream of these may not be read with this token";
	if (c->step != step_put)
		return NULL;
	if (!may_match(c->request, subscription_text(b, "pattern")))
		return "the pattern matches what may not be read with this token";
	return may_wake(c->request, subscription_text(b, "wake_stream"))
	               ? NULL
	               : "wake_stream may not be appended to with this token";
}

static bool token_valid(struct call *c)
{
	struct span value = c->request->headers[HEADER_AUTHORIZATION];
	if (value.len > 7 && span_equal_nocase(span_of(value.at, 7), SPAN("bearer ")))
		value = span_of(value.at + 7, value.len - 7);
	else
		value.len = 0;
	struct span secret = secret_of(c->request, SUBSCRIPTION_SECRET_KEY);
	if (secret.len == 0) {
		send_error(c->request, 503, "UNREADABLE", no_secret);
		return false;
	}
	switch (subscription_token_check(secret, c->id, value, clock_wall_ms(), &c->generation)) {
	case TOKEN_VALID:
		return true;
	case TOKEN_INVALID:
		send_error(c->request, 401, "TOKEN_INVALID", "a callback token is needed");
		return false;
	case TOKEN_EXPIRED:
		send_error(c->request, 401, "TOKEN_EXPIRED", "the token has expired");
		return false;
	}
	return false;
}

static bool take_body(struct call *c, const struct subscription_route *route)
{
	const struct request *r = c->request;
	if (route->body == BODY_NONE)
		return true;
	c->body = r->body_len != 0 ? json_loadb((const char *)r->body, r->body_len,
	                                        JSON_REJECT_DUPLICATES, NULL)
	                           : json_object();
	if (json_is_object(c->body))
		return true;
	send_error(c->request, 400, "INVALID_REQUEST", "a JSON object is needed");
	return false;
}

static void begin(struct request *r, const struct subscription_route *route, struct span id,
                  struct span tail)
{
	struct call *c = xcalloc(1, sizeof *c);
	c->request = r;
	c->step = route->step;
	memcpy(c->id, id.at, id.len);
	snprintf(c->key, sizeof c->key, SUBSCRIPTION_KEY_PREFIX "%s", c->id);
	c->tail = xcalloc(1, tail.len + 1);
	const char *code, *fault = NULL;
	if (percent_decode(tail, (uint8_t *)c->tail) == SIZE_MAX) {
		send_error(r, 400, "INVALID_REQUEST", "malformed path");
		call_free(c);
		return;
	}
	if (!take_body(c, route) || (route->token && !token_valid(c))) {
		call_free(c);
		return;
	}
	if (!route->token && (fault = beyond_rights(c)) != NULL) {
		r->refusal = REFUSAL_FORBIDDEN;
		send_error(r, request_forbidden(r), "FORBIDDEN", fault);
		call_free(c);
		return;
	}
	if (route->step == step_put &&
	    ((fault = check_put(c, &code)) != NULL ||
	     (code = "INVALID_REQUEST", fault = build_wanted(c)) != NULL)) {
		send_error(r, fault == unreadable_stream ? 503 : 400,
		           fault == unreadable_stream ? "UNREADABLE" : code, fault);
		call_free(c);
		return;
	}
	actor_init(&c->actor, &actor_type, worker_of(r)->store, worker_of(r)->worker->mine);
	check(actor_turn(&c->actor));
}

static void send_jwks(struct request *r)
{
	char x[64], kid[64];
	if (!signing_public(secret_of(r, SUBSCRIPTION_SIGNING_KEY), x, kid)) {
		send_error(r, 503, "UNAVAILABLE", "the signing key is being made");
		return;
	}
	static const struct header headers[] = {{"content-type", SPAN("application/jwk-set+json")},
	                                        {"cache-control", SPAN("public, max-age=300")}};
	json_t *set = json_pack("{s[{ss ss ss ss ss ss}]}", "keys", "kty", "OKP", "crv", "Ed25519",
	                        "x", x, "kid", kid, "use", "sig", "alg", "EdDSA");
	char *text = json_dumps(set, JSON_COMPACT);
	reply(r, 200, headers, 2, span_str(text));
	free(text);
	json_decref(set);
}

static void refuse_method(struct request *r, unsigned methods)
{
	char allow[64] = "OPTIONS";
	if (methods & 1u << METHOD_GET)
		strcat(allow, ", GET");
	if (methods & 1u << METHOD_POST)
		strcat(allow, ", POST");
	if (methods & 1u << METHOD_PUT)
		strcat(allow, ", PUT");
	if (methods & 1u << METHOD_DELETE)
		strcat(allow, ", DELETE");
	const struct header headers[] = {
	        json_headers[0], json_headers[1], {"allow", span_str(allow)}};
	json_t *answer =
	        error_json("METHOD_NOT_ALLOWED", "this method is not for this control route");
	char *text = json_dumps(answer, JSON_COMPACT);
	reply(r, 405, headers, 3, span_str(text));
	free(text);
	json_decref(answer);
}

void subscriptions_handle(struct request *r)
{
	static const char prefix[] = "subscriptions/";
	struct span rest = span_of(r->path.at + sizeof root - 1, r->path.len - (sizeof root - 1));
	if (span_equal(rest, SPAN("jwks.json")) && r->method == METHOD_GET) {
		send_jwks(r);
		return;
	}
	if (rest.len <= sizeof prefix - 1 || memcmp(rest.at, prefix, sizeof prefix - 1) != 0) {
		send_error(r, 404, "NOT_FOUND", "no such control route");
		return;
	}
	rest = span_of(rest.at + sizeof prefix - 1, rest.len - (sizeof prefix - 1));
	const uint8_t *slash = memchr(rest.at, '/', rest.len);
	struct span id = {rest.at, slash != NULL ? (size_t)(slash - rest.at) : rest.len};
	struct span action =
	        slash != NULL ? span_of(slash + 1, rest.len - id.len - 1) : span_of("", 0);
	unsigned methods = 0; /* that the path has */
	if (id.len == 0 || id.len > SUBSCRIPTION_ID_MAX) {
		send_error(r, 400, "INVALID_REQUEST", "malformed subscription id");
		return;
	}
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		const struct subscription_route *route = &routes[i];
		if (!action_matches(route->action, action))
			continue;
		methods |= 1u << route->method;
		if (route->method != r->method)
			continue;
		size_t skip = strlen(route->action);
		if (allowed(r, route))
			begin(r, route, id, span_of(action.at + skip, action.len - skip));
		return;
	}
	if (methods == 0)
		send_error(r, 404, "NOT_FOUND", "no such control route");
	else
		refuse_method(r, methods);
}

/* ---- secrets, made by whoever comes first ---- */

struct secret {
	struct command command;
	uint8_t bytes[32];
};

static void secret_made(struct command *command)
{
	OPENSSL_cleanse(((struct secret *)command)->bytes, 32);
	free(command);
}

void subscriptions_start(struct sse_worker *w)
{
	static const char *const names[] = {SUBSCRIPTION_SECRET_KEY, SUBSCRIPTION_SIGNING_KEY};
	if (cluster_follows(w))
		return; /* the other node has made them */
	for (size_t i = 0; i < 2; i++) {
		struct span present;
		if (state_kv_get(store_view(w->store), span_str(names[i]), &present))
			continue;
		struct secret *secret = xcalloc(1, sizeof *secret);
		clock_random(secret->bytes, sizeof secret->bytes);
		secret->command = (struct command){.kind = COMMAND_KV,
		                                   .done = secret_made,
		                                   .key = span_str(names[i]),
		                                   .value = span_of(secret->bytes, 32),
		                                   .expect_present = true};
		store_submit(w->store, &secret->command);
	}
}
