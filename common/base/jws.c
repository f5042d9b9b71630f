#include "common/base/jws.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

enum { P256_BYTES = 32, ED25519_BYTES = 64, PSS_SALT_BYTES = 32 };

#define ALG_ROW(NAME, name, type) [JWS_##NAME] = {name, JWS_##type},
static const struct {
	const char *name;
	enum jws_type type;
} algs_known[JWS_ALGS_COUNT] = {JWS_ALGS(ALG_ROW)};
#undef ALG_ROW

bool jws_alg_find(struct span name, enum jws_alg *alg)
{
	if (span_equal(name, SPAN("Ed25519"))) { /* RFC 9864, 2.2 */
		*alg = JWS_EDDSA;
		return true;
	}
	for (unsigned i = 0; i < JWS_ALGS_COUNT; i++)
		if (span_equal(name, span_str(algs_known[i].name))) {
			*alg = (enum jws_alg)i;
			return true;
		}
	return false;
}

unsigned jws_algs_of(enum jws_type type)
{
	unsigned algs = 0;
	for (unsigned i = 0; i < JWS_ALGS_COUNT; i++)
		algs |= (unsigned)(algs_known[i].type == type) << i;
	return algs;
}

bool jws_algs_parse(const char *list, unsigned *algs)
{
	enum jws_alg alg;
	*algs = 0;
	for (;; list++) {
		size_t len = strcspn(list, ",");
		if (!jws_alg_find(span_of(list, len), &alg))
			return false;
		*algs |= jws_bit(alg);
		list += len;
		if (*list == '\0')
			return true;
	}
}

static bool verify_hmac(struct span secret, struct span text, struct span signature)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];
	unsigned len = 0;
	if (secret.len < JWS_SECRET_BYTES_MIN || signature.len != sizeof mac)
		return false;
	return HMAC(EVP_sha256(), secret.at, (int)secret.len, text.at, text.len, mac, &len) !=
	               NULL &&
	       len == sizeof mac && CRYPTO_memcmp(mac, signature.at, sizeof mac) == 0;
}

static bool set_pss(EVP_PKEY_CTX *key)
{
	return EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(key, EVP_sha256()) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(key, PSS_SALT_BYTES) == 1;
}

static bool verify_public(EVP_PKEY *public, enum jws_alg alg, struct span text,
                          struct span signature)
{
	EVP_PKEY_CTX *key = NULL; /* the context's own */
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *hash = alg == JWS_EDDSA ? NULL : EVP_sha256();
	bool ok = context != NULL && EVP_DigestVerifyInit(context, &key, hash, NULL, public) == 1 &&
	          (alg != JWS_PS256 || set_pss(key)) &&
	          EVP_DigestVerify(context, signature.at, signature.len, text.at, text.len) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

/* R and S, each as long as the curve's order, as OpenSSL takes them: in DER. */
static bool verify_ecdsa(EVP_PKEY *public, struct span text, struct span signature)
{
	uint8_t *der = NULL;
	if (signature.len != 2 * P256_BYTES)
		return false;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature.at, P256_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(signature.at + P256_BYTES, P256_BYTES, NULL);
	int len = -1;
	if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
		r = s = NULL;
		len = i2d_ECDSA_SIG(pair, &der);
	}
	bool ok = len > 0 && verify_public(public, JWS_ES256, text, span_of(der, (size_t)len));
	OPENSSL_free(der);
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return ok;
}

static bool verify(const struct jws_key *key, enum jws_alg alg, struct span text,
                   struct span signature)
{
	switch (key->type) {
	case JWS_OCT:
		return verify_hmac(key->secret, text, signature);
	case JWS_RSA:
		return signature.len == (size_t)EVP_PKEY_get_size(key->public) &&
		       verify_public(key->public, alg, text, signature);
	case JWS_EC:
		return verify_ecdsa(key->public, text, signature);
	case JWS_OKP:
		return signature.len == ED25519_BYTES &&
		       verify_public(key->public, alg, text, signature);
	}
	return false;
}

bool jws_verify(const struct jws_key *key, enum jws_alg alg, struct span text,
                struct span signature)
{
	bool ok = algs_known[alg].type == key->type && verify(key, alg, text, signature);
	if (!ok)
		ERR_clear_error(); /* TLS looks at this thread's list of them */
	return ok;
}
