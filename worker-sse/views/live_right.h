/* Who sees a feed as it happens, and who later.
 *
 * Betting services and the page that is captured have a right of their own to that: `frames` on
 * /v1/feeds/FEED. All others are spectators, for whom everything about a feed is at least
 * feeds.spectator_delay late. Under dev there is nobody but the house. What is refused for that is
 * refused where rights are judged (common/domain/live_path.h); here is what answers otherwise. */
#pragma once

#include "worker-sse/edge/request.h"

enum { LIVE_RIGHT_FEED_MAX = 64 };

/* May who asks see this feed as it happens? */
bool live_right_has(const struct request *request, struct span feed);

/* Of a path that is answered later to whoever sees feeds later (rights_live_later()): may who asks
 * see it as it is? True of all others. */
bool live_right_to_path(const struct request *request);

/* Up to when he may know of it, Unix ms: now, or that less the delay. */
uint64_t live_right_until_ms(const struct request *request, struct span feed);
