/* Gives two workers a socket pair and steps aside: what they say does not pass the supervisor. */
#pragma once

#include "supervisor/fleet.h"

/* The worker has said HELLO: introduces it to all others that have and that it should know. A later
 * introduction replaces the former on both sides. */
void introduce(struct fleet *fleet, struct child *newcomer);
