#include "common/base/jwt.h"
#include "common/base/base64.h"
#include "tests/doubles/issuer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW_S = 1700000000 };
#define GOOD "{\"iss\":\"https://i\",\"sub\":\"ann\",\"aud\":\"arena\",\"exp\":1700000060}"

/* ---- vectors of the RFCs ---- */

#define RFC_PAYLOAD                                                                                \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"

static const struct {
	const char *jwk, *token;
} vectors[] = {
        /* RFC 7515, A.1 */
        {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
         "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
         "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD
         ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
        /* A.2 */
        {"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"
         "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGz"
         "jb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
         "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9g"
         "b54h4FRWyuXpoQ\",\"e\":\"AQAB\"}",
         "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD
         ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8"
         "W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvk"
         "SjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCn"
         "vWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
        /* A.3 */
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
         "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD
         ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
         "Kg6NU1Q"},
};

static const struct jwt_expectations lenient = {
        .issuers = "", .audiences = "", .algs = ~0u, .bytes_max = 8192};

static struct jwk_set *set_of(const char *text)
{
	enum jwk_fault fault;
	struct jwk_set *set = jwk_set_read(span_str(text), JWK_FROM_US, &fault);
	if (set == NULL)
		fail_msg("%s: %s", jwk_fault_text(fault), text);
	return set;
}

static void vectors_of_rfc_7515(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct jwt_claims claims;
		struct jwk_set *set = set_of(vectors[i].jwk);
		const struct jwt_keys keys = {.set = set};
		struct jwt_expectations expected = lenient;
		expected.keys = &keys;
		expected.keys_count = 1;
		struct span token = span_str(vectors[i].token);
		assert_true(jwt_is_meant(token));
		enum jwt_fault fault = jwt_verify(&expected, token, 1300819379999, &claims);
		if (fault != JWT_VALID)
			fail_msg("%zu: %s", i, jwt_fault_text(fault));
		assert_string_equal(claims.issuer, "joe");
		assert_string_equal(claims.subject, "");
		assert_int_equal(claims.expires_ms, 1300819380000);
		assert_true(jwk_set_has(set, claims.key_id));
		jwt_claims_finish(&claims);
		assert_int_equal(jwt_verify(&expected, token, 1300819380000, &claims), JWT_EXPIRED);
		assert_null(claims.all);
		jwk_set_destroy(&set);
	}
}

static void vector_of_rfc_8037(void **state)
{
	uint8_t signature[80];
	struct span text = SPAN("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
	(void)state;
	struct jwk_set *set = set_of("{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
	                             "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}");
	int64_t len =
	        base64url_decode(SPAN("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki"
	                              "4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"),
	                         signature);
	assert_int_equal(len, 64);
	assert_true(jws_verify(&set->keys[0].key, JWS_EDDSA, text, span_of(signature, 64)));
	signature[0] ^= 1;
	assert_false(jws_verify(&set->keys[0].key, JWS_EDDSA, text, span_of(signature, 64)));
	assert_false(jws_verify(&set->keys[0].key, JWS_HS256, text, span_of(signature, 32)));
	jwk_set_destroy(&set);
}

/* ---- issuers of ours ---- */

static struct issuer issuers[4]; /* by type */

static const struct {
	enum jws_alg alg;
	const char *name;
} all_algs[] = {{JWS_HS256, "HS256"}, {JWS_RS256, "RS256"}, {JWS_PS256, "PS256"},
                {JWS_ES256, "ES256"}, {JWS_EDDSA, "EdDSA"}, {JWS_EDDSA, "Ed25519"}};

static enum jws_type type_of(enum jws_alg alg)
{
	for (unsigned type = 0; type < 4; type++)
		if (jws_algs_of(type) & jws_bit(alg))
			return type;
	return 0;
}

static int make_issuers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		issuer_init(&issuers[i], i, 2048);
	return 0;
}

