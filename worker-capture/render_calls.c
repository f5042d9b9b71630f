/* Render sessions: what clients ask for, and what they are told. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/store/row.h"
#include "worker-capture/render_input.h"
#include "worker-capture/render_parts.h"
#include "worker-capture/render_whep.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MS = 3000 };

static struct render_sessions *sessions_of(const struct call *call)
{
	return ((struct capture *)call->context)->render;
}

/* ---- creating ---- */

/* The stream-kit web client asks at this path and wants another form of answer. */
static bool for_client(const struct call *call)
{
	return span_equal(call->path, SPAN("/stream/session"));
}

static void answer_created(struct call *call, struct render_live *live)
{
	struct render_session *paper = live->paper;
	char location[RENDER_SESSION_ID_MAX + 16];
	snprintf(location, sizeof location, "/stream/%s", paper->id);
	call_header(call, "location", location);
	if (for_client(call)) {
		char *url;
		struct span base = call->base_url;
		if (base.len >= 4 && memcmp(base.at, "http", 4) == 0) /* or "https" */
			base = span_of(base.at + 4, base.len - 4);
		check(asprintf(&url, "ws%.*s/v1/signal/%s?token=%s", (int)base.len,
		               (const char *)base.at, paper->id, paper->signal_token) > 0);
		call_reply(call, 201,
		           json_pack("{s:s, s:s, s:O, s:s}", "sessionId", paper->id, "status",
		                     render_status_client_name(paper->status), "iceServers",
		                     live->all->ice.list, "signalingUrl", url));
		free(url);
	} else {
		call_reply(call, 201,
		           json_pack("{s:s, s:O, s:O}", "streamId", paper->id, "initialState",
		                     paper->published, "ignoredOptions", paper->order.ignored));
	}
}

/* One name for what this principal calls by this key. "" without a key. */
static void retry_key_of(const struct call *call, char out[65])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	*out = '\0';
	if (call->idempotency_key.len > 0 &&
	    render_session_may_own(sessions_of(call)->settings->newest, call->principal)) {
		check(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		      EVP_DigestUpdate(context, call->principal.at, call->principal.len) == 1 &&
		      EVP_DigestUpdate(context, "\n", 1) == 1 &&
		      EVP_DigestUpdate(context, call->idempotency_key.at,
		                       call->idempotency_key.len) == 1 &&
		      EVP_DigestFinal_ex(context, digest, NULL) == 1);
		hex_print(digest, 32, out);
	}
	EVP_MD_CTX_free(context);
}

/* Of an id that is none of the living: is there a row that cannot be read, or could one not be
 * looked for? Then answered. */
static bool refused_unreadable(struct render_sessions *all, struct call *call, struct span id)
{
	struct state *view = store_view(all->capture->store);
	char text[RENDER_SESSION_ID_MAX + 1] = "", key[RENDER_PATH_ROOM];
	struct span document;
	if (!render_session_id_valid(id))
		return false;
	memcpy(text, id.at, id.len);
	size_t len = render_session_key(text, key);
	bool there = state_kv_get(view, span_of(key, len), &document);
	struct render_session *paper = there ? render_session_load(document, 0) : NULL;
	bool unreadable = there ? paper == NULL : view->unreadable;
	render_session_destroy(&paper);
	if (unreadable)
		call_refuse(
		        call, 503,
		        there ? "this release cannot read this session: it stands still, as it is"
		              : store_unreadable_reason);
	return unreadable;
}

/* The session that this key has made already: answered. */
static bool answered_again(struct render_sessions *all, struct call *call, const char *retry_key)
{
	char digest[65];
	if (*retry_key == '\0')
		return false;
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next)
		if (render_life_is_new(live->state) &&
		    strcmp(live->paper->retry_key, retry_key) == 0) {
			call_header(call, "retry-after", "1");
			call_refuse(call, 409,
			            "the first request with this Idempotency-Key is under way");
			return true;
		}
	json_t *row;
	enum row_found found = render_retry_row(all, retry_key, &row);
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503,
		            "this release cannot read what was ordered with this Idempotency-Key");
	if (found != ROW_PRESENT)
		return found == ROW_UNREADABLE;
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *was = json_string_value(json_object_get(row, "digest"));
	struct render_live *live = render_find(all, span_str(id));
	render_retry_digest(call, digest);
	if (strcmp(was, digest) != 0)
		call_refuse(call, 422, "this Idempotency-Key was used for another request");
	else if (live != NULL && live->state != RENDER_FORGETTING)
		answer_created(call, live);
	else if (live != NULL || !refused_unreadable(all, call, span_str(id)))
		call_refuse(call, 410, "the session of this Idempotency-Key is over");
	json_decref(row);
	return true;
}

