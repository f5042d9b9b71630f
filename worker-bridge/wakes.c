#include "worker-bridge/wakes.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/actor.h"
#include "common/store/stream_name.h"
#include "common/base/signing.h"
#include "common/domain/subscription_scan.h"
#include "worker-bridge/wake_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

enum { TRIES_MAX = 50, PAUSE_MS = 1000 };

/* How a webhook's call ended. */
struct heard {
	bool present;
	enum webhook_outcome outcome;
	uint64_t generation, retry_after_ms;
};

/* One subscription as the view has it. */
struct watched {
	struct actor actor; /* first */
	struct wakes *wakes;
	json_t *doc;
	char *text;         /* as stored: what a write expects */
	struct heard heard; /* goes into the document with the next turn */
	bool announcing;    /* an event is being written */
	bool delivering;    /* a webhook is under way */
	bool look;          /* it needs a turn */
	bool removed;       /* freed when nothing is under way */
	bool left;          /* nor is a change of it */
	bool full;          /* said so */
	bool unreadable;    /* as it is now: it stands still */
	bool scanned;       /* in line for its pattern to be matched against every stream */
	json_t *found; /* {path: "-1"}: what its pattern matches and is yet to be linked; or NULL */
	struct watched *prev, *next; /* of wakes->line */
	bool taking, woke;           /* by the change that is under way: what was heard, a wake */
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
	if (s->left && !s->announcing && !s->delivering)
		watched_free(s);
}

static void on_left(struct actor *actor)
{
	struct watched *s = (struct watched *)actor;
	s->left = true;
	release(s);
}

static const struct actor_type watched_type;

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
		actor_leave(&s->actor, on_left);
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
		actor_init(&s->actor, &watched_type, w->store, w->counters);
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
		leave_line(s); /* what it began with may be another's pattern */
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

/* The document may be newer than when the delivery began: what it says is judged afresh. True: it
 * has changed. */
static bool take_heard(const struct watched *s, json_t *doc, uint64_t now_ms)
{
	const struct heard *heard = &s->heard;
	struct backoff backoff = backoff_of(s->wakes->settings->newest);
	uint64_t delay_ms;
	if (!heard->present)
		return false;
	switch (heard->outcome) {
	case WEBHOOK_DONE:
		return subscription_done(doc, heard->generation) == SUBSCRIPTION_OK;
	case WEBHOOK_ACCEPTED:
		return subscription_accepted(doc, heard->generation, now_ms) == SUBSCRIPTION_OK;
	case WEBHOOK_FAILED:
		break;
	}
	delay_ms = backoff_ms(&backoff, subscription_number(doc, "attempts") + 1,
	                      heard->retry_after_ms, (unsigned)clock_random_below(BACKOFF_DICE));
	return subscription_failed(doc, heard->generation, now_ms, now_ms + delay_ms) ==
	       SUBSCRIPTION_OK;
}

/* Now, or when it can be: `look` stays then. */
static void turn(struct watched *s)
{
	s->look = false;
	if (s->announcing || !actor_turn(&s->actor))
		s->look = true;
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
	s->heard = (struct heard){true, outcome, hook->generation, retry_after_ms};
	if (!s->removed)
		turn(s);
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

/* Without the secrets it waits: act() comes again. */
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

/* ---- pull-wake ---- */

static void on_told(void *arg, uint64_t generation, bool told)
{
	struct watched *s = arg;
	s->announcing = false;
	if (told)
		s->announced_generation = generation;
	s->announce_due_ms = clock_monotonic_ms() + 1000;
	release(s);
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

/* What time, streams and the webhook make of the document. True: it has changed. */
static bool judge(struct watched *s, json_t *doc)
{
	uint64_t now_ms = clock_wall_ms();
	char wake_id[40];
	s->woke = false;
	s->taking = s->heard.present;
	if (take_heard(s, doc, now_ms))
		return true;
	bool changed = link_found(s, doc);
	changed |= subscription_expire(doc, now_ms) == SUBSCRIPTION_OK;
	subscription_wake_id(wake_id);
	s->woke = subscription_wake(doc, store_view(s->wakes->store), wake_id, now_ms) ==
	          SUBSCRIPTION_OK;
	return changed || s->woke;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct watched *s = (struct watched *)actor;
	char key[sizeof SUBSCRIPTION_KEY_PREFIX + SUBSCRIPTION_ID_MAX];
	if (s->unreadable)
		return ACTOR_STOP; /* watch() has told of it */
	json_t *doc = json_deep_copy(s->doc);
	bool changed = judge(s, doc);
	if (changed) {
		char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
		snprintf(key, sizeof key, SUBSCRIPTION_KEY_PREFIX "%s", s->id);
		rows_expect(change->rows, key, span_str(s->text));
		rows_put(change->rows, key, span_str(text));
		free(text);
	}
	json_decref(doc);
	return changed ? ACTOR_WRITE : ACTOR_REST;
}

/* The document is as it should be: what it asks for is done. */
static void act(struct watched *s)
{
	if (strcmp(subscription_text(s->doc, "phase"), "woken") != 0)
		return;
	bool webhook = strcmp(subscription_text(s->doc, "type"), "webhook") == 0;
	if (webhook && !s->delivering && is_due(s, clock_wall_ms()))
		deliver(s);
	if (!webhook && clock_monotonic_ms() >= s->announce_due_ms &&
	    s->announced_generation != subscription_number(s->doc, "generation")) {
		s->announcing = true;
		wake_event_write(s->wakes->store, s->id, s->doc, on_told, s);
	}
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct watched *s = (struct watched *)actor;
	switch (end) {
	case ACTOR_DURABLE:
		counter_add(s->wakes->counters, wakes_total, s->woke);
		s->heard.present = s->heard.present && !s->taking;
		s->look = true;
		break;
	case ACTOR_RESTED:
		s->heard.present = false;
		act(s);
		break;
	case ACTOR_STOPPED:
		break;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		s->look = true;
		break;
	}
}

static const struct actor_type watched_type = {
        .decide = decide, .end = on_end, .tries_max = TRIES_MAX, .pause_ms = PAUSE_MS};

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
		if (s->look)
			turn(s);
	}
	forget_touched(w);
}

void wakes_tick(struct wakes *w)
{
	struct watched *s, *next;
	HASH_ITER (hh, w->watched, s, next) {
		if (s->look || strcmp(subscription_text(s->doc, "phase"), "idle") != 0)
			turn(s);
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
	turn(s);
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
