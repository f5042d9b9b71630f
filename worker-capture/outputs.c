#include "worker-capture/outputs.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/domain/output_row.h"
#include "common/store/actor.h"

#include <inttypes.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LOOK_MS = 500, TRIES_MAX = 50 };

struct output_entry {
	struct output_target target;
	struct output *output; /* NULL: paused, or not yet durable */
	/* Of its text in capture.outputs; "": added at run time. */
	char digest[OUTPUT_ROW_DIGEST_ROOM];
	bool paused, busy; /* busy: a change of it is being written */
	bool ended;        /* removed; it goes when its output has */
};

struct outputs {
	struct capture *capture;
	const struct settings_source *settings;
	struct session *session; /* NULL: it is closed */
	struct session_watcher *watcher;
	uv_timer_t look;
	struct output_entry **all;
	size_t count, room, max;
	size_t writing;     /* transactions under way */
	struct actor seed;  /* the rows as they are to be from the start on */
	json_t *seeds;      /* by key; null: none */
	json_t *unreadable; /* names whose rows this release cannot read: nothing is put in their
	                       place */
	bool closing;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

/* ---- entries ---- */

/* What does not get out is part of the session's health. */
static void on_look(uv_timer_t *timer)
{
	struct outputs *outputs = timer->data;
	const char *fault = NULL;
	for (size_t i = 0; i < outputs->count; i++) {
		struct output *output = outputs->all[i]->output;
		if (output != NULL)
			output_look(output);
		if (output != NULL && fault == NULL)
			fault = output_fault(output);
	}
	if (outputs->session != NULL)
		session_report_encoder(outputs->session, fault);
}

static struct output_entry *find(const struct outputs *outputs, const char *name)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (!outputs->all[i]->ended && strcmp(outputs->all[i]->target.name, name) == 0)
			return outputs->all[i];
	return NULL;
}

static size_t living(const struct outputs *outputs)
{
	size_t count = 0;
	for (size_t i = 0; i < outputs->count; i++)
		count += !outputs->all[i]->ended;
	return count;
}

static struct output_entry *entry_add(struct outputs *outputs, const struct output_target *target)
{
	struct output_entry *entry = xcalloc(1, sizeof *entry);
	entry->target = *target;
	if (outputs->count == outputs->room) {
		outputs->room += outputs->max;
		outputs->all = xrealloc(outputs->all, outputs->room * sizeof *outputs->all);
	}
	outputs->all[outputs->count++] = entry;
	return entry;
}

static void entry_remove(struct outputs *outputs, struct output_entry *entry)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (outputs->all[i] == entry)
			outputs->all[i] = outputs->all[--outputs->count];
	free(entry);
}

static void on_look_closed(uv_handle_t *handle)
{
	struct outputs *outputs = handle->data;
	void (*on_closed)(void *arg) = outputs->on_closed;
	void *arg = outputs->on_closed_arg;
	while (outputs->count > 0)
		free(outputs->all[--outputs->count]);
	free(outputs->all);
	json_decref(outputs->unreadable);
	json_decref(outputs->seeds);
	free(outputs);
	on_closed(arg);
}

static void finish(struct outputs *outputs)
{
	if (!outputs->closing || outputs->writing > 0 ||
	    uv_is_closing((uv_handle_t *)&outputs->look))
		return;
	for (size_t i = 0; i < outputs->count; i++)
		if (outputs->all[i]->output != NULL)
			return;
	session_unwatch(&outputs->watcher);
	uv_close((uv_handle_t *)&outputs->look, on_look_closed);
}

static void start(struct outputs *outputs, struct output_entry *entry)
{
	if (entry->output == NULL && !entry->paused && outputs->session != NULL &&
	    !outputs->closing)
		entry->output = output_create(outputs->capture, outputs->session, &entry->target);
}

static void on_output_closed(void *arg, struct output *output)
{
	struct outputs *outputs = arg;
	for (size_t i = 0; i < outputs->count; i++) {
		struct output_entry *entry = outputs->all[i];
		if (entry->output != output)
			continue;
		entry->output = NULL;
		if (entry->ended)
			entry_remove(outputs, entry);
		else
			start(outputs, entry); /* it may have been resumed meanwhile */
		break;
	}
	finish(outputs);
}

