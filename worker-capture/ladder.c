#include "worker-capture/ladder.h"
#include "common/base/backoff.h"

#include <string.h>

const char *ladder_step_name(enum ladder_step step)
{
	static const char *const names[] = {"",       "terminate", "reload",
	                                    "target", "browser",   "give_up"};
	return names[step];
}

/* Where a reason enters; NONE: nothing of ours would help. */
static enum ladder_step entry_of(enum health_reason reason)
{
	switch (reason) {
	case HEALTH_HANG:
		return LADDER_TERMINATE;
	case HEALTH_NAVIGATION_BLOCKED:
	case HEALTH_NAVIGATION_FAILED:
	case HEALTH_TARGET_CRASHED:
	case HEALTH_GPU_LOST:
	case HEALTH_WEBGL_LOST:
	case HEALTH_FREEZE:
	case HEALTH_NO_FIRST_FRAME:
	case HEALTH_FROZEN_FRAME:
	case HEALTH_INITIALIZATION_FAILED:
	case HEALTH_PROBE_FAILED:
	case HEALTH_STARTING:
	case HEALTH_PAGE_NOT_READY:
	case HEALTH_LOADING_OVERLAY:
	case HEALTH_CANVAS_MISSING:
		return LADDER_RELOAD;
	case HEALTH_BROWSER_MISSING:
	case HEALTH_BROWSER_FAILED:
	case HEALTH_BROWSER_EXIT:
	case HEALTH_BROWSER_SILENT:
		return LADDER_BROWSER;
	case HEALTH_NONE:
	case HEALTH_DIALOG:
	case HEALTH_FLAT_FRAME:
	case HEALTH_ENCODER:
	case HEALTH_REASON_COUNT:
		break;
	}
	return LADDER_NONE;
}

/* Some reasons are no fault yet when they begin. */
static uint64_t grace_of(const struct ladder_limits *limits, enum health_reason reason)
{
	switch (reason) {
	case HEALTH_STARTING:
		return limits->load_ms;
	case HEALTH_INITIALIZATION_FAILED:
	case HEALTH_PAGE_NOT_READY:
	case HEALTH_LOADING_OVERLAY:
	case HEALTH_CANVAS_MISSING:
		return limits->not_ready_ms;
	case HEALTH_HANG:
	case HEALTH_NAVIGATION_BLOCKED:
	case HEALTH_NAVIGATION_FAILED:
	case HEALTH_TARGET_CRASHED:
	case HEALTH_GPU_LOST:
	case HEALTH_WEBGL_LOST:
	case HEALTH_FREEZE:
	case HEALTH_NO_FIRST_FRAME:
	case HEALTH_FROZEN_FRAME:
	case HEALTH_PROBE_FAILED:
	case HEALTH_BROWSER_MISSING:
	case HEALTH_BROWSER_FAILED:
	case HEALTH_BROWSER_EXIT:
	case HEALTH_BROWSER_SILENT:
	case HEALTH_NONE:
	case HEALTH_DIALOG:
	case HEALTH_FLAT_FRAME:
	case HEALTH_ENCODER:
	case HEALTH_REASON_COUNT:
		break;
	}
	return 0;
}

static bool is_browsers(enum health_reason reason)
{
	return entry_of(reason) == LADDER_BROWSER;
}

static uint64_t patience_of(const struct ladder *ladder, const struct ladder_limits *limits)
{
	return ladder->step == LADDER_TERMINATE ? limits->terminate_ms : limits->load_ms;
}

static void note_reason(struct ladder *ladder, const struct ladder_limits *limits,
                        enum health_reason reason, uint64_t now_ms)
{
	if (ladder->reason_ms == 0 || ladder->reason != reason)
		ladder->reason_ms = now_ms;
	ladder->reason = reason;
	if (entry_of(reason) != LADDER_NONE) {
		ladder->healthy_ms = 0;
		return;
	}
	ladder->step = LADDER_NONE;
	ladder->healthy_ms = ladder->healthy_ms != 0 ? ladder->healthy_ms : now_ms;
	if (now_ms - ladder->healthy_ms >= limits->stable_ms)
		ladder->browsers = 0;
}

