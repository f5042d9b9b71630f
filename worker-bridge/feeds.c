#include "worker-bridge/inbox.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/actor.h"
#include "worker-bridge/duel_record.h"
#include "worker-bridge/fact.h"
#include "worker-bridge/feed_state.h"
#include "common/base/js_text.h"
#include "worker-bridge/renderer_health.h"
#include "worker-bridge/status_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	FEEDS_MAX = 64,
	STEPS_MAX = 16,          /* of time, in one transaction */
	TXN_BYTES_MAX = 1 << 18, /* then the rest of the queue waits for the next transaction */
	TIMER_MS_MAX = 1000,     /* the wall clock may be set */
	PAUSE_MS = 2500, /* so long without a turn: we were not running, whoever paused us */
	RETRY_MS = 1000,
	TRIES_MAX = 50,
	SOON_MS = 20,
	EMITTED_AHEAD_MS_MAX =
	        24 * 3600 * 1000, /* of a clock that was set back by more, emittedAt follows */
};

enum { SOURCE_ROOT_LEN = sizeof "/v1/source/" - 1 };

static const char unreadable[] =
        "this release cannot read the feed's row in the store (see the log and "
        "rows_unreadable): it stands still";

/* A post that waits for its turn, or for the disk. */
struct post {
	struct post *next;
	struct call *call;
	struct fact_post facts;
	char digest[FEED_DIGEST_ROOM];
	bool queued;
	unsigned status; /* of its answer */
	json_t *answer;  /* NULL: `reason` is refused with */
	char reason[160];
};

struct posts {
	struct post *first, **last;
	size_t count;
};

/* A transaction in the making, or on its way. */
struct work {
	struct feed_state state;
	XXH128_hash_t core;
	struct txn *txn; /* borrowed while it is in the making */
	struct posts posts;
	char *row;
	int64_t moved_ms; /* what the clock was set by, and is in `state` */
	bool changed;
};

struct feed {
	struct actor actor; /* first; the row is its */
	struct feeds *all;
	char name[FEED_NAME_MAX + 1];
	char key[FEED_NAME_MAX + 16];
	char frames[FEED_NAME_MAX + 48], results[FEED_NAME_MAX + 48];
	struct feed_state state; /* durable */
	XXH128_hash_t core;      /* of the last frame */
	char *row;               /* as the store has it; NULL: none yet */
	struct posts queue;
	struct work *work;  /* NULL: nothing is decided */
	uint64_t turned_ms; /* monotonic: when it was last looked at */
	int64_t moved_ms;   /* what the clock was set by, and is not durable yet */
	uv_timer_t timer;
	struct renderer_report report; /* the newest of the capture worker */
	struct status_file *status;    /* NULL: none is watched */
	bool loaded;
	bool unreadable; /* its row is: it stands still */
};

struct feeds {
	struct worker *worker;
	struct store *store;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct feed_frame *scratch;
	struct clock_watch clock;
	bool draining;
	size_t count;
	struct feed *feeds[FEEDS_MAX];
};

static void feed_turn(struct feed *feed);

/* ---- lists of posts ---- */

static void posts_init(struct posts *posts)
{
	*posts = (struct posts){.last = &posts->first};
}

static void posts_add(struct posts *posts, struct post *post)
{
	post->next = NULL;
	*posts->last = post;
	posts->last = &post->next;
	posts->count++;
}

static struct post *posts_take(struct posts *posts)
{
	struct post *post = posts->first;
	if (post == NULL)
		return NULL;
	posts->first = post->next;
	if (posts->first == NULL)
		posts->last = &posts->first;
	posts->count--;
	return post;
}

static void post_answer(struct feed *feed, struct post *post)
{
	if (post->queued)
		counter_add(feed->all->counters, source_queue, -1);
	if (post->answer != NULL)
		call_reply(post->call, post->status, post->answer);
	else {
		counter_add(feed->all->counters, source_refused_total, 1);
		if (post->status == 503)
			call_header(post->call, "Retry-After", "1");
		call_refuse(post->call, post->status, post->reason);
	}
	fact_post_finish(&post->facts);
	free(post);
}

static void post_refuse(struct post *post, unsigned status, const char *reason)
{
	post->status = status;
	snprintf(post->reason, sizeof post->reason, "%s", reason);
}

static void refuse_all(struct feed *feed, struct posts *posts, const char *reason)
{
	for (struct post *post; (post = posts_take(posts)) != NULL;) {
		json_decref(post->answer);
		post->answer = NULL;
		post_refuse(post, 503, reason);
		post_answer(feed, post);
	}
}

/* ---- frames ---- */

