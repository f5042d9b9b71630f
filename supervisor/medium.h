/* What the file system of data_dir means for "acknowledged is durable": an answer leaves after
 * fdatasync(), and these take that call without keeping anything, or leave it to others. statfs(2)
 * names the types. */
#pragma once

#include <stdbool.h>

struct medium {
	const char *name;    /* "tmpfs" */
	const char *warning; /* one sentence */
};

/* By f_type of statfs(2). False: nothing is to be said against it. Pure. */
bool medium_is_doubtful(long type, struct medium *medium);

/* Of the file system that `path` lies on. False, too, when it cannot be asked. */
bool medium_of_path_is_doubtful(const char *path, struct medium *medium);
