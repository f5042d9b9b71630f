/* What goes between the threads: commands to the commit thread, and back to the loop. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <stdlib.h>

void queue_init(struct store *store)
{
	pthread_mutex_init(&store->queue_lock, NULL);
	pthread_cond_init(&store->queue_filled, NULL);
	store->queue_last = &store->queue;
	store->finished_last = &store->finished;
}

/* ---- the commit thread's side ---- */

bool queue_wait(struct store *store)
{
	pthread_mutex_lock(&store->queue_lock);
	while (store->queue == NULL && !store->stopping)
		pthread_cond_wait(&store->queue_filled, &store->queue_lock);
	bool filled = store->queue != NULL;
	pthread_mutex_unlock(&store->queue_lock);
	return filled;
}

void queue_stop(struct store *store)
{
	pthread_mutex_lock(&store->queue_lock);
	store->stopping = true;
	pthread_cond_signal(&store->queue_filled);
	pthread_mutex_unlock(&store->queue_lock);
}

struct command *queue_take(struct store *store)
{
	pthread_mutex_lock(&store->queue_lock);
	struct command *list = store->queue;
	store->queue = NULL;
	store->queue_last = &store->queue;
	pthread_mutex_unlock(&store->queue_lock);
	return list;
}

void queue_refuse(struct command *list, enum verdict verdict)
{
	for (struct command *c = list; c != NULL; c = c->next)
		c->verdict = verdict;
}

/* Of a command that the store gave itself: nobody waits. */
static void on_own_done(struct command *command)
{
	(void)command;
}

void queue_finish(struct store *store, struct command *list)
{
	struct command *next;
	pthread_mutex_lock(&store->queue_lock);
	for (struct command *c = list; c != NULL; c = next) {
		next = c->next;
		c->next = NULL;
		free(c->scratch);
		c->scratch = NULL;
		if (c->done == on_own_done) {
			free(c);
			continue;
		}
		*store->finished_last = c;
		store->finished_last = &c->next;
	}
	pthread_mutex_unlock(&store->queue_lock);
}

void queue_say_finished(struct store *store)
{
	if (store->options.notify != NULL)
		store->options.notify(store->options.notify_arg);
}

/* ---- the submitter's side ---- */

static void give_back(struct store *store, struct command *list)
{
	queue_refuse(list, VERDICT_STALLED);
	queue_finish(store, list);
	queue_say_finished(store);
}

void store_refuse(struct store *store, bool on)
{
	atomic_store(&store->refusing, on);
	struct command *list = on ? queue_take(store) : NULL;
	if (list != NULL)
		give_back(store, list);
}

/* True when the thread may be asleep. */
static bool enqueue(struct store *store, struct command *command)
{
	command->verdict = VERDICT_PENDING;
	command->next = NULL;
	command->scratch = NULL;
	command->submitted_ns = clock_monotonic_ns();
	pthread_mutex_lock(&store->queue_lock);
	bool first = store->queue == NULL;
	*store->queue_last = command;
	store->queue_last = &command->next;
	pthread_mutex_unlock(&store->queue_lock);
	return first;
}

void store_submit(struct store *store, struct command *command)
{
	store->under_way++;
	if (atomic_load(&store->refusing)) {
		command->next = NULL;
		command->scratch = NULL;
		command->submitted_ns = clock_monotonic_ns();
		give_back(store, command);
		return;
	}
	if (!enqueue(store, command))
		return;
	if (store->options.gather)
		store->kick_due = true;
	else
		pthread_cond_signal(&store->queue_filled);
}

void store_kick(struct store *store)
{
	if (!store->kick_due)
		return;
	store->kick_due = false;
	store->kicked_ns = clock_monotonic_ns();
	pthread_cond_signal(&store->queue_filled);
}

bool store_expects(const struct store *store, uint64_t ns)
{
	return store->under_way != 0 && atomic_load(&store->commit_ns_lately) <= ns &&
	       clock_monotonic_ns() - store->kicked_ns <= 2 * ns;
}

void queue_submit_own(struct store *store, struct command command)
{
	if (atomic_load(&store->refusing))
		return; /* it comes up again */
	struct command *copy = xmalloc(sizeof *copy);
	*copy = command;
	copy->done = on_own_done;
	if (enqueue(store, copy))
		pthread_cond_signal(&store->queue_filled);
}

size_t store_collect(struct store *store)
{
	pthread_mutex_lock(&store->queue_lock);
	struct command *list = store->finished;
	store->finished = NULL;
	store->finished_last = &store->finished;
	pthread_mutex_unlock(&store->queue_lock);
	if (list == NULL)
		return 0;
	/* Read your writes: the view first. */
	while (store_advance(store, 0)) {
	}
	size_t count = 0;
	uint64_t now_ns = clock_monotonic_ns();
	struct command *next;
	for (struct command *c = list; c != NULL; c = next, count++) {
		next = c->next;
		c->next = NULL;
		store->under_way--;
		if (c->kind == COMMAND_APPEND)
			histogram_add(store->options.append_latency, now_ns - c->submitted_ns);
		if (c->done != NULL)
			c->done(c);
	}
	return count;
}

static void on_executed(struct command *command)
{
	*(bool *)command->owner = true;
}

/* What others have under way comes to its end meanwhile, and is not it. */
void store_execute(struct store *store, struct command *command)
{
	void (*done)(struct command *) = command->done;
	void *owner = command->owner;
	struct timespec nap = {.tv_nsec = 20000};
	bool executed = false;
	command->done = on_executed;
	command->owner = &executed;
	store_submit(store, command);
	store_kick(store);
	while (!executed)
		if (store_collect(store) == 0)
			nanosleep(&nap, NULL);
	command->done = done;
	command->owner = owner;
}