static const char *phase_before(const struct duel *d)
{
	return d->phase > DUEL_ANNOUNCEMENT ? duel_phase_name(d->phase - 1) : NULL;
}

/* Of a state, at its time; texts live until the next call. */
static struct feed_frame_health health_now(const struct feed *feed, const struct feed_state *state)
{
	static struct renderer_health h;
	const struct duel *d = &state->cycle.duel;
	const struct settings *s = feed->all->settings->newest;
	char id[64];
	duel_id(d, id);
	renderer_health_derive(
	        &h, &(struct renderer_health_inputs){
	                    .guardrail = duel_guardrail(d),
	                    .duel_id = d->present ? id : NULL,
	                    .phase = duel_phase_name(d->phase),
	                    .previous_phase = phase_before(d),
	                    .phase_start_ms = d->phase_start_ms,
	                    .report = &feed->report,
	                    .status = feed->status != NULL ? status_file_now(feed->status) : NULL,
	                    .now_ms = state->now_ms,
	                    .stale_ms = s->health_stale_ms,
	                    .phase_grace_ms = s->health_phase_grace_ms});
	return (struct feed_frame_health){.ready = h.ready,
	                                  .reason = h.ready ? NULL : h.reason,
	                                  .source = h.source,
	                                  .updated_ms = h.updated_ms,
	                                  .page_duel_id = h.page_ms != 0 ? h.page_duel_id : NULL,
	                                  .page_phase = h.page_phase,
	                                  .page_ms = h.page_ms};
}

static XXH128_hash_t core_hash(const struct feed_frame *frame)
{
	return XXH3_128bits(frame->text + frame->core_at, frame->core_len);
}

/* What the last frame of this state said, for the comparison with the next. A terminal frame is
 * never repeated, so that it need not be told apart here. */
static XXH128_hash_t state_core(struct feeds *all, const struct feed_state *state)
{
	const struct feed_frame_health none = {.reason = "-"};
	const struct feed_frame_place place = {.feed = "-", .seq = 1};
	feed_frame_build(all->scratch, &state->cycle.duel, false, &none, &place);
	return core_hash(all->scratch);
}

/* Publishes the state if it tells anything new. */
static void work_frame(struct feed *feed, struct work *work)
{
	struct feed_state *s = &work->state;
	struct feed_frame *frame = feed->all->scratch;
	if (s->cycle.duel.outcome != DUEL_OUTCOME_NONE && !s->cycle.ended)
		return; /* its terminal frame was its last, whatever is posted about the next */
	const struct feed_frame_health health = health_now(feed, s);
	const struct feed_frame_place place = {feed->name, s->epoch, s->seq + 1, s->last_ms};
	const char *reason = health.reason != NULL ? health.reason : "";
	feed_frame_build(frame, &s->cycle.duel, s->cycle.ended, &health, &place);
	XXH128_hash_t core = core_hash(frame);
	if (s->seq > 0 && !s->cycle.ended && XXH128_isEqual(core, work->core) &&
	    health.ready == s->ready && strcmp(reason, s->reason) == 0)
		return;
	s->seq++;
	s->ready = health.ready;
	snprintf(s->reason, sizeof s->reason, "%s", reason);
	work->core = core;
	work->changed = true;
	txn_publish(work->txn, feed->frames, span_of(frame->text, frame->len));
	if (s->cycle.ended)
		txn_publish(work->txn, feed->results, span_of(frame->text, frame->len));
	counter_add(feed->all->counters, feed_frames_total, 1);
}

static void count_step(struct feed *feed, const struct duel_cycle *before,
                       const struct duel_cycle *after)
{
	struct counters_slot *counters = feed->all->counters;
	if (after->duel.present && strcmp(before->duel.cycle_id, after->duel.cycle_id) != 0)
		counter_add(counters, duels_begun_total, 1);
	if (!after->ended)
		return;
	if (after->duel.outcome == DUEL_OUTCOME_WIN)
		counter_add(counters, duels_won_total, 1);
	else if (after->duel.outcome == DUEL_OUTCOME_DRAW)
		counter_add(counters, duels_drawn_total, 1);
	else
		counter_add(counters, duels_cancelled_total, 1);
	log_info("duel ended", "feed=%s cycle=%s outcome=%s reason=%s", feed->name,
	         after->duel.cycle_id, duel_outcome_name(after->duel.outcome),
	         after->duel.outcome == DUEL_OUTCOME_CANCELLED
	                 ? after->duel.cancellation
	                 : duel_win_reason_name(after->duel.win_reason));
}

