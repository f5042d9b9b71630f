#include "worker-capture/output.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/kept.h"
#include "worker-capture/sound.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	UNSENT_BYTES_MAX =
	        2 << 20, /* to an ffmpeg that does not read: then pictures are left out */
	STALL_MS = 5000,
	START_MS = 15000, /* until the first picture is out: servers and programs may be slow to
	                     begin */
	FINISH_MS = 5000, /* to write what it was given: on a busy machine more than two seconds */
	SOUND_MS = 100,   /* to look again whether the sound server listens */
	DELAY_MIN_MS = 1000,
	DELAY_MAX_MS = 30000,
	STABLE_MS = 30000, /* live this long: the delay begins anew */
	FAULT_MS = 2000,   /* not live for this long is a fault */
	STILL_MS = 3000,   /* and so is no progress: said before STALL_MS does something about it */
	CATCH_UP_MAX = 4,  /* pictures given at once after the loop was late */
	LINE_MAX_BYTES = 128,
};

/* The two pipes of one run of ffmpeg. */
struct pipes {
	uv_pipe_t input, progress;
	struct output *output; /* NULL: it goes on without us */
	unsigned handles;
	char line[LINE_MAX_BYTES];
	size_t line_len;
};

/* Where its host is, asked before each start. */
struct lookup {
	uv_getaddrinfo_t request;
	struct output *output; /* NULL: it is over */
};

enum output_state {
	OUTPUT_WAITING,    /* for the first picture */
	OUTPUT_CONNECTING, /* ffmpeg runs and has encoded nothing yet */
	OUTPUT_LIVE,
	OUTPUT_BACKOFF, /* it ended; it is started again after a while */
	OUTPUT_CLOSING,
};

struct output {
	uv_loop_t *loop;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct session *session;
	struct session_watcher *watcher;
	struct output_target target;
	struct lookup *lookup; /* NULL: none is under way */
	struct kept *kept;
	struct pipes *pipes;
	uv_timer_t tick, wait; /* the next picture; the next start, or the end of patience */
	struct picture *newest;
	enum output_state state;
	uint64_t next_ns, state_ms, progress_ms, live_ms, failures;
	uint64_t given, repeated, left_out, encoded, starts;
	uint64_t given_seq;
	double speed;
	char said[KEPT_LINE_MAX];
	void (*on_closed)(void *arg, struct output *output);
	void *on_closed_arg;
	unsigned handles;
};

const char output_closed_host[] =
        "its host is at no address that may be reached; capture.output_allow_private "
        "lists the private hosts that may be";

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

static struct pipes *pipes_create(struct output *o, int input_fd, int progress_fd)
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

static void start(struct output *o);

static void on_wait(uv_timer_t *timer)
{
	struct output *o = timer->data;
	if (o->state == OUTPUT_BACKOFF || o->state == OUTPUT_WAITING)
		start(o);
	else if (o->kept != NULL && o->pipes == NULL) /* it was to finish, and has had its time */
		kept_kill(o->kept);
}

/* What it has been given it may finish, for a while. */
static void let_finish(struct output *o)
{
	uv_timer_stop(&o->tick);
	pipes_close(&o->pipes); /* end-of-file: it writes what it has, and ends */
	uv_timer_start(&o->wait, on_wait, FINISH_MS, 0);
}

static void back_off(struct output *o)
{
	if (o->live_ms != 0 && clock_monotonic_ms() - o->live_ms >= STABLE_MS)
		o->failures = 0;
	o->failures++;
	o->live_ms = 0;
	set_state(o, OUTPUT_BACKOFF);
	/* A quarter more or less: those that fell together do not come back together. */
	uint64_t delay_ms = backoff_doubled_ms(DELAY_MIN_MS, DELAY_MAX_MS, o->failures);
	delay_ms = delay_ms * 3 / 4 + clock_random_below(delay_ms / 2 + 1);
	uv_timer_start(&o->wait, on_wait, delay_ms, 0);
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

static void on_exit_of_ffmpeg(void *arg, int code, const char *line)
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
	back_off(o);
}

/* A recording is never overwritten: what an earlier ffmpeg left under the name gets a number of its
 * own, "x.mkv" becomes "x.1.mkv". False: it cannot be moved out of the way. */
