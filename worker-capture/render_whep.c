#include "worker-capture/render_whep.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "worker-capture/sound.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	OFFER_MS = 6000,
	SMALL_MS = 3000,
	ETAG_ROOM = 16,
	INVITED_MS = 30000, /* an offer of ours that nobody answers is taken back */
};

static const char fragment_type[] = "application/trickle-ice-sdpfrag";

/* ---- viewers ---- */

static struct render_viewer *viewer_find(struct render_live *live, struct span id)
{
	for (size_t i = 0; i < live->viewers_count; i++)
		if (span_equal(span_str(live->viewers[i].id), id))
			return &live->viewers[i];
	return NULL;
}

static void say_state(struct render_live *live)
{
	const char *state = live->viewers_count > 0 ? "negotiating" : "idle";
	unsigned candidates = 0;
	for (size_t i = 0; i < live->viewers_count; i++) {
		candidates += live->viewers[i].candidates;
		if (live->viewers[i].connected)
			state = "connected";
	}
	if (!render_life_lives(live->state))
		return;
	render_session_set(live->paper, "webrtc",
	                   json_pack("{s:s, s:i}", "signalingState", state, "iceCandidatesGathered",
	                             (int)candidates));
	render_touch(live);
}

/* In an SDP or a fragment of one. */
static void count_candidates(struct render_live *live, struct render_viewer *viewer,
                             const char *sdp)
{
	static const char line[] = "\na=candidate:";
	viewer->candidates = 0;
	for (; sdp != NULL && (sdp = strstr(sdp, line)) != NULL; sdp += sizeof line - 1)
		viewer->candidates++;
	say_state(live);
}

static void viewer_remove(struct render_live *live, struct span id)
{
	struct render_viewer *viewer = viewer_find(live, id);
	if (viewer == NULL)
		return;
	*viewer = live->viewers[--live->viewers_count];
	say_state(live);
}

/* The page is gone, its viewers with it. */
static void clear(struct render_live *live)
{
	if (live->viewers_count == 0)
		return;
	live->viewers_count = 0;
	say_state(live);
}

void render_whep_message(struct render_live *live, const char *kind, const json_t *value)
{
	const char *id = json_string_value(json_object_get(value, "id"));
	const char *state = json_string_value(json_object_get(value, "state"));
	if (strcmp(kind, "whep") == 0) {
		clear(live); /* a new document: the peers were the old one's */
	} else if (strcmp(kind, "peer") == 0 && id != NULL && state != NULL) {
		struct render_viewer *viewer = viewer_find(live, span_str(id));
		if (viewer == NULL)
			return;
		if (strcmp(state, "closed") == 0 || strcmp(state, "failed") == 0) {
			viewer_remove(live, span_str(id));
			return;
		}
		viewer->connected = strcmp(state, "connected") == 0;
		say_state(live);
	}
}

/* Of its ICE session: another after each restart. */
static const char *etag_of(const struct render_viewer *viewer, char text[ETAG_ROOM])
{
	snprintf(text, ETAG_ROOM, "\"%u\"", viewer->ice);
	return text;
}

/* ---- asking the script ---- */

struct whep_asking {
	struct render_sessions *all;
	struct call *call;
	char session[RENDER_SESSION_ID_MAX + 1]; /* it may be gone when the answer comes */
	char viewer[RENDER_VIEWER_ID_LEN + 1];
};

static json_t *literal(struct span text)
{
	return json_stringn((const char *)text.at, text.len); /* NULL: not UTF-8 */
}

/* ringsideWhep.<method>(arguments...); the arguments are taken. As if the user had clicked: without
 * that, no page is captured whole. False: answered. */
