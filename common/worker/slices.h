/* Work that would hold up the loop, cut in slices: in each turn one slice of whoever is first in
 * line, so that a turn is as long however many there are, and everything else comes in between.
 *
 * A job is part of its owner's struct, zero-initialised but for `run`. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <uv.h>

struct slices {
	struct slices_job *first, **last;
	uv_idle_t turn; /* runs while somebody is in line: the loop does not sleep */
};

struct slices_job {
	/* One slice. The job is off the line meanwhile, so that it may be freed. True: there is
	 * more to do, at its next turn. */
	bool (*run)(struct slices_job *job);
	struct slices_job *next, **previous; /* previous NULL: not in line */
};

void slices_start(struct slices *slices, uv_loop_t *loop);
/* At the end of the line. One that is in line keeps its place. */
void slices_add(struct slices *slices, struct slices_job *job);
/* Off the line; one that is not there is left alone. */
void slices_remove(struct slices *slices, struct slices_job *job);
