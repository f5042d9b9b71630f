#include "worker-capture/output.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/output_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	UNSENT_BYTES_MAX =
	        2 << 20, /* to an ffmpeg that does not read: then pictures are left out */
	STALL_MS = 5000,
	START_MS = 15000, /* until the first picture is out: servers and programs may be slow to
	                     begin */
	FINISH_MS = 5000, /* to write what it was given: on a busy machine more than two seconds */
	DELAY_MIN_MS = 1000,
	DELAY_MAX_MS = 30000,
	STABLE_MS = 30000, /* live this long: the delay begins anew */
	FAULT_MS = 2000,   /* not live for this long is a fault */
	STILL_MS = 3000,   /* and so is no progress: said before STALL_MS does something about it */
	CATCH_UP_MAX = 4,  /* pictures given at once after the loop was late */
};

static const char *state_name(enum output_state state)
{
	static const char *const names[] = {"waiting", "connecting", "live", "backoff", "closing"};
	return names[state];
}

static void set_state(struct output *o, enum output_state state)
{
	char where[256];
	if (o->state == state)
		return;
	output_target_public(&o->target, where);
	counter_add(o->counters, capture_outputs_live,
	            (state == OUTPUT_LIVE) - (o->state == OUTPUT_LIVE));
	o->state = state;
	o->state_ms = clock_monotonic_ms();
	log_info("output", "name=%s to=%s state=%s said=\"%s\"", o->target.name, where,
	         state_name(state), o->said);
}

/* ---- pictures in ---- */

struct given {
	uv_write_t write;
	struct picture *picture;
};

static void on_given(uv_write_t *write, int status)
{
	struct given *given = write->data;
	(void)status; /* ffmpeg's end tells */
	picture_unref(&given->picture);
	free(given);
}

/* The picture's own bytes are written; nothing is copied. */
static void give(struct output *o)
{
	uv_stream_t *stream = (uv_stream_t *)&o->pipes->input;
	if (uv_stream_get_write_queue_size(stream) + o->newest->len > UNSENT_BYTES_MAX) {
		o->left_out++;
		return;
	}
	struct given *given = xmalloc(sizeof *given);
	given->picture = picture_ref(o->newest);
	given->write.data = given;
	uv_buf_t buf = uv_buf_init((char *)o->newest->bytes, o->newest->len);
	if (uv_write(&given->write, stream, &buf, 1, on_given) != 0) {
		on_given(&given->write, 0);
		return;
	}
	o->given++;
	o->repeated += o->newest->seq == o->given_seq;
	o->given_seq = o->newest->seq;
}

static void on_tick(uv_timer_t *timer);

static void wait_for_tick(struct output *o, uint64_t now_ns)
{
	uint64_t left_ns = o->next_ns > now_ns ? o->next_ns - now_ns : 0;
	uv_timer_start(&o->tick, on_tick, (left_ns + 999999) / 1000000, 0);
}

/* By absolute time, so that the rate is exact however the loop turns. */
static void on_tick(uv_timer_t *timer)
{
	struct output *o = timer->data;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t interval_ns = 1000000000 / o->settings->newest->capture_fps;
	unsigned given = 0;
	if (o->pipes == NULL || o->state == OUTPUT_CLOSING)
		return;
	while (o->next_ns <= now_ns && given++ < CATCH_UP_MAX) {
		give(o);
		o->next_ns += interval_ns;
	}
	if (o->next_ns + CATCH_UP_MAX * interval_ns < now_ns) {
		o->left_out += (now_ns - o->next_ns) / interval_ns;
		o->next_ns = now_ns;
	}
	unsigned patience_ms = o->state == OUTPUT_CONNECTING ? START_MS : STALL_MS;
	if (clock_monotonic_ms() - o->progress_ms >= patience_ms) {
		snprintf(o->said, sizeof o->said, "no progress for %u s", patience_ms / 1000);
		kept_kill(o->kept);
	}
	wait_for_tick(o, now_ns);
}

void output_begin(struct output *o)
{
	o->progress_ms = clock_monotonic_ms();
	o->next_ns = clock_monotonic_ns();
	set_state(o, OUTPUT_CONNECTING);
	wait_for_tick(o, o->next_ns);
}

/* ---- progress out ---- */

