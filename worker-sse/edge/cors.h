/* Cross-origin access (Durable Streams, section on CORS): browsers of any allowed origin may read
 * and write. */
#pragma once

#include "worker-sse/edge/request.h"

/* The header lines that stand on every answer, malloc'ed. */
char *cors_common_headers(const struct settings *settings);

/* Answers an OPTIONS request: 204; of a WHEP resource 200, with Accept-Post. */
void cors_preflight(struct request *request);
