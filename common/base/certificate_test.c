#include "common/base/certificate.h"
#include "common/base/clock.h"
#include "tests/doubles/certificate_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { DAY_S = 86400 };

static struct certificate certificate;
static char reason[CERTIFICATE_REASON_ROOM];

static bool reads(const char *chain, const char *key)
{
	*reason = '\0';
	return certificate_read(&certificate, span_str(chain), span_str(key), clock_wall_ms(),
	                        reason);
}

static void a_pair_is_read(void **state)
{
	(void)state;
	for (int kind = CERTIFICATE_EC; kind <= CERTIFICATE_RSA; kind++) {
		struct certificate_made made =
		        certificate_make((enum certificate_kind)kind, "DNS:a.example", 0, DAY_S);
		char name[64];
		assert_true(reads(made.chain, made.key));
		certificate_name(&certificate, name, sizeof name);
		assert_string_equal(name, "a.example");
		int64_t left =
		        certificate_expires_s(&certificate) - (int64_t)(clock_wall_ms() / 1000);
		assert_in_range(left, DAY_S - 5, DAY_S);
		certificate_finish(&certificate);
		certificate_made_finish(&made);
	}
}

static void what_stands_behind_it_is_its_chain(void **state)
{
	(void)state;
	struct certificate_made one = certificate_make(CERTIFICATE_EC, "DNS:a.example", 0, DAY_S),
	                        other = certificate_make(CERTIFICATE_EC, NULL, 0, DAY_S);
	char both[8192];
	snprintf(both, sizeof both, "%s\nwords between\n%s", one.chain, other.chain);
	assert_true(reads(both, one.key));
	assert_int_equal(sk_X509_num(certificate.chain), 1);
	certificate_finish(&certificate);
	snprintf(both, sizeof both, "%s%.*s", one.chain, 200, other.chain);
	assert_false(reads(both, one.key));
	assert_string_equal(reason, "one of the chain's certificates cannot be read");
	certificate_finish(&certificate);
	certificate_made_finish(&one);
	certificate_made_finish(&other);
}

static void what_does_not_fit_is_refused_with_its_reason(void **state)
{
	(void)state;
	struct certificate_made one = certificate_make(CERTIFICATE_EC, NULL, 0, DAY_S),
	                        other = certificate_make(CERTIFICATE_EC, NULL, 0, DAY_S),
	                        old = certificate_make(CERTIFICATE_EC, NULL, -2 * DAY_S, -1),
	                        weak = certificate_make(CERTIFICATE_RSA_SHORT, NULL, 0, DAY_S);
	const struct {
		const char *chain, *key, *reason;
	} rows[] = {
	        {"", one.key, "the file has no certificate in PEM"},
	        {one.key, one.key, "the file has no certificate in PEM"},
	        {one.chain, "", "the key file has no private key in PEM, or one with a passphrase"},
	        {one.chain, one.chain,
	         "the key file has no private key in PEM, or one with a passphrase"},
	        {one.chain, other.key, "the key is not that of the certificate"},
	        {old.chain, old.key, "the certificate has expired"},
	        {weak.chain, weak.key, "the key is too short to be safe (RSA needs 2048 bits)"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_false(reads(rows[i].chain, rows[i].key));
		assert_string_equal(reason, rows[i].reason);
		certificate_finish(&certificate);
		certificate_finish(&certificate);
	}
	certificate_made_finish(&one);
	certificate_made_finish(&other);
	certificate_made_finish(&old);
	certificate_made_finish(&weak);
}

static void names_are_matched_as_clients_ask_for_them(void **state)
{
	(void)state;
	struct certificate_made made = certificate_make(
	        CERTIFICATE_EC, "DNS:a.example,DNS:*.b.example,IP:127.0.0.1", 0, DAY_S);
	assert_true(reads(made.chain, made.key));
	static const struct {
		const char *host;
		bool is;
	} rows[] = {
	        {"a.example", true},   {"A.Example", true},      {"b.example", false},
	        {"x.b.example", true}, {"x.y.b.example", false}, {"xa.example", false},
	        {"", false},           {"127.0.0.1", false},     {"a.example.", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows - 1; i++)
		if (certificate_is_for(&certificate, span_str(rows[i].host)) != rows[i].is)
			fail_msg("%s", rows[i].host);
	certificate_finish(&certificate);
	certificate_made_finish(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_pair_is_read),
	        cmocka_unit_test(what_stands_behind_it_is_its_chain),
	        cmocka_unit_test(what_does_not_fit_is_refused_with_its_reason),
	        cmocka_unit_test(names_are_matched_as_clients_ask_for_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
