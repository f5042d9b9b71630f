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
		if (!(members & 1u << i))
			continue;
		memcpy(duel_agent_member(agent, row), duel_agent_value(update, row), row->bytes);
		agent->said |= duel_agent_said(row);
	}
}

uint32_t duel_agent_said(const struct duel_agent_row *row)
{
	static const struct {
		size_t offset;
		uint32_t bit;
	} counted[] = {
	        {offsetof(struct duel_agent, wins), DUEL_SAID_WINS},
	        {offsetof(struct duel_agent, losses), DUEL_SAID_LOSSES},
	        {offsetof(struct duel_agent, rank), DUEL_SAID_RANK},
	        {offsetof(struct duel_agent, rival_wins), DUEL_SAID_RIVAL_WINS},
	        {offsetof(struct duel_agent, rival_losses), DUEL_SAID_RIVAL_LOSSES},
	};
	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
		if (counted[i].offset == row->offset)
			return counted[i].bit;
	return 0;
}

void duel_agent_fill(struct duel_agent *a, const struct duel_count *count)
{
	if (!count->known)
		return;
	if (!(a->said & DUEL_SAID_WINS))
		a->wins = (int64_t)count->wins;
	if (!(a->said & DUEL_SAID_LOSSES))
		a->losses = (int64_t)count->losses;
	if (!(a->said & DUEL_SAID_RANK))
		a->rank = count->rank != 0 ? (int64_t)count->rank : DUEL_NO_RANK;
	if (!(a->said & DUEL_SAID_RIVAL_WINS))
		a->rival_wins = (int64_t)count->rival_wins;
	if (!(a->said & DUEL_SAID_RIVAL_LOSSES))
		a->rival_losses = (int64_t)count->rival_losses;
}
