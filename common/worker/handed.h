/* A large body as a descriptor: its bytes lie in a sealed memory file, which the sender writes once
 * and the receiver maps, so that they cross no socket. Blocks for a copy of the body, no longer. */
#pragma once

#include "proto/bytes.h"

/* A descriptor of a file with these bytes, close-on-exec; -1 with errno. */
int handed_make(struct span body);

enum handed_result {
	HANDED_OPEN,
	HANDED_NO_ROOM, /* this process can map no more now */
	HANDED_FALSE,   /* not such a file, not of this length, or one that may still change */
};

/* *body lives until handed_close(). The descriptor stays the caller's, and may be closed. */
enum handed_result handed_open(int fd, size_t len, struct span *body);
void handed_close(struct span *body);
