/* Render sessions and the store: what is written when. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/store/actor.h"
#include "common/store/record.h"
#include "worker-capture/render_parts.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MS = 1000, STREAM_KEEP_FACTOR = 4 };

static void publish(struct render_live *live, json_t *event, struct txn *txn, const char *path)
{
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	txn_publish(txn, path, span_str(text));
	free(text);
	json_decref(event);
	counter_add(live->all->capture->worker->mine, render_events_total, 1);
}

static bool due(const struct render_live *live, uint64_t now_ms)
{
	return live->state == RENDER_ENDING || live->patch_now ||
	       now_ms >=
	               live->published_ms + live->all->settings->newest->sessions_state_interval_ms;
}

/* Every event there is to tell now. False: there is none. */
static bool gather(struct render_live *live, struct txn *txn, uint64_t now_ms)
{
	struct render_session *paper = live->paper;
	char path[RENDER_PATH_ROOM];
	bool any = false;
	render_session_path(paper->id, path);
	if (render_life_is_new(live->state)) {
		publish(live, render_session_first(paper), txn, path);
		return true;
	}
	json_t *patch = due(live, now_ms) ? render_session_patch(paper) : NULL;
	if (patch != NULL) {
		live->published_ms = now_ms;
		publish(live, patch, txn, path);
		any = true;
	}
	live->signals_writing = json_array_size(live->signals);
	for (size_t i = 0; i < live->signals_writing; i++) {
		publish(live, render_session_signal(paper, json_array_get(live->signals, i)), txn,
		        path);
		any = true;
	}
	if (live->state == RENDER_ENDING) {
		render_live_on(live, RENDER_LIFE_LAST);
		paper->ended_ms = clock_wall_ms();
		publish(live, render_session_end(paper, live->ending), txn, path);
		txn_close(txn, path);
		any = true;
	}
	return any;
}

/* ---- idempotency ---- */

static size_t retry_row_key(const char *retry_key, char out[RENDER_PATH_ROOM])
{
	return (size_t)snprintf(out, RENDER_PATH_ROOM, RENDER_RETRY_KEY_PREFIX "%s", retry_key);
}

static const struct record_field retry_fields[] = {
        {.name = "id", .kind = RECORD_STRING, RECORD_NEEDED},
        {.name = "digest", .kind = RECORD_STRING, RECORD_NEEDED},
};
static const struct record retry_record = {RECORD_FIELDS(retry_fields)};

enum row_found render_retry_row(struct render_sessions *all, const char *retry_key, json_t **row)
{
	char key[RENDER_PATH_ROOM];
	retry_row_key(retry_key, key);
	enum row_found found = row_json(store_view(all->capture->store), key, row);
	if (found == ROW_PRESENT)
		found = record_read(&retry_record, *row, NULL);
	if (found != ROW_UNREADABLE)
		return found;
	row_alert(all->capture->worker->mine, key);
	json_decref(*row);
	*row = NULL;
	return ROW_UNREADABLE;
}

void render_retry_digest(struct call *call, char out[65])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(call->body.at, call->body.len, digest);
	hex_print(digest, sizeof digest, out);
}

static void put_retry_row(struct render_live *live, struct rows *rows)
{
	char key[RENDER_PATH_ROOM], value[160];
	if (*live->paper->retry_key == '\0' || !render_life_is_new(live->state))
		return;
	retry_row_key(live->paper->retry_key, key);
	int len = snprintf(value, sizeof value, "{\"id\":\"%s\",\"digest\":\"%s\"}",
	                   live->paper->id, live->retry_digest);
	rows_expect(rows, key, (struct span){0});
	rows_put(rows, key, span_of(value, (size_t)len));
}

/* ---- writing ---- */

static void answer_all(struct render_answer **list, struct render_live *live)
{
	while (*list != NULL) {
		struct render_answer *a = *list;
		*list = a->next;
		if (live != NULL)
			a->answer(a->call, live);
		else
			call_refuse(a->call, 503, "it could not be made durable; try again");
		free(a);
	}
}

static void on_trimmed(struct command *command)
{
	free(command);
}