/* Everything that time makes due. */
static void work_time(struct feed *feed, struct work *work)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		struct duel_cycle before = work->state.cycle;
		uint8_t random[16];
		clock_random(random, sizeof random);
		if (!duel_tick(&work->state.cycle, work->state.now_ms, random))
			return;
		work->changed = true;
		count_step(feed, &before, &work->state.cycle);
		work_frame(feed, work);
	}
}

/* ---- posts ---- */

/* What has been said before is not said again; what was lost on the way must come first. */
static bool in_turn(const struct feed_state *s, struct post *post, bool *repeated)
{
	uint64_t epoch = post->facts.source_epoch, seq = post->facts.source_seq;
	uint64_t expected = epoch == s->source_epoch ? s->source_seq + 1 : 1;
	*repeated = false;
	if (epoch == 0)
		return true; /* the house */
	if (epoch < s->source_epoch) {
		post_refuse(post, 409, "");
		snprintf(post->reason, sizeof post->reason,
		         "sourceEpoch %" PRIu64 " is over: a source with epoch %" PRIu64
		         " has taken its place",
		         epoch, s->source_epoch);
		return false;
	}
	if (epoch == s->source_epoch && seq == s->source_seq && *s->source_digest != '\0' &&
	    strcmp(post->digest, s->source_digest) != 0) {
		post_refuse(post, 409, "");
		snprintf(post->reason, sizeof post->reason,
		         "sourceSeq %" PRIu64
		         " was another post: do two sources write with sourceEpoch %" PRIu64 "?",
		         seq, epoch);
		return false;
	}
	if (epoch == s->source_epoch && seq <= s->source_seq) {
		*repeated = true;
		return false;
	}
	if (seq == expected)
		return true;
	post_refuse(post, 409, "");
	snprintf(post->reason, sizeof post->reason, "sourceSeq must be %" PRIu64 ", not %" PRIu64,
	         expected, seq);
	return false;
}

static json_t *answer_of(const struct feed_state *s, bool repeated)
{
	const struct duel *d = &s->cycle.duel;
	char id[64];
	duel_id(d, id);
	return json_pack("{s:b,s:s?,s:s?,s:I,s:I}", "duplicate", repeated, "duelId",
	                 d->present ? id : NULL, "phase",
	                 d->present ? duel_phase_name(d->phase) : NULL, "phaseVersion",
	                 (json_int_t)d->phase_version, "seq", (json_int_t)s->seq);
}

/* Judged on a copy first: a batch takes effect as a whole or not at all. */
static bool facts_fit(const struct feed_state *s, struct post *post, uint64_t now_ms)
{
	static const uint8_t random[16];
	struct duel_cycle trial = s->cycle;
	for (size_t i = 0; i < post->facts.count; i++) {
		char reason[160];
		enum duel_result result =
		        duel_apply(&trial, &post->facts.facts[i], now_ms, random, reason);
		if (result != DUEL_OK) {
			post_refuse(post, result == DUEL_CONFLICT ? 409 : 422, "");
			if (post->facts.count > 1)
				snprintf(post->reason, sizeof post->reason, "/facts/%zu: %.120s", i,
				         reason);
			else
				memcpy(post->reason, reason, sizeof post->reason);
			return false;
		}
		while (duel_tick(&trial, now_ms, random)) {
		}
	}
	return true;
}

static void work_post(struct feed *feed, struct work *work, struct post *post)
{
	struct feed_state *s = &work->state;
	bool repeated;
	posts_add(&work->posts, post);
	if (!in_turn(s, post, &repeated)) {
		if (repeated) {
			counter_add(feed->all->counters, source_repeated_total, 1);
			post->status = 200;
			post->answer = answer_of(s, true);
		}
		return;
	}
	if (!facts_fit(s, post, s->now_ms))
		return;
	for (size_t i = 0; i < post->facts.count; i++) {
		struct duel_cycle before = s->cycle;
		uint8_t random[16];
		char reason[160];
		clock_random(random, sizeof random);
		check(duel_apply(&s->cycle, &post->facts.facts[i], s->now_ms, random, reason) ==
		      DUEL_OK);
		count_step(feed, &before, &s->cycle);
		work_frame(feed, work);
		if (i + 1 == post->facts.count) {
			post->status = 200;
			post->answer = answer_of(s, false);
		}
		work_time(feed, work);
	}
	if (post->facts.source_epoch != 0) {
		s->source_epoch = post->facts.source_epoch;
		s->source_seq = post->facts.source_seq;
		memcpy(s->source_digest, post->digest, sizeof s->source_digest);
	}
	work->changed = true;
	counter_add(feed->all->counters, source_posts_total, 1);
}

/* ---- the store ---- */

static bool row_is(const struct feed *feed, struct span row)
{
	return feed->row != NULL ? span_equal(row, span_str(feed->row)) : row.at == NULL;
}

