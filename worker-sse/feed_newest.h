/* GET /v1/feeds/FEED: the newest frame of a feed, for whoever begins to follow its stream. */
#pragma once

#include "worker-sse/request.h"

/* 404: no such feed, or it has not said anything yet. */
void feed_newest_handle(struct request *request);
