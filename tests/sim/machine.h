/* The machine that a supervisor has in a world (world.h): processes that start, speak, hang, die
 * and finish as chance has it, the buses to them, the sockets that they listen on.
 *
 * It stands in place of what supervisor/fleet.h and life.h ask for: spawn_start(), kill(), the
 * peers, the listeners. The supervisor is process 1 of the world. What the supervisor must never do
 * to a process ends the run (world_broken()). */
#pragma once

#include "supervisor/fleet.h"

enum { MACHINE_SUPERVISOR = 1 };

struct machine_counts {
	uint64_t starts, deaths, hangs, losses, refused_sends;
};

void machine_begin(struct fleet *fleet, struct machine_counts *counts);

/* While it is rough, processes die, hang, start late, lose links and their buses; `poisoned`: none
 * becomes ready. */
void machine_rough(bool rough);
void machine_poison(bool poisoned);

/* People have given them another chance: what was started before does not count. */
void machine_forgive(void);
/* Nothing may be started from now on. */
void machine_no_more_starts(void);
/* The supervisor does not run for so long. */
void machine_pause(uint64_t ms);

/* Processes that live. */
unsigned machine_living(void);
/* Is the slot's socket open, and are connections steered to it? */
bool machine_listens(unsigned slot);
/* Does somebody who was steered to serve? */
bool machine_serves(void);
/* Two workers that should know each other and do not, or NULL: a text. */
const char *machine_unlinked(void);
