/* What the supervisor is told, by workers and by ringsidectl: one on_<message>() per row of its
 * inbox in proto/messages.h. */
#pragma once

#include "supervisor/child.h"

struct admin_client;

/* Who sent it: the one that fits the sender's role is set. */
struct sender {
	struct child *child;
	struct admin_client *client;
};

#define CTX struct sender
PROTO_INBOX_SUPERVISOR(PROTO_HANDLER)
enum proto_verdict inbox_dispatch(struct sender *ctx, unsigned sender, unsigned type,
                                  struct span body);
