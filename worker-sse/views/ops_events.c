#include "worker-sse/views/ops_events.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/health.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVERY_MS = 2000 };

struct ops {
	struct request *request;
	struct wheel_node timer;
};

/* Counters that are shown, summed over all workers; of the store, which all of them see, the
 * largest. */
#define SUMS(S)                                                                                    \
	S(subscribers)                                                                             \
	S(deliveries_total)                                                                        \
	S(feed_frames_total)                                                                       \
	S(requests_total)                                                                          \
	S(source_posts_total)

static void print_totals(const struct counters *counters, FILE *out)
{
	uint64_t store = 0;
#define SUM_NAMED(name) uint64_t name = 0;
	SUMS(SUM_NAMED)
#undef SUM_NAMED
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (atomic_load(&slot->state) == WORKER_ABSENT)
			continue;
#define SUM_ADDED(name) name += atomic_load(&slot->name);
		SUMS(SUM_ADDED)
#undef SUM_ADDED
		uint64_t used = atomic_load(&slot->store_used_bytes);
		store = used > store ? used : store;
	}
#define SUM_PRINTED(name) fprintf(out, "\"" #name "\":%llu,", (unsigned long long)name);
	SUMS(SUM_PRINTED)
#undef SUM_PRINTED
	fprintf(out, "\"store_used_bytes\":%llu", (unsigned long long)store);
}

static void print_workers(const struct counters *counters, FILE *out)
{
	const char *comma = "";
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		uint32_t state = atomic_load(&slot->state);
		if (state == WORKER_ABSENT)
			continue;
		struct process_facts facts = {0};
		counters_process_facts(slot, &facts);
		bool stalled = state == WORKER_READY && atomic_load(&slot->stalled) != 0;
		fprintf(out,
		        "%s{\"name\":\"%s-%u\",\"state\":\"%s\",\"startedAt\":%llu,\"cpuSeconds\":%"
		        ".3f,"
		        "\"residentBytes\":%llu}",
		        comma, role_name(slot->role), slot->slot,
		        stalled ? "stalled" : worker_state_name(state),
		        (unsigned long long)atomic_load(&slot->started_ms), facts.cpu_seconds,
		        (unsigned long long)facts.resident_bytes);
		comma = ",";
	}
}

/* Malloc'd. */
static char *event_now(struct sse_worker *w, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	check(out != NULL);
	const struct counters *counters = w->worker->counters;
	health_refresh(w);
	fprintf(out, "event: ops\ndata: {\"at\":%llu,\"startedAt\":%llu,\"ready\":%s,\"totals\":{",
	        (unsigned long long)clock_wall_ms(),
	        (unsigned long long)atomic_load(&counters->started_ms),
	        counters_ready(counters) ? "true" : "false");
	print_totals(counters, out);
	fputs("},\"workers\":[", out);
	print_workers(counters, out);
	fputs("]}\n\n", out);
	check(fclose(out) == 0);
	return text;
}

static void finish(struct ops *ops)
{
	wheel_cancel(&ops->timer);
	ops->request->feature = NULL;
	ops->request->on_gone = NULL;
	ops->request->on_drain = NULL;
	free(ops);
}

static void on_gone(struct request *request)
{
	finish(request->feature);
}

static void wait(struct ops *ops)
{
	struct sse_worker *w = worker_of(ops->request);
	wheel_set(&w->wheel, &ops->timer, w->wheel.now_ms + EVERY_MS);
}

/* Whoever reads too slowly gets the next one later, and never an old one. */
static void on_drain(struct request *request)
{
	request->on_drain = NULL;
	wait(request->feature);
}

static void tell(struct ops *ops)
{
	size_t len;
	char *text = event_now(worker_of(ops->request), &len);
	const struct iovec iov = {text, len};
	bool more = reply_write(ops->request, &iov, 1);
	free(text);
	if (more)
		wait(ops);
	else
		ops->request->on_drain = on_drain;
}

static void on_timer(struct wheel_node *node)
{
	struct ops *ops = (struct ops *)((char *)node - offsetof(struct ops, timer));
	struct request *request = ops->request;
	if (request->edge->draining || request->identity->expires_ms <= clock_wall_ms()) {
		finish(ops);
		reply_end(request);
		return;
	}
	tell(ops);
}

void ops_events_start(struct request *request)
{
	static const struct header headers[] = {{"content-type", SPAN("text/event-stream")},
	                                        {"cache-control", SPAN("no-store")},
	                                        {"x-accel-buffering", SPAN("no")}};
	if (!request_hold_reader(request))
		return;
	struct ops *ops = xcalloc(1, sizeof *ops);
	*ops = (struct ops){.request = request, .timer = {.due = on_timer}};
	request->feature = ops;
	request->on_gone = on_gone;
	reply_start(request, 200, headers, 3, UINT64_MAX);
	tell(ops);
}
