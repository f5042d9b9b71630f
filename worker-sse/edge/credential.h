/* What Authorization says. Pure. */
#pragma once

#include "proto/bytes.h"

enum credential_kind {
	CREDENTIAL_NONE,   /* no header, or an empty one */
	CREDENTIAL_BEARER, /* RFC 6750 2.1: the scheme in any case, one token, nothing else */
	CREDENTIAL_BROKEN, /* Bearer, and then what is no token */
	CREDENTIAL_OTHER,  /* another scheme: not ours, but a session's owner may be known by it */
};

enum { CREDENTIAL_DIGEST_ROOM = 65 };

/* `authorization`: the header's value, at NULL when absent. *token: with CREDENTIAL_BEARER. */
enum credential_kind credential_read(struct span authorization, struct span *token);

/* Hexadecimal SHA-256. */
void credential_digest(struct span text, char out[CREDENTIAL_DIGEST_ROOM]);

/* Whom credentials of another scheme name: scheme and all, normalised, as a digest. "": such as
 * could be spelled in more than one way. */
void credential_owner(struct span authorization, char out[CREDENTIAL_DIGEST_ROOM]);
