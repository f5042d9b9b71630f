/* Keys from hostile text: what is taken is within the bounds, knows its algorithms, is found by its
 * name, has the same id when it is read again; from a URL nothing secret is taken. */
#include "common/base/check.h"
#include "common/base/jwk.h"

#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool finds(const struct jwk_set *set, const struct jwk *jwk)
{
	for (unsigned alg = 0; alg < JWS_ALGS_COUNT; alg++) {
		const struct jwk *found;
		size_t at = 0;
		enum jwk_which which = jwk->kid != NULL ? JWK_NAMED : JWK_NAMELESS;
		while ((found = jwk_set_next(set, &at, alg, which, span_str(jwk->kid))) != NULL)
			if (found == jwk)
				return true;
	}
	return false;
}

static void look_at(const struct jwk_set *set, enum jwk_origin origin)
{
	static const uint8_t zeros[JWS_RSA_BITS_MAX / 8];
	check(set->count > 0 && set->count <= JWK_KEYS_MAX);
	for (size_t i = 0; i < set->count; i++) {
		const struct jwk *jwk = &set->keys[i];
		check(jwk->algs != 0 && (jwk->algs & ~jws_algs_of(jwk->key.type)) == 0);
		check((jwk->key.public != NULL) == (jwk->key.type != JWS_OCT));
		check(origin == JWK_FROM_US || jwk->key.type != JWS_OCT);
		check(finds(set, jwk) && jwk_set_has(set, jwk->id));
		for (unsigned alg = 0; alg < JWS_ALGS_COUNT; alg++)
			check(!jws_verify(&jwk->key, alg, SPAN("text"), span_of(zeros, 64)));
	}
}

static void read_as(struct span text, enum jwk_origin origin)
{
	enum jwk_fault fault, again;
	struct jwk_set *set = jwk_set_read(text, origin, &fault);
	struct jwk_set *other = jwk_set_read(text, origin, &again);
	check((set == NULL) == (fault != JWK_NONE) && again == fault);
	check(ERR_peek_error() == 0);
	if (set != NULL) {
		look_at(set, origin);
		check(other->count == set->count);
		for (size_t i = 0; i < set->count; i++)
			check(jwk_set_has(other, set->keys[i].id));
	}
	jwk_set_destroy(&set);
	jwk_set_destroy(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum jwk_fault fault;
	uint8_t *copy =
	        malloc(size + (size == 0)); /* of its own size, so that an overread is seen */
	check(copy != NULL);
	if (size != 0)
		memcpy(copy, data, size);
	struct span text = span_of(copy, size);
	read_as(text, JWK_FROM_US);
	read_as(text, JWK_FROM_OTHERS);
	struct jwk_set *secret = jwk_set_of_secret(text, &fault);
	check((secret == NULL) == (fault != JWK_NONE));
	jwk_set_destroy(&secret);
	free(copy);
	return 0;
}
