/* The keys that JSON Web Tokens are checked with: those of auth.jwt_keys, the secret
 * auth.jwt_secret, and those that issuers publish at auth.jwt_jwks_url.
 *
 * What is published is fetched at the start, and again when it has become old: after its
 * Cache-Control's max-age (RFC 9111, 5.2.2.1; less its Age), but not before auth.jwt_refresh_min
 * and not after auth.jwt_refresh_max. A token with a key that is not here has it fetched before its
 * time, once in auth.jwt_unknown_key. A fetch that fails changes nothing: the keys that are here
 * stay, for ever if need be, and it is tried again after a second, two, four, ..., at last every
 * auth.jwt_refresh_min; what a server takes away by publishing others is gone as soon as those are
 * here.
 *
 * Nothing waits within: who asks for a key that may be on its way is told so, and of its coming.
 * Loop thread only. */
#pragma once

#include "common/base/counters.h"
#include "common/base/jwt.h"
#include "common/base/settings.h"
#include "common/base/wheel.h"

struct http_post_answer;
struct jwks;

/* Everything is the caller's and outlives it. */
struct jwks_options {
	struct wheel *wheel; /* with the time of this turn */
	struct counters_slot *counters;
	/* A GET. `done` is called exactly once, and not before it returns. */
	void (*fetch)(void *context, const char *url, uint64_t timeout_ms,
	              void (*done)(void *arg, const struct http_post_answer *answer), void *arg);
	/* Whoever waited may ask again: a fetch has ended, or takes too long to wait for it.
	 * `revoked`: keys are gone, or what is expected of tokens has changed. */
	void (*changed)(void *context, bool revoked);
	void *context;
};

struct jwks *jwks_create(const struct jwks_options *options, const struct settings *settings);
/* After a reload: does not call changed(). Fetched keys stay with their URL. Keeps the snapshot.
 * True: keys are gone, or what is expected of tokens has changed. */
bool jwks_use(struct jwks *jwks, const struct settings *settings);
/* Fetches may still be under way: their end finds nothing. */
void jwks_destroy(struct jwks **jwks);

/* Is any key configured, or a place to fetch some from? */
bool jwks_configured(const struct jwks *jwks);

/* jwt_verify() with what is here; `now_ms`: Unix. *generation: of the key that signed it, as long
 * as the same is expected of tokens: jwks_knows(). */
enum jwt_fault jwks_verify(struct jwks *jwks, struct span token, uint64_t now_ms,
                           struct jwt_claims *claims, uint64_t *generation);
/* auth.jwt_rights_claim; good until the next jwks_use(). */
const char *jwks_rights_claim(const struct jwks *jwks);
/* Does what was signed by that key, and judged when it came, still count? */
bool jwks_knows(const struct jwks *jwks, uint64_t generation);

/* Of a key that is not here: */
enum jwks_hope {
	JWKS_NONE,    /* those who publish some have been asked lately */
	JWKS_SOON,    /* it is being fetched: wait for changed() */
	JWKS_FAILING, /* nobody knows: who should have published it does not answer */
};
/* Begins a fetch if none was for long enough. */
enum jwks_hope jwks_ask(struct jwks *jwks);
