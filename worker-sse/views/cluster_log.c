/* GET /v1/cluster/log?lsn=N&hash=H: the records behind that position as they become durable here,
 * for as long as the connection lasts (common/domain/cluster_wire.h). */
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/domain/cluster_wire.h"
#include "common/store/offset.h"
#include "common/store/ring.h"
#include "worker-sse/views/cluster_parts.h"

#include <stdlib.h>
#include <utlist.h>

enum { SLICE_BYTES = 256 * 1024 };

struct cluster_feed {
	struct request *request;
	struct cluster *cluster;
	struct ring_position at; /* sent up to here */
	uint64_t beat_ms;        /* of the wheel: the last one */
	bool blocked;            /* until on_drain */
	struct wheel_node timer;
	struct cluster_feed *prev, *next;
};

static void feed_finish(struct cluster_feed *feed)
{
	struct sse_worker *w = feed->cluster->worker;
	struct request *request = feed->request;
	wheel_cancel(&feed->timer);
	DL_DELETE(feed->cluster->feeds, feed);
	request->feature = NULL;
	request->on_gone = NULL;
	request->on_drain = NULL;
	free(feed);
	counter_add(w->counters, cluster_followers, -1);
	sse_worker_readers(w, -1);
}

static void on_gone(struct request *request)
{
	feed_finish(request->feature);
}

static void feed_end(struct cluster_feed *feed)
{
	struct request *request = feed->request;
	feed_finish(feed);
	reply_end(request);
}

/* A record that is larger than a slice goes alone. */
static size_t slice_room(const struct ring *ring, uint64_t lsn)
{
	struct ring_record record;
	size_t len = ring_record_at(ring, lsn, &record) ? ring_wire_len(&record) : 0;
	return len > SLICE_BYTES ? len : SLICE_BYTES;
}

static void write_bytes(struct cluster_feed *feed, const void *at, size_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)at, len};
	counter_add(feed->cluster->worker->counters, cluster_sent_bytes_total, len);
	feed->blocked = !reply_write(feed->request, &iov, 1);
}

static void write_beat(struct cluster_feed *feed, struct ring_position synced)
{
	const struct cluster_beat beat = {.hash = synced.hash,
	                                  .magic = CLUSTER_BEAT_MAGIC,
	                                  .bytes = sizeof beat,
	                                  .lsn = synced.lsn};
	feed->beat_ms = feed->cluster->worker->wheel.now_ms;
	write_bytes(feed, &beat, sizeof beat);
}

/* A slice of what there is; the next one when that has left and others had their turn. */
static void feed_go_on(struct cluster_feed *feed)
{
	struct sse_worker *w = feed->cluster->worker;
	const struct ring *ring = store_ring(w->store);
	struct ring_position synced = ring_synced(ring), end;
	size_t used, room;
	if (feed->blocked)
		return;
	if (w->wheel.now_ms >= feed->beat_ms + CLUSTER_BEAT_MS)
		write_beat(feed, synced);
	if (feed->at.lsn >= synced.lsn || feed->blocked)
		return;
	room = slice_room(ring, feed->at.lsn);
	uint8_t *bytes = xmalloc(room);
	enum ring_wire_result result =
	        ring_wire(ring, feed->at, synced.lsn, bytes, room, &used, &end);
	if (result == RING_WIRED && used > 0) {
		feed->at = end;
		write_bytes(feed, bytes, used);
		if (!feed->blocked && end.lsn < synced.lsn) {
			feed->blocked = true;
			reply_again(feed->request);
		}
	}
	free(bytes);
	if (result != RING_WIRED)
		feed_end(feed); /* it asks again, and hears why */
}

static void on_drain(struct request *request)
{
	struct cluster_feed *feed = request->feature;
	feed->blocked = false;
	feed_go_on(feed);
}

static void on_timer(struct wheel_node *node)
{
	struct cluster_feed *feed =
	        (struct cluster_feed *)((char *)node - offsetof(struct cluster_feed, timer));
	wheel_set(&feed->cluster->worker->wheel, node,
	          feed->cluster->worker->wheel.now_ms + CLUSTER_BEAT_MS);
	feed_go_on(feed);
}

/* ---- where it begins ---- */

static bool take_position(struct request *request, struct ring_position *at)
{
	struct span lsn, hash;
	char text[17] = "";
	char *end = text;
	if (query_find(request->query, "lsn", &lsn) != 1 ||
	    query_find(request->query, "hash", &hash) != 1 || hash.len != 16 ||
	    !number_parse(lsn, UINT64_MAX, &at->lsn))
		return false;
	memcpy(text, hash.at, 16);
	at->hash = strtoull(text, &end, 16);
	return end == text + 16;
}

/* Is it a position of this log? 0, or the status. */
static unsigned place_fault(struct sse_worker *w, struct ring_position at, const char **reason)
{
	const struct ring *ring = store_ring(w->store);
	struct ring_position synced = ring_synced(ring), end;
	*reason = "this log has no such position";
	if (at.lsn == synced.lsn)
		return at.hash == synced.hash ? 0 : 409;
	if (at.lsn > synced.lsn) {
		/* Of a node that follows it may still come. */
		if (ring_role(ring) == RING_ALONE)
			return 409;
		*reason = "this node is not there yet";
		return 503;
	}
	size_t room = slice_room(ring, at.lsn), used;
	uint8_t *bytes = xmalloc(room);
	enum ring_wire_result result = ring_wire(ring, at, synced.lsn, bytes, room, &used, &end);
	free(bytes);
	switch (result) {
	case RING_WIRED:
		return 0;
	case RING_WIRE_FOREIGN:
		return 409;
	case RING_WIRE_LAPPED:
		break;
	}
	*reason = "the log has gone on: a snapshot is needed";
	return 410;
}

void cluster_log_begin(struct request *request)
{
	static const struct header headers[] = {{"content-type", SPAN("application/octet-stream")},
	                                        {"cache-control", SPAN("no-store")},
	                                        {"x-accel-buffering", SPAN("no")}};
	struct sse_worker *w = worker_of(request);
	struct ring_position at;
	const char *reason;
	if (!take_position(request, &at)) {
		reply_error(request, 400, "lsn=NUMBER and hash=16 hexadecimal digits are needed");
		return;
	}
	unsigned status = place_fault(w, at, &reason);
	if (status != 0) {
		reply_error(request, status, reason);
		return;
	}
	struct cluster_feed *feed = xcalloc(1, sizeof *feed);
	*feed = (struct cluster_feed){
	        .request = request, .cluster = w->cluster, .at = at, .timer = {.due = on_timer}};
	DL_APPEND(w->cluster->feeds, feed);
	counter_add(w->counters, cluster_followers, 1);
	sse_worker_readers(w, 1);
	reply_start(request, 200, headers, 3, UINT64_MAX);
	request->feature = feed;
	request->on_gone = on_gone;
	request->on_drain = on_drain;
	wheel_set(&w->wheel, &feed->timer, w->wheel.now_ms + CLUSTER_BEAT_MS);
	write_beat(feed, ring_synced(store_ring(w->store)));
	feed_go_on(feed);
}

void cluster_log_turn(struct cluster *cluster)
{
	struct cluster_feed *feed, *next;
	DL_FOREACH_SAFE(cluster->feeds, feed, next)
	feed_go_on(feed);
}

void cluster_log_drain(struct cluster *cluster)
{
	struct cluster_feed *feed, *next;
	DL_FOREACH_SAFE(cluster->feeds, feed, next)
	feed_end(feed);
}
