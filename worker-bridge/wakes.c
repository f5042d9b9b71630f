#include "worker-bridge/wakes.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/row.h"
#include "common/store/stream_name.h"
#include "common/base/signing.h"
#include "common/domain/subscription_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

/* One subscription as the view has it. */
struct watched {
	struct wakes *wakes;
	json_t *doc;
	char *text;      /* as stored: what a write expects */
	bool writing;    /* a command is under way */
	bool delivering; /* a webhook is under way */
	bool look;       /* evaluate in this turn */
	bool removed;    /* freed when nothing is under way */
	bool full;       /* said so */
	bool unreadable; /* as it is now: it stands still */
	bool scanned;    /* in line for its pattern to be matched against every stream */
	json_t *found; /* {path: "-1"}: what its pattern matches and is yet to be linked; or NULL */
	struct watched *prev, *next; /* of wakes->line */
	uint64_t delivering_generation, announced_generation;
	uint64_t announce_due_ms; /* monotonic */
	UT_hash_handle hh;
	char id[SUBSCRIPTION_ID_MAX + 1];
};

/* A stream that got data since the last turn. */
struct touched {
	UT_hash_handle hh;
	char path[];
};

struct wakes {
	struct store *store;
	struct webhooks *webhooks;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct watched *watched; /* hash by id */
	struct touched *touched; /* hash by path */
	bool draining;
	struct slices slices;
	struct slices_job job;         /* in line while `line` is not empty */
	struct watched *line;          /* one pattern after the other */
	struct subscription_scan scan; /* the first one's; view NULL: not begun */
};

static const size_t prefix_len = sizeof SUBSCRIPTION_KEY_PREFIX - 1;
static const size_t root_len = sizeof SUBSCRIPTION_ROOT - 1;

/* ---- following ---- */

static void watched_free(struct watched *s)
{
	json_decref(s->doc);
	json_decref(s->found);
	free(s->text);
	free(s);
}

static void release(struct watched *s)
{
	if (s->removed && !s->writing && !s->delivering)
		watched_free(s);
}

/* Its pattern is to be matched against every stream, in slices. */
static void scan(struct watched *s)
{
	struct wakes *w = s->wakes;
	if (s->scanned || w->draining || *subscription_text(s->doc, "pattern") == '\0')
		return;
	s->scanned = true;
	DL_APPEND(w->line, s);
	if (w->line == s)
		slices_add(&w->slices, &w->job);
}

static void leave_line(struct watched *s)
{
	struct wakes *w = s->wakes;
	if (!s->scanned)
		return;
	if (w->line == s)
		subscription_scan_end(&w->scan);
	s->scanned = false;
	DL_DELETE(w->line, s);
	if (w->line == NULL)
		slices_remove(&w->slices, &w->job);
}

static void watch(struct wakes *w, struct span key, struct span value)
{
	char id[SUBSCRIPTION_ID_MAX + 1];
	struct watched *s;
	if (key.len <= prefix_len || key.len - prefix_len > SUBSCRIPTION_ID_MAX)
		return;
	memcpy(id, key.at + prefix_len, key.len - prefix_len);
	id[key.len - prefix_len] = '\0';
	HASH_FIND_STR(w->watched, id, s);
	if (value.at == NULL) {
		if (s == NULL)
			return;
		HASH_DEL(w->watched, s);
		leave_line(s);
		s->removed = true;
		release(s);
		return;
	}
	json_t *doc = subscription_read(value);
	if (s != NULL)
		s->unreadable = doc == NULL; /* `text` stays: what is under way is refused by it */
	if (doc == NULL) {
		char row[sizeof SUBSCRIPTION_KEY_PREFIX + SUBSCRIPTION_ID_MAX];
		snprintf(row, sizeof row, SUBSCRIPTION_KEY_PREFIX "%s", id);
		row_alert(w->counters, row);
		return;
	}
	bool fresh = s == NULL;
	if (fresh) {
		s = xcalloc(1, sizeof *s);
		s->wakes = w;
		memcpy(s->id, id, sizeof id);
		HASH_ADD_STR(w->watched, id, s);
	}
	json_decref(s->doc);
	free(s->text);
	s->doc = doc;
	s->text = xmemdup_text(value.at, value.len);
	s->look = true;
	if (fresh)
		scan(s);
}

