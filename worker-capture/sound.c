#include "worker-capture/sound.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/browser.h"
#include "worker-capture/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DELAY_MS = 2000, /* after its end, until the next */
	START_MS = 5000, /* what a start may take */
	DIR_ROOM = BROWSER_PATH_MAX,
	TEXT_ROOM = BROWSER_PATH_MAX + 256,
};

struct sound {
	uv_loop_t *loop;
	const struct settings *settings; /* kept: those of its creation */
	struct kept *kept; /* NULL: it has ended, and starts again when `again` says so */
	uv_timer_t again;
	uint64_t started_ms; /* monotonic */
	uint64_t starts;
	uid_t uid;
	bool closing;
	bool ran; /* the last time, for longer than the delay */
	char dir[DIR_ROOM], address[TEXT_ROOM];
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

static void start(struct sound *s);

static void on_again(uv_timer_t *timer)
{
	start(timer->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct sound *s = handle->data;
	void (*on_closed)(void *arg) = s->on_closed;
	void *arg = s->on_closed_arg;
	settings_drop(&s->settings);
	free(s);
	on_closed(arg);
}

static void on_exit_of_it(void *arg, int code, const char *line)
{
	struct sound *s = arg;
	kept_destroy(&s->kept);
	s->ran = clock_monotonic_ms() - s->started_ms >= DELAY_MS;
	if (s->closing) {
		uv_close((uv_handle_t *)&s->again, on_timer_closed);
		return;
	}
	log_warn("sound server ended", "code=%d last=\"%s\"", code, line);
	uv_timer_start(&s->again, on_again, DELAY_MS, 0);
}

/* The keeper has removed it with the last one. */
static bool make_dir(const struct sound *s)
{
	struct stat found;
	if (stat(s->dir, &found) != 0 && mkdir(s->dir, 0711) != 0)
		return false;
	return chmod(s->dir, 0711) == 0 &&
	       (s->uid == 0 || chown(s->dir, s->uid, (gid_t)s->uid) == 0);
}

static bool spawn(struct sound *s, char reason[256])
{
	char runtime[TEXT_ROOM], protocol[TEXT_ROOM];
	snprintf(runtime, sizeof runtime, "PULSE_RUNTIME_PATH=%s/run", s->dir);
	snprintf(protocol, sizeof protocol,
	         "module-native-protocol-unix auth-anonymous=1 socket=%s",
	         s->address + strlen("unix:"));
	const char *const argv[] = {runtime,
	                            s->settings->capture_sound,
	                            "-n",
	                            "--daemonize=no",
	                            "--use-pid-file=no",
	                            "--exit-idle-time=-1",
	                            "--disable-shm",
	                            "--realtime=no",
	                            "--high-priority=no",
	                            "--disallow-module-loading",
	                            "--disallow-exit",
	                            "--log-level=error",
	                            "-L",
	                            "module-null-sink sink_name=" SOUND_SINK
	                            " rate=44100 channels=2",
	                            "-L",
	                            "module-remap-source source_name=heard master=" SOUND_SOURCE
	                            " source_properties=device.description=" SOUND_DEVICE,
	                            "-L",
	                            protocol,
	                            NULL};
	const struct kept_events events = {on_exit_of_it, s};
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct kept_options options = {.remove_dir = s->dir,
	                                     .uid = s->uid,
	                                     .gid = (gid_t)s->uid,
	                                     .argv = (char *const *)(uintptr_t)argv,
	                                     .three = nothing,
	                                     .four = nothing,
	                                     .five = -1};
	snprintf(reason, 256, "%s", strerror(errno));
	if (nothing >= 0 && make_dir(s))
		s->kept = kept_start(s->loop, &options, &events, reason);
	else
		snprintf(reason, 256, "%s", strerror(errno));
	if (nothing >= 0)
		close(nothing);
	return s->kept != NULL;
}

static void start(struct sound *s)
{
	char reason[256];
	s->started_ms = clock_monotonic_ms();
	s->starts++;
	if (spawn(s, reason))
		return;
	s->ran = false;
	log_warn("sound server not started", "reason=\"%s\"", reason);
	uv_timer_start(&s->again, on_again, DELAY_MS, 0);
}

struct sound *sound_create(uv_loop_t *loop, const struct settings *settings)
{
	char reason[256];
	const char *program = settings->capture_sound;
	if (*program == '\0')
		return NULL;
	if (access(program, X_OK) != 0) {
		log_info("pages are mute", "key=capture.sound reason=\"%s\"", strerror(errno));
		return NULL;
	}
	struct sound *s = xcalloc(1, sizeof *s);
	*s = (struct sound){.loop = loop,
	                    .settings = settings_keep(settings),
	                    .uid = geteuid() == 0 ? (uid_t)settings->capture_output_uid : 0};
	if (!browser_make_dir(settings->capture_profile_dir, settings->data_dir, s->uid, s->dir,
	                      reason)) {
		log_warn("pages are mute", "reason=\"%s\"", reason);
		settings_drop(&s->settings);
		free(s);
		return NULL;
	}
	snprintf(s->address, sizeof s->address, "unix:%s/socket", s->dir);
	uv_timer_init(loop, &s->again);
	s->again.data = s;
	start(s);
	return s;
}

const char *sound_address(const struct sound *sound)
{
	return sound != NULL ? sound->address : NULL;
}

uint64_t sound_starts(const struct sound *sound)
{
	return sound != NULL ? sound->starts : 0;
}

bool sound_listens(const struct sound *sound)
{
	struct stat found;
	return sound != NULL && sound->kept != NULL && !sound->closing &&
	       stat(sound->address + strlen("unix:"), &found) == 0;
}

bool sound_starting(const struct sound *sound)
{
	if (sound == NULL || sound->closing || sound_listens(sound))
		return false;
	/* One that ended as soon as it began will not do better in a moment. */
	return sound->kept != NULL ? clock_monotonic_ms() - sound->started_ms < START_MS
	                           : sound->ran;
}

void sound_close(struct sound *sound, void (*on_closed)(void *arg), void *arg)
{
	if (sound == NULL) {
		on_closed(arg);
		return;
	}
	sound->closing = true;
	sound->on_closed = on_closed;
	sound->on_closed_arg = arg;
	uv_timer_stop(&sound->again);
	if (sound->kept != NULL)
		kept_kill(sound->kept);
	else
		uv_close((uv_handle_t *)&sound->again, on_timer_closed);
}