static int finish_issuers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		issuer_finish(&issuers[i]);
	return 0;
}

static struct jwk_set *keys_of(enum jws_type type, const char *more)
{
	char *jwk = issuer_jwk(&issuers[type], more);
	struct jwk_set *set = set_of(jwk);
	free(jwk);
	return set;
}

static const struct jwt_expectations usual = {.issuers = "https://i,https://j",
                                              .audiences = "arena,https://other",
                                              .algs = ~0u,
                                              .leeway_ms = 5000,
                                              .bytes_max = 8192};

static enum jwt_fault judge(const struct jwt_expectations *expected, const struct jwk_set *set,
                            const char *token)
{
	struct jwt_claims claims;
	const struct jwt_keys keys = {.set = set};
	struct jwt_expectations with_keys = *expected;
	with_keys.keys = &keys;
	with_keys.keys_count = 1;
	enum jwt_fault fault =
	        jwt_verify(&with_keys, span_str(token), NOW_S * (uint64_t)1000, &claims);
	jwt_claims_finish(&claims);
	return fault;
}

static enum jwt_fault fault_of(const struct jwt_expectations *expected, enum jws_alg alg,
                               const char *header, const char *payload)
{
	struct jwk_set *set = keys_of(type_of(alg), "");
	char *token = issuer_token(&issuers[type_of(alg)], alg, header, payload);
	enum jwt_fault fault = judge(expected, set, token);
	free(token);
	jwk_set_destroy(&set);
	return fault;
}

static void each_algorithm_where_it_is_allowed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof all_algs / sizeof *all_algs; i++) {
		struct jwt_expectations expected = usual;
		char header[64];
		snprintf(header, sizeof header, "{\"alg\":\"%s\"}", all_algs[i].name);
		assert_int_equal(fault_of(&expected, all_algs[i].alg, header, GOOD), JWT_VALID);
		expected.algs = ~jws_bit(all_algs[i].alg);
		assert_int_equal(fault_of(&expected, all_algs[i].alg, header, GOOD), JWT_ALG);
	}
}

/* Every byte of the token counts: neither another signature nor another spelling passes. */
static void no_bit_can_be_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < 5; i++) {
		enum jws_type type = type_of(all_algs[i].alg);
		struct jwk_set *set = keys_of(type, "");
		char header[64];
		snprintf(header, sizeof header, "{\"alg\":\"%s\"}", all_algs[i].name);
		char *token = issuer_token(&issuers[type], all_algs[i].alg, header, GOOD);
		assert_int_equal(judge(&usual, set, token), JWT_VALID);
		for (char *at = token; *at != '\0'; at++) {
			char was = *at;
			*at = was == 'A' ? 'B' : 'A';
			assert_int_not_equal(judge(&usual, set, token), JWT_VALID);
			*at = '=';
			assert_int_not_equal(judge(&usual, set, token), JWT_VALID);
			*at = was;
		}
		token[strlen(token) - 1] = '\0';
		assert_int_not_equal(judge(&usual, set, token), JWT_VALID);
		free(token);
		jwk_set_destroy(&set);
	}
}

/* A token that says HS256, signed with the text of a public key as the secret: as PEM and as the
 * modulus, the best known ways to confuse (RFC 8725, 2.1). And each other algorithm's key. */
