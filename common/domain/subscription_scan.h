/* Finding the streams that a subscription's pattern matches, in slices: with many streams that is
 * too long for one turn of a loop. */
#pragma once

#include "common/domain/subscription.h"
#include "common/store/state_walk.h"

/* The owner's, zero-initialised. */
struct subscription_scan {
	struct state *view;
	struct state_walk walk;
	json_t *doc; /* whose links are passed over; a reference */
	/* {path: where it begins, an offset or "-1"}: at most one more than it may have. What was
	 * created since the beginning is not among them, whoever follows the log hears of it. */
	json_t *found;
	size_t max;
	bool at_tail;
	bool unreadable; /* there are more, which could not be read */
	char pattern[SUBSCRIPTION_NAME_ROOM];
};

/* `at_tail`: each begins at its tail as it is when it is found, else before its first message.
 * `max`: links that a subscription may have. */
void subscription_scan_begin(struct subscription_scan *scan, json_t *doc, struct state *view,
                             bool at_tail, size_t max);
/* One slice. True: there is more to do. */
bool subscription_scan_step(struct subscription_scan *scan);
/* Before the state is finished; frees `found`. One that never began may be ended too. */
void subscription_scan_end(struct subscription_scan *scan);

/* Links what was found, as {path: where it begins}, and is still there. True: the document has
 * changed. *full: not all had room, though what is gone made way. */
bool subscription_link_found(json_t *doc, struct state *view, const json_t *found, size_t max,
                             bool *full);
