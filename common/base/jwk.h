/* Keys that tokens are checked with, read from what an issuer publishes: a JWK Set or one JWK (RFC
 * 7517), public keys or certificates as PEM (RFC 7468), or a secret. Pure but for memory.
 *
 * Of a JWK: kty RSA, EC (P-256), OKP (Ed25519), oct; `use` must be "sig" and `key_ops` have
 * "verify" where there are any (RFC 7517, 4.2 and 4.3), `alg` binds the key to one algorithm
 * (4.4), `kid` names it (4.5). A member twice makes it unreadable. What stands beside (x5c, x5u,
 * ...) is not looked at; a certificate lends its key and nothing else: neither its dates nor who
 * vouches for it count.
 *
 * What is in a set and cannot be used is passed over and counted (RFC 7517, 5), so that an issuer
 * may publish more than is taken here; if nothing is left, there is no set. A private key is never
 * taken: where others can read it, its signatures say nothing. */
#pragma once

#include "common/base/jws.h"

enum {
	JWK_TEXT_BYTES_MAX = 65536, /* of a JWK Set, or of PEM */
	JWK_KEYS_MAX = 64,          /* of one set */
	JWK_KID_MAX = 256,          /* bytes of a name */
	JWK_ID_BYTES = 32,
};

/* F(NAME, for people) */
#define JWK_FAULTS(F)                                                                              \
	F(NONE, "")                                                                                \
	F(TOO_LARGE, "it is larger than 64 KiB")                                                   \
	F(UNREADABLE, "it is neither a JWK Set, a JWK nor PEM")                                    \
	F(EMPTY, "no key is in it")                                                                \
	F(TOO_MANY, "it has more than 64 keys")                                                    \
	F(MALFORMED, "a key lacks a member or has a malformed one")                                \
	F(UNSUPPORTED, "a key's kty, crv or alg is none that is supported")                        \
	F(PURPOSE, "a key's use or key_ops say that it checks no signatures")                      \
	F(WEAK, "a key is too short: RSA needs 2048 bits, HS256 32 bytes")                         \
	F(HUGE, "a key is too long: RSA 8192 bits, HS256 1024 bytes at most")                      \
	F(PRIVATE, "a private key is in it; only its public part belongs here")                    \
	F(SYMMETRIC, "a secret key (oct) is in it, and it came from where others can read it")

#define JWK_FAULT_ENUM(NAME, text) JWK_##NAME,
enum jwk_fault { JWK_FAULTS(JWK_FAULT_ENUM) };
#undef JWK_FAULT_ENUM

/* Static. */
const char *jwk_fault_text(enum jwk_fault fault);

struct jwk {
	struct jws_key key; /* its secret belongs to the set */
	unsigned algs;      /* a set: what it may have signed */
	char *kid;          /* NULL: it has no name */
	/* The same for the same key under the same name for the same algorithms, now and later: by
	 * it one knows whether what a key has signed still counts. A digest. */
	uint8_t id[JWK_ID_BYTES];
};

/* Nothing in it changes. */
struct jwk_set {
	struct jwk *keys;
	size_t count;
	size_t skipped;       /* that could not be used */
	enum jwk_fault fault; /* why the first of those could not */
};

/* Who can read the text? A set that comes from a URL is public, and oct keys in it are refused. */
enum jwk_origin { JWK_FROM_US, JWK_FROM_OTHERS };

/* Copies what it needs. NULL: *fault says why. */
struct jwk_set *jwk_set_read(struct span text, enum jwk_origin origin, enum jwk_fault *fault);
/* Of one secret for HS256, without a name. NULL: JWK_WEAK, JWK_HUGE, or JWK_UNSUPPORTED: it is PEM,
 * and who took a public key for a secret would let in whoever knows the key (RFC 8725, 2.1). */
struct jwk_set *jwk_set_of_secret(struct span secret, enum jwk_fault *fault);
/* Secrets are wiped. */
void jwk_set_destroy(struct jwk_set **set);

/* Which keys may have signed what names `kid`? JWK_NAMED: those called so. JWK_NAMELESS: those that
 * have no name. JWK_ANY: all. */
enum jwk_which { JWK_NAMED, JWK_NAMELESS, JWK_ANY };
/* The next one, from *at on (0 at first), that `alg` may have been used with; NULL: no more. */
const struct jwk *jwk_set_next(const struct jwk_set *set, size_t *at, enum jws_alg alg,
                               enum jwk_which which, struct span kid);
bool jwk_set_has(const struct jwk_set *set, const uint8_t id[JWK_ID_BYTES]);
