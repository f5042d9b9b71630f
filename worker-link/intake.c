#include "worker-link/intake.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/domain/cluster_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROOM_WAIT_MS = 2000, ROOM_LOOK_US = 1000, HELD_KEEP = 1 << 20 };

void intake_begin(struct intake *intake, struct ring *ring)
{
	intake->ring = ring;
	intake->len = 0;
	intake->end_lsn = ring_tail(ring).lsn;
}

void intake_finish(struct intake *intake)
{
	free(intake->held);
	*intake = (struct intake){0};
}

/* True: it was one. */
static bool take_beat(struct intake *intake, struct span *wire)
{
	struct cluster_beat beat;
	if (wire->len < sizeof beat)
		return false;
	memcpy(&beat, wire->at, sizeof beat);
	if (beat.magic != CLUSTER_BEAT_MAGIC)
		return false;
	if (beat.lsn > intake->end_lsn)
		intake->end_lsn = beat.lsn;
	*wire = span_of(wire->at + sizeof beat, wire->len - sizeof beat);
	return true;
}

/* The checkpointer of some process of this node makes it. */
static enum ring_take_result take_when_there_is_room(struct ring *ring, struct span wire,
                                                     size_t *taken)
{
	uint64_t due_ms = 0;
	for (;;) {
		enum ring_take_result result = ring_take(ring, wire, taken);
		uint64_t now_ms = clock_monotonic_ms();
		due_ms = due_ms != 0 ? due_ms : now_ms + ROOM_WAIT_MS;
		if (result != RING_TAKE_FULL || now_ms >= due_ms)
			return result;
		usleep(ROOM_LOOK_US);
	}
}

/* Everything that is whole; *wire: the rest. */
static enum intake_result take_whole(struct intake *intake, struct span *wire)
{
	while (wire->len >= sizeof(struct ring_record)) {
		size_t taken;
		if (take_beat(intake, wire))
			continue;
		switch (take_when_there_is_room(intake->ring, *wire, &taken)) {
		case RING_TAKEN:
			*wire = span_of(wire->at + taken, wire->len - taken);
			break;
		case RING_TAKE_TORN:
			return INTAKE_FINE;
		case RING_TAKE_FOREIGN:
			return INTAKE_FOREIGN;
		case RING_TAKE_FULL:
			log_warn("no room in the log for what comes", "at=%llu",
			         (unsigned long long)ring_tail(intake->ring).lsn);
			return INTAKE_FAILED;
		case RING_TAKE_FAILED:
			log_error("what comes cannot be written", "error=\"%s\"", strerror(errno));
			return INTAKE_FAILED;
		}
	}
	return INTAKE_FINE;
}

static void hold(struct intake *intake, struct span piece)
{
	if (piece.len == 0)
		return; /* there may be no room to speak of yet */
	if (intake->room < intake->len + piece.len) {
		intake->room = 2 * (intake->len + piece.len);
		intake->held = xrealloc(intake->held, intake->room);
	}
	memcpy(intake->held + intake->len, piece.at, piece.len);
	intake->len += piece.len;
}

/* What is left goes to the front. */
static void keep_rest(struct intake *intake, struct span rest)
{
	memmove(intake->held, rest.at, rest.len);
	intake->len = rest.len;
	if (intake->room > HELD_KEEP && intake->len < HELD_KEEP / 2) {
		intake->room = HELD_KEEP;
		intake->held = xrealloc(intake->held, intake->room);
	}
}

enum intake_result intake_take(struct intake *intake, struct span piece)
{
	struct ring_position before = ring_tail(intake->ring);
	bool holds = intake->len > 0;
	if (holds)
		hold(intake, piece);
	struct span wire = holds ? span_of(intake->held, intake->len) : piece;
	enum intake_result result = take_whole(intake, &wire);
	if (holds)
		keep_rest(intake, wire);
	else
		hold(intake, wire);
	struct ring_position tail = ring_tail(intake->ring);
	if (tail.lsn > before.lsn)
		ring_raise(intake->ring, tail);
	if (intake->end_lsn < tail.lsn)
		intake->end_lsn = tail.lsn;
	return result;
}