static void algorithms_are_not_confused(void **state)
{
	(void)state;
	struct issuer forger = {.type = JWS_OCT};
	struct jwk_set *set = keys_of(JWS_RSA, "\"kid\":\"k\",");
	char *pem = issuer_pem(&issuers[JWS_RSA]);
	memcpy(forger.secret, pem, sizeof forger.secret);
	char *token = issuer_token(&forger, JWS_HS256, "{\"alg\":\"HS256\",\"kid\":\"k\"}", GOOD);
	assert_int_equal(judge(&usual, set, token), JWT_KEY_UNKNOWN);
	free(token);
	free(pem);
	jwk_set_destroy(&set);
	for (size_t i = 0; i < 5; i++)
		for (unsigned type = 0; type < 4; type++) {
			char header[64];
			enum jws_type own = type_of(all_algs[i].alg);
			if (own == type)
				continue;
			snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"k\"}",
			         all_algs[i].name);
			set = keys_of(type, "\"kid\":\"k\",");
			token = issuer_token(&issuers[own], all_algs[i].alg, header, GOOD);
			assert_int_equal(judge(&usual, set, token), JWT_KEY_UNKNOWN);
			free(token);
			jwk_set_destroy(&set);
		}
	/* Signed as RS256 with a key that is for PS256, and the other way round. */
	set = keys_of(JWS_RSA, "\"alg\":\"PS256\",");
	token = issuer_token(&issuers[JWS_RSA], JWS_RS256, "{\"alg\":\"RS256\"}", GOOD);
	assert_int_equal(judge(&usual, set, token), JWT_KEY_UNKNOWN);
	free(token);
	token = issuer_token(&issuers[JWS_RSA], JWS_RS256, "{\"alg\":\"PS256\"}", GOOD);
	assert_int_equal(judge(&usual, set, token), JWT_KEY_UNKNOWN);
	free(token);
	jwk_set_destroy(&set);
}

static void headers(void **state)
{
	static const struct {
		const char *header;
		enum jwt_fault fault;
	} cases[] = {
	        {"{\"alg\":\"ES256\"}", JWT_VALID},
	        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", JWT_VALID},
	        {"{\"alg\":\"ES256\",\"typ\":\"jwt\"}", JWT_VALID},
	        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", JWT_VALID},
	        {"{\"alg\":\"ES256\",\"typ\":\"Application/AT+JWT\"}", JWT_VALID},
	        {"{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\"}", JWT_TYPE},
	        {"{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}", JWT_TYPE},
	        {"{\"alg\":\"ES256\",\"typ\":\"\"}", JWT_TYPE},
	        {"{\"alg\":\"ES256\",\"typ\":null}", JWT_TYPE},
	        {"{\"alg\":\"ES256\",\"typ\":[\"JWT\"]}", JWT_TYPE},
	        {"{\"alg\":\"none\"}", JWT_ALG},
	        {"{\"alg\":\"None\"}", JWT_ALG},
	        {"{\"alg\":\"es256\"}", JWT_ALG},
	        {"{\"alg\":\"ES256K\"}", JWT_ALG},
	        {"{\"alg\":\"ES384\"}", JWT_ALG},
	        {"{\"alg\":\"\"}", JWT_ALG},
	        {"{\"alg\":[\"ES256\"]}", JWT_MALFORMED},
	        {"{\"alg\":null}", JWT_MALFORMED},
	        {"{}", JWT_MALFORMED},
	        {"[]", JWT_MALFORMED},
	        {"\"ES256\"", JWT_MALFORMED},
	        {"{\"alg\":\"ES256\"", JWT_MALFORMED},
	        {"{\"alg\":\"ES256\"} {}", JWT_MALFORMED},
	        {"{\"alg\":\"none\",\"alg\":\"ES256\"}", JWT_MALFORMED},
	        {"{\"alg\":\"ES256\",\"\\u0061lg\":\"ES256\"}", JWT_MALFORMED},
	        {"{\"alg\":\"ES256\",\"kid\":7}", JWT_MALFORMED},
	        {"{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}", JWT_CRITICAL},
	        {"{\"alg\":\"ES256\",\"crit\":[]}", JWT_CRITICAL},
	        {"{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}", JWT_CRITICAL},
	        {"{\"alg\":\"ES256\",\"b64\":true}", JWT_CRITICAL},
	        {"{\"alg\":\"ES256\",\"jku\":\"https://evil\",\"x5u\":\"https://evil\",\"jwk\":{}}",
	         JWT_VALID},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum jwt_fault fault = fault_of(&usual, JWS_ES256, cases[i].header, GOOD);
		if (fault != cases[i].fault)
			fail_msg("%s: %s", cases[i].header, jwt_fault_text(fault));
	}
}