static void touch(struct wakes *w, const struct stream *stream)
{
	struct touched *t;
	if (stream->path_len <= root_len || memcmp(stream->path, SUBSCRIPTION_ROOT, root_len) != 0)
		return;
	char path[SUBSCRIPTION_NAME_ROOM];
	if (!stream_name_text(span_of(stream->path + root_len, stream->path_len - root_len), path,
	                      sizeof path))
		return;
	HASH_FIND_STR(w->touched, path, t);
	if (t != NULL)
		return;
	size_t len = strlen(path);
	t = xcalloc(1, sizeof *t + len + 1);
	memcpy(t->path, path, len);
	HASH_ADD_KEYPTR(hh, w->touched, t->path, len, t);
}

static bool watch_row(void *arg, struct span key, struct span value)
{
	watch(arg, key, value);
	return true;
}

static void watch_all(struct wakes *w)
{
	struct watched *s, *next;
	state_kv_each(store_view(w->store), SPAN(SUBSCRIPTION_KEY_PREFIX), watch_row, w);
	HASH_ITER (hh, w->watched, s, next) {
		scan(s);
		s->look = true;
	}
}

static void on_change(void *arg, const struct store_change *change)
{
	struct wakes *w = arg;
	const struct entry *e = change->entry;
	if (change->lapped)
		watch_all(w);
	else if (e->kind == ENTRY_KV && e->key.len > prefix_len &&
	         memcmp(e->key.at, SUBSCRIPTION_KEY_PREFIX, prefix_len) == 0)
		watch(w, e->key, e->value);
	else if (change->stream != NULL && e->data.count != 0)
		touch(w, change->stream);
}

/* ---- writing a changed document ---- */

struct write {
	struct command command;
	struct watched *watched;
	char *value, *expect;
	char key[sizeof SUBSCRIPTION_KEY_PREFIX + SUBSCRIPTION_ID_MAX];
};

static void written(struct command *command)
{
	struct write *write = command->owner;
	struct watched *s = write->watched;
	s->writing = false;
	s->look = true; /* on conflict the newer document has come by now */
	release(s);
	free(write->value);
	free(write->expect);
	free(write);
}

/* Takes over `doc`. */
static void write_doc(struct watched *s, json_t *doc)
{
	struct write *write = xcalloc(1, sizeof *write);
	write->watched = s;
	write->value = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	write->expect = xmemdup_text(s->text, strlen(s->text));
	snprintf(write->key, sizeof write->key, SUBSCRIPTION_KEY_PREFIX "%s", s->id);
	write->command = (struct command){.kind = COMMAND_KV,
	                                  .done = written,
	                                  .owner = write,
	                                  .key = span_str(write->key),
	                                  .value = span_str(write->value),
	                                  .expect_present = true,
	                                  .expect = span_str(write->expect)};
	json_decref(doc);
	s->writing = true;
	store_submit(s->wakes->store, &write->command);
}

/* ---- webhooks ---- */

struct hook {
	struct watched *watched;
	uint64_t generation;
};

static struct backoff backoff_of(const struct settings *s)
{
	return (struct backoff){s->webhook_retry_min_ms, s->webhook_retry_max_ms,
	                        s->webhook_retry_after_max_ms};
}

