/* What TLS connections begin with: certificates by name, protocols, session tickets, client
 * certificates (OpenSSL; RFC 8446, RFC 5246, RFC 6066 3, RFC 7301). 1.2 and 1.3, forward secret
 * ciphers with authentication only, no renegotiation, no compression.
 *
 * A change makes all of it anew: who is connected keeps what his connection began with. Loop
 * thread only. */
#pragma once

#include "common/base/certificate.h"

#include <openssl/ssl.h>

enum {
	TLS_PAIRS_MAX = 256,
	TLS_TICKET_KEY_BYTES = 80, /* name 16, AES-256 32, HMAC-SHA-256 32 */
	TLS_TICKET_KEYS_MAX = 4,
};

/* Does a client show a certificate of its own? */
enum tls_clients { TLS_CLIENTS_NONE, TLS_CLIENTS_MAY, TLS_CLIENTS_MUST };

struct tls_material {
	/* PEM texts, each with a NUL behind it: chain, key, chain, key, ... The first pair is for
	 * whoever names no host, or one that is nobody's. */
	struct span pairs;
	/* PEM: who signs the certificates of clients; empty: nobody. */
	struct span client_ca;
	enum tls_clients clients;
	/* TLS_TICKET_KEY_BYTES each: the first seals, all open. All workers have the same, so that
	 * a session is resumed at any. Empty: no tickets. */
	struct span ticket_keys;
	bool h2; /* offered by ALPN, before http/1.1 */
};

/* A context to open wires with; the caller's: SSL_CTX_free(). NULL: `reason` says which pair does
 * not fit and why, and nothing has changed. `expires_s`: when the first of its certificates ends.
 */
SSL_CTX *tls_context(const struct tls_material *material, uint64_t now_ms, int64_t *expires_s,
                     char reason[CERTIFICATE_REASON_ROOM]);
