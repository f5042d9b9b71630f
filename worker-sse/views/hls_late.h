/* A playlist as it stood a while ago (RFC 8216), made of the one that stands now. Pure. */
#pragma once

#include "proto/bytes.h"

#include <stdbool.h>

/* The playlist up to the last segment that is old enough, of which `most` are listed; malloc'd,
 * *len bytes. NULL: none is. Segments stand in their order, so `is_old` is asked of the newest
 * first, until it is true; it may look at the file. */
char *hls_late(struct span playlist, size_t most, bool (*is_old)(void *arg, struct span name),
               void *arg, size_t *len);