static void take_line(struct output *o, const char *line)
{
	if (strncmp(line, "frame=", 6) == 0) {
		uint64_t encoded = strtoull(line + 6, NULL, 10);
		if (encoded != o->encoded && encoded != 0) {
			o->progress_ms = clock_monotonic_ms();
			if (o->state == OUTPUT_CONNECTING) {
				o->live_ms = o->progress_ms;
				set_state(o, OUTPUT_LIVE);
			}
		}
		o->encoded = encoded;
	} else if (strncmp(line, "speed=", 6) == 0) {
		o->speed = strtod(line + 6, NULL);
	}
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	static char room[4096]; /* one loop, used before the next read */
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(room, sizeof room);
}

static void on_progress(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct pipes *pipes = stream->data;
	if (n < 0)
		uv_read_stop(stream);
	for (ssize_t i = 0; i < n && pipes->output != NULL; i++) {
		if (buf->base[i] != '\n') {
			if (pipes->line_len + 1 < sizeof pipes->line)
				pipes->line[pipes->line_len++] = buf->base[i];
			continue;
		}
		pipes->line[pipes->line_len] = '\0';
		pipes->line_len = 0;
		take_line(pipes->output, pipes->line);
	}
}

static void on_pipe_closed(uv_handle_t *handle)
{
	struct pipes *pipes = handle->data;
	if (--pipes->handles == 0)
		free(pipes);
}

struct pipes *output_pipes_create(struct output *o, int input_fd, int progress_fd)
{
	struct pipes *pipes = xcalloc(1, sizeof *pipes);
	*pipes = (struct pipes){.output = o, .handles = 2};
	uv_pipe_init(o->loop, &pipes->input, 0);
	uv_pipe_init(o->loop, &pipes->progress, 0);
	pipes->input.data = pipes->progress.data = pipes;
	check(uv_pipe_open(&pipes->input, input_fd) == 0);
	check(uv_pipe_open(&pipes->progress, progress_fd) == 0);
	uv_read_start((uv_stream_t *)&pipes->progress, give_room, on_progress);
	return pipes;
}

static void pipes_close(struct pipes **out)
{
	struct pipes *pipes = *out;
	*out = NULL;
	if (pipes == NULL)
		return;
	pipes->output = NULL;
	uv_close((uv_handle_t *)&pipes->input, on_pipe_closed);
	uv_close((uv_handle_t *)&pipes->progress, on_pipe_closed);
}

/* ---- ffmpeg ---- */

static void on_wait(uv_timer_t *timer)
{
	struct output *o = timer->data;
	if (o->state == OUTPUT_BACKOFF || o->state == OUTPUT_WAITING)
		output_start(o);
	else if (o->kept != NULL && o->pipes == NULL) /* it was to finish, and has had its time */
		kept_kill(o->kept);
}

void output_wait(struct output *o, uint64_t delay_ms)
{
	uv_timer_start(&o->wait, on_wait, delay_ms, 0);
}

/* What it has been given it may finish, for a while. */
static void let_finish(struct output *o)
{
	uv_timer_stop(&o->tick);
	pipes_close(&o->pipes); /* end-of-file: it writes what it has, and ends */
	output_wait(o, FINISH_MS);
}

void output_back_off(struct output *o)
{
	if (o->live_ms != 0 && clock_monotonic_ms() - o->live_ms >= STABLE_MS)
		o->failures = 0;
	o->failures++;
	o->live_ms = 0;
	set_state(o, OUTPUT_BACKOFF);
	/* A quarter more or less: those that fell together do not come back together. */
	uint64_t delay_ms = backoff_doubled_ms(DELAY_MIN_MS, DELAY_MAX_MS, o->failures);
	delay_ms = delay_ms * 3 / 4 + clock_random_below(delay_ms / 2 + 1);
	output_wait(o, delay_ms);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct output *o = handle->data;
	if (--o->handles > 0)
		return;
	picture_unref(&o->newest);
	o->on_closed(o->on_closed_arg, o);
	free(o);
}

static void finish(struct output *o)
{
	if (o->lookup != NULL)
		o->lookup->output = NULL;
	o->lookup = NULL;
	session_unwatch(&o->watcher);
	pipes_close(&o->pipes);
	uv_close((uv_handle_t *)&o->tick, on_timer_closed);
	uv_close((uv_handle_t *)&o->wait, on_timer_closed);
}

