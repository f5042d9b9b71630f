/* The life of a page and its browser: what may happen in which state. Pure. The table is shown in
 * docs/capture.md. */
#pragma once

#include "common/base/machine.h"

enum page_state {
	PAGE_STARTING,   /* its browser was started and has not answered */
	PAGE_EMPTY,      /* the browser runs, without a page of ours */
	PAGE_CREATING,   /* one is asked for */
	PAGE_SETTING_UP, /* it is there, and does not run before it is fenced in */
	PAGE_GOING_HOME, /* told to go to its url: what it reaches next is what its url became */
	PAGE_SHOWN,      /* it has arrived, and may have gone on from there */
	PAGE_ENDED,      /* the browser has ended by itself */
	PAGE_CLOSING,    /* not wanted any more; the browser is being ended */
	PAGE_FINISHED,   /* no browser is left; its handles are closing */
	PAGE_STATES,
};

enum page_life_event {
	PAGE_LIFE_ANSWERED, /* the browser's first word */
	PAGE_LIFE_CREATE,   /* a page is asked for, in place of the one there may be */
	PAGE_LIFE_REFUSED,  /* none is to be had */
	PAGE_LIFE_ATTACHED, /* it is there */
	PAGE_LIFE_NAVIGATE, /* it is told to go to its url */
	PAGE_LIFE_ARRIVED,  /* it shows another document */
	PAGE_LIFE_LOST,     /* it closed itself */
	PAGE_LIFE_EXITED,   /* the browser's processes are gone */
	PAGE_LIFE_CLOSE,    /* page_close() */
	PAGE_LIFE_EVENTS,
};

extern const struct machine page_life;

/* Does its browser run and answer? */
bool page_life_has_browser(enum page_state state);
/* Is there a page of ours in it, that can be told something? */
bool page_life_has_page(enum page_state state);
/* Does nobody want to hear of it any more? */
bool page_life_is_ending(enum page_state state);