static bool keep_recording(const struct output_target *target, char reason[256])
{
	enum { RECORDINGS_MAX = 10000 };
	struct stat found;
	char kept[4200];
	const char *end = strrchr(target->url, '.');
	if (target->kind != OUTPUT_FILE || stat(target->url, &found) != 0)
		return true;
	int stem = (int)((end != NULL ? end : target->url + strlen(target->url)) - target->url);
	for (int n = 1; n < RECORDINGS_MAX; n++) {
		snprintf(kept, sizeof kept, "%.*s.%d%s", stem, target->url, n,
		         end != NULL ? end : "");
		/* Fails when the name is taken, unlike rename(). */
		if (link(target->url, kept) == 0 && unlink(target->url) == 0)
			return true;
		if (errno != EEXIST)
			break;
	}
	snprintf(reason, 256, "the recording under that name cannot be moved away: %s",
	         strerror(errno));
	return false;
}

/* ---- who it runs as ---- */

/* One that sends has a uid of its own; one that writes files has that of the directory's owner.
 * Without the right to change it, and for directories of root's, it is ours. */
static void choose_user(const struct output *o, struct kept_options *options)
{
	char dir[OUTPUT_URL_MAX + 1];
	struct stat found;
	if (geteuid() != 0)
		return;
	if (o->target.kind != OUTPUT_HLS && o->target.kind != OUTPUT_FILE) {
		options->uid = options->gid = (uid_t)o->settings->newest->capture_output_uid;
		return;
	}
	snprintf(dir, sizeof dir, "%s", o->target.url);
	char *slash = o->target.kind == OUTPUT_FILE ? strrchr(dir, '/') : NULL;
	if (slash != NULL)
		slash[slash == dir] = '\0';
	if (stat(dir, &found) == 0) {
		options->uid = found.st_uid;
		options->gid = found.st_uid != 0 ? found.st_gid : 0;
	}
}

/* ---- the disk ---- */

/* A full disk hurts more than a recording that ends: the store may live on it. */
static bool has_space(const struct output *o)
{
	char dir[OUTPUT_URL_MAX + 1];
	struct statvfs fs;
	if (o->target.kind != OUTPUT_FILE && o->target.kind != OUTPUT_HLS)
		return true;
	snprintf(dir, sizeof dir, "%s", o->target.url);
	char *slash = o->target.kind == OUTPUT_FILE ? strrchr(dir, '/') : NULL;
	if (slash != NULL)
		slash[slash == dir] = '\0';
	return statvfs(dir, &fs) != 0 ||
	       (uint64_t)fs.f_bavail * fs.f_frsize >= o->settings->newest->capture_free_bytes;
}

static const char no_space[] = "the disk is nearly full (capture.free_bytes)";

void output_look(struct output *o)
{
	if (o->pipes == NULL || o->state == OUTPUT_CLOSING || has_space(o))
		return;
	snprintf(o->said, sizeof o->said, "%s", no_space);
	let_finish(o);
}

/* ---- its start ---- */

/* The secret part of the destination, in memory that only ffmpeg and root can read: command lines
 * can be read by everybody. -1: none is needed, or errno says why there is none. */
static int make_preset(const struct output_command *command)
{
	if (command->preset == NULL)
		return -1;
	size_t len = strlen(command->preset);
	int fd = memfd_create("ringside-output", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, command->preset, len) == (ssize_t)len)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static const struct sound *sound_of(const struct output *o)
{
	return o->session != NULL ? session_sound(o->session) : NULL;
}

static bool spawn(struct output *o, const char *address, int input_fd, int progress_fd,
                  char reason[256])
{
	if (!has_space(o)) {
		snprintf(reason, 256, "%s", no_space);
		return false;
	}
	if (!keep_recording(&o->target, reason))
		return false;
	const struct sound *sound = sound_of(o);
	const struct output_quality quality = {.fps = (unsigned)o->settings->newest->capture_fps,
	                                       .kbps = (unsigned)o->settings->newest->capture_kbps,
	                                       .sound = sound_listens(sound) ? sound_address(sound)
	                                                                     : NULL};
	const struct kept_events events = {on_exit_of_ffmpeg, o};
	struct output_command command;
	output_command_init(&command, o->settings->newest->capture_ffmpeg,
	                    o->settings->newest->tls_ca_file, &o->target, address, &quality);
	struct kept_options options = {.remove_dir = "",
	                               .argv = command.argv,
	                               .three = input_fd,
	                               .four = progress_fd,
	                               .five = make_preset(&command)};
	choose_user(o, &options);
	if (command.preset != NULL && options.five < 0)
		snprintf(reason, 256, "no memory for its secret: %s", strerror(errno));
	else
		o->kept = kept_start(o->loop, &options, &events, reason);
	if (options.five >= 0)
		close(options.five);
	output_command_finish(&command);
	return o->kept != NULL;
}

