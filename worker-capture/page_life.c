#include "worker-capture/page_life.h"

static const char *const states[PAGE_STATES] = {
        [PAGE_STARTING] = "starting",     [PAGE_EMPTY] = "empty",
        [PAGE_CREATING] = "creating",     [PAGE_SETTING_UP] = "setting up",
        [PAGE_GOING_HOME] = "going home", [PAGE_SHOWN] = "shown",
        [PAGE_ENDED] = "ended",           [PAGE_CLOSING] = "closing",
        [PAGE_FINISHED] = "finished"};

static const char *const events[PAGE_LIFE_EVENTS] = {[PAGE_LIFE_ANSWERED] = "the browser answers",
                                                     [PAGE_LIFE_CREATE] = "create",
                                                     [PAGE_LIFE_REFUSED] = "refused",
                                                     [PAGE_LIFE_ATTACHED] = "attached",
                                                     [PAGE_LIFE_NAVIGATE] = "navigate",
                                                     [PAGE_LIFE_ARRIVED] = "arrives",
                                                     [PAGE_LIFE_LOST] = "closes itself",
                                                     [PAGE_LIFE_EXITED] = "the browser exits",
                                                     [PAGE_LIFE_CLOSE] = "close"};

#define ENDS                                                                                       \
	[PAGE_LIFE_EXITED] = MACHINE_TO(PAGE_ENDED), [PAGE_LIFE_CLOSE] = MACHINE_TO(PAGE_CLOSING)
#define IS_THERE                                                                                   \
	[PAGE_LIFE_CREATE] = MACHINE_TO(PAGE_CREATING),                                            \
	[PAGE_LIFE_NAVIGATE] = MACHINE_TO(PAGE_GOING_HOME),                                        \
	[PAGE_LIFE_LOST] = MACHINE_TO(PAGE_EMPTY), ENDS

static const uint8_t steps[PAGE_STATES][PAGE_LIFE_EVENTS] = {
        [PAGE_STARTING] = {[PAGE_LIFE_ANSWERED] = MACHINE_TO(PAGE_EMPTY), ENDS},
        [PAGE_EMPTY] = {[PAGE_LIFE_CREATE] = MACHINE_TO(PAGE_CREATING), ENDS},
        /* Once more, when the first is not answered in time. */
        [PAGE_CREATING] = {[PAGE_LIFE_CREATE] = MACHINE_TO(PAGE_CREATING),
                           [PAGE_LIFE_REFUSED] = MACHINE_TO(PAGE_EMPTY),
                           [PAGE_LIFE_ATTACHED] = MACHINE_TO(PAGE_SETTING_UP),
                           [PAGE_LIFE_LOST] = MACHINE_TO(PAGE_EMPTY),
                           ENDS},
        [PAGE_SETTING_UP] = {[PAGE_LIFE_ARRIVED] = MACHINE_TO(PAGE_SETTING_UP), IS_THERE},
        [PAGE_GOING_HOME] = {[PAGE_LIFE_ARRIVED] = MACHINE_TO(PAGE_SHOWN), IS_THERE},
        [PAGE_SHOWN] = {[PAGE_LIFE_ARRIVED] = MACHINE_TO(PAGE_SHOWN), IS_THERE},
        [PAGE_ENDED] = {[PAGE_LIFE_CLOSE] = MACHINE_TO(PAGE_FINISHED)},
        [PAGE_CLOSING] = {[PAGE_LIFE_EXITED] = MACHINE_TO(PAGE_FINISHED)},
};
#undef ENDS
#undef IS_THERE

const struct machine page_life = {"a page", states, events, PAGE_STATES, PAGE_LIFE_EVENTS, *steps};

bool page_life_has_browser(enum page_state state)
{
	return state == PAGE_EMPTY || state == PAGE_CREATING || page_life_has_page(state);
}

bool page_life_has_page(enum page_state state)
{
	return state == PAGE_SETTING_UP || state == PAGE_GOING_HOME || state == PAGE_SHOWN;
}

bool page_life_is_ending(enum page_state state)
{
	return state == PAGE_CLOSING || state == PAGE_FINISHED;
}