/* What a client will hear is in the stream's last part: the rest may go. */
static void trim(struct render_live *live)
{
	struct store *store = live->all->capture->store;
	uint64_t keep = live->all->settings->newest->sessions_replay_bytes;
	char path[RENDER_PATH_ROOM];
	size_t len = render_session_path(live->paper->id, path);
	struct stream *stream = state_find(store_view(store), span_of(path, len));
	if (stream == NULL || stream->dropped ||
	    stream->tail - stream->first < keep * STREAM_KEEP_FACTOR)
		return;
	uint64_t to = store_page_end(store, stream, stream->first, stream->tail,
	                             stream->tail - stream->first - keep);
	struct command *command = xcalloc(1, sizeof *command);
	*command = (struct command){
	        .kind = COMMAND_TRIM, .stream_id = stream->id, .trim_to = to, .done = on_trimmed};
	store_submit(store, command);
}

static void on_durable(struct render_live *live)
{
	free(live->document);
	live->document = live->writing;
	live->writing = NULL;
	for (; live->signals_writing > 0; live->signals_writing--)
		json_array_remove(live->signals, 0);
	render_live_on(live, RENDER_LIFE_WRITTEN);
	answer_all(&live->writers, live);
	if (live->state == RENDER_OVER) {
		answer_all(&live->asked, live);
		return;
	}
	trim(live);
	render_changed(live);
}

/* Nothing of it was written: the paper goes back to what the store has, and the difference is told
 * later. */
static void on_failed(struct render_live *live, enum verdict verdict)
{
	struct render_session *was;
	free(live->writing);
	live->writing = NULL;
	live->signals_writing = 0;
	log_warn("render session not written", "session=%s verdict=%s", live->paper->id,
	         verdict_name(verdict));
	answer_all(&live->writers, NULL);
	if (render_life_is_new(live->state) || verdict == VERDICT_KV_CONFLICT) {
		/* It never came to be, or somebody else has it: it is not ours. */
		render_remove(live, RENDER_LIFE_LOST);
		return;
	}
	render_live_on(live, RENDER_LIFE_UNWRITTEN);
	was = render_session_load(span_str(live->document), 0);
	check(was != NULL);
	live->paper->rev = was->rev;
	live->paper->signals = was->signals;
	live->paper->ended_ms = 0;
	json_decref(live->paper->published);
	live->paper->published = json_incref(was->published);
	render_session_destroy(&was);
	live->document_changed = true;
	render_changed(live);
}

static enum actor_decision write_changes(struct render_live *live, struct actor_change *change)
{
	char key[RENDER_PATH_ROOM];
	if (!gather(live, change->txn, clock_monotonic_ms()) && !live->document_changed)
		return ACTOR_REST;
	live->document_changed = live->patch_now = false;
	live->writing = render_session_document(live->paper);
	live->writers = live->asked;
	live->asked = NULL;
	render_session_key(live->paper->id, key);
	rows_expect(change->rows, key, span_str(live->document));
	rows_put(change->rows, key, span_str(live->writing));
	put_retry_row(live, change->rows);
	return ACTOR_WRITE;
}

static enum actor_decision forget_rows(struct render_live *live, struct actor_change *change)
{
	char key[RENDER_PATH_ROOM];
	render_session_key(live->paper->id, key);
	rows_expect(change->rows, key, span_str(live->document));
	rows_put(change->rows, key, (struct span){0});
	if (*live->paper->retry_key == '\0')
		return ACTOR_WRITE;
	retry_row_key(live->paper->retry_key, key);
	rows_put(change->rows, key, (struct span){0});
	return ACTOR_WRITE;
}

static struct render_live *live_of(struct actor *actor)
{
	return (struct render_live *)((char *)actor - offsetof(struct render_live, actor));
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct render_live *live = live_of(actor);
	return live->state == RENDER_FORGETTING ? forget_rows(live, change)
	                                        : write_changes(live, change);
}

static void on_forget_end(struct render_live *live, bool forgotten)
{
	if (forgotten)
		render_remove(live, RENDER_LIFE_FORGOTTEN);
	else
		render_live_on(live, RENDER_LIFE_KEPT);
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct render_live *live = live_of(actor);
	if (live->state == RENDER_FORGETTING) {
		on_forget_end(live, end == ACTOR_DURABLE);
		return;
	}
	switch (end) {
	case ACTOR_DURABLE:
		on_durable(live);
		break;
	case ACTOR_RESTED:
		answer_all(&live->asked, live); /* there was nothing to wait for */
		break;
	case ACTOR_STOPPED:
		break; /* its row was read when it was taken over */
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		on_failed(live, actor->verdict);
		break;
	}
}

