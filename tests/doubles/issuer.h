/* An issuer of tokens for unit tests: keys made by OpenSSL, JWKs of them, and tokens signed with
 * them, by code that shares nothing with what checks them but base64url_text(). */
#pragma once

#include "common/base/jws.h"

struct issuer {
	enum jws_type type;
	EVP_PKEY *key;      /* with its private part */
	uint8_t secret[64]; /* of JWS_OCT */
};

/* `bits`: of RSA. */
void issuer_init(struct issuer *issuer, enum jws_type type, unsigned bits);
void issuer_finish(struct issuer *issuer);
/* The public key (of JWS_OCT the secret) as a JWK; `more`: further members, as "\"kid\":\"a\",", or
 * "". To be freed. */
char *issuer_jwk(const struct issuer *issuer, const char *more);
/* As PEM: a "PUBLIC KEY". To be freed. */
char *issuer_pem(const struct issuer *issuer);
/* A token of a header and a payload as they stand, signed as `alg` says. To be freed. */
char *issuer_token(const struct issuer *issuer, enum jws_alg alg, const char *header,
                   const char *payload);
