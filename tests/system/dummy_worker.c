/* A worker that does on request what a worker never should. Only tests start it: by the supervisor,
 * under the name of a real one.
 *
 * It answers one line per connection, HTTP enough for curl: "GET /crash" aborts, /hang stops the
 * loop, /exit/N exits, /child and /escapee start a process that sleeps (the latter in a session of
 * its own), /peers counts introductions, /fds lists open descriptors, /environment prints it.
 * Files in the data directory change how it starts and ends: fail-start, cannot-start, never-ready,
 * ignore-drain. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/worker.h"
#include "proto/roles.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_poll_t listener;

static bool asked(const struct worker *worker, const char *what)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", worker->settings.newest->data_dir, what);
	return access(path, F_OK) == 0;
}

static int sleep_as_child(bool own_session)
{
	int pid = (int)fork();
	if (pid == 0) {
		if (own_session)
			setsid();
		signal(SIGTERM, SIG_DFL);
		execlp("sleep", "sleep", "600", (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void list_fds(FILE *out)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(dir)) {
			char path[64], target[256];
			snprintf(path, sizeof path, "/proc/self/fd/%.16s", entry->d_name);
			ssize_t len = readlink(path, target, sizeof target - 1);
			target[len > 0 ? len : 0] = '\0';
			fprintf(out, "%s %s\n", entry->d_name, target);
		}
	if (dir != NULL)
		closedir(dir);
}

static void answer(struct worker *worker, const char *what, FILE *out)
{
	if (strncmp(what, "/crash", 6) == 0)
		abort();
	if (strncmp(what, "/exit/", 6) == 0)
		_exit((int)strtol(what + 6, NULL, 10));
	if (strncmp(what, "/hang", 5) == 0)
		for (;;)
			pause();
	if (strncmp(what, "/child", 6) == 0)
		fprintf(out, "%d\n", sleep_as_child(false));
	else if (strncmp(what, "/escapee", 8) == 0)
		fprintf(out, "%d\n", sleep_as_child(true));
	else if (strncmp(what, "/peers", 6) == 0)
		fprintf(out, "%zu\n", worker->peers_count);
	else if (strncmp(what, "/fds", 4) == 0)
		list_fds(out);
	else if (strncmp(what, "/environment", 12) == 0)
		for (char **variable = environ; *variable != NULL; variable++)
			fprintf(out, "%s\n", *variable);
	else if (strncmp(what, "/setting/limits.headers", 23) == 0)
		fprintf(out, "%llu\n", (unsigned long long)worker->settings.newest->limits_headers);
	else
		fprintf(out, "%s\n", worker->name);
}

static void serve(struct worker *worker, int fd)
{
	char request[1024] = "", *body = NULL;
	size_t size;
	const struct timeval patience = {.tv_sec = 5};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (recv(fd, request, sizeof request - 1, 0) <= 4 || strncmp(request, "GET ", 4) != 0)
		return;
	FILE *out = open_memstream(&body, &size);
	check(out != NULL);
	answer(worker, request + 4, out);
	check(fclose(out) == 0);
	dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", size,
	        body);
	free(body);
	counter_add(worker->mine, requests_total, 1);
}

static void accept_all(struct worker *worker)
{
	int fd;
	while ((fd = accept4(BOOT_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		serve(worker, fd);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
}

static void on_connection(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	accept_all(handle->data);
}

static int start(struct worker *worker)
{
	if (asked(worker, "fail-start"))
		return EXIT_FAILED;
	if (asked(worker, "cannot-start"))
		return worker_cannot_start(worker, "%s/cannot-start is there",
		                           worker->settings.newest->data_dir);
	if (asked(worker, "never-ready"))
		return 0;
	if (worker->program->role == ROLE_SSE) {
		listener.data = worker;
		uv_poll_init(worker->loop, &listener, BOOT_FD_LISTEN);
		uv_poll_start(&listener, UV_READABLE, on_connection);
	}
	worker_ready(worker);
	return 0;
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	(void)due_ms;
	if (asked(worker, "ignore-drain"))
		return;
	if (worker->program->role == ROLE_SSE)
		accept_all(worker);
	worker_exit(worker, EXIT_DONE);
}

static enum proto_verdict on_peer_frame(struct worker *worker, const struct party *from,
                                        unsigned type, struct span body)
{
	(void)worker;
	(void)from;
	(void)type;
	(void)body;
	return PROTO_HANDLED;
}

int main(int argc, char **argv)
{
	struct worker_program program = {
	        .role = ROLE_SSE, .start = start, .drain = drain, .on_frame = on_peer_frame};
	if (strstr(argv[0], "bridge") != NULL)
		program.role = ROLE_BRIDGE;
	return worker_main(argc, argv, &program);
}
