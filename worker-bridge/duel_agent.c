#include "worker-bridge/duel_agent.h"

#include <string.h>

#define ROW(kind, member, name, needed, min, max, help)                                            \
	{name, DUEL_AGENT_##kind, needed, offsetof(struct duel_agent, member),                     \
	 sizeof((struct duel_agent *)NULL)->member},
const struct duel_agent_row duel_agent_rows[DUEL_AGENT_ROWS] = {DUEL_AGENT(ROW)};
#undef ROW
_Static_assert(DUEL_AGENT_ROWS <= 32, "a bit for each in an unsigned");

const void *duel_agent_value(const struct duel_agent *agent, const struct duel_agent_row *row)
{
	return (const char *)agent + row->offset;
}

void *duel_agent_member(struct duel_agent *agent, const struct duel_agent_row *row)
{
	return (char *)agent + row->offset;
}

bool duel_agent_changes(const struct duel_agent_row *row)
{
	switch (row->kind) {
	case DUEL_AGENT_NUMBER:
	case DUEL_AGENT_COUNT:
	case DUEL_AGENT_RANK:
		return true;
	case DUEL_AGENT_ID:
	case DUEL_AGENT_TEXT:
	case DUEL_AGENT_TALLY:
		break;
	}
	return false;
}

void duel_agent_update(struct duel_agent *agent, const struct duel_agent *update, unsigned members)
{
	for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
		const struct duel_agent_row *row = &duel_agent_rows[i];
		if (members & 1u << i)
			memcpy(duel_agent_member(agent, row), duel_agent_value(update, row),
			       row->bytes);
	}
}
