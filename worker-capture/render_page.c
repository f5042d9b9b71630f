/* A render session's page: what it is told, what it says, and the browser that it is in. */
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "worker-capture/injected.h"
#include "worker-capture/render_parts.h"
#include "worker-capture/render_whep.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	DELIVER_MS = 2000,
	STATE_DEPTH_MAX = 500, /* jansson reads four times that, with what stands around it */
};

/* ---- talking to the page ---- */

/* JSON within a JavaScript string within the expression: a key "__proto__" stays a key. */
void render_deliver(struct render_live *live, const char *kind, const json_t *value,
                    devtools_on_reply *on_reply, void *arg)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY), *expression = NULL;
	json_t *string = json_string(text);
	char *literal = json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	check(asprintf(&expression, "window.ringside.deliver(\"%s\", %s)", kind, literal) > 0);
	session_evaluate(live->browser, SESSION_WORLD_PAGE, expression, false, DELIVER_MS, on_reply,
	                 arg);
	free(expression);
	free(literal);
	json_decref(string);
	free(text);
}

static void on_delivered(void *arg, enum devtools_outcome outcome, const json_t *result,
                         const char *reason)
{
	(void)arg;
	(void)result;
	if (outcome != DEVTOOLS_OK)
		log_info("not delivered to the page", "reason=\"%s\"", reason);
}

/* A document has begun: it gets what it was ordered with, also after a crash or a new browser. */
static void greet(struct render_live *live)
{
	json_t *none = json_object();
	const json_t *data = live->paper->order.initial_data;
	render_deliver(live, "initialdata", data != NULL ? data : none, on_delivered, NULL);
	if (live->paper->scene != NULL)
		render_deliver(live, "scene", live->paper->scene, on_delivered, NULL);
	json_decref(none);
}

/* ---- hearing from the page ---- */

static const char too_large[] = "the page's state is larger than sessions.state_bytes";
static const char too_deep[] =
        "the page's state is nested too deeply, or cannot be written as JSON";

static size_t depth_of(const json_t *value)
{
	const char *name;
	json_t *member;
	size_t i, below, deepest = 0;
	json_array_foreach (value, i, member)
		deepest = (below = depth_of(member)) > deepest ? below : deepest;
	json_object_foreach ((json_t *)value, name, member)
		deepest = (below = depth_of(member)) > deepest ? below : deepest;
	return deepest + 1;
}

static void say_fault(struct render_live *live, const char *fault)
{
	render_session_set(live->paper, "metadataError",
	                   *fault != '\0' ? json_string(fault) : NULL);
	render_changed(live);
}

/* What cannot be taken leaves the state as it was, with a word why; where only a part cannot, the
 * rest is taken. */
static void take_state(struct render_live *live, const json_t *value, unsigned losses)
{
	if (!json_is_object(value)) {
		say_fault(live, "the page's state is no object");
	} else if (json_dumpb(value, NULL, 0, JSON_COMPACT) >
	           live->all->settings->newest->sessions_state_bytes) {
		say_fault(live, too_large);
	} else if (depth_of(value) > STATE_DEPTH_MAX) {
		say_fault(live, too_deep);
	} else {
		render_session_set(live->paper, "metadata", json_deep_copy(value));
		say_fault(live, json_loss_text(losses));
	}
}

static void take_signal(struct render_live *live, const json_t *value)
{
	if (!json_is_string(json_object_get(value, "type")) ||
	    json_array_size(live->signals) >= live->all->settings->newest->sessions_signals)
		return; /* no signal, or a flood of them while the disk is slow */
	json_array_append_new(live->signals, json_deep_copy(value));
	render_changed(live);
}

