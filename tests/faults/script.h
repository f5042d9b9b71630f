/* A scripted run of one process over one store, in which calls fail (tests/crash/disk.h): it opens,
 * does some of everything, copies, closes, opens again; then the fault ends, and it must go on. */
#pragma once

#include <stdbool.h>

enum script_result {
	SCRIPT_DONE,
	SCRIPT_LIED = 41, /* an answer that cannot be true */
	SCRIPT_UNHEALED,  /* the fault had ended, and the store did not go on */
	SCRIPT_UNCLEAR,   /* it did not open, and did not say why */
};

/* For ever: until the script itself ends the fault. Prints what is wrong, and how many calls of the
 * kind there were. */
int script(const char *dir, bool for_ever);
