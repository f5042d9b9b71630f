/* Signatures of JSON Web Signature (RFC 7515), checked: the five algorithms that are taken here, of
 * RFC 7518 section 3, RFC 8037 and RFC 9864. Nothing is signed. `none` is no algorithm, and each
 * algorithm belongs to one type of key, so that a public key is never taken for an HMAC's secret
 * (RFC 8725 section 2.1). OpenSSL; does not block. */
#pragma once

#include "proto/bytes.h"

#include <openssl/types.h>

/* A(NAME, "name", type of key) */
#define JWS_ALGS(A)                                                                                \
	A(HS256, "HS256", OCT) /* HMAC with SHA-256: RFC 7518, 3.2 */                              \
	A(RS256, "RS256", RSA) /* RSASSA-PKCS1-v1_5 with SHA-256: 3.3 */                           \
	A(PS256, "PS256", RSA) /* RSASSA-PSS with SHA-256, a salt of 32 bytes: 3.5 */              \
	A(ES256, "ES256", EC)  /* ECDSA on P-256 with SHA-256, R and S of 32 bytes: 3.4 */         \
	A(EDDSA, "EdDSA", OKP) /* Ed25519: RFC 8037, 3.1; by its new name too, "Ed25519" */

#define JWS_ENUM(NAME, ...) JWS_##NAME,
enum jws_alg { JWS_ALGS(JWS_ENUM) JWS_ALGS_COUNT };
#undef JWS_ENUM

enum jws_type { JWS_OCT, JWS_RSA, JWS_EC, JWS_OKP };

enum {
	JWS_SECRET_BYTES_MIN = 32, /* of HS256: as long as the hash, RFC 7518, 3.2 */
	JWS_SECRET_BYTES_MAX = 1024,
	JWS_RSA_BITS_MIN = 2048, /* RFC 7518, 3.3 and 3.5 */
	JWS_RSA_BITS_MAX = 8192, /* a check of longer ones takes too long */
	JWS_ALG_NAME_MAX = 16,
};

/* Sets of algorithms are bits: */
static inline unsigned jws_bit(enum jws_alg alg)
{
	return 1u << alg;
}

/* Case counts (RFC 7515, 4.1.1). False: it is none that is taken here. */
bool jws_alg_find(struct span name, enum jws_alg *alg);
/* Those that a key of this type is good for, as a set. */
unsigned jws_algs_of(enum jws_type type);
/* A list as in auth.jwt_algorithms: names, comma-separated. False: one of them is none, or it is
 * empty. */
bool jws_algs_parse(const char *list, unsigned *algs);

/* What a signature is checked with: `secret` for JWS_OCT, `public` else. */
struct jws_key {
	enum jws_type type;
	EVP_PKEY *public;
	struct span secret;
};

/* Did the holder of the key sign `text`? False too where the key is of another type than the
 * algorithm's, and where the signature has not the length that it must have. Of a secret, time
 * tells nothing. */
bool jws_verify(const struct jws_key *key, enum jws_alg alg, struct span text,
                struct span signature);
