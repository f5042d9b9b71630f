#include "worker-capture/browser.h"
#include "common/base/browser_arguments.h"
#include "common/base/check.h"
#include "worker-capture/keeper.h"
#include "worker-capture/kept.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	WINDOW_MORE = 256, /* of full Chromium around its page; it is 144 today */
	ARGUMENTS_MAX = 64,
	ARGUMENT_TEXTS_MAX = 12 + BROWSER_ARGUMENTS_MAX, /* those made for this start */
	SHM_BYTES_MIN = 256 << 20,
};

struct browser {
	struct kept *kept;
	struct devtools *devtools;
	struct browser_events events;
};

/* ---- finding it ---- */

bool browser_find(const char *configured, char path[BROWSER_PATH_MAX])
{
	static const char *const shells[] = {
	        "/usr/lib/chromium/chromium-headless-shell",
	        "/usr/lib64/chromium-browser/headless_shell",
	        "/opt/chrome-headless-shell/chrome-headless-shell",
	        "/usr/bin/chromium-headless-shell",
	        "/usr/bin/chrome-headless-shell",
	        NULL,
	};
	static const char *const full[] = {
	        "/usr/lib/chromium/chromium",
	        "/usr/lib64/chromium-browser/chromium-browser",
	        "/opt/google/chrome/chrome",
	        "/usr/bin/chromium",
	        NULL,
	};
	const char *const one[] = {configured, NULL};
	const char *const *at = *configured == '\0'                   ? shells
	                        : strcmp(configured, "chromium") == 0 ? full
	                                                              : one;
	for (; *at != NULL; at++) {
		struct stat stat_of;
		if (stat(*at, &stat_of) != 0 || !S_ISREG(stat_of.st_mode) || access(*at, X_OK) != 0)
			continue;
		snprintf(path, BROWSER_PATH_MAX, "%s", *at);
		return true;
	}
	return false;
}

/* ---- its command line ---- */

struct arguments {
	char *at[ARGUMENTS_MAX];
	char *texts[ARGUMENT_TEXTS_MAX];
	size_t count, texts_count;
};

static void add(struct arguments *arguments, const char *text)
{
	check(arguments->count + 1 < ARGUMENTS_MAX);
	arguments->at[arguments->count++] = (char *)text;
}

