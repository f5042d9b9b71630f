/* The life of a render session, from its order to its last trace: what may happen in which state.
 * Pure. The table is shown in docs/sessions.md. */
#pragma once

#include "common/base/machine.h"

enum render_state {
	RENDER_ORDERED,    /* wanted; nothing of it is durable yet */
	RENDER_OPEN,       /* durable, and lives */
	RENDER_CANCELLED,  /* to end, before anything of it was durable */
	RENDER_ENDING,     /* to end; the end is to be written */
	RENDER_CLOSING,    /* the end is being written */
	RENDER_OVER,       /* the end is durable; it is remembered (410) */
	RENDER_FORGETTING, /* stream and document are being dropped */
	RENDER_GONE,       /* freed before the function that came to it returns */
	RENDER_STATES,
};

enum render_life_event {
	RENDER_LIFE_END,       /* it is to end: its client, its time, its browser */
	RENDER_LIFE_LAST,      /* the end is put into the write that leaves now */
	RENDER_LIFE_WRITTEN,   /* a write of it is durable */
	RENDER_LIFE_UNWRITTEN, /* it is not, and will be tried again */
	RENDER_LIFE_LOST,      /* no browser for the order, no first write, or another's row */
	RENDER_LIFE_FORGET,    /* it was remembered long enough */
	RENDER_LIFE_KEPT,      /* it could not be forgotten now */
	RENDER_LIFE_FORGOTTEN,
	RENDER_LIFE_EVENTS,
};

extern const struct machine render_life;

/* That of one whose document was found in the store. */
enum render_state render_life_found(bool ended);
/* Is something of it durable, so that clients find it? */
bool render_life_is_known(enum render_state state);
/* Is nothing of it durable yet? */
bool render_life_is_new(enum render_state state);
/* Is it not to end: may the page, its clients and viewers change it? */
bool render_life_lives(enum render_state state);
/* May it have something to write? */
bool render_life_writes(enum render_state state);
