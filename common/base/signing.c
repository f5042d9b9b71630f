#include "common/base/signing.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

bool signing_public(struct span seed, char x[64], char kid[64])
{
	uint8_t public_key[32], digest[32];
	size_t len = sizeof public_key;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.at, seed.len);
	bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
	EVP_PKEY_free(key);
	if (!ok)
		return false;
	char thumbprint[160], *text = base64url_text(span_of(public_key, sizeof public_key));
	snprintf(x, 64, "%s", text);
	free(text);
	int n = snprintf(thumbprint, sizeof thumbprint,
	                 "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
	SHA256((uint8_t *)thumbprint, (size_t)n, digest);
	text = base64url_text(span_of(digest, sizeof digest));
	snprintf(kid, 64, "ds_%s", text);
	free(text);
	return true;
}

char *signing_sign(struct span seed, struct span message)
{
	uint8_t signature[64];
	size_t len = sizeof signature;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.at, seed.len);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = key != NULL && context != NULL &&
	          EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
	          EVP_DigestSign(context, signature, &len, message.at, message.len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return ok ? base64url_text(span_of(signature, len)) : NULL;
}

bool signing_header(struct span seed, uint64_t unix_s, struct span body, char out[256])
{
	char x[64], kid[64];
	size_t room = body.len + 32;
	char *message = xmalloc(room);
	size_t at = (size_t)snprintf(message, room, "%llu.", (unsigned long long)unix_s);
	if (body.len != 0)
		memcpy(message + at, body.at, body.len);
	char *signature = signing_sign(seed, span_of(message, at + body.len));
	free(message);
	bool ok = signature != NULL && signing_public(seed, x, kid);
	if (ok)
		snprintf(out, 256, "t=%llu,kid=%s,ed25519=%s", (unsigned long long)unix_s, kid,
		         signature);
	free(signature);
	return ok;
}
