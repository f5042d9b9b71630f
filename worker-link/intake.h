/* The stream of records as it comes, into the ring. */
#pragma once

#include "common/store/ring.h"

struct intake {
	struct ring *ring;
	uint8_t *held; /* the beginning of what has not come whole */
	size_t len, room;
	uint64_t end_lsn; /* so far the other node said to be */
};

enum intake_result {
	INTAKE_FINE,
	INTAKE_FOREIGN, /* not what follows here */
	INTAKE_FAILED,  /* no room for too long, or the disk; logged */
};

/* What was held of a stream before is forgotten. */
void intake_begin(struct intake *intake, struct ring *ring);
void intake_finish(struct intake *intake);
/* The next piece. Takes whole records and raises the durable mark behind them. Waits for the
 * checkpoint, while the ring is full, for a second or two. */
enum intake_result intake_take(struct intake *intake, struct span piece);
