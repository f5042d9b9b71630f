/* GET of an issuer's keys, for jwks.h: from where auth.jwt_jwks_url says and from nowhere else.
 * Redirects are not followed; https, or http to loopback; to a private address only if the URL
 * names a host that is meant so (address_reach_of_own()). */
#pragma once

#include "common/base/http_post.h"

struct jwks_fetch;

/* `ca_file` is copied. libcurl is not touched before the first fetch. */
struct jwks_fetch *jwks_fetch_create(uv_loop_t *loop, const char *ca_file);
/* As jwks_options.fetch; `context` is the struct jwks_fetch. */
void jwks_fetch(struct jwks_fetch *fetch, const char *url, uint64_t timeout_ms,
                void (*done)(void *arg, const struct http_post_answer *answer), void *arg);
