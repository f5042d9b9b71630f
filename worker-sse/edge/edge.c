#include "worker-sse/edge/edge.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/http1.h"
#include "worker-sse/edge/http2.h"
#include "worker-sse/edge/identity.h"
#include "worker-sse/edge/listen.h"
#include "worker-sse/edge/tls.h"
#include "worker-sse/edge/websocket.h"
#include "worker-sse/edge/websocket_deflate.h"

#include <stdlib.h>
#include <time.h>

/* ---- what stands on every answer ---- */

/* RFC 9110 5.6.7, in the "C" locale's names. */
#define DATE_FORMAT "date: %a, %d %b %Y %H:%M:%S GMT\r\n"

/* RFC 9110 6.6.1: an origin server with a clock sends the date. Once a second is enough. */
void edge_tick(struct edge *edge, uint64_t wall_ms)
{
	time_t now = (time_t)(wall_ms / 1000);
	char line[EDGE_DATE_BYTES + 1];
	struct tm tm;
	if (now == edge->date_s)
		return;
	edge->date_s = now;
	check(strftime(line, sizeof line, DATE_FORMAT, gmtime_r(&now, &tm)) == EDGE_DATE_BYTES);
	memcpy(edge->date, line, EDGE_DATE_BYTES);
}

/* ---- life ---- */

void edge_use(struct edge *edge, const struct settings *settings)
{
	edge->settings = edge->options.settings = settings;
	https_hsts(settings, edge->hsts);
	identities_use(edge->identities, settings, clock_wall_ms());
}

enum { JUDGED_AT_ONCE = 64 }; /* connections, between two polls for input */

static void judge_on(uv_idle_t *idle)
{
	struct edge *edge = idle->data;
	if (!conns_judge(edge, JUDGED_AT_ONCE))
		uv_idle_stop(idle);
}

/* Whoever connects from here on comes with what is good now, and stands before them all. */
static void on_stale(void *context)
{
	struct edge *edge = context;
	edge->judge_next = edge->conns;
	uv_idle_start(&edge->judging, judge_on);
}

void edge_init(struct edge *edge, const struct edge_options *options)
{
	edge->options = *options;
	edge->loop = options->loop;
	edge->wheel = options->wheel;
	edge->counters = options->counters;
	edge->http1 = &http1_protocol;
	edge->http2 = &http2_protocol;
	edge->settings = options->settings;
	uv_idle_init(edge->loop, &edge->judging);
	edge->judging.data = edge;
	edge->identities = identities_create(options->settings, options->sources,
	                                     &(struct identities_events){on_stale, edge});
	quota_forget(&edge->options.all->quota, edge->options.slot);
	quota_forget(&edge->options.all->crowd, edge->options.slot);
	cors_init(&edge->cors, edge->settings);
	https_hsts(edge->settings, edge->hsts);
	edge_tick(edge, clock_wall_ms());
	edge->read_buffer = xmalloc(EDGE_READ_BYTES);
	edge->fields = xcalloc(EDGE_FIELDS_MAX, sizeof *edge->fields);
	turn_init(&edge->turn, edge->loop, edge->wheel);
	counter_set(edge->counters, connections, 0);
	counter_set(edge->counters, websockets, 0);
}

void edge_finish(struct edge *edge)
{
	check(edge->conns == NULL);
	identities_destroy(&edge->identities);
	SSL_CTX_free(edge->tls);
	cors_finish(&edge->cors);
	free(edge->read_buffer);
	free(edge->fields);
	websocket_packer_destroy(&edge->packer);
}

bool edge_use_tls(struct edge *edge, uint64_t listens_tls, const struct tls_material *material,
                  char reason[CERTIFICATE_REASON_ROOM])
{
	int64_t expires_s = 0;
	SSL_CTX *fresh = NULL;
	/* Whatever becomes of the certificates: a socket of TLS never speaks in the clear. */
	edge->listens_tls = listens_tls;
	if (material->pairs.len > 0) {
		/* The supervisor has judged whether they have expired, when it read them. A worker
		 * that starts later serves what the others serve. */
		fresh = tls_context(material, 0, &expires_s, reason);
		if (fresh == NULL)
			return false;
	}
	SSL_CTX_free(edge->tls); /* who is connected has a reference of his own */
	edge->tls = fresh;
	counter_set(edge->counters, tls_certificate_expiry_seconds, (uint64_t)expires_s);
	return true;
}

void edge_credentials_changed(struct edge *edge, bool revoked)
{
	if (revoked)
		identities_judge(edge->identities, clock_wall_ms());
	conns_admit_waiting(edge);
}

int edge_listen(struct edge *edge)
{
	return listen_start(edge);
}

void edge_flush(struct edge *edge)
{
	conns_flush(edge);
}

void edge_prepare(struct edge *edge)
{
	conns_flush(edge);
	turn_begin(&edge->turn);
}

void edge_set_ceilings(struct edge *edge, const struct ceilings *ceilings)
{
	edge->body_bytes_max = ceilings->body_bytes;
	counter_set(edge->counters, body_bytes_max, edge->body_bytes_max);
	counter_set(edge->counters, body_bytes, edge->body_bytes);
	waiting_set(&edge->waiting, ceilings->waiting_bytes, edge->counters);
}

void edge_refuse_stalled(struct edge *edge, uint64_t before_ns)
{
	conns_refuse_stalled(edge, before_ns);
}

void edge_stop_accepting(struct edge *edge)
{
	edge->draining = true;
	listen_drain(edge);
}

void edge_drain(struct edge *edge)
{
	websockets_drain(edge);
	conns_drain(edge);
}

bool edge_is_empty(const struct edge *edge)
{
	return edge->conns_count == 0;
}

void edge_close(struct edge *edge)
{
	while (edge->conns != NULL)
		conn_close(edge->conns);
}
