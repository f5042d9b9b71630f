#include "worker-capture/outputs.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/domain/output_row.h"
#include "common/store/row.h"
#include "common/store/txn.h"

#include <inttypes.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LOOK_MS = 500, DIGEST_ROOM = 17 };

struct output_entry {
	struct output_target target;
	struct output *output;    /* NULL: paused, or not yet durable */
	char digest[DIGEST_ROOM]; /* of its text in capture.outputs; "": added at run time */
	bool paused, busy;        /* busy: a change of it is being written */
	bool ended;               /* removed; it goes when its output has */
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

static void put_row(const struct outputs *outputs, struct txn *txn,
                    const struct output_entry *entry, bool paused, bool removed)
{
	static const char *const schemes[] = {[OUTPUT_RTMP] = "",
	                                      [OUTPUT_MPEGTS] = "",
	                                      [OUTPUT_HLS] = "hls:",
	                                      [OUTPUT_FILE] = "file:"};
	char key[OUTPUT_ROW_KEY_ROOM], url[OUTPUT_URL_MAX + 8];
	bool added = *entry->digest == '\0', hls = entry->target.kind == OUTPUT_HLS;
	make_key(outputs, entry->target.name, key);
	if (removed && added) {
		txn_put_always(txn, span_str(key), (struct span){0});
		return;
	}
	snprintf(url, sizeof url, "%s%s", schemes[entry->target.kind], entry->target.url);
	json_t *row = json_pack("{s:b, s:b, s:s*, s:s*, s:s*, s:b, s:b}", "added", added, "own",
	                        entry->target.own, "url", added ? url : NULL, "digest",
	                        added ? NULL : entry->digest, "hls", hls ? entry->target.url : NULL,
	                        "paused", paused, "removed", removed);
	check(row != NULL);
	char *text = json_dumps(row, JSON_COMPACT);
	check(text != NULL);
	txn_put_always(txn, span_str(key), span_str(text));
	free(text);
	json_decref(row);
}

/* ---- changes: durable first, then done ---- */

enum change_kind { CHANGE_ADD, CHANGE_REMOVE, CHANGE_PAUSE, CHANGE_RESUME };

struct change {
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

static void on_written(void *owner, enum verdict verdict)
{
	struct change *change = owner;
	struct outputs *outputs = change->outputs;
	bool stored = verdict == VERDICT_OK;
	outputs->writing--;
	apply(change, stored);
	change->answer.done(change->answer.arg, stored ? OUTPUTS_DONE : OUTPUTS_UNSTORED,
	                    stored ? "" : "it could not be made durable; try again");
	free(change);
	finish(outputs);
}

static void submit(struct outputs *outputs, struct output_entry *entry, enum change_kind kind,
                   const struct outputs_answer *answer)
{
	struct change *change = xcalloc(1, sizeof *change);
	struct txn *txn = txn_create();
	bool paused = kind == CHANGE_PAUSE || (kind != CHANGE_RESUME && entry->paused);
	*change = (struct change){outputs, entry, kind, *answer};
	put_row(outputs, txn, entry, paused, kind == CHANGE_REMOVE);
	entry->busy = true;
	outputs->writing++;
	txn_submit(&txn, outputs->capture->store, on_written, change);
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

static const char unreadable[] =
        "this release cannot read the row of that output: it is left as it is";

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
	snprintf(entry_add(outputs, &target)->digest, DIGEST_ROOM, "%016" PRIx64,
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

static bool is_true(const json_t *row, const char *key)
{
	return json_is_true(json_object_get(row, key));
}

/* False: the row says nothing any more. */
static bool take_row_of_settings(struct outputs *outputs, const char *name, const json_t *row)
{
	struct output_entry *entry = find(outputs, name);
	const char *digest = json_string_value(json_object_get(row, "digest"));
	if (entry == NULL || digest == NULL || strcmp(entry->digest, digest) != 0)
		return false;
	entry->paused = is_true(row, "paused");
	entry->busy = is_true(row, "removed"); /* for take_rows() */
	return true;
}

/* As it would stand in capture.outputs. False: it is too long. */
static bool output_text(const char *name, const json_t *row,
                        char text[OUTPUT_NAME_MAX + OUTPUT_URL_MAX + 16])
{
	enum { ROOM = OUTPUT_NAME_MAX + OUTPUT_URL_MAX + 16 };
	return snprintf(text, ROOM, "%s=%s", name, json_string_value(json_object_get(row, "url"))) <
	       ROOM;
}

static void take_added_row(struct outputs *outputs, const char *name, const json_t *row)
{
	char text[OUTPUT_NAME_MAX + OUTPUT_URL_MAX + 16], reason[256];
	struct output_target target;
	output_text(name, row, text);
	check(output_target_parse(&target, span_str(text), reason));
	target.own = is_true(row, "own");
	struct output_entry *hidden = find(outputs, name);
	if (hidden != NULL) {
		log_warn("output hidden",
		         "name=%s reason=\"one added while Ringside ran has its name\"", name);
		entry_remove(outputs, hidden);
	}
	entry_add(outputs, &target)->paused = is_true(row, "paused");
}

/* Of those of the settings the digest is needed, of added ones a url that is understood. "paused"
 * and "removed" are false by default. */
static bool row_valid(const char *name, const json_t *row)
{
	char text[OUTPUT_NAME_MAX + OUTPUT_URL_MAX + 16], reason[256];
	struct output_target target;
	const json_t *added = json_object_get(row, "added"), *url = json_object_get(row, "url");
	if (*name == '\0' || !json_is_boolean(added))
		return false;
	if (json_is_false(added))
		return json_is_string(json_object_get(row, "digest"));
	return json_is_string(url) && output_text(name, row, text) &&
	       output_target_parse(&target, span_str(text), reason);
}

struct rows {
	struct outputs *outputs;
	struct txn *txn;
	size_t prefix_len;
};

static bool take_row(void *arg, struct span key, struct span value)
{
	struct rows *rows = arg;
	char name[OUTPUT_NAME_MAX + 1] = "";
	size_t len = key.len - rows->prefix_len;
	json_t *row = json_loadb((const char *)value.at, value.len, JSON_REJECT_DUPLICATES, NULL);
	if (len > 0 && len <= OUTPUT_NAME_MAX)
		memcpy(name, key.at + rows->prefix_len, len);
	if (!row_valid(name, row)) {
		char row_key[OUTPUT_ROW_KEY_ROOM];
		make_key(rows->outputs, name, row_key);
		row_alert(rows->outputs->capture->worker->mine, row_key);
		json_object_set_new(rows->outputs->unreadable, name, json_true());
	} else if (is_true(row, "added")) {
		take_added_row(rows->outputs, name, row);
	} else {
		bool taken = take_row_of_settings(rows->outputs, name, row);
		/* Those of the settings are written anew, once, by take_rows(). */
		const struct output_entry *entry = find(rows->outputs, name);
		if (!taken && (entry == NULL || *entry->digest == '\0'))
			txn_put_always(rows->txn, key, (struct span){0});
	}
	json_decref(row);
	return true;
}

static void on_seeded(void *owner, enum verdict verdict)
{
	struct outputs *outputs = owner;
	if (verdict != VERDICT_OK)
		log_error("outputs not stored", "verdict=%s", verdict_name(verdict));
	outputs->writing--;
	finish(outputs);
}

static void take_rows(struct outputs *outputs)
{
	char prefix[OUTPUT_ROW_KEY_ROOM];
	struct store *store = outputs->capture->store;
	struct txn *txn = txn_create();
	make_key(outputs, "", prefix);
	struct rows rows = {outputs, txn, strlen(prefix)};
	while (store_advance(store, 0)) {
	}
	state_kv_each(store_view(store), span_str(prefix), take_row, &rows);
	for (size_t i = outputs->count; i > 0; i--) {
		struct output_entry *entry = outputs->all[i - 1];
		bool removed = entry->busy;
		entry->busy = false;
		if (*entry->digest != '\0' && !is_unreadable(outputs, entry->target.name))
			put_row(outputs, txn, entry, entry->paused, removed);
		if (removed)
			entry_remove(outputs, entry);
	}
	outputs->writing++;
	txn_submit(&txn, store, on_seeded, outputs);
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
	                            .unreadable = json_object()};
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
