/* list_directories and spawn_agent: whoever may looks below hub.roots, and has a program of
 * hub.commands started there. Directories are read by a thread of libuv's, two at a time; programs
 * are the supervisor's (supervisor/programs.h). Answers come when they are there, past those of
 * other requests of the same socket. */
#include "common/base/beneath.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/domain/agent_start.h"
#include "proto/codec.h"
#include "worker-sse/views/hub_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	WISHES_MAX = 32, /* under way in one worker */
	READING_MAX = 2, /* of them directories that are being read: the threads are others' too */
	SCANNED_MAX = 100000, /* entries that are looked at */
};

/* Something that was asked for, until it is answered. */
struct hub_wish {
	struct hub_wish *next, **previous; /* hub->wishes */
	struct hub *hub;
	struct hub_conn *conn; /* NULL: it has left */
	json_t *reply_id;      /* a reference; NULL: none */
	/* A program, by its number: */
	uint64_t number; /* 0: directories */
	struct wheel_node patience;
	/* Directories: */
	uv_work_t work;
	bool waits; /* for one of READING_MAX */
	struct agent_place place;
	size_t names_max;
	const char *fault; /* constant; NULL: none */
	char *current;
	json_t *names;
	bool truncated;
};

static struct hub_wish *wish_create(struct hub_conn *conn, const json_t *id)
{
	struct hub *hub = conn->hub;
	struct hub_wish *wish = xcalloc(1, sizeof *wish);
	struct hub_wish **last = &hub->wishes;
	while (*last != NULL)
		last = &(*last)->next;
	wish->hub = hub;
	wish->conn = conn;
	wish->reply_id = json_incref((json_t *)(uintptr_t)id);
	wish->previous = last;
	*last = wish;
	hub->wishes_count++;
	return wish;
}

/* Takes `result`. */
static void wish_end(struct hub_wish *wish, json_t *result, const char *fault)
{
	struct hub *hub = wish->hub;
	if (wish->conn != NULL)
		hub_answer(wish->conn, wish->reply_id, result, fault);
	else
		json_decref(result);
	wheel_cancel(&wish->patience);
	*wish->previous = wish->next;
	if (wish->next != NULL)
		wish->next->previous = wish->previous;
	hub->wishes_count--;
	json_decref(wish->reply_id);
	json_decref(wish->names);
	free(wish->current);
	free(wish);
}

void hub_wishes_forget(struct hub_conn *conn)
{
	for (struct hub_wish *wish = conn->hub->wishes; wish != NULL; wish = wish->next)
		if (wish->conn == conn)
			wish->conn = NULL;
}

/* ---- directories ---- */

/* By what kind of thing it is; a link counts where it leads to a directory below the root. */
static bool is_directory(const struct hub_wish *wish, int root, const struct dirent *entry)
{
	char path[AGENT_DIRECTORY_ROOM + 256];
	if (entry->d_type == DT_DIR)
		return true;
	if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
		return false;
	snprintf(path, sizeof path, "%s%s%s", wish->place.rest,
	         *wish->place.rest != '\0' ? "/" : "", entry->d_name);
	int fd = beneath_open(root, path, O_PATH | O_DIRECTORY);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void read_names(struct hub_wish *wish, int root, DIR *directory)
{
	const struct dirent *entry;
	for (size_t i = 0; (entry = readdir(directory)) != NULL; i++) {
		wish->truncated = i >= SCANNED_MAX;
		if (wish->truncated)
			return;
		if (*entry->d_name == '.' || !is_directory(wish, root, entry))
			continue;
		wish->truncated = json_array_size(wish->names) == wish->names_max;
		if (wish->truncated)
			return;
		json_t *name = json_string(entry->d_name);
		if (name != NULL) /* else it is no UTF-8, and cannot be said */
			json_array_append_new(wish->names, name);
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
	              json_string_value(*(json_t *const *)b));
}

static void sort(json_t *names)
{
	size_t count = json_array_size(names);
	json_t **all = xcalloc(count + 1, sizeof *all);
	for (size_t i = 0; i < count; i++)
		all[i] = json_incref(json_array_get(names, i));
	qsort(all, count, sizeof *all, compare_names);
	json_array_clear(names);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(names, all[i]);
	free(all);
}

static const char *refusal_of(int error)
{
	return error == EXDEV || error == ELOOP      ? "Path resolves outside home directory"
	       : error == ENOENT || error == ENOTDIR ? "Invalid path: no such directory"
	       : error == ENOSYS ? "Cannot read directory: this system has no openat2"
	                         : "Cannot read directory";
}

/* Where a descriptor leads, by the kernel's own word; "": unknown. */
static void read_path(int fd, char out[AGENT_DIRECTORY_ROOM])
{
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, out, AGENT_DIRECTORY_ROOM - 1);
	out[len > 0 ? len : 0] = '\0';
}

