/* ringside-capture: runs the browsers. */
#include "common/log.h"
#include "proto/roles.h"
#include "worker-capture/feed_session.h"
#include "worker-capture/inbox.h"
#include "worker-capture/keeper.h"

void on_log_durable(struct capture *capture, const struct proto_log_durable *m)
{
	(void)capture;
	(void)m;
}

static enum proto_verdict on_frame(struct worker *worker, struct peer *from, unsigned type,
                                   struct span body)
{
	struct capture *ctx = worker->context;
	unsigned sender = peer_role(from);
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
		PROTO_INBOX_BROWSERS(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static int start(struct worker *worker)
{
	static struct capture capture;
	worker->context = &capture;
	capture.worker = worker;
	capture.sessions = sessions_create(worker->loop, &worker->settings, worker->mine);
	feed_session_open(capture.sessions, &worker->settings);
	worker_ready(worker);
	return 0;
}

static void reload(struct worker *worker)
{
	struct capture *capture = worker->context;
	sessions_reload(capture->sessions);
}

static void on_closed(void *arg)
{
	struct capture *capture = arg;
	worker_exit(capture->worker, EXIT_DONE);
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct capture *capture = worker->context;
	(void)due_ms;
	sessions_close(capture->sessions, on_closed, capture);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_CAPTURE,
	                                              .name = "capture",
	                                              .start = start,
	                                              .reload = reload,
	                                              .drain = drain,
	                                              .on_frame = on_frame};
	keeper_main(argc, argv);
	return worker_main(argc, argv, &program);
}
