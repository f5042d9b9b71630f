#include "worker-capture/session_life.h"

static const char *const states[SESSION_STATES] = {
        [SESSION_STARTING] = "starting",     [SESSION_LIVE] = "live",
        [SESSION_RECOVERING] = "recovering", [SESSION_FAILED] = "failed",
        [SESSION_CLOSING] = "closing",       [SESSION_RELEASED] = "released"};

static const char *const events[SESSION_LIFE_EVENTS] = {[SESSION_LIFE_RUNS] = "runs",
                                                        [SESSION_LIFE_STEPS] = "a step",
                                                        [SESSION_LIFE_STARTS] = "starts",
                                                        [SESSION_LIFE_STARTS_AGAIN] =
                                                                "starts again",
                                                        [SESSION_LIFE_GIVES_UP] = "gives up",
                                                        [SESSION_LIFE_CLOSE] = "close",
                                                        [SESSION_LIFE_EMPTY] = "no browser left"};

/* One that gave up is judged again only after session_restart(). */
static const uint8_t steps[SESSION_STATES][SESSION_LIFE_EVENTS] = {
        [SESSION_STARTING] = {[SESSION_LIFE_RUNS] = MACHINE_TO(SESSION_LIVE),
                              [SESSION_LIFE_STEPS] = MACHINE_TO(SESSION_RECOVERING),
                              [SESSION_LIFE_STARTS] = MACHINE_TO(SESSION_STARTING),
                              [SESSION_LIFE_GIVES_UP] = MACHINE_TO(SESSION_FAILED),
                              [SESSION_LIFE_CLOSE] = MACHINE_TO(SESSION_CLOSING)},
        [SESSION_LIVE] = {[SESSION_LIFE_RUNS] = MACHINE_TO(SESSION_LIVE),
                          [SESSION_LIFE_STEPS] = MACHINE_TO(SESSION_RECOVERING),
                          [SESSION_LIFE_STARTS_AGAIN] = MACHINE_TO(SESSION_RECOVERING),
                          [SESSION_LIFE_GIVES_UP] = MACHINE_TO(SESSION_FAILED),
                          [SESSION_LIFE_CLOSE] = MACHINE_TO(SESSION_CLOSING)},
        [SESSION_RECOVERING] = {[SESSION_LIFE_RUNS] = MACHINE_TO(SESSION_LIVE),
                                [SESSION_LIFE_STEPS] = MACHINE_TO(SESSION_RECOVERING),
                                [SESSION_LIFE_STARTS] = MACHINE_TO(SESSION_STARTING),
                                [SESSION_LIFE_STARTS_AGAIN] = MACHINE_TO(SESSION_RECOVERING),
                                [SESSION_LIFE_GIVES_UP] = MACHINE_TO(SESSION_FAILED),
                                [SESSION_LIFE_CLOSE] = MACHINE_TO(SESSION_CLOSING)},
        [SESSION_FAILED] = {[SESSION_LIFE_STARTS] = MACHINE_TO(SESSION_STARTING),
                            [SESSION_LIFE_STARTS_AGAIN] = MACHINE_TO(SESSION_RECOVERING),
                            [SESSION_LIFE_CLOSE] = MACHINE_TO(SESSION_CLOSING)},
        [SESSION_CLOSING] = {[SESSION_LIFE_EMPTY] = MACHINE_TO(SESSION_RELEASED)},
};

const struct machine session_life = {"a session",         states, events, SESSION_STATES,
                                     SESSION_LIFE_EVENTS, *steps};

const char *session_state_name(enum session_state state)
{
	/* To everybody else it is closing until it is no more. */
	return states[state == SESSION_RELEASED ? SESSION_CLOSING : state];
}

enum session_life_event session_life_judged(const struct ladder *ladder, enum health_reason reason,
                                            bool been_live)
{
	if (ladder->step == LADDER_GIVE_UP)
		return SESSION_LIFE_GIVES_UP;
	if (ladder->step != LADDER_NONE || ladder->browser_due_ms != 0)
		return SESSION_LIFE_STEPS;
	if (reason == HEALTH_STARTING)
		return been_live ? SESSION_LIFE_STARTS_AGAIN : SESSION_LIFE_STARTS;
	return SESSION_LIFE_RUNS;
}

bool session_life_is_kept(enum session_state state)
{
	return state == SESSION_STARTING || state == SESSION_LIVE || state == SESSION_RECOVERING;
}

bool session_life_is_ending(enum session_state state)
{
	return state == SESSION_CLOSING || state == SESSION_RELEASED;
}
