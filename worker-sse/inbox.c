#include "worker-sse/inbox.h"

#define CTX struct sse_worker
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_CALLING(PROTO_HANDLER_ELSEWHERE)

/* Somebody wrote: see what is new. The mark itself is in shared memory. */
static void on_log_durable(struct sse_worker *w, const struct party *from,
                           const struct proto_log_durable *m)
{
	(void)from;
	(void)m;
	uv_async_send(&w->store_async);
}

enum proto_verdict inbox_dispatch(struct worker *worker, const struct party *from, unsigned type,
                                  struct span body)
{
	struct sse_worker *ctx = worker->context;
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
		PROTO_INBOX_CALLING(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}
