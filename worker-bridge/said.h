/* What a decision has to say, in counters and in the log: kept until it is durable, and forgotten
 * with a decision that has not become. So nothing is counted or told twice, however often something
 * is decided anew. */
#pragma once

#include "common/base/counters.h"
#include "common/base/log.h"

#include <stddef.h>

struct said_one;
struct said {
	struct said_one *first, **last;
};

void said_init(struct said *said);

/* counter_add(), then. */
#define said_count(said, name, n) said_count_at(said, offsetof(struct counters_slot, name), n)
void said_count_at(struct said *said, size_t offset, int64_t n);

/* log_line(), then. `event` is a constant. */
void said_log(struct said *said, enum log_level level, const char *event, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* It has become: everything is told, in its order. `counters` may be NULL. Or it has not. */
void said_tell(struct said *said, struct counters_slot *counters);
void said_forget(struct said *said);