#define NAMES "\"iss\":\"https://i\",\"aud\":\"arena\","

static void claims(void **state)
{
	static const struct {
		const char *payload;
		enum jwt_fault fault;
	} cases[] = {
	        {"{" NAMES "\"exp\":1700000001}", JWT_VALID},
	        {"{" NAMES "\"exp\":1700000000.5}", JWT_VALID},
	        {"{" NAMES "\"exp\":1.7000001e9}", JWT_VALID},
	        {"{" NAMES "\"exp\":1699999996}", JWT_VALID}, /* leeway */
	        {"{" NAMES "\"exp\":1699999995}", JWT_EXPIRED},
	        {"{" NAMES "\"exp\":0}", JWT_EXPIRED},
	        {"{" NAMES "\"exp\":-1}", JWT_CLAIM},
	        {"{" NAMES "\"exp\":\"1700000060\"}", JWT_CLAIM},
	        {"{" NAMES "\"exp\":null}", JWT_CLAIM},
	        {"{" NAMES "\"exp\":1700000060000}", JWT_CLAIM}, /* milliseconds */
	        {"{" NAMES "\"exp\":1e300}", JWT_CLAIM},
	        {"{" NAMES "\"exp\":1e400}", JWT_MALFORMED},
	        {"{" NAMES "\"exp\":1,\"exp\":1700000060}", JWT_MALFORMED},
	        {"{\"iss\":\"https://i\",\"aud\":\"arena\"}", JWT_EXPIRY_MISSING},
	        {"{" NAMES "\"exp\":1700000060,\"nbf\":1700000005}", JWT_VALID},
	        {"{" NAMES "\"exp\":1700000060,\"nbf\":1700000006}", JWT_EARLY},
	        {"{" NAMES "\"exp\":1700000060,\"nbf\":\"now\"}", JWT_CLAIM},
	        {"{" NAMES "\"exp\":1700000060,\"iat\":1600000000}", JWT_VALID},
	        {"{" NAMES "\"exp\":1700000060,\"iat\":1700000006}", JWT_EARLY},
	        {"{" NAMES "\"exp\":1700000060,\"iat\":[]}", JWT_CLAIM},
	        {"{\"iss\":\"https://j\",\"aud\":\"https://other\",\"exp\":1700000060}", JWT_VALID},
	        {"{\"iss\":\"https://k\",\"aud\":\"arena\",\"exp\":1700000060}", JWT_ISSUER},
	        {"{\"iss\":\"https://i/\",\"aud\":\"arena\",\"exp\":1700000060}", JWT_ISSUER},
	        {"{\"iss\":\"https://i,https://j\",\"aud\":\"arena\",\"exp\":1700000060}",
	         JWT_ISSUER},
	        {"{\"iss\":\"\",\"aud\":\"arena\",\"exp\":1700000060}", JWT_CLAIM},
	        {"{\"iss\":[\"https://i\"],\"aud\":\"arena\",\"exp\":1700000060}", JWT_CLAIM},
	        {"{\"aud\":\"arena\",\"exp\":1700000060}", JWT_ISSUER},
	        {"{\"iss\":\"https://i\",\"exp\":1700000060}", JWT_AUDIENCE},
	        {"{\"iss\":\"https://i\",\"aud\":\"Arena\",\"exp\":1700000060}", JWT_AUDIENCE},
	        {"{\"iss\":\"https://i\",\"aud\":\"\",\"exp\":1700000060}", JWT_AUDIENCE},
	        {"{\"iss\":\"https://i\",\"aud\":[],\"exp\":1700000060}", JWT_AUDIENCE},
	        {"{\"iss\":\"https://i\",\"aud\":[\"x\",\"arena\"],\"exp\":1700000060}", JWT_VALID},
	        {"{\"iss\":\"https://i\",\"aud\":[\"arena\",7],\"exp\":1700000060}", JWT_CLAIM},
	        {"{\"iss\":\"https://i\",\"aud\":{\"arena\":1},\"exp\":1700000060}", JWT_CLAIM},
	        {"{" NAMES "\"sub\":\"a b\",\"exp\":1700000060}", JWT_VALID},
	        {"{" NAMES "\"sub\":\"\",\"exp\":1700000060}", JWT_CLAIM},
	        {"{" NAMES "\"sub\":7,\"exp\":1700000060}", JWT_CLAIM},
	        {"{" NAMES "\"sub\":\"a\\nb\",\"exp\":1700000060}", JWT_CLAIM},
	        {"{" NAMES "\"sub\":\"a\\u0000b\",\"exp\":1700000060}", JWT_MALFORMED},
	        {"7", JWT_MALFORMED},
	        {"", JWT_MALFORMED},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum jwt_fault fault =
		        fault_of(&usual, JWS_EDDSA, "{\"alg\":\"EdDSA\"}", cases[i].payload);
		if (fault != cases[i].fault)
			fail_msg("%s: %s", cases[i].payload, jwt_fault_text(fault));
	}
}

