/* Outputs over HTTP:
 *
 *     GET    /v1/outputs             {"feed":..., "outputs":[...]}
 *     GET    /v1/outputs/NAME
 *     PUT    /v1/outputs/NAME        {"url":"rtmp://...", "paused":false}    201; 200: it is so
 *     PATCH  /v1/outputs/NAME        {"paused":true}
 *     DELETE /v1/outputs/NAME        204
 *
 * 400 a body that is not understood, 404 no output of that name, 409 the name goes elsewhere, or a
 * change of it is under way, 422 not a url, or a file outside capture.output_dir, 503 no picture,
 * too many outputs, or not durable. */
#include "worker-capture/inbox.h"
#include "common/base/check.h"
#include "worker-capture/outputs.h"

#include <stdio.h>
#include <stdlib.h>

static struct capture *capture_of(const struct call *call)
{
	return call->context;
}

void output_calls_on_list(struct call *call)
{
	const struct capture *capture = capture_of(call);
	json_t *all = outputs_describe(capture->outputs);
	call_header(call, "cache-control", "no-store");
	call_reply(call, 200,
	           json_pack("{s:s, s:o}", "feed", capture->worker->settings.newest->feed_default,
	                     "outputs", all));
}

/* ---- answers ---- */

/* What was asked, until it is durable. */
struct waiting {
	struct call *call;
	char name[OUTPUT_NAME_MAX + 1];
};

static void reply_one(struct call *call, unsigned status, const char *name)
{
	json_t *one = outputs_describe_one(capture_of(call)->outputs, name);
	call_header(call, "cache-control", "no-store");
	if (one != NULL)
		call_reply(call, status, one);
	else
		call_refuse(call, 404, "there is no output of that name");
}

static void on_done(void *arg, enum outputs_result result, const char *reason)
{
	struct waiting *waiting = arg;
	struct call *call = waiting->call;
	bool created = call->method == CALL_PUT && result == OUTPUTS_DONE;
	switch (result) {
	case OUTPUTS_DONE:
	case OUTPUTS_UNCHANGED:
		if (call->method == CALL_DELETE)
			call_reply(call, 204, NULL);
		else
			reply_one(call, created ? 201 : 200, waiting->name);
		break;
	case OUTPUTS_TAKEN:
	case OUTPUTS_BUSY:
		call_refuse(call, 409, reason);
		break;
	case OUTPUTS_MISSING:
		call_refuse(call, 404, reason);
		break;
	case OUTPUTS_FULL:
	case OUTPUTS_CLOSED:
	case OUTPUTS_UNSTORED:
		call_refuse(call, 503, reason);
		break;
	}
	free(waiting);
}

static struct outputs_answer answer_to(struct call *call, const char *name)
{
	struct waiting *waiting = xcalloc(1, sizeof *waiting);
	waiting->call = call;
	snprintf(waiting->name, sizeof waiting->name, "%s", name);
	return (struct outputs_answer){on_done, waiting};
}

/* ---- bodies ---- */

/* {"url"?, "paused"?} and nothing else. False: answered; *body is then gone. */
static bool read_body(struct call *call, bool with_url, json_t **body, const char **url,
                      int *paused)
{
	*paused = 0;
	*url = NULL;
	*body = call_json(call);
	if (*body == NULL)
		return false;
	size_t known = 0;
	const json_t *named = json_object_get(*body, "url"),
	             *pauses = json_object_get(*body, "paused");
	const char *fault = NULL;
	if (json_is_string(named) && with_url)
		*url = json_string_value(named);
	known += *url != NULL;
	if (json_is_boolean(pauses))
		*paused = json_is_true(pauses);
	known += json_is_boolean(pauses);
	if (json_object_size(*body) != known)
		fault = with_url ? "the body is {\"url\": text, \"paused\": true or false}"
		                 : "the body is {\"paused\": true or false}";
	else if (with_url ? *url == NULL : pauses == NULL)
		fault = with_url ? "a url is expected" : "\"paused\" is expected";
	if (fault == NULL)
		return true;
	json_decref(*body);
	call_refuse(call, 400, fault);
	return false;
}

/* Why it may not go where it says; NULL: it may, as far as that is known before names are looked
 * up. */
static const char *why_closed(const struct capture *capture, const struct output_target *target)
{
	const struct settings *settings = capture->worker->settings.newest;
	struct address_host host;
	if (!output_target_within(target, settings->capture_output_dir))
		return *settings->capture_output_dir != '\0'
		               ? "files are only written below capture.output_dir"
		               : "files are not written from here: capture.output_dir is empty";
	if (!output_target_sends(target))
		return NULL;
	if (!output_target_host(target, &host))
		return "an output's host is a name or an address, maybe with a port";
	return address_host_allowed(output_reach(settings, target, &host), &host)
	               ? NULL
	               : output_closed_host;
}

static void on_put(struct call *call, const char *name)
{
	const struct capture *capture = capture_of(call);
	const char *url, *closed;
	struct output_target target;
	char reason[256], *text;
	json_t *body;
	int paused;
	if (!read_body(call, true, &body, &url, &paused))
		return;
	check(asprintf(&text, "%s=%s", name, url) > 0);
	bool good = output_target_parse(&target, span_str(text), reason);
	free(text);
	json_decref(body);
	if (!good) {
		call_refuse(call, 422, reason);
	} else if (!call->local && (closed = why_closed(capture, &target)) != NULL) {
		call_refuse(call, 422, closed);
	} else {
		target.own = call->local; /* who may open the admin socket runs the suite */
		const struct outputs_answer answer = answer_to(call, name);
		outputs_add(capture->outputs, &target, paused != 0, &answer);
	}
}

static void on_patch(struct call *call, const char *name)
{
	const char *url;
	json_t *body;
	int paused;
	if (!read_body(call, false, &body, &url, &paused))
		return;
	json_decref(body);
	const struct outputs_answer answer = answer_to(call, name);
	outputs_pause(capture_of(call)->outputs, name, paused != 0, &answer);
}

void output_calls_on_one(struct call *call)
{
	static const size_t prefix = sizeof "/v1/outputs/" - 1;
	char name[OUTPUT_NAME_MAX + 1];
	struct span rest = span_of(call->path.at + prefix, call->path.len - prefix);
	if (rest.len == 0 || rest.len > OUTPUT_NAME_MAX || memchr(rest.at, '/', rest.len) != NULL) {
		call_refuse(call, 404, "there is no output of that name");
		return;
	}
	memcpy(name, rest.at, rest.len);
	name[rest.len] = '\0';
	if (call->method == CALL_GET) {
		reply_one(call, 200, name);
	} else if (call->method == CALL_PUT) {
		on_put(call, name);
	} else if (call->method == CALL_PATCH) {
		on_patch(call, name);
	} else {
		const struct outputs_answer answer = answer_to(call, name);
		outputs_remove(capture_of(call)->outputs, name, &answer);
	}
}
