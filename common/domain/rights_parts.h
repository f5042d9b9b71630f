/* What the files of rights share. */
#pragma once

#include "common/domain/rights.h"

#define RIGHTS_VERB_WORD(NAME, text, ...) " " text
#define RIGHTS_VERBS_ARE                  "the verbs are" VERBS(RIGHTS_VERB_WORD)

/* What may be printed of a set, as one that narrows nothing. */
struct rights *rights_flat(const struct rights *rights);
/* Of a flat one, whole; NULL: there is no further one. */
const char *rights_pattern(const struct rights *rights, enum verb verb, size_t index);
/* Writes "KIND 'WHAT' WHY", whatever bytes `what` has; false. */
bool rights_fail(char reason[RIGHTS_REASON_ROOM], const char *kind, struct span what,
                 const char *why);