static void what_is_not_expected_need_not_be_there(void **state)
{
	struct jwt_expectations expected = lenient;
	(void)state;
	static const char header[] = "{\"alg\":\"HS256\"}";
	assert_int_equal(fault_of(&expected, JWS_HS256, header, "{}"), JWT_EXPIRY_MISSING);
	expected.expiry_optional = true;
	assert_int_equal(fault_of(&expected, JWS_HS256, header, "{}"), JWT_VALID);
	assert_int_equal(fault_of(&expected, JWS_HS256, header, "{\"iss\":\"any\"}"), JWT_VALID);
	/* RFC 7519, 4.1.3: who is not in it must not take it. */
	assert_int_equal(fault_of(&expected, JWS_HS256, header, "{\"aud\":\"any\"}"), JWT_AUDIENCE);
}

static void texts_that_are_none(void **state)
{
	static const char *const texts[] = {"",
	                                    ".",
	                                    "..",
	                                    "...",
	                                    "a.b",
	                                    "eyJhbGciOiJIUzI1NiJ9",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30.",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA.AA",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30.A",
	                                    "eyJhbGciOiJIUzI1NiJ9.e30.A A",
	                                    "eyJhbGciOiJub25lIn0.e30.",
	                                    "eyJhbGciOiJIUzI1NiJ9AAAA.e30.AAAA"};
	struct jwk_set *set = keys_of(JWS_OCT, "");
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (judge(&lenient, set, texts[i]) == JWT_VALID)
			fail_msg("%s", texts[i]);
	jwk_set_destroy(&set);
	assert_false(jwt_is_meant(SPAN("")));
	assert_false(jwt_is_meant(SPAN("opaque")));
	assert_false(jwt_is_meant(SPAN("a.b.c")));
	assert_false(jwt_is_meant(SPAN("7.1700000060000.0123abcd"))); /* of a subscription */
	assert_false(jwt_is_meant(SPAN("eyJ0.e30")));
	assert_true(jwt_is_meant(SPAN("eyJhbGciOiJub25lIn0.e30.")));
}

/* A NUL is the end for jansson, and what stands behind it was signed as well. */
static void nothing_stands_behind_the_claims(void **state)
{
	(void)state;
	static const char *const payloads[] = {"eyJleHAiOjE3MDAwMDAwNjB9AHt9" /* {...} NUL {} */,
	                                       "eyJleHAiOjE3MDAwMDAwNjB9AA"};
	struct jwk_set *set = keys_of(JWS_OCT, "");
	for (size_t i = 0; i < 2; i++) {
		uint8_t mac[32];
		unsigned len;
		char text[200], token[300];
		snprintf(text, sizeof text, "eyJhbGciOiJIUzI1NiJ9.%s", payloads[i]);
		HMAC(EVP_sha256(), issuers[JWS_OCT].secret, sizeof issuers[JWS_OCT].secret,
		     (uint8_t *)text, strlen(text), mac, &len);
		char *signature = base64url_text(span_of(mac, len));
		snprintf(token, sizeof token, "%s.%s", text, signature);
		assert_int_equal(judge(&lenient, set, token), JWT_MALFORMED);
		free(signature);
	}
	jwk_set_destroy(&set);
}

