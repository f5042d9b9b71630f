/* Many patterns of glob.h, asked at once: which of them matches this path? One pass over the path,
 * in which beginnings that patterns have in common are looked at once, and literal segments found
 * by their hash: what a hundred patterns cost is about what one does. Pure but for memory. */
#pragma once

#include "proto/bytes.h"

enum { GLOB_SET_SEGMENTS_MAX = 4096 /* of all its patterns together */ };

struct glob_set;

/* The patterns are borrowed until it is destroyed, and their segments no more than that. */
struct glob_set *glob_set_create(const struct span *patterns, size_t count);
/* NULL is fine. */
void glob_set_destroy(struct glob_set **set);

/* The index of one that matches; SIZE_MAX: none does. */
size_t glob_set_find(const struct glob_set *set, struct span path);

size_t glob_segments(struct span pattern);
