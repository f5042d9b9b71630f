/* What happened to workers and configuration: one log line and one JSON line each, from the same
 * fields. The latest are kept for those who ask later. */
#pragma once

#include "common/base/log.h"

#include <jansson.h>

enum { EVENTS_KEPT = 256 };

struct events {
	char *lines[EVENTS_KEPT]; /* JSON, owned; a ring */
	unsigned count;           /* ever */
	/* Called with every new line; may be NULL. */
	void (*on_line)(void *arg, const char *line);
	void *arg;
};

/* `event` is a constant ("worker-ready"). `fields` is a JSON object of plain values or NULL; the
 * reference is taken. */
void events_emit(struct events *events, enum log_level level, const char *event, json_t *fields);

/* A line that was kept before this process became what it is: kept, and told to nobody. */
void events_keep(struct events *events, const char *line);

/* The kept lines, oldest first. */
void events_each(const struct events *events, void (*visit)(void *arg, const char *line),
                 void *arg);
void events_finish(struct events *events);
