/* Tokens from hostile bytes. The first byte says what the rest is: a token as it came, which nobody
 * here has signed and which is never good; or the header and the payload, with a NUL between them,
 * of a token that is signed: then what is taken has what was expected of it. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/jwt.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "0123456789abcdef0123456789abcdef"
enum { NOW_S = 1700000000, LEEWAY_MS = 1000 };

static enum jwt_fault judge(struct span token, struct jwt_claims *claims)
{
	static struct jwk_set *set;
	enum jwk_fault fault;
	if (set == NULL)
		set = jwk_set_of_secret(SPAN(SECRET), &fault);
	check(set != NULL);
	const struct jwt_keys keys = {.set = set};
	const struct jwt_expectations expected = {.keys = &keys,
	                                          .keys_count = 1,
	                                          .algs = ~0u,
	                                          .issuers = "i,j",
	                                          .audiences = "a",
	                                          .leeway_ms = LEEWAY_MS,
	                                          .bytes_max = 4096};
	return jwt_verify(&expected, token, NOW_S * (uint64_t)1000, claims);
}

static char *sign(struct span header, struct span payload)
{
	uint8_t mac[32];
	unsigned len;
	char *text, *token, *one = base64url_text(header), *two = base64url_text(payload);
	check(asprintf(&text, "%s.%s", one, two) > 0);
	check(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (uint8_t *)text, strlen(text), mac,
	           &len) != NULL);
	char *three = base64url_text(span_of(mac, len));
	check(asprintf(&token, "%s.%s", text, three) > 0);
	free(one);
	free(two);
	free(three);
	free(text);
	return token;
}

static void look_at(const struct jwt_claims *claims)
{
	const char *subject = claims->subject;
	check(json_is_object(claims->all));
	check(strcmp(claims->issuer, "i") == 0 || strcmp(claims->issuer, "j") == 0);
	check(json_object_get(claims->all, "aud") != NULL);
	check(claims->expires_ms > NOW_S * (uint64_t)1000 && claims->expires_ms < UINT64_MAX);
	check(strlen(subject) <= JWT_SUBJECT_MAX && strpbrk(subject, "\r\n") == NULL);
}

static void signed_one(const uint8_t *data, size_t size)
{
	struct jwt_claims claims;
	const uint8_t *nul = memchr(data, 0, size);
	if (nul == NULL)
		return;
	struct span header = span_of(data, (size_t)(nul - data));
	char *token = sign(header, span_of(nul + 1, size - header.len - 1));
	enum jwt_fault fault = judge(span_str(token), &claims);
	check((claims.all != NULL) == (fault == JWT_VALID));
	check((*jwt_fault_text(fault) == '\0') == (fault == JWT_VALID));
	check(fault != JWT_SIGNATURE);
	if (fault == JWT_VALID)
		look_at(&claims);
	jwt_claims_finish(&claims);
	free(token);
}

static void as_it_came(const uint8_t *data, size_t size)
{
	struct jwt_claims claims;
	uint8_t *copy =
	        malloc(size + (size == 0)); /* of its own size, so that an overread is seen */
	check(copy != NULL);
	if (size != 0)
		memcpy(copy, data, size);
	jwt_is_meant(span_of(copy, size));
	check(judge(span_of(copy, size), &claims) != JWT_VALID && claims.all == NULL);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		as_it_came(data + 1, size - 1);
	else
		signed_one(data + 1, size - 1);
	return 0;
}
