#include "worker-capture/outputs.h"
#include "common/check.h"
#include "common/log.h"

#include <stdlib.h>

enum { LOOK_MS = 500 };

struct outputs {
	uv_loop_t *loop;
	const struct settings *settings;
	struct counters_slot *counters;
	struct session *session; /* NULL: it is closed */
	struct session_watcher *watcher;
	uv_timer_t look;
	struct output **all;
	size_t count, max;
	bool closing;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

/* What does not get out is part of the session's health. */
static void on_look(uv_timer_t *timer)
{
	struct outputs *outputs = timer->data;
	const char *fault = NULL;
	for (size_t i = 0; i < outputs->count && fault == NULL; i++)
		fault = output_fault(outputs->all[i]);
	if (outputs->session != NULL)
		session_report_encoder(outputs->session, fault);
}

static struct output *find(const struct outputs *outputs, const char *name)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (output_state(outputs->all[i]) != OUTPUT_CLOSING &&
		    strcmp(output_name(outputs->all[i]), name) == 0)
			return outputs->all[i];
	return NULL;
}

bool outputs_add(struct outputs *outputs, const char *text, char reason[256])
{
	struct output_target target;
	if (!output_target_parse(&target, span_str(text), reason))
		return false;
	if (find(outputs, target.name) != NULL) {
		snprintf(reason, 256, "there is an output '%s' already", target.name);
		return false;
	}
	if (outputs->count == outputs->max || outputs->session == NULL || outputs->closing) {
		snprintf(reason, 256, "at most %zu outputs (capture.outputs_max)", outputs->max);
		return false;
	}
	outputs->all[outputs->count++] = output_create(outputs->loop, outputs->settings,
	                                               outputs->counters, outputs->session, &target);
	return true;
}

static void on_look_closed(uv_handle_t *handle)
{
	struct outputs *outputs = handle->data;
	void (*on_closed)(void *arg) = outputs->on_closed;
	void *arg = outputs->on_closed_arg;
	free(outputs->all);
	free(outputs);
	on_closed(arg);
}

static void finish(struct outputs *outputs)
{
	if (!outputs->closing || outputs->count > 0)
		return;
	session_unwatch(&outputs->watcher);
	uv_close((uv_handle_t *)&outputs->look, on_look_closed);
}

static void on_output_closed(void *arg, struct output *output)
{
	struct outputs *outputs = arg;
	for (size_t i = 0; i < outputs->count; i++)
		if (outputs->all[i] == output)
			outputs->all[i] = outputs->all[--outputs->count];
	finish(outputs);
}

bool outputs_remove(struct outputs *outputs, const char *name)
{
	struct output *output = find(outputs, name);
	if (output != NULL)
		output_close(output, on_output_closed, outputs);
	return output != NULL;
}

static void on_session_closed(void *arg, struct session *session)
{
	struct outputs *outputs = arg;
	(void)session;
	outputs->session = NULL;
	outputs->watcher = NULL;
}

struct outputs *outputs_create(uv_loop_t *loop, const struct settings *settings,
                               struct counters_slot *counters, struct session *session)
{
	const char *list = settings->capture_outputs;
	char reason[256];
	struct span item;
	if (session == NULL)
		return NULL;
	struct outputs *outputs = xcalloc(1, sizeof *outputs);
	*outputs = (struct outputs){.loop = loop,
	                            .settings = settings,
	                            .counters = counters,
	                            .session = session,
	                            .max = settings->capture_outputs_max};
	outputs->all = xcalloc(outputs->max, sizeof *outputs->all);
	const struct session_watch watch = {.on_closed = on_session_closed, .arg = outputs};
	outputs->watcher = session_watch(session, &watch);
	uv_timer_init(loop, &outputs->look);
	outputs->look.data = outputs;
	uv_timer_start(&outputs->look, on_look, LOOK_MS, LOOK_MS);
	while (output_target_next(&list, &item)) {
		char *text = xmemdup_text(item.at, item.len);
		if (!outputs_add(outputs, text, reason))
			log_error("output not added", "key=capture.outputs reason=\"%s\"", reason);
		free(text);
	}
	return outputs;
}

json_t *outputs_describe(const struct outputs *outputs)
{
	json_t *all = json_array();
	for (size_t i = 0; outputs != NULL && i < outputs->count; i++)
		json_array_append_new(all, output_describe(outputs->all[i]));
	return all;
}

void outputs_close(struct outputs *outputs, void (*on_closed)(void *arg), void *arg)
{
	if (outputs == NULL) {
		on_closed(arg);
		return;
	}
	outputs->closing = true;
	outputs->on_closed = on_closed;
	outputs->on_closed_arg = arg;
	uv_timer_stop(&outputs->look);
	for (size_t i = outputs->count; i > 0; i--)
		output_close(outputs->all[i - 1], on_output_closed, outputs);
	finish(outputs);
}