static struct span row_now(struct feed *feed)
{
	struct span row;
	return state_kv_get(store_view(feed->all->store), span_str(feed->key), &row)
	               ? row
	               : (struct span){0};
}

/* False: what is there makes no sense, and nothing may be built on it. */
static bool feed_load(struct feed *feed, struct rows *rows)
{
	struct span row;
	enum row_found found = rows_find(rows, feed->key, &row);
	if (feed->loaded && found != ROW_UNREADABLE && row_is(feed, row))
		return true;
	feed->unreadable = found == ROW_UNREADABLE ||
	                   (found == ROW_PRESENT && !feed_state_read(&feed->state, row));
	if (feed->unreadable) {
		feed->loaded = false;
		rows_mark(rows, feed->key);
		return false;
	}
	uint64_t now_ms = clock_wall_ms();
	/* It was judged at a time that has not come: the clock was set back while nobody looked.
	 * For all that is known no time has passed since. */
	feed->moved_ms = feed->state.now_ms >= now_ms + CLOCK_STEP_MS
	                         ? -(int64_t)(feed->state.now_ms - now_ms)
	                         : 0;
	free(feed->row);
	feed->row = row.at != NULL ? xmemdup_text(row.at, row.len) : NULL;
	feed->core = state_core(feed->all, &feed->state);
	feed->loaded = true;
	return true;
}

static void work_destroy(struct feed *feed)
{
	free(feed->work->row);
	free(feed->work);
	feed->work = NULL;
}

static void requeue(struct feed *feed, struct posts *posts)
{
	for (struct post *post = posts->first; post != NULL; post = post->next) {
		json_decref(post->answer);
		post->answer = NULL;
		post->status = 0;
	}
	if (posts->first == NULL)
		return;
	*posts->last = feed->queue.first;
	if (feed->queue.first == NULL)
		feed->queue.last = posts->last;
	feed->queue.first = posts->first;
	feed->queue.count += posts->count;
}

static void answer_work(struct feed *feed)
{
	for (struct post *post; (post = posts_take(&feed->work->posts)) != NULL;)
		post_answer(feed, post);
}

static void adopt(struct feed *feed)
{
	struct work *work = feed->work;
	feed->state = work->state;
	feed->moved_ms -= work->moved_ms;
	feed->core = work->core;
	free(feed->row);
	feed->row = work->row;
	work->row = NULL;
}

/* ---- turns ---- */

static void on_timer(uv_timer_t *timer)
{
	feed_turn(timer->data);
}

static void schedule(struct feed *feed, uint64_t now_ms)
{
	uint64_t due = duel_due_ms(&feed->state.cycle);
	uint64_t wait = due <= now_ms ? 1 : due - now_ms;
	uv_timer_start(&feed->timer, on_timer, wait < TIMER_MS_MAX ? wait : TIMER_MS_MAX, 0);
}

/* The wall clock was set: the times of what is under way go with it, in the next transaction. */
static void see_clock(struct feeds *all, uint64_t now_ms)
{
	int64_t step_ms = clock_watch_step(&all->clock, now_ms, clock_monotonic_ms());
	if (step_ms == 0)
		return;
	log_warn("the clock was set",
	         "by_ms=%" PRId64 " why=\"times of duels under way move with it\"", step_ms);
	for (size_t i = 0; i < all->count; i++)
		all->feeds[i]->moved_ms += all->feeds[i]->loaded ? step_ms : 0;
}

/* A machine that was frozen (a migration, a laptop's lid) finds every time-out due before it has
 * read what was posted meanwhile: as after a start, no fight ends by time for duel.grace. */
static void see_pause(struct feed *feed, uint64_t now_ms)
{
	uint64_t turned_ms = feed->turned_ms;
	feed->turned_ms = clock_monotonic_ms();
	bool paused = turned_ms != 0 && feed->turned_ms > turned_ms + PAUSE_MS;
	if (!paused && feed->moved_ms <= 0)
		return;
	if (paused)
		log_warn("feed was paused", "feed=%s for_ms=%" PRIu64, feed->name,
		         feed->turned_ms - turned_ms);
	feed->state.cycle.grace_until_ms = now_ms + feed->all->settings->newest->duel_grace_ms;
}

/* When a transaction is judged. The clock does not go back by less than a step; when it was set,
 * what is under way is moved before anything is judged. */