void render_publish_start(struct render_live *live)
{
	/* What is compared is what was written last: who else writes it has it (on_failed()). */
	static const struct actor_type type = {
	        .decide = decide, .end = on_end, .tries_max = 1, .pause_ms = RETRY_MS};
	actor_init(&live->actor, &type, live->all->capture->store,
	           live->all->capture->worker->mine);
}

/* ---- when ---- */

/* Is there something that is not held back for sessions.state_interval? */
static bool does_not_wait(const struct render_live *live)
{
	return render_life_is_new(live->state) || live->state == RENDER_ENDING ||
	       live->document_changed || json_array_size(live->signals) > 0;
}

static bool wants_to_write(const struct render_live *live)
{
	return does_not_wait(live) || live->asked != NULL ||
	       !json_equal(live->paper->state, live->paper->published);
}

/* Monotonic; UINT64_MAX: nothing to write. */
static uint64_t write_due_ms(const struct render_live *live)
{
	uint64_t interval_ms = live->all->settings->newest->sessions_state_interval_ms;
	if (actor_busy(&live->actor) || !render_life_writes(live->state) || !wants_to_write(live))
		return UINT64_MAX;
	uint64_t due_ms = does_not_wait(live) ? 0 : live->published_ms + interval_ms;
	return due_ms > live->actor.due_ms ? due_ms : live->actor.due_ms;
}

static void on_publish_timer(uv_timer_t *timer);

static void schedule(struct render_sessions *all, uint64_t now_ms)
{
	uint64_t first_ms = UINT64_MAX;
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next) {
		uint64_t due_ms = write_due_ms(live);
		first_ms = due_ms < first_ms ? due_ms : first_ms;
	}
	if (first_ms == UINT64_MAX)
		uv_timer_stop(&all->publish);
	else
		uv_timer_start(&all->publish, on_publish_timer,
		               first_ms > now_ms ? first_ms - now_ms : 0, 0);
}

static void on_publish_timer(uv_timer_t *timer)
{
	struct render_sessions *all = timer->data;
	uint64_t now_ms = clock_monotonic_ms();
	struct render_live *live, *next;
	if (all->draining)
		return;
	HASH_ITER (hh, all->lives, live, next)
		if (write_due_ms(live) <= now_ms)
			actor_turn(&live->actor);
	schedule(all, now_ms);
}

void render_changed(struct render_live *live)
{
	struct render_sessions *all = live->all;
	uint64_t now_ms = clock_monotonic_ms();
	if (all->draining)
		return;
	if (write_due_ms(live) <= now_ms)
		actor_turn(&live->actor);
	schedule(all, now_ms);
}

void render_answer_later(struct render_live *live, struct call *call,
                         void (*answer)(struct call *call, struct render_live *live))
{
	struct render_answer *a = xcalloc(1, sizeof *a), **last = &live->asked;
	*a = (struct render_answer){.call = call, .answer = answer};
	while (*last != NULL)
		last = &(*last)->next;
	*last = a;
	render_changed(live);
}

/* ---- its changes ---- */

void render_touch(struct render_live *live)
{
	render_session_touch(live->paper, clock_wall_ms());
	render_changed(live);
}

void render_end(struct render_live *live, const char *reason)
{
	if (!render_life_lives(live->state))
		return;
	render_live_on(live, RENDER_LIFE_END);
	log_info("render session ends", "session=%s reason=%s", live->paper->id, reason);
	counter_add(live->all->capture->worker->mine, render_sessions_ended_total, 1);
	live->ending = reason;
	render_close_browser(live);
	render_session_set(live->paper, "clientConnected", json_false());
	render_session_status(live->paper, RENDER_TERMINATED, "");
	render_changed(live);
}

/* ---- forgetting ---- */

/* The stream first: with the document the last trace of it goes. */
static void on_stream_dropped(struct command *command)
{
	struct render_live *live = command->owner;
	free((void *)(uintptr_t)command->path.at);
	check(actor_turn(&live->actor));
}

void render_forget(struct render_live *live)
{
	char path[RENDER_PATH_ROOM];
	if (clock_monotonic_ms() < live->actor.due_ms)
		return;
	render_live_on(live, RENDER_LIFE_FORGET);
	size_t len = render_session_path(live->paper->id, path);
	live->forget = (struct command){.kind = COMMAND_DELETE,
	                                .by_owner = true,
	                                .path = span_of(xmemdup_text(path, len), len),
	                                .done = on_stream_dropped,
	                                .owner = live};
	store_submit(live->all->capture->store, &live->forget);
}
