/* Whose a row is: it bears the digest of whoever made it. Pure. */
#pragma once

#include "proto/bytes.h"

enum { OWNER_DIGEST_LEN = 64 }; /* hexadecimal SHA-256 */

/* Is `owner` this principal, or one of the digests that owned what is his now (`former`, one behind
 * the other: tokens that have a name by now)? Nobody, "", is nobody. Time tells nothing of digests.
 */
bool owner_is(struct span owner, struct span principal, struct span former);
