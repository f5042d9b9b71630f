#include "worker-sse/edge/pass.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { NOW = 1000000 };
static struct pass_keys keys;

static struct pass token_pass(enum pass_kind kind)
{
	struct pass pass = {.kind = kind, .expires_ms = NOW + 1};
	memset(pass.digest, 0xd1, sizeof pass.digest);
	if (kind == PASS_TICKET)
		pass.rights = SPAN("read=/v1/stream/a/**");
	return pass;
}

static struct pass jwt_pass(enum pass_kind kind)
{
	struct pass pass = token_pass(kind);
	pass.jwt = true;
	pass.key = 0x4b4b4b4b4b4b4b4b;
	pass.subject = SPAN("jwt:https://issuer.example/ auth0|1234");
	pass.maker = SPAN("read=/v1/stream/** append=/v1/stream/a");
	return pass;
}

static int setup(void **state)
{
	uint8_t secret[PASS_SECRET_BYTES];
	(void)state;
	for (size_t i = 0; i < sizeof secret; i++)
		secret[i] = (uint8_t)i;
	pass_keys_make(secret, &keys);
	return 0;
}

static enum pass_result try(const struct pass_keys *with, enum pass_kind kind, const char *text,
                            uint64_t now_ms)
{
	struct pass pass;
	uint8_t *bytes;
	enum pass_result result = pass_open(with, kind, span_str(text), now_ms, &pass, &bytes);
	assert_true((result == PASS_GOOD) == (bytes != NULL));
	free(bytes);
	return result;
}

static void what_was_sealed_is_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		enum pass_kind kind = i & 1 ? PASS_TICKET : PASS_COOKIE;
		struct pass made = i & 2 ? jwt_pass(kind) : token_pass(kind), found;
		char *text = pass_seal(&keys, &made);
		uint8_t *bytes;
		assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                              "0123456789-_"),
		                 strlen(text));
		assert_memory_equal(text, kind == PASS_TICKET ? "rst_" : "rsc_", 4);
		assert_int_equal(pass_open(&keys, kind, span_str(text), NOW, &found, &bytes),
		                 PASS_GOOD);
		assert_int_equal(found.jwt, made.jwt);
		assert_int_equal(found.expires_ms, made.expires_ms);
		assert_memory_equal(found.digest, made.digest, sizeof made.digest);
		assert_true(found.key == made.key);
		assert_true(span_equal(found.rights, made.rights));
		assert_true(span_equal(found.subject, made.subject));
		assert_true(span_equal(found.maker, made.maker));
		free(bytes);
		free(text);
	}
}

static void it_ends_when_it_says(void **state)
{
	struct pass made = token_pass(PASS_COOKIE);
	char *text = pass_seal(&keys, &made);
	(void)state;
	assert_int_equal(try(&keys, PASS_COOKIE, text, 0), PASS_GOOD);
	assert_int_equal(try(&keys, PASS_COOKIE, text, NOW), PASS_GOOD);
	assert_int_equal(try(&keys, PASS_COOKIE, text, NOW + 1), PASS_EXPIRED);
	free(text);
}

static void one_is_none_of_another_kind_or_key(void **state)
{
	struct pass made = token_pass(PASS_COOKIE);
	char *text = pass_seal(&keys, &made);
	struct pass_keys others;
	uint8_t secret[PASS_SECRET_BYTES] = {1};
	(void)state;
	assert_int_equal(try(&keys, PASS_TICKET, text, NOW), PASS_BAD);
	text[2] = 't'; /* says that it is a ticket */
	assert_int_equal(try(&keys, PASS_TICKET, text, NOW), PASS_BAD);
	text[2] = 'c';
	pass_keys_make(secret, &others);
	assert_int_equal(try(&others, PASS_COOKIE, text, NOW), PASS_BAD);
	for (unsigned i = 0; i < 2; i++)
		assert_memory_not_equal(keys.kinds[i].seal, keys.kinds[i].hide, 32);
	assert_memory_not_equal(keys.kinds[0].seal, keys.kinds[1].seal, 32);
	assert_memory_not_equal(keys.kinds[0].hide, keys.kinds[1].hide, 32);
	free(text);
}