static void add_format(struct arguments *arguments, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void add_format(struct arguments *arguments, const char *format, ...)
{
	va_list args;
	char *text;
	va_start(args, format);
	check(vasprintf(&text, format, args) >= 0);
	va_end(args);
	check(arguments->texts_count < ARGUMENT_TEXTS_MAX);
	arguments->texts[arguments->texts_count++] = text;
	add(arguments, text);
}

/* Containers often give 64 MB, which a page of this kind exceeds at once. */
static bool shm_is_small(void)
{
	struct statvfs shm;
	return statvfs("/dev/shm", &shm) != 0 ||
	       (uint64_t)shm.f_blocks * shm.f_frsize < (uint64_t)SHM_BYTES_MIN;
}

static void add_network(struct arguments *arguments, const struct browser_options *o)
{
	char *rules = egress_resolver_rules(o->egress), *bypass = egress_bypass_list(o->egress);
	add_format(arguments, "--host-resolver-rules=%s", rules);
	/* No such host: who is not on the bypass list gets no further than this. */
	add(arguments, "--proxy-server=http://blocked.invalid:1");
	add_format(arguments, "--proxy-bypass-list=%s", bypass);
	add(arguments, "--disable-quic");
	if (!o->webrtc)
		add(arguments, "--force-webrtc-ip-handling-policy=disable_non_proxied_udp");
	free(rules);
	free(bypass);
}

/* Before our own: of two that contradict one another the browser takes the last. */
static void add_further(struct arguments *arguments, const char *text)
{
	struct browser_arguments further;
	char reason[160];
	check(browser_arguments_read(&further, text, reason));
	for (size_t i = 0; i < further.count; i++)
		add_format(arguments, "%s", further.at[i]);
}

static void add_browser(struct arguments *arguments, const struct browser_options *o,
                        const char *profile)
{
	static const char *const always[] = {
	        "--remote-debugging-pipe",
	        "--no-first-run",
	        "--no-default-browser-check",
	        "--no-startup-window",
	        "--disable-background-networking",
	        "--disable-component-update",
	        "--disable-sync",
	        "--disable-extensions",
	        "--disable-default-apps",
	        "--disable-breakpad",
	        "--disable-crash-reporter",
	        "--disable-background-timer-throttling",
	        "--disable-backgrounding-occluded-windows",
	        "--disable-renderer-backgrounding",
	        "--disable-hang-monitor",
	        "--autoplay-policy=no-user-gesture-required",
	        "--block-new-web-contents",
	        "--hide-scrollbars",
	        "--password-store=basic",
	        "--use-mock-keychain",
	};
	bool shell = strstr(o->program, "headless-shell") != NULL ||
	             strstr(o->program, "headless_shell") != NULL;
	/* Without it the library would look for a sound server, or even start one. */
	add_format(arguments, "PULSE_SERVER=%s", o->sound != NULL ? o->sound : "unix:/nonexistent");
	add(arguments, o->program);
	if (o->sound == NULL)
		add(arguments, "--mute-audio");
	add_further(arguments, o->arguments);
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		add(arguments, always[i]);
	if (!shell) {
		add(arguments, "--headless=new");
		add(arguments, "--disable-infobars"); /* one that says "this tab is shared" would
		                                         take its height from the page */
		/* Its window holds more than the page, and no window is larger than the screen: 800
		 * x 600 by itself. */
		add_format(arguments, "--screen-info={%ux%u}", o->width, o->height + WINDOW_MORE);
	}
	if (o->tab_capture)
		add(arguments,
		    shell ? "--use-fake-ui-for-media-stream" : "--auto-accept-this-tab-capture");
	if (o->page_memory != 0)
		add_format(arguments, "--js-flags=--max-old-space-size=%llu",
		           (unsigned long long)(o->page_memory >> 20));
	if (o->no_sandbox)
		add(arguments, "--no-sandbox");
	if (shm_is_small())
		add(arguments, "--disable-dev-shm-usage");
	add_format(arguments, "--user-data-dir=%s", profile);
	add_format(arguments, "--window-size=%u,%u", o->width, o->height);
	add_network(arguments, o);
}

/* ---- start and end ---- */

/* 64 bits of the instance's name: "ringside-browser-0123456789abcdef-". */
static void profile_prefix(const char *instance, char prefix[48])
{
	uint64_t h = 1469598103934665603u; /* FNV-1a */
	for (const char *c = instance; *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * 1099511628211u;
	snprintf(prefix, 48, "ringside-browser-%016llx-", (unsigned long long)h);
}

void browser_sweep(const char *parent, const char *instance)
{
	char prefix[48], path[BROWSER_PATH_MAX];
	DIR *dir = opendir(parent);
	if (dir == NULL)
		return;
	profile_prefix(instance, prefix);
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
		    snprintf(path, sizeof path, "%s/%s", parent, entry->d_name) < (int)sizeof path)
			keeper_remove(path);
	closedir(dir);
}

bool browser_make_dir(const char *parent, const char *instance, uid_t uid,
                      char path[BROWSER_PATH_MAX], char reason[256])
{
	char prefix[48];
	profile_prefix(instance, prefix);
	int len = snprintf(path, BROWSER_PATH_MAX, "%s/%sXXXXXX", parent, prefix);
	if (len >= BROWSER_PATH_MAX || mkdtemp(path) == NULL ||
	    (uid != 0 && chown(path, uid, (gid_t)uid) != 0)) {
		snprintf(reason, 256, "no directory in %.100s: %s", parent, strerror(errno));
		return false;
	}
	return true;
}

static void on_exit_of_it(void *arg, int code, const char *line)
{
	struct browser *b = arg;
	b->events.on_exit(b->events.arg, code, line);
}

static bool start(struct browser *b, uv_loop_t *loop, const struct browser_options *o, int commands,
                  int messages, char reason[256])
{
	char profile[BROWSER_PATH_MAX];
	struct arguments arguments = {.count = 0};
	if (!browser_make_dir(o->profile_parent, o->instance, o->uid, profile, reason))
		return false;
	add_browser(&arguments, o, profile);
	const struct kept_options options = {.remove_dir = profile,
	                                     .uid = o->uid,
	                                     .gid = (gid_t)o->uid,
	                                     .argv = arguments.at,
	                                     .three = commands,
	                                     .four = messages,
	                                     .five = -1};
	const struct kept_events events = {on_exit_of_it, b};
	b->kept = kept_start(loop, &options, &events, reason);
	for (size_t i = 0; i < arguments.texts_count; i++)
		free(arguments.texts[i]);
	if (b->kept == NULL)
		rmdir(profile);
	return b->kept != NULL;
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

struct browser *browser_start(uv_loop_t *loop, const struct browser_options *options,
                              const struct browser_events *events, char reason[256])
{
	int commands[2] = {-1, -1}, messages[2] = {-1, -1};
	struct browser *b = xcalloc(1, sizeof *b);
	b->events = *events;
	bool paired = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, commands) == 0 &&
	              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, messages) == 0;
	if (!paired)
		snprintf(reason, 256, "no descriptors: %s", strerror(errno));
	if (!paired || !start(b, loop, options, commands[1], messages[1], reason)) {
		close_pair(commands);
		close_pair(messages);
		free(b);
		return NULL;
	}
	close(commands[1]);
	close(messages[1]);
	b->devtools = devtools_create(loop, commands[0], messages[0], options->message_bytes_max,
	                              &events->devtools);
	return b;
}

struct devtools *browser_devtools(struct browser *browser)
{
	return browser->devtools;
}

void browser_kill(struct browser *browser)
{
	kept_kill(browser->kept);
}

void browser_destroy(struct browser **out)
{
	struct browser *b = *out;
	*out = NULL;
	if (b == NULL)
		return;
	devtools_destroy(&b->devtools);
	kept_destroy(&b->kept);
	free(b);
}

pid_t browser_keeper_pid(const struct browser *browser)
{
	return kept_keeper_pid(browser->kept);
}
