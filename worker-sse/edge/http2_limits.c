#include "worker-sse/edge/http2_limits.h"

#include <string.h>

#define LIMIT_ROW(NAME, label, setting, key)                                                       \
	[HTTP2_##NAME] = {key, offsetof(struct settings, setting),                                 \
	                  offsetof(struct counters_slot, calmed_##label)},
static const struct {
	const char *key;
	size_t setting, counter;
} rows[HTTP2_LIMIT_COUNT] = {HTTP2_LIMITS(LIMIT_ROW)};
#undef LIMIT_ROW

static uint64_t most(const struct settings *settings, enum http2_limit limit)
{
	return *(const uint64_t *)(const void *)((const uint8_t *)settings + rows[limit].setting);
}

bool http2_limits_take(struct http2_limits *limits, const struct settings *settings,
                       enum http2_limit limit, uint64_t now_ms)
{
	if (now_ms - limits->began_ms >= HTTP2_WINDOW_MS) {
		memset(limits->counts, 0, sizeof limits->counts);
		limits->began_ms = now_ms;
	}
	return ++limits->counts[limit] <= most(settings, limit);
}

void http2_limits_give(struct http2_limits *limits, enum http2_limit limit, uint32_t count)
{
	uint32_t *counted = &limits->counts[limit];
	*counted -= *counted < count ? *counted : count;
}

const char *http2_limit_key(enum http2_limit limit)
{
	return rows[limit].key;
}

void http2_limit_count(struct counters_slot *counters, enum http2_limit limit)
{
	_Atomic uint64_t *at = (void *)((uint8_t *)counters + rows[limit].counter);
	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}
