/* What other workers tell this one. */
#pragma once

#include "worker-sse/views/worker.h"

enum proto_verdict inbox_dispatch(struct worker *worker, const struct party *from, unsigned type,
                                  struct span body);
