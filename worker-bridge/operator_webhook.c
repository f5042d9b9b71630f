#include "worker-bridge/operator_webhook.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/json_take.h"
#include "common/base/signing.h"
#include "common/domain/subscription.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct operator_webhook {
	struct market_operator operator; /* first */
	struct http_posts *posts;
	struct store *store;
	const struct settings_source *settings;
};

struct step_call {
	struct operator_webhook *operator;
	const struct operator_step *step;
	struct operator_done done;
};

/* 408, 425, 429 and 5xx pass with time; any other refusal will be the same tomorrow. 500 may come
 * from behind the effect, and so may 408. */
static enum operator_outcome judge(const struct http_post_answer *answer, char text[160])
{
	unsigned status = answer->status;
	*text = '\0';
	if (status >= 200 && status < 300)
		return OPERATOR_DONE;
	if (status == 0) {
		snprintf(text, 160, "%s: %.120s",
		         answer->sent ? "no answer, outcome unknown" : "not sent", answer->error);
		return answer->sent ? OPERATOR_UNKNOWN : OPERATOR_AGAIN;
	}
	snprintf(text, 160, "answered %u", status);
	if (status >= 500 || status == 408)
		return OPERATOR_UNKNOWN;
	return status == 425 || status == 429 ? OPERATOR_AGAIN : OPERATOR_FINAL;
}

static void finish(struct step_call *call, const struct operator_answer *answer)
{
	call->done.call(call->done.arg, answer);
	free(call);
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	char text[160];
	enum operator_outcome outcome = judge(answer, text);
	finish(arg, &(struct operator_answer){.outcome = outcome,
	                                      .error = text,
	                                      .retry_after_ms = answer->retry_after_ms});
}

/* What concerns the receiver. */
static char *body_of(const struct market *m, enum market_step step)
{
	static const char *const inner[] = {
	        "operator", "step",    "entered",     "attempts", "attemptedAt", "nextAttemptAt",
	        "error",    "unknown", "settledBets", "paid",     "bets",        "poolA",
	        "poolB",    "feePpm",  "stepPart",    "notBefore"};
	json_t *record = market_record(m);
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		json_object_del(record, inner[i]);
	if (step == MARKET_STEP_RESOLVE || step == MARKET_STEP_CANCEL) {
		const char *reason, *payout = market_payout(m, &reason);
		json_object_set_new(record, "payout",
		                    payout != NULL ? json_string(payout) : json_null());
		json_object_set_new(record, "payoutReason",
		                    *reason != '\0' ? json_string(reason) : json_null());
	}
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
	struct operator_webhook *self = call->operator;
	struct span seed = {0}, text = body != NULL ? span_str(body) : SPAN("");
	state_kv_get(store_view(self->store), span_str(SUBSCRIPTION_SIGNING_KEY), &seed);
	bool sign = seed.len != 0 && signing_header(seed, clock_wall_ms() / 1000, text, signature);
	const struct http_post post = {.url = url,
	                               .reach = address_reach_of_own(url),
	                               .body = text,
	                               .get = body == NULL,
	                               .signature = sign ? signature : NULL,
	                               .headers = headers,
	                               .status_only = body != NULL,
	                               .once = body != NULL,
	                               .timeout_ms =
	                                       self->settings->newest->market_webhook_timeout_ms};
	http_posts_send(self->posts, &post, on, call);
}

static struct step_call *call_create(struct market_operator *self, const struct operator_step *step,
                                     struct operator_done done)
{
	struct step_call *call = xcalloc(1, sizeof *call);
	*call = (struct step_call){(struct operator_webhook *)self, step, done};
	return call;
}

static void send_step(struct market_operator *self, const struct operator_step *step,
                      struct operator_done done)
{
	char key[160], fence[64];
	struct step_call *call = call_create(self, step, done);
	char *body = body_of(&step->market, step->step);
	snprintf(key, sizeof key, "Idempotency-Key: %s:%s", step->market.duel_id,
	         market_step_name(step->step));
	snprintf(fence, sizeof fence, "Ringside-Fence: %" PRIu64, step->fence);
	const char *const headers[] = {key, fence, NULL};
	send_to(call, call->operator->settings->newest->market_webhook_url, body, headers,
	        on_answer);
	free(body);
}

enum operator_outcome operator_webhook_judge(const struct market *m, enum market_step step,
                                             struct span view)
{
	json_t *o = json_take(view, JSON_REJECT_DUPLICATES, NULL, NULL);
	const char *state = json_string_value(json_object_get(o, "state"));
	const char *side = json_string_value(json_object_get(o, "winnerSide"));
	enum operator_outcome result = OPERATOR_AGAIN;
	bool resolved = state != NULL && strcmp(state, "resolved") == 0;
	bool cancelled = state != NULL && strcmp(state, "cancelled") == 0;
	bool locked = state != NULL && strcmp(state, "locked") == 0;
	if (resolved)
		result = step == MARKET_STEP_RESOLVE && side != NULL && strcmp(side, m->side) == 0
		                 ? OPERATOR_DONE
		                 : OPERATOR_FINAL;
	else if (cancelled)
		result = step == MARKET_STEP_CANCEL ? OPERATOR_DONE : OPERATOR_FINAL;
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
	char text[160];
	enum operator_outcome outcome = judge(answer, text);
	if (answer->retry_after_ms != 0 &&
	    (outcome == OPERATOR_AGAIN || outcome == OPERATOR_UNKNOWN)) {
		finish(call, &(struct operator_answer){.outcome = OPERATOR_UNKNOWN,
		                                       .error = text,
		                                       .retry_after_ms = answer->retry_after_ms});
		return;
	}
	outcome = answer->status == 200 ? operator_webhook_judge(&call->step->market,
	                                                         call->step->step, answer->body)
	                                : OPERATOR_AGAIN;
	finish(call, &(struct operator_answer){.outcome = outcome,
	                                       .error = outcome == OPERATOR_FINAL
	                                                        ? "the receiver says that it ended "
	                                                          "otherwise"
	                                                        : ""});
}

static void read_view(struct market_operator *self, const struct operator_step *step,
                      struct operator_done done)
{
	struct step_call *call = call_create(self, step, done);
	const char *base = call->operator->settings->newest->market_webhook_url;
	const char *const headers[] = {NULL};
	char url[2048 + 128];
	snprintf(url, sizeof url, "%s%sduel=%s", base, strchr(base, '?') != NULL ? "&" : "?",
	         step->market.duel_id);
	send_to(call, url, NULL, headers, on_view);
}

struct market_operator *operator_webhook_create(uv_loop_t *loop, struct store *store,
                                                const struct settings_source *settings)
{
	struct operator_webhook *webhook = xcalloc(1, sizeof *webhook);
	webhook->operator=(struct market_operator){
	        .name = "webhook", .can = OPERATOR_ALL_STEPS, .read = read_view, .send = send_step};
	webhook->posts = http_posts_create(loop, settings->newest->tls_ca_file);
	webhook->store = store;
	webhook->settings = settings;
	return &webhook->operator;
}
