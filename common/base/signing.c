/* Tokens that need no table, and Ed25519 signatures of webhooks. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/subscription.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

static void hex(const uint8_t *at, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", at[i]);
}

void subscription_wake_id(char out[40])
{
	uint8_t bytes[16];
	clock_random(bytes, sizeof bytes);
	memcpy(out, "w_", 3);
	hex(bytes, sizeof bytes, out + 2);
}

void subscription_token_make(struct span secret, const char *id, uint64_t generation,
                             uint64_t expires_ms, char out[SUBSCRIPTION_TOKEN_ROOM])
{
	char text[SUBSCRIPTION_ID_MAX + 64], mac_text[65];
	uint8_t mac[32];
	unsigned mac_len = sizeof mac;
	int len = snprintf(text, sizeof text, "%llu.%llu.%s", (unsigned long long)generation,
	                   (unsigned long long)expires_ms, id);
	check(HMAC(EVP_sha256(), secret.at, (int)secret.len, (uint8_t *)text, (size_t)len, mac,
	           &mac_len) != NULL);
	hex(mac, sizeof mac, mac_text);
	snprintf(out, SUBSCRIPTION_TOKEN_ROOM, "%llu.%llu.%s", (unsigned long long)generation,
	         (unsigned long long)expires_ms, mac_text);
}

enum token_result subscription_token_check(struct span secret, const char *id, struct span token,
                                           uint64_t now_ms, uint64_t *generation)
{
	char given[SUBSCRIPTION_TOKEN_ROOM], wanted[SUBSCRIPTION_TOKEN_ROOM];
	unsigned long long g, expires_ms;
	if (token.len == 0 || token.len >= sizeof given)
		return TOKEN_INVALID;
	memcpy(given, token.at, token.len);
	given[token.len] = '\0';
	if (sscanf(given, "%20llu.%20llu.", &g, &expires_ms) != 2)
		return TOKEN_INVALID;
	subscription_token_make(secret, id, g, expires_ms, wanted);
	if (strlen(wanted) != token.len || CRYPTO_memcmp(wanted, given, token.len) != 0)
		return TOKEN_INVALID;
	*generation = g;
	return now_ms < expires_ms ? TOKEN_VALID : TOKEN_EXPIRED;
}

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

/* ---- where webhooks may go ---- */

static bool is_plain(const char *url)
{
	return strncmp(url, "http://", 7) == 0;
}

enum address_reach webhook_reach(const char *url, const char *open, bool dev)
{
	struct address_host host = {0};
	const struct address_fence fence = {.open = open, .loopback = dev && is_plain(url)};
	if (!address_parse_url(span_str(url), &host))
		return REACH_PUBLIC;
	return address_reach(&fence, &host);
}

/* Names are judged again when they have been resolved: http_post.h. */
bool webhook_url_allowed(const char *url, const char *open, bool dev)
{
	struct address_host host;
	enum address_reach reach = webhook_reach(url, open, dev);
	if (!address_parse_url(span_str(url), &host) || !address_host_allowed(reach, &host))
		return false;
	if (reach > REACH_LOOPBACK)
		return true;
	return is_plain(url) ? reach == REACH_LOOPBACK && address_host_is_loopback(&host)
	                     : host.ipv6 || strchr(host.name, '.') != NULL;
}
