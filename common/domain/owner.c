#include "common/domain/owner.h"

#include <openssl/crypto.h>

static bool equal(const uint8_t *a, const uint8_t *b)
{
	return CRYPTO_memcmp(a, b, OWNER_DIGEST_LEN) == 0;
}

bool owner_is(struct span owner, struct span principal, struct span former)
{
	bool found = false;
	if (owner.len != OWNER_DIGEST_LEN)
		return false;
	if (principal.len == OWNER_DIGEST_LEN)
		found |= equal(owner.at, principal.at);
	for (size_t at = 0; at + OWNER_DIGEST_LEN <= former.len; at += OWNER_DIGEST_LEN)
		found |= equal(owner.at, former.at + at);
	return found;
}
