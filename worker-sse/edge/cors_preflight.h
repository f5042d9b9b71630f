/* What a browser asks before it lets a page of another origin ask (CORS). */
#pragma once

#include "worker-sse/edge/request.h"

/* Answers an OPTIONS request: 204; of a WHEP resource 200, with Accept-Post. */
void cors_preflight(struct request *request);