/* Is there room for one more of this principal? False: answered. */
static bool admitted(struct render_sessions *all, struct call *call)
{
	uint64_t lives = 0, own = 0;
	for (const struct render_live *live = all->lives; live != NULL; live = live->hh.next) {
		if (!render_life_lives(live->state))
			continue;
		lives++;
		own += span_equal(call->principal, span_str(live->paper->owner));
	}
	if (own < all->settings->newest->sessions_per_principal &&
	    lives < all->settings->newest->sessions_max)
		return true;
	bool mine = own >= all->settings->newest->sessions_per_principal;
	call_header(call, "retry-after", mine ? "30" : "10");
	call_refuse(call, mine ? 429 : 503,
	            mine ? "you have as many sessions as one may have"
	                 : "there are as many sessions as there may be");
	return false;
}

static void make_signal_token(char token[RENDER_SIGNAL_TOKEN_LEN + 1])
{
	uint8_t random[32];
	clock_random(random, sizeof random);
	char *text = base64url_text(span_of(random, sizeof random));
	check(strlen(text) == RENDER_SIGNAL_TOKEN_LEN);
	strcpy(token, text);
	free(text);
}

static void create(struct render_sessions *all, struct call *call, struct render_order *order,
                   const char *retry_key, const json_t *caller)
{
	struct render_live *live = xcalloc(1, sizeof *live);
	char id[RENDER_SESSION_ID_MAX + 1], owner[RENDER_OWNER_MAX + 1] = "", reason[256];
	unsigned status;
	memcpy(owner, call->principal.at, call->principal.len);
	render_session_id(id);
	live->paper = render_session_create(id, owner, order, clock_wall_ms());
	live->paper->caller = caller != NULL ? json_deep_copy(caller) : NULL;
	strcpy(live->paper->retry_key, retry_key);
	make_signal_token(live->paper->signal_token);
	render_retry_digest(call, live->retry_digest);
	render_add(all, live);
	if (!render_open_browser(live, &status, reason)) {
		if (status == 503)
			call_header(call, "retry-after", "10");
		call_refuse(call, status, reason);
		render_remove(live, RENDER_LIFE_LOST);
		return;
	}
	counter_add(all->capture->worker->mine, render_sessions_created_total, 1);
	render_answer_later(live, call, answer_created);
}

static void drop_order(struct call *call)
{
	struct render_order *order = call->state;
	call->state = NULL;
	render_order_finish(order);
	free(order);
}

/* All questions are asked again: answers may have taken their time. */
static void on_validated(struct call *call, const json_t *caller)
{
	struct render_sessions *all = sessions_of(call);
	struct render_order order = *(struct render_order *)call->state;
	char retry_key[65];
	free(call->state);
	call->state = NULL;
	retry_key_of(call, retry_key);
	if (!render_session_may_own(all->settings->newest, call->principal)) {
		call_header(call, "www-authenticate", "Bearer realm=\"ringside\"");
		call_refuse(call, 401, "a session belongs to somebody: credentials are needed");
	} else if (!answered_again(all, call, retry_key) && admitted(all, call))
		create(all, call, &order, retry_key, caller);
	render_order_finish(&order);
}

/* False: answered. */
static bool read_order(struct render_sessions *all, struct call *call, struct render_order *order)
{
	char reason[160];
	json_t *body = call_json_with(call, "initialData");
	if (body == NULL)
		return false;
	uint32_t width = (uint32_t)all->settings->newest->sessions_width & ~1u,
	         height = (uint32_t)all->settings->newest->sessions_height & ~1u;
	enum render_order_result result = render_order_read(order, body,
	                                                    width != 0         ? width
	                                                    : for_client(call) ? 1920
	                                                                       : 1280,
	                                                    height != 0        ? height
	                                                    : for_client(call) ? 1080
	                                                                       : 720,
	                                                    reason);
	json_decref(body);
	if (result == RENDER_ORDER_OK)
		return true;
	render_order_finish(order);
	call_refuse(call, result == RENDER_ORDER_MALFORMED ? 400 : 422, reason);
	return false;
}

