#include "worker-sse/edge/jwks_fetch.h"
#include "common/base/check.h"

#include <string.h>

struct jwks_fetch {
	uv_loop_t *loop;
	char *ca_file;
	struct http_posts *posts; /* NULL: nothing was fetched yet */
};

struct jwks_fetch *jwks_fetch_create(uv_loop_t *loop, const char *ca_file)
{
	struct jwks_fetch *fetch = xcalloc(1, sizeof *fetch);
	*fetch = (struct jwks_fetch){.loop = loop,
	                             .ca_file = xmemdup_text(ca_file, strlen(ca_file))};
	return fetch;
}

void jwks_fetch(struct jwks_fetch *fetch, const char *url, uint64_t timeout_ms,
                void (*done)(void *arg, const struct http_post_answer *answer), void *arg)
{
	if (fetch->posts == NULL)
		fetch->posts = http_posts_create(fetch->loop, fetch->ca_file);
	http_posts_send(fetch->posts,
	                &(struct http_post){.url = url,
	                                    .get = true,
	                                    .once = true, /* the next is an hour away */
	                                    .timeout_ms = timeout_ms,
	                                    .reach = address_reach_of_own(url),
	                                    .never_public = strncmp(url, "http://", 7) == 0},
	                done, arg);
}
