/* What workers tell the supervisor, a handler per row of its inbox in proto/messages.h, and whom it
 * concerns. What ringsidectl asks is admin.c's. */
#pragma once

#include "supervisor/child.h"

/* As on_message of struct life; `supervisor` is a struct supervisor. */
enum proto_verdict inbox_dispatch(void *supervisor, struct child *child, const struct party *from,
                                  unsigned type, struct span body);