static void stop(struct outputs *outputs, struct output_entry *entry)
{
	if (entry->output != NULL)
		output_close(entry->output, on_output_closed, outputs);
	else if (entry->ended)
		entry_remove(outputs, entry);
}

/* ---- rows ---- */

static void make_key(const struct outputs *outputs, const char *name, char key[OUTPUT_ROW_KEY_ROOM])
{
	snprintf(key, OUTPUT_ROW_KEY_ROOM, OUTPUT_ROW_PREFIX "%s/%s",
	         outputs->settings->newest->feed_default, name);
}

/* What the row of an output is to be, malloc'd; NULL: none. */
static char *row_text(const struct output_entry *entry, bool paused, bool removed)
{
	static const char *const schemes[] = {[OUTPUT_RTMP] = "",
	                                      [OUTPUT_MPEGTS] = "",
	                                      [OUTPUT_HLS] = "hls:",
	                                      [OUTPUT_FILE] = "file:"};
	const struct output_target *target = &entry->target;
	struct output_row row = {.added = *entry->digest == '\0',
	                         .own = target->own,
	                         .paused = paused,
	                         .removed = removed};
	if (removed && row.added)
		return NULL;
	if (row.added)
		snprintf(row.url, sizeof row.url, "%s%s", schemes[target->kind], target->url);
	memcpy(row.digest, entry->digest, sizeof row.digest);
	if (target->kind == OUTPUT_HLS)
		snprintf(row.hls, sizeof row.hls, "%s", target->url);
	return output_row_text(&row);
}

/* False: it has become one that this release cannot read. */
static bool put_row(struct rows *rows, const char *key, const char *text)
{
	struct output_row there;
	struct span value;
	enum row_found found = rows_find(rows, key, &value);
	if (found == ROW_PRESENT)
		found = output_row_read(&there, value);
	if (found == ROW_UNREADABLE) {
		rows_mark(rows, key);
		return false;
	}
	rows_put(rows, key, span_str(text));
	return true;
}

static const char unreadable[] =
        "this release cannot read the row of that output: it is left as it is";

/* ---- changes: durable first, then done ---- */

enum change_kind { CHANGE_ADD, CHANGE_REMOVE, CHANGE_PAUSE, CHANGE_RESUME };

struct change {
	struct actor actor; /* first */
	struct outputs *outputs;
	struct output_entry *entry;
	enum change_kind kind;
	struct outputs_answer answer;
};

static void apply(struct change *change, bool stored)
{
	struct outputs *outputs = change->outputs;
	struct output_entry *entry = change->entry;
	entry->busy = false;
	entry->ended =
	        change->kind == CHANGE_REMOVE ? stored : change->kind == CHANGE_ADD && !stored;
	if (stored && (change->kind == CHANGE_PAUSE || change->kind == CHANGE_RESUME))
		entry->paused = change->kind == CHANGE_PAUSE;
	if (entry->ended || entry->paused)
		stop(outputs, entry);
	else
		start(outputs, entry);
}

static enum actor_decision decide(struct actor *actor, struct actor_change *made)
{
	const struct change *change = (struct change *)actor;
	const struct output_entry *entry = change->entry;
	bool paused =
	        change->kind == CHANGE_PAUSE || (change->kind != CHANGE_RESUME && entry->paused);
	char key[OUTPUT_ROW_KEY_ROOM];
	char *text = row_text(entry, paused, change->kind == CHANGE_REMOVE);
	make_key(change->outputs, entry->target.name, key);
	bool good = put_row(made->rows, key, text);
	free(text);
	return good ? ACTOR_WRITE : ACTOR_STOP;
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct change *change = (struct change *)actor;
	struct outputs *outputs = change->outputs;
	bool stored = end == ACTOR_DURABLE;
	outputs->writing--;
	apply(change, stored);
	change->answer.done(change->answer.arg, stored ? OUTPUTS_DONE : OUTPUTS_UNSTORED,
	                    stored                 ? ""
	                    : end == ACTOR_STOPPED ? unreadable
	                                           : "it could not be made durable; try again");
	free(change);
	finish(outputs);
}

