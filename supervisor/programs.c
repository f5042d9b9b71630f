#include "supervisor/programs.h"
#include "common/base/beneath.h"
#include "common/base/check.h"
#include "common/domain/agent_start.h"
#include "proto/codec.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	FD_SAID = 3, /* the child's: what it says until it is the program */
	FD_ROOT = 4,
	FD_END,
	FD_ABOVE = 64, /* ours, out of their way */
	GROUPS_MAX = 64,
	VARIABLES_MAX = 16,
	PROGRAM_SUBJECT_MAX = 256,
};

/* What the child could not do. */
enum stage { STAGE_NONE, STAGE_USER, STAGE_ENTER, STAGE_FOLDER, STAGE_EXEC };

struct said {
	int32_t stage, error;
	char path[PATH_MAX]; /* where it is, with its NUL */
};

struct program {
	struct program *next, **previous;
	struct programs *all;
	pid_t pid;
	char name[AGENT_COMMAND_MAX + 1];
	char subject[PROGRAM_SUBJECT_MAX + 1]; /* whose wish it was */
	/* Who is to be told, until it is: */
	struct child *asker;
	uint64_t asker_generation, id;
	uv_poll_t poll;
	int said_fd; /* -1: it was told, and `poll` is closed or closing */
	bool ended;
	size_t said_len;
	struct said said;
};

/* ---- the child ---- */

struct plan {
	const struct agent_command *command;
	const char *rest;
	char folder[AGENT_FOLDER_MAX + 1];
	int root_fd, said_fd, null_fd;
	bool as_other;
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int groups_count;
	char *environment[VARIABLES_MAX + 1];
};

static _Noreturn void say(struct said *said, enum stage stage)
{
	said->error = errno;
	said->stage = stage;
	ssize_t n = write(FD_SAID, said, sizeof *said);
	(void)n;
	_exit(SPAWN_EXEC_FAILED);
}

/* The directory below `at`, made where it is not there. */
static int make_folder(int at, char *folder)
{
	while (at >= 0 && folder != NULL) {
		char *slash = strchr(folder, '/');
		if (slash != NULL)
			*slash = '\0';
		if (mkdirat(at, folder, 0777) != 0 && errno != EEXIST)
			return -1;
		at = beneath_open(at, folder, O_PATH | O_DIRECTORY);
		folder = slash != NULL ? slash + 1 : NULL;
	}
	return at;
}

static void become_program(void *arg)
{
	struct plan *plan = arg;
	struct said said = {0};
	bool ok = dup2(plan->null_fd, STDIN_FILENO) >= 0 &&
	          dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && dup2(plan->said_fd, FD_SAID) >= 0 &&
	          dup2(plan->root_fd, FD_ROOT) >= 0;
	spawn_let_go(FD_END);
	if (!ok)
		_exit(SPAWN_EXEC_FAILED);
	fcntl(FD_SAID, F_SETFD, FD_CLOEXEC);
	fcntl(FD_ROOT, F_SETFD, FD_CLOEXEC);
	if (plan->as_other && (setgroups((size_t)plan->groups_count, plan->groups) != 0 ||
	                       setgid(plan->gid) != 0 || setuid(plan->uid) != 0))
		say(&said, STAGE_USER);
	int at = beneath_open(FD_ROOT, plan->rest, O_PATH | O_DIRECTORY);
	if (at < 0)
		say(&said, STAGE_ENTER);
	if (*plan->folder != '\0')
		at = make_folder(at, plan->folder);
	if (at < 0)
		say(&said, STAGE_FOLDER);
	/* What it leaves behind stays with it, and comes to us when it ends. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (fchdir(at) != 0 || syscall(SYS_getcwd, said.path, sizeof said.path) < 0)
		say(&said, STAGE_ENTER);
	/* Before exec: the pipe has room for it; what is there when it closes is the outcome. */
	ssize_t n = write(FD_SAID, &said, sizeof said);
	(void)n;
	execve(plan->command->argv[0], plan->command->argv, plan->environment);
	say(&said, STAGE_EXEC);
}

/* ---- whose it is ---- */

/* NULL: fine; else why not. */
static const char *find_user(struct plan *plan, const char *user, char variables[][PATH_MAX])
{
	const bool root = geteuid() == 0;
	if (root && *user == '\0')
		return "programs are not started as root: set hub.commands_user";
	errno = 0;
	const struct passwd *entry = *user != '\0' ? getpwnam(user) : getpwuid(geteuid());
	if (*user != '\0' && entry == NULL)
		return "hub.commands_user is nobody known here";
	if (!root && *user != '\0' && entry->pw_uid != geteuid())
		return "hub.commands_user is another than who runs this, which is not root";
	if (root && entry->pw_uid == 0)
		return "programs are not started as root: hub.commands_user is";
	if (root) {
		plan->as_other = true;
		plan->uid = entry->pw_uid;
		plan->gid = entry->pw_gid;
		plan->groups_count = GROUPS_MAX;
		if (getgrouplist(user, entry->pw_gid, plan->groups, &plan->groups_count) < 0)
			return "hub.commands_user is in too many groups";
	}
	size_t count = 0;
	if (entry != NULL) {
		const char *const names[] = {"HOME", "SHELL", "USER", "LOGNAME"},
		                  *const values[] = {entry->pw_dir, entry->pw_shell, entry->pw_name,
		                                     entry->pw_name};
		for (; count < 4; count++)
			snprintf(variables[count], PATH_MAX, "%s=%s", names[count], values[count]);
	}
	static const char *const passed[] = {"PATH", "LANG", "LC_ALL", "TZ"};
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
		const char *value = getenv(passed[i]);
		if (value != NULL)
			snprintf(variables[count++], PATH_MAX, "%s=%s", passed[i], value);
	}
	for (size_t i = 0; i < count; i++)
		plan->environment[i] = variables[i];
	return NULL;
}

