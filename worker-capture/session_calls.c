#include "worker-capture/session_calls.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <stdlib.h>

enum { DESCRIPTION_ROOM = 1024 }; /* what stands around a picture */

static struct sessions *sessions_of(const struct call *call)
{
	return ((const struct capture *)call->context)->sessions;
}

/* ---- which session ---- */

struct choice {
	struct session *only, *feed;
	size_t count;
};

static void consider(void *arg, struct session *session)
{
	struct choice *choice = arg;
	choice->count++;
	choice->only = session;
	if (*session_feed(session) != '\0')
		choice->feed = session;
}

/* NULL: answered. */
static struct session *choose_any(struct call *call)
{
	struct choice choice = {0};
	sessions_each(sessions_of(call), consider, &choice);
	if (choice.feed != NULL)
		return choice.feed;
	if (choice.count == 1)
		return choice.only;
	call_refuse(call, choice.count == 0 ? 404 : 409,
	            choice.count == 0 ? "no session is open"
	                              : "there are several sessions: say which");
	return NULL;
}

/* NULL: answered. */
static struct session *choose(struct call *call, struct span id)
{
	char text[SESSION_ID_MAX + 1] = "";
	if (span_equal(id, SPAN("-")))
		return choose_any(call);
	if (id.len <= SESSION_ID_MAX)
		memcpy(text, id.at, id.len);
	struct session *session = session_find(sessions_of(call), text);
	if (session == NULL)
		call_refuse(call, 404,
		            "there is no such session; 'ringsidectl capture ls' lists them");
	return session;
}

/* ---- what is asked ---- */

static void on_show(struct call *call, struct session *session)
{
	call_reply(call, 200, session_describe(session));
}

static void on_restart(struct call *call, struct session *session)
{
	session_restart(session, "asked for by ringsidectl");
	call_reply(call, 200, session_describe(session));
}

static void on_screenshot(struct call *call, struct session *session)
{
	const struct picture *picture = session_last_picture(session);
	if (picture == NULL) {
		call_refuse(call, 409, "no picture has been taken yet");
		return;
	}
	char *text = base64_text(span_of(picture->bytes, picture->len));
	json_t *json = json_pack("{s:s, s:i, s:i, s:s}", "session", session_id(session), "width",
	                         (int)picture->width, "height", (int)picture->height, "jpeg", text);
	free(text);
	if (json_string_length(json_object_get(json, "jpeg")) >
	    PROTO_MAX_WORKER_ANSWER - DESCRIPTION_ROOM) {
		json_decref(json);
		call_refuse(call, 409, "the picture is larger than an answer may be");
		return;
	}
	call_reply(call, 200, json);
}

static const struct session_call {
	enum call_method method;
	const char *rest; /* behind the id */
	void (*handler)(struct call *call, struct session *session);
} session_calls[] = {
        {CALL_GET, "", on_show},
        {CALL_POST, "/restart", on_restart},
        {CALL_GET, "/screenshot", on_screenshot},
};

static bool refused_from_outside(struct call *call)
{
	if (!call->local)
		call_refuse(call, 404, "nothing here");
	return !call->local;
}

static void add_to(void *arg, struct session *session)
{
	json_array_append_new(arg, session_describe(session));
}

void session_calls_on_list(struct call *call)
{
	if (refused_from_outside(call))
		return;
	json_t *all = json_array();
	sessions_each(sessions_of(call), add_to, all);
	call_reply(call, 200, json_pack("{s:o}", "sessions", all));
}

void session_calls_on_one(struct call *call)
{
	static const size_t prefix = sizeof "/v1/capture/sessions/" - 1;
	if (refused_from_outside(call))
		return;
	struct span at = span_of(call->path.at + prefix, call->path.len - prefix);
	const uint8_t *slash = memchr(at.at, '/', at.len);
	size_t len = slash != NULL ? (size_t)(slash - at.at) : at.len;
	struct span rest = span_of(at.at + len, at.len - len);
	for (size_t i = 0; i < sizeof session_calls / sizeof *session_calls; i++) {
		const struct session_call *row = &session_calls[i];
		if (row->method != call->method || !span_equal(rest, span_str(row->rest)))
			continue;
		struct session *session = choose(call, span_of(at.at, len));
		if (session != NULL)
			row->handler(call, session);
		return;
	}
	call_refuse(call, 404, "nothing here");
}
