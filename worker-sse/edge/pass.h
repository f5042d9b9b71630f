/* Passes: what a browser holds in place of a token. A cookie is one, and a ticket in a query. Pure:
 * the time and the secret are the caller's.
 *
 * The text is sealed: nobody can make one without the key, change one, use a cookie as a ticket, or
 * read what is in it. The token is never in it. A token that settings name is in it by its digest,
 * and looked up again at each use, so that it is revoked with it; a JWT by what it says (its
 * subject, its rights) and by the key that signed it, so that it goes with that.
 *
 *     rsc_BASE64URL or rst_BASE64URL of: version, seal, sealed
 *
 * The seal is HMAC-SHA-256 of the plain bytes, and its first half the counter from which AES-256 in
 * CTR mode hides them: as in SIV (RFC 5297) no nonce can be used twice. Each kind of pass has two
 * keys of its own, by HKDF (RFC 5869) from one secret. */
#pragma once

#include "proto/bytes.h"

enum {
	PASS_SECRET_BYTES = 32,
	PASS_DIGEST_BYTES = 32,
	PASS_SUBJECT_MAX = 1024,
	PASS_RIGHTS_MAX = 4096, /* of a text of rights; a cookie has 4096 bytes in all */
	PASS_TEXT_MAX = 8192,
};

enum pass_kind { PASS_COOKIE, PASS_TICKET };

struct pass {
	enum pass_kind kind;
	bool jwt;                          /* else a token that settings name */
	uint64_t expires_ms;               /* Unix */
	uint8_t digest[PASS_DIGEST_BYTES]; /* SHA-256 of the token that it was made for */
	struct span rights; /* a ticket's own, as text (rights.h); a cookie has none of its own */
	/* Of a JWT: */
	uint64_t key;               /* which one signed it (identity.h: generation) */
	struct span subject, maker; /* maker: the JWT's rights, as text */
};

struct pass_keys {
	struct pass_key {
		uint8_t seal[32], hide[32];
	} kinds[2]; /* by enum pass_kind */
};

/* From a secret of PASS_SECRET_BYTES. */
void pass_keys_make(const uint8_t secret[PASS_SECRET_BYTES], struct pass_keys *keys);

/* The text, to be freed; NULL: a part of it is longer than it may be. */
char *pass_seal(const struct pass_keys *keys, const struct pass *pass);

enum pass_result { PASS_GOOD, PASS_BAD, PASS_EXPIRED };

/* Spans of `pass` point into *bytes, which is to be freed; NULL unless PASS_GOOD. */
enum pass_result pass_open(const struct pass_keys *keys, enum pass_kind kind, struct span text,
                           uint64_t now_ms, struct pass *pass, uint8_t **bytes);