/* Its words may name the destination. */
static void keep_words(struct output *o, int code, const char *line)
{
	bool secret = strstr(line, "://") != NULL || strstr(line, o->target.url) != NULL;
	if (*o->said == '\0') /* else it was us, and why stands there */
		snprintf(o->said, sizeof o->said, "ffmpeg ended with %d%s%.150s", code,
		         *line != '\0' && !secret ? ": " : "", secret ? "" : line);
}

void output_on_exit(void *arg, int code, const char *line)
{
	struct output *o = arg;
	uv_timer_stop(&o->tick);
	kept_destroy(&o->kept);
	pipes_close(&o->pipes);
	if (o->state == OUTPUT_CLOSING) {
		finish(o);
		return;
	}
	keep_words(o, code, line);
	counter_add(o->counters, capture_output_failures_total, 1);
	output_back_off(o);
}

const char output_no_space[] = "the disk is nearly full (capture.free_bytes)";

void output_look(struct output *o)
{
	if (o->pipes == NULL || o->state == OUTPUT_CLOSING || output_has_space(o))
		return;
	snprintf(o->said, sizeof o->said, "%s", output_no_space);
	let_finish(o);
}

/* ---- the session ---- */

static void on_picture(void *arg, struct session *session, struct picture *picture)
{
	struct output *o = arg;
	(void)session;
	picture_unref(&o->newest);
	o->newest = picture_ref(picture);
	if (o->state == OUTPUT_WAITING)
		output_start(o);
}

/* The session has taken the watcher with it. */
static void on_session_closed(void *arg, struct session *session)
{
	struct output *o = arg;
	(void)session;
	o->watcher = NULL;
	o->session = NULL;
}

struct output *output_create(const struct capture *capture, struct session *session,
                             const struct output_target *target)
{
	uv_loop_t *loop = capture->worker->loop;
	struct output *o = xcalloc(1, sizeof *o);
	*o = (struct output){.loop = loop,
	                     .settings = &capture->worker->settings,
	                     .counters = capture->worker->mine,
	                     .session = session,
	                     .target = *target,
	                     .state_ms = clock_monotonic_ms(),
	                     .handles = 2};
	uv_timer_init(loop, &o->tick);
	uv_timer_init(loop, &o->wait);
	o->tick.data = o->wait.data = o;
	const struct session_watch watch = {.on_picture = on_picture,
	                                    .on_closed = on_session_closed,
	                                    .arg = o,
	                                    .fps = (double)o->settings->newest->capture_fps};
	o->watcher = session_watch(session, &watch);
	struct picture *last = session_last_picture(session);
	if (last != NULL)
		on_picture(o, session, last);
	return o;
}

void output_close(struct output *o, void (*on_closed)(void *arg, struct output *output), void *arg)
{
	if (o->state == OUTPUT_CLOSING)
		return;
	o->on_closed = on_closed;
	o->on_closed_arg = arg;
	set_state(o, OUTPUT_CLOSING);
	uv_timer_stop(&o->tick);
	uv_timer_stop(&o->wait);
	if (o->kept == NULL) {
		finish(o);
		return;
	}
	let_finish(o);
}

/* ---- what it is ---- */

const char *output_fault(const struct output *output)
{
	if (output->state == OUTPUT_BACKOFF)
		return "ffmpeg has ended";
	uint64_t now_ms = clock_monotonic_ms();
	bool still = output->state == OUTPUT_CONNECTING ? now_ms - output->state_ms >= FAULT_MS
	             : output->state == OUTPUT_LIVE     ? now_ms - output->progress_ms >= STILL_MS
	                                                : false;
	return still ? "ffmpeg makes no progress" : NULL;
}

json_t *output_describe(const struct output *o)
{
	char where[256];
	output_target_public(&o->target, where);
	json_t *json = json_pack(
	        "{s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
	        o->target.name, "to", where, "state", state_name(o->state), "session",
	        o->session != NULL ? session_id(o->session) : "", "said", o->said, "speed",
	        o->speed, "given", (json_int_t)o->given, "repeated", (json_int_t)o->repeated,
	        "leftOut", (json_int_t)o->left_out, "encoded", (json_int_t)o->encoded, "starts",
	        (json_int_t)o->starts, "sinceMs", (json_int_t)(clock_monotonic_ms() - o->state_ms));
	check(json != NULL);
	return json;
}
