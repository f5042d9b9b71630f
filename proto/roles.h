/* Who there is, and the boot contract between the supervisor and a worker, on one page.
 *
 * A worker is exec'd with these descriptors open and nothing else; its arguments are
 *     ringside-<role> --slot N --generation G
 * It sends HELLO on the bus, waits for SETTINGS, opens what it needs and sends READY.
 * When the bus descriptor reads end-of-file the supervisor is gone: the worker exits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a role is. */
enum role_trait {
	/* Clients connect to it: it has listening sockets, one slot's own each, and to serve is
	 * that such a one is ready. It is replaced while another serves, and leaves first. No more
	 * than one role. */
	ROLE_LISTENS = 1,
	/* It opens the store: it says what it has made durable, and hears what others have. */
	ROLE_FOLLOWS = 2,
	/* Somebody waits for each of its commits (store.busy_poll_us). */
	ROLE_HURRIES = 4,
	/* It starts no program and reads files of few places: it is closed in (setting sandbox). */
	ROLE_CONFINED = 8,
};

/* Every role of a worker, a row; what the supervisor, the counters, the links and the calls know of
 * one derives from here. The program is ringside-<name>.
 *
 *   R(bit, NAME, name, slots, count, traits, knows, answers, asks)
 *
 * `slots`: so many places in the fleet. `count`: so many of them the plan wants, by settings `s`
 * and usable `cpus`, while one that listens is being replaced or not (supervisor/plan.c). `knows`:
 * has a link to each of these roles, its own too when it is named. `answers`: calls of these roles;
 * `asks`: is answered by these (common/worker/call.h). Of two roles one names the other, the later
 * row the earlier: a new role changes no row but its own. */
#define ROLES(R)                                                                                   \
	R(2, SSE, "sse", 257, plan_listening(s->sse_workers, cpus, replacing),                     \
	  ROLE_LISTENS | ROLE_FOLLOWS | ROLE_HURRIES | ROLE_CONFINED, ROLE_SSE, ROLE_SSE, 0)       \
	R(8, BRIDGE, "bridge", 1, s->bridge_workers, ROLE_FOLLOWS | ROLE_CONFINED, ROLE_SSE,       \
	  ROLE_SSE, 0)                                                                             \
	R(4, CAPTURE, "capture", 1, s->capture_workers, ROLE_FOLLOWS, ROLE_SSE | ROLE_BRIDGE,      \
	  ROLE_SSE, 0)                                                                             \
	R(32, LINK, "link", 1, settings_follows(s), ROLE_FOLLOWS,                                  \
	  ROLE_SSE | ROLE_BRIDGE | ROLE_CAPTURE, 0, 0)

/* One bit each, so that some are a set; never used again for another. */
#define ROLE_BIT(bit, NAME, ...) ROLE_##NAME = bit,
enum {
	ROLE_SUPERVISOR = 1,
	ROLE_ADMIN = 16, /* a client of the admin socket: ringsidectl */
	ROLES(ROLE_BIT)
};
#undef ROLE_BIT

/* Sets that follow from the rows. */
#define ROLE_ANY(bit, NAME, ...) | bit
#define ROLE_IF_FOLLOWS(bit, NAME, name, slots, count, traits, ...)                                \
	| (((traits)&ROLE_FOLLOWS) != 0 ? bit : 0)
#define ROLE_IF_LISTENS(bit, NAME, name, slots, count, traits, ...)                                \
	| (((traits)&ROLE_LISTENS) != 0 ? bit : 0)
#define ROLE_ANSWERS(bit, NAME, name, slots, count, traits, knows, answers, asks)                  \
	| ((answers) != 0 ? bit : 0) | (asks)
#define ROLE_ASKS(bit, NAME, name, slots, count, traits, knows, answers, asks)                     \
	| ((asks) != 0 ? bit : 0) | (answers)
enum {
	ROLE_WORKERS = 0 ROLES(ROLE_ANY),
	ROLE_FOLLOWERS = 0 ROLES(ROLE_IF_FOLLOWS),
	ROLE_LISTENERS = 0 ROLES(ROLE_IF_LISTENS),
	ROLE_ANSWERING = 0 ROLES(ROLE_ANSWERS),
	ROLE_CALLING = 0 ROLES(ROLE_ASKS),
};
#undef ROLE_ANY
#undef ROLE_IF_FOLLOWS
#undef ROLE_IF_LISTENS
#undef ROLE_ANSWERS
#undef ROLE_ASKS

/* Rows and places in the fleet, each in the order of ROLES. */
#define ROLE_INDEX(bit, NAME, ...)               ROLE_INDEX_##NAME,
#define ROLE_PLACES(bit, NAME, name, slots, ...) char NAME[slots];
enum role_index { ROLES(ROLE_INDEX) ROLE_COUNT };
struct role_places {
	ROLES(ROLE_PLACES)
};
#undef ROLE_INDEX
#undef ROLE_PLACES
enum { ROLE_PLACES_COUNT = sizeof(struct role_places) };

struct role {
	unsigned bit;
	const char *name;
	unsigned slots, first; /* its places: first, first + 1, ... */
	unsigned traits;       /* enum role_trait */
	unsigned knows, answers, asks;
};
extern const struct role roles[ROLE_COUNT];

/* Has each of the one a link to each of the other? */
bool roles_know_each_other(const struct role *a, const struct role *b);
/* Does it answer calls of that role? */
bool role_answers(const struct role *role, const struct role *asker);

/* NULL: none of a worker. */
const struct role *role_of(unsigned bit);
/* "sse", "bridge", ...; "ringside" and "admin"; "unknown". */
const char *role_name(unsigned bit);

/* One process, this life of it: the slot-th of its role (ROLE_*), in the generation that the
 * supervisor has started it with. Its successor has another generation. */
struct party {
	unsigned role, slot;
	uint64_t generation;
};

static inline bool party_equal(const struct party *a, const struct party *b)
{
	return a->role == b->role && a->slot == b->slot && a->generation == b->generation;
}

enum {
	/* 0 is /dev/null; 1 and 2 are the supervisor's stderr or log file. */
	BOOT_FD_BUS = 3,      /* socketpair to the supervisor (proto frames) */
	BOOT_FD_COUNTERS = 4, /* memfd of shared counters (common/base/counters.h) */
	BOOT_FD_LISTEN = 5,   /* ringside-sse: its listening sockets, one or more without a gap */
	BOOT_LISTENERS_MAX = 8,
	BOOT_FD_END = BOOT_FD_LISTEN + BOOT_LISTENERS_MAX,
};

/* Exit codes that a worker or ringside itself ends with. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* cannot go on; the log says why; restarting may help */
	EXIT_USAGE = 2,  /* wrong arguments, configuration, limits or files: restarting cannot help.
	                  * A worker says why with CANNOT_START first, and ringside ends with it */
	EXIT_SUPERVISOR_GONE = 3,
};