/* Each bit of it, each of its beginnings, and what may stand around it. */
static void nothing_in_it_can_be_changed(void **state)
{
	struct pass made = jwt_pass(PASS_TICKET);
	char *text = pass_seal(&keys, &made), changed[PASS_TEXT_MAX];
	size_t len = strlen(text);
	(void)state;
	for (size_t i = 0; i < len * 8; i++) {
		memcpy(changed, text, len + 1);
		changed[i / 8] = (char)(changed[i / 8] ^ 1 << i % 8);
		assert_int_not_equal(try(&keys, PASS_TICKET, changed, NOW), PASS_GOOD);
	}
	for (size_t i = 0; i < len; i++) {
		memcpy(changed, text, len + 1);
		changed[i] = '\0';
		assert_int_equal(try(&keys, PASS_TICKET, changed, NOW), PASS_BAD);
	}
	static const char *const more[] = {"=", "A", " ", "\n", "AAAA"};
	for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
		memcpy(changed, text, len + 1);
		strcat(changed, more[i]);
		assert_int_equal(try(&keys, PASS_TICKET, changed, NOW), PASS_BAD);
	}
	free(text);
}

/* Whoever holds one does not learn whose it is: a digest of a short token could be tried out. */
static void nothing_of_it_can_be_read(void **state)
{
	struct pass made = jwt_pass(PASS_TICKET);
	char *text = pass_seal(&keys, &made);
	uint8_t bytes[PASS_TEXT_MAX];
	int64_t len = base64url_decode(span_str(text + 4), bytes);
	(void)state;
	assert_true(len > 0);
	assert_null(memmem(bytes, (size_t)len, made.digest, 4));
	assert_null(memmem(bytes, (size_t)len, "jwt:", 4));
	assert_null(memmem(bytes, (size_t)len, "read", 4));
	free(text);
}

static void what_is_too_long_is_not_sealed(void **state)
{
	char *long_text = xcalloc(1, PASS_RIGHTS_MAX + 1);
	struct pass made = jwt_pass(PASS_TICKET);
	(void)state;
	made.subject = span_of(long_text, PASS_SUBJECT_MAX + 1);
	assert_null(pass_seal(&keys, &made));
	made.subject = span_of(long_text, PASS_SUBJECT_MAX);
	made.rights = span_of(long_text, PASS_RIGHTS_MAX + 1);
	assert_null(pass_seal(&keys, &made));
	made.rights = span_of(long_text, PASS_RIGHTS_MAX);
	made.maker = span_of(long_text, PASS_RIGHTS_MAX); /* each may be, but not together */
	assert_null(pass_seal(&keys, &made));
	made.maker = SPAN("");
	char *text = pass_seal(&keys, &made);
	assert_int_equal(try(&keys, PASS_TICKET, text, NOW), PASS_GOOD);
	free(text);
	free(long_text);
}

/* As Python's hmac and the openssl tool make it from the secret 00 01 ... 1f: a pass outlives the
 * program that made it. */
static void the_format_stays(void **state)
{
	static const char known[] =
	        "rst_Ae7kWIg8MHTbP5zJoAflLHhgx8DTCwgtqQjLj1bz9vkmtHlKp-v6uqbF-9wT"
	        "COkyq9ToMH7BFo2JYf9QYP0JmBPT0pArShpBDmjScb92Vv-6Mou9ZG-5Lpzkz1-b"
	        "OIUC0cM";
	struct pass made = token_pass(PASS_TICKET);
	(void)state;
	char *text = pass_seal(&keys, &made);
	assert_string_equal(text, known);
	free(text);
}

static void what_is_none_is_bad(void **state)
{
	static const char *const bad[] = {
	        "",       "r",      "rsc_", "rsc_A",
	        "rsc_AQ", "rst_AQ", "x",    "rsc_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	char *huge = xcalloc(1, PASS_TEXT_MAX + 2);
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(try(&keys, PASS_COOKIE, bad[i], NOW), PASS_BAD);
		assert_int_equal(try(&keys, PASS_TICKET, bad[i], NOW), PASS_BAD);
	}
	memset(huge, 'A', PASS_TEXT_MAX + 1);
	memcpy(huge, "rsc_", 4);
	assert_int_equal(try(&keys, PASS_COOKIE, huge, NOW), PASS_BAD);
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_sealed_is_found),
	        cmocka_unit_test(it_ends_when_it_says),
	        cmocka_unit_test(one_is_none_of_another_kind_or_key),
	        cmocka_unit_test(nothing_in_it_can_be_changed),
	        cmocka_unit_test(nothing_of_it_can_be_read),
	        cmocka_unit_test(what_is_too_long_is_not_sealed),
	        cmocka_unit_test(the_format_stays),
	        cmocka_unit_test(what_is_none_is_bad),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