/* ---- answers ---- */

static void answer(struct child *asker, uint64_t generation, uint64_t id, const char *path,
                   const char *error)
{
	if (asker->peer == NULL || asker->generation != generation)
		return;
	peer_put(asker->peer, spawned, SPAWNED,
	         {.id = id, .path = span_str(path), .error = span_str(error)});
}

static void reason_of(const struct program *p, char out[256])
{
	const struct said *said = &p->said;
	bool out_of_it = said->error == EXDEV || said->error == ELOOP,
	     none = said->error == ENOENT || said->error == ENOTDIR;
	switch ((enum stage)said->stage) {
	case STAGE_NONE:
		snprintf(out, 256, "Failed to start %s: it ended before it began", p->name);
		return;
	case STAGE_USER:
		snprintf(out, 256, "Failed to become hub.commands_user: %s", strerror(said->error));
		return;
	case STAGE_ENTER:
	case STAGE_FOLDER:
		if (out_of_it)
			snprintf(out, 256, "Path resolves outside home directory");
		else if (none)
			snprintf(out, 256, "Path does not exist");
		else
			snprintf(out, 256, "Failed to %s directory: %s",
			         said->stage == STAGE_ENTER ? "enter" : "create",
			         strerror(said->error));
		return;
	case STAGE_EXEC:
		snprintf(out, 256, "Failed to start %s: %s", p->name, strerror(said->error));
		return;
	}
}

static void insert(struct program *p)
{
	p->next = p->all->first;
	p->previous = &p->all->first;
	if (p->next != NULL)
		p->next->previous = &p->next;
	p->all->first = p;
	p->all->count++;
}

static void unlink_program(struct program *p)
{
	*p->previous = p->next;
	if (p->next != NULL)
		p->next->previous = p->previous;
	p->all->count--;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct program *p = handle->data;
	p->poll.data = NULL;
	if (p->ended)
		free(p);
}

/* Nothing more is said: it is the program, or has failed. */
static void tell(struct program *p)
{
	char error[256] = "";
	close(p->said_fd);
	p->said_fd = -1;
	uv_close((uv_handle_t *)&p->poll, on_poll_closed);
	bool runs = p->said_len >= sizeof p->said && p->said.stage == STAGE_NONE;
	if (p->said_len < sizeof p->said)
		p->said = (struct said){0};
	p->said.path[sizeof p->said.path - 1] = '\0';
	if (!runs)
		reason_of(p, error);
	events_emit(p->all->events, runs ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
	            runs ? "program-started" : "program-failed",
	            json_pack("{s:s, s:s, s:i, s:s*, s:s*}", "command", p->name, "subject",
	                      p->subject, "pid", (int)p->pid, "path", runs ? p->said.path : NULL,
	                      "reason", runs ? NULL : error));
	answer(p->asker, p->asker_generation, p->id, runs ? p->said.path : "", error);
}

static void on_said(uv_poll_t *poll, int status, int events)
{
	struct program *p = poll->data;
	uint8_t bytes[2 * sizeof p->said];
	(void)status;
	(void)events;
	ssize_t n = read(p->said_fd, bytes, sizeof bytes);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Each is written at once, of one size: the last one counts. */
	for (ssize_t at = 0; at < n; at++) {
		if (p->said_len == sizeof p->said)
			p->said_len = 0;
		((uint8_t *)&p->said)[p->said_len++] = bytes[at];
	}
	if (n <= 0)
		tell(p);
}

/* ---- starting ---- */

static int above(int fd)
{
	int moved = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE) : -1;
	if (fd >= 0)
		close(fd);
	return moved;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* NULL: it is under way; else why not. */
static const char *start(struct programs *all, struct program *p, struct plan *plan,
                         const char *root)
{
	int pipe_fds[2] = {-1, -1};
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return "Failed to start: no descriptor is left";
	int fds[] = {above(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)), above(pipe_fds[1]),
	             above(open("/dev/null", O_RDWR | O_CLOEXEC))};
	const char *fault = fds[0] < 0 ? "Path does not exist: a root of hub.roots is not there"
	                    : fds[1] < 0 || fds[2] < 0 ? "Failed to start: no descriptor is left"
	                                               : NULL;
	if (fault == NULL) {
		plan->root_fd = fds[0];
		plan->said_fd = fds[1];
		plan->null_fd = fds[2];
		p->pid = spawn_fork(become_program, plan);
		if (p->pid < 0)
			fault = "Failed to start: no process is left";
	}
	close_all(fds, sizeof fds / sizeof *fds);
	if (fault != NULL) {
		close(pipe_fds[0]);
		return fault;
	}
	p->said_fd = pipe_fds[0];
	fcntl(p->said_fd, F_SETFL, O_NONBLOCK);
	check(uv_poll_init(all->loop, &p->poll, p->said_fd) == 0);
	p->poll.data = p;
	uv_poll_start(&p->poll, UV_READABLE, on_said);
	return NULL;
}

