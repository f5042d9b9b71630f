/* What of an HTTP request an SSE worker forwards to the worker that answers it, and where to: a row
 * for both ends. */
#pragma once

/* Headers. The SSE worker parses them, lets pages of other origins send them, refuses with 400 what
 * is longer than `max` bytes, and the worker that answers finds them in struct call.
 *
 *   W(X, member, NAME, title, max)   X: whatever the user of the list needs, often another macro */
#define FORWARDED_HEADERS(W, X)                                                                    \
	W(X, authorization, AUTHORIZATION, "authorization", 4096)                                  \
	W(X, idempotency_key, IDEMPOTENCY_KEY, "idempotency-key", 256)                             \
	W(X, content_type, CONTENT_TYPE, "content-type", 256)                                      \
	W(X, if_match, IF_MATCH, "if-match", 256)

/* Routes that are answered elsewhere as they come, by role.
 *
 *   R(path, methods, read, write, body_bytes_max, handler)
 *
 * `path`: exact, or a prefix when it ends with '/'; the first that fits is taken. `methods`: of
 * M(NAME). `read`, `write`: which verb is asked for (common/domain/rights.h), by GET and HEAD, and
 * by the others; NONE: none, or who answers judges. `handler`: void handler(struct call *), of the
 * worker that answers. */
#define FORWARDED_TO_BRIDGE(R, M)                                                                  \
	R("/v1/source/schemas", M(GET), NONE, NONE, 1024, feeds_on_call)                           \
	R("/v1/source/schemas/", M(GET), NONE, NONE, 1024, feeds_on_call)                          \
	R("/v1/source/", M(GET) | M(POST), POST, POST, 256 << 10, feeds_on_call)                   \
	R("/v1/duels", M(GET) | M(HEAD), READ, NONE, 4096, feeds_on_duels_call)                    \
	/* Operators abort by POST /v1/duels/FEED/abort {reason, duelId?}. */                      \
	R("/v1/duels/", M(GET) | M(HEAD) | M(POST), READ, NONE, 4096, feeds_on_duels_call)         \
	R("/v1/markets", M(GET) | M(HEAD), READ, NONE, 4096, book_on_market_call)                  \
	/* The bridge judges who bets (their account's secret) and who decides (operators). */     \
	R("/v1/markets/", M(GET) | M(HEAD) | M(POST), READ, NONE, 4096, book_on_market_call)       \
	R("/v1/ledger/", M(GET) | M(HEAD) | M(POST), NONE, NONE, 4096, book_on_ledger_call)        \
	R("/v1/oracle/", M(GET) | M(HEAD), NONE, NONE, 1024, book_on_oracle_call)

#define FORWARDED_TO_CAPTURE(R, M)                                                                 \
	R("/v1/outputs", M(GET), OPERATE, OPERATE, 1024, output_calls_on_list)                     \
	R("/v1/outputs/", M(GET) | M(PUT) | M(PATCH) | M(DELETE), OPERATE, OPERATE, 4096,          \
	  output_calls_on_one)