static bool ask(struct render_live *live, struct whep_asking *a, const char *method,
                json_t *arguments, uint64_t timeout_ms, devtools_on_reply *on_reply)
{
	char *text = json_dumps(arguments, JSON_COMPACT | JSON_ENSURE_ASCII), *expression = NULL;
	json_decref(arguments);
	if (text == NULL) {
		call_refuse(a->call, 400, "the body is not UTF-8");
		free(a);
		return false;
	}
	check(asprintf(&expression, "globalThis.ringsideWhep.%s(...%s)", method, text) > 0);
	session_evaluate(live->browser, SESSION_WORLD_OWN, expression, true, timeout_ms, on_reply,
	                 a);
	free(expression);
	free(text);
	return true;
}

static struct whep_asking *asking(struct render_live *live, struct call *call, const char *viewer)
{
	struct whep_asking *a = xcalloc(1, sizeof *a);
	a->all = live->all;
	a->call = call;
	strcpy(a->session, live->paper->id);
	strcpy(a->viewer, viewer);
	return a;
}

static void refuse_fault(struct call *call, const char *fault)
{
	if (strcmp(fault, "source") == 0) {
		call_header(call, "retry-after", "2");
		call_refuse(call, 409,
		            "the page has no such picture to send: no canvas, or it may not be "
		            "captured");
	} else if (strcmp(fault, "video") == 0) {
		call_refuse(call, 422, "the offer receives no video");
	} else if (strcmp(fault, "condition") == 0) {
		call_refuse(call, 428,
		            "other credentials are an ICE restart, which needs If-Match: \"*\"");
	} else if (strcmp(fault, "busy") == 0) {
		call_header(call, "retry-after", "1");
		call_refuse(call, 409, "an ICE restart is under way");
	} else if (strcmp(fault, "answered") == 0) {
		call_refuse(call, 409, "there is no offer of ours that waits for an answer");
	} else if (strcmp(fault, "early") == 0) {
		call_refuse(call, 409, "more candidates than may come before the answer");
	} else if (strcmp(fault, "gone") == 0) {
		call_refuse(call, 404, "no such viewer");
	} else {
		call_refuse(call, 400, "the SDP cannot be taken");
	}
}

/* True: it went well and *result is what the script said; else answered. */
static bool went_well(struct call *call, enum devtools_outcome outcome, const json_t *result)
{
	const char *fault = json_string_value(json_object_get(result, "fault"));
	if (outcome == DEVTOOLS_OK && fault == NULL)
		return true;
	if (outcome == DEVTOOLS_OK) {
		refuse_fault(call, fault);
	} else {
		call_header(call, "retry-after", "2");
		call_refuse(call, outcome == DEVTOOLS_REFUSED ? 409 : 503,
		            "the page is not there at the moment");
	}
	return false;
}

static void on_answer(void *arg, enum devtools_outcome outcome, const json_t *result,
                      const char *reason)
{
	struct whep_asking *a = arg;
	struct render_live *live = render_find(a->all, span_str(a->session));
	const char *sdp = json_string_value(json_object_get(result, "sdp"));
	char location[RENDER_LOCATION_ROOM + 8 + RENDER_VIEWER_ID_LEN], etag[ETAG_ROOM],
	        link[ICE_LINK_ROOM];
	(void)reason;
	if (!went_well(a->call, outcome, result)) {
		if (live != NULL)
			viewer_remove(live, span_str(a->viewer));
	} else {
		struct render_viewer *viewer =
		        live != NULL ? viewer_find(live, span_str(a->viewer)) : NULL;
		size_t len =
		        render_session_location(a->all->settings->newest, a->session, location);
		snprintf(location + len, sizeof location - len, "/whep/%s", a->viewer);
		call_header(a->call, "location", location);
		ice_servers_link(&a->all->ice, link);
		if (*link != '\0')
			call_header(a->call, "link", link);
		if (viewer != NULL) {
			call_header(a->call, "etag", etag_of(viewer, etag));
			count_candidates(live, viewer, sdp);
		}
		call_reply_bytes(a->call, 201, "application/sdp", span_str(sdp));
	}
	free(a);
}