static bool validates(const struct render_sessions *all)
{
	return *all->settings->newest->sessions_validate_url != '\0';
}

void render_sessions_on_create(struct call *call)
{
	struct render_sessions *all = sessions_of(call);
	struct render_order order;
	char retry_key[65];
	retry_key_of(call, retry_key);
	if (answered_again(all, call, retry_key) || !admitted(all, call) ||
	    !read_order(all, call, &order))
		return;
	struct render_order *kept = xmalloc(sizeof *kept);
	*kept = order;
	call->state = kept;
	if (validates(all))
		render_validate(all, call,
		                json_pack("{s:s, s:s, s:n}", "action", "create", "targetUrl",
		                          order.target_url, "streamId"),
		                on_validated, drop_order);
	else
		on_validated(call, NULL);
}

/* ---- ending ---- */

static void answer_nothing(struct call *call, struct render_live *live)
{
	(void)live;
	call_reply(call, 204, NULL);
}

static void on_delete(struct render_live *live, struct call *call)
{
	if (live->state == RENDER_OVER) {
		call_reply(call, 204, NULL);
		return;
	}
	render_end(live, "deleted");
	render_answer_later(live, call, answer_nothing);
}

/* ---- changing ---- */

static void answer_changed(struct call *call, struct render_live *live)
{
	call_reply(call, 200,
	           json_pack("{s:O, s:O}", "state", live->paper->published, "ignoredOptions",
	                     live->paper->order.ignored));
}

/* The page is made larger or smaller; what it holds and what was put into it stays. */
static void resize(struct render_live *live)
{
	const struct render_order *order = &live->paper->order;
	json_t *instance = json_deep_copy(json_object_get(live->paper->state, "instanceInfo"));
	json_object_set_new(
	        instance, "viewport",
	        json_pack("{s:i, s:i}", "width", (int)order->width, "height", (int)order->height));
	render_session_set(live->paper, "instanceInfo", instance);
	if (live->browser != NULL)
		session_resize(live->browser, order->width, order->height);
}

/* False: answered. */
static bool take_options(struct render_live *live, struct call *call, const json_t *options)
{
	struct render_order *order = &live->paper->order, was = *order;
	char reason[160];
	enum render_order_result result = render_order_options(order, options, reason);
	if (result != RENDER_ORDER_OK) {
		order->width = was.width;
		order->height = was.height;
		order->fps = was.fps;
		call_refuse(call, result == RENDER_ORDER_MALFORMED ? 400 : 422, reason);
		return false;
	}
	live->document_changed = true;
	if (order->width != was.width || order->height != was.height)
		resize(live);
	return true;
}

static bool page_there(const struct render_live *live)
{
	return live->browser != NULL && session_state(live->browser) == SESSION_LIVE;
}

static void on_told(void *arg, enum devtools_outcome outcome, const json_t *result,
                    const char *reason)
{
	(void)arg;
	(void)result;
	if (outcome != DEVTOOLS_OK)
		log_info("scene not delivered now", "reason=\"%s\"", reason);
}

static void on_patch(struct render_live *live, struct call *call)
{
	json_t *body = call_json_with(call, "sceneData");
	if (body == NULL)
		return;
	json_t *scene = json_object_get(body, "sceneData");
	if (!json_is_object(body)) {
		call_refuse(call, 400, "the body is an object");
	} else if (take_options(live, call, json_object_get(body, "renderOptions"))) {
		if (scene != NULL) {
			json_decref(live->paper->scene);
			live->paper->scene = json_deep_copy(scene);
			live->document_changed = true;
			if (page_there(live))
				render_deliver(live, "scene", scene, on_told, NULL);
		}
		render_session_touch(live->paper, clock_wall_ms());
		live->patch_now = live->document_changed = true;
		render_answer_later(live, call, answer_changed);
	}
	json_decref(body);
}

/* ---- input and signals ---- */

