#include "supervisor/events.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_value(FILE *out, const json_t *value)
{
	const char *text = json_string_value(value);
	if (text == NULL)
		json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT);
	else
		fprintf(out, strpbrk(text, " \"=") != NULL ? "\"%s\"" : "%s", text);
}

static void log_fields(enum log_level level, const char *event, json_t *fields)
{
	char *text = NULL;
	size_t size;
	const char *key;
	json_t *value;
	FILE *out = open_memstream(&text, &size);
	check(out != NULL);
	json_object_foreach (fields, key, value) {
		fprintf(out, "%s%s=", ftell(out) > 0 ? " " : "", key);
		print_value(out, value);
	}
	check(fclose(out) == 0);
	log_line(level, event, "%s", text);
	free(text);
}

void events_keep(struct events *events, const char *line)
{
	char **place = &events->lines[events->count++ % EVENTS_KEPT];
	free(*place);
	*place = xmemdup_text((const uint8_t *)line, strlen(line));
}

void events_emit(struct events *events, enum log_level level, const char *event, json_t *fields)
{
	log_fields(level, event, fields);
	json_t *line =
	        json_pack("{s:I, s:s}", "at_ms", (json_int_t)clock_wall_ms(), "event", event);
	check(line != NULL);
	if (fields != NULL)
		json_object_update(line, fields);
	char **place = &events->lines[events->count++ % EVENTS_KEPT];
	free(*place);
	*place = json_dumps(line, JSON_COMPACT);
	check(*place != NULL);
	json_decref(line);
	json_decref(fields);
	if (events->on_line != NULL)
		events->on_line(events->arg, *place);
}

void events_each(const struct events *events, void (*visit)(void *arg, const char *line), void *arg)
{
	unsigned first = events->count > EVENTS_KEPT ? events->count - EVENTS_KEPT : 0;
	for (unsigned i = first; i < events->count; i++)
		visit(arg, events->lines[i % EVENTS_KEPT]);
}

void events_finish(struct events *events)
{
	for (unsigned i = 0; i < EVENTS_KEPT; i++)
		free(events->lines[i]);
	*events = (struct events){0};
}
