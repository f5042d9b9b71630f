/* What stands on every answer, and what pages of other origins are told (CORS; Durable Streams,
 * section on CORS): those of http.allowed_origin may read and write. A listed origin is echoed, and
 * let in with its cookies; "*" is said as it is, and never with credentials; others are told
 * nothing. */
#pragma once

#include "common/base/origin.h"
#include "common/base/settings.h"

struct cors {
	struct origins origins;
	/* Header lines; [0] for whoever is not listed, then one for each that is. */
	struct cors_text {
		char *at;
		size_t len;
	} * texts;
};

void cors_init(struct cors *cors, const struct settings *settings);
void cors_finish(struct cors *cors);

/* The lines that stand on every answer to a request with this Origin (at NULL: without). */
struct span cors_headers(const struct cors *cors, struct span origin);
/* Those of an answer that lets nobody in. */
struct span cors_bare_headers(void);
