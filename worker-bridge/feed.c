#include "worker-bridge/feed.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/worker/worker.h"
#include "worker-bridge/feed_bets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TIMER_MS_MAX = 1000, /* the wall clock may be set */
	PAUSE_MS = 2500,     /* so long without a turn: we were not running, whoever paused us */
	RETRY_MS = 1000,
	TRIES_MAX = 50,
	SOON_MS = 20,
	LEASE_LOOK_MS = 200, /* who does not hold it looks again */
	EMITTED_AHEAD_MS_MAX =
	        24 * 3600 * 1000, /* of a clock that was set back by more, emittedAt follows */
};

const char feed_unreadable[] =
        "this release cannot read the feed's row in the store (see the log and "
        "rows_unreadable): it stands still";

static const char feed_elsewhere[] = "another bridge runs this feed; try again";

static void feed_turn(struct feed *feed);

/* ---- the store ---- */

static bool row_is(const struct feed *feed, struct span row)
{
	return feed->row != NULL ? span_equal(row, span_str(feed->row)) : row.at == NULL;
}

static struct span row_now(struct feed *feed)
{
	struct span row;
	return state_kv_get(store_view(feed->house->store), span_str(feed->place.key), &row)
	               ? row
	               : (struct span){0};
}

/* False: what is there makes no sense, and nothing may be built on it. */
static bool feed_load(struct feed *feed, struct rows *rows)
{
	struct span row;
	enum row_found found = rows_find(rows, feed->place.key, &row);
	if (feed->loaded && found != ROW_UNREADABLE && row_is(feed, row))
		return true;
	feed->unreadable = found == ROW_UNREADABLE ||
	                   (found == ROW_PRESENT && !feed_state_read(&feed->state, row));
	if (feed->unreadable) {
		feed->loaded = false;
		rows_mark(rows, feed->place.key);
		return false;
	}
	uint64_t now_ms = clock_wall_ms();
	/* It was judged at a time that has not come: the clock was set back while nobody looked.
	 * For all that is known no time has passed since. */
	feed->moved_ms = feed->state.now_ms >= now_ms + CLOCK_STEP_MS
	                         ? -(int64_t)(feed->state.now_ms - now_ms)
	                         : 0;
	/* What it was told, by whoever wrote the row. */
	uint64_t heard_ms = clock_moved_ms(feed->state.cycle.heard_ms, feed->moved_ms);
	feed->heard_ms = heard_ms > feed->heard_ms ? heard_ms : feed->heard_ms;
	free(feed->row);
	feed->row = row.at != NULL ? xmemdup_text(row.at, row.len) : NULL;
	feed->core = feed_work_core(feed->house->scratch, &feed->state);
	feed->loaded = true;
	return true;
}

static void work_destroy(struct feed *feed)
{
	said_forget(&feed->work->said);
	free(feed->work->row);
	free(feed->work);
	feed->work = NULL;
}

static void adopt(struct feed *feed)
{
	struct feed_work *work = feed->work;
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
	feed->state.cycle.heard_ms = feed->heard_ms;
	feed->state.cycle.listening_ms = feed->listening_ms;
	uint64_t due = duel_due_ms(&feed->state.cycle);
	uint64_t wait = due <= now_ms ? 1 : due - now_ms;
	uv_timer_start(&feed->timer, on_timer, wait < TIMER_MS_MAX ? wait : TIMER_MS_MAX, 0);
}

/* The wall clock was set: the times of what is under way go with it, in the next transaction. */
static void see_clock(struct feed *feed, uint64_t now_ms)
{
	int64_t step_ms = clock_watch_step(&feed->clock, now_ms, clock_monotonic_ms());
	if (step_ms == 0)
		return;
	log_warn("the clock was set",
	         "feed=%s by_ms=%" PRId64 " why=\"times of duels under way move with it\"",
	         feed->place.name, step_ms);
	feed->moved_ms += feed->loaded ? step_ms : 0;
	feed->heard_ms = clock_moved_ms(feed->heard_ms, step_ms);
	feed->listening_ms = now_ms;
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
		log_warn("feed was paused", "feed=%s for_ms=%" PRIu64, feed->place.name,
		         feed->turned_ms - turned_ms);
	feed->state.cycle.grace_until_ms = now_ms + feed->house->settings->newest->duel_grace_ms;
	feed->listening_ms = now_ms;
}

/* When a transaction is judged. The clock does not go back by less than a step; when it was set,
 * what is under way is moved before anything is judged. */