/* Called for the last step only: what came before it went the same way. */
static void on_input_done(void *arg, enum devtools_outcome outcome, const json_t *result,
                          const char *reason)
{
	struct call *call = arg;
	(void)result;
	if (outcome == DEVTOOLS_OK) {
		call_reply(call, 204, NULL);
		return;
	}
	call_header(call, "retry-after", "1");
	if (outcome == DEVTOOLS_REFUSED) {
		char text[200];
		snprintf(text, sizeof text, "the page did not take it: %.150s", reason);
		for (char *at = text; *at != '\0'; at++)
			*at = (unsigned char)*at < ' ' ? ' ' : *at;
		call_refuse(call, 409, text);
	} else {
		call_refuse(call, 503, "the page does not answer");
	}
}

static void on_step_done(void *arg, enum devtools_outcome outcome, const json_t *result,
                         const char *reason)
{
	(void)arg, (void)outcome, (void)result, (void)reason;
}

/* False: answered. A page that is not there cannot be asked; one client may not bury it. */
static bool page_ready(struct render_live *live, struct call *call)
{
	if (!render_within(&live->inputs, live->all->settings->newest->sessions_inputs, call,
	                   "more than sessions.inputs within a second"))
		return false;
	if (!page_there(live)) {
		call_header(call, "retry-after", "1");
		call_refuse(call, 409, "the page is not there at the moment");
		return false;
	}
	return true;
}

static void send_steps(struct render_live *live, struct call *call, struct render_input *input)
{
	for (size_t i = 0; i < input->count; i++) {
		bool last = i + 1 == input->count;
		session_command(live->browser, input->steps[i].method, input->steps[i].params,
		                INPUT_MS, last ? on_input_done : on_step_done, last ? call : NULL);
	}
	input->count = 0; /* the commands have the parameters now */
}

static void on_input(struct render_live *live, struct call *call)
{
	struct render_input input;
	char reason[160];
	json_t *event = call_json_with(call, "args");
	if (event == NULL)
		return;
	enum render_input_result result = render_input_read(&input, event, live->paper->order.width,
	                                                    live->paper->order.height, reason);
	if (result != RENDER_INPUT_OK) {
		call_refuse(call, result == RENDER_INPUT_MALFORMED ? 400 : 422, reason);
	} else if (page_ready(live, call)) {
		render_touch(live);
		if (input.for_page)
			render_deliver(live, "input", event, on_input_done, call);
		else
			send_steps(live, call, &input);
	}
	render_input_finish(&input);
	json_decref(event);
}

static bool is_signal(const json_t *signal)
{
	const json_t *peer = json_object_get(signal, "peer");
	return json_is_string(json_object_get(signal, "type")) &&
	       (peer == NULL || json_is_string(peer));
}

/* To the page, or with "to":"clients" to everybody who follows the session. */
static void on_signal(struct render_live *live, struct call *call)
{
	json_t *signal = call_json_with(call, "payload");
	if (signal == NULL)
		return;
	const char *to = json_string_value(json_object_get(signal, "to"));
	if (!is_signal(signal)) {
		call_refuse(call, 400, "a signal is {type, payload?, peer?, to?}");
	} else if (to != NULL && strcmp(to, "clients") != 0 && strcmp(to, "page") != 0) {
		call_refuse(call, 422, "to is page or clients");
	} else if (to != NULL && strcmp(to, "clients") == 0) {
		if (json_array_size(live->signals) >=
		    live->all->settings->newest->sessions_signals) {
			call_header(call, "retry-after", "1");
			call_refuse(call, 503, "more than sessions.signals wait to be written");
		} else {
			json_object_del(signal, "to");
			json_array_append(live->signals, signal);
			render_session_touch(live->paper, clock_wall_ms());
			render_answer_later(live, call, answer_nothing);
		}
	} else if (page_ready(live, call)) {
		render_touch(live);
		render_deliver(live, "signal", signal, on_input_done, call);
	}
	json_decref(signal);
}

/* ---- pictures ---- */