/* As it is to be asked for again: below the root as that is configured, be it a link or not. */
static void say_current(struct hub_wish *wish, int root, int at)
{
	char above[AGENT_DIRECTORY_ROOM], here[AGENT_DIRECTORY_ROOM];
	read_path(root, above);
	read_path(at, here);
	size_t len = strlen(above);
	bool below = len > 1 && strncmp(here, above, len) == 0 &&
	             (here[len] == '/' || here[len] == '\0');
	int n = snprintf(wish->current, AGENT_DIRECTORY_ROOM, "%s%s", below ? wish->place.root : "",
	                 below ? here + len : here);
	if (n >= AGENT_DIRECTORY_ROOM)
		*wish->current = '\0';
}

/* In a thread: nothing but what is the wish's own. */
static void read_directory(uv_work_t *work)
{
	struct hub_wish *wish = work->data;
	int root = open(wish->place.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int at = root >= 0 ? beneath_open(root, wish->place.rest, O_RDONLY | O_DIRECTORY) : -1;
	if (at < 0)
		wish->fault = refusal_of(errno);
	DIR *directory = at >= 0 ? fdopendir(at) : NULL;
	if (directory != NULL) {
		say_current(wish, root, at);
		read_names(wish, root, directory);
		sort(wish->names);
		closedir(directory);
	} else if (at >= 0) {
		wish->fault = refusal_of(errno);
		close(at);
	}
	if (root >= 0)
		close(root);
}

static void read_next(struct hub *hub);

static void on_read(uv_work_t *work, int status)
{
	struct hub_wish *wish = work->data;
	struct hub *hub = wish->hub;
	json_t *result = NULL;
	(void)status;
	hub->reading--;
	if (wish->fault == NULL)
		result = json_pack("{s:s, s:O}", "current", wish->current, "directories",
		                   wish->names);
	if (wish->fault == NULL && result == NULL)
		wish->fault = "Cannot read directory: its name is no UTF-8";
	if (wish->truncated && result != NULL)
		json_object_set_new(result, "truncated", json_true());
	wish_end(wish, result, wish->fault);
	read_next(hub);
}

static void read_next(struct hub *hub)
{
	for (struct hub_wish *wish = hub->wishes; wish != NULL && hub->reading < READING_MAX;
	     wish = wish->next) {
		if (!wish->waits)
			continue;
		wish->waits = false;
		wish->work.data = wish;
		hub->reading++;
		check(uv_queue_work(hub->worker->worker->loop, &wish->work, read_directory,
		                    on_read) == 0);
	}
}

/* A member that is a text, or is not there (at NULL). False: it is something else. */
static bool text_of(const json_t *params, const char *name, struct span *text)
{
	const json_t *value = json_object_get(params, name);
	*text = (struct span){0};
	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return false;
	*text = span_of(json_string_value(value), json_string_length(value));
	return memchr(text->at, 0, text->len) == NULL;
}

/* NULL: go on. */
static const char *refuse(struct hub_conn *conn, const char *right)
{
	const struct settings *s = conn->hub->worker->settings;
	if (!request_may(conn->request, RIGHT(SPAWN), span_str(right)))
		return "Unauthorized: no right to directories and programs (spawn)";
	if (*s->hub_roots == '\0')
		return "no directories are there to be used: set hub.roots";
	return conn->hub->wishes_count >= WISHES_MAX ? "too many at once: try again" : NULL;
}

void hub_directories(struct hub_conn *conn, const struct agent_request *ask)
{
	const struct settings *s = conn->hub->worker->settings;
	struct agent_place place;
	struct span path;
	const char *fault = refuse(conn, AGENT_DIRECTORIES_RIGHT);
	if (fault == NULL && !text_of(ask->params, "path", &path))
		fault = "Invalid path: no text";
	if (fault == NULL && path.len > 0 && path.at[0] != '/')
		fault = "Invalid path: not absolute";
	if (fault == NULL && !agent_place_find(span_str(s->hub_roots), path, &place))
		fault = "Path resolves outside home directory";
	if (fault != NULL) {
		hub_answer(conn, ask->id, NULL, fault);
		return;
	}
	struct hub_wish *wish = wish_create(conn, ask->id);
	wish->place = place;
	wish->names_max = s->hub_directories_max;
	wish->names = json_array();
	wish->current = xcalloc(1, AGENT_DIRECTORY_ROOM);
	wish->waits = true;
	read_next(conn->hub);
}

/* ---- programs ---- */

static void on_impatient(struct wheel_node *node)
{
	wish_end((struct hub_wish *)((char *)node - offsetof(struct hub_wish, patience)), NULL,
	         "no answer within call.timeout: it may start yet");
}

static struct span trim(struct span text)
{
	while (text.len > 0 && text.at[0] <= ' ')
		text = span_of(text.at + 1, text.len - 1);
	while (text.len > 0 && text.at[text.len - 1] <= ' ')
		text.len--;
	return text;
}

/* NULL: fine. */
static const char *look_at(const struct settings *s, struct span path, struct span folder,
                           struct span command)
{
	struct agent_command *found = xcalloc(1, sizeof *found);
	struct agent_place *place = xcalloc(1, sizeof *place);
	bool there = command.len <= AGENT_COMMAND_MAX &&
	             agent_command_find(span_str(s->hub_commands), command, found),
	     inside = agent_place_find(span_str(s->hub_roots), path, place);
	free(place);
	free(found);
	if (*s->hub_commands == '\0')
		return "no programs are there to be started: set hub.commands";
	if (!there)
		return "no such program: see hub.commands";
	if (!inside)
		return "Path resolves outside home directory";
	if (folder.len > 0 && !agent_folder_good(folder))
		return "Invalid path: new_folder is to be relative, without . and ..";
	return NULL;
}

void hub_spawn(struct hub_conn *conn, const struct agent_request *ask)
{
	struct hub *hub = conn->hub;
	const struct settings *s = hub->worker->settings;
	const struct identity *identity = conn->request->identity;
	struct span path, folder, command;
	const char *fault = refuse(conn, AGENT_SPAWN_RIGHT);
	if (fault == NULL && !json_is_object(ask->params))
		fault = "Missing params";
	if (fault == NULL &&
	    (!text_of(ask->params, "path", &path) || !text_of(ask->params, "new_folder", &folder) ||
	     !text_of(ask->params, "command", &command) || path.at == NULL))
		fault = "Missing params";
	if (fault == NULL) {
		folder = trim(folder);
		fault = look_at(s, path, folder, command);
	}
	if (fault != NULL) {
		hub_answer(conn, ask->id, NULL, fault);
		return;
	}
	struct hub_wish *wish = wish_create(conn, ask->id);
	wish->number = ++hub->spawns;
	wish->patience.due = on_impatient;
	wheel_set(&hub->worker->wheel, &wish->patience,
	          hub->worker->wheel.now_ms + s->call_timeout_ms);
	struct span subject = span_str(identity->subject);
	if (subject.len > 256)
		subject.len = 256;
	peer_put(worker_supervisor(hub->worker->worker), spawn, SPAWN,
	         {.id = wish->number,
	          .command = command,
	          .path = path,
	          .folder = folder,
	          .subject = subject});
}

void hub_spawned(struct sse_worker *w, const struct proto_spawned *m)
{
	struct hub_wish *wish = w->hub->wishes;
	char error[257];
	while (wish != NULL && wish->number != m->id)
		wish = wish->next;
	if (wish == NULL || m->id == 0)
		return;
	if (m->error.len > 0) {
		snprintf(error, sizeof error, "%.*s", (int)m->error.len, (const char *)m->error.at);
		wish_end(wish, NULL, error);
		return;
	}
	counter_add(w->counters, hub_spawns_total, 1);
	json_t *path = json_stringn((const char *)m->path.at, m->path.len);
	wish_end(wish, json_pack("{s:s, s:o*}", "status", "spawning", "path", path), NULL);
}
