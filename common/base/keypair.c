#include "common/base/keypair.h"
#include "common/base/base58.h"
#include "common/base/check.h"

#include <openssl/evp.h>
#include <strings.h>

enum { PAIR_BYTES = 64 };

static const char blanks[] = " \t\r\n";

/* One of the 64 numbers; what follows is behind *text. */
static bool take_number(const char **text, uint8_t *byte)
{
	*text += strspn(*text, blanks);
	unsigned value = 0;
	size_t len = strspn(*text, "0123456789");
	if (len == 0 || len > 3 || (len > 1 && **text == '0'))
		return false;
	for (size_t i = 0; i < len; i++)
		value = 10 * value + (unsigned)((*text)[i] - '0');
	*text += len;
	*text += strspn(*text, blanks);
	*byte = (uint8_t)value;
	return value <= 255;
}

static bool read_numbers(const char *text, uint8_t bytes[PAIR_BYTES])
{
	for (size_t i = 0; i < PAIR_BYTES; i++) {
		if (*text++ != (i == 0 ? '[' : ',') || !take_number(&text, &bytes[i]))
			return false;
	}
	return *text++ == ']' && text[strspn(text, blanks)] == '\0';
}

static bool read_base58(const char *text, uint8_t bytes[PAIR_BYTES])
{
	char word[BASE58_TEXT_ROOM];
	size_t len = strcspn(text, blanks);
	if (len >= sizeof word || text[len + strspn(text + len, blanks)] != '\0')
		return false;
	memcpy(word, text, len);
	word[len] = '\0';
	bool ok = base58_read(word, bytes, PAIR_BYTES);
	explicit_bzero(word, sizeof word);
	return ok;
}

static bool public_of(const uint8_t seed[32], uint8_t public_key[32])
{
	size_t len = 32;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
	EVP_PKEY_free(key);
	return ok;
}

const char *keypair_read(const char *text, struct keypair *pair)
{
	uint8_t bytes[PAIR_BYTES];
	text += strspn(text, blanks);
	bool ok = *text == '[' ? read_numbers(text, bytes) : read_base58(text, bytes);
	const char *fault = NULL;
	if (!ok)
		fault = "must be a key pair: 64 numbers in [], or 64 bytes in base58";
	else if (!public_of(bytes, pair->public_key))
		fault = "its seed is none";
	else if (memcmp(pair->public_key, bytes + 32, 32) != 0)
		fault = "its public half belongs to another key";
	memcpy(pair->seed, bytes, 32);
	explicit_bzero(bytes, sizeof bytes);
	return fault;
}

void keypair_sign(const struct keypair *pair, struct span message, uint8_t signature[64])
{
	size_t len = 64;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, pair->seed, 32);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	check(key != NULL && context != NULL &&
	      EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
	      EVP_DigestSign(context, signature, &len, message.at, message.len) == 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
}
