#include "common/base/ceilings.h"

/* What there is of each kind. */
enum {
	BODY_PARTS = 4, /* they are in the log and in pages of the kernel, too */
	WAITING_PARTS = 8,
	LINK_PARTS = 8,
	BUS_PARTS = 32,
	MESSAGE_PARTS = 32,
	LOG_PARTS = 32,
	BUS_BYTES = 8 << 20,
	LINK_QUEUES = 2, /* small frames and large ones */
	SHARE_PARTS = 8,
};

static size_t within(uint64_t part, size_t least, uint64_t setting)
{
	if (part < least)
		part = least;
	return (size_t)(part < setting ? part : setting);
}

void ceilings_find(struct ceilings *ceilings, const struct settings *s,
                   const struct ceilings_among *among)
{
	const uint64_t memory = among->memory_bytes;
	const unsigned listeners = among->listeners != 0 ? among->listeners : 1,
	               workers = listeners + among->others;
	const uint64_t queues = (uint64_t)workers * (workers > 1 ? workers - 1 : 1) * LINK_QUEUES;
	*ceilings = (struct ceilings){
	        .body_bytes =
	                within(memory / BODY_PARTS / listeners, 0, s->limits_body_bytes_total),
	        .waiting_bytes = within(memory / WAITING_PARTS / listeners, 0,
	                                s->limits_waiting_bytes_total),
	        .link_bytes = within(memory / LINK_PARTS / queues, CEILINGS_LINK_MIN,
	                             s->call_queue_bytes),
	        .bus_bytes = within(memory / BUS_PARTS / workers / 2, CEILINGS_LINK_MIN, BUS_BYTES),
	        .message_bytes = within(memory / MESSAGE_PARTS, CEILINGS_MESSAGE_MIN,
	                                s->capture_message_bytes),
	        .log_bytes = within(memory / LOG_PARTS / (workers + 1), CEILINGS_LOG_MIN,
	                            s->log_buffer_bytes)};
}

size_t ceilings_share(size_t max, size_t used, size_t least, size_t most)
{
	size_t part = used < max ? (max - used) / SHARE_PARTS : 0;
	if (part >= most)
		return most;
	if (part <= least)
		return least;
	size_t share = least; /* steps, so that readers at one place ask for the same page */
	while (share <= part / 2)
		share *= 2;
	return share;
}
