/* What a person looks at, from memory: the page (GET /), its parts (/page/...), and the scene that
 * the capture worker renders (/arena/FEED). Sources: web/. They use the public API and nothing
 * else, so that they are let in where their reader's token is; in themselves they tell nothing. */
#pragma once

#include "worker-sse/edge/request.h"

/* 404: no such part, or no name of a feed. */
void pages_handle(struct request *request);