static void deliver_again(struct watched *s, uint64_t generation, enum webhook_outcome outcome,
                          uint64_t retry_after_ms)
{
	/* The document may be newer than when the delivery began: what it says is judged afresh. */
	json_t *doc = json_deep_copy(s->doc);
	uint64_t now_ms = clock_wall_ms();
	struct backoff backoff = backoff_of(s->wakes->settings->newest);
	enum subscription_result result = SUBSCRIPTION_UNCHANGED;
	switch (outcome) {
	case WEBHOOK_DONE:
		result = subscription_done(doc, generation);
		break;
	case WEBHOOK_ACCEPTED:
		result = subscription_accepted(doc, generation, now_ms);
		break;
	case WEBHOOK_FAILED:
		result = subscription_failed(
		        doc, generation, now_ms,
		        now_ms + backoff_ms(&backoff, subscription_number(doc, "attempts") + 1,
		                            retry_after_ms,
		                            (unsigned)clock_random_below(BACKOFF_DICE)));
		break;
	}
	if (result == SUBSCRIPTION_OK && !s->writing && !s->unreadable)
		write_doc(s, doc);
	else
		json_decref(doc);
}

static void delivered(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms)
{
	struct hook *hook = arg;
	struct watched *s = hook->watched;
	s->delivering = false;
	if (outcome == WEBHOOK_FAILED)
		counter_add(s->wakes->counters, webhook_failures_total, 1);
	else
		counter_add(s->wakes->counters, webhook_deliveries_total, 1);
	if (!s->removed)
		deliver_again(s, hook->generation, outcome, retry_after_ms);
	release(s);
	free(hook);
}

enum { SECRET_BYTES = 32 };

/* Of our own making, so one that is absent is as bad as one that cannot be read: whoever knew could
 * make tokens. */
static bool secret_of(struct wakes *w, const char *name, struct span *secret)
{
	if (state_kv_get(store_view(w->store), span_str(name), secret) &&
	    secret->len == SECRET_BYTES)
		return true;
	row_alert(w->counters, name);
	return false;
}

static char *hook_body(struct watched *s, struct span secret, uint64_t generation)
{
	char token[SUBSCRIPTION_TOKEN_ROOM], callback[2048];
	uint64_t expires_ms =
	        clock_wall_ms() + 3600000 + subscription_number(s->doc, "lease_ttl_ms");
	subscription_token_make(secret, s->id, generation, expires_ms, token);
	snprintf(callback, sizeof callback, "%s" SUBSCRIPTION_ROOT "__ds/subscriptions/%s/callback",
	         subscription_text(s->doc, "base_url"), s->id);
	json_t *body = json_pack("{ss ss sI so ss ss}", "subscription_id", s->id, "wake_id",
	                         subscription_text(s->doc, "wake_id"), "generation",
	                         (json_int_t)generation, "streams",
	                         subscription_streams(s->doc, store_view(s->wakes->store)),
	                         "callback_url", callback, "callback_token", token);
	char *text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return text;
}

/* Without the secrets it waits: evaluate() comes again. */
static void deliver(struct watched *s)
{
	struct wakes *w = s->wakes;
	struct span secret, seed;
	char signature[256];
	uint64_t generation = subscription_number(s->doc, "generation");
	if (!secret_of(w, SUBSCRIPTION_SECRET_KEY, &secret))
		return;
	char *body = hook_body(s, secret, generation);
	struct hook *hook = xmalloc(sizeof *hook);
	*hook = (struct hook){s, generation};
	s->delivering = secret_of(w, SUBSCRIPTION_SIGNING_KEY, &seed) &&
	                signing_header(seed, clock_wall_ms() / 1000, span_str(body), signature) &&
	                webhooks_send(w->webhooks, subscription_text(s->doc, "webhook_url"),
	                              span_str(body), signature, delivered, hook);
	if (!s->delivering)
		free(hook);
	free(body);
}

/* ---- pull-wake: an event in the wake stream ---- */

struct announcement {
	struct command command;
	struct watched *watched;
	uint64_t generation;
	uint32_t size;
	char path[700], producer[SUBSCRIPTION_ID_MAX + 8];
	char *event;
};

