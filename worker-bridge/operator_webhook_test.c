#include "worker-bridge/operator_webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum operator_outcome judged(enum market_step step, const char *view)
{
	const struct market m = {.side = "B"};
	return operator_webhook_judge(&m, step, span_str(view));
}

static void a_view_shows_a_step_or_not(void **state)
{
	const enum operator_outcome DONE = OPERATOR_DONE, AGAIN = OPERATOR_AGAIN,
	                            NEVER = OPERATOR_FINAL;
	const struct {
		const char *view;
		enum operator_outcome create, lock, resolve, cancel;
	} rows[] = {
	        {"{\"state\":\"open\"}", DONE, AGAIN, AGAIN, AGAIN},
	        {"{\"state\":\"locked\",\"winnerSide\":\"\"}", DONE, DONE, AGAIN, AGAIN},
	        {"{\"state\":\"resolved\",\"winnerSide\":\"B\"}", NEVER, NEVER, DONE, NEVER},
	        {"{\"state\":\"resolved\",\"winnerSide\":\"A\"}", NEVER, NEVER, NEVER, NEVER},
	        {"{\"state\":\"resolved\",\"winnerSide\":\"\"}", NEVER, NEVER, NEVER, NEVER},
	        {"{\"state\":\"resolved\"}", NEVER, NEVER, NEVER, NEVER},
	        {"{\"state\":\"cancelled\"}", NEVER, NEVER, NEVER, DONE},
	        {"{\"state\":\"odd\"}", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"{\"state\":7}", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"{\"state\":\"open\",\"state\":\"cancelled\"}", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"[\"open\"]", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"null", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"{\"state\":\"open\"", AGAIN, AGAIN, AGAIN, AGAIN},
	        {"", AGAIN, AGAIN, AGAIN, AGAIN},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(judged(MARKET_STEP_CREATE, rows[i].view), rows[i].create);
		assert_int_equal(judged(MARKET_STEP_LOCK, rows[i].view), rows[i].lock);
		assert_int_equal(judged(MARKET_STEP_RESOLVE, rows[i].view), rows[i].resolve);
		assert_int_equal(judged(MARKET_STEP_CANCEL, rows[i].view), rows[i].cancel);
	}
}

static void a_damaged_view_shows_nothing_else(void **state)
{
	static const char good[] = "{\"state\":\"locked\",\"winnerSide\":\"\"}";
	unsigned seed = 7;
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		const struct market m = {.side = "A"};
		uint8_t bytes[sizeof good - 1];
		memcpy(bytes, good, sizeof bytes);
		for (unsigned i = 0; i < 2; i++)
			bytes[(unsigned)rand_r(&seed) % sizeof bytes] = (uint8_t)rand_r(&seed);
		size_t len = (unsigned)rand_r(&seed) % (sizeof bytes + 1);
		assert_int_not_equal(
		        operator_webhook_judge(&m, MARKET_STEP_RESOLVE, span_of(bytes, len)),
		        OPERATOR_DONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_view_shows_a_step_or_not),
	        cmocka_unit_test(a_damaged_view_shows_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
