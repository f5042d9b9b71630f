/* Another build takes the place of this one without an end (`ringsidectl upgrade`): the supervisor
 * becomes it by exec, so that it stays the same process (PID 1 of a container, the main process of
 * a unit), its listening sockets stay open, and its workers go on until each is replaced by one of
 * the new build, as in a restart one by one.
 *
 *     asked -> the new program says whether it could (check-upgrade)
 *           -> nothing is under way: a record of what stays open (handover.h), exec
 *           -> the new supervisor takes it over, and replaces the workers
 *           -> all are ready: done. One ends before it was ready, or the start is refused: back, by
 *              another exec, to the program that ran before, which the record keeps open
 */
#pragma once

#include "supervisor/handover.h"

struct supervisor;

enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_LEAVING, /* about to exec */
	UPGRADE_RISING,  /* taken over; the workers are being replaced */
	UPGRADE_DONE,
	UPGRADE_BACK, /* another build has tried, and given back to this one */
};

struct upgrade {
	enum upgrade_state state;
	char program[HANDOVER_PATH_MAX]; /* ours: its path, */
	int program_fd;                  /* and itself, wherever that leads now */
	/* LEAVING: which program; else from and to which version, and why back. */
	char next[HANDOVER_PATH_MAX], from[64], to[64], reason[HANDOVER_REASON_MAX + 1];
	/* What was taken over: until it is done, for going back. NULL: nothing was. */
	struct handover *former;
	struct fleet_socket *listen_fds; /* a service manager's; NULL: there are none */
	bool holding;                    /* signals, for the next program */
	bool took_workers;               /* the fleet has them; before, all is as it was left */
	uv_timer_t timer;
	uint64_t due_ms;
};

/* At the start of a supervisor: takes what a former one has left, if one has. */
void upgrade_begin(struct supervisor *s);
/* The sockets to begin with: of the former one, or those of a service manager. */
void upgrade_take_sockets(struct supervisor *s);
/* After another build has given back the configuration may say otherwise: fills `settings` with
 * what was in effect before. False: nobody has given back. */
bool upgrade_settings(const struct supervisor *s, struct settings *settings);
/* A token that was made for the former one's run (dev_tokens.h) is one of this run. */
void upgrade_keep_token(struct supervisor *s);
/* The sockets that are at no address of ours are closed, and the list is forgotten. */
void upgrade_drop_sockets(struct supervisor *s);
/* Its workers and its events; the fleet is there. */
void upgrade_take_workers(struct supervisor *s);
/* Is that process one of its workers? */
bool upgrade_took(const struct supervisor *s, pid_t pid);

/* Has the program at that path say whether it could take over now, within five seconds, which
 * blocks. True: `version` is its own; else `reason`. */
bool upgrade_check(const struct supervisor *s, const char *program, char version[64],
                   char reason[HANDOVER_REASON_MAX + 1]);
/* Becomes it, as soon as nothing is under way; five seconds later that is given up, and said. */
void upgrade_leave(struct supervisor *s, const char *program);

/* After each step of the fleet: is it done, or to be given back? */
void upgrade_look(struct supervisor *s);
/* Is that decided, and under way? */
bool upgrade_goes_back(const struct supervisor *s);
/* Gives back at once. Returns when there is nobody to give back to, or it cannot be done. */
void upgrade_give_back(struct supervisor *s, const char *reason);

/* "none", "leaving", "rising", "done", "back". */
const char *upgrade_state_name(enum upgrade_state state);
