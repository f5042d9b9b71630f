#include "worker-bridge/webhook.h"
#include "common/base/address.h"
#include "common/base/check.h"
#include "common/base/http_post.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/domain/webhook_url.h"

#include <jansson.h>
#include <stdlib.h>

struct webhooks {
	struct http_posts *posts;
	const struct settings_source *settings;
};

struct delivery {
	char url[ADDRESS_URL_SHOWN_ROOM]; /* as it may be logged */
	void (*done)(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms);
	void *arg;
};

static enum webhook_outcome judge(const struct delivery *d, const struct http_post_answer *answer)
{
	if (answer->status < 200 || answer->status >= 300) {
		log_warn("webhook failed", "url=%s status=%u error=\"%s\"", d->url, answer->status,
		         answer->error);
		return WEBHOOK_FAILED;
	}
	json_t *body = json_take(answer->body, 0, NULL, NULL);
	bool done = json_is_true(json_object_get(body, "done"));
	json_decref(body);
	return done ? WEBHOOK_DONE : WEBHOOK_ACCEPTED;
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	struct delivery *d = arg;
	enum webhook_outcome outcome = judge(d, answer);
	d->done(d->arg, outcome, answer->retry_after_ms);
	free(d);
}

bool webhooks_send(struct webhooks *w, const char *url, struct span body, const char *signature,
                   void (*done)(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms),
                   void *arg)
{
	if (webhooks_in_flight(w) >= w->settings->newest->webhook_parallel)
		return false;
	struct delivery *d = xcalloc(1, sizeof *d);
	*d = (struct delivery){.done = done, .arg = arg};
	address_url_shown(url, d->url);
	http_posts_send(w->posts,
	                &(struct http_post){.url = url,
	                                    .body = body,
	                                    .signature = signature,
	                                    .once = true, /* an attempt is one POST */
	                                    .timeout_ms = w->settings->newest->webhook_timeout_ms,
	                                    .reach = webhook_url_reach(
	                                            url, w->settings->newest->webhook_allow_private,
	                                            w->settings->newest->dev),
	                                    .never_public = strncmp(url, "http://", 7) == 0},
	                on_answer, d);
	return true;
}

size_t webhooks_in_flight(const struct webhooks *webhooks)
{
	return http_posts_in_flight(webhooks->posts);
}

struct webhooks *webhooks_create(uv_loop_t *loop, const struct settings_source *settings)
{
	struct webhooks *w = xcalloc(1, sizeof *w);
	*w = (struct webhooks){.posts = http_posts_create(loop, settings->newest->tls_ca_file),
	                       .settings = settings};
	return w;
}
