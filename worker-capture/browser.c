#include "worker-capture/browser.h"
#include "common/check.h"
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	ARGUMENTS_MAX = 64,
	ARGUMENT_TEXTS_MAX = 12, /* those made for this start */
	SHM_BYTES_MIN = 256 << 20,
};

struct browser {
	uv_process_t keeper;
	uv_pipe_t log;
	int leash; /* the keeper kills all when this closes */
	struct devtools *devtools;
	struct browser_events events;
	char said[BROWSER_LINE_MAX], line[BROWSER_LINE_MAX]; /* last line, and the one being read */
	size_t line_len;
	unsigned handles;
	int code;
	bool exited, log_ended, reported, destroyed;
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
	const char *const *at = *configured == '\0'                    ? shells
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
	        "--mute-audio",
	        "--password-store=basic",
	        "--use-mock-keychain",
	};
	bool shell = strstr(o->program, "headless-shell") != NULL ||
	             strstr(o->program, "headless_shell") != NULL;
	add(arguments, o->program);
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		add(arguments, always[i]);
	if (!shell)
		add(arguments, "--headless=new");
	if (o->tab_capture)
		add(arguments, shell ? "--use-fake-ui-for-media-stream"
		                     : "--auto-accept-this-tab-capture");
	if (o->no_sandbox)
		add(arguments, "--no-sandbox");
	if (shm_is_small())
		add(arguments, "--disable-dev-shm-usage");
	add_format(arguments, "--user-data-dir=%s", profile);
	add_format(arguments, "--window-size=%u,%u", o->width, o->height);
	add_network(arguments, o);
}

/* ---- what it says ---- */

static void report(struct browser *b)
{
	if (!b->exited || !b->log_ended || b->reported)
		return;
	b->reported = true;
	b->events.on_exit(b->events.arg, b->code, b->said);
}

/* Urls may carry tokens behind '?' and '#'. */
static void make_presentable(char *line)
{
	char *to = line;
	bool hidden = false;
	for (const char *c = line; *c != '\0'; c++) {
		hidden = (hidden || *c == '?' || *c == '#') && *c != ' ';
		if (!hidden)
			*to++ = (char)((unsigned char)*c < ' ' || *c == '"' ? ' ' : *c);
	}
	*to = '\0';
}

/* A desktop's bus is missing on every server, and said to be at every start; what the page writes to
 * its console is its own affair. */
static bool is_worth_a_line(const char *line)
{
	return *line != '\0' && strstr(line, "dbus") == NULL && strstr(line, ":CONSOLE") == NULL;
}

static void take_line(struct browser *b)
{
	b->line[b->line_len] = '\0';
	make_presentable(b->line);
	if (is_worth_a_line(b->line)) {
		memcpy(b->said, b->line, sizeof b->said);
		log_debug("browser says", "keeper=%d line=\"%s\"", (int)b->keeper.pid, b->line);
	}
	b->line_len = 0;
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	static char room[4096]; /* one loop, used before the next read */
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(room, sizeof room);
}

static void take_bytes(struct browser *b, const char *at, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		if (at[i] == '\n')
			take_line(b);
		else if (b->line_len + 1 < sizeof b->line)
			b->line[b->line_len++] = at[i];
	}
}

static void end_log(struct browser *b)
{
	uv_read_stop((uv_stream_t *)&b->log);
	if (b->line_len > 0)
		take_line(b);
	b->log_ended = true;
}

static void on_log(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct browser *b = stream->data;
	if (n >= 0) {
		take_bytes(b, buf->base, n);
		return;
	}
	end_log(b);
	report(b);
}

/* Its last words may still be on their way: they say why it ended. */
static void read_last_words(struct browser *b)
{
	char room[4096];
	ssize_t n;
	uv_os_fd_t fd;
	if (uv_fileno((uv_handle_t *)&b->log, &fd) != 0)
		return;
	while ((n = recv(fd, room, sizeof room, MSG_DONTWAIT)) > 0)
		take_bytes(b, room, n);
}

static void on_keeper_exit(uv_process_t *process, int64_t code, int signal)
{
	struct browser *b = process->data;
	b->exited = true;
	b->code = signal != 0 ? 128 + signal : (int)code;
	/* Nobody of its own is left to write; a stray descriptor elsewhere must not hold us up. */
	if (!b->log_ended) {
		read_last_words(b);
		end_log(b);
	}
	report(b);
}

/* ---- start and end ---- */

struct ends {
	int leash[2], commands[2], messages[2], log[2];
};

static bool make_ends(struct ends *ends)
{
	int *const pairs[] = {ends->leash, ends->commands, ends->messages, ends->log};
	for (size_t i = 0; i < 4; i++)
		pairs[i][0] = pairs[i][1] = -1;
	for (size_t i = 0; i < 4; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) != 0)
			return false;
	return true;
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