static void one_byte_too_many(void **state)
{
	(void)state;
	struct jwk_set *set = keys_of(JWS_OCT, "");
	struct jwt_expectations expected = usual;
	char *token = issuer_token(&issuers[JWS_OCT], JWS_HS256, "{\"alg\":\"HS256\"}", GOOD);
	expected.bytes_max = strlen(token);
	assert_int_equal(judge(&expected, set, token), JWT_VALID);
	expected.bytes_max--;
	assert_int_equal(judge(&expected, set, token), JWT_TOO_LARGE);
	free(token);
	jwk_set_destroy(&set);
}

static void who_names_a_key_means_it(void **state)
{
	(void)state;
	static const struct {
		const char *key, *header;
		enum jwt_fault fault;
	} cases[] = {
	        {"\"kid\":\"a\",", "{\"alg\":\"ES256\",\"kid\":\"a\"}", JWT_VALID},
	        {"\"kid\":\"a\",", "{\"alg\":\"ES256\",\"kid\":\"b\"}", JWT_KEY_UNKNOWN},
	        {"\"kid\":\"a\",", "{\"alg\":\"ES256\",\"kid\":\"\"}", JWT_KEY_UNKNOWN},
	        {"\"kid\":\"a\",", "{\"alg\":\"ES256\"}", JWT_VALID},
	        {"", "{\"alg\":\"ES256\",\"kid\":\"a\"}", JWT_VALID},
	        {"", "{\"alg\":\"ES256\"}", JWT_VALID},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct jwk_set *set = keys_of(JWS_EC, cases[i].key);
		char *token = issuer_token(&issuers[JWS_EC], JWS_ES256, cases[i].header, GOOD);
		assert_int_equal(judge(&usual, set, token), cases[i].fault);
		free(token);
		jwk_set_destroy(&set);
	}
	/* The named key did not sign it: newer keys would not help. */
	struct issuer other;
	issuer_init(&other, JWS_EC, 0);
	struct jwk_set *set = keys_of(JWS_EC, "\"kid\":\"a\",");
	char *token = issuer_token(&other, JWS_ES256, "{\"alg\":\"ES256\",\"kid\":\"a\"}", GOOD);
	assert_int_equal(judge(&usual, set, token), JWT_SIGNATURE);
	free(token);
	token = issuer_token(&other, JWS_ES256, "{\"alg\":\"ES256\"}", GOOD);
	assert_int_equal(judge(&usual, set, token), JWT_KEY_UNKNOWN);
	free(token);
	jwk_set_destroy(&set);
	issuer_finish(&other);
}

