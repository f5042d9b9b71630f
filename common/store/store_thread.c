/* How a thread of the store begins. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <errno.h>
#include <sched.h>

void thread_begin(struct store *store, const char *name)
{
	pthread_setname_np(pthread_self(), name);
	if (unshare(CLONE_FILES) == 0) /* where it is forbidden, it is only slower */
		log_thread_alone();
	sem_post(&store->begun);
}

static void wait_begun(struct store *store)
{
	while (sem_wait(&store->begun) != 0)
		check(errno == EINTR);
}

void thread_start(struct store *store, pthread_t *thread, void *(*run)(void *store))
{
	check(pthread_create(thread, NULL, run, store) == 0);
	wait_begun(store);
}
