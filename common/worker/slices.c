#include "common/worker/slices.h"

#include <stddef.h>

static void on_turn(uv_idle_t *idle)
{
	struct slices *slices = idle->data;
	struct slices_job *job = slices->first;
	if (job == NULL) {
		uv_idle_stop(idle);
		return;
	}
	slices_remove(slices, job);
	if (job->run(job))
		slices_add(slices, job);
}

void slices_start(struct slices *slices, uv_loop_t *loop)
{
	slices->first = NULL;
	slices->last = &slices->first;
	uv_idle_init(loop, &slices->turn);
	slices->turn.data = slices;
}

void slices_add(struct slices *slices, struct slices_job *job)
{
	if (job->previous != NULL)
		return; /* once more, and the line would be a ring */
	job->next = NULL;
	job->previous = slices->last;
	*slices->last = job;
	slices->last = &job->next;
	if (!uv_is_active((const uv_handle_t *)&slices->turn))
		uv_idle_start(&slices->turn, on_turn);
}

void slices_remove(struct slices *slices, struct slices_job *job)
{
	if (job->previous == NULL)
		return;
	*job->previous = job->next;
	if (job->next != NULL)
		job->next->previous = job->previous;
	else
		slices->last = job->previous;
	job->previous = NULL;
}
