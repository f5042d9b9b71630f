/* What a supervisor leaves to the one that takes its place in the same process, by exec: the
 * descriptors that must stay open, and what they are. A record in a memory file, whose number is in
 * the environment as RINGSIDE_HANDOVER.
 *
 * Members are only ever added: HANDOVER_FORMAT changes when an older supervisor could not take over
 * from what is written. */
#pragma once

#include "supervisor/events.h"
#include "supervisor/fleet.h"

enum { HANDOVER_FORMAT = 1, HANDOVER_REASON_MAX = 480, HANDOVER_PATH_MAX = 4096 };

struct handover_worker {
	char role[16];
	unsigned slot;
	uint64_t generation;
	pid_t pid;
	int bus_fd;
	bool confined;
	bool serves; /* it was ready; else it starts or ends, and is to end */
};

struct handover {
	int format; /* in which it is written: going back, what the former one can read */
	/* The newer one could not go on, and gives back: to be told of by `reason`. */
	bool back;
	char reason[HANDOVER_REASON_MAX + 1];
	char version[64]; /* of who leaves it */
	/* Of who leaves it: its program's path, the program itself, and those of its workers by the
	 * order of ROLES (-1: none). With `back`: of who takes over. */
	char program[HANDOVER_PATH_MAX];
	int program_fd, programs[ROLE_COUNT];
	int run_lock_fd, data_lock_fd /* -1: one directory */, admin_fd;
	uint64_t generation; /* of the last process started */
	/* What was in effect for who leaves it, as settings_text() has it; owned. With `back`: for
	 * who takes over, whatever its configuration says by now. */
	char *settings;
	struct fleet_socket *sockets;
	unsigned sockets_count;
	struct handover_worker workers[FLEET_CHILDREN_MAX];
	unsigned workers_count;
	json_t *events;  /* the kept lines */
	json_t *started; /* of the hub (programs.h): each pid, name, subject */
};

/* All descriptors -1, all else empty. Freed by handover_free(), which closes nothing. */
struct handover *handover_create(void);
/* NULL is fine. */
void handover_free(struct handover **handover);

void handover_add_socket(struct handover *handover, int fd, unsigned slot);

/* Writes it and names it in the environment; its descriptors outlive an exec from then on. False,
 * with errno: nothing of that is so. */
bool handover_leave(struct handover *handover);
/* The exec has failed: takes all of that back. */
void handover_keep(struct handover *handover);

/* Does the environment name one? */
bool handover_waits(void);

/* What the environment names; it names it no more, and its descriptors do not outlive another exec.
 * NULL: nothing (*reason empty), or nothing that can be understood. */
struct handover *handover_take(char reason[HANDOVER_REASON_MAX + 1]);

/* The sockets that a service manager has opened for us (LISTEN_FDS, LISTEN_PID: sd_listen_fds(3)),
 * each to be shared by all slots. Returns how many; *sockets is to be freed. The environment names
 * them no more. */
unsigned handover_listen_fds(struct fleet_socket **sockets);
