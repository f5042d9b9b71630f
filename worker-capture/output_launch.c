/* From a destination to a running ffmpeg: its host is looked up and judged, its disk and its user
 * are looked at, its secret is put where only it can read it. */
#include "common/base/check.h"
#include "worker-capture/output_parts.h"
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

enum { SOUND_MS = 100 }; /* to look again whether the sound server listens */

const char output_closed_host[] =
        "its host is at no address that may be reached; capture.output_allow_private "
        "lists the private hosts that may be";

/* ---- files ---- */

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

/* What it writes to: the directory of a recording or of HLS. */
static void directory_of(const struct output_target *target, char dir[OUTPUT_URL_MAX + 1])
{
	snprintf(dir, OUTPUT_URL_MAX + 1, "%s", target->url);
	char *slash = target->kind == OUTPUT_FILE ? strrchr(dir, '/') : NULL;
	if (slash != NULL)
		slash[slash == dir] = '\0';
}

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
	directory_of(&o->target, dir);
	if (stat(dir, &found) == 0) {
		options->uid = found.st_uid;
		options->gid = found.st_uid != 0 ? found.st_gid : 0;
	}
}

bool output_has_space(const struct output *o)
{
	char dir[OUTPUT_URL_MAX + 1];
	struct statvfs fs;
	if (o->target.kind != OUTPUT_FILE && o->target.kind != OUTPUT_HLS)
		return true;
	directory_of(&o->target, dir);
	return statvfs(dir, &fs) != 0 ||
	       (uint64_t)fs.f_bavail * fs.f_frsize >= o->settings->newest->capture_free_bytes;
}

/* ---- the process ---- */

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
	if (!output_has_space(o)) {
		snprintf(reason, 256, "%s", output_no_space);
		return false;
	}
	if (!keep_recording(&o->target, reason))
		return false;
	const struct sound *sound = sound_of(o);
	const struct output_quality quality = {
	        .fps = (unsigned)o->settings->newest->capture_fps,
	        .kbps = (unsigned)o->settings->newest->capture_kbps,
	        .sound = sound_listens(sound) ? sound_address(sound) : NULL,
	        .late_ms = o->settings->newest->feeds_spectator_delay_ms};
	const struct kept_events events = {output_on_exit, o};
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
	output_back_off(o);
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
	o->pipes = output_pipes_create(o, input[0], progress[0]);
	output_begin(o);
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

void output_start(struct output *o)
{
	struct address_host host;
	if (o->lookup != NULL)
		return;
	if (sound_starting(sound_of(o))) /* else it were silent for as long as it lives */
		output_wait(o, SOUND_MS);
	else if (output_target_host(&o->target, &host))
		look_up(o, &host);
	else if (o->target.own || !output_target_sends(&o->target))
		launch(o, "");
	else
		fail(o, output_closed_host);
}
