/* Is the picture alive, and does it show the right thing? Pure: signals and time in, one reason
 * out.
 *
 * Signals come from two sides that cannot vouch for one another: the script in the page pushes a
 * heartbeat (animation frames, lost WebGL contexts, the page's own health global), the worker sees
 * frames, their content, and the browser's processes. The first reason in the order below wins. */
#pragma once

#include "proto/bytes.h"

#include <jansson.h>

/* R(NAME, text, what it means) */
#define HEALTH_REASONS(R)                                                                          \
	R(NONE, "", "Healthy.")                                                                    \
	R(BROWSER_MISSING, "browser_missing", "No browser is installed where it is looked for.")   \
	R(BROWSER_FAILED, "browser_failed", "The browser ends before it answers.")                 \
	R(BROWSER_EXIT, "browser_exit", "The browser has ended; a new one is on its way.")         \
	R(BROWSER_SILENT, "browser_silent", "The browser as a whole answers nothing.")             \
	R(NAVIGATION_BLOCKED, "navigation_blocked", "The page went where it may not go.")          \
	R(TARGET_CRASHED, "target_crashed", "The page's process has crashed.")                     \
	R(NAVIGATION_FAILED, "navigation_failed", "The page could not be loaded.")                 \
	R(GPU_LOST, "gpu_lost", "The GPU process was replaced; what it drew is gone.")             \
	R(WEBGL_LOST, "webgl_lost", "The page has lost a WebGL context and not got it back.")      \
	R(DIALOG, "dialog", "A dialog of the page stood in its way.")                              \
	R(HANG, "hang", "The page's scripts do not run: no heartbeat.")                            \
	R(STARTING, "starting", "The page is being loaded.")                                       \
	R(FREEZE, "freeze", "Scripts run, but no animation frames do.")                            \
	R(NO_FIRST_FRAME, "no_first_frame", "The page is loaded and has not been seen yet.")       \
	R(PAGE_NOT_READY, "page_not_ready",                                                        \
	  "The page says that it is not ready; its reason is the detail.")                         \
	R(INITIALIZATION_FAILED, "initialization_failed",                                          \
	  "The page says that it could not start.")                                                \
	R(LOADING_OVERLAY, "loading_overlay_active", "The page says that it is loading.")          \
	R(CANVAS_MISSING, "canvas_missing", "The page reports no health and has no canvas.")       \
	R(PROBE_FAILED, "probe_failed", "The page's health is not to be read.")                    \
	R(FROZEN_FRAME, "frozen_frame",                                                            \
	  "Frames are drawn, but all alike, while the phase is live.")                             \
	R(FLAT_FRAME, "flat_frame", "The picture is of one colour.")                               \
	R(ENCODER, "encoder_stalled", "The picture is fine, but does not get out.")

#define HEALTH_REASON_ENUM(NAME, text, help) HEALTH_##NAME,
enum health_reason { HEALTH_REASONS(HEALTH_REASON_ENUM) HEALTH_REASON_COUNT };
#undef HEALTH_REASON_ENUM
const char *health_reason_name(enum health_reason reason);

enum { HEALTH_DETAIL_MAX = 180, HEALTH_ID_MAX = 128, HEALTH_PHASE_MAX = 32 };

/* What the page says about itself. */
struct health_page {
	char duel_id[HEALTH_ID_MAX + 1]; /* "" when it does not say */
	char phase[HEALTH_PHASE_MAX + 1];
	uint64_t at_ms; /* wall clock; 0: it never said anything */
};

/* What is known now. */
struct health {
	enum health_reason reason;
	char detail[HEALTH_DETAIL_MAX + 1]; /* may be "" */
	uint64_t since_ms;                  /* wall clock since when the reason is this one */
	uint64_t updated_ms;                /* wall clock of the newest signal behind it */
	struct health_page page;
};

/* All times monotonic ms; 0: never. */
struct health_signals {
	/* the host's */
	bool browser_missing, browser_failed, browser_ended;
	uint64_t asked_ms, heard_ms; /* oldest unanswered probe of the browser; its newest answer */
	bool blocked, crashed, load_failed, gpu_lost;
	uint64_t dialog_ms;
	uint64_t document_ms;    /* the document began */
	uint64_t first_frame_ms; /* of this document */
	uint64_t frame_ms;       /* newest frame */
	uint64_t picture_ms;     /* the picture differed from the one before */
	bool flat;
	const char *encoder;              /* NULL: well */
	char note[HEALTH_DETAIL_MAX + 1]; /* what the host knows about blocked, failed, ... */
	/* the page's, by heartbeat */
	uint64_t first_beat_ms, beat_ms;
	uint64_t pulse_ms;      /* our own animation frame came */
	uint64_t drawn_ms;      /* the page's own animation frames went on; 0: it asks for none */
	uint32_t contexts_lost; /* more than were restored: 1, else 0 */
	bool unreadable;        /* the health global is there and cannot be read */
	bool reports, ready;    /* it has a health global; what that says */
	bool boots, broken;     /* it says that it is loading; that it could not start */
	bool canvas;
	char reason[HEALTH_DETAIL_MAX + 1];
	struct health_page page;
};

struct health_limits {
	uint64_t silent_ms;      /* the browser owes an answer */
	uint64_t hang_ms;        /* no heartbeat */
	uint64_t freeze_ms;      /* no animation frames */
	uint64_t frozen_ms;      /* the same picture while the phase is live */
	uint64_t first_frame_ms; /* after the first heartbeat */
	uint64_t dialog_ms;      /* how long a dialog is worth mentioning */
};

/* Writes what is known into *health; `since` and `updated` move as they should. True: the reason or
 * its detail is another one than before. */
bool health_judge(struct health *health, const struct health_signals *signals,
                  const struct health_limits *limits, uint64_t now_ms, uint64_t wall_ms);

/* The report that goes to the bridge as CAPTURE_HEALTH.report, and to whoever asks:
 *     {"ready":true,"degradedReason":null,"detail":null,"updatedAt":MS,"since":MS,
 *      "source":"capture","page":{"duelId":...,"phase":...,"at":MS}|null}
 * times are wall clock; duelId and phase are null where the page does not say; page is null before
 * it said anything. The caller adds members of its own. */
json_t *health_json(const struct health *health);