static void set_time(const struct feed *feed, struct work *work, uint64_t now_ms)
{
	struct feed_state *s = &work->state;
	work->moved_ms = feed->moved_ms;
	if (work->moved_ms != 0) {
		duel_clock_moved(&s->cycle, work->moved_ms);
		s->now_ms = clock_moved_ms(s->now_ms, work->moved_ms);
		work->changed = true;
	}
	if (now_ms > s->now_ms || s->now_ms >= now_ms + CLOCK_STEP_MS)
		s->now_ms = now_ms;
	/* Consumers take an emittedAt that goes back for an error; one that stands still for years
	 * helps nobody. */
	if (s->now_ms > s->last_ms || s->last_ms > s->now_ms + EMITTED_AHEAD_MS_MAX)
		s->last_ms = s->now_ms;
}

/* Everything that is due and was posted, as far as one transaction goes. */
static void work_all(struct feed *feed, struct work *work, uint64_t now_ms)
{
	set_time(feed, work, now_ms);
	if (feed->row == NULL) { /* its first moment */
		work->state.epoch = work->state.cycle.idle_since_ms = now_ms;
		work->state.cycle.duel.winner = -1;
	}
	work->state.cycle.ended = false;
	work_time(feed, work);
	while (feed->queue.first != NULL && txn_bytes(work->txn) < TXN_BYTES_MAX)
		work_post(feed, work, posts_take(&feed->queue));
	work->state.cycle.ended = false;
	work_frame(feed, work); /* the picture's health */
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct feed *feed = (struct feed *)actor;
	if (!feed_load(feed, change->rows))
		return ACTOR_STOP;
	struct work *work = xcalloc(1, sizeof *work);
	feed->work = work;
	posts_init(&work->posts);
	work->state = feed->state;
	work->core = feed->core;
	work->txn = change->txn;
	work_all(feed, work, clock_wall_ms());
	work->txn = NULL;
	if (!work->changed)
		return ACTOR_REST;
	work->row = feed_state_row(&work->state);
	rows_put(change->rows, feed->key, span_str(work->row));
	return ACTOR_WRITE;
}

static void undo(struct actor *actor)
{
	struct feed *feed = (struct feed *)actor;
	log_warn("feed changed elsewhere", "feed=%s", feed->name);
	requeue(feed, &feed->work->posts);
	work_destroy(feed);
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct feed *feed = (struct feed *)actor;
	switch (end) {
	case ACTOR_DURABLE:
		adopt(feed);
		answer_work(feed);
		break;
	case ACTOR_RESTED:
		answer_work(feed);
		work_destroy(feed);
		schedule(feed, clock_wall_ms());
		return;
	case ACTOR_STOPPED:
		refuse_all(feed, &feed->queue, unreadable);
		uv_timer_start(&feed->timer, on_timer, TIMER_MS_MAX, 0);
		return;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		log_error("feed not written", "feed=%s verdict=%s", feed->name,
		          verdict_name(actor->verdict));
		refuse_all(feed, &feed->work->posts, "it could not be made durable; try again");
		break;
	}
	work_destroy(feed);
	if (!feed->all->draining)
		feed_turn(feed);
}

static const struct actor_type feed_type = {.decide = decide,
                                            .undo = undo,
                                            .end = on_end,
                                            .tries_max = TRIES_MAX,
                                            .pause_ms = RETRY_MS};

static void feed_turn(struct feed *feed)
{
	uint64_t now_ms = clock_wall_ms();
	see_clock(feed->all, now_ms);
	see_pause(feed, now_ms);
	if (!actor_turn(&feed->actor))
		uv_timer_start(&feed->timer, on_timer, SOON_MS, 0);
}

void feeds_turn(struct feeds *feeds)
{
	if (feeds->draining || store_position(feeds->store) < store_durable(feeds->store))
		return;
	see_clock(feeds, clock_wall_ms());
	for (size_t i = 0; i < feeds->count; i++) {
		struct feed *feed = feeds->feeds[i];
		bool moved = feed->moved_ms != 0 || !row_is(feed, row_now(feed));
		if (!feed->loaded || (!actor_busy(&feed->actor) && moved))
			feed_turn(feed);
	}
}

/* ---- the picture ---- */

static void on_picture(void *arg)
{
	struct feed *feed = arg;
	if (feed->loaded && !feed->all->draining)
		feed_turn(feed);
}

void feeds_take_report(struct feeds *feeds, struct span name, struct span report)
{
	for (size_t i = 0; i < feeds->count; i++) {
		struct feed *feed = feeds->feeds[i];
		if (!span_equal(name, span_str(feed->name)))
			continue;
		if (renderer_report_read(&feed->report, report, clock_wall_ms()))
			on_picture(feed);
		else
			log_error("capture report unreadable", "feed=%s", feed->name);
	}
}

void feeds_forget_reports(struct feeds *feeds)
{
	for (size_t i = 0; i < feeds->count; i++) {
		feeds->feeds[i]->report.present = false;
		on_picture(feeds->feeds[i]);
	}
}

