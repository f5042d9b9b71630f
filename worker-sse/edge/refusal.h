/* Why somebody may not: what is answered, in one place. */
#pragma once

#include "common/domain/rights.h"

/* R(NAME, status, error, what is said)
 *
 * `error`: RFC 6750 3.1, in WWW-Authenticate; "": the client is told only that credentials are
 * needed. PENDING: it will be known in a moment whether it is good, and a request waits for that
 * before it is admitted. 401: a better credential would help; 403: it is known who asks, and he may
 * not; 503: nothing is configured by which anybody might, and it is said which setting is missing,
 * or an issuer's keys are not to be had. */
#define REFUSALS(R)                                                                                \
	R(MISSING, 401, "", "a Bearer token is needed")                                            \
	R(MALFORMED, 401, "invalid_token", "a Bearer token is needed")                             \
	R(UNKNOWN, 401, "invalid_token", "this token is not known here")                           \
	R(EXPIRED, 401, "invalid_token", "this token has expired")                                 \
	R(REVOKED, 401, "invalid_token", "this token is good no longer")                           \
	R(PASS, 401, "invalid_token", "this cookie or ticket is not good here")                    \
	R(UNAVAILABLE, 503, "", "what this cookie or ticket is judged by cannot be read yet")      \
	R(INVALID, 401, "invalid_token", "this token is no good")                                  \
	R(PENDING, 503, "", "the keys of this token's issuer are being fetched")                   \
	R(NO_KEYS, 503, "", "the keys of this token's issuer are not to be had at the moment")     \
	R(FORBIDDEN, 403, "insufficient_scope", "this token may not do that")                      \
	R(LIVE, 403, "insufficient_scope",                                                         \
	  "this is a feed as it happens, which takes the right frames on it; spectators have "     \
	  "/v1/feeds/FEED/spectator, of its streams feeds/FEED/spectator/..., and as video "       \
	  "/v1/hls/FEED")                                                                          \
	R(UNCONFIGURED, 503, "", "")

#define REFUSAL_ENUM(NAME, ...) REFUSAL_##NAME,
enum refusal { REFUSAL_NONE, REFUSALS(REFUSAL_ENUM) REFUSAL_COUNT };
#undef REFUSAL_ENUM

/* 0 of REFUSAL_NONE. */
unsigned refusal_status(enum refusal refusal);
/* "" when there is none. */
const char *refusal_error(enum refusal refusal);
/* For people. `path`, of what was asked for, says which setting is missing. */
const char *refusal_reason(enum refusal refusal, enum verb verb, struct span path);
