#include "common/base/check.h"
#include "common/base/http_post.h"
#include "common/domain/cluster_wire.h"
#include "common/store/ring.h"
#include "proto/link_states.h"
#include "worker-sse/views/cluster_parts.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

static const struct header no_store = {"cache-control", SPAN("no-store")};

bool cluster_follows(const struct sse_worker *w)
{
	return settings_follows(w->settings);
}

const struct counters_slot *cluster_link(const struct sse_worker *w)
{
	const struct counters *all = w->worker->counters;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		if (all->slots[i].role == ROLE_LINK &&
		    atomic_load(&all->slots[i].state) != WORKER_ABSENT)
			return &all->slots[i];
	return NULL;
}

void cluster_start(struct sse_worker *w)
{
	w->cluster = xcalloc(1, sizeof *w->cluster);
	w->cluster->worker = w;
	cluster_snapshot_forget(w->cluster);
	counter_set(w->counters, cluster_followers, 0);
	if (cluster_follows(w))
		w->cluster->posts = http_posts_create(w->worker->loop, w->settings->tls_ca_file);
}

/* ---- who asks ---- */

static bool shows_secret(const struct request *request, const char *secret)
{
	static const struct span scheme = SPAN("Bearer ");
	struct span given = request->headers[HEADER_AUTHORIZATION];
	size_t len = strlen(secret);
	return given.at != NULL && given.len == scheme.len + len &&
	       span_equal_nocase(span_of(given.at, scheme.len), scheme) &&
	       CRYPTO_memcmp(given.at + scheme.len, secret, len) == 0;
}

/* False: answered. */
static bool admits(struct request *request)
{
	const char *secret = worker_of(request)->settings->cluster_secret;
	if (*secret == '\0')
		reply_error(request, 403, "no node may follow this one: set cluster.secret");
	else if (!shows_secret(request, secret))
		reply_refusal(request, REFUSAL_UNKNOWN);
	else
		return true;
	return false;
}

/* ---- status ---- */

static void add_link(const struct sse_worker *w, json_t *status)
{
	const struct counters_slot *link = cluster_link(w);
	uint64_t state = link != NULL ? counter_get(link, cluster_state) : 0;
	json_object_set_new(status, "follows", json_string(w->settings->cluster_follow));
	json_object_set_new(status, "state", json_string(link_state_text(state)));
	if (link == NULL)
		return;
	json_object_set_new(status, "lag_bytes",
	                    json_integer((json_int_t)counter_get(link, cluster_lag_bytes)));
	json_object_set_new(status, "lag_ms",
	                    json_integer((json_int_t)counter_get(link, cluster_lag_seconds)));
}

static unsigned followers(const struct sse_worker *w)
{
	const struct counters *all = w->worker->counters;
	unsigned count = 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		if (atomic_load(&all->slots[i].state) != WORKER_ABSENT)
			count += (unsigned)counter_get(&all->slots[i], cluster_followers);
	return count;
}

static void status_handle(struct request *request)
{
	const struct sse_worker *w = worker_of(request);
	const struct ring *ring = store_ring(w->store);
	struct ring_position at = ring_synced(ring);
	char host[256] = "", hash[17];
	gethostname(host, sizeof host - 1);
	snprintf(hash, sizeof hash, "%016llx", (unsigned long long)at.hash);
	json_t *status = json_pack(
	        "{s:s, s:s, s:s, s:i, s:I, s:I, s:s, s:I}", "name",
	        *w->settings->cluster_name != '\0' ? w->settings->cluster_name : host, "version",
	        RINGSIDE_VERSION, "role", cluster_follows(w) ? "follows" : "alone", "format",
	        CLUSTER_FORMAT, "ring_bytes", (json_int_t)ring->bytes, "lsn", (json_int_t)at.lsn,
	        "hash", hash, "followers", (json_int_t)followers(w));
	check(status != NULL);
	if (cluster_follows(w))
		add_link(w, status);
	char *text = json_dumps(status, JSON_COMPACT);
	const struct header headers[] = {no_store, {"content-type", SPAN("application/json")}};
	reply(request, 200, headers, 2, span_str(text));
	free(text);
	json_decref(status);
}

/* ---- what there is ---- */

void cluster_handle(struct request *request)
{
	static const size_t prefix = sizeof "/v1/cluster/" - 1;
	struct span what = span_of(request->path.at + prefix, request->path.len - prefix);
	if (!admits(request))
		return;
	if (request->method != METHOD_GET)
		reply_error(request, 405, "method not allowed here");
	else if (span_equal(what, SPAN("status")))
		status_handle(request);
	else if (span_equal(what, SPAN("log")))
		cluster_log_begin(request);
	else if (span_equal(what, SPAN("snapshot")))
		cluster_snapshot_begin(request);
	else
		reply_error(request, 404, "nothing here");
}

void cluster_turn(struct sse_worker *w)
{
	cluster_log_turn(w->cluster);
	cluster_waits_turn(w->cluster);
}

bool cluster_reads_store(const struct sse_worker *w)
{
	return w->cluster->making;
}

void cluster_drain(struct sse_worker *w)
{
	cluster_log_drain(w->cluster);
	cluster_proxy_drain(w->cluster);
}
