/* Arguments that whoever runs the suite may add to its browsers' command line
 * (capture.browser_arguments): of a list, because others would take the walls down that stand
 * around a page (its sandbox, where it may go, the pipe it is driven by), or what a picture is
 * measured by. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	BROWSER_ARGUMENTS_MAX = 12,
	BROWSER_ARGUMENT_ROOM = 64, /* of one, with its NUL */
};

struct browser_arguments {
	char at[BROWSER_ARGUMENTS_MAX][BROWSER_ARGUMENT_ROOM];
	size_t count;
};

/* Blanks part them; each at most once. False: one is not on the list, its value is none that it
 * takes, or there are too many; the reason names it. */
bool browser_arguments_read(struct browser_arguments *arguments, const char *text,
                            char reason[160]);
