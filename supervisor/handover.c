#include "supervisor/handover.h"
#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define VARIABLE "RINGSIDE_HANDOVER"
enum { BYTES_MAX = 32 << 20, LISTEN_FIRST = 3, LISTEN_MOST = 64 };

struct handover *handover_create(void)
{
	struct handover *handover = xcalloc(1, sizeof *handover);
	handover->program_fd = handover->run_lock_fd = handover->data_lock_fd = -1;
	handover->admin_fd = -1;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		handover->programs[i] = -1;
	handover->events = json_array();
	handover->started = json_array();
	handover->format = HANDOVER_FORMAT;
	return handover;
}

void handover_free(struct handover **out)
{
	struct handover *handover = *out;
	*out = NULL;
	if (handover == NULL)
		return;
	json_decref(handover->events);
	json_decref(handover->started);
	free(handover->sockets);
	free(handover->settings);
	free(handover);
}

void handover_add_socket(struct handover *handover, int fd, unsigned slot)
{
	handover->sockets = xrealloc(handover->sockets,
	                             (handover->sockets_count + 1) * sizeof *handover->sockets);
	handover->sockets[handover->sockets_count++] =
	        (struct fleet_socket){.fd = fd, .slot = slot};
}

/* ---- descriptors ---- */

static void each_fd(const struct handover *h, void (*visit)(int fd))
{
	const int own[] = {h->program_fd, h->run_lock_fd, h->data_lock_fd, h->admin_fd};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		visit(own[i]);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		visit(h->programs[i]);
	for (unsigned i = 0; i < h->sockets_count; i++)
		visit(h->sockets[i].fd);
	for (unsigned i = 0; i < h->workers_count; i++)
		visit(h->workers[i].bus_fd);
}

