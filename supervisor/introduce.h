/* Gives two workers a socket pair, a link, and steps aside: what they say does not pass the
 * supervisor.
 *
 * A link that could not be made, or that a worker reports as lost while both live, is missing:
 * counted, said in /readyz and by ringsidectl status, and made again until both say that it has
 * come. */
#pragma once

#include "supervisor/fleet.h"

/* The links of a fleet: its member, for its life. */
struct links *links_create(void);
void links_destroy(struct links **links);

/* The worker has said HELLO: introduces it to all others that have and that it should know. A later
 * introduction replaces the former on both sides. */
void introduce(struct fleet *fleet, struct child *newcomer);

/* The worker's process has ended, and its links with it. */
void introduce_forget(struct fleet *fleet, const struct child *gone);

/* Makes what is missing and due. Returns when to look again (monotonic); UINT64_MAX: nothing is
 * missing. */
uint64_t introduce_again(struct fleet *fleet, uint64_t now_ms);
