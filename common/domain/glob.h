/* Patterns over paths, segment by segment: "*" stands for any characters of one segment, and alone
 * for a whole one that is not empty; "**" as a segment of its own for any number of segments, also
 * none, so that it matches what stands before it too. Both sides are canonical
 * (common/store/stream_name.h) and begin without a slash. Patterns come from clients: no more than
 * pattern times path. Pure. */
#pragma once

#include "proto/bytes.h"

bool glob_matches(struct span pattern, struct span path);

/* The same of one segment, in which "**" is no more than "*". */
bool glob_segment_matches(struct span pattern, struct span segment);

/* Does `pattern` match whatever `other`, a pattern too, can match? Sure when true; false may be
 * said of one that does. */
bool glob_covers(struct span pattern, struct span other);
