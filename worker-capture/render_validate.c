/* Render sessions: may this client? Asked of a server of whoever runs the suite
 * (sessions.validate_url). */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/base/signing.h"
#include "common/domain/subscription.h"
#include "worker-capture/render_parts.h"

#include <stdio.h>
#include <stdlib.h>

struct asking {
	struct call *call;
	void (*then)(struct call *call, const json_t *caller);
	void (*refused)(struct call *call);
};

/* A text of somebody else's as one line of ours. */
static void copy_line(char out[200], const char *text)
{
	snprintf(out, 200, "%s", text);
	for (char *at = out; *at != '\0'; at++)
		*at = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
}

/* What a refusal may be called; everything else is 403. */
static bool refusal(json_int_t status)
{
	static const unsigned known[] = {401, 402, 403, 404, 409, 410, 422, 429};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (status == known[i])
			return true;
	return false;
}

static void refuse(struct asking *a, const json_t *said, unsigned http_status)
{
	char line[200];
	json_int_t status = json_integer_value(json_object_get(said, "status"));
	const char *error = json_string_value(json_object_get(said, "error"));
	if (!refusal(status))
		status = refusal(http_status) ? http_status : 403;
	copy_line(line, error != NULL ? error : "not for you");
	a->refused(a->call);
	call_refuse(a->call, (unsigned)status, line);
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	struct asking *a = arg;
	json_t *said = json_take(answer->body, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL, NULL);
	bool spoke = answer->status >= 200 && answer->status < 300 && json_is_object(said);
	if (spoke && json_is_true(json_object_get(said, "authorized"))) {
		a->then(a->call, json_object_get(said, "callerContext"));
	} else if (spoke || (answer->status >= 400 && answer->status < 500)) {
		refuse(a, said, answer->status);
	} else {
		/* Nobody is let in because the one who decides is not there. */
		log_warn("validation failed", "status=%u error=\"%s\"", answer->status,
		         answer->error);
		a->refused(a->call);
		call_header(a->call, "retry-after", "5");
		call_refuse(a->call, 503, "validation is not to be had at the moment");
	}
	json_decref(said);
	free(a);
}

void render_validate(struct render_sessions *all, struct call *call, json_t *question,
                     void (*then)(struct call *call, const json_t *caller),
                     void (*refused)(struct call *call))
{
	char signature[256] = "";
	struct span seed = {0};
	struct asking *a = xcalloc(1, sizeof *a);
	*a = (struct asking){.call = call, .then = then, .refused = refused};
	while (store_advance(all->capture->store, 0)) {
	}
	json_object_set_new(question, "authorization",
	                    call->authorization.len > 0
	                            ? json_stringn((const char *)call->authorization.at,
	                                           call->authorization.len)
	                            : json_null());
	char *text = json_dumps(question, JSON_COMPACT);
	check(text != NULL);
	json_decref(question);
	if (state_kv_get(store_view(all->capture->store), SPAN(SUBSCRIPTION_SIGNING_KEY), &seed) &&
	    signing_header(seed, clock_wall_ms() / 1000, span_str(text), signature)) {
		http_posts_send(
		        all->posts,
		        &(struct http_post){
		                .url = all->settings->newest->sessions_validate_url,
		                .reach = address_reach_of_own(
		                        all->settings->newest->sessions_validate_url),
		                .body = span_str(text),
		                .signature = signature,
		                .timeout_ms = all->settings->newest->sessions_validate_timeout_ms},
		        on_answer, a);
	} else { /* the first moments of a new store; what is not signed is not asked */
		refused(call);
		call_header(call, "retry-after", "1");
		call_refuse(call, 503, "the signing key is being made");
		free(a);
	}
	free(text);
}

bool render_validates(const struct render_sessions *all)
{
	return *all->settings->newest->sessions_validate_url != '\0';
}
