/* A small process between the worker and each browser, so that no process of a browser survives,
 * whatever happens to whom.
 *
 *     ringside-capture --keep GIVEN UID GID PROFILE_DIR [NAME=VALUE] PROGRAM [ARGUMENT...]
 *
 * It is the same executable. The browser gets the uid and gid (root only; 0 0 keeps the keeper's
 * own), a process group of its own, an environment of PATH, HOME, LANG and that NAME, and SIGKILL
 * when the keeper dies. When the browser ends, or descriptor 0 reads end-of-file because the worker
 * closed it or died, the keeper kills the group and everything that descends from it, waits until
 * all are gone, removes the profile directory (unless it is "") and exits like the browser did: its
 * exit code, or 128 and the signal's number.
 *
 * Descriptors: 0 its leash, 2 where the browser writes, 3 and 4 the DevTools pipe (to ffmpeg:
 * pictures and progress), 5 where ffmpeg reads its secret from; the last three it hands on. GIVEN
 * is how many of them there are: 5 or 6. Whatever else has come along is closed first: libraries
 * open descriptors that outlive an exec. */
#pragma once

/* Is this the command line of a keeper? Then it never returns. */
void keeper_main(int argc, char **argv);

/* Removes a directory and what is in it, following no link; "" and what is not there are fine. */
void keeper_remove(const char *path);

enum {
	KEEPER_EXEC_FAILED = 126, /* the program was not to be executed, or the uid not to be had */
};
