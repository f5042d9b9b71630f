#include "worker-capture/kept.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-capture/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct kept {
	uv_process_t keeper;
	uv_pipe_t log;
	int leash; /* the keeper kills all when this closes */
	struct kept_events events;
	char remove_dir[4096];
	char said[KEPT_LINE_MAX], line[KEPT_LINE_MAX]; /* last line, and the one being read */
	size_t line_len;
	unsigned handles;
	int code;
	bool exited, log_ended, reported, destroyed;
};

/* ---- what it says ---- */

static void report(struct kept *k)
{
	if (!k->exited || !k->log_ended || k->reported)
		return;
	k->reported = true;
	keeper_remove(k->remove_dir); /* for a keeper that was killed itself */
	k->events.on_exit(k->events.arg, k->code, k->said);
}

/* Urls may carry tokens and stream keys anywhere behind their host: what follows is left out. */
static void make_presentable(char *line)
{
	char *to = line;
	bool hidden = false;
	unsigned slashes = 0; /* of the url that is being read */
	for (const char *c = line; *c != '\0'; c++) {
		if (strchr(" \t'\"", *c) != NULL)
			hidden = false, slashes = 0;
		else if (*c == '/' && (slashes > 0 || (c > line && c[-1] == ':')))
			slashes++;
		hidden = hidden || slashes == 3 || *c == '?' || *c == '#';
		if (!hidden)
			*to++ = (char)((unsigned char)*c < ' ' || *c == '"' ? ' ' : *c);
	}
	*to = '\0';
}

/* A desktop's bus is missing on every server, and said to be at every start; what the page writes
 * to its console is its own affair. */
static bool is_worth_a_line(const char *line)
{
	return *line != '\0' && strstr(line, "dbus") == NULL && strstr(line, ":CONSOLE") == NULL;
}

static void take_line(struct kept *k)
{
	k->line[k->line_len] = '\0';
	make_presentable(k->line);
	if (is_worth_a_line(k->line)) {
		memcpy(k->said, k->line, sizeof k->said);
		log_debug("child says", "keeper=%d line=\"%s\"", (int)k->keeper.pid, k->line);
	}
	k->line_len = 0;
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	static char room[4096]; /* one loop, used before the next read */
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(room, sizeof room);
}

static void take_bytes(struct kept *k, const char *at, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		if (at[i] == '\n')
			take_line(k);
		else if (k->line_len + 1 < sizeof k->line)
			k->line[k->line_len++] = at[i];
	}
}

static void end_log(struct kept *k)
{
	uv_read_stop((uv_stream_t *)&k->log);
	if (k->line_len > 0)
		take_line(k);
	k->log_ended = true;
}

static void on_log(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct kept *k = stream->data;
	if (n >= 0) {
		take_bytes(k, buf->base, n);
		return;
	}
	end_log(k);
	report(k);
}

/* Its last words may still be on their way: they say why it ended. */
static void read_last_words(struct kept *k)
{
	char room[4096];
	ssize_t n;
	uv_os_fd_t fd;
	if (uv_fileno((uv_handle_t *)&k->log, &fd) != 0)
		return;
	while ((n = recv(fd, room, sizeof room, MSG_DONTWAIT)) > 0)
		take_bytes(k, room, n);
}

static void on_keeper_exit(uv_process_t *process, int64_t code, int signal)
{
	struct kept *k = process->data;
	k->exited = true;
	k->code = signal != 0 ? 128 + signal : (int)code;
	/* Nobody of its own is left to write; a stray descriptor elsewhere must not hold us up. */
	if (!k->log_ended) {
		read_last_words(k);
		end_log(k);
	}
	report(k);
}

/* ---- start and end ---- */

static int spawn(struct kept *k, uv_loop_t *loop, const struct kept_options *o, int leash, int log)
{
	char given[16], uid[16], gid[16], keep_flag[] = "--keep", name[] = "ringside-keeper";
	char *argv[KEPT_ARGUMENTS_MAX + 8] = {name, keep_flag, given,
	                                      uid,  gid,       (char *)o->remove_dir};
	size_t count = 6;
	int descriptors = o->five >= 0 ? 6 : 5;
	snprintf(given, sizeof given, "%d", descriptors);
	snprintf(uid, sizeof uid, "%u", (unsigned)o->uid);
	snprintf(gid, sizeof gid, "%u", (unsigned)o->gid);
	for (char *const *at = o->argv; *at != NULL; at++) {
		check(count + 1 < sizeof argv / sizeof *argv);
		argv[count++] = *at;
	}
	uv_stdio_container_t stdio[] = {
	        {.flags = UV_INHERIT_FD, .data.fd = leash},
	        {.flags = UV_INHERIT_FD, .data.fd = log},
	        {.flags = UV_INHERIT_FD, .data.fd = log},
	        {.flags = UV_INHERIT_FD, .data.fd = o->three},
	        {.flags = UV_INHERIT_FD, .data.fd = o->four},
	        {.flags = UV_INHERIT_FD, .data.fd = o->five},
	};
	const uv_process_options_t options = {.file = "/proc/self/exe",
	                                      .args = argv,
	                                      .stdio = stdio,
	                                      .stdio_count = descriptors,
	                                      .flags = UV_PROCESS_DETACHED,
	                                      .exit_cb = on_keeper_exit};
	return uv_spawn(loop, &k->keeper, &options);
}

static void on_failed_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

static bool make_pairs(int leash[2], int log[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, leash) == 0 &&
	       socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, log) == 0;
}

struct kept *kept_start(uv_loop_t *loop, const struct kept_options *options,
                        const struct kept_events *events, char reason[256])
{
	int leash[2] = {-1, -1}, log[2] = {-1, -1};
	struct kept *k = xcalloc(1, sizeof *k);
	k->keeper.data = k;
	k->events = *events;
	snprintf(k->remove_dir, sizeof k->remove_dir, "%s", options->remove_dir);
	int error = make_pairs(leash, log) ? spawn(k, loop, options, leash[1], log[1])
	                                   : uv_translate_sys_error(errno);
	if (error != 0) {
		snprintf(reason, 256, "no keeper process: %s", uv_strerror(error));
		close_pair(leash);
		close_pair(log);
		/* Only when libuv got as far as the handle is it to be closed. */
		if (k->keeper.loop != NULL)
			uv_close((uv_handle_t *)&k->keeper, on_failed_closed);
		else
			free(k);
		return NULL;
	}
	close(leash[1]);
	close(log[1]);
	k->leash = leash[0];
	uv_pipe_init(loop, &k->log, 0);
	k->log.data = k;
	check(uv_pipe_open(&k->log, log[0]) == 0);
	uv_read_start((uv_stream_t *)&k->log, give_room, on_log);
	k->handles = 2;
	return k;
}

void kept_kill(struct kept *kept)
{
	if (kept->leash >= 0)
		close(kept->leash);
	kept->leash = -1;
}

static void on_closed(uv_handle_t *handle)
{
	struct kept *k = handle->data;
	if (--k->handles == 0)
		free(k);
}

void kept_destroy(struct kept **out)
{
	struct kept *k = *out;
	*out = NULL;
	if (k == NULL || k->destroyed)
		return;
	check(k->exited);
	k->destroyed = true;
	kept_kill(k);
	uv_close((uv_handle_t *)&k->keeper, on_closed);
	uv_close((uv_handle_t *)&k->log, on_closed);
}

pid_t kept_keeper_pid(const struct kept *kept)
{
	return kept->keeper.pid;
}