static void fail(struct output *o, const char *reason)
{
	snprintf(o->said, sizeof o->said, "%.150s", reason);
	back_off(o);
}

/* `address`: where its host is, "" when there is none to be looked up. */
static void launch(struct output *o, const char *address)
{
	int input[2] = {-1, -1}, progress[2] = {-1, -1};
	char reason[256] = "no descriptors";
	bool paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) == 0 &&
	              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, progress) == 0;
	bool started = paired && spawn(o, address, input[1], progress[1], reason);
	for (int i = started ? 1 : 0; i < 2; i++) {
		if (input[i] >= 0)
			close(input[i]);
		if (progress[i] >= 0)
			close(progress[i]);
	}
	if (!started) {
		fail(o, reason);
		return;
	}
	o->starts++;
	o->encoded = 0;
	o->said[0] = '\0';
	o->pipes = pipes_create(o, input[0], progress[0]);
	o->progress_ms = clock_monotonic_ms();
	o->next_ns = clock_monotonic_ns();
	set_state(o, OUTPUT_CONNECTING);
	wait_for_tick(o, o->next_ns);
}

/* ---- where it goes ---- */

enum address_reach output_reach(const struct settings *settings, const struct output_target *target,
                                const struct address_host *host)
{
	const struct address_fence fence = {.open = settings->capture_output_allow_private,
	                                    .loopback = settings->dev,
	                                    .own = target->own};
	return address_reach(&fence, host);
}

/* The first that may be reached, the next one after a failure. False: none may. */
static bool choose(const struct output *o, const struct addrinfo *found,
                   char address[INET6_ADDRSTRLEN])
{
	struct address_host host;
	size_t count = 0, wanted;
	check(output_target_host(&o->target, &host));
	enum address_reach reach = output_reach(o->settings->newest, &o->target, &host);
	for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
		count += address_allowed(reach, at->ai_addr);
	if (count == 0)
		return false;
	wanted = o->failures % count;
	for (;; found = found->ai_next)
		if (address_allowed(reach, found->ai_addr) && wanted-- == 0)
			return address_text(found->ai_addr, address);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct lookup *lookup = request->data;
	struct output *o = lookup->output;
	char address[INET6_ADDRSTRLEN], reason[256];
	free(lookup);
	if (o != NULL) {
		o->lookup = NULL;
		if (status != 0) { /* uv_strerror() of no error allocates */
			snprintf(reason, sizeof reason, "its host is not found: %s",
			         uv_strerror(status));
			fail(o, reason);
		} else if (!choose(o, found, address)) {
			fail(o, output_closed_host);
		} else {
			launch(o, address);
		}
	}
	if (found != NULL)
		uv_freeaddrinfo(found);
}

static void look_up(struct output *o, const struct address_host *host)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct lookup *lookup = xcalloc(1, sizeof *lookup);
	lookup->output = o;
	lookup->request.data = lookup;
	if (uv_getaddrinfo(o->loop, &lookup->request, on_found, host->name, NULL, &hints) == 0) {
		o->lookup = lookup;
	} else {
		free(lookup);
		fail(o, "its host cannot be looked up");
	}
}

static void start(struct output *o)
{
	struct address_host host;
	if (o->lookup != NULL)
		return;
	if (sound_starting(sound_of(o))) /* else it were silent for as long as it lives */
		uv_timer_start(&o->wait, on_wait, SOUND_MS, 0);
	else if (output_target_host(&o->target, &host))
		look_up(o, &host);
	else if (o->target.own || !output_target_sends(&o->target))
		launch(o, "");
	else
		fail(o, output_closed_host);
}

/* ---- the session ---- */

static void on_picture(void *arg, struct session *session, struct picture *picture)
{
	struct output *o = arg;
	(void)session;
	picture_unref(&o->newest);
	o->newest = picture_ref(picture);
	if (o->state == OUTPUT_WAITING)
		start(o);
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