static void announced(struct command *command)
{
	struct announcement *a = command->owner;
	struct watched *s = a->watched;
	s->writing = false;
	/* DUPLICATE: before a restart it had already been written. */
	if (command->verdict == VERDICT_OK || command->verdict == VERDICT_DUPLICATE)
		s->announced_generation = a->generation;
	else
		log_warn("wake not announced", "subscription=%s verdict=%s", s->id,
		         verdict_name(command->verdict));
	s->announce_due_ms = clock_monotonic_ms() + 1000;
	release(s);
	free(a->event);
	free(a);
}

static const char *first_pending(const json_t *doc, struct state *view)
{
	static char path[600];
	json_t *streams = subscription_streams(doc, view), *stream;
	size_t i;
	*path = '\0';
	json_array_foreach (streams, i, stream) {
		if (*path == '\0' && json_is_true(json_object_get(stream, "has_pending")))
			snprintf(path, sizeof path, "%s", subscription_text(stream, "path"));
	}
	json_decref(streams);
	return path;
}

/* The generation as producer epoch makes the event unique, however often it is tried. */
static void announce(struct watched *s)
{
	struct announcement *a = xcalloc(1, sizeof *a);
	a->watched = s;
	a->generation = subscription_number(s->doc, "generation");
	snprintf(a->path, sizeof a->path, SUBSCRIPTION_ROOT "%s",
	         subscription_text(s->doc, "wake_stream"));
	snprintf(a->producer, sizeof a->producer, "__ds/%s", s->id);
	json_t *event =
	        json_pack("{ss ss ss sI sI}", "type", "wake", "subscription_id", s->id, "stream",
	                  first_pending(s->doc, store_view(s->wakes->store)), "generation",
	                  (json_int_t)a->generation, "ts", (json_int_t)clock_wall_ms());
	char *text = json_dumps(event, JSON_COMPACT);
	json_decref(event);
	size_t len = strlen(text);
	a->event = xmalloc(len + 2);
	memcpy(a->event, text, len);
	free(text);
	struct stream *stream = state_find(store_view(s->wakes->store), span_str(a->path));
	a->event[len] = stream != NULL && !stream->json ? '\n' : ',';
	a->size = (uint32_t)len + 1;
	a->command =
	        (struct command){.kind = COMMAND_APPEND,
	                         .done = announced,
	                         .owner = a,
	                         .path = span_str(a->path),
	                         .content_type = stream != NULL ? span_of(stream->content_type,
	                                                                  stream->content_type_len)
	                                                        : SPAN("application/json"),
	                         .body = {&a->size, 1, span_of(a->event, len + 1)},
	                         .producer = {true, span_str(a->producer), a->generation, 0}};
	s->writing = true;
	store_submit(s->wakes->store, &a->command);
}

/* ---- evaluating ---- */

/* Once, until there is room again. */
static void say_full(struct watched *s, bool full)
{
	if (full && !s->full)
		log_warn("subscription has no room for more streams",
		         "id=%s limits.subscription_streams=%llu", s->id,
		         (unsigned long long)
		                 s->wakes->settings->newest->limits_subscription_streams);
	s->full = full;
}

/* True: `doc` has changed. What was found is kept until the store has it: on conflict the newer
 * document lacks it. */
static bool link_found(struct watched *s, json_t *doc)
{
	bool full;
	if (s->found == NULL)
		return false;
	bool changed = subscription_link_found(
	        doc, store_view(s->wakes->store), s->found,
	        s->wakes->settings->newest->limits_subscription_streams, &full);
	if (changed || full)
		say_full(s, full);
	if (!changed || full) {
		json_decref(s->found);
		s->found = NULL;
	}
	return changed;
}

static bool is_due(const struct watched *s, uint64_t now_ms)
{
	struct backoff backoff = backoff_of(s->wakes->settings->newest);
	return backoff_over(subscription_number(s->doc, "failed_ms"),
	                    subscription_number(s->doc, "next_ms"), backoff_longest_ms(&backoff),
	                    now_ms);
}

