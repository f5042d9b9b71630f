/* How much of a turn of the loop requests may have: so many milliseconds. What does not fit waits
 * in line, so that timers, the bus and the heart beat however many clients ask for however much at
 * once.
 *
 * Two lines, each first come, first served: connections with something to read or to parse, and
 * answers that have more to write than one slice. Requests go first, but answers have their share
 * of every turn. While a request waits nothing more is read: what clients send stays with the
 * kernel, which slows them down. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct conn;
struct sse_worker;

struct turn_line {
	struct conn *first, **last;
};

struct turn {
	uint64_t due_ns; /* monotonic; 0: nothing was begun in it yet */
	bool over;       /* nothing more is begun: it waits in line */
	struct turn_line requests, answers;
	uv_idle_t more; /* runs while somebody waits: the loop does not sleep */
};

void turn_start(struct sse_worker *w);

/* Before the loop looks for input again. Whoever comes while others wait stands behind them. */
void turn_begin(struct sse_worker *w);

/* It is `now_ns`, and something is begun: sets turn.over when the turn has had its time. */
void turn_note(struct sse_worker *w, uint64_t now_ns);

/* The connection goes on (conn_proceed()) when it is at the head of its line: that of the answers
 * when it waits for its turn to write, else that of the requests. Once in line it stays where it
 * is. */
void turn_wait(struct conn *conn);
