#include "worker-link/link_step.h"

#include <stddef.h>

static const struct row {
	enum link_state in;
	enum link_event on;
	enum link_state next;
	enum link_action action;
} rows[] = {
        {LINK_NONE, LINK_ON_EMPTY, LINK_ASKING, LINK_DO_ASK},
        {LINK_NONE, LINK_ON_COPY, LINK_OPENING, LINK_DO_OPEN},
        /* Without a store: nothing is served. */
        {LINK_ASKING, LINK_ON_FITS, LINK_FETCHING, LINK_DO_FETCH},
        {LINK_ASKING, LINK_ON_LOST, LINK_ASKING, LINK_DO_ASK_LATER},
        {LINK_FETCHING, LINK_ON_CAME, LINK_OPENING, LINK_DO_OPEN},
        {LINK_FETCHING, LINK_ON_LOST, LINK_ASKING, LINK_DO_ASK_LATER},
        {LINK_OPENING, LINK_ON_BUSY, LINK_OPENING, LINK_DO_OPEN_LATER},
        {LINK_OPENING, LINK_ON_EMPTY, LINK_ASKING, LINK_DO_ASK},
        {LINK_OPENING, LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW},
        /* With one. */
        {LINK_JOINING, LINK_ON_CONNECTED, LINK_CATCHING, LINK_DO_NOTHING},
        {LINK_JOINING, LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
        {LINK_JOINING, LINK_ON_PARTED, LINK_RENEWING, LINK_DO_ASK},
        {LINK_CATCHING, LINK_ON_AT_END, LINK_LIVE, LINK_DO_NOTHING},
        {LINK_CATCHING, LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
        {LINK_CATCHING, LINK_ON_PARTED, LINK_RENEWING, LINK_DO_ASK},
        {LINK_LIVE, LINK_ON_BEHIND, LINK_CATCHING, LINK_DO_NOTHING},
        {LINK_LIVE, LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
        {LINK_LIVE, LINK_ON_PARTED, LINK_RENEWING, LINK_DO_ASK},
        {LINK_ISOLATED, LINK_ON_CONNECTED, LINK_CATCHING, LINK_DO_NOTHING},
        {LINK_ISOLATED, LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
        {LINK_ISOLATED, LINK_ON_PARTED, LINK_RENEWING, LINK_DO_ASK},
        /* With one that leads nowhere, until another is there. */
        {LINK_RENEWING, LINK_ON_FITS, LINK_REFETCHING, LINK_DO_FETCH},
        {LINK_RENEWING, LINK_ON_LOST, LINK_RENEWING, LINK_DO_ASK_LATER},
        {LINK_REFETCHING, LINK_ON_CAME, LINK_OPENING, LINK_DO_RESTART},
        {LINK_REFETCHING, LINK_ON_LOST, LINK_RENEWING, LINK_DO_ASK_LATER},
};

enum link_action link_step(enum link_state *state, enum link_event event)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].in == *state && rows[i].on == event) {
			*state = rows[i].next;
			return rows[i].action;
		}
	return LINK_DO_NOTHING;
}

#define NAME_ROW(NAME, text) text,
const char *link_state_name(enum link_state state)
{
	return link_state_text(state);
}

const char *link_event_name(enum link_event event)
{
	static const char *const names[] = {LINK_EVENTS(NAME_ROW)};
	return names[event];
}
#undef NAME_ROW

bool link_state_serves(enum link_state state)
{
	return state >= LINK_JOINING;
}

bool link_state_ready(enum link_state state, bool was_live)
{
	return state == LINK_LIVE || (was_live && state == LINK_ISOLATED);
}