/* ---- calls ---- */

static struct feed *find_feed(struct feeds *feeds, struct span name)
{
	for (size_t i = 0; i < feeds->count; i++)
		if (span_equal(name, span_str(feeds->feeds[i]->name)))
			return feeds->feeds[i];
	return NULL;
}

static json_t *describe(const struct feed *feed)
{
	const struct feed_state *s = &feed->state;
	json_t *record = duel_record(&s->cycle);
	json_t *duel = json_object_get(record, "duel");
	const char *scene = json_string_value(json_object_get(duel, "sceneText"));
	if (scene != NULL) {
		json_object_set_new(duel, "scene",
		                    *scene != '\0'
		                            ? json_take(span_str(scene), JSON_ALLOW_NUL, NULL, NULL)
		                            : json_null());
		json_object_del(duel, "sceneText");
	}
	json_t *whole =
	        json_pack("{s:s,s:s,s:I,s:I,s:I,s:b,s:s,s:I}", "feed", feed->name, "mode",
	                  s->cycle.scheduled ? "scheduled" : "source", "sourceEpoch",
	                  (json_int_t)s->source_epoch, "sourceSeq", (json_int_t)s->source_seq,
	                  "seq", (json_int_t)s->seq, "rendererReady", s->ready, "rendererReason",
	                  s->reason, "now", (json_int_t)clock_wall_ms());
	json_object_update(whole, record);
	json_decref(record);
	return whole;
}

/* A scene's numbers are its game's: they are written as the frames have them. Takes over `body`. */
static void reply_js(struct call *call, json_t *body)
{
	char *text = js_text(body);
	json_decref(body);
	call_reply_bytes(call, 200, "application/json", span_str(text));
	free(text);
}

static void show_schema(struct call *call, struct span name)
{
	const struct fact_schema_text *schema = NULL;
	if (name.len == 0)
		schema = fact_schema_text(name);
	else if (name.len > 5 && memcmp(name.at + name.len - 5, ".json", 5) == 0)
		schema = fact_schema_text(span_of(name.at, name.len - 5));
	if (schema == NULL) {
		call_refuse(call, 404, "no such schema");
		return;
	}
	call_header(call, "etag", schema->etag);
	call_header(call, "cache-control", "no-cache");
	call_reply_bytes(call, 200, "application/json", span_str(schema->json));
}

static void enqueue(struct feed *feed, struct post *post)
{
	if (feed->all->draining || feed->queue.count >= feed->all->settings->newest->feeds_queue) {
		post_refuse(post, 503,
		            feed->all->draining ? "this worker stops; try again"
		                                : "too many posts wait (feeds.queue); try again");
		post_answer(feed, post);
		return;
	}
	posts_add(&feed->queue, post);
	post->queued = true;
	counter_add(feed->all->counters, source_queue, 1);
	feed_turn(feed);
}

/* The same for every spelling of the same JSON. */
static void digest_of(struct span kind, const json_t *body, char digest[FEED_DIGEST_ROOM])
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
	check(text != NULL);
	XXH3_state_t *hash = XXH3_createState();
	check(hash != NULL);
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, kind.at, kind.len);
	XXH3_128bits_update(hash, text, strlen(text));
	XXH128_hash_t sum = XXH3_128bits_digest(hash);
	XXH3_freeState(hash);
	free(text);
	snprintf(digest, FEED_DIGEST_ROOM, "%016" PRIx64 "%016" PRIx64, sum.high64, sum.low64);
}

static void take_post(struct feed *feed, struct span kind, struct call *call)
{
	static const unsigned statuses[] = {[FACT_OK] = 200,
	                                    [FACT_UNKNOWN] = 404,
	                                    [FACT_MALFORMED] = 400,
	                                    [FACT_UNSUITABLE] = 422};
	char reason[160];
	if (!span_equal_nocase(span_of(call->content_type.at,
	                               call->content_type.len < 16 ? call->content_type.len : 16),
	                       SPAN("application/json"))) {
		call_refuse(call, 415, "Content-Type must be application/json");
		return;
	}
	json_t *body = call_json_with(call, "scene");
	if (body == NULL)
		return;
	struct post *post = xcalloc(1, sizeof *post);
	post->call = call;
	enum fact_result result = fact_read(&post->facts, kind, body, reason);
	digest_of(kind, body, post->digest);
	json_decref(body);
	if (result != FACT_OK) {
		post_refuse(post, statuses[result], reason);
		post_answer(feed, post);
		return;
	}
	enqueue(feed, post);
}

