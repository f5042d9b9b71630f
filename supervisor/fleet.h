/* All workers: brings what is there to what is wanted.
 *
 * Everything that happens (an exit, a READY, a reload, time) ends in fleet_step(), which looks at
 * each worker's present facts and does what child_decide() says, until nothing is left to do. */
#pragma once

#include "common/base/ceilings.h"
#include "supervisor/child.h"
#include "supervisor/life.h"
#include "supervisor/links.h"
#include "supervisor/outage.h"
#include "supervisor/plan.h"

enum { FLEET_CHILDREN_MAX = ROLE_PLACES_COUNT };

struct fleet {
	/* loop, settings, events, program_dir, on_message and its argument are the caller's; the
	 * newest settings count at each step. */
	struct life life;
	void (*on_change)(void *arg); /* after every step */
	void *arg;
	unsigned cpus;
	uint64_t memory_bytes; /* what the control group allows; UINT64_MAX: no limit */
	/* Sockets that listen already, for fleet_init() to take over; the rest stays open until
	 * fleet_drop_sockets(). */
	struct fleet_socket {
		int fd;
		unsigned slot; /* LISTENER_SHARED: of all */
		bool taken;    /* out */
	} * sockets;           /* those of one address in the kernel's order */
	unsigned sockets_count;
	/* What the caller must act on, after a step: */
	const struct child
	        *refused; /* it cannot start, nor can any other attempt; its refusal says why */
	bool gave_up;     /* nothing has served for worker.give_up */
	const struct child *start_failed; /* its process ended, the last one, before it was ready */
	/* private: */
	struct counters *counters;
	struct links *links;                       /* between workers */
	uint64_t look_ms;                          /* when time is to be looked at again */
	struct child children[FLEET_CHILDREN_MAX]; /* by role->first + slot, as in counters */
	struct child *replacing;                   /* whose turn it is in a restart one by one */
	bool joined;                               /* fleet_joined() */
	bool stopping, halted /* a restart one by one gave up */;
	uint64_t stop_due_ms;
	struct outage outage;
	uv_timer_t timer;
};

/* The fields above "private" are set; resolves the address and creates the counters. False: reason,
 * and errno says what was wrong. */
bool fleet_init(struct fleet *fleet, char *reason, size_t room);

/* Closes those that listen at no address of ours, and forgets all. */
void fleet_drop_sockets(struct fleet *fleet);

/* A worker that another supervisor started in this process (upgrade.h), to be replaced in its turn.
 * One that does not serve is told to end at once. False: there is no such place in this release. */
bool fleet_adopt(struct fleet *fleet, const char *role, unsigned slot, pid_t pid,
                 uint64_t generation, int bus_fd, bool confined, bool serves);
/* Is one of those still there? */
bool fleet_holds(const struct fleet *fleet);

/* As they are at the moment. */
struct ceilings fleet_ceilings(const struct fleet *fleet);

/* Looks at everything and acts. Call after changing settings or cpus. */
void fleet_step(struct fleet *fleet);

/* A child process ended; call fleet_step() after the last. False: it is none of ours. */
bool fleet_exited(struct fleet *fleet, pid_t pid, int status);
bool fleet_owns(const struct fleet *fleet, pid_t pid);

/* A worker reports of a link. */
void fleet_link_state(struct fleet *fleet, const struct child *child,
                      const struct proto_link_state *report);

/* A node that follows another has a store to be served, or none (any more). */
void fleet_joined(struct fleet *fleet, bool joined);

/* By name ("sse-0"); NULL: none such. */
struct child *fleet_find(struct fleet *fleet, const char *name);

/* Has it replaced by a fresh process, one at a time, as soon as others serve; forgives a failed
 * one. NULL: all. */
void fleet_restart(struct fleet *fleet, struct child *child);

/* Drains everything, those that listen first, until due_ms (monotonic); what is left then is
 * killed. */
void fleet_stop(struct fleet *fleet, uint64_t due_ms);
/* Kills every worker's process group now. */
void fleet_kill(struct fleet *fleet);

/* Closes sockets and handles; no worker runs any more. */
void fleet_finish(struct fleet *fleet);

struct fleet_tally {
	unsigned wanted, ready, failed, processes;
	unsigned listening_wanted, listening_ready;
	bool settled; /* nothing is starting, leaving or being replaced */
};
struct fleet_tally fleet_tally(const struct fleet *fleet);
