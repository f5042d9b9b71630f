#include "worker-sse/views/health.h"
#include "common/base/check.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/ops_events.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>

static const struct header no_store = {"cache-control", SPAN("no-store")};

void health_live(struct request *request)
{
	const struct header headers[] = {no_store, {"content-type", SPAN("text/plain")}};
	reply(request, 200, headers, 2, SPAN("ok\n"));
}

static void print_missing_links(const struct counters *counters, FILE *out)
{
	char name[64];
	for (size_t i = 0; counters_missing_link(counters, i, name); i++)
		fprintf(out, "%s\"%s\"", i > 0 ? "," : "", name);
}

/* As new as it can know; for writes, with the node that takes them in sight. */
static bool follows_well(const struct request *request)
{
	const struct sse_worker *w = worker_of(request);
	const struct counters_slot *link = cluster_link(w);
	struct span what;
	bool writes =
	        query_find(request->query, "for", &what) > 0 && span_equal(what, SPAN("write"));
	return link != NULL && counter_get(link, cluster_ready) != 0 &&
	       (!writes || counter_get(link, cluster_connected) != 0);
}

/* 503 while any wanted worker does not serve, or a link between two is missing, with the lists that
 * say which; of a node that follows another also before it is as far. */
void health_ready(struct request *request)
{
	const struct counters *counters = worker_of(request)->worker->counters;
	bool ready = counters_ready(counters) &&
	             (!cluster_follows(worker_of(request)) || follows_well(request));
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	fprintf(out, "{\"ready\":%s,\"workers\":[", ready ? "true" : "false");
	const char *comma = "";
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		uint32_t state = atomic_load(&slot->state);
		if (state == WORKER_ABSENT)
			continue;
		bool stalled = state == WORKER_READY && atomic_load(&slot->stalled) != 0;
		fprintf(out, "%s{\"name\":\"%s-%u\",\"state\":\"%s\"}", comma,
		        role_name(slot->role), slot->slot,
		        stalled ? "stalled" : worker_state_name(state));
		comma = ",";
	}
	fputs("],\"missing_links\":[", out);
	print_missing_links(counters, out);
	fputs("]}\n", out);
	check(fclose(out) == 0);
	const struct header headers[] = {no_store, {"content-type", SPAN("application/json")}};
	reply(request, ready ? 200 : 503, headers, 2, span_of(text, len));
	free(text);
}

void health_refresh(struct sse_worker *w)
{
	struct store_status status;
	store_status(w->store, &status);
	counter_set(w->counters, commits_total, status.commits);
	counter_set(w->counters, log_sync_seconds_total, status.commit_ns);
	counter_set(w->counters, checkpoints_total, status.checkpoints);
	counter_set(w->counters, checkpoint_seconds_total, status.checkpoint_ns);
	counter_set(w->counters, log_durable_bytes, status.durable);
	counter_set(w->counters, log_checkpoint_bytes, status.checkpoint);
	counter_set(w->counters, store_used_bytes, status.used_bytes);
	counter_set(w->counters, store_refusing, status.refusing != 0);
	counter_set(w->counters, store_unreadable_total, status.unreadable);
	counter_set(w->counters, streams, status.streams);
	const struct ceilings ceilings = worker_ceilings(w->worker);
	edge_set_ceilings(&w->edge, &ceilings);
}

void health_metrics(struct request *request)
{
	struct span live;
	if (request->method == METHOD_GET && query_find(request->query, "live", &live) > 0 &&
	    span_equal(live, SPAN("sse"))) {
		ops_events_start(request);
		return;
	}
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	health_refresh(worker_of(request));
	counters_print(worker_of(request)->worker->counters, out);
	check(fclose(out) == 0);
	const struct header headers[] = {
	        no_store, {"content-type", SPAN("text/plain; version=0.0.4; charset=utf-8")}};
	reply(request, 200, headers, 2, span_of(text, len));
	free(text);
}
