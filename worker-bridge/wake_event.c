#include "worker-bridge/wake_event.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct wake_event {
	struct command command;
	void (*on_told)(void *arg, uint64_t generation, bool told);
	void *arg;
	uint64_t generation;
	uint32_t size;
	char path[700], producer[SUBSCRIPTION_ID_MAX + 8];
	char *text;
};

static void on_done(struct command *command)
{
	struct wake_event *e = command->owner;
	/* DUPLICATE: before a restart it had already been written. */
	bool told = command->verdict == VERDICT_OK || command->verdict == VERDICT_DUPLICATE;
	if (!told)
		log_warn("wake not announced", "by=%s verdict=%s", e->producer,
		         verdict_name(command->verdict));
	e->on_told(e->arg, e->generation, told);
	free(e->text);
	free(e);
}

static void first_pending(const json_t *doc, struct state *view, char path[SUBSCRIPTION_NAME_ROOM])
{
	json_t *streams = subscription_streams(doc, view), *stream;
	size_t i;
	*path = '\0';
	json_array_foreach (streams, i, stream) {
		if (*path == '\0' && json_is_true(json_object_get(stream, "has_pending")))
			snprintf(path, SUBSCRIPTION_NAME_ROOM, "%s",
			         subscription_text(stream, "path"));
	}
	json_decref(streams);
}

/* The last byte is what ends a message of that stream. */
static char *text_of(const struct wake_event *e, const char *id, const json_t *doc,
                     struct state *view, char end)
{
	char path[SUBSCRIPTION_NAME_ROOM];
	char *whole;
	first_pending(doc, view, path);
	json_t *event = json_pack("{ss ss ss sI sI}", "type", "wake", "subscription_id", id,
	                          "stream", path, "generation", (json_int_t)e->generation, "ts",
	                          (json_int_t)clock_wall_ms());
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL && asprintf(&whole, "%s%c", text, end) > 0);
	json_decref(event);
	free(text);
	return whole;
}

void wake_event_write(struct store *store, const char *id, const json_t *doc,
                      void (*on_told)(void *arg, uint64_t generation, bool told), void *arg)
{
	struct state *view = store_view(store);
	struct wake_event *e = xcalloc(1, sizeof *e);
	e->on_told = on_told;
	e->arg = arg;
	e->generation = subscription_number(doc, "generation");
	snprintf(e->path, sizeof e->path, SUBSCRIPTION_ROOT "%s",
	         subscription_text(doc, "wake_stream"));
	snprintf(e->producer, sizeof e->producer, "__ds/%s", id);
	const struct stream *stream = state_find(view, span_str(e->path));
	bool json = stream == NULL || stream->json;
	e->text = text_of(e, id, doc, view, json ? ',' : '\n');
	/* The look-ups for the text may have let the stream go. */
	stream = state_find(view, span_str(e->path));
	e->size = (uint32_t)strlen(e->text);
	e->command =
	        (struct command){.kind = COMMAND_APPEND,
	                         .done = on_done,
	                         .owner = e,
	                         .path = span_str(e->path),
	                         .content_type = stream != NULL ? span_of(stream->content_type,
	                                                                  stream->content_type_len)
	                                                        : SPAN("application/json"),
	                         .body = {&e->size, 1, span_of(e->text, e->size)},
	                         .producer = {true, span_str(e->producer), e->generation, 0}};
	store_submit(store, &e->command);
}
