#include "worker-capture/cast.h"
#include "common/base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
	CALL_MS = 10000,
	NUDGE_MS = 2000,
	NS_PER_MS = 1000000,
};

void cast_init(struct cast *cast, uv_loop_t *loop, uint32_t width, uint32_t height,
               uint32_t quality, double fps)
{
	*cast = (struct cast){.width = width, .height = height, .quality = quality, .fps = fps};
	uv_timer_init(loop, &cast->timer);
	cast->timer.data = cast;
}

static void start(struct cast *cast)
{
	json_t *params = json_pack("{s:s, s:i, s:i, s:i, s:i}", "format", "jpeg", "quality",
	                           (int)cast->quality, "maxWidth", (int)cast->width, "maxHeight",
	                           (int)cast->height, "everyNthFrame", 1);
	cast->asked_ms = clock_monotonic_ms();
	devtools_command(cast->devtools, DEVTOOLS_PAGE_SCREENCAST_START, cast->session, params,
	                 CALL_MS, NULL, NULL);
}

void cast_start(struct cast *cast, struct devtools *devtools, const char *session)
{
	cast_forget(cast);
	cast->devtools = devtools;
	snprintf(cast->session, sizeof cast->session, "%s", session);
	start(cast);
}

void cast_forget(struct cast *cast)
{
	uv_timer_stop(&cast->timer);
	cast->devtools = NULL;
	cast->unacked_count = 0;
	cast->asked_ms = 0;
	cast->newest_s = 0;
}

static void acknowledge_oldest(struct cast *cast)
{
	json_t *params = json_pack("{s:I}", "sessionId", (json_int_t)cast->unacked[0]);
	memmove(cast->unacked, cast->unacked + 1, --cast->unacked_count * sizeof *cast->unacked);
	devtools_command(cast->devtools, DEVTOOLS_PAGE_SCREENCAST_ACK, cast->session, params,
	                 CALL_MS, NULL, NULL);
}

/* Acknowledges what is due. An interval that was missed is not made up for. */
static void pace(struct cast *cast)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t interval_ns = (uint64_t)(1e9 / cast->fps);
	while (cast->unacked_count > 0 && cast->due_ns <= now_ns + NS_PER_MS / 2) {
		acknowledge_oldest(cast);
		cast->due_ns = cast->due_ns + interval_ns > now_ns ? cast->due_ns + interval_ns
		                                                   : now_ns + interval_ns;
	}
}

static void on_timer(uv_timer_t *timer);

static void wait_for_due(struct cast *cast)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (cast->unacked_count > 0 && !uv_is_active((uv_handle_t *)&cast->timer))
		uv_timer_start(&cast->timer, on_timer,
		               cast->due_ns > now_ns ? (cast->due_ns - now_ns) / NS_PER_MS : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct cast *cast = timer->data;
	if (cast->devtools == NULL)
		return;
	pace(cast);
	wait_for_due(cast);
}

bool cast_take(struct cast *cast, const struct picture *picture, int64_t ack)
{
	if (cast->devtools == NULL)
		return false;
	if (cast->unacked_count == CAST_UNACKED_MAX)
		acknowledge_oldest(
		        cast); /* the browser sends more than it ever did: never hold it up */
	cast->unacked[cast->unacked_count++] = ack;
	pace(cast);
	wait_for_due(cast);
	if (picture->drawn_at_s < cast->newest_s)
		return false;
	cast->newest_s = picture->drawn_at_s;
	return true;
}

void cast_set_fps(struct cast *cast, double fps)
{
	if (cast->fps == fps)
		return;
	cast->fps = fps < 0.1 ? 0.1 : fps > 60 ? 60 : fps;
	cast->due_ns = 0;
	if (cast->devtools == NULL)
		return;
	uv_timer_stop(&cast->timer);
	pace(cast);
	wait_for_due(cast);
}

/* One that runs keeps the size it began with. */
void cast_set_size(struct cast *cast, uint32_t width, uint32_t height)
{
	cast->width = width;
	cast->height = height;
	if (cast->devtools == NULL)
		return;
	devtools_command(cast->devtools, DEVTOOLS_PAGE_SCREENCAST_STOP, cast->session, NULL,
	                 CALL_MS, NULL, NULL);
	cast->unacked_count = 0;
	start(cast);
}

void cast_nudge(struct cast *cast, uint64_t now_ms)
{
	if (cast->devtools == NULL || now_ms - cast->asked_ms < NUDGE_MS)
		return;
	devtools_command(cast->devtools, DEVTOOLS_PAGE_SCREENCAST_STOP, cast->session, NULL,
	                 CALL_MS, NULL, NULL);
	cast->unacked_count = 0;
	start(cast);
}

void cast_close(struct cast *cast, uv_close_cb on_closed)
{
	cast_forget(cast);
	uv_close((uv_handle_t *)&cast->timer, on_closed);
}
