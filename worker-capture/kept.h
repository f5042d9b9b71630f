/* A program under a keeper (keeper.h): started, listened to, ended with all that descends from it.
 * Loop thread only. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

enum { KEPT_LINE_MAX = 200, KEPT_ARGUMENTS_MAX = 112 };

struct kept_options {
	const char *remove_dir; /* directory that the keeper removes afterwards, "" for none */
	uid_t uid;              /* 0: our own */
	gid_t gid;              /* with a uid */
	char *const
	        *argv;   /* an absolute path, its arguments, NULL; before it maybe one NAME=VALUE */
	int three, four; /* become its descriptors 3 and 4; stay the caller's here */
	int five;        /* the same, or -1 for none */
};

struct kept_events {
	/* All its processes are gone. `code` is the exit code, or 128 and the signal. `line` is the
	 * last thing it wrote to standard error, what may be secret in it left out. */
	void (*on_exit)(void *arg, int code, const char *line);
	void *arg;
};

struct kept;

/* NULL: it was not to be started; the reason says why. */
struct kept *kept_start(uv_loop_t *loop, const struct kept_options *options,
                        const struct kept_events *events, char reason[256]);
/* Kills it; on_exit follows. A second call does nothing. */
void kept_kill(struct kept *kept);
/* Frees it; only from within on_exit or after it. Sets it to NULL; NULL is fine. */
void kept_destroy(struct kept **kept);
pid_t kept_keeper_pid(const struct kept *kept);
