#include "common/base/jwk.h"
#include "tests/doubles/issuer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static enum jwk_fault fault_of(const char *text, enum jwk_origin origin)
{
	enum jwk_fault fault;
	struct jwk_set *set = jwk_set_read(span_str(text), origin, &fault);
	assert_int_equal(set == NULL, fault != JWK_NONE);
	jwk_set_destroy(&set);
	return fault;
}

static struct jwk_set *set_of(const char *text)
{
	enum jwk_fault fault;
	struct jwk_set *set = jwk_set_read(span_str(text), JWK_FROM_US, &fault);
	if (set == NULL)
		fail_msg("%s: %s", jwk_fault_text(fault), text);
	return set;
}

/* What would be found for a token that names `kid` (NULL: none). */
static size_t count(const struct jwk_set *set, enum jws_alg alg, enum jwk_which which,
                    const char *kid)
{
	size_t at = 0, n = 0;
	while (jwk_set_next(set, &at, alg, which, span_str(kid)) != NULL)
		n++;
	return n;
}

static const enum jws_type types[] = {JWS_OCT, JWS_RSA, JWS_EC, JWS_OKP};

static void each_type_of_key_is_for_its_own_algorithms(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct issuer issuer;
		issuer_init(&issuer, types[i], 2048);
		char *jwk = issuer_jwk(&issuer, "\"kid\":\"a\",\"use\":\"sig\",");
		struct jwk_set *set = set_of(jwk);
		for (unsigned alg = 0; alg < JWS_ALGS_COUNT; alg++) {
			bool fits = (jws_algs_of(types[i]) & 1u << alg) != 0;
			assert_int_equal(count(set, alg, JWK_NAMED, "a"), fits);
			assert_int_equal(count(set, alg, JWK_ANY, NULL), fits);
			assert_int_equal(count(set, alg, JWK_NAMED, "b"), 0);
			assert_int_equal(count(set, alg, JWK_NAMELESS, "b"), 0);
		}
		jwk_set_destroy(&set);
		free(jwk);
		issuer_finish(&issuer);
	}
}

static void its_alg_binds_a_key(void **state)
{
	struct issuer issuer;
	(void)state;
	issuer_init(&issuer, JWS_RSA, 2048);
	char *jwk = issuer_jwk(&issuer, "\"alg\":\"PS256\",");
	struct jwk_set *set = set_of(jwk);
	assert_int_equal(count(set, JWS_PS256, JWK_NAMELESS, "x"), 1);
	assert_int_equal(count(set, JWS_RS256, JWK_NAMELESS, "x"), 0);
	jwk_set_destroy(&set);
	free(jwk);
	static const char *const others[] = {"RS384", "HS256", "ES256", "none", "rs256"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		char more[64];
		snprintf(more, sizeof more, "\"alg\":\"%s\",", others[i]);
		jwk = issuer_jwk(&issuer, more);
		assert_int_equal(fault_of(jwk, JWK_FROM_US), JWK_UNSUPPORTED);
		free(jwk);
	}
	issuer_finish(&issuer);
}

static void a_key_for_something_else_is_passed_over(void **state)
{
	static const struct {
		const char *more;
		enum jwk_fault fault;
	} cases[] = {{"\"use\":\"enc\",", JWK_PURPOSE},
	             {"\"use\":1,", JWK_PURPOSE},
	             {"\"use\":\"sig\",", JWK_NONE},
	             {"\"key_ops\":[\"encrypt\",\"sign\"],", JWK_PURPOSE},
	             {"\"key_ops\":[],", JWK_PURPOSE},
	             {"\"key_ops\":\"verify\",", JWK_PURPOSE},
	             {"\"key_ops\":[\"sign\",\"verify\"],", JWK_NONE},
	             {"\"kid\":7,", JWK_MALFORMED},
	             {"\"d\":\"AAAA\",", JWK_PRIVATE},
	             {"\"x5c\":[\"what\"],\"x5t\":\"ever\",", JWK_NONE}};
	struct issuer issuer;
	(void)state;
	issuer_init(&issuer, JWS_OKP, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *jwk = issuer_jwk(&issuer, cases[i].more);
		if (fault_of(jwk, JWK_FROM_OTHERS) != cases[i].fault)
			fail_msg("%s", jwk);
		free(jwk);
	}
	issuer_finish(&issuer);
}

