#include "supervisor/inbox.h"
#include "supervisor/supervisor.h"

/* Whose message it is: `from`, as the child that it is. */
struct sender {
	struct supervisor *supervisor;
	struct child *child;
};

#define CTX struct sender
PROTO_INBOX_SUPERVISOR(PROTO_HANDLER)

static void on_hello(struct sender *sender, const struct party *from, const struct proto_hello *m)
{
	(void)from;
	life_hello(sender->child, m->schema_hash);
}

static void on_ready(struct sender *sender, const struct party *from, const struct proto_ready *m)
{
	(void)from;
	life_ready(sender->child, m->generation);
}

static void on_heartbeat(struct sender *sender, const struct party *from,
                         const struct proto_heartbeat *m)
{
	(void)from;
	(void)m;
	life_heard(sender->child);
}

static void on_cannot_start(struct sender *sender, const struct party *from,
                            const struct proto_cannot_start *m)
{
	(void)from;
	life_refuses(sender->child, m->reason);
}

static void on_link_state(struct sender *sender, const struct party *from,
                          const struct proto_link_state *m)
{
	(void)from;
	fleet_link_state(&sender->supervisor->fleet, sender->child, m);
}

static void on_worker_answer(struct sender *sender, const struct party *from,
                             const struct proto_worker_answer *m)
{
	(void)from;
	admin_forwarded(sender->supervisor->admin, m);
}

static void on_spawn(struct sender *sender, const struct party *from, const struct proto_spawn *m)
{
	(void)from;
	programs_start(&sender->supervisor->programs, sender->child, m);
}

static void on_joined(struct sender *sender, const struct party *from, const struct proto_joined *m)
{
	(void)from;
	fleet_joined(&sender->supervisor->fleet, m->joined != 0);
}

enum proto_verdict inbox_dispatch(void *supervisor, struct child *child, const struct party *from,
                                  unsigned type, struct span body)
{
	struct sender sender = {supervisor, child}, *ctx = &sender;
	switch (type) {
		PROTO_INBOX_SUPERVISOR(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}
