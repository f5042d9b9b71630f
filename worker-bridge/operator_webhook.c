#include "worker-bridge/operator_webhook.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/json_take.h"
#include "common/base/signing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct operator_webhook {
	struct http_posts *posts;
	const struct settings_source *settings;
};

struct step_call {
	struct operator_webhook *operator;
	struct market market;
	enum market_step step;
	uint64_t fence;
	uint8_t seed[64];
	size_t seed_len;
	void (*done)(void *arg, const struct operator_answer *answer);
	void *arg;
};

struct operator_webhook *operator_webhook_create(uv_loop_t *loop,
                                                 const struct settings_source *settings)
{
	struct operator_webhook *webhook = xcalloc(1, sizeof *webhook);
	webhook->posts = http_posts_create(loop, settings->newest->tls_ca_file);
	webhook->settings = settings;
	return webhook;
}

/* 408, 425, 429 and 5xx pass with time; any other refusal will be the same tomorrow. */
static enum operator_result judge(const struct http_post_answer *answer, char text[160])
{
	unsigned status = answer->status;
	if (status >= 200 && status < 300)
		return OPERATOR_DONE;
	if (status == 0) {
		snprintf(text, 160, "%s: %.120s",
		         answer->sent ? "no answer, outcome unknown" : "not sent", answer->error);
		return OPERATOR_RETRY;
	}
	snprintf(text, 160, "answered %u", status);
	return status >= 500 || status == 408 || status == 425 || status == 429 ? OPERATOR_RETRY
	                                                                        : OPERATOR_REFUSED;
}

static void finish(struct step_call *call, const struct operator_answer *answer)
{
	call->done(call->arg, answer);
	free(call);
}

/* 500 may come from behind the effect. */
static void on_answer(void *arg, const struct http_post_answer *answer)
{
	char text[160] = "";
	enum operator_result result = judge(answer, text);
	bool known =
	        answer->status == 0 ? !answer->sent : answer->status < 500 && answer->status != 408;
	finish(arg, &(struct operator_answer){result, known, text, answer->retry_after_ms});
}

/* What concerns the receiver. */
static char *body_of(const struct market *m, enum market_step step)
{
	static const char *const inner[] = {"operator",    "step",          "entered", "attempts",
	                                    "attemptedAt", "nextAttemptAt", "error",   "unknown",
	                                    "settledBets", "paid",          "bets",    "poolA",
	                                    "poolB",       "feePpm"};
	json_t *record = market_record(m);
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		json_object_del(record, inner[i]);
	json_t *body = json_pack("{s:s,s:o}", "step", market_step_name(step), "market", record);
	char *text = json_dumps(body, JSON_COMPACT);
	check(text != NULL);
	json_decref(body);
	return text;
}

static void send_to(struct step_call *call, const char *url, const char *body,
                    const char *const *headers,
                    void (*on)(void *arg, const struct http_post_answer *answer))
{
	char signature[256];
	struct span seed = span_of(call->seed, call->seed_len),
	            text = body != NULL ? span_str(body) : SPAN("");
	bool sign = seed.len != 0 && signing_header(seed, clock_wall_ms() / 1000, text, signature);
	const struct settings *settings = call->operator->settings->newest;
	const struct http_post post = {.url = url,
	                               .reach = address_reach_of_own(url),
	                               .body = text,
	                               .get = body == NULL,
	                               .signature = sign ? signature : NULL,
	                               .headers = headers,
	                               .status_only = body != NULL,
	                               .once = body != NULL,
	                               .timeout_ms = settings->market_webhook_timeout_ms};
	http_posts_send(call->operator->posts, &post, on, call);
}

static void post(struct step_call *call)
{
	char key[160], fence[64];
	char *body = body_of(&call->market, call->step);
	snprintf(key, sizeof key, "Idempotency-Key: %s:%s", call->market.duel_id,
	         market_step_name(call->step));
	snprintf(fence, sizeof fence, "Ringside-Fence: %" PRIu64, call->fence);
	const char *const headers[] = {key, fence, NULL};
	send_to(call, call->operator->settings->newest->market_webhook_url, body, headers,
	        on_answer);
	free(body);
}

enum operator_result operator_webhook_judge(const struct market *m, enum market_step step,
                                            struct span view)
{
	json_t *o = json_take(view, JSON_REJECT_DUPLICATES, NULL, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *side = json_string_value(json_object_get(o, "winnerSide"));
	enum operator_result result = OPERATOR_RETRY;
	bool resolved = state != NULL && strcmp(state, "resolved") == 0;
	bool cancelled = state != NULL && strcmp(state, "cancelled") == 0;
	bool locked = state != NULL && strcmp(state, "locked") == 0;
	if (resolved)
		result = step == MARKET_STEP_RESOLVE && side != NULL && strcmp(side, m->side) == 0
		                 ? OPERATOR_DONE
		                 : OPERATOR_REFUSED;
	else if (cancelled)
		result = step == MARKET_STEP_CANCEL ? OPERATOR_DONE : OPERATOR_REFUSED;
	else if (locked && (step == MARKET_STEP_CREATE || step == MARKET_STEP_LOCK))
		result = OPERATOR_DONE;
	else if (state != NULL && strcmp(state, "open") == 0 && step == MARKET_STEP_CREATE)
		result = OPERATOR_DONE;
	json_decref(o);
	return result;
}

/* Any other answer than a view that says something leaves it to the key; but who says when to come
 * back is not called before. */
static void on_view(void *arg, const struct http_post_answer *answer)
{
	struct step_call *call = arg;
	char text[160] = "";
	if (answer->retry_after_ms != 0 && judge(answer, text) == OPERATOR_RETRY) {
		finish(call, &(struct operator_answer){OPERATOR_RETRY, false, text,
		                                       answer->retry_after_ms});
		return;
	}
	enum operator_result result =
	        answer->status == 200
	                ? operator_webhook_judge(&call->market, call->step, answer->body)
	                : OPERATOR_RETRY;
	if (result == OPERATOR_RETRY)
		post(call);
	else
		finish(call,
		       &(struct operator_answer){
		               .result = result,
		               .known = true,
		               .error = result == OPERATOR_DONE
		                                ? ""
		                                : "the receiver says that it ended otherwise"});
}

static void ask(struct step_call *call)
{
	const char *base = call->operator->settings->newest->market_webhook_url;
	const char *const headers[] = {NULL};
	char url[2048 + 128];
	snprintf(url, sizeof url, "%s%sduel=%s", base, strchr(base, '?') != NULL ? "&" : "?",
	         call->market.duel_id);
	send_to(call, url, NULL, headers, on_view);
}

void operator_webhook_call(struct operator_webhook *operator, const struct operator_step * step,
                           void (*done)(void *arg, const struct operator_answer *answer), void *arg)
{
	struct step_call *call = xcalloc(1, sizeof *call);
	*call = (struct step_call){.operator= operator,
	                           .market = * step->market,
	                           .step = step->step,
	                           .fence = step->fence,
	                           .done = done,
	                           .arg = arg};
	if (step->seed.len <= sizeof call->seed) {
		memcpy(call->seed, step->seed.len != 0 ? step->seed.at : call->seed,
		       step->seed.len);
		call->seed_len = step->seed.len;
	}
	(step->doubt ? ask : post)(call);
}
