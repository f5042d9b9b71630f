/* Who came in the clear and is to come by TLS: where to (a redirect), and what is said to who did
 * (HSTS, RFC 6797). Pure. */
#pragma once

#include "common/base/settings.h"

#include <stdbool.h>

struct https_visit {
	struct span path, query; /* as they came; query at NULL: none */
	struct span host;        /* Host, or what a trusted proxy says; at NULL: absent */
	bool over_tls;           /* also when a trusted proxy says so */
	bool local;              /* from this machine: proxies before us, browsers and probes */
};

enum { HTTPS_LOCATION_ROOM = 8192 };

enum https_answer {
	HTTPS_STAYS,   /* answer it: over TLS, local, health, ACME, or http.redirect_port is 0 */
	HTTPS_GOES,    /* 308 (RFC 9110 15.4.9: the method stays) to `location` */
	HTTPS_NOWHERE, /* neither Host nor http.public_url says where to, or it is too long: 400 */
};
enum https_answer https_only(const struct https_visit *visit, const struct settings *settings,
                             char location[HTTPS_LOCATION_ROOM]);

enum { HTTPS_HSTS_ROOM = 96 };
/* The header line, "\r\n" with it, or "" (tls.hsts_max_age is 0). For answers over TLS only (RFC
 * 6797 7.2). */
void https_hsts(const struct settings *settings, char line[HTTPS_HSTS_ROOM]);
