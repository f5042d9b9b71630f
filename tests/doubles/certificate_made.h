/* Certificates that tests make for themselves: real ones, of this minute. */
#pragma once

#include <stdint.h>

struct certificate_made {
	char *chain, *key; /* PEM; freed by certificate_made_finish() */
};

enum certificate_kind { CERTIFICATE_EC, CERTIFICATE_RSA, CERTIFICATE_RSA_SHORT };

/* Signed by itself, for these names ("DNS:a.example,DNS:*.b.example"; NULL: none), good from
 * begins_s to ends_s, seconds from now. */
struct certificate_made certificate_make(enum certificate_kind kind, const char *names,
                                         int64_t begins_s, int64_t ends_s);
void certificate_made_finish(struct certificate_made *made);
