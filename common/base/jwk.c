#include "common/base/jwk.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/jwk_parts.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>

enum {
	P256_BYTES = 32,
	ED25519_BYTES = 32,
	RSA_EXPONENT_BYTES_MAX = 8,
	MEMBER_BYTES_MAX = JWS_RSA_BITS_MAX / 8 + 1, /* decoded */
};

#define FAULT_ROW(NAME, text) [JWK_##NAME] = text,
static const char *const fault_texts[] = {JWK_FAULTS(FAULT_ROW)};
#undef FAULT_ROW

const char *jwk_fault_text(enum jwk_fault fault)
{
	return fault_texts[fault];
}

/* ---- a set while it is made ---- */

void jwk_set_skip(struct jwk_set *set, enum jwk_fault fault)
{
	if (set->skipped++ == 0)
		set->fault = fault;
}

static void hash_span(EVP_MD_CTX *context, struct span bytes)
{
	uint64_t len = bytes.len;
	check(EVP_DigestUpdate(context, &len, sizeof len) == 1);
	check(bytes.len == 0 || EVP_DigestUpdate(context, bytes.at, bytes.len) == 1);
}

static void make_id(struct jwk *jwk)
{
	uint8_t *der = NULL;
	struct span bytes = jwk->key.secret;
	if (jwk->key.type != JWS_OCT) {
		int len = i2d_PUBKEY(jwk->key.public, &der);
		check(len > 0);
		bytes = span_of(der, (size_t)len);
	}
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	check(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
	hash_span(context, SPAN("ringside jwk"));
	hash_span(context, bytes);
	hash_span(context, span_str(jwk->kid));
	hash_span(context, span_of(&jwk->algs, sizeof jwk->algs));
	check(EVP_DigestFinal_ex(context, jwk->id, NULL) == 1);
	EVP_MD_CTX_free(context);
	OPENSSL_free(der);
}

static void add(struct jwk_set *set, const struct jws_key *key, unsigned algs, struct span kid)
{
	struct jwk *jwk = &set->keys[set->count++];
	*jwk = (struct jwk){.key = *key,
	                    .algs = algs,
	                    .kid = kid.at != NULL ? xmemdup_text(kid.at, kid.len) : NULL};
	make_id(jwk);
}

static bool type_of(EVP_PKEY *public, enum jws_type *type)
{
	char group[32] = "";
	switch (EVP_PKEY_get_base_id(public)) {
	case EVP_PKEY_RSA:
		*type = JWS_RSA;
		return true;
	case EVP_PKEY_EC:
		*type = JWS_EC;
		return EVP_PKEY_get_group_name(public, group, sizeof group, NULL) == 1 &&
		       strcmp(group, "prime256v1") == 0;
	case EVP_PKEY_ED25519:
		*type = JWS_OKP;
		return true;
	}
	return false;
}

static enum jwk_fault judge(EVP_PKEY *public, unsigned *algs, enum jws_type *type)
{
	if (!type_of(public, type) || (*algs &= jws_algs_of(*type)) == 0)
		return JWK_UNSUPPORTED;
	int bits = EVP_PKEY_get_bits(public);
	if (*type == JWS_RSA && bits < JWS_RSA_BITS_MIN)
		return JWK_WEAK;
	if (*type == JWS_RSA && bits > JWS_RSA_BITS_MAX)
		return JWK_HUGE;
	if (*type ==
	    JWS_RSA) /* is n composite? A question of seconds, and nothing follows from it */
		return JWK_NONE;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(public, NULL);
	bool ok = context != NULL && EVP_PKEY_public_check_quick(context) == 1;
	EVP_PKEY_CTX_free(context);
	return ok ? JWK_NONE : JWK_MALFORMED;
}

enum jwk_fault jwk_set_add_public(struct jwk_set *set, EVP_PKEY *public, unsigned algs,
                                  struct span kid)
{
	struct jws_key key = {.public = public};
	enum jwk_fault fault =
	        set->count == JWK_KEYS_MAX ? JWK_TOO_MANY : judge(public, &algs, &key.type);
	if (fault == JWK_NONE)
		add(set, &key, algs, kid);
	else
		EVP_PKEY_free(public);
	return fault;
}

static enum jwk_fault add_secret(struct jwk_set *set, struct span secret, unsigned algs,
                                 struct span kid)
{
	algs &= jws_algs_of(JWS_OCT);
	if (algs == 0)
		return JWK_UNSUPPORTED;
	if (secret.len < JWS_SECRET_BYTES_MIN)
		return JWK_WEAK;
	if (secret.len > JWS_SECRET_BYTES_MAX)
		return JWK_HUGE;
	if (set->count == JWK_KEYS_MAX)
		return JWK_TOO_MANY;
	const struct jws_key key = {
	        .type = JWS_OCT,
	        .secret = {(uint8_t *)xmemdup_text(secret.at, secret.len), secret.len}};
	add(set, &key, algs, kid);
	return JWK_NONE;
}

/* ---- one JWK ---- */

/* A text member; at NULL: there is none, or it is no text. */
static struct span text_of(const json_t *jwk, const char *name)
{
	const json_t *value = json_object_get(jwk, name);
	return span_of(json_string_value(value), json_string_length(value));
}

/* Base64urlUInt or octets (RFC 7518, 2) into `out`; -1: missing, malformed or longer than that. */
static int64_t bytes_of(const json_t *jwk, const char *name, uint8_t *out, size_t room)
{
	uint8_t bytes[MEMBER_BYTES_MAX / 3 * 4 + 8];
	struct span text = text_of(jwk, name);
	if (text.at == NULL || text.len > sizeof bytes - 4)
		return -1;
	int64_t len = base64url_decode(text, bytes);
	if (len >= 0 && (size_t)len <= room)
		memcpy(out, bytes, (size_t)len);
	OPENSSL_cleanse(bytes, sizeof bytes);
	return len >= 0 && (size_t)len <= room ? len : -1;
}

static EVP_PKEY *key_of(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	check(params != NULL && context != NULL);
	if (EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(params);
	return key;
}

/* RFC 7518, 6.3.1. */
static EVP_PKEY *read_rsa(const json_t *jwk, enum jwk_fault *fault)
{
	uint8_t n[MEMBER_BYTES_MAX], e[RSA_EXPONENT_BYTES_MAX];
	int64_t n_len = bytes_of(jwk, "n", n, sizeof n), e_len = bytes_of(jwk, "e", e, sizeof e);
	*fault = n_len < 0 && text_of(jwk, "n").len > sizeof n ? JWK_HUGE : JWK_MALFORMED;
	if (n_len <= 0 || e_len <= 0 || (e[e_len - 1] & 1) == 0 || (n[n_len - 1] & 1) == 0)
		return NULL;
	BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL),
	       *exponent = BN_bin2bn(e, (int)e_len, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	check(modulus != NULL && exponent != NULL && build != NULL);
	check(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1);
	check(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
	EVP_PKEY *key = BN_is_one(exponent) ? NULL : key_of("RSA", build);
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

/* RFC 7518, 6.2.1: both coordinates as long as the curve has it; whether they lie on it, OpenSSL
 * says. */
static EVP_PKEY *read_ec(const json_t *jwk, enum jwk_fault *fault)
{
	uint8_t point[1 + 2 * P256_BYTES] = {4}; /* SEC 1, 2.3.3: uncompressed */
	*fault = span_equal(text_of(jwk, "crv"), SPAN("P-256")) ? JWK_MALFORMED : JWK_UNSUPPORTED;
	if (*fault == JWK_UNSUPPORTED || bytes_of(jwk, "x", point + 1, P256_BYTES) != P256_BYTES ||
	    bytes_of(jwk, "y", point + 1 + P256_BYTES, P256_BYTES) != P256_BYTES)
		return NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	check(build != NULL);
	check(OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) ==
	      1);
	check(OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
	                                       sizeof point) == 1);
	EVP_PKEY *key = key_of("EC", build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

/* RFC 8037, 2. */
static EVP_PKEY *read_okp(const json_t *jwk, enum jwk_fault *fault)
{
	uint8_t x[ED25519_BYTES];
	*fault = span_equal(text_of(jwk, "crv"), SPAN("Ed25519")) ? JWK_MALFORMED : JWK_UNSUPPORTED;
	if (*fault == JWK_UNSUPPORTED || bytes_of(jwk, "x", x, sizeof x) != sizeof x)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
}

/* RFC 7518, 6.4. */
static enum jwk_fault read_oct(struct jwk_set *set, const json_t *jwk, enum jwk_origin origin,
                               unsigned algs, struct span kid)
{
	uint8_t k[MEMBER_BYTES_MAX];
	if (origin == JWK_FROM_OTHERS)
		return JWK_SYMMETRIC;
	if (text_of(jwk, "k").at == NULL)
		return JWK_MALFORMED;
	int64_t len = bytes_of(jwk, "k", k, sizeof k);
	enum jwk_fault fault =
	        len < 0 ? JWK_MALFORMED : add_secret(set, span_of(k, (size_t)len), algs, kid);
	OPENSSL_cleanse(k, sizeof k);
	return fault;
}

/* RFC 7517, 4.2 and 4.3. */
static bool checks_signatures(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops"),
	             *op;
	size_t i;
	if (use != NULL && !span_equal(text_of(jwk, "use"), SPAN("sig")))
		return false;
	json_array_foreach (ops, i, op) {
		if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
			return true;
	}
	return ops == NULL;
}

/* What `alg` allows; 0: it is none that is taken here. Without one, whatever the type does. */
static unsigned algs_of(const json_t *jwk)
{
	enum jws_alg alg;
	if (json_object_get(jwk, "alg") == NULL)
		return ~0u;
	return jws_alg_find(text_of(jwk, "alg"), &alg) ? jws_bit(alg) : 0;
}

static enum jwk_fault read_key(struct jwk_set *set, const json_t *jwk, enum jwk_origin origin)
{
	struct span kid = text_of(jwk, "kid"), kty = text_of(jwk, "kty");
	unsigned algs = algs_of(jwk);
	enum jwk_fault fault = JWK_UNSUPPORTED;
	EVP_PKEY *public = NULL;
	if (kty.at == NULL || (kid.at == NULL && json_object_get(jwk, "kid") != NULL) ||
	    kid.len > JWK_KID_MAX)
		return JWK_MALFORMED;
	if (!checks_signatures(jwk))
		return JWK_PURPOSE;
	if (algs == 0)
		return JWK_UNSUPPORTED;
	if (span_equal(kty, SPAN("oct")))
		return read_oct(set, jwk, origin, algs, kid);
	if (json_object_get(jwk, "d") != NULL)
		return JWK_PRIVATE;
	if (span_equal(kty, SPAN("RSA")))
	public = read_rsa(jwk, &fault);
	else if (span_equal(kty, SPAN("EC"))) public = read_ec(jwk, &fault);
	else if (span_equal(kty, SPAN("OKP"))) public = read_okp(jwk, &fault);
	return public != NULL ? jwk_set_add_public(set, public, algs, kid) : fault;
}

/* ---- whole sets ---- */

static enum jwk_fault read_json(struct jwk_set *set, struct span text, enum jwk_origin origin)
{
	size_t i;
	const json_t *jwk;
	enum jwk_fault fault = JWK_NONE;
	json_t *all = json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *keys = json_object_get(all, "keys");
	if (json_is_array(keys) && json_array_size(keys) > JWK_KEYS_MAX) {
		fault = JWK_TOO_MANY;
	} else if (json_is_array(keys)) {
		json_array_foreach (keys, i, jwk) {
			enum jwk_fault one = read_key(set, jwk, origin);
			if (one != JWK_NONE)
				jwk_set_skip(set, one);
		}
	} else if (json_is_object(all) && keys == NULL && json_object_get(all, "kty") != NULL) {
		fault = read_key(set, all, origin);
	} else {
		fault = JWK_UNREADABLE;
	}
	json_decref(all);
	return fault;
}

static struct jwk_set *set_create(void)
{
	struct jwk_set *set = xcalloc(1, sizeof *set);
	set->keys = xcalloc(JWK_KEYS_MAX, sizeof *set->keys);
	return set;
}

/* The set, unless there is nothing in it. */
static struct jwk_set *finish(struct jwk_set *set, enum jwk_fault *fault)
{
	ERR_clear_error();
	if (*fault == JWK_NONE && set->count == 0)
		*fault = set->skipped != 0 ? set->fault : JWK_EMPTY;
	if (*fault != JWK_NONE)
		jwk_set_destroy(&set);
	return set;
}

struct jwk_set *jwk_set_read(struct span text, enum jwk_origin origin, enum jwk_fault *fault)
{
	*fault = text.len > JWK_TEXT_BYTES_MAX ? JWK_TOO_LARGE
	         : text.len == 0               ? JWK_EMPTY
	                                       : JWK_NONE;
	if (*fault != JWK_NONE)
		return NULL;
	struct jwk_set *set = set_create();
	if (jwk_is_pem(text) && text.at[0] != '{')
		jwk_set_add_pem(set, text);
	else
		*fault = read_json(set, text, origin);
	return finish(set, fault);
}

struct jwk_set *jwk_set_of_secret(struct span secret, enum jwk_fault *fault)
{
	struct jwk_set *set = set_create();
	*fault = secret.len > 0 && jwk_is_pem(secret)
	                 ? JWK_UNSUPPORTED
	                 : add_secret(set, secret, ~0u, (struct span){0});
	return finish(set, fault);
}

void jwk_set_destroy(struct jwk_set **set)
{
	if (*set == NULL)
		return;
	for (size_t i = 0; i < (*set)->count; i++) {
		struct jwk *jwk = &(*set)->keys[i];
		EVP_PKEY_free(jwk->key.public);
		if (jwk->key.secret.at != NULL)
			OPENSSL_cleanse((void *)jwk->key.secret.at, jwk->key.secret.len);
		free((void *)jwk->key.secret.at);
		free(jwk->kid);
	}
	free((*set)->keys);
	free(*set);
	*set = NULL;
}

const struct jwk *jwk_set_next(const struct jwk_set *set, size_t *at, enum jws_alg alg,
                               enum jwk_which which, struct span kid)
{
	while (*at < set->count) {
		const struct jwk *jwk = &set->keys[(*at)++];
		bool meant = which == JWK_ANY ||
		             (which == JWK_NAMELESS
		                      ? jwk->kid == NULL
		                      : jwk->kid != NULL && span_equal(span_str(jwk->kid), kid));
		if (meant && (jwk->algs & jws_bit(alg)) != 0)
			return jwk;
	}
	return NULL;
}

bool jwk_set_has(const struct jwk_set *set, const uint8_t id[JWK_ID_BYTES])
{
	for (size_t i = 0; i < set->count; i++)
		if (memcmp(set->keys[i].id, id, JWK_ID_BYTES) == 0)
			return true;
	return false;
}