void feeds_on_call(struct call *call)
{
	struct feeds *feeds = ((struct bridge *)call->context)->feeds;
	struct span rest =
	        span_of(call->path.at + SOURCE_ROOT_LEN, call->path.len - SOURCE_ROOT_LEN);
	const uint8_t *slash = memchr(rest.at, '/', rest.len);
	struct span name = span_of(rest.at, slash != NULL ? (size_t)(slash - rest.at) : rest.len);
	struct span kind =
	        slash != NULL ? span_of(slash + 1, rest.len - name.len - 1) : (struct span){0};
	struct feed *feed = find_feed(feeds, name);
	if (span_equal(name, SPAN("schemas")) && call->method == CALL_GET)
		show_schema(call, kind);
	else if (feed == NULL)
		call_refuse(call, 404, "no such feed: see feeds.scheduled and feeds.source_driven");
	else if (!feed->loaded) {
		call_header(call, "Retry-After", "1");
		call_refuse(call, 503,
		            feed->unreadable ? unreadable
		                             : "the store is still being read; try again");
	} else if (call->method == CALL_GET && kind.len == 0)
		reply_js(call, describe(feed));
	else if (call->method == CALL_POST && kind.len != 0)
		take_post(feed, kind, call);
	else
		call_refuse_method(call, kind.len == 0 ? CALL_METHOD(GET) : CALL_METHOD(POST),
		                   "GET /v1/source/FEED or POST /v1/source/FEED/KIND");
}

/* ---- the house ---- */

static void abort_duel(struct feed *feed, struct call *call)
{
	const char *reason = NULL, *duel = NULL;
	json_error_t error;
	json_t *body = call_json(call);
	if (body == NULL)
		return;
	struct duel_fact *fact = xcalloc(1, sizeof *fact);
	fact->kind = DUEL_FACT_ABORT;
	duel_id(&feed->state.cycle.duel, fact->duel_id);
	bool good = json_unpack_ex(body, &error, JSON_STRICT, "{s:s,s?s}", "reason", &reason,
	                           "duelId", &duel) == 0;
	bool fits = good && fact_token_valid(reason);
	if (fits)
		snprintf(fact->reason, sizeof fact->reason, "%s", reason);
	if (fits && duel != NULL)
		snprintf(fact->duel_id, sizeof fact->duel_id, "%s", duel);
	json_decref(body);
	if (!fits) {
		free(fact);
		call_refuse(
		        call, good ? 422 : 400,
		        "a reason is one word of a-z, 0-9 and _.:-, 128 bytes at most (the body: "
		        "{reason, duelId?})");
		return;
	}
	struct post *post = xcalloc(1, sizeof *post);
	post->call = call;
	post->facts.count = 1;
	post->facts.facts = fact;
	enqueue(feed, post);
}

static void list_duels(struct feeds *feeds, struct call *call)
{
	json_t *list = json_array();
	for (size_t i = 0; i < feeds->count; i++) {
		const struct feed *feed = feeds->feeds[i];
		if (feed->loaded)
			json_array_append_new(list, describe(feed));
		if (feed->unreadable)
			json_array_append_new(
			        list, json_pack("{s:s,s:b}", "feed", feed->name, "unreadable", 1));
	}
	reply_js(call, json_pack("{s:o}", "feeds", list));
}

void feeds_on_duels_call(struct call *call)
{
	static const char root[] = "/v1/duels";
	struct bridge *bridge = call->context;
	struct span rest =
	        span_of(call->path.at + sizeof root - 1, call->path.len - sizeof root + 1);
	if (rest.len == 0) {
		list_duels(bridge->feeds, call);
		return;
	}
	rest = span_of(rest.at + 1, rest.len - 1);
	bool aborts = rest.len > 6 && memcmp(rest.at + rest.len - 6, "/abort", 6) == 0;
	struct feed *feed = find_feed(bridge->feeds, span_of(rest.at, rest.len - (aborts ? 6 : 0)));
	if (feed != NULL && feed->unreadable)
		call_refuse(call, 503, unreadable);
	else if (feed == NULL || !feed->loaded)
		call_refuse(call, 404, "no such feed");
	else if (!aborts && call->method == CALL_GET)
		reply_js(call, describe(feed));
	else if (!aborts || call->method != CALL_POST)
		call_refuse_method(call, aborts ? CALL_METHOD(POST) : CALL_METHOD(GET),
		                   "GET /v1/duels/FEED or POST /v1/duels/FEED/abort");
	else if (bridge_house(call))
		abort_duel(feed, call);
}

const char *feeds_name(const struct feeds *feeds, size_t index)
{
	return index < feeds->count ? feeds->feeds[index]->name : NULL;
}

