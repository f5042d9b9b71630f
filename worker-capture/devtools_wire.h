/* One DevTools message, read. Pure but for memory. The browser is not trusted: its renderers run
 * whatever a page brought along, so every message is bounded and may be anything. */
#pragma once

#include "worker-capture/devtools.h"

enum devtools_kind {
	DEVTOOLS_KIND_REPLY,
	DEVTOOLS_KIND_EVENT,
	DEVTOOLS_KIND_FRAME,
	DEVTOOLS_KIND_IGNORED, /* an event that nobody asked for: not parsed */
	DEVTOOLS_KIND_BAD,     /* not what a browser sends */
};

struct devtools_message {
	enum devtools_kind kind;
	char session[DEVTOOLS_SESSION_MAX + 1]; /* "" for the browser's own */
	uint64_t id;                            /* of a reply */
	enum devtools_event event;
	json_t *json;            /* what the following borrow from; NULL for a picture */
	const json_t *body;      /* result or params; NULL: the reply is an error */
	const char *error;       /* its text, else "" */
	struct picture *picture; /* a reference; the taker sets it to NULL */
	int64_t ack;
};

/* devtools_message_finish() afterwards, whatever came out. */
void devtools_message_parse(struct span text, struct devtools_message *message);
void devtools_message_finish(struct devtools_message *message);
