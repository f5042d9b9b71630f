/* A state machine that can be seen: what may happen in which state, and where it leads.
 *
 *     static const uint8_t steps[DOOR_STATES][DOOR_EVENTS] = {
 *             [DOOR_OPEN] = {[DOOR_PUSHED] = MACHINE_TO(DOOR_SHUT)},
 *             [DOOR_SHUT] = {[DOOR_PULLED] = MACHINE_TO(DOOR_OPEN)},
 *     };
 *     door->state = machine_step(&door_machine, door->state, DOOR_PUSHED);
 *
 * What the table does not have cannot happen. One function of the owner's calls machine_step(), no
 * other line writes the state. The owner's test compares the table with the page that shows it
 * (tests/machine_page.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_TO(state) ((state) + 1)

struct machine {
	const char *name;
	const char *const *states, *const *events; /* their names */
	unsigned states_count, events_count;
	const uint8_t
	        *steps; /* states_count rows of events_count: MACHINE_TO(), 0: cannot happen */
};

bool machine_allows(const struct machine *machine, unsigned state, unsigned event);
/* The state that follows, maybe the same. Aborts where the table has none, after a log line that
 * names machine, state and event. */
unsigned machine_step(const struct machine *machine, unsigned state, unsigned event);
