#include "worker-bridge/operator_webhook.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/http_post.h"
#include "common/subscription.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct operator_webhook {
	struct http_posts *posts;
	const struct settings *settings;
};

struct step_call {
	void (*done)(void *arg, enum operator_result result, const char *error);
	void *arg;
};

struct operator_webhook *operator_webhook_create(uv_loop_t *loop, const struct settings *settings)
{
	struct operator_webhook *operator = xcalloc(1, sizeof *operator);
	*operator = (struct operator_webhook){http_posts_create(loop), settings};
	return operator;
}

/* 408, 425, 429 and 5xx pass with time; any other refusal will be the same tomorrow. */
static enum operator_result judge(const struct http_post_answer *answer, char text[160])
{
	unsigned status = answer->status;
	if (status >= 200 && status < 300)
		return OPERATOR_DONE;
	if (status == 0) {
		snprintf(text, 160, "%s: %.120s", answer->sent ? "no answer, outcome unknown" : "not sent",
		         answer->error);
		return OPERATOR_RETRY;
	}
	snprintf(text, 160, "answered %u", status);
	return status >= 500 || status == 408 || status == 425 || status == 429 ? OPERATOR_RETRY
	                                                                         : OPERATOR_REFUSED;
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	struct step_call *call = arg;
	char text[160] = "";
	enum operator_result result = judge(answer, text);
	call->done(call->arg, result, text);
	free(call);
}

/* What concerns the receiver. */
static char *body_of(const struct market *m, enum market_step step)
{
	static const char *const inner[] = {"operator", "step", "entered", "attempts", "nextAttemptAt", "error",
	                                    "settledBets", "paid", "bets", "poolA", "poolB", "feePpm"};
	json_t *record = market_record(m);
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		json_object_del(record, inner[i]);
	json_t *body = json_pack("{s:s,s:o}", "step", market_step_name(step), "market", record);
	char *text = json_dumps(body, JSON_COMPACT);
	check(text != NULL);
	json_decref(body);
	return text;
}

void operator_webhook_call(struct operator_webhook *operator, const struct market *market,
                           enum market_step step, uint64_t fence, struct span seed,
                           void (*done)(void *arg, enum operator_result result, const char *error),
                           void *arg)
{
	char signature[256], key[160], fence_header[64];
	char *body = body_of(market, step);
	struct step_call *call = xcalloc(1, sizeof *call);
	*call = (struct step_call){done, arg};
	snprintf(key, sizeof key, "Idempotency-Key: %s:%s", market->duel_id, market_step_name(step));
	snprintf(fence_header, sizeof fence_header, "Ringside-Fence: %" PRIu64, fence);
	const char *const headers[] = {key, fence_header, NULL};
	bool sign = seed.len != 0 && signing_header(seed, clock_wall_ms() / 1000, span_str(body), signature);
	http_posts_send(operator->posts,
	                &(struct http_post){.url = operator->settings->market_webhook_url,
	                                    .body = span_str(body),
	                                    .signature = sign ? signature : NULL,
	                                    .headers = headers,
	                                    .status_only = true,
	                                    .timeout_ms = operator->settings->market_webhook_timeout_ms},
	                on_answer, call);
	free(body);
}

size_t operator_webhook_in_flight(const struct operator_webhook *operator)
{
	return http_posts_in_flight(operator->posts);
}
