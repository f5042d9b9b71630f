#include "worker-bridge/solana_address.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct solana_address program;

static void derives_to(const struct span *seeds, size_t count, const char *expected)
{
	struct solana_address derived;
	char text[SOLANA_ADDRESS_ROOM];
	solana_address_derive(seeds, count, &program, &derived);
	solana_address_print(&derived, text);
	assert_string_equal(text, expected);
	assert_false(solana_address_on_curve(&derived));
}

/* As @solana/kit derives them; the bumps are 252 to 255. */
static void as_others_derive_them(void **state)
{
	static const char *const of_numbers[] = {"DZXy9iFeSqKs5Vza3wnYbdkauJcYLGb25DHx8xAA1FZE",
	                                         "8Ku1J8XEp3wivWQZw4CnwuXb4LyDzskuDFpUUXivcsRj",
	                                         "H9j9cUUVQZCMbwvR8ZcTw2UYcsqhiTQyvEHV5wLRxW9r",
	                                         "6BeyMSabeNjZ58mUDvzftocA6JMr2JuHiqrwqr1p5cLa",
	                                         "7MdbqNJNsubC6hSMgQqoB5wJxun7XCfqBGcMMTbSeeNi",
	                                         "8r3CSRAkSW78WJTcWUrLWYRTetrwKD4MpLuZrj1MbigY",
	                                         "79wjo45e94bNzMXK2mRZ2y9BjRLvyruxDUhiCUFKHiwA",
	                                         "8moSUtoGh1XSynLXgNhcfDHG6P6cNusWPUkgX2D7ocbr"};
	uint8_t digest[32], kind = 1;
	(void)state;
	derives_to((struct span[]){SPAN("oracle_config")}, 1,
	           "Bs542fnuGuBxaigwr5NZVcpvbv1o3BsbUF6RgsnwFc9M");
	derives_to((struct span[]){SPAN("config")}, 1,
	           "FhDsQKa7CNgQcpVDZeogGZTrsrx6Sb3ins59iZas9uy7");
	derives_to((struct span[]){SPAN("")}, 1, "DNKLRoKoM7XxX2iW1PTnqo6iP6CPpVDBgeN9hrpu2R2R");
	SHA256((const uint8_t *)"a duel", 6, digest);
	derives_to((struct span[]){SPAN("duel"), span_of(digest, 32)}, 2,
	           "2T5YGw6d6Be8xJZBpGoihzd1hKKs8AF5zqC4ub9dSnKp");
	SHA256((const uint8_t *)"x", 1, digest);
	derives_to((struct span[]){SPAN("market"), span_of(digest, 32), span_of(&kind, 1)}, 3,
	           "AVw2SpG9jTUxYfxxgJKEGiQXU1ExrqNkurWjvD4DjKEP");
	for (uint8_t n = 0; n < 8; n++)
		derives_to((struct span[]){SPAN("n"), span_of(&n, 1)}, 2, of_numbers[n]);
}

static void keys_are_points(void **state)
{
	/* Public keys of RFC 8032, 7.1, and the point 0, 1. */
	static const char *const points[] = {"FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z",
	                                     "586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5",
	                                     "Hyx62wPQGyvXCoihZq1BrbUjBRh2LuNxWiiqMkfAuSZr",
	                                     "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"};
	struct solana_address address;
	(void)state;
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		assert_true(base58_read(points[i], address.bytes, 32));
		assert_true(solana_address_on_curve(&address));
		address.bytes[31] ^= 0x80; /* the sign of x: the other root */
		assert_true(solana_address_on_curve(&address));
	}
}

static int set_up(void **state)
{
	(void)state;
	return base58_read("BPFLoaderUpgradeab1e11111111111111111111111", program.bytes, 32) ? 0
	                                                                                     : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(as_others_derive_them),
	        cmocka_unit_test(keys_are_points),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
