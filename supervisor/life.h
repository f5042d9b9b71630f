/* One worker's process: its start, its bus, its end. What is to happen when, and what it means for
 * the others, is the fleet's: it is told by a hook. */
#pragma once

#include "supervisor/child.h"
#include "supervisor/events.h"
#include "supervisor/listeners.h"
#include "supervisor/tls_files.h"

/* What has happened to a process. */
enum life_news {
	LIFE_KNOWN, /* it has said who it is, and has its settings: it may be told more */
	LIFE_READY,
	LIFE_ENDED, /* it has no process any more; what becomes of it is told next, if it is one of
	               * these: */
	LIFE_FAILING, /* it failed too often in too short a time, and waits long for its next start;
	               * that has been said */
	LIFE_REFUSED, /* no attempt can succeed; child->refusal says why */
};

/* What the processes of all workers have in common. */
struct life {
	uv_loop_t *loop;
	const struct settings_source *settings; /* each is started with the newest */
	struct events *events;
	char program_dir[4096]; /* where the workers' programs are */
	/* The programs of our own build, by the order of ROLES; -1: none. They are what is executed
	 * once `pinned` is set: another build stands in their places. */
	int programs[ROLE_COUNT];
	bool pinned;
	struct listeners listeners;
	const struct tls_files *tls; /* what those who listen are told */
	int counters_fd;
	uint64_t generation; /* of the last process started */
	void (*on_news)(void *arg, struct child *child, enum life_news news);
	void *news_arg;
	/* A message of its bus. */
	enum proto_verdict (*on_message)(void *arg, struct child *child, const struct party *from,
	                                 unsigned type, struct span body);
	void *message_arg;
};

/* Where the program of a role is: beside our own; or, in a build tree, in the directory of its
 * source. */
void life_find_program(const struct life *life, const struct role *role, char *path, size_t room);

/* Opens what life_find_program() finds as `programs`. */
void life_open_programs(struct life *life);

/* Takes over a process that another supervisor started: it serves, its bus is `bus_fd`, and it is
 * to be replaced. */
void life_adopt(struct child *child, pid_t pid, uint64_t generation, int bus_fd, bool confined);

/* Starts a process for it; when that cannot be done it waits as after an exit. At most so many
 * bytes wait on its bus for it (ceilings.h). */
void life_start(struct child *child, size_t bus_bytes_max);

/* Its process has ended, but its pid is still taken: kills its process group, and decides when it
 * is started again, or that it never can be. */
void life_exited(struct child *child, int status);

/* Tells it to finish by due_ms; it is to be cut at kill_due_ms (both monotonic). */
void life_drain(struct child *child, uint64_t due_ms, uint64_t kill_due_ms);
void life_cut(struct child *child);

/* It is not wanted and has no process: closes its socket, forgets its failures. */
void life_release(struct child *child);

/* To its process group; nothing without a process. */
void life_signal(const struct child *child, int signal);
/* To the process alone: its core says where it hangs. */
void life_abort(const struct child *child);
void life_send_settings(struct child *child);
/* What its sockets speak; only to one that listens. */
void life_send_listen(struct child *child);

/* An event about it; `more` (taken, may be NULL) are further fields. */
void life_emit(struct child *child, enum log_level level, const char *event, json_t *more);

/* ---- what it says on its bus ---- */

/* HELLO. A program of another build is killed, and those of our own are started from then on. */
void life_hello(struct child *child, uint64_t schema_hash);
/* READY, of the process of that generation. */
void life_ready(struct child *child, uint64_t generation);
/* CANNOT_START; it ends next. */
void life_refuses(struct child *child, struct span reason);
/* HEARTBEAT. */
void life_heard(struct child *child);
