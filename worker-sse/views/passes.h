/* Cookies and tickets as credentials (pass.h): which secret they are sealed with, whose they are,
 * and how long. All workers share the secret: it is in the store, so they outlive restarts. */
#pragma once

#include "worker-sse/edge/pass.h"
#include "worker-sse/views/worker.h"

/* Makes the secret when there is none. */
void passes_start(struct sse_worker *w);

/* How cookies and tickets are found and judged. */
void passes_sources(struct sse_worker *w, struct identity_source sources[IDENTITY_WAYS]);

enum passes_made {
	PASSES_MADE,
	PASSES_NO_SECRET, /* it cannot be read, or is being made */
	PASSES_NO_TOKEN,  /* `maker` is nobody that could give one: he has no token */
	PASSES_TOO_LONG,
};
/* One for whoever `maker` is; `rights`: a ticket's own. *text: with PASSES_MADE, to be freed. */
enum passes_made passes_make(struct sse_worker *w, enum pass_kind kind,
                             const struct identity *maker, const struct rights *rights,
                             uint64_t expires_ms, char **text);
