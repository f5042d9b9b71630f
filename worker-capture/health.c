#include "worker-capture/health.h"

#include <stdio.h>
#include <string.h>

const char *health_reason_name(enum health_reason reason)
{
#define HEALTH_REASON_NAME(NAME, text, help) [HEALTH_##NAME] = text,
	static const char *const names[] = {HEALTH_REASONS(HEALTH_REASON_NAME)};
#undef HEALTH_REASON_NAME
	return reason < HEALTH_REASON_COUNT ? names[reason] : "unknown";
}

/* Does a phase mean that something moves on the screen? */
static bool phase_is_live(const char *phase)
{
	return strcmp(phase, "COUNTDOWN") == 0 || strcmp(phase, "FIGHTING") == 0;
}

/* `at_ms` happened, and nothing since for `limit_ms`. */
static bool stale(uint64_t at_ms, uint64_t limit_ms, uint64_t now_ms)
{
	return at_ms != 0 && now_ms > at_ms && now_ms - at_ms >= limit_ms;
}

static enum health_reason judge_browser(const struct health_signals *s,
                                        const struct health_limits *l, uint64_t now_ms)
{
	if (s->browser_missing)
		return HEALTH_BROWSER_MISSING;
	if (s->browser_failed)
		return HEALTH_BROWSER_FAILED;
	if (s->browser_ended)
		return HEALTH_BROWSER_EXIT;
	return stale(s->asked_ms, l->silent_ms, now_ms) ? HEALTH_BROWSER_SILENT : HEALTH_NONE;
}

static enum health_reason judge_renderer(const struct health_signals *s,
                                         const struct health_limits *l, uint64_t now_ms)
{
	if (s->blocked)
		return HEALTH_NAVIGATION_BLOCKED;
	if (s->crashed)
		return HEALTH_TARGET_CRASHED;
	if (s->load_failed)
		return HEALTH_NAVIGATION_FAILED;
	if (s->gpu_lost)
		return HEALTH_GPU_LOST;
	if (s->contexts_lost > 0)
		return HEALTH_WEBGL_LOST;
	if (s->dialog_ms != 0 && !stale(s->dialog_ms, l->dialog_ms, now_ms))
		return HEALTH_DIALOG;
	if (stale(s->beat_ms, l->hang_ms, now_ms))
		return HEALTH_HANG;
	return s->beat_ms == 0 ? HEALTH_STARTING : HEALTH_NONE;
}

/* Only while it says that something moves is a page that draws nothing a frozen one. */
static bool is_frozen(const struct health_signals *s, const struct health_limits *l,
                      uint64_t now_ms)
{
	return stale(s->pulse_ms != 0 ? s->pulse_ms : s->first_beat_ms, l->freeze_ms, now_ms) ||
	       (phase_is_live(s->page.phase) && stale(s->drawn_ms, l->freeze_ms, now_ms));
}

/* What the page says of itself (its explicit health, else what it shows of its start). */
static enum health_reason judge_page(const struct health_signals *s)
{
	if (s->unreadable)
		return HEALTH_PROBE_FAILED;
	if (s->broken)
		return HEALTH_INITIALIZATION_FAILED;
	if (s->reports)
		return s->ready ? HEALTH_NONE : HEALTH_PAGE_NOT_READY;
	if (s->ready)
		return HEALTH_NONE;
	if (s->boots)
		return HEALTH_LOADING_OVERLAY;
	return s->canvas ? HEALTH_NONE : HEALTH_CANVAS_MISSING;
}

static enum health_reason judge_picture(const struct health_signals *s,
                                        const struct health_limits *l, uint64_t now_ms)
{
	if (s->first_frame_ms == 0)
		return stale(s->first_beat_ms, l->first_frame_ms, now_ms) ? HEALTH_NO_FIRST_FRAME
		                                                          : HEALTH_STARTING;
	enum health_reason said = judge_page(s);
	if (said != HEALTH_NONE)
		return said;
	if (phase_is_live(s->page.phase) && stale(s->picture_ms, l->frozen_ms, now_ms))
		return HEALTH_FROZEN_FRAME;
	if (s->flat)
		return HEALTH_FLAT_FRAME;
	return s->encoder != NULL ? HEALTH_ENCODER : HEALTH_NONE;
}

static enum health_reason judge(const struct health_signals *s, const struct health_limits *l,
                                uint64_t now_ms)
{
	enum health_reason reason = judge_browser(s, l, now_ms);
	if (reason == HEALTH_NONE)
		reason = judge_renderer(s, l, now_ms);
	if (reason == HEALTH_NONE && is_frozen(s, l, now_ms))
		reason = HEALTH_FREEZE;
	return reason != HEALTH_NONE ? reason : judge_picture(s, l, now_ms);
}

static const char *detail_of(enum health_reason reason, const struct health_signals *s)
{
	if (reason == HEALTH_PAGE_NOT_READY || reason == HEALTH_INITIALIZATION_FAILED ||
	    reason == HEALTH_LOADING_OVERLAY)
		return s->reason;
	if (reason == HEALTH_ENCODER)
		return s->encoder;
	return reason != HEALTH_NONE && reason <= HEALTH_NAVIGATION_FAILED ? s->note : "";
}

bool health_judge(struct health *health, const struct health_signals *signals,
                  const struct health_limits *limits, uint64_t now_ms, uint64_t wall_ms)
{
	enum health_reason reason = judge(signals, limits, now_ms);
	const char *detail = detail_of(reason, signals);
	bool differs = health->since_ms == 0 || health->reason != reason ||
	               strcmp(health->detail, detail) != 0;
	uint64_t newest_ms =
	        signals->beat_ms > signals->heard_ms ? signals->beat_ms : signals->heard_ms;
	if (health->since_ms == 0 || health->reason != reason)
		health->since_ms = wall_ms;
	health->reason = reason;
	snprintf(health->detail, sizeof health->detail, "%s", detail);
	/* Of the sample, not of the judging: a report without news grows old. A verdict about
	 * silence is news by itself. */
	health->updated_ms = newest_ms == 0 || reason != HEALTH_NONE || now_ms < newest_ms
	                             ? wall_ms
	                             : wall_ms - (now_ms - newest_ms);
	health->page = signals->page;
	return differs;
}

static json_t *text_or_null(const char *text)
{
	return *text != '\0' ? json_string(text) : json_null();
}

static json_t *page_json(const struct health_page *page)
{
	if (page->at_ms == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:I}", "duelId", text_or_null(page->duel_id), "phase",
	                 text_or_null(page->phase), "at", (json_int_t)page->at_ms);
}

json_t *health_json(const struct health *health)
{
	bool ready = health->reason == HEALTH_NONE;
	return json_pack("{s:b, s:o, s:o, s:I, s:I, s:s, s:o}", "ready", (int)ready,
	                 "degradedReason", text_or_null(health_reason_name(health->reason)),
	                 "detail", text_or_null(health->detail), "updatedAt",
	                 (json_int_t)health->updated_ms, "since", (json_int_t)health->since_ms,
	                 "source", "capture", "page", page_json(&health->page));
}
