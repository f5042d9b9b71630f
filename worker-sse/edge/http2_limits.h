/* How much of what costs it nothing a connection of HTTP/2 has done (proto/http2_limits.h, RFC 9113
 * 10.5). Pure: the time is the caller's. Zero-initialised. */
#pragma once

#include "common/base/counters.h"
#include "common/base/settings.h"

#define HTTP2_LIMIT_ENUM(NAME, ...) HTTP2_##NAME,
enum http2_limit { HTTP2_LIMITS(HTTP2_LIMIT_ENUM) HTTP2_LIMIT_COUNT };
#undef HTTP2_LIMIT_ENUM

struct http2_limits {
	uint64_t began_ms; /* the present window */
	uint32_t counts[HTTP2_LIMIT_COUNT];
};

/* One more at `now_ms` (monotonic). False: too many within HTTP2_WINDOW_MS. */
bool http2_limits_take(struct http2_limits *limits, const struct settings *settings,
                       enum http2_limit limit, uint64_t now_ms);
/* What was done pays for so many. */
void http2_limits_give(struct http2_limits *limits, enum http2_limit limit, uint32_t count);

/* The setting's name, as the client is told. */
const char *http2_limit_key(enum http2_limit limit);
/* A connection ended because of it. */
void http2_limit_count(struct counters_slot *counters, enum http2_limit limit);
