/* What a JSON Web Token allows who bears it: rights from its claims. Pure but for memory.
 *
 *     "ringside": {"read": ["arena/..."], "append": [...], ...}   patterns by verb (rights.h), or
 *     "ringside": "read=arena/... append=..."                     the same as words
 *     "mercure": {"subscribe": ["..."], "publish": ["..."]}       as Mercure's hub has it; or by
 *                                                                 its other name there,
 *                                                                 "https://mercure.rocks/"
 *
 * A token may have both: then it allows what either does. */
#pragma once

#include "common/domain/rights.h"

/* `claim`: how the first is called (auth.jwt_rights_claim), "": there is none. One reference; a
 * token without any of the claims allows nothing. NULL: one of them is malformed, with the reason,
 * and nothing of the others counts. */
struct rights *jwt_rights(const json_t *claims, const char *claim, char reason[RIGHTS_REASON_ROOM]);
