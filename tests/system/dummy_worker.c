/* A worker that does on request what a worker never should. Only tests start it: by the supervisor,
 * under the name of a real one.
 *
 * It answers one line per connection, HTTP enough for curl: "GET /crash" aborts, /hang stops the
 * loop, /exit/N exits, /child and /escapee start a process that sleeps (the latter in a session of
 * its own), /peers counts introductions, /ask/SLOT/GENERATION asks an SSE worker for its name,
 * /fds lists open descriptors, /environment prints it.
 * Files in the data directory change how it starts and ends: fail-start, cannot-start, never-ready,
 * ignore-drain. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "proto/roles.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_poll_t listener;
static struct wheel wheel; /* nobody runs it: what is asked is answered, or its worker ends */
static struct asks *asks;
static struct calls *calls;

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

/* ---- calls between workers ---- */

static void on_name(struct call *call)
{
	const struct worker *worker = call->context;
	call_reply_bytes(call, 200, "text/plain", span_str(worker->name));
}

static const struct call_route routes[] = {{CALL_METHOD(GET), "/name", on_name}};

static void end(int fd)
{
	shutdown(fd, SHUT_WR);
	close(fd);
}

static void tell_outcome(int fd, enum ask_outcome outcome, struct span name)
{
	static const char *const texts[] = {
	        [ASK_ANSWERED] = "answered ", [ASK_UNFIT] = "unfit", [ASK_ABSENT] = "absent",
	        [ASK_STALE] = "stale",        [ASK_FULL] = "full",   [ASK_GONE] = "gone",
	        [ASK_LATE] = "late"};
	dprintf(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s%.*s\n", texts[outcome],
	        (int)name.len, (const char *)name.at);
	end(fd);
}

static void on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                       const struct proto_call_reply *reply)
{
	(void)from;
	tell_outcome((int)(intptr_t)arg, outcome, reply != NULL ? reply->body : SPAN(""));
}

/* Takes over the descriptor. */
static void ask(int fd, const char *rest)
{
	struct party to = {.role = ROLE_SSE};
	const struct proto_call m = {.method = CALL_GET, .path = SPAN("/name")};
	char *slash;
	to.slot = (unsigned)strtoul(rest, &slash, 10);
	to.generation = strtoull(slash + 1, NULL, 10);
	enum ask_outcome outcome = asks_send(asks, &to, &m, on_outcome, (void *)(intptr_t)fd, NULL);
	if (outcome != ASK_SENT)
		tell_outcome(fd, outcome, SPAN(""));
}

#define CTX struct worker
PROTO_INBOX_ANSWERING(PROTO_HANDLER)
PROTO_INBOX_CALLING(PROTO_HANDLER)

static void on_call(struct worker *worker, const struct party *from, const struct proto_call *m)
{
	(void)worker;
	calls_take(calls, from, m);
}

static void on_call_reply(struct worker *worker, const struct party *from,
                          const struct proto_call_reply *m)
{
	(void)worker;
	asks_take(asks, from, m);
}

/* ---- what it is asked by HTTP ---- */

/* Takes over the descriptor. */
static void serve(struct worker *worker, int fd)
{
	char request[1024] = "", *body = NULL;
	size_t size;
	const struct timeval patience = {.tv_sec = 5};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (recv(fd, request, sizeof request - 1, 0) <= 4 || strncmp(request, "GET ", 4) != 0) {
		end(fd);
		return;
	}
	if (strncmp(request + 4, "/ask/", 5) == 0) {
		ask(fd, request + 9);
		return;
	}
	FILE *out = open_memstream(&body, &size);
	check(out != NULL);
	answer(worker, request + 4, out);
	check(fclose(out) == 0);
	dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", size,
	        body);
	free(body);
	counter_add(worker->mine, requests_total, 1);
	end(fd);
}

static void accept_all(struct worker *worker)
{
	int fd;
	while ((fd = accept4(BOOT_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		serve(worker, fd);
}

static void on_connection(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	accept_all(handle->data);
}

static int start(struct worker *worker)
{
	wheel_init(&wheel, clock_monotonic_ms());
	asks = asks_create(worker, &wheel);
	calls = calls_create(worker, routes, 1, worker);
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

static enum proto_verdict on_frame(struct worker *ctx, const struct party *from, unsigned type,
                                   struct span body)
{
	switch (type) {
		PROTO_INBOX_ANSWERING(PROTO_DISPATCH)
		PROTO_INBOX_CALLING(PROTO_DISPATCH)
	default:
		return PROTO_HANDLED;
	}
}

static void on_peer_gone(struct worker *worker, const struct party *gone)
{
	(void)worker;
	asks_peer_gone(asks, gone);
}

int main(int argc, char **argv)
{
	struct worker_program program = {.role = ROLE_SSE,
	                                 .start = start,
	                                 .drain = drain,
	                                 .on_frame = on_frame,
	                                 .on_peer_gone = on_peer_gone};
	if (strstr(argv[0], "bridge") != NULL)
		program.role = ROLE_BRIDGE;
	return worker_main(argc, argv, &program);
}