static void on_message(void *arg, struct session *session, enum session_world world,
                       const char *kind, const json_t *value, unsigned losses)
{
	struct render_live *live = arg;
	(void)session;
	if (!render_life_lives(live->state))
		return;
	if (world == SESSION_WORLD_OWN) {
		render_whep_message(live, kind, value);
		return;
	}
	if (strcmp(kind, "hello") == 0)
		greet(live);
	else if (strcmp(kind, "state") == 0)
		take_state(live, value, losses);
	else if (strcmp(kind, "oversize") == 0) /* found so by the page's script */
		say_fault(live, too_large);
	else if (strcmp(kind, "unreadable") == 0)
		say_fault(live, too_deep);
	else if (strcmp(kind, "signal") == 0)
		take_signal(live, value);
}

/* ---- hearing of the page ---- */

static enum render_status status_of(enum session_state state)
{
	switch (state) {
	case SESSION_STARTING:
		return RENDER_CONNECTING;
	case SESSION_LIVE:
		return RENDER_STREAMING;
	case SESSION_RECOVERING:
		return RENDER_RECONNECTING;
	case SESSION_FAILED:
	case SESSION_CLOSING:
	case SESSION_RELEASED:
		return RENDER_ERROR;
	}
	return RENDER_ERROR;
}

static json_t *text_or_null(const char *text)
{
	return *text != '\0' ? json_string(text) : json_null();
}

static void describe_health(struct render_live *live)
{
	const struct health *h = session_health(live->browser);
	const char *reason = health_reason_name(h->reason);
	render_session_set(live->paper, "health",
	                   json_pack("{s:b, s:o, s:o}", "ready", h->reason == HEALTH_NONE,
	                             "degradedReason", text_or_null(reason), "detail",
	                             text_or_null(h->detail)));
	enum render_status status = status_of(session_state(live->browser)),
	                   was = live->paper->status;
	const char *error = *reason != '\0' ? reason : "the browser gave up";
	render_session_status(live->paper, status, error);
	if (status == RENDER_ERROR && was != RENDER_ERROR)
		render_error_tell(live->all, live->paper, true, error);
}

static void on_event(void *arg, struct session *session, const struct session_event *event)
{
	struct render_live *live = arg;
	if (!render_life_lives(live->state) || session_state(session) == SESSION_CLOSING)
		return;
	(void)event;
	describe_health(live);
	render_changed(live);
}

static void on_closed(void *arg, struct session *session)
{
	struct render_live *live = arg;
	(void)session;
	live->browser = NULL;
	live->watcher = NULL;
	live->viewers_count = 0;
	if (!live->all->draining)
		render_end(live, "closed");
}

/* ---- the browser ---- */

static unsigned status_of_open(enum session_open_result result)
{
	return result == SESSION_FULL ? 503 : result == SESSION_EXISTS ? 409 : 422;
}

bool render_open_browser(struct render_live *live, unsigned *status, char reason[256])
{
	const struct render_order *order = &live->paper->order;
	const struct session_options options = {.id = live->paper->id,
	                                        .feed = "",
	                                        .url = order->target_url,
	                                        .allow = "",
	                                        .peers = live->all->ice.hosts,
	                                        .owner = live->paper->owner,
	                                        .width = order->width,
	                                        .height = order->height,
	                                        .sound = true,
	                                        .webrtc = true,
	                                        .tab_capture = true,
	                                        .scripts = {(const char *)injected_whep_js},
	                                        .page_script = (const char *)injected_ringside_js};
	const struct session_watch watch = {.on_event = on_event,
	                                    .on_message = on_message,
	                                    .on_closed = on_closed,
	                                    .arg = live};
	*reason = '\0';
	enum session_open_result result =
	        session_open(live->all->capture->sessions, &options, &live->browser, reason);
	*status = status_of_open(result);
	if (result != SESSION_OPENED) {
		live->browser = NULL;
		if (*reason == '\0')
			snprintf(reason, 256, "%s",
			         result == SESSION_FULL ? "no browser is free"
			                                : "not to be opened");
		return false;
	}
	live->watcher = session_watch(live->browser, &watch);
	return true;
}
