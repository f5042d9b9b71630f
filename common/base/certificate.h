/* Certificates and their keys as TLS shows them: read from PEM, judged, and matched with the names
 * that clients ask for (OpenSSL, RFC 5280, RFC 6125). Any thread. */
#pragma once

#include "proto/bytes.h"

#include <openssl/x509.h>
#include <stdbool.h>

enum { CERTIFICATE_REASON_ROOM = 256, CERTIFICATE_CHAIN_MAX = 16 };

/* One certificate, the chain behind it and its private key. */
struct certificate {
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf, as it stood in the file */
	EVP_PKEY *key;
};

/* `chain`: PEM, the certificate of the server first, those of its issuers behind it; `key`: PEM,
 * its private key, not encrypted. False: `reason` says in words why they do not fit: what is no
 * PEM, a key of another certificate, one that has expired at `now_ms` (Unix), one whose key is too
 * weak (RSA below 2048 bits). What was read is freed by certificate_finish(). */
bool certificate_read(struct certificate *certificate, struct span chain, struct span key,
                      uint64_t now_ms, char reason[CERTIFICATE_REASON_ROOM]);
/* Zero-initialised is fine, and so is once more. */
void certificate_finish(struct certificate *certificate);

/* Is it for this host (SNI)? By its subject alternative names; wildcards as in RFC 6125 6.4.3. */
bool certificate_is_for(const struct certificate *certificate, struct span host);
/* When it ends, Unix seconds. */
int64_t certificate_expires_s(const struct certificate *certificate);
/* For logs: its first name, or its subject. */
void certificate_name(const struct certificate *certificate, char *out, size_t room);