/* The worker has looked at all of this; that is not to be relied upon. */
static const char *prepare(const struct programs *all, const struct proto_spawn *m,
                           struct agent_command *command, struct agent_place *place)
{
	const struct settings *s = all->settings->newest;
	if (*s->hub_roots == '\0')
		return "no directories are there to be used: set hub.roots";
	if (*s->hub_commands == '\0')
		return "no programs are there to be started: set hub.commands";
	if (!agent_command_find(span_str(s->hub_commands), m->command, command))
		return "no such program: see hub.commands";
	if (!agent_place_find(span_str(s->hub_roots), m->path, place))
		return "Path resolves outside home directory";
	if (m->folder.len > 0 && !agent_folder_good(m->folder))
		return "Invalid path: new_folder";
	if (all->count >= s->hub_commands_max)
		return "too many programs run already (hub.commands_max)";
	return NULL;
}

void programs_start(struct programs *all, struct child *asker, const struct proto_spawn *m)
{
	struct agent_command *command = xcalloc(1, sizeof *command);
	struct agent_place *place = xcalloc(1, sizeof *place);
	struct plan *plan = xcalloc(1, sizeof *plan);
	char(*variables)[PATH_MAX] = xcalloc(VARIABLES_MAX, sizeof *variables);
	struct program *p = xcalloc(1, sizeof *p);
	const char *fault = prepare(all, m, command, place);
	if (fault == NULL)
		fault = find_user(plan, all->settings->newest->hub_commands_user, variables);
	if (fault == NULL) {
		plan->command = command;
		plan->rest = place->rest;
		memcpy(plan->folder, m->folder.at, m->folder.len);
		*p = (struct program){.all = all,
		                      .asker = asker,
		                      .asker_generation = asker->generation,
		                      .id = m->id};
		snprintf(p->name, sizeof p->name, "%s", command->name);
		snprintf(p->subject, sizeof p->subject, "%.*s", (int)m->subject.len,
		         (const char *)m->subject.at);
		fault = start(all, p, plan, place->root);
	}
	if (fault == NULL) {
		insert(p);
	} else {
		free(p);
		answer(asker, asker->generation, m->id, "", fault);
	}
	free(variables);
	free(plan);
	free(place);
	free(command);
}

/* ---- ends ---- */

static struct program *find(const struct programs *all, pid_t pid)
{
	struct program *p = all->first;
	while (p != NULL && p->pid != pid)
		p = p->next;
	return p;
}

bool programs_exited(struct programs *all, pid_t pid, int status)
{
	struct program *p = find(all, pid);
	char text[64];
	if (p == NULL)
		return false;
	reap_describe(status, text);
	/* What it said last may not have been read yet. */
	while (p->said_fd >= 0)
		on_said(&p->poll, 0, UV_READABLE);
	if (p->said.stage == STAGE_NONE && *p->said.path != '\0') /* it ran */
		events_emit(all->events, LOG_LEVEL_INFO, "program-ended",
		            json_pack("{s:s, s:i, s:s}", "command", p->name, "pid", (int)pid,
		                      "exit", text));
	unlink_program(p);
	p->ended = true;
	if (p->poll.data == NULL)
		free(p);
	return true;
}

bool programs_own(const struct programs *all, pid_t pid)
{
	return find(all, pid) != NULL;
}

bool programs_starting(const struct programs *all)
{
	for (const struct program *p = all->first; p != NULL; p = p->next)
		if (p->said_fd >= 0)
			return true;
	return false;
}

void programs_each(const struct programs *all,
                   void (*visit)(void *arg, pid_t pid, const char *name, const char *subject),
                   void *arg)
{
	for (const struct program *p = all->first; p != NULL; p = p->next)
		visit(arg, p->pid, p->name, p->subject);
}

void programs_adopt(struct programs *all, pid_t pid, const char *name, const char *subject)
{
	struct program *p = xcalloc(1, sizeof *p);
	p->all = all;
	p->pid = pid;
	p->said_fd = -1;
	p->said.path[0] = '.'; /* it ran */
	snprintf(p->name, sizeof p->name, "%s", name);
	snprintf(p->subject, sizeof p->subject, "%s", subject);
	insert(p);
}

void programs_finish(struct programs *all)
{
	while (all->first != NULL) {
		struct program *p = all->first;
		unlink_program(p);
		p->ended = true;
		if (p->said_fd >= 0) {
			close(p->said_fd);
			uv_close((uv_handle_t *)&p->poll, on_poll_closed);
		} else if (p->poll.data == NULL) {
			free(p);
		}
	}
}
