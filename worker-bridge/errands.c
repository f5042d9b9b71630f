#include "worker-bridge/errands.h"

void errands_init(struct errands *errands)
{
	*errands =
	        (struct errands){.queue_last = &errands->queue, .running_last = &errands->running};
}

void errands_add(struct errands *errands, struct errand *errand)
{
	errand->next = NULL;
	*errands->queue_last = errand;
	errands->queue_last = &errand->next;
	errands->queued++;
}

static struct errand *take(struct errands *errands)
{
	struct errand *errand = errands->queue;
	if (errand == NULL)
		return NULL;
	errands->queue = errand->next;
	if (errands->queue == NULL)
		errands->queue_last = &errands->queue;
	errands->queued--;
	errand->next = NULL;
	return errand;
}

bool errands_run(struct errands *errands, struct market_change *change)
{
	struct errand *errand = take(errands);
	if (errand == NULL)
		return false;
	*errands->running_last = errand;
	errands->running_last = &errand->next;
	errand->run(errand, change);
	return true;
}

void errands_finish(struct errands *errands, bool durable)
{
	struct errand *errand = errands->running, *next;
	errands->running = NULL;
	errands->running_last = &errands->running;
	for (; errand != NULL; errand = next) {
		next = errand->next;
		errand->finish(errand, durable);
	}
}

void errands_undo(struct errands *errands)
{
	if (errands->running == NULL)
		return;
	for (const struct errand *errand = errands->running; errand != NULL; errand = errand->next)
		errands->queued++;
	*errands->running_last = errands->queue;
	if (errands->queue == NULL)
		errands->queue_last = errands->running_last;
	errands->queue = errands->running;
	errands->running = NULL;
	errands->running_last = &errands->running;
}

void errands_refuse(struct errands *errands)
{
	for (struct errand *errand; (errand = take(errands)) != NULL;)
		errand->finish(errand, false);
}
