#include "worker-bridge/solana_address.h"
#include "common/base/check.h"

#include <openssl/bn.h>
#include <openssl/evp.h>

void solana_address_print(const struct solana_address *address, char text[SOLANA_ADDRESS_ROOM])
{
	char all[BASE58_TEXT_ROOM];
	base58_print(address->bytes, sizeof address->bytes, all);
	size_t len = strlen(all);
	check(len < SOLANA_ADDRESS_ROOM);
	memcpy(text, all, len + 1);
}

bool solana_address_equal(const struct solana_address *a, const struct solana_address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Of the curve's field, and its d (RFC 8032, 5.1). */
static const char prime_hex[] = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
static const char d_hex[] = "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3";

/* The bytes are y, and a bit for the sign of x (RFC 8032, 5.1.3): x^2 = (y^2 - 1) / (d y^2 + 1) has
 * a root, or is none, as (y^2 - 1) (d y^2 + 1) has. The divisor is never 0. */
bool solana_address_on_curve(const struct solana_address *address)
{
	uint8_t y_bytes[32];
	BIGNUM *p = NULL, *d = NULL;
	BN_CTX *context = BN_CTX_new();
	memcpy(y_bytes, address->bytes, sizeof y_bytes);
	y_bytes[31] &= 0x7f;
	BIGNUM *y = BN_lebin2bn(y_bytes, sizeof y_bytes, NULL), *u = BN_new(), *v = BN_new();
	check(context != NULL && y != NULL && u != NULL && v != NULL &&
	      BN_hex2bn(&p, prime_hex) != 0 && BN_hex2bn(&d, d_hex) != 0 &&
	      BN_mod_sqr(u, y, p, context) == 1 && BN_mod_mul(v, u, d, p, context) == 1 &&
	      BN_add_word(v, 1) == 1 && BN_sub_word(u, 1) == 1 &&
	      BN_mod_mul(u, u, v, p, context) == 1);
	int root = BN_kronecker(u, p, context);
	check(root >= -1);
	BN_free(v);
	BN_free(u);
	BN_free(y);
	BN_free(d);
	BN_free(p);
	BN_CTX_free(context);
	return root >= 0;
}

static void hash_with_bump(const struct span *seeds, size_t count, uint8_t bump,
                           const struct solana_address *program, struct solana_address *derived)
{
	static const char word[] = "ProgramDerivedAddress";
	unsigned len = sizeof derived->bytes;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	check(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < count; i++)
		check(EVP_DigestUpdate(context, seeds[i].at, seeds[i].len) == 1);
	check(EVP_DigestUpdate(context, &bump, 1) == 1 &&
	      EVP_DigestUpdate(context, program->bytes, sizeof program->bytes) == 1 &&
	      EVP_DigestUpdate(context, word, sizeof word - 1) == 1 &&
	      EVP_DigestFinal_ex(context, derived->bytes, &len) == 1);
	EVP_MD_CTX_free(context);
}

void solana_address_derive(const struct span *seeds, size_t count,
                           const struct solana_address *program, struct solana_address *derived)
{
	check(count <= SOLANA_SEEDS_MAX);
	for (size_t i = 0; i < count; i++)
		check(seeds[i].len <= 32);
	for (unsigned bump = 256; bump-- > 0;) {
		hash_with_bump(seeds, count, (uint8_t)bump, program, derived);
		if (!solana_address_on_curve(derived))
			return;
	}
	check(false); /* each half of all hashes is a point: 2^-256 */
}