static void submit(struct outputs *outputs, struct output_entry *entry, enum change_kind kind,
                   const struct outputs_answer *answer)
{
	static const struct actor_type type = {
	        .decide = decide, .end = on_end, .tries_max = TRIES_MAX};
	struct change *change = xcalloc(1, sizeof *change);
	actor_init(&change->actor, &type, outputs->capture->store, outputs->capture->worker->mine);
	change->outputs = outputs;
	change->entry = entry;
	change->kind = kind;
	change->answer = *answer;
	entry->busy = true;
	outputs->writing++;
	check(actor_turn(&change->actor));
}

static void say(const struct outputs_answer *answer, enum outputs_result result, const char *reason)
{
	answer->done(answer->arg, result, reason);
}

/* False: answered. */
static bool is_open(const struct outputs *outputs, const struct outputs_answer *answer)
{
	bool open = outputs != NULL && outputs->session != NULL && !outputs->closing;
	if (!open)
		say(answer, OUTPUTS_CLOSED,
		    "there is no picture to send: capture.url is empty, or it ends");
	return open;
}

static bool is_unreadable(const struct outputs *outputs, const char *name)
{
	return json_object_get(outputs->unreadable, name) != NULL;
}

/* NULL: answered. */
static struct output_entry *named(const struct outputs *outputs, const char *name,
                                  const struct outputs_answer *answer)
{
	if (!is_open(outputs, answer))
		return NULL;
	struct output_entry *entry = find(outputs, name);
	if (is_unreadable(outputs, name)) {
		say(answer, OUTPUTS_UNSTORED, unreadable);
		return NULL;
	}
	if (entry != NULL && !entry->busy)
		return entry;
	if (entry == NULL)
		say(answer, OUTPUTS_MISSING, "there is no output of that name");
	else
		say(answer, OUTPUTS_BUSY, "another change of that output is under way");
	return NULL;
}

void outputs_add(struct outputs *outputs, const struct output_target *target, bool paused,
                 const struct outputs_answer *answer)
{
	char reason[256];
	if (!is_open(outputs, answer))
		return;
	const struct output_entry *there = find(outputs, target->name);
	if (is_unreadable(outputs, target->name)) {
		say(answer, OUTPUTS_UNSTORED, unreadable);
	} else if (there != NULL && there->busy) {
		say(answer, OUTPUTS_BUSY, "another change of that output is under way");
	} else if (there != NULL && there->target.kind == target->kind &&
	           strcmp(there->target.url, target->url) == 0 && there->paused == paused) {
		say(answer, OUTPUTS_UNCHANGED, "");
	} else if (there != NULL) {
		snprintf(reason, sizeof reason, "there is an output '%s' already", target->name);
		say(answer, OUTPUTS_TAKEN, reason);
	} else if (living(outputs) >= outputs->max) {
		snprintf(reason, sizeof reason, "at most %zu outputs (capture.outputs_max)",
		         outputs->max);
		say(answer, OUTPUTS_FULL, reason);
	} else {
		struct output_entry *entry = entry_add(outputs, target);
		entry->paused = paused;
		submit(outputs, entry, CHANGE_ADD, answer);
	}
}

void outputs_remove(struct outputs *outputs, const char *name, const struct outputs_answer *answer)
{
	struct output_entry *entry = named(outputs, name, answer);
	if (entry != NULL)
		submit(outputs, entry, CHANGE_REMOVE, answer);
}

void outputs_pause(struct outputs *outputs, const char *name, bool paused,
                   const struct outputs_answer *answer)
{
	struct output_entry *entry = named(outputs, name, answer);
	if (entry != NULL && entry->paused == paused)
		say(answer, OUTPUTS_UNCHANGED, "");
	else if (entry != NULL)
		submit(outputs, entry, paused ? CHANGE_PAUSE : CHANGE_RESUME, answer);
}

/* ---- the start ---- */

