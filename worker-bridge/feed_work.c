#include "worker-bridge/feed_work.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { STEPS_MAX = 16 }; /* of time, in one transaction */

/* ---- frames ---- */

static const char *phase_before(const struct duel *d)
{
	return d->phase > DUEL_ANNOUNCEMENT ? duel_phase_name(d->phase - 1) : NULL;
}

static const char *guardrail(const struct feed_work *work)
{
	const char *reason = duel_guardrail(&work->state.cycle.duel);
	return reason != NULL ? reason : duel_silence(&work->state.cycle, work->state.now_ms);
}

/* At the time of the state; texts live until the next call. */
static struct feed_frame_health health_now(const struct feed_work *work)
{
	static struct renderer_health h;
	const struct duel *d = &work->state.cycle.duel;
	const struct settings *s = work->settings;
	const struct feed_picture *picture = work->picture;
	char id[64];
	duel_id(d, id);
	renderer_health_derive(
	        &h,
	        &(struct renderer_health_inputs){
	                .guardrail = guardrail(work),
	                .duel_id = d->present ? id : NULL,
	                .phase = duel_phase_name(d->phase),
	                .previous_phase = phase_before(d),
	                .phase_start_ms = d->phase_start_ms,
	                .report = &picture->report,
	                .status = picture->status != NULL ? status_file_now(picture->status) : NULL,
	                .now_ms = work->state.now_ms,
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

static struct feed_core core_of(const struct feed_frame *frame)
{
	XXH128_hash_t hash = XXH3_128bits(frame->text + frame->core_at, frame->core_len);
	return (struct feed_core){hash.high64, hash.low64};
}

/* What the last frame of this state said, for the comparison with the next. A terminal frame is
 * never repeated, so that it need not be told apart here. */
struct feed_core feed_work_core(struct feed_frame *scratch, const struct feed_state *state)
{
	const struct feed_frame_health none = {.reason = "-"};
	const struct feed_frame_place place = {.feed = "-", .seq = 1};
	feed_frame_build(scratch, &state->cycle.duel, false, &none, &place);
	return core_of(scratch);
}

void feed_work_frame(struct feed_work *work)
{
	struct feed_state *s = &work->state;
	struct feed_frame *frame = work->scratch;
	if (s->cycle.duel.outcome != DUEL_OUTCOME_NONE && !s->cycle.ended)
		return; /* its terminal frame was its last, whatever is posted about the next */
	if (txn_bytes(work->txn) >= FEED_WORK_FRAMES_BYTES && !s->cycle.ended && !work->last)
		return;
	const struct feed_frame_health health = health_now(work);
	/* What has happened is not later than the frame that tells of it (duel.h). */
	const struct duel *d = &s->cycle.duel;
	uint64_t happened_ms = d->end_ms != 0 ? d->end_ms : d->fight_start_ms;
	if (d->present && happened_ms > s->last_ms)
		s->last_ms = happened_ms;
	const struct feed_frame_place place = {work->place->name, s->epoch, s->seq + 1, s->last_ms};
	const char *reason = health.reason != NULL ? health.reason : "";
	feed_frame_build(frame, &s->cycle.duel, s->cycle.ended, &health, &place);
	struct feed_core core = core_of(frame);
	if (s->seq > 0 && !s->cycle.ended && core.high == work->core.high &&
	    core.low == work->core.low && health.ready == s->ready &&
	    strcmp(reason, s->reason) == 0)
		return;
	s->seq++;
	s->ready = health.ready;
	snprintf(s->reason, sizeof s->reason, "%s", reason);
	work->core = core;
	work->changed = true;
	txn_publish(work->txn, work->place->frames, span_of(frame->text, frame->len));
	if (s->cycle.ended) {
		txn_publish(work->txn, work->place->results, span_of(frame->text, frame->len));
		feed_standings_end(work->standings, &work->counting, &s->cycle.duel, s->epoch,
		                   s->seq, s->last_ms);
	}
	said_count(&work->said, feed_frames_total, 1);
}

/* Who fights now, and what has been counted of both. */
static void begin_duel(struct feed_work *work, struct duel *duel)
{
	said_count(&work->said, duels_begun_total, 1);
	feed_standings_fill(work->standings, duel);
	for (size_t i = 0; i < 2 && work->settings->feeds_count_standings; i++)
		duel_agent_fill(&duel->agents[i], &duel->counts[i]);
}

static void take_step(struct feed_work *work, const struct duel_cycle *before,
                      struct duel_cycle *after)
{
	struct said *said = &work->said;
	if (after->duel.present && strcmp(before->duel.cycle_id, after->duel.cycle_id) != 0)
		begin_duel(work, &after->duel);
	if (!after->ended)
		return;
	if (after->duel.outcome == DUEL_OUTCOME_WIN)
		said_count(said, duels_won_total, 1);
	else if (after->duel.outcome == DUEL_OUTCOME_DRAW)
		said_count(said, duels_drawn_total, 1);
	else
		said_count(said, duels_cancelled_total, 1);
	said_log(said, LOG_LEVEL_INFO, "duel ended", "feed=%s cycle=%s outcome=%s reason=%s",
	         work->place->name, after->duel.cycle_id, duel_outcome_name(after->duel.outcome),
	         after->duel.outcome == DUEL_OUTCOME_CANCELLED
	                 ? after->duel.cancellation
	                 : duel_win_reason_name(after->duel.win_reason));
}

void feed_work_time(struct feed_work *work)
{
	for (int i = 0; i < STEPS_MAX; i++) {
		struct duel_cycle before = work->state.cycle;
		uint8_t random[16];
		clock_random(random, sizeof random);
		if (!duel_tick(&work->state.cycle, work->state.now_ms, random))
			return;
		work->changed = true;
		take_step(work, &before, &work->state.cycle);
		feed_work_frame(work);
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

static void recount(struct feed_work *work, struct post *post)
{
	if (!feed_standings_recount(work->standings, &work->counting)) {
		post_refuse(post, 503,
		            "this release cannot read a row of the standings (see the "
		            "log and rows_unreadable)");
		return;
	}
	post->status = 202;
	post->answer = json_pack("{s:s,s:s}", "feed", work->place->name, "standings",
	                         feed_standings_stage_name(work->standings->stage));
	work->changed = true;
}

void feed_work_post(struct feed_work *work, struct post *post)
{
	struct feed_state *s = &work->state;
	bool repeated;
	posts_add(&work->posts, post);
	if (post->recount) {
		recount(work, post);
		return;
	}
	if (!in_turn(s, post, &repeated)) {
		if (repeated) {
			said_count(&work->said, source_repeated_total, 1);
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
		take_step(work, &before, &s->cycle);
		feed_work_frame(work);
		if (i + 1 == post->facts.count) {
			post->status = 200;
			post->answer = answer_of(s, false);
		}
		feed_work_time(work);
	}
	if (post->facts.source_epoch != 0) {
		s->source_epoch = post->facts.source_epoch;
		s->source_seq = post->facts.source_seq;
		memcpy(s->source_digest, post->digest, sizeof s->source_digest);
	}
	work->changed = true;
	said_count(&work->said, source_posts_total, 1);
}