/* Who looks wants more pictures than the page's health needs; keep() puts that back. */
static void on_picture(struct render_live *live, struct call *call)
{
	struct picture *picture =
	        live->browser != NULL ? session_last_picture(live->browser) : NULL;
	char etag[32];
	if (live->watcher != NULL)
		session_watcher_fps(live->watcher,
		                    (double)live->all->settings->newest->sessions_preview_fps);
	live->looked_ms = clock_monotonic_ms();
	render_touch(live);
	if (picture == NULL) {
		call_header(call, "retry-after", "1");
		call_refuse(call, 409, "there is no picture yet");
		return;
	}
	snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)picture->seq);
	call_header(call, "etag", etag);
	call_header(call, "cache-control", "no-store");
	call_reply_bytes(call, 200, "image/jpeg", span_of(picture->bytes, picture->len));
}

/* ---- following, where somebody else says who may ---- */

static void on_may_follow(struct call *call, const json_t *caller)
{
	(void)caller;
	call_reply(call, 204, NULL);
}

static void nothing_kept(struct call *call)
{
	(void)call;
}

static void on_follow(struct render_live *live, struct call *call)
{
	if (!validates(live->all)) {
		call_reply(call, 204, NULL);
		return;
	}
	render_validate(live->all, call,
	                json_pack("{s:s, s:s, s:s, s:O?}", "action", "follow", "targetUrl",
	                          live->paper->order.target_url, "streamId", live->paper->id,
	                          "callerContext", live->paper->caller),
	                on_may_follow, nothing_kept);
}

/* ---- below /stream/ ---- */

struct session_route {
	enum call_method method;
	const char *rest; /* behind the id */
	void (*handler)(struct render_live *live, struct call *call);
};

static const struct session_route session_routes[] = {
        {CALL_DELETE, "", on_delete},    {CALL_PATCH, "", on_patch},
        {CALL_GET, "/sse", on_follow},   {CALL_GET, "/frame.jpg", on_picture},
        {CALL_POST, "/input", on_input}, {CALL_POST, "/signal", on_signal},
};

/* "/stream/ID/rest" and "/stream/session/ID/rest". NULL: answered. */
static struct render_live *live_of(struct call *call, struct span *rest)
{
	static const struct span prefix = {(const uint8_t *)"/stream/", 8};
	static const struct span alias = {(const uint8_t *)"session/", 8};
	struct span at = span_of(call->path.at + prefix.len, call->path.len - prefix.len);
	if (at.len > alias.len && memcmp(at.at, alias.at, alias.len) == 0)
		at = span_of(at.at + alias.len, at.len - alias.len);
	const uint8_t *slash = memchr(at.at, '/', at.len);
	size_t len = slash != NULL ? (size_t)(slash - at.at) : at.len;
	*rest = span_of(at.at + len, at.len - len);
	struct render_live *live = render_find(sessions_of(call), span_of(at.at, len));
	if (live != NULL && render_life_is_known(live->state) &&
	    render_session_is_of(live->paper, live->all->settings->newest, call->principal))
		return live;
	if (live != NULL || !refused_unreadable(sessions_of(call), call, span_of(at.at, len)))
		call_refuse(call, 404, "no such session");
	return NULL;
}

void render_sessions_on_session(struct call *call)
{
	struct span rest = {0};
	struct render_live *live = live_of(call, &rest);
	unsigned methods = rest.len == 0 ? CALL_METHOD(GET) : 0; /* the state is read elsewhere */
	if (live == NULL)
		return;
	if (span_equal(rest, SPAN("/whep")) ||
	    (rest.len > 6 && memcmp(rest.at, "/whep/", 6) == 0)) {
		if (!render_life_lives(live->state))
			call_refuse(call, 410, "this session is over");
		else
			render_whep_call(live, call, rest);
		return;
	}
	for (size_t i = 0; i < sizeof session_routes / sizeof *session_routes; i++) {
		const struct session_route *route = &session_routes[i];
		if (!span_equal(rest, span_str(route->rest)))
			continue;
		methods |= 1u << route->method;
		if (route->method != call->method)
			continue;
		if (route->handler != on_delete && !render_life_lives(live->state))
			call_refuse(call, 410, "this session is over");
		else
			route->handler(live, call);
		return;
	}
	if (methods == 0)
		call_refuse(call, 404, "nothing here");
	else
		call_refuse_method(call, methods, "this method is not for this path");
}