static void a_set_keeps_what_can_be_used_of_it(void **state)
{
	struct issuer ec, rsa, oct;
	char *text;
	(void)state;
	issuer_init(&ec, JWS_EC, 0);
	issuer_init(&rsa, JWS_RSA, 2048);
	issuer_init(&oct, JWS_OCT, 0);
	char *one = issuer_jwk(&ec, "\"kid\":\"1\","), *two = issuer_jwk(&rsa, "\"kid\":\"2\","),
	     *three = issuer_jwk(&oct, "\"kid\":\"3\",");
	assert_true(asprintf(&text,
	                     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\"},%s,7,%s,{\"kty\":"
	                     "\"?\"},%s],\"more\":1}",
	                     one, two, three) > 0);
	struct jwk_set *set = set_of(text);
	assert_int_equal(set->count, 3);
	assert_int_equal(set->skipped, 3);
	assert_int_equal(set->fault, JWK_UNSUPPORTED);
	assert_int_equal(count(set, JWS_HS256, JWK_NAMED, "3"), 1);
	struct jwk_set *again = set_of(text), *alone = set_of(one);
	for (size_t i = 0; i < set->count; i++) {
		assert_true(jwk_set_has(again, set->keys[i].id));
		assert_int_equal(jwk_set_has(alone, set->keys[i].id), i == 0);
	}
	jwk_set_destroy(&set);
	jwk_set_destroy(&again);
	jwk_set_destroy(&alone);
	enum jwk_fault fault;
	set = jwk_set_read(span_str(text), JWK_FROM_OTHERS, &fault);
	assert_int_equal(set->count, 2);
	assert_int_equal(count(set, JWS_HS256, JWK_ANY, NULL), 0);
	jwk_set_destroy(&set);
	assert_int_equal(fault_of(three, JWK_FROM_OTHERS), JWK_SYMMETRIC);
	assert_int_equal(fault_of(three, JWK_FROM_US), JWK_NONE);
	free(text);
	free(one);
	free(two);
	free(three);
	issuer_finish(&ec);
	issuer_finish(&rsa);
	issuer_finish(&oct);
}

static void an_id_says_key_name_and_algorithms(void **state)
{
	struct issuer issuer;
	(void)state;
	issuer_init(&issuer, JWS_RSA, 2048);
	char *texts[] = {issuer_jwk(&issuer, ""), issuer_jwk(&issuer, "\"kid\":\"a\","),
	                 issuer_jwk(&issuer, "\"kid\":\"b\","),
	                 issuer_jwk(&issuer, "\"alg\":\"RS256\",")};
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 4; j++) {
			struct jwk_set *one = set_of(texts[i]), *two = set_of(texts[j]);
			assert_int_equal(jwk_set_has(one, two->keys[0].id), i == j);
			jwk_set_destroy(&one);
			jwk_set_destroy(&two);
		}
	char *pem = issuer_pem(&issuer);
	struct jwk_set *one = set_of(texts[0]), *two = set_of(pem);
	assert_true(jwk_set_has(one, two->keys[0].id));
	jwk_set_destroy(&one);
	jwk_set_destroy(&two);
	free(pem);
	for (size_t i = 0; i < 4; i++)
		free(texts[i]);
	issuer_finish(&issuer);
}

static void what_is_no_key_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum jwk_fault fault;
	} cases[] = {
	        {"", JWK_EMPTY},
	        {"{}", JWK_UNREADABLE},
	        {"[]", JWK_UNREADABLE},
	        {"<html>", JWK_UNREADABLE},
	        {"{\"keys\":{}}", JWK_UNREADABLE},
	        {"{\"keys\":[]}", JWK_EMPTY},
	        {"{\"keys\":[],\"keys\":[]}", JWK_UNREADABLE},
	        {"{\"kty\":\"oct\",\"kty\":\"RSA\"}", JWK_UNREADABLE},
	        {"{\"kty\":7}", JWK_MALFORMED},
	        {"{\"kty\":\"oct\"}", JWK_MALFORMED},
	        {"{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", JWK_WEAK},
	        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_WEAK},
	        {"{\"kty\":\"RSA\",\"n\":\"AQAB\"}", JWK_MALFORMED},
	        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQ\"}", JWK_MALFORMED},
	        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"Ag\"}", JWK_MALFORMED},
	        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}", JWK_MALFORMED},
	        /* Not on the curve. */
	        {"{\"kty\":\"EC\",\"crv\":\"P-256\","
	         "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	         "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
	         JWK_MALFORMED},
	        {"{\"kty\":\"EC\",\"crv\":\"secp256k1\"}", JWK_UNSUPPORTED},
	        {"{\"kty\":\"OKP\",\"crv\":\"Ed448\"}", JWK_UNSUPPORTED},
	        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}", JWK_MALFORMED},
	        {"{\"kty\":\"AKP\"}", JWK_UNSUPPORTED},
	        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", JWK_MALFORMED},
	        {"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI", JWK_MALFORMED},
	        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", JWK_PRIVATE},
	        {"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
	         JWK_PRIVATE},
	        {"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n",
	         JWK_UNSUPPORTED},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum jwk_fault fault = fault_of(cases[i].text, JWK_FROM_US);
		if (fault != cases[i].fault)
			fail_msg("%s: %s", cases[i].text, jwk_fault_text(fault));
	}
}

