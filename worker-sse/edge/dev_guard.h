/* Under dev everybody may do everything, so what is to be kept out are the web pages in the
 * developer's browser: those of other origins, and those that reach this port under a name of their
 * own (DNS rebinding). Pure. */
#pragma once

#include "proto/bytes.h"

struct dev_visit {
	struct span host, origin; /* the headers; at NULL: absent */
	bool browser;             /* it could be one: they always say what they are (User-Agent) */
	bool preflight;           /* OPTIONS: does nothing, and says who may in its own headers */
	bool listed;              /* http.allowed_origin names the origin; "*" names none */
	struct span base_url;     /* of this server, as this client knows it */
	const char *public_url;   /* http.public_url */
};

/* 0: let it in. 421: the Host is none of this machine's own names. 403: a page of a foreign origin.
 */
unsigned dev_guard(const struct dev_visit *visit, const char **reason);
