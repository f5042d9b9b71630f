#include "tests/doubles/issuer.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

void issuer_init(struct issuer *issuer, enum jws_type type, unsigned bits)
{
	*issuer = (struct issuer){.type = type};
	for (size_t i = 0; i < sizeof issuer->secret; i++)
		issuer->secret[i] = (uint8_t)random();
	if (type == JWS_RSA)
		issuer->key = EVP_RSA_gen(bits);
	else if (type == JWS_EC)
		issuer->key = EVP_EC_gen("P-256");
	else if (type == JWS_OKP)
		issuer->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	check(type == JWS_OCT || issuer->key != NULL);
}

void issuer_finish(struct issuer *issuer)
{
	EVP_PKEY_free(issuer->key);
}

static char *number(const struct issuer *issuer, const char *name, int width)
{
	BIGNUM *n = NULL;
	uint8_t bytes[2048];
	check(EVP_PKEY_get_bn_param(issuer->key, name, &n) == 1);
	int len = width != 0 ? width : BN_num_bytes(n);
	check(BN_bn2binpad(n, bytes, len) == len);
	BN_free(n);
	return base64url_text(span_of(bytes, (size_t)len));
}

char *issuer_jwk(const struct issuer *issuer, const char *more)
{
	char *text = NULL, *one = NULL, *two = NULL;
	uint8_t x[32];
	size_t len = sizeof x;
	switch (issuer->type) {
	case JWS_OCT:
		one = base64url_text(span_of(issuer->secret, sizeof issuer->secret));
		check(asprintf(&text, "{%s\"kty\":\"oct\",\"k\":\"%s\"}", more, one) > 0);
		break;
	case JWS_RSA:
		one = number(issuer, OSSL_PKEY_PARAM_RSA_N, 0);
		two = number(issuer, OSSL_PKEY_PARAM_RSA_E, 0);
		check(asprintf(&text, "{%s\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", more, one,
		               two) > 0);
		break;
	case JWS_EC:
		one = number(issuer, OSSL_PKEY_PARAM_EC_PUB_X, 32);
		two = number(issuer, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
		check(asprintf(&text,
		               "{%s\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
		               more, one, two) > 0);
		break;
	case JWS_OKP:
		check(EVP_PKEY_get_raw_public_key(issuer->key, x, &len) == 1);
		one = base64url_text(span_of(x, len));
		check(asprintf(&text, "{%s\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", more,
		               one) > 0);
		break;
	}
	free(one);
	free(two);
	return text;
}

char *issuer_pem(const struct issuer *issuer)
{
	char *at;
	BIO *bio = BIO_new(BIO_s_mem());
	check(PEM_write_bio_PUBKEY(bio, issuer->key) == 1);
	long len = BIO_get_mem_data(bio, &at);
	char *text = xmemdup_text(at, (size_t)len);
	BIO_free(bio);
	return text;
}

static size_t sign(const struct issuer *issuer, enum jws_alg alg, struct span text, uint8_t *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *key;
	size_t len = 2048;
	check(EVP_DigestSignInit(context, &key, alg == JWS_EDDSA ? NULL : EVP_sha256(), NULL,
	                         issuer->key) == 1);
	if (alg == JWS_PS256) {
		EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(key, RSA_PSS_SALTLEN_DIGEST);
	}
	check(EVP_DigestSign(context, out, &len, text.at, text.len) == 1);
	EVP_MD_CTX_free(context);
	if (alg != JWS_ES256)
		return len;
	const uint8_t *der = out;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
	uint8_t both[64];
	check(BN_bn2binpad(ECDSA_SIG_get0_r(pair), both, 32) == 32);
	check(BN_bn2binpad(ECDSA_SIG_get0_s(pair), both + 32, 32) == 32);
	ECDSA_SIG_free(pair);
	memcpy(out, both, sizeof both);
	return sizeof both;
}

char *issuer_token(const struct issuer *issuer, enum jws_alg alg, const char *header,
                   const char *payload)
{
	char *one = base64url_text(span_str(header)), *two = base64url_text(span_str(payload));
	char *text, *token;
	uint8_t signature[2048];
	unsigned mac_len;
	check(asprintf(&text, "%s.%s", one, two) > 0);
	size_t len;
	if (alg == JWS_HS256) {
		HMAC(EVP_sha256(), issuer->secret, sizeof issuer->secret, (uint8_t *)text,
		     strlen(text), signature, &mac_len);
		len = mac_len;
	} else {
		len = sign(issuer, alg, span_str(text), signature);
	}
	char *three = base64url_text(span_of(signature, len));
	check(asprintf(&token, "%s.%s", text, three) > 0);
	free(one);
	free(two);
	free(three);
	free(text);
	return token;
}