static void lengths_have_bounds(void **state)
{
	(void)state;
	static const struct {
		unsigned bits;
		enum jwk_fault fault;
	} cases[] = {{1024, JWK_WEAK}, {2047, JWK_WEAK}, {2048, JWK_NONE}, {3072, JWK_NONE}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct issuer issuer;
		issuer_init(&issuer, JWS_RSA, cases[i].bits);
		char *jwk = issuer_jwk(&issuer, ""), *pem = issuer_pem(&issuer);
		assert_int_equal(fault_of(jwk, JWK_FROM_OTHERS), cases[i].fault);
		assert_int_equal(fault_of(pem, JWK_FROM_OTHERS), cases[i].fault);
		free(jwk);
		free(pem);
		issuer_finish(&issuer);
	}
	static char text[JWK_TEXT_BYTES_MAX + 64];
	size_t len =
	        (size_t)snprintf(text, sizeof text, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
	memset(text + len, 'B', 1400); /* 8,400 bits, the last of them 1 */
	strcpy(text + len + 1400, "\"}");
	assert_int_equal(fault_of(text, JWK_FROM_US), JWK_HUGE);
	memset(text, ' ', JWK_TEXT_BYTES_MAX + 1);
	text[JWK_TEXT_BYTES_MAX + 1] = '\0';
	assert_int_equal(fault_of(text, JWK_FROM_US), JWK_TOO_LARGE);
	len = (size_t)sprintf(text, "{\"keys\":[0");
	for (size_t i = 1; i <= JWK_KEYS_MAX; i++)
		len += (size_t)sprintf(text + len, ",0");
	strcpy(text + len, "]}");
	assert_int_equal(fault_of(text, JWK_FROM_US), JWK_TOO_MANY);
}

static void several_keys_may_stand_in_one_pem(void **state)
{
	struct issuer one, two;
	char *text;
	(void)state;
	issuer_init(&one, JWS_EC, 0);
	issuer_init(&two, JWS_RSA, 2048);
	char *first = issuer_pem(&one), *second = issuer_pem(&two);
	assert_true(asprintf(&text, "The key of spring\n%s\nand of summer:\n%s", first, second) >
	            0);
	struct jwk_set *set = set_of(text);
	assert_int_equal(set->count, 2);
	assert_int_equal(set->skipped, 0);
	assert_int_equal(count(set, JWS_ES256, JWK_NAMELESS, "any"), 1);
	assert_int_equal(count(set, JWS_RS256, JWK_NAMELESS, "any"), 1);
	jwk_set_destroy(&set);
	enum jwk_fault fault;
	assert_null(jwk_set_of_secret(span_str(first), &fault));
	assert_int_equal(fault, JWK_UNSUPPORTED);
	free(text);
	free(first);
	free(second);
	issuer_finish(&one);
	issuer_finish(&two);
}

static void a_secret_has_32_bytes_or_more(void **state)
{
	char secret[JWS_SECRET_BYTES_MAX + 1];
	enum jwk_fault fault;
	(void)state;
	memset(secret, 's', sizeof secret);
	assert_null(jwk_set_of_secret((struct span){0}, &fault));
	assert_int_equal(fault, JWK_WEAK);
	assert_null(jwk_set_of_secret(span_of(secret, 31), &fault));
	assert_int_equal(fault, JWK_WEAK);
	assert_null(jwk_set_of_secret(span_of(secret, sizeof secret), &fault));
	assert_int_equal(fault, JWK_HUGE);
	struct jwk_set *set = jwk_set_of_secret(span_of(secret, 32), &fault);
	assert_int_equal(count(set, JWS_HS256, JWK_NAMELESS, "any"), 1);
	jwk_set_destroy(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_type_of_key_is_for_its_own_algorithms),
	        cmocka_unit_test(its_alg_binds_a_key),
	        cmocka_unit_test(a_key_for_something_else_is_passed_over),
	        cmocka_unit_test(a_set_keeps_what_can_be_used_of_it),
	        cmocka_unit_test(an_id_says_key_name_and_algorithms),
	        cmocka_unit_test(what_is_no_key_is_refused),
	        cmocka_unit_test(lengths_have_bounds),
	        cmocka_unit_test(several_keys_may_stand_in_one_pem),
	        cmocka_unit_test(a_secret_has_32_bytes_or_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
