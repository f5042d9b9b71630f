/* Origins of web pages (RFC 6454 6.2): "scheme://host[:port]", and lists of them. Pure.
 *
 * What is compared is canonical, as browsers say it: lower case, without the port that http and
 * https have anyway. "null" is what any page may make itself (a sandboxed frame, a file, a form
 * whose page sends no referrer): it is nobody's own, and one that is listed is no friend to be
 * trusted with credentials. */
#pragma once

#include "proto/bytes.h"

enum { ORIGIN_ROOM = 280, ORIGINS_MAX = 64 };

/* Nothing behind the port, no user in it. False: no origin, "null" neither; `out` is "". */
bool origin_read(struct span text, char out[ORIGIN_ROOM]);
/* That of an URL, whatever follows it. */
bool origin_of_url(struct span url, char out[ORIGIN_ROOM]);
/* Both are origins, and the same. */
bool origin_same(struct span a, struct span b);

struct origins {
	bool any; /* the list was "*" */
	size_t count;
	char (*texts)[ORIGIN_ROOM]; /* canonical; "null" may be one */
};

/* A list, comma-separated, or "*" alone. NULL: it is one; else what is wrong. */
const char *origins_fault(const char *list);
/* Of a list without faults. */
void origins_init(struct origins *origins, const char *list);
void origins_finish(struct origins *origins);
/* Its number in the list, from 1. 0: it is not there, or `origin` is absent. */
size_t origins_find(const struct origins *origins, struct span origin);