/* While a step is given its time, only a worse reason than the one it was taken for counts. */
static bool must_wait(const struct ladder *ladder, const struct ladder_limits *limits,
                      uint64_t now_ms)
{
	if (now_ms - ladder->reason_ms < grace_of(limits, ladder->reason))
		return true;
	if (ladder->step == LADDER_NONE || is_browsers(ladder->reason))
		return false;
	bool fresh = ladder->reason_ms > ladder->step_ms && ladder->reason != HEALTH_STARTING;
	return !fresh && now_ms - ladder->step_ms < patience_of(ladder, limits);
}

static bool is_too_often(struct ladder *ladder, const struct ladder_limits *limits, uint64_t now_ms)
{
	uint64_t oldest_ms = ladder->recent_ms[0];
	return oldest_ms != 0 && now_ms - oldest_ms < limits->recent_ms;
}

static enum ladder_step choose(struct ladder *ladder, const struct ladder_limits *limits,
                               uint64_t now_ms)
{
	enum ladder_step step = entry_of(ladder->reason);
	if (ladder->step == LADDER_TERMINATE && step <= LADDER_TARGET)
		step = LADDER_TARGET; /* a page that cannot be stopped is not to be reloaded either
		                       */
	else if (ladder->step >= step && ladder->step < LADDER_BROWSER)
		step = ladder->step + 1;
	else if (ladder->step == LADDER_BROWSER)
		step = LADDER_BROWSER;
	if (ladder->reason == HEALTH_GPU_LOST && ++ladder->gpu_losses >= limits->gpu_losses_max)
		step = LADDER_BROWSER;
	return is_too_often(ladder, limits, now_ms) ? LADDER_BROWSER : step;
}

static uint64_t delay_of(const struct ladder *ladder, const struct ladder_limits *limits)
{
	return backoff_doubled_ms(limits->delay_min_ms, limits->delay_max_ms, ladder->browsers);
}

/* The first one comes at once when the old one is still there to be replaced, later ones wait. */
static enum ladder_step start_browser(struct ladder *ladder, const struct ladder_limits *limits,
                                      uint64_t now_ms)
{
	if (limits->browsers_max != 0 && ladder->browsers >= limits->browsers_max)
		return LADDER_GIVE_UP;
	if (ladder->browser_due_ms == 0 && ladder->browsers > 0)
		ladder->browser_due_ms = now_ms + delay_of(ladder, limits);
	if (now_ms < ladder->browser_due_ms)
		return LADDER_NONE;
	ladder->browsers++;
	ladder->gpu_losses = 0;
	ladder->browser_due_ms = 0;
	memset(ladder->recent_ms, 0, sizeof ladder->recent_ms);
	return LADDER_BROWSER;
}

enum ladder_step ladder_next(struct ladder *ladder, const struct ladder_limits *limits,
                             enum health_reason reason, uint64_t now_ms)
{
	enum ladder_step step;
	note_reason(ladder, limits, reason, now_ms);
	if (entry_of(reason) == LADDER_NONE || must_wait(ladder, limits, now_ms))
		return LADDER_NONE;
	step = ladder->browser_due_ms != 0 ? LADDER_BROWSER : choose(ladder, limits, now_ms);
	if (step == LADDER_BROWSER)
		step = start_browser(ladder, limits, now_ms);
	if (step == LADDER_NONE)
		return step;
	if (step != LADDER_BROWSER && step != LADDER_GIVE_UP) {
		memmove(ladder->recent_ms, ladder->recent_ms + 1,
		        sizeof ladder->recent_ms - sizeof *ladder->recent_ms);
		ladder->recent_ms[LADDER_RECENT_MAX - 1] = now_ms;
	}
	ladder->step = step;
	ladder->step_ms = now_ms;
	return step;
}
