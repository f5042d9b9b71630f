/* Gives two workers a socket pair, a link, and steps aside: what they say does not pass the
 * supervisor.
 *
 * A link that could not be made, or that a worker reports as lost while both live, is missing:
 * counted, said in /readyz and by ringsidectl status, and made again until both say that it has
 * come. */
#pragma once

#include "supervisor/child.h"
#include "supervisor/events.h"

struct links;

/* Between those of `children`, which stand in their places (role->first + slot); what is missing is
 * shown in `counters`. All three live longer. */
struct links *links_create(struct child *children, struct counters *counters,
                           struct events *events);
void links_destroy(struct links **links);

/* The worker has said HELLO: introduces it to all others that have and that it should know. A later
 * introduction replaces the former on both sides. */
void links_introduce(struct links *links, struct child *newcomer);

/* The worker's process has ended, and its links with it. */
void links_forget(struct links *links, const struct child *gone);

/* What a worker reports of one. True: links_repair() may be due sooner. */
bool links_report(struct links *links, const struct child *child,
                  const struct proto_link_state *report);

/* Makes what is missing and due. Returns when to look again (monotonic); UINT64_MAX: nothing is
 * missing. */
uint64_t links_repair(struct links *links, uint64_t now_ms);
