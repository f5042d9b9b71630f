#include "worker-bridge/said.h"
#include "common/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct said_one {
	struct said_one *next;
	const char *event; /* NULL: a counter */
	enum log_level level;
	char *text;
	size_t offset;
	int64_t n;
};

void said_init(struct said *said)
{
	*said = (struct said){.last = &said->first};
}

static struct said_one *add(struct said *said)
{
	struct said_one *one = xcalloc(1, sizeof *one);
	*said->last = one;
	said->last = &one->next;
	return one;
}

void said_count_at(struct said *said, size_t offset, int64_t n)
{
	struct said_one *one = add(said);
	one->offset = offset;
	one->n = n;
}

void said_log(struct said *said, enum log_level level, const char *event, const char *format, ...)
{
	struct said_one *one = add(said);
	va_list arguments;
	one->event = event;
	one->level = level;
	va_start(arguments, format);
	check(vasprintf(&one->text, format, arguments) >= 0);
	va_end(arguments);
}

static void count(struct counters_slot *counters, const struct said_one *one)
{
	_Atomic uint64_t *counter = (_Atomic uint64_t *)(void *)((char *)counters + one->offset);
	atomic_store_explicit(
	        counter, atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t)one->n,
	        memory_order_relaxed);
}

void said_tell(struct said *said, struct counters_slot *counters)
{
	for (const struct said_one *one = said->first; one != NULL; one = one->next)
		if (one->event != NULL)
			log_line(one->level, one->event, "%s", one->text);
		else if (counters != NULL)
			count(counters, one);
	said_forget(said);
}

void said_forget(struct said *said)
{
	for (struct said_one *one; (one = said->first) != NULL;) {
		said->first = one->next;
		free(one->text);
		free(one);
	}
	said_init(said);
}
