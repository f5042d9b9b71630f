/* Readers that are ahead of this node: another has told them of what has not come here yet. */
#include "common/base/check.h"
#include "worker-sse/views/cluster_parts.h"

#include <stdlib.h>
#include <utlist.h>

enum { WAIT_MS = 1000, LOOK_MS = 10 };

struct cluster_wait {
	struct request *request;
	struct cluster *cluster;
	void (*again)(struct request *request);
	uint64_t position; /* of the view when it was last looked at */
	uint64_t look_ms;
	struct wheel_node timer;
	struct cluster_wait *prev, *next;
};

static struct request *wait_finish(struct cluster_wait *wait)
{
	struct request *request = wait->request;
	wheel_cancel(&wait->timer);
	DL_DELETE(wait->cluster->waits, wait);
	request->feature = NULL;
	request->on_gone = NULL;
	free(wait);
	return request;
}

static void on_gone(struct request *request)
{
	wait_finish(request->feature);
}

static void look_again(struct cluster_wait *wait)
{
	void (*again)(struct request *) = wait->again;
	again(wait_finish(wait));
}

static void on_timer(struct wheel_node *node)
{
	struct cluster_wait *wait =
	        (struct cluster_wait *)((char *)node - offsetof(struct cluster_wait, timer));
	sse_worker_catch_up(wait->cluster->worker);
	look_again(wait);
}

bool cluster_ahead(struct request *request, void (*again)(struct request *request))
{
	struct sse_worker *w = worker_of(request);
	uint64_t now_ms = w->wheel.now_ms;
	if (!cluster_follows(w) || request->exchange == NULL)
		return false;
	if (request->ahead_due_ms == 0) {
		request->ahead_due_ms = now_ms + WAIT_MS;
		counter_add(w->counters, cluster_ahead_total, 1);
	}
	if (now_ms >= request->ahead_due_ms) {
		cluster_hand_on(request);
		return true;
	}
	struct cluster_wait *wait = xcalloc(1, sizeof *wait);
	*wait = (struct cluster_wait){.request = request,
	                              .cluster = w->cluster,
	                              .again = again,
	                              .position = store_position(w->store),
	                              .look_ms = now_ms + LOOK_MS,
	                              .timer = {.due = on_timer}};
	DL_APPEND(w->cluster->waits, wait);
	request->feature = wait;
	request->on_gone = on_gone;
	wheel_set(&w->wheel, &wait->timer, request->ahead_due_ms);
	return true;
}

void cluster_waits_turn(struct cluster *cluster)
{
	struct sse_worker *w = cluster->worker;
	struct cluster_wait *wait, *next;
	uint64_t position = store_position(w->store);
	DL_FOREACH_SAFE(cluster->waits, wait, next)
	if (position > wait->position) {
		if (w->wheel.now_ms >= wait->look_ms)
			look_again(wait);
		else /* nothing else may come to look for */
			wheel_set(&w->wheel, &wait->timer, wait->look_ms);
	}
}
