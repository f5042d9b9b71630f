/* JSON Web Tokens (RFC 7519) as bearers of identity, checked: compact serialization (RFC 7515, 7.1)
 * signed by one of the keys of jwk.h. Pure: the time and the keys are the caller's.
 *
 * Strict, as RFC 8725 asks: one spelling of base64url, JSON without a member twice, no `crit` and
 * no `b64` (nothing that must be understood is), the algorithm must be allowed, be the key's own
 * and fit its type, and what the header says of keys (jwk, jku, x5c, x5u) is not looked at. Nothing
 * is decrypted. `typ` is "JWT", "at+jwt" (RFC 9068) or absent. */
#pragma once

#include "common/base/jwk.h"

#include <jansson.h>

enum {
	JWT_ISSUER_MAX = 512,  /* bytes of `iss` */
	JWT_SUBJECT_MAX = 255, /* bytes of `sub` */
	JWT_TRIES_MAX = 8,     /* keys that are tried on one token */
};

/* F(NAME, for people; it holds nothing of the token) */
#define JWT_FAULTS(F)                                                                              \
	F(VALID, "")                                                                               \
	F(TOO_LARGE, "this token is too large")                                                    \
	F(MALFORMED, "this token is no well-formed JWT")                                           \
	F(TYPE, "this token's typ is neither JWT nor at+jwt")                                      \
	F(CRITICAL, "this token has critical header parameters that are not understood")           \
	F(ALG, "this token's algorithm is not accepted here")                                      \
	F(KEY_UNKNOWN, "this token's key is not known here")                                       \
	F(SIGNATURE, "this token's signature is wrong")                                            \
	F(CLAIM, "a claim of this token is malformed")                                             \
	F(ISSUER, "this token's issuer is not accepted here")                                      \
	F(AUDIENCE, "this token is for another audience")                                          \
	F(EXPIRED, "this token has expired")                                                       \
	F(EXPIRY_MISSING, "this token never expires, which is not accepted here")                  \
	F(EARLY, "this token is not valid yet")

#define JWT_FAULT_ENUM(NAME, text) JWT_##NAME,
enum jwt_fault { JWT_FAULTS(JWT_FAULT_ENUM) JWT_FAULTS_COUNT };
#undef JWT_FAULT_ENUM

/* Static. */
const char *jwt_fault_text(enum jwt_fault fault);

/* Keys, and whose they are: with `issuer` they are good for tokens of that `iss` only, NULL: for
 * all that are accepted (RFC 8725, 3.8). Borrowed. */
struct jwt_keys {
	const struct jwk_set *set;
	const char *issuer;
};

struct jwt_expectations {
	const struct jwt_keys *keys;
	size_t keys_count;
	unsigned algs; /* a set of enum jws_alg */
	/* Lists, comma-separated. `iss` must be one of the issuers; none listed: any, or none.
	 * `aud` must name one of the audiences; none listed: there must be no `aud`, for it would
	 * be somebody else (RFC 7519, 4.1.3). */
	const char *issuers, *audiences;
	uint64_t leeway_ms;   /* by which clocks may differ: exp, nbf, iat */
	bool expiry_optional; /* a token without exp is taken, for ever */
	size_t bytes_max;     /* of a token */
};

struct jwt_claims {
	json_t *all;                  /* the payload */
	const char *issuer, *subject; /* within it; "": there is none */
	/* When it ends, Unix ms, the leeway counted; UINT64_MAX: never. */
	uint64_t expires_ms;
	uint8_t key_id[JWK_ID_BYTES]; /* of the key that signed it (struct jwk) */
};

/* Could this be meant as a JWT: three parts, the first one of JSON? What is none is somebody's
 * opaque token. */
bool jwt_is_meant(struct span token);

/* Is the token good at `now_ms` (Unix)? Then JWT_VALID, and the claims are the caller's, who calls
 * jwt_claims_finish(); else why not, and there are none. The signature is judged before the claims;
 * only `iss` says before it whose keys count. JWT_KEY_UNKNOWN: newer keys may help. */
enum jwt_fault jwt_verify(const struct jwt_expectations *expected, struct span token,
                          uint64_t now_ms, struct jwt_claims *claims);
/* All zero is fine. */
void jwt_claims_finish(struct jwt_claims *claims);