static void evaluate(struct watched *s)
{
	struct wakes *w = s->wakes;
	uint64_t now_ms = clock_wall_ms();
	char wake_id[40];
	if (s->writing || s->unreadable)
		return;
	json_t *doc = json_deep_copy(s->doc);
	bool changed = link_found(s, doc);
	changed |= subscription_expire(doc, now_ms) == SUBSCRIPTION_OK;
	subscription_wake_id(wake_id);
	if (subscription_wake(doc, store_view(w->store), wake_id, now_ms) == SUBSCRIPTION_OK) {
		counter_add(w->counters, wakes_total, 1);
		changed = true;
	}
	if (changed) {
		write_doc(s, doc);
		return;
	}
	json_decref(doc);
	if (strcmp(subscription_text(s->doc, "phase"), "woken") != 0)
		return;
	bool webhook = strcmp(subscription_text(s->doc, "type"), "webhook") == 0;
	if (webhook && !s->delivering && is_due(s, now_ms))
		deliver(s);
	if (!webhook && clock_monotonic_ms() >= s->announce_due_ms &&
	    s->announced_generation != subscription_number(s->doc, "generation"))
		announce(s);
}

/* Is one of the touched its stream? Those that its pattern matches are to be linked. */
static bool concerns(struct watched *s)
{
	size_t max = s->wakes->settings->newest->limits_subscription_streams;
	struct touched *t, *next;
	const char *pattern = subscription_text(s->doc, "pattern");
	bool any = false;
	HASH_ITER (hh, s->wakes->touched, t, next) {
		bool linked = subscription_links(s->doc, t->path);
		bool matches = !linked && *pattern != '\0' && subscription_glob(pattern, t->path);
		any |= linked || matches;
		if (matches && s->found == NULL)
			s->found = json_object();
		if (matches && json_object_size(s->found) <= max)
			json_object_set_new(s->found, t->path, json_string("-1"));
	}
	return any;
}

static void forget_touched(struct wakes *w)
{
	struct touched *t, *next;
	HASH_ITER (hh, w->touched, t, next) {
		HASH_DEL(w->touched, t);
		free(t);
	}
}

void wakes_turn(struct wakes *w)
{
	struct watched *s, *next;
	HASH_ITER (hh, w->watched, s, next) {
		bool touched = w->touched != NULL && concerns(s);
		s->look |= touched;
		if (s->look && !s->writing) {
			s->look = false;
			evaluate(s);
		}
	}
	forget_touched(w);
}

void wakes_tick(struct wakes *w)
{
	struct watched *s, *next;
	HASH_ITER (hh, w->watched, s, next) {
		if (s->look || strcmp(subscription_text(s->doc, "phase"), "idle") != 0) {
			s->look = false;
			evaluate(s);
		}
	}
}

/* One slice. True: there is more to do. */
static bool scan_on(struct slices_job *job)
{
	struct wakes *w = (struct wakes *)((char *)job - offsetof(struct wakes, job));
	struct watched *s = w->line;
	if (w->scan.view == NULL)
		subscription_scan_begin(&w->scan, s->doc, store_view(w->store), false,
		                        w->settings->newest->limits_subscription_streams);
	counter_add(w->counters, subscription_slices_total, 1);
	if (subscription_scan_step(&w->scan))
		return true;
	if (s->found == NULL)
		s->found = json_object();
	json_object_update_missing(s->found, w->scan.found);
	leave_line(s);
	s->look = false;
	evaluate(s);
	s->look = s->writing;
	return w->line != NULL;
}

struct wakes *wakes_create(uv_loop_t *loop, struct store *store, struct webhooks *webhooks,
                           const struct settings_source *settings, struct counters_slot *counters)
{
	struct wakes *w = xcalloc(1, sizeof *w);
	*w = (struct wakes){.store = store,
	                    .webhooks = webhooks,
	                    .settings = settings,
	                    .counters = counters,
	                    .job.run = scan_on};
	slices_start(&w->slices, loop);
	store_set_follower(store, on_change, w);
	watch_all(w);
	return w;
}

void wakes_drain(struct wakes *w)
{
	w->draining = true;
	while (w->line != NULL)
		leave_line(w->line);
}
