/* What workers tell the supervisor: one on_<message>() per row of its inbox in proto/messages.h.
 * What ringsidectl asks is admin.c's. */
#pragma once

#include "supervisor/child.h"

#define CTX struct child
PROTO_INBOX_SUPERVISOR(PROTO_HANDLER_ELSEWHERE)
#undef CTX
enum proto_verdict inbox_dispatch(struct child *ctx, const struct party *from, unsigned type,
                                  struct span body);
