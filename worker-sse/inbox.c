#include "worker-sse/inbox.h"
#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "common/base/log.h"
#include "worker-sse/edge/tls.h"
#include "worker-sse/views/hub.h"

#define CTX struct sse_worker
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_LISTENER(PROTO_HANDLER)
PROTO_INBOX_CALLING(PROTO_HANDLER)
PROTO_INBOX_ANSWERING(PROTO_HANDLER)

/* Somebody wrote: see what is new. The mark itself is in shared memory. */
static void on_log_durable(struct sse_worker *w, const struct party *from,
                           const struct proto_log_durable *m)
{
	(void)from;
	(void)m;
	uv_async_send(&w->store_async);
}

static void begin(struct sse_worker *w)
{
	int code = edge_listen(&w->edge);
	if (code == 0)
		worker_ready(w->worker);
	else
		worker_exit(w->worker, code);
}

static void on_listen(struct sse_worker *w, const struct party *from, const struct proto_listen *m)
{
	const struct tls_material material = {.pairs = m->pairs,
	                                      .client_ca = m->client_ca,
	                                      .clients = (enum tls_clients)m->clients,
	                                      .ticket_keys = m->ticket_keys,
	                                      .h2 = w->settings->http2_enabled};
	char reason[CERTIFICATE_REASON_ROOM];
	(void)from;
	if (!edge_use_tls(&w->edge, m->tls, &material, reason))
		log_error("certificates are not used", "reason=\"%s\"", reason);
	if (!w->edge.listening && !w->edge.draining)
		begin(w);
}

static void on_spawned(struct sse_worker *w, const struct party *from,
                       const struct proto_spawned *m)
{
	(void)from;
	hub_spawned(w, m);
}

static void on_call_reply(struct sse_worker *w, const struct party *from,
                          const struct proto_call_reply *m)
{
	asks_take(w->asks, from, m);
}

static void on_call(struct sse_worker *w, const struct party *from, const struct proto_call *m)
{
	calls_take(w->calls, from, m);
}

enum proto_verdict inbox_dispatch(struct worker *worker, const struct party *from, unsigned type,
                                  struct span body)
{
	struct sse_worker *ctx = worker->context;
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
		PROTO_INBOX_LISTENER(PROTO_DISPATCH)
		PROTO_INBOX_CALLING(PROTO_DISPATCH)
		PROTO_INBOX_ANSWERING(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}