static void on_changed(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct whep_asking *a = arg;
	struct render_live *live = render_find(a->all, span_str(a->session));
	struct render_viewer *viewer = live != NULL ? viewer_find(live, span_str(a->viewer)) : NULL;
	const char *fragment = json_string_value(json_object_get(result, "fragment"));
	char etag[ETAG_ROOM];
	(void)reason;
	if (went_well(a->call, outcome, result)) {
		if (fragment == NULL) {
			call_reply(a->call, 204, NULL);
		} else if (viewer == NULL) {
			refuse_fault(a->call, "gone");
		} else {
			viewer->ice++;
			count_candidates(live, viewer, fragment);
			call_header(a->call, "etag", etag_of(viewer, etag));
			call_reply_bytes(a->call, 200, fragment_type, span_str(fragment));
		}
	}
	free(a);
}

static void on_dropped(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct whep_asking *a = arg;
	(void)outcome, (void)result, (void)reason; /* gone it is, one way or another */
	call_reply(a->call, 200, NULL);
	free(a);
}

/* ---- what is asked ---- */

static bool is_type(const struct call *call, const char *type)
{
	struct span given = call->content_type;
	const uint8_t *parameters = memchr(given.at, ';', given.len);
	given.len = parameters != NULL ? (size_t)(parameters - given.at) : given.len;
	return span_equal_nocase(given, span_str(type));
}

/* "?source=": "" leaves it to us. NULL: it is neither. */
static const char *source_of(const struct call *call)
{
	if (call->query.len == 0)
		return "";
	return span_equal(call->query, SPAN("source=tab"))      ? "tab"
	       : span_equal(call->query, SPAN("source=canvas")) ? "canvas"
	                                                        : NULL;
}

static void offer(struct render_live *live, struct call *call)
{
	uint8_t random[RENDER_VIEWER_ID_LEN / 2];
	const char *source = source_of(call);
	bool invites = call->body.len == 0;
	if (source == NULL) {
		call_refuse(call, 400, "an offer has ?source=canvas, ?source=tab or nothing");
		return;
	}
	if (!is_type(call, "application/sdp") && !(invites && call->content_type.len == 0)) {
		call_refuse(call, 415, "an offer is application/sdp");
		return;
	}
	if (live->viewers_count >= live->all->settings->newest->sessions_viewers) {
		call_header(call, "retry-after", "10");
		call_refuse(call, 503, "as many look as sessions.viewers lets");
		return;
	}
	struct render_viewer *viewer = &live->viewers[live->viewers_count++];
	*viewer = (struct render_viewer){.connected = false};
	if (call->principal.len == OWNER_DIGEST_LEN)
		memcpy(viewer->principal, call->principal.at, OWNER_DIGEST_LEN);
	clock_random(random, sizeof random);
	hex_print(random, sizeof random, viewer->id);
	struct whep_asking *a = asking(live, call, viewer->id);
	int fps = (int)live->paper->order.fps;
	const char *device = session_sound(live->browser) != NULL ? SOUND_DEVICE : NULL;
	json_t *ice = live->all->ice.list;
	json_t *arguments = invites ? json_pack("[s, O, i, s, s?, i]", a->viewer, ice, fps, source,
	                                        device, INVITED_MS)
	                            : json_pack("[s, O, o, i, s, s?]", a->viewer, ice,
	                                        literal(call->body), fps, source, device);
	if (arguments == NULL)
		arguments = json_array(); /* no UTF-8: the script finds no SDP in it */
	say_state(live);
	ask(live, a, invites ? "invite" : "offer", arguments, OFFER_MS, on_answer);
}

/* To our offer. */
static void answer(struct render_live *live, struct call *call, const struct render_viewer *viewer)
{
	json_t *arguments = json_pack("[s, o, i]", viewer->id, literal(call->body),
	                              (int)live->paper->order.fps);
	if (arguments == NULL)
		call_refuse(call, 400, "the body is not UTF-8");
	else
		ask(live, asking(live, call, viewer->id), "answer", arguments, OFFER_MS,
		    on_changed);
}

/* Candidates, or an ICE restart: the credentials tell which. Clients that never read the ETag may
 * send candidates without a condition, because those cannot be mistaken for others'. */
