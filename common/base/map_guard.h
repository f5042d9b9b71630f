/* Reading mapped files whose disk may fail, or that somebody cuts short: a page that cannot be had
 * is a SIGBUS. A page that has become zeros leads LMDB to addresses where nothing is: SIGSEGV.
 * Within a guard either ends the guarded work and nothing else.
 *
 * The work is left where it stands, so what it does must be of the kind that may be left: reading,
 * into memory that its caller owns. It takes no lock and allocates nothing that it would have to
 * free. What LMDB does with a read transaction is of that kind, and so is looking something up in a
 * write transaction; writing is not (store_checkpoint.c says what then). */
#pragma once

#include <stdbool.h>

/* Takes SIGBUS and SIGSEGV; before the first guard, and whenever somebody else may have taken it.
 * Outside of guards it does what it does by default. */
void map_guard_install(void);

/* Does the work. False: it was left because a page could not be read, or by map_guard_leave(). Any
 * thread; may nest, then the innermost is left. */
bool map_guard(void (*work)(void *arg), void *arg);

/* Leaves the innermost guard of this thread; returns when there is none. */
void map_guard_leave(void);
