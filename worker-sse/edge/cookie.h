/* Our cookie (RFC 6265bis): __Host-ringside, which no neighbour's page or proxy in the clear can
 * set, and which goes to this host alone. Browsers keep such a one over TLS only, so under dev in
 * the clear it is "ringside". Pure. */
#pragma once

#include "proto/bytes.h"

#define COOKIE_HOST "__Host-ringside"
#define COOKIE_BARE "ringside"

enum { COOKIE_BYTES_MAX = 4000 }; /* of a value: browsers take 4096 of name, value and all */

/* The value of the first cookie of this name in the Cookie header, without quotes around it; at
 * NULL: there is none. */
struct span cookie_find(struct span header, struct span name);

/* Set-Cookie, to be freed. `secure`: by which of the names. */
char *cookie_text(struct span value, bool secure, uint64_t seconds);
/* The one that makes a browser forget it. */
const char *cookie_gone(bool secure);