/* False: the reason says why not. */
static bool add_item(struct outputs *outputs, struct span item, char reason[256])
{
	struct output_target target;
	if (!output_target_parse(&target, item, reason))
		return false;
	if (find(outputs, target.name) != NULL) {
		snprintf(reason, 256, "there is an output '%s' already", target.name);
		return false;
	}
	if (outputs->count == outputs->max) {
		snprintf(reason, 256, "at most %zu outputs (capture.outputs_max)", outputs->max);
		return false;
	}
	target.own = true;
	snprintf(entry_add(outputs, &target)->digest, OUTPUT_ROW_DIGEST_ROOM, "%016" PRIx64,
	         (uint64_t)XXH3_64bits(item.at, item.len));
	return true;
}

static void add_of_settings(struct outputs *outputs)
{
	const char *list = outputs->settings->newest->capture_outputs;
	char reason[256];
	struct span item;
	while (output_target_next(&list, &item))
		if (!add_item(outputs, item, reason))
			log_error("output not added", "key=capture.outputs reason=\"%s\"", reason);
}

/* False: the row says nothing any more. */
static bool take_row_of_settings(struct outputs *outputs, const char *name,
                                 const struct output_row *row)
{
	struct output_entry *entry = find(outputs, name);
	if (entry == NULL || strcmp(entry->digest, row->digest) != 0)
		return false;
	entry->paused = row->paused;
	entry->busy = row->removed; /* for take_rows() */
	return true;
}

/* False: the url means nothing to this release. */
static bool target_of(const char *name, const struct output_row *row, struct output_target *target)
{
	char text[OUTPUT_NAME_MAX + OUTPUT_ROW_URL_MAX + 2], reason[256];
	snprintf(text, sizeof text, "%s=%s", name, row->url);
	bool good = output_target_parse(target, span_str(text), reason);
	target->own = row->own;
	return good;
}

static void take_added_row(struct outputs *outputs, const char *name,
                           const struct output_target *target, bool paused)
{
	struct output_entry *hidden = find(outputs, name);
	if (hidden != NULL) {
		log_warn("output hidden",
		         "name=%s reason=\"one added while Ringside ran has its name\"", name);
		entry_remove(outputs, hidden);
	}
	entry_add(outputs, target)->paused = paused;
}

/* Takes `text`. */
static void plant(struct outputs *outputs, const char *key, char *text)
{
	json_object_set_new(outputs->seeds, key, text != NULL ? json_string(text) : json_null());
	free(text);
}

static bool take_row(void *arg, struct span key, struct span value)
{
	struct outputs *outputs = arg;
	char prefix[OUTPUT_ROW_KEY_ROOM], row_key[OUTPUT_ROW_KEY_ROOM],
	        name[OUTPUT_NAME_MAX + 1] = "";
	struct output_row row;
	struct output_target target;
	make_key(outputs, "", prefix);
	size_t len = key.len - strlen(prefix);
	if (len <= OUTPUT_NAME_MAX)
		memcpy(name, key.at + strlen(prefix), len);
	make_key(outputs, name, row_key);
	if (*name == '\0' || output_row_read(&row, value) != ROW_PRESENT ||
	    (row.added && !target_of(name, &row, &target))) {
		row_alert(outputs->capture->worker->mine, row_key);
		json_object_set_new(outputs->unreadable, name, json_true());
	} else if (row.added) {
		take_added_row(outputs, name, &target, row.paused);
	} else if (!take_row_of_settings(outputs, name, &row)) {
		/* Those of the settings are written anew, once, by take_rows(). */
		const struct output_entry *entry = find(outputs, name);
		if (entry == NULL || *entry->digest == '\0')
			plant(outputs, row_key, NULL);
	}
	return true;
}

static struct outputs *seeded(struct actor *actor)
{
	return (struct outputs *)((char *)actor - offsetof(struct outputs, seed));
}

static enum actor_decision decide_seeds(struct actor *actor, struct actor_change *change)
{
	struct outputs *outputs = seeded(actor);
	const char *key;
	json_t *text;
	json_object_foreach (outputs->seeds, key, text) {
		if (!put_row(change->rows, key, json_string_value(text)))
			return ACTOR_STOP;
	}
	return ACTOR_WRITE;
}

