/* ringside-capture: on the bus, drained and restarted like every worker. It renders nothing yet, so
 * capture.workers is 0 unless configured. */
#include "common/worker.h"
#include "proto/roles.h"

#define CTX struct worker
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)

void on_log_durable(struct worker *worker, const struct proto_log_durable *m)
{
	(void)worker;
	(void)m;
}

static enum proto_verdict on_frame(struct worker *ctx, struct peer *from, unsigned type,
                                   struct span body)
{
	unsigned sender = peer_role(from);
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static int start(struct worker *worker)
{
	worker_ready(worker);
	return 0;
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	(void)due_ms;
	worker_exit(worker, EXIT_DONE);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_CAPTURE,
	                                              .name = "capture",
	                                              .start = start,
	                                              .drain = drain,
	                                              .on_frame = on_frame};
	return worker_main(argc, argv, &program);
}
