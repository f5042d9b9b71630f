/* How much of a turn of the loop requests may have: so many milliseconds. What does not fit waits
 * in line, so that timers, the bus and the heart beat however many clients ask for however much at
 * once.
 *
 * Two lines, each first come, first served: connections with something to read or to parse, and
 * answers that have more to write than one slice. Requests go first, but answers have their share
 * of every turn. While a request waits nothing more is read: what clients send stays with the
 * kernel, which slows them down. Loop thread only. */
#pragma once

#include "common/base/wheel.h"

#include <uv.h>

/* Something that waits in line; zero-initialised but for proceed(). */
struct turn_task {
	struct turn_task *next;
	/* Its turn has come; it stands in no line any more, and may stand in line again. */
	void (*proceed)(struct turn_task *task);
	bool lined;
};

enum turn_line { TURN_REQUESTS, TURN_ANSWERS, TURN_LINES };

struct turn {
	uint64_t due_ns; /* monotonic; 0: nothing was begun in it yet */
	bool over;       /* nothing more is begun: it waits in line */
	struct wheel *wheel;
	struct {
		struct turn_task *first, **last;
	} lines[TURN_LINES];
	uv_idle_t more; /* runs while somebody waits: the loop does not sleep */
};

void turn_init(struct turn *turn, uv_loop_t *loop, struct wheel *wheel);

/* Before the loop looks for input again. Whoever comes while others wait stands behind them. */
void turn_begin(struct turn *turn);

/* It is `now_ns` (monotonic), and something is begun: sets turn.over when the turn has had its
 * time. */
void turn_note(struct turn *turn, uint64_t now_ns);

/* The task goes on when it is at the head of the line. Once in line it stays where it is. */
void turn_wait(struct turn *turn, struct turn_task *task, enum turn_line line);
