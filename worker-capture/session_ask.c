/* What is asked of a session's page: commands and expressions. Who asks is answered from the loop,
 * also when there is no page. */
#include "common/base/check.h"
#include "worker-capture/session_parts.h"

#include <stdlib.h>

/* ---- what is owed ---- */

void session_pay_owed(struct sessions *sessions)
{
	struct owed *owed;
	while ((owed = sessions->owed) != NULL) {
		sessions->owed = owed->following;
		owed->on_reply(owed->arg, DEVTOOLS_GONE, NULL, owed->reason);
		free(owed);
	}
}

static void owe(struct sessions *sessions, devtools_on_reply *on_reply, void *arg,
                const char *reason)
{
	if (on_reply == NULL)
		return;
	struct owed *owed = xmalloc(sizeof *owed);
	*owed = (struct owed){on_reply, arg, reason, sessions->owed};
	sessions->owed = owed;
	uv_async_send(&sessions->turn);
}

/* ---- commands ---- */

void session_command(struct session *session, enum devtools_method method, json_t *params,
                     uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	if (session->on != NULL && page_context(session->on->page, PAGE_WORLD_PAGE) != 0) {
		page_command(session->on->page, method, params, timeout_ms, on_reply, arg);
		return;
	}
	json_decref(params);
	owe(session->sessions, on_reply, arg, "there is no page now");
}

/* ---- evaluating ---- */

struct evaluation {
	devtools_on_reply *on_reply;
	void *arg;
};

static void on_evaluated(void *arg, enum devtools_outcome outcome, const json_t *result,
                         const char *reason)
{
	struct evaluation *evaluation = arg, e = *evaluation;
	const json_t *thrown = json_object_get(result, "exceptionDetails");
	const json_t *value = json_object_get(json_object_get(result, "result"), "value");
	free(evaluation);
	if (e.on_reply == NULL)
		return;
	if (outcome != DEVTOOLS_OK) {
		e.on_reply(e.arg, outcome, NULL, reason);
	} else if (thrown != NULL) {
		const char *text = json_string_value(
		        json_object_get(json_object_get(thrown, "exception"), "description"));
		if (text == NULL)
			text = json_string_value(json_object_get(thrown, "text"));
		e.on_reply(e.arg, DEVTOOLS_REFUSED, NULL, text != NULL ? text : "an exception");
	} else {
		e.on_reply(e.arg, DEVTOOLS_OK, value != NULL ? value : json_null(), "");
	}
}

void session_evaluate(struct session *session, enum session_world world, const char *expression,
                      bool gesture, uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	enum page_world of_page = world == SESSION_WORLD_OWN ? PAGE_WORLD_OWN : PAGE_WORLD_PAGE;
	int64_t context = session->on != NULL ? page_context(session->on->page, of_page) : 0;
	if (context == 0) {
		owe(session->sessions, on_reply, arg, "there is no page now");
		return;
	}
	json_t *params = json_pack("{s:s, s:b, s:b, s:b}", "expression", expression, "awaitPromise",
	                           1, "returnByValue", 1, "userGesture", (int)gesture);
	check(params != NULL);
	if (context > 0)
		json_object_set_new(params, "contextId", json_integer(context));
	struct evaluation *evaluation = xmalloc(sizeof *evaluation);
	*evaluation = (struct evaluation){on_reply, arg};
	page_command(session->on->page, DEVTOOLS_RUNTIME_EVALUATE, params, timeout_ms, on_evaluated,
	             evaluation);
}