static void set_time(const struct feed *feed, struct feed_work *work, uint64_t now_ms)
{
	struct feed_state *s = &work->state;
	work->moved_ms = feed->moved_ms;
	if (work->moved_ms != 0) {
		duel_clock_moved(&s->cycle, work->moved_ms);
		s->now_ms = clock_moved_ms(s->now_ms, work->moved_ms);
		work->changed = true;
	}
	s->cycle.heard_ms = feed->heard_ms;
	s->cycle.listening_ms = feed->listening_ms;
	if (now_ms > s->now_ms || s->now_ms >= now_ms + CLOCK_STEP_MS)
		s->now_ms = now_ms;
	/* Consumers take an emittedAt that goes back for an error; one that stands still for years
	 * helps nobody. */
	if (s->now_ms > s->last_ms || s->last_ms > s->now_ms + EMITTED_AHEAD_MS_MAX)
		s->last_ms = s->now_ms;
}

/* Everything that is due and was posted, as far as one transaction goes. */
static void work_all(struct feed *feed, struct feed_work *work, uint64_t now_ms)
{
	set_time(feed, work, now_ms);
	if (feed->row == NULL) { /* its first moment */
		work->state.epoch = work->state.cycle.idle_since_ms = now_ms;
		work->state.cycle.duel.winner = -1;
	}
	work->state.cycle.ended = false;
	feed_work_time(work);
	/* The rest of the queue waits for the next transaction. */
	while (feed->queue.first != NULL && txn_bytes(work->txn) < FEED_WORK_FRAMES_BYTES)
		feed_work_post(work, posts_take(&feed->queue));
	work->state.cycle.ended = false;
	work->last = true;
	feed_work_frame(work); /* the picture's health */
}

/* Which duel bets are taken on. */
static bool tell_bets(struct feed *feed, struct rows *rows, const struct feed_state *state)
{
	struct feed_bets bets = {0};
	const struct duel *d = state != NULL ? &state->cycle.duel : NULL;
	if (d != NULL && d->present && d->outcome == DUEL_OUTCOME_NONE) {
		duel_id(d, bets.duel_id);
		bets.close_ms = d->bet_close_ms;
	}
	return feed_bets_tell(rows, feed->place.name, &bets);
}

static struct feed_work *work_create(struct feed *feed, struct actor_change *change,
                                     uint64_t now_ms)
{
	struct feed_work *work = xcalloc(1, sizeof *work);
	work->place = &feed->place;
	work->picture = &feed->picture;
	work->settings = feed->house->settings->newest;
	work->scratch = feed->house->scratch;
	work->txn = change->txn;
	work->standings = &feed->standings;
	work->counting = (struct feed_standings_change){.rows = change->rows,
	                                                .store = feed->house->store,
	                                                .settings = work->settings,
	                                                .said = &work->said,
	                                                .now_ms = now_ms};
	work->state = feed->state;
	work->core = feed->core;
	posts_init(&work->posts);
	said_init(&work->said);
	return work;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct feed *feed = (struct feed *)actor;
	uint64_t now_ms = clock_wall_ms();
	bool moved;
	enum lease_look look = lease_take(&feed->lease, change->rows, now_ms, &moved);
	bool readable = feed_load(feed, change->rows); /* whoever holds it, it is shown */
	if (look == LEASE_UNREADABLE) {
		feed->unreadable = true;
		feed->loaded = false;
	}
	if (feed->elsewhere && look == LEASE_MINE) { /* as after a start */
		feed->state.cycle.grace_until_ms =
		        now_ms + feed->house->settings->newest->duel_grace_ms;
		feed->listening_ms = now_ms;
	}
	feed->elsewhere = look == LEASE_OTHERS;
	if (look != LEASE_MINE)
		return ACTOR_STOP;
	if (!readable)
		return tell_bets(feed, change->rows, NULL) ? ACTOR_WRITE : ACTOR_STOP;
	struct feed_work *work = feed->work = work_create(feed, change, now_ms);
	/* First: what ends now is in no stream yet. */
	bool counted = feed_standings_turn(&feed->standings, &work->counting);
	work_all(feed, work, now_ms);
	work->txn = NULL;
	bool told = tell_bets(feed, change->rows, &work->state);
	if (!work->changed && !told && !counted)
		return ACTOR_REST;
	work->row = feed_state_row(&work->state);
	rows_put(change->rows, feed->place.key, span_str(work->row));
	lease_put(&feed->lease, change->rows, now_ms);
	return ACTOR_WRITE;
}

static void undo(struct actor *actor)
{
	struct feed *feed = (struct feed *)actor;
	log_warn("feed changed elsewhere", "feed=%s", feed->place.name);
	if (feed->work == NULL)
		return;
	feed_standings_forget(&feed->standings);
	posts_requeue(&feed->queue, &feed->work->posts);
	work_destroy(feed);
}

/* What was decided is so: it is told, and the posts are answered. */
static void finish_work(struct feed *feed)
{
	said_tell(&feed->work->said, feed->house->counters);
	posts_answer(&feed->work->posts, feed->house->counters);
	work_destroy(feed);
}