static bool make_profile(const struct browser_options *o, char path[BROWSER_PATH_MAX],
                         char reason[256])
{
	int len = snprintf(path, BROWSER_PATH_MAX, "%s/ringside-browser-XXXXXX", o->profile_parent);
	if (len >= BROWSER_PATH_MAX || mkdtemp(path) == NULL ||
	    (o->uid != 0 && chown(path, o->uid, (gid_t)o->uid) != 0)) {
		snprintf(reason, 256, "no profile directory in %.100s: %s", o->profile_parent,
		         strerror(errno));
		return false;
	}
	return true;
}

static int spawn(struct browser *b, uv_loop_t *loop, struct ends *ends, char **argv)
{
	uv_stdio_container_t stdio[] = {
	        {.flags = UV_INHERIT_FD, .data.fd = ends->leash[1]},
	        {.flags = UV_INHERIT_FD, .data.fd = ends->log[1]},
	        {.flags = UV_INHERIT_FD, .data.fd = ends->log[1]},
	        {.flags = UV_INHERIT_FD, .data.fd = ends->commands[1]},
	        {.flags = UV_INHERIT_FD, .data.fd = ends->messages[1]},
	};
	const uv_process_options_t options = {.file = "/proc/self/exe",
	                                      .args = argv,
	                                      .stdio = stdio,
	                                      .stdio_count = 5,
	                                      .flags = UV_PROCESS_DETACHED,
	                                      .exit_cb = on_keeper_exit};
	return uv_spawn(loop, &b->keeper, &options);
}

static void on_failed_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static bool start_keeper(struct browser *b, uv_loop_t *loop, const struct browser_options *o,
                         struct ends *ends, char reason[256])
{
	char profile[BROWSER_PATH_MAX], uid[16];
	struct arguments arguments = {.count = 0};
	if (!make_profile(o, profile, reason))
		return false;
	snprintf(uid, sizeof uid, "%u", (unsigned)o->uid);
	add(&arguments, "ringside-keeper");
	add(&arguments, "--keep");
	add(&arguments, uid);
	add(&arguments, uid);
	add(&arguments, profile);
	add_browser(&arguments, o, profile);
	int error = spawn(b, loop, ends, arguments.at);
	for (size_t i = 0; i < arguments.texts_count; i++)
		free(arguments.texts[i]);
	if (error == 0)
		return true;
	rmdir(profile);
	snprintf(reason, 256, "no keeper process: %s", uv_strerror(error));
	return false;
}

struct browser *browser_start(uv_loop_t *loop, const struct browser_options *options,
                              const struct browser_events *events, char reason[256])
{
	struct ends ends;
	if (!make_ends(&ends)) {
		snprintf(reason, 256, "no descriptors: %s", strerror(errno));
		close_pair(ends.leash), close_pair(ends.commands);
		close_pair(ends.messages), close_pair(ends.log);
		return NULL;
	}
	struct browser *b = xcalloc(1, sizeof *b);
	b->keeper.data = b;
	b->events = *events;
	if (!start_keeper(b, loop, options, &ends, reason)) {
		close_pair(ends.leash), close_pair(ends.commands);
		close_pair(ends.messages), close_pair(ends.log);
		/* libuv has initialised the handle, or not even that: both are well with closing it
		 * only when it was. */
		if (b->keeper.loop != NULL)
			uv_close((uv_handle_t *)&b->keeper, on_failed_closed);
		else
			free(b);
		return NULL;
	}
	close(ends.leash[1]), close(ends.commands[1]);
	close(ends.messages[1]), close(ends.log[1]);
	b->leash = ends.leash[0];
	uv_pipe_init(loop, &b->log, 0);
	b->log.data = b;
	check(uv_pipe_open(&b->log, ends.log[0]) == 0);
	uv_read_start((uv_stream_t *)&b->log, give_room, on_log);
	b->handles = 2;
	b->devtools = devtools_create(loop, ends.commands[0], ends.messages[0],
	                              options->message_bytes_max, &events->devtools);
	return b;
}

struct devtools *browser_devtools(struct browser *browser)
{
	return browser->devtools;
}

void browser_kill(struct browser *browser)
{
	if (browser->leash >= 0)
		close(browser->leash);
	browser->leash = -1;
}

static void on_closed(uv_handle_t *handle)
{
	struct browser *b = handle->data;
	if (--b->handles == 0)
		free(b);
}

void browser_destroy(struct browser **out)
{
	struct browser *b = *out;
	*out = NULL;
	if (b == NULL || b->destroyed)
		return;
	check(b->exited);
	b->destroyed = true;
	browser_kill(b);
	devtools_destroy(&b->devtools);
	uv_close((uv_handle_t *)&b->keeper, on_closed);
	uv_close((uv_handle_t *)&b->log, on_closed);
}

pid_t browser_keeper_pid(const struct browser *browser)
{
	return browser->keeper.pid;
}
