/* How many bytes each kind may have of what clients, links and browsers multiply: the setting, or
 * less where the control group's memory limit leaves less. Pure. */
#pragma once

#include "common/base/settings.h"

enum {
	/* Below these nothing works, whatever the limit. */
	CEILINGS_LINK_MIN = 2 << 20,    /* the largest frame, and one more */
	CEILINGS_MESSAGE_MIN = 4 << 20, /* a picture of a browser */
	CEILINGS_LOG_MIN = 16 << 10,
};

/* Who shares the memory. */
struct ceilings_among {
	uint64_t memory_bytes; /* UINT64_MAX: no limit */
	unsigned listeners;    /* HTTP workers */
	unsigned others;       /* workers of other roles */
};

struct ceilings {
	size_t body_bytes;    /* of request bodies in one HTTP worker: limits.body_bytes_total */
	size_t waiting_bytes; /* of what waits for clients in one: limits.waiting_bytes_total */
	size_t link_bytes;    /* of each of a link's two queues: call.queue_bytes */
	size_t bus_bytes;     /* of a queue between supervisor and worker or ringsidectl */
	size_t message_bytes; /* of one browser's message: capture.message_bytes */
	size_t log_bytes;     /* of lines that wait in one process: log.buffer_bytes */
};

/* A quarter of the memory is for bodies, an eighth for what waits, an eighth for the links, a
 * thirty-second each for the buses, for a browser's message and for logs. Each worker, link and
 * process has its part of these; but none is below what works. */
void ceilings_find(struct ceilings *ceilings, const struct settings *settings,
                   const struct ceilings_among *among);

/* What one more may take when all together may have `max` and have `used`: an eighth of what is
 * left, a power of two, no less than `least` and no more than `most`. So nobody is refused for what
 * others hold: the more they hold, the smaller are the pieces. */
size_t ceilings_share(size_t max, size_t used, size_t least, size_t most);