static void keep_over_exec(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

static void close_at_exec(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* ---- the record ---- */

static json_t *programs_json(const struct handover *h)
{
	json_t *programs = json_object();
	for (size_t i = 0; i < ROLE_COUNT; i++)
		json_object_set_new(programs, roles[i].name, json_integer(h->programs[i]));
	return programs;
}

static json_t *sockets_json(const struct handover *h)
{
	json_t *sockets = json_array();
	for (unsigned i = 0; i < h->sockets_count; i++) {
		const struct fleet_socket *s = &h->sockets[i];
		json_t *slot = s->slot == LISTENER_SHARED ? json_null()
		                                          : json_integer((json_int_t)s->slot);
		json_array_append_new(sockets, json_pack("{s:i, s:o}", "fd", s->fd, "slot", slot));
	}
	return sockets;
}

static json_t *workers_json(const struct handover *h)
{
	json_t *workers = json_array();
	for (unsigned i = 0; i < h->workers_count; i++) {
		const struct handover_worker *w = &h->workers[i];
		json_array_append_new(workers,
		                      json_pack("{s:s, s:i, s:I, s:i, s:i, s:b, s:b}", "role",
		                                w->role, "slot", (int)w->slot, "generation",
		                                (json_int_t)w->generation, "pid", (int)w->pid,
		                                "bus", w->bus_fd, "confined", (int)w->confined,
		                                "serves", (int)w->serves));
	}
	return workers;
}

static char *print(const struct handover *h)
{
	json_t *json =
	        json_pack("{s:i, s:b, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I}", "format",
	                  HANDOVER_FORMAT, "back", (int)h->back, "reason", h->reason, "version",
	                  h->version, "settings", h->settings, "program", h->program, "programFd",
	                  h->program_fd, "runLock", h->run_lock_fd, "dataLock", h->data_lock_fd,
	                  "admin", h->admin_fd, "generation", (json_int_t)h->generation);
	if (json == NULL)
		return NULL; /* a path or a setting that is no UTF-8 */
	json_object_set_new(json, "programs", programs_json(h));
	json_object_set_new(json, "sockets", sockets_json(h));
	json_object_set_new(json, "workers", workers_json(h));
	json_object_set(json, "events", h->events);
	json_object_set(json, "started", h->started);
	char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

static bool write_all(int fd, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t n = write(fd, text, left);
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

bool handover_leave(struct handover *handover)
{
	char number[16], *text = print(handover);
	int fd = text != NULL ? memfd_create("ringside-handover", MFD_CLOEXEC) : -1;
	bool ok = fd >= 0 && write_all(fd, text);
	int error = text == NULL ? EILSEQ : errno;
	free(text);
	snprintf(number, sizeof number, "%d", fd);
	ok = ok && setenv(VARIABLE, number, 1) == 0;
	if (ok) {
		each_fd(handover, keep_over_exec);
		keep_over_exec(fd);
		return true;
	}
	if (fd >= 0)
		close(fd);
	errno = error;
	return false;
}

void handover_keep(struct handover *handover)
{
	const char *number = getenv(VARIABLE);
	int error = errno;
	if (number != NULL)
		close((int)strtol(number, NULL, 10));
	unsetenv(VARIABLE);
	each_fd(handover, close_at_exec);
	errno = error;
}

bool handover_waits(void)
{
	return getenv(VARIABLE) != NULL;
}

static int fd_of(const json_t *json, const char *key)
{
	const json_t *fd = json_object_get(json, key);
	return json_is_integer(fd) ? (int)json_integer_value(fd) : -1;
}

static void text_of(const json_t *json, const char *key, char *text, size_t room)
{
	const char *value = json_string_value(json_object_get(json, key));
	snprintf(text, room, "%s", value != NULL ? value : "");
}

static void parse_lists(struct handover *h, const json_t *json)
{
	size_t i;
	const json_t *each;
	for (i = 0; i < ROLE_COUNT; i++)
		h->programs[i] = fd_of(json_object_get(json, "programs"), roles[i].name);
	json_array_foreach (json_object_get(json, "sockets"), i, each) {
		const json_t *slot = json_object_get(each, "slot");
		json_int_t number =
		        json_is_integer(slot) ? json_integer_value(slot) : LISTENER_SHARED;
		int fd = fd_of(each, "fd");
		if (fd >= 0 && number >= 0 && number <= LISTENER_SHARED)
			handover_add_socket(h, fd, (unsigned)number);
	}
	json_array_foreach (json_object_get(json, "workers"), i, each) {
		if (h->workers_count == FLEET_CHILDREN_MAX)
			break;
		struct handover_worker *w = &h->workers[h->workers_count++];
		text_of(each, "role", w->role, sizeof w->role);
		w->slot = (unsigned)json_integer_value(json_object_get(each, "slot"));
		w->generation = (uint64_t)json_integer_value(json_object_get(each, "generation"));
		w->pid = (pid_t)json_integer_value(json_object_get(each, "pid"));
		w->bus_fd = fd_of(each, "bus");
		w->confined = json_is_true(json_object_get(each, "confined"));
		w->serves = json_is_true(json_object_get(each, "serves"));
	}
}

static struct handover *parse(const json_t *json)
{
	struct handover *h = handover_create();
	h->back = json_is_true(json_object_get(json, "back"));
	text_of(json, "reason", h->reason, sizeof h->reason);
	text_of(json, "version", h->version, sizeof h->version);
	const char *settings = json_string_value(json_object_get(json, "settings"));
	settings = settings != NULL ? settings : "";
	h->settings = xmemdup_text(settings, strlen(settings));
	text_of(json, "program", h->program, sizeof h->program);
	h->program_fd = fd_of(json, "programFd");
	h->run_lock_fd = fd_of(json, "runLock");
	h->data_lock_fd = fd_of(json, "dataLock");
	h->admin_fd = fd_of(json, "admin");
	h->generation = (uint64_t)json_integer_value(json_object_get(json, "generation"));
	parse_lists(h, json);
	h->format = (int)json_integer_value(json_object_get(json, "format"));
	const json_t *started = json_object_get(json, "started");
	if (json_is_array(started))
		json_array_extend(h->started, (json_t *)started);
	const json_t *events = json_object_get(json, "events");
	if (json_is_array(events))
		json_array_extend(h->events, (json_t *)events);
	return h;
}

struct handover *handover_take(char reason[HANDOVER_REASON_MAX + 1])
{
	const char *number = getenv(VARIABLE);
	*reason = '\0';
	if (number == NULL)
		return NULL;
	int fd = (int)strtol(number, NULL, 10);
	unsetenv(VARIABLE);
	char *text = xmalloc(BYTES_MAX);
	ssize_t len = fd > STDERR_FILENO ? pread(fd, text, BYTES_MAX, 0) : -1;
	json_t *json = len > 0 ? json_loadb(text, (size_t)len, 0, NULL) : NULL;
	json_int_t format = json_integer_value(json_object_get(json, "format"));
	struct handover *handover = NULL;
	if (format >= 1 && format <= HANDOVER_FORMAT)
		handover = parse(json);
	else
		snprintf(reason, HANDOVER_REASON_MAX + 1,
		         VARIABLE " names nothing that this release can take over");
	if (len >= 0)
		close(fd);
	json_decref(json);
	free(text);
	if (handover != NULL)
		each_fd(handover, close_at_exec);
	return handover;
}

/* ---- socket activation ---- */

static bool listens(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes != 0;
}

unsigned handover_listen_fds(struct fleet_socket **sockets)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	bool ours = pid != NULL && count != NULL && strtol(pid, NULL, 10) == getpid();
	long most = ours ? strtol(count, NULL, 10) : 0;
	unsigned found = 0;
	*sockets = NULL;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (most <= 0)
		return 0;
	*sockets = xcalloc(LISTEN_MOST, sizeof **sockets);
	for (int fd = LISTEN_FIRST; fd < LISTEN_FIRST + most && found < LISTEN_MOST; fd++) {
		close_at_exec(fd);
		if (listens(fd))
			(*sockets)[found++] =
			        (struct fleet_socket){.fd = fd, .slot = LISTENER_SHARED};
	}
	return found;
}