static void stand_still(struct feed *feed)
{
	bool elsewhere = feed->elsewhere && !feed->unreadable;
	posts_refuse(&feed->queue, elsewhere ? feed_elsewhere : feed_unreadable,
	             feed->house->counters);
	if (!feed->house->draining)
		uv_timer_start(&feed->timer, on_timer, elsewhere ? LEASE_LOOK_MS : TIMER_MS_MAX, 0);
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct feed *feed = (struct feed *)actor;
	switch (end) {
	case ACTOR_DURABLE:
		if (feed->work == NULL) {
			stand_still(feed);
			return;
		}
		adopt(feed);
		finish_work(feed);
		break;
	case ACTOR_RESTED:
		finish_work(feed);
		schedule(feed, clock_wall_ms());
		return;
	case ACTOR_STOPPED:
		stand_still(feed);
		return;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		log_error("feed not written", "feed=%s verdict=%s", feed->place.name,
		          verdict_name(actor->verdict));
		if (feed->work == NULL) {
			stand_still(feed);
			return;
		}
		feed_standings_forget(&feed->standings);
		posts_refuse(&feed->work->posts, "it could not be made durable; try again",
		             feed->house->counters);
		work_destroy(feed);
		break;
	}
	if (!feed->house->draining)
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
	see_clock(feed, now_ms);
	see_pause(feed, now_ms);
	if (!actor_turn(&feed->actor))
		uv_timer_start(&feed->timer, on_timer, SOON_MS, 0);
}

void feed_look(struct feed *feed)
{
	see_clock(feed, clock_wall_ms());
	bool moved = feed->moved_ms != 0 || !row_is(feed, row_now(feed));
	if (!feed->loaded || (!actor_busy(&feed->actor) && moved))
		feed_turn(feed);
}

void feed_see_picture(struct feed *feed)
{
	if (feed->loaded && !feed->house->draining)
		feed_turn(feed);
}

void feed_hear(struct feed *feed)
{
	feed->heard_ms = clock_wall_ms();
}

void feed_take(struct feed *feed, struct post *post)
{
	struct feed_house *house = feed->house;
	if (house->draining || feed->queue.count >= house->settings->newest->feeds_queue) {
		post_refuse(post, 503,
		            house->draining ? "this worker stops; try again"
		                            : "too many posts wait (feeds.queue); try again");
		post_answer(post, house->counters);
		return;
	}
	posts_add(&feed->queue, post);
	post->queued = true;
	counter_add(house->counters, source_queue, 1);
	feed_turn(feed);
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
	                           .prep_ms = s->duel_prep_timeout_ms,
	                           .silence_ms = s->feeds_source_silence_ms};
}

static void on_status(void *arg)
{
	feed_see_picture(arg);
}

struct feed *feed_create(struct feed_house *house, const struct feed_name *name)
{
	const struct settings *s = house->settings->newest;
	struct feed *feed = xcalloc(1, sizeof *feed);
	struct feed_place *place = &feed->place;
	actor_init(&feed->actor, &feed_type, house->store, house->counters);
	feed->house = house;
	memcpy(place->name, name->name, sizeof place->name);
	snprintf(place->key, sizeof place->key, "feed/%s", place->name);
	snprintf(place->lease, sizeof place->lease, "feeds/lease/%s", place->name);
	lease_init(&feed->lease, place->lease, atomic_load(&house->worker->counters->started_ms),
	           house->worker->slot, house->worker->generation);
	snprintf(place->frames, sizeof place->frames, "/v1/stream/feeds/%s/frames", place->name);
	snprintf(place->results, sizeof place->results, "/v1/stream/feeds/%s/results", place->name);
	feed_standings_init(&feed->standings, place->name, place->results);
	posts_init(&feed->queue);
	feed->state.cycle =
	        (struct duel_cycle){.scheduled = name->scheduled,
	                            .times = times_of(s),
	                            .grace_until_ms = clock_wall_ms() + s->duel_grace_ms,
	                            .duel.winner = -1};
	feed->listening_ms = clock_wall_ms();
	uv_timer_init(house->worker->loop, &feed->timer);
	feed->timer.data = feed;
	if (*s->health_status_dir != '\0')
		feed->picture.status =
		        status_file_watch(house->worker->loop, s->health_status_dir, place->name,
		                          s->health_status_every_ms, on_status, feed);
	return feed;
}

bool feed_stop(struct feed *feed)
{
	uv_timer_stop(&feed->timer);
	if (feed->picture.status != NULL)
		status_file_stop(feed->picture.status);
	posts_refuse(&feed->queue, "this worker stops; try again", feed->house->counters);
	return !actor_busy(&feed->actor);
}