static void change(struct render_live *live, struct call *call, const struct render_viewer *viewer)
{
	char etag[ETAG_ROOM];
	bool conditional = call->if_match.len > 0;
	if (is_type(call, "application/sdp")) {
		answer(live, call, viewer);
		return;
	}
	if (!is_type(call, fragment_type)) {
		call_refuse(
		        call, 415,
		        "a change is application/trickle-ice-sdpfrag, an answer application/sdp");
		return;
	}
	if (conditional && !span_equal(call->if_match, span_str("*")) &&
	    !span_equal(call->if_match, span_str("\"*\"")) &&
	    !span_equal(call->if_match, span_str(etag_of(viewer, etag)))) {
		call_refuse(call, 412,
		            "ICE was restarted since; this is not the ETag of what is now");
		return;
	}
	json_t *arguments =
	        json_pack("[s, o, b]", viewer->id, literal(call->body), (int)conditional);
	if (arguments == NULL) {
		call_refuse(call, 400, "the body is not UTF-8");
		return;
	}
	ask(live, asking(live, call, viewer->id), "change", arguments, OFFER_MS, on_changed);
}

static void on_paced(void *arg, enum devtools_outcome outcome, const json_t *result,
                     const char *reason)
{
	(void)arg, (void)result;
	if (outcome != DEVTOOLS_OK)
		log_info("rate not changed now", "reason=\"%s\"", reason);
}

void render_whep_pace(struct render_live *live)
{
	char expression[64];
	if (live->viewers_count == 0 || live->browser == NULL ||
	    session_state(live->browser) != SESSION_LIVE)
		return;
	snprintf(expression, sizeof expression, "globalThis.ringsideWhep.pace(%u)",
	         (unsigned)live->paper->order.fps);
	session_evaluate(live->browser, SESSION_WORLD_OWN, expression, true, SMALL_MS, on_paced,
	                 NULL);
}

/* Whoever may look at another's session changes his own viewing, and nobody else's. */
static bool is_his(const struct render_live *live, const struct call *call,
                   const struct render_viewer *viewer)
{
	return *viewer->principal == '\0' ||
	       owner_is(span_str(viewer->principal), call->principal, call->former) ||
	       render_session_is_of(live->paper, live->all->settings->newest, call->principal,
	                            call->former);
}

void render_whep_call(struct render_live *live, struct call *call, struct span rest)
{
	static const struct span prefix = {(const uint8_t *)"/whep/", 6};
	bool there = live->browser != NULL && session_state(live->browser) == SESSION_LIVE;
	struct render_viewer *viewer =
	        rest.len > prefix.len
	                ? viewer_find(live, span_of(rest.at + prefix.len, rest.len - prefix.len))
	                : NULL;
	if (rest.len > prefix.len && (viewer == NULL || !is_his(live, call, viewer))) {
		call_refuse(call, 404, "no such viewer");
	} else if (viewer == NULL ? call->method != CALL_POST
	                          : call->method != CALL_PATCH && call->method != CALL_DELETE) {
		call_refuse_method(call,
		                   viewer == NULL ? CALL_METHOD(POST)
		                                  : CALL_METHOD(PATCH) | CALL_METHOD(DELETE),
		                   "this method is not for this path");
	} else if (!render_within(&live->negotiations,
	                          live->all->settings->newest->sessions_negotiations, call,
	                          "more than sessions.negotiations within a second")) {
		return;
	} else if (!there) {
		call_header(call, "retry-after", "2");
		call_refuse(call, 409, "the page is not there at the moment");
	} else if (viewer == NULL) {
		offer(live, call);
	} else if (call->method == CALL_PATCH) {
		change(live, call, viewer);
	} else {
		struct whep_asking *a = asking(live, call, viewer->id);
		viewer_remove(live, span_str(a->viewer));
		ask(live, a, "drop", json_pack("[s]", a->viewer), SMALL_MS, on_dropped);
	}
}
