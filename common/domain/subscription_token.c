/* What a consumer shows to be the one that was woken: wake ids, and tokens that need no table. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/domain/subscription.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

void subscription_wake_id(char out[40])
{
	uint8_t bytes[16];
	clock_random(bytes, sizeof bytes);
	memcpy(out, "w_", 3);
	hex_print(bytes, sizeof bytes, out + 2);
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
	hex_print(mac, sizeof mac, mac_text);
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