static void on_seeded(struct actor *actor, enum actor_end end)
{
	struct outputs *outputs = seeded(actor);
	if (end != ACTOR_DURABLE)
		log_error("outputs not stored", "verdict=%s", verdict_name(actor->verdict));
	outputs->writing--;
	finish(outputs);
}

static void take_rows(struct outputs *outputs)
{
	static const struct actor_type type = {
	        .decide = decide_seeds, .end = on_seeded, .tries_max = TRIES_MAX};
	char key[OUTPUT_ROW_KEY_ROOM];
	struct store *store = outputs->capture->store;
	while (store_advance(store, 0)) {
	}
	make_key(outputs, "", key);
	state_kv_each(store_view(store), span_str(key), take_row, outputs);
	for (size_t i = outputs->count; i > 0; i--) {
		struct output_entry *entry = outputs->all[i - 1];
		bool removed = entry->busy;
		entry->busy = false;
		make_key(outputs, entry->target.name, key);
		if (*entry->digest != '\0' && !is_unreadable(outputs, entry->target.name))
			plant(outputs, key, row_text(entry, entry->paused, removed));
		if (removed)
			entry_remove(outputs, entry);
	}
	outputs->writing++;
	actor_init(&outputs->seed, &type, store, outputs->capture->worker->mine);
	check(actor_turn(&outputs->seed));
}

static void on_session_closed(void *arg, struct session *session)
{
	struct outputs *outputs = arg;
	(void)session;
	outputs->session = NULL;
	outputs->watcher = NULL;
}

struct outputs *outputs_create(struct capture *capture, struct session *session)
{
	const struct settings_source *settings = &capture->worker->settings;
	if (session == NULL)
		return NULL;
	struct outputs *outputs = xcalloc(1, sizeof *outputs);
	*outputs = (struct outputs){.capture = capture,
	                            .settings = settings,
	                            .session = session,
	                            .max = settings->newest->capture_outputs_max,
	                            .unreadable = json_object(),
	                            .seeds = json_object()};
	const struct session_watch watch = {.on_closed = on_session_closed, .arg = outputs};
	outputs->watcher = session_watch(session, &watch);
	uv_timer_init(capture->worker->loop, &outputs->look);
	outputs->look.data = outputs;
	uv_timer_start(&outputs->look, on_look, LOOK_MS, LOOK_MS);
	add_of_settings(outputs);
	take_rows(outputs);
	for (size_t i = 0; i < outputs->count; i++)
		start(outputs, outputs->all[i]);
	return outputs;
}

/* ---- the rest ---- */

static json_t *describe(const struct output_entry *entry)
{
	char where[256];
	json_t *json = entry->output != NULL ? output_describe(entry->output) : json_object();
	if (entry->output == NULL) {
		output_target_public(&entry->target, where);
		json_object_set_new(json, "name", json_string(entry->target.name));
		json_object_set_new(json, "to", json_string(where));
		json_object_set_new(json, "state",
		                    json_string(entry->paused ? "paused" : "waiting"));
	}
	json_object_set_new(json, "paused", json_boolean(entry->paused));
	json_object_set_new(json, "added", json_boolean(*entry->digest == '\0'));
	return json;
}

json_t *outputs_describe(const struct outputs *outputs)
{
	json_t *all = json_array();
	for (size_t i = 0; outputs != NULL && i < outputs->count; i++)
		if (!outputs->all[i]->ended || outputs->all[i]->output != NULL)
			json_array_append_new(all, describe(outputs->all[i]));
	return all;
}

json_t *outputs_describe_one(const struct outputs *outputs, const char *name)
{
	const struct output_entry *entry = outputs != NULL ? find(outputs, name) : NULL;
	return entry != NULL ? describe(entry) : NULL;
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
		if (outputs->all[i - 1]->output != NULL)
			output_close(outputs->all[i - 1]->output, on_output_closed, outputs);
	finish(outputs);
}
