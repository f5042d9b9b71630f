#include "worker-capture/render_life.h"

static const char *const states[RENDER_STATES] = {
        [RENDER_ORDERED] = "ordered",       [RENDER_OPEN] = "open",
        [RENDER_CANCELLED] = "cancelled",   [RENDER_ENDING] = "ending",
        [RENDER_CLOSING] = "closing",       [RENDER_OVER] = "over",
        [RENDER_FORGETTING] = "forgetting", [RENDER_GONE] = "gone"};

static const char *const events[RENDER_LIFE_EVENTS] = {[RENDER_LIFE_END] = "end",
                                                       [RENDER_LIFE_LAST] = "last write",
                                                       [RENDER_LIFE_WRITTEN] = "written",
                                                       [RENDER_LIFE_UNWRITTEN] = "not written",
                                                       [RENDER_LIFE_LOST] = "lost",
                                                       [RENDER_LIFE_FORGET] = "forget",
                                                       [RENDER_LIFE_KEPT] = "not forgotten",
                                                       [RENDER_LIFE_FORGOTTEN] = "forgotten"};

/* One write is under way at a time: what is written while it is ending may be one from before. */
static const uint8_t steps[RENDER_STATES][RENDER_LIFE_EVENTS] = {
        [RENDER_ORDERED] = {[RENDER_LIFE_END] = MACHINE_TO(RENDER_CANCELLED),
                            [RENDER_LIFE_WRITTEN] = MACHINE_TO(RENDER_OPEN),
                            [RENDER_LIFE_LOST] = MACHINE_TO(RENDER_GONE)},
        [RENDER_OPEN] = {[RENDER_LIFE_END] = MACHINE_TO(RENDER_ENDING),
                         [RENDER_LIFE_WRITTEN] = MACHINE_TO(RENDER_OPEN),
                         [RENDER_LIFE_UNWRITTEN] = MACHINE_TO(RENDER_OPEN),
                         [RENDER_LIFE_LOST] = MACHINE_TO(RENDER_GONE)},
        [RENDER_CANCELLED] = {[RENDER_LIFE_WRITTEN] = MACHINE_TO(RENDER_ENDING),
                              [RENDER_LIFE_LOST] = MACHINE_TO(RENDER_GONE)},
        [RENDER_ENDING] = {[RENDER_LIFE_LAST] = MACHINE_TO(RENDER_CLOSING),
                           [RENDER_LIFE_WRITTEN] = MACHINE_TO(RENDER_ENDING),
                           [RENDER_LIFE_UNWRITTEN] = MACHINE_TO(RENDER_ENDING),
                           [RENDER_LIFE_LOST] = MACHINE_TO(RENDER_GONE)},
        [RENDER_CLOSING] = {[RENDER_LIFE_WRITTEN] = MACHINE_TO(RENDER_OVER),
                            [RENDER_LIFE_UNWRITTEN] = MACHINE_TO(RENDER_ENDING),
                            [RENDER_LIFE_LOST] = MACHINE_TO(RENDER_GONE)},
        [RENDER_OVER] = {[RENDER_LIFE_FORGET] = MACHINE_TO(RENDER_FORGETTING)},
        [RENDER_FORGETTING] = {[RENDER_LIFE_KEPT] = MACHINE_TO(RENDER_OVER),
                               [RENDER_LIFE_FORGOTTEN] = MACHINE_TO(RENDER_GONE)},
};

const struct machine render_life = {"a render session", states, events, RENDER_STATES,
                                    RENDER_LIFE_EVENTS, *steps};

enum render_state render_life_found(bool ended)
{
	return ended ? RENDER_OVER : RENDER_OPEN;
}

bool render_life_is_known(enum render_state state)
{
	return state == RENDER_OPEN || state == RENDER_ENDING || state == RENDER_CLOSING ||
	       state == RENDER_OVER;
}

bool render_life_is_new(enum render_state state)
{
	return state == RENDER_ORDERED || state == RENDER_CANCELLED;
}

bool render_life_lives(enum render_state state)
{
	return state == RENDER_ORDERED || state == RENDER_OPEN;
}

bool render_life_writes(enum render_state state)
{
	return state == RENDER_OPEN || state == RENDER_ENDING || render_life_is_new(state);
}