/* Two issuers whose keys have the same name: neither may speak for the other. */
static void keys_belong_to_their_issuer(void **state)
{
	(void)state;
	struct issuer other;
	issuer_init(&other, JWS_EC, 0);
	char *jwk = issuer_jwk(&other, "\"kid\":\"1\",");
	struct jwk_set *of_i = keys_of(JWS_EC, "\"kid\":\"1\","), *of_j = set_of(jwk);
	const struct jwt_keys keys[] = {{of_i, "https://i"}, {of_j, "https://j"}};
	struct jwt_expectations expected = usual;
	expected.keys = keys;
	expected.keys_count = 2;
	for (unsigned who = 0; who < 2; who++)
		for (unsigned says = 0; says < 2; says++) {
			struct jwt_claims claims;
			char payload[128];
			snprintf(payload, sizeof payload,
			         "{\"iss\":\"https://%c\",\"aud\":\"arena\",\"exp\":1700000060}",
			         "ij"[says]);
			char *token = issuer_token(who == 0 ? &issuers[JWS_EC] : &other, JWS_ES256,
			                           "{\"alg\":\"ES256\",\"kid\":\"1\"}", payload);
			enum jwt_fault fault = jwt_verify(&expected, span_str(token),
			                                  NOW_S * (uint64_t)1000, &claims);
			assert_int_equal(fault, who == says ? JWT_VALID : JWT_SIGNATURE);
			jwt_claims_finish(&claims);
			free(token);
		}
	jwk_set_destroy(&of_i);
	jwk_set_destroy(&of_j);
	free(jwk);
	issuer_finish(&other);
}

/* A thousand keys without names are no way to make each request dear. */
static void so_many_keys_are_tried_and_no_more(void **state)
{
	(void)state;
	struct jwt_keys keys[JWT_TRIES_MAX + 1];
	char *jwk = issuer_jwk(&issuers[JWS_OCT], "");
	struct jwk_set *right = set_of(jwk), *wrong;
	enum jwk_fault fault;
	wrong = jwk_set_of_secret(SPAN("ffffffffffffffffffffffffffffffff"), &fault);
	for (size_t i = 0; i <= JWT_TRIES_MAX; i++)
		keys[i] = (struct jwt_keys){.set = i < JWT_TRIES_MAX ? wrong : right};
	struct jwt_expectations expected = usual;
	expected.keys = keys;
	char *token = issuer_token(&issuers[JWS_OCT], JWS_HS256, "{\"alg\":\"HS256\"}", GOOD);
	for (size_t from = 0; from < 2; from++) {
		struct jwt_claims claims;
		expected.keys = keys + from;
		expected.keys_count = JWT_TRIES_MAX + 1 - from;
		assert_int_equal(
		        jwt_verify(&expected, span_str(token), NOW_S * (uint64_t)1000, &claims),
		        from == 0 ? JWT_KEY_UNKNOWN : JWT_VALID);
		jwt_claims_finish(&claims);
	}
	free(token);
	free(jwk);
	jwk_set_destroy(&right);
	jwk_set_destroy(&wrong);
}

static void lists_of_algorithms(void **state)
{
	unsigned algs;
	(void)state;
	assert_true(jws_algs_parse("ES256", &algs));
	assert_int_equal(algs, jws_bit(JWS_ES256));
	assert_true(jws_algs_parse("HS256,RS256,PS256,ES256,EdDSA", &algs));
	assert_int_equal(algs, (1u << JWS_ALGS_COUNT) - 1);
	assert_false(jws_algs_parse("", &algs));
	assert_false(jws_algs_parse("none", &algs));
	assert_false(jws_algs_parse("ES256,", &algs));
	assert_false(jws_algs_parse("es256", &algs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(vectors_of_rfc_7515),
	        cmocka_unit_test(vector_of_rfc_8037),
	        cmocka_unit_test(each_algorithm_where_it_is_allowed),
	        cmocka_unit_test(no_bit_can_be_changed),
	        cmocka_unit_test(algorithms_are_not_confused),
	        cmocka_unit_test(headers),
	        cmocka_unit_test(claims),
	        cmocka_unit_test(what_is_not_expected_need_not_be_there),
	        cmocka_unit_test(texts_that_are_none),
	        cmocka_unit_test(nothing_stands_behind_the_claims),
	        cmocka_unit_test(one_byte_too_many),
	        cmocka_unit_test(who_names_a_key_means_it),
	        cmocka_unit_test(keys_belong_to_their_issuer),
	        cmocka_unit_test(so_many_keys_are_tried_and_no_more),
	        cmocka_unit_test(lists_of_algorithms),
	};
	return cmocka_run_group_tests(tests, make_issuers, finish_issuers);
}