bool feeds_takes_bets(const struct feeds *feeds, const char *name, const char *id, uint64_t now_ms)
{
	for (size_t i = 0; i < feeds->count; i++) {
		const struct feed *feed = feeds->feeds[i];
		char its_id[64];
		if (strcmp(feed->name, name) == 0 && feed->unreadable)
			return false;
		if (strcmp(feed->name, name) != 0 || !feed->loaded)
			continue;
		const struct feed_state *s = feed->work != NULL ? &feed->work->state : &feed->state;
		const struct duel *d = &s->cycle.duel;
		int64_t moved_ms = feed->moved_ms - (feed->work != NULL ? feed->work->moved_ms : 0);
		duel_id(d, its_id);
		return d->present && d->outcome == DUEL_OUTCOME_NONE && strcmp(its_id, id) == 0 &&
		       now_ms < clock_moved_ms(d->bet_close_ms, moved_ms < 0 ? moved_ms : 0);
	}
	return true;
}

/* ---- life ---- */

static struct duel_times times_of(const struct settings *s)
{
	return (struct duel_times){.announcement_ms = s->duel_announcement_ms,
	                           .countdown_ms = s->duel_countdown_ms,
	                           .fight_ms = s->duel_fight_ms,
	                           .end_warning_ms = s->duel_end_warning_ms,
	                           .resolution_ms = s->duel_resolution_ms,
	                           .pause_ms = s->duel_pause_ms,
	                           .prep_ms = s->duel_prep_timeout_ms};
}

static bool add_feed(struct feeds *feeds, struct span name, bool scheduled)
{
	if (!feed_name_valid(name) || find_feed(feeds, name) != NULL || feeds->count == FEEDS_MAX) {
		log_error("bad feed name",
		          "name=%.*s why=\"must match [a-z0-9][a-z0-9-]{0,63}, be named "
		          "once, and be one of at most 64\"",
		          (int)name.len, (const char *)name.at);
		return false;
	}
	struct feed *feed = xcalloc(1, sizeof *feed);
	actor_init(&feed->actor, &feed_type, feeds->store, feeds->counters);
	feed->all = feeds;
	memcpy(feed->name, name.at, name.len);
	snprintf(feed->key, sizeof feed->key, "feed/%s", feed->name);
	snprintf(feed->frames, sizeof feed->frames, "/v1/stream/feeds/%s/frames", feed->name);
	snprintf(feed->results, sizeof feed->results, "/v1/stream/feeds/%s/results", feed->name);
	posts_init(&feed->queue);
	feed->state.cycle = (struct duel_cycle){
	        .scheduled = scheduled,
	        .times = times_of(feeds->settings->newest),
	        .grace_until_ms = clock_wall_ms() + feeds->settings->newest->duel_grace_ms,
	        .duel.winner = -1};
	uv_timer_init(feeds->worker->loop, &feed->timer);
	feed->timer.data = feed;
	if (*feeds->settings->newest->health_status_dir != '\0')
		feed->status = status_file_watch(
		        feeds->worker->loop, feeds->settings->newest->health_status_dir, feed->name,
		        feeds->settings->newest->health_status_every_ms, on_picture, feed);
	feeds->feeds[feeds->count++] = feed;
	return true;
}

static bool add_feeds(struct feeds *feeds, const char *list, bool scheduled)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ",");
		const char *at = list;
		size_t left = len;
		for (; left > 0 && *at == ' '; at++)
			left--;
		for (; left > 0 && at[left - 1] == ' '; left--) {
		}
		if (left > 0 && !add_feed(feeds, span_of(at, left), scheduled))
			return false;
		list += len + (list[len] == ',');
	}
	return true;
}

struct feeds *feeds_create(struct worker *worker, struct store *store)
{
	struct feeds *feeds = xcalloc(1, sizeof *feeds);
	feeds->worker = worker;
	feeds->store = store;
	feeds->settings = &worker->settings;
	feeds->counters = worker->mine;
	feeds->scratch = xmalloc(sizeof *feeds->scratch);
	if (add_feeds(feeds, feeds->settings->newest->feeds_scheduled, true) &&
	    add_feeds(feeds, feeds->settings->newest->feeds_source_driven, false))
		return feeds;
	return NULL; /* the process ends */
}

bool feeds_drain(struct feeds *feeds)
{
	bool idle = true;
	feeds->draining = true;
	for (size_t i = 0; i < feeds->count; i++) {
		struct feed *feed = feeds->feeds[i];
		uv_timer_stop(&feed->timer);
		if (feed->status != NULL)
			status_file_stop(feed->status);
		refuse_all(feed, &feed->queue, "this worker stops; try again");
		idle = idle && !actor_busy(&feed->actor);
	}
	return idle;
}
