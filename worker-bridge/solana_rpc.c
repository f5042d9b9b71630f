#include "worker-bridge/solana_rpc.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "worker-bridge/solana_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct solana_rpc {
	struct http_posts *posts;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct question *first, **end; /* those that wait */
	uint64_t resume_ms;            /* monotonic: the node wants to be left alone until then */
	uv_timer_t timer;
};

struct question {
	struct solana_rpc *rpc;
	enum solana_method method;
	char *body;
	char owner[SOLANA_ADDRESS_ROOM]; /* "": whoever */
	struct solana_rpc_done done;
	struct question *next;
};

/* ---- answers ---- */

static void pump(struct solana_rpc *rpc);

static void tell_silence(struct solana_reply *reply, const struct http_post_answer *answer)
{
	*reply = (struct solana_reply){.fault = answer->status == 429 ? SOLANA_LATER
	                                                              : SOLANA_SILENT};
	if (answer->status == 0)
		snprintf(reply->text, sizeof reply->text, "no answer of the node: %.80s",
		         answer->error);
	else
		snprintf(reply->text, sizeof reply->text, "the node answers %u", answer->status);
}

/* Who says when to come back is asked nothing before, whatever is to be asked. */
static void pause_for(struct solana_rpc *rpc, uint64_t retry_after_ms)
{
	uint64_t longest_ms = rpc->settings->newest->market_retry_after_max_ms,
	         until_ms = clock_monotonic_ms() +
	                    (retry_after_ms < longest_ms ? retry_after_ms : longest_ms);
	if (until_ms > rpc->resume_ms)
		rpc->resume_ms = until_ms;
}

static void on_answer(void *arg, const struct http_post_answer *http)
{
	struct question *q = arg;
	struct solana_rpc *rpc = q->rpc;
	static struct solana_answer answer; /* large, and used until `done` returns */
	solana_answer_read(q->method, *q->owner != '\0' ? q->owner : NULL, http->body, &answer);
	/* Some say with another status what the body says better. */
	if (http->status != 200 && (http->status == 429 || answer.reply.fault == SOLANA_SILENT ||
	                            answer.reply.fault == SOLANA_OK))
		tell_silence(&answer.reply, http);
	if (http->status == 429 || http->status == 503)
		pause_for(rpc, http->retry_after_ms);
	if (answer.reply.fault == SOLANA_SILENT || answer.reply.fault == SOLANA_LATER)
		counter_add(rpc->counters, solana_unanswered_total, 1);
	q->done.call(q->done.arg, &answer.reply);
	free(q->body);
	free(q);
	pump(rpc);
}

/* ---- questions ---- */

static void ask(struct solana_rpc *rpc, struct question *q)
{
	const struct settings *s = rpc->settings->newest;
	counter_add(rpc->counters, solana_asked_total, 1);
	if (q->method == SOLANA_METHOD_SEND)
		counter_add(rpc->counters, solana_sent_total, 1);
	http_posts_send(rpc->posts,
	                &(struct http_post){.url = s->solana_rpc_url,
	                                    .reach = address_reach_of_own(s->solana_rpc_url),
	                                    .body = span_str(q->body),
	                                    .timeout_ms = s->solana_timeout_ms},
	                on_answer, q);
}

static void on_timer(uv_timer_t *timer)
{
	pump(timer->data);
}

static void pump(struct solana_rpc *rpc)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (rpc->first == NULL)
		return;
	if (now_ms < rpc->resume_ms) {
		uv_timer_start(&rpc->timer, on_timer, rpc->resume_ms - now_ms, 0);
		return;
	}
	while (rpc->first != NULL &&
	       http_posts_in_flight(rpc->posts) < rpc->settings->newest->solana_parallel) {
		struct question *q = rpc->first;
		rpc->first = q->next;
		if (rpc->first == NULL)
			rpc->end = &rpc->first;
		ask(rpc, q);
	}
}

struct kind {
	enum solana_method method;
	const char *name;
	const struct solana_address *owner; /* of an account; NULL: whoever */
};

static void __attribute__((format(printf, 4, 5)))
add(struct solana_rpc *rpc, const struct kind *kind, struct solana_rpc_done done,
    const char *format, ...)
{
	struct question *q = xcalloc(1, sizeof *q);
	char *params = NULL;
	va_list arguments;
	va_start(arguments, format);
	check(vasprintf(&params, format, arguments) >= 0);
	va_end(arguments);
	*q = (struct question){.rpc = rpc, .method = kind->method, .done = done};
	if (kind->owner != NULL)
		solana_address_print(kind->owner, q->owner);
	check(asprintf(&q->body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
	               kind->name, params) >= 0);
	free(params);
	*rpc->end = q;
	rpc->end = &q->next;
	pump(rpc);
}

void solana_rpc_account(struct solana_rpc *rpc, const struct solana_address *address,
                        const struct solana_address *owner, enum solana_level level,
                        struct solana_rpc_done done)
{
	char text[SOLANA_ADDRESS_ROOM];
	solana_address_print(address, text);
	add(rpc, &(struct kind){SOLANA_METHOD_ACCOUNT, "getAccountInfo", owner}, done,
	    "[\"%s\",{\"encoding\":\"base64\",\"commitment\":\"%s\"}]", text,
	    solana_level_name(level));
}

void solana_rpc_blockhash(struct solana_rpc *rpc, struct solana_rpc_done done)
{
	add(rpc, &(struct kind){.method = SOLANA_METHOD_BLOCKHASH, .name = "getLatestBlockhash"},
	    done, "[{\"commitment\":\"confirmed\"}]");
}

void solana_rpc_height(struct solana_rpc *rpc, struct solana_rpc_done done)
{
	add(rpc, &(struct kind){.method = SOLANA_METHOD_HEIGHT, .name = "getBlockHeight"}, done,
	    "[{\"commitment\":\"finalized\"}]");
}

/* The node is to send it once: when to send again is decided here. */
void solana_rpc_send(struct solana_rpc *rpc, const char *transaction, struct solana_rpc_done done)
{
	add(rpc, &(struct kind){.method = SOLANA_METHOD_SEND, .name = "sendTransaction"}, done,
	    "[\"%s\",{\"encoding\":\"base64\",\"preflightCommitment\":\"confirmed\","
	    "\"maxRetries\":0}]",
	    transaction);
}

void solana_rpc_status(struct solana_rpc *rpc, const char *signature, struct solana_rpc_done done)
{
	add(rpc, &(struct kind){.method = SOLANA_METHOD_STATUS, .name = "getSignatureStatuses"},
	    done, "[[\"%s\"],{\"searchTransactionHistory\":true}]", signature);
}

void solana_rpc_balance(struct solana_rpc *rpc, const struct solana_address *address,
                        struct solana_rpc_done done)
{
	char text[SOLANA_ADDRESS_ROOM];
	solana_address_print(address, text);
	add(rpc, &(struct kind){.method = SOLANA_METHOD_BALANCE, .name = "getBalance"}, done,
	    "[\"%s\",{\"commitment\":\"confirmed\"}]", text);
}

struct solana_rpc *solana_rpc_create(uv_loop_t *loop, const struct settings_source *settings,
                                     struct counters_slot *counters)
{
	struct solana_rpc *rpc = xcalloc(1, sizeof *rpc);
	*rpc = (struct solana_rpc){.posts = http_posts_create(loop, settings->newest->tls_ca_file),
	                           .settings = settings,
	                           .counters = counters};
	rpc->end = &rpc->first;
	uv_timer_init(loop, &rpc->timer);
	rpc->timer.data = rpc;
	return rpc;
}
