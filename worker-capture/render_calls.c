/* Render sessions: what clients ask of one, and what they are told. */
#include "common/domain/rights.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/render_input.h"
#include "worker-capture/render_parts.h"
#include "worker-capture/render_whep.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MS = 3000 };

static struct render_sessions *sessions_of(const struct call *call)
{
	return ((struct capture *)call->context)->render;
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

/* The page is made larger or smaller, and sent more or less often; what it holds, what was put into
 * it and who looks stays. */
static void reshape(struct render_live *live, const struct render_order *was)
{
	const struct render_order *order = &live->paper->order;
	json_t *instance = json_deep_copy(json_object_get(live->paper->state, "instanceInfo"));
	json_object_set_new(instance, "targetFps", json_integer((json_int_t)order->fps));
	json_object_set_new(
	        instance, "viewport",
	        json_pack("{s:i, s:i}", "width", (int)order->width, "height", (int)order->height));
	render_session_set(live->paper, "instanceInfo", instance);
	bool resized = order->width != was->width || order->height != was->height;
	if (resized && live->browser != NULL)
		session_resize(live->browser, order->width, order->height);
	if (order->fps != was->fps)
		render_whep_pace(live);
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
	reshape(live, &was);
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
	if (!render_validates(live->all)) {
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

bool render_refused_unreadable(struct render_sessions *all, struct call *call, struct span id)
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

/* What a session's picture is got by, whoever's it is: to look is a right of its own. */
static bool looks(const struct call *call, struct span rest)
{
	static const struct span viewing = {(const uint8_t *)"/whep/", 6};
	return (call->may & RIGHT(VIEW)) != 0 &&
	       (span_equal(rest, SPAN("/frame.jpg")) || span_equal(rest, SPAN("/whep")) ||
	        (rest.len > viewing.len && memcmp(rest.at, viewing.at, viewing.len) == 0));
}

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
	    (looks(call, *rest) || render_session_is_of(live->paper, live->all->settings->newest,
	                                                call->principal, call->former)))
		return live;
	if (live != NULL ||
	    !render_refused_unreadable(sessions_of(call), call, span_of(at.at, len)))
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
