#include "common/base/machine.h"
#include "common/base/check.h"
#include "common/base/log.h"

static unsigned cell(const struct machine *machine, unsigned state, unsigned event)
{
	check(state < machine->states_count && event < machine->events_count);
	return machine->steps[state * machine->events_count + event];
}

bool machine_allows(const struct machine *machine, unsigned state, unsigned event)
{
	return cell(machine, state, event) != 0;
}

unsigned machine_step(const struct machine *machine, unsigned state, unsigned event)
{
	unsigned to = cell(machine, state, event);
	if (to == 0)
		log_error("this cannot happen", "machine=%s state=\"%s\" event=\"%s\"",
		          machine->name, machine->states[state], machine->events[event]);
	check(to != 0);
	return to - 1;
}
