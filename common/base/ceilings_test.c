#include "common/base/ceilings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct settings usual = {.limits_body_bytes_total = 512 << 20,
                                      .limits_waiting_bytes_total = 512 << 20,
                                      .call_queue_bytes = 8 << 20,
                                      .capture_message_bytes = 16 << 20,
                                      .log_buffer_bytes = 256 << 10};

static struct ceilings find(uint64_t memory_bytes, unsigned listeners, unsigned others)
{
	struct ceilings c;
	const struct ceilings_among among = {memory_bytes, listeners, others};
	ceilings_find(&c, &usual, &among);
	return c;
}

static void test_without_a_limit_the_settings_hold(void **state)
{
	(void)state;
	const struct ceilings c = find(UINT64_MAX, 64, 2);
	assert_int_equal(c.body_bytes, usual.limits_body_bytes_total);
	assert_int_equal(c.waiting_bytes, usual.limits_waiting_bytes_total);
	assert_int_equal(c.link_bytes, usual.call_queue_bytes);
	assert_int_equal(c.message_bytes, usual.capture_message_bytes);
	assert_int_equal(c.log_bytes, usual.log_buffer_bytes);
	assert_int_equal(c.bus_bytes, 8 << 20);
}

static void test_each_worker_and_link_has_its_part(void **state)
{
	(void)state;
	const struct ceilings one = find(256 << 20, 1, 2), two = find(256 << 20, 2, 2);
	assert_int_equal(one.body_bytes, 64 << 20);
	assert_int_equal(two.body_bytes, 32 << 20);
	assert_int_equal(one.waiting_bytes, 32 << 20);
	assert_int_equal(two.waiting_bytes, 16 << 20);
	assert_int_equal(one.link_bytes, (32 << 20) / 12);
	assert_int_equal(one.message_bytes, 8 << 20);
	assert_int_equal(one.log_bytes, usual.log_buffer_bytes);
}

static void test_what_works_is_left(void **state)
{
	(void)state;
	const struct ceilings c = find(16 << 20, 8, 2);
	assert_int_equal(c.link_bytes, CEILINGS_LINK_MIN);
	assert_int_equal(c.bus_bytes, CEILINGS_LINK_MIN);
	assert_int_equal(c.message_bytes, CEILINGS_MESSAGE_MIN);
	assert_int_equal(c.log_bytes, (16 << 20) / 32 / 11);
	assert_int_equal(find(0, 0, 0).log_bytes, CEILINGS_LOG_MIN);
}

static void test_a_floor_is_not_above_the_setting(void **state)
{
	(void)state;
	struct settings small = usual;
	struct ceilings c;
	const struct ceilings_among among = {16 << 20, 1, 2};
	small.capture_message_bytes = 1 << 20;
	ceilings_find(&c, &small, &among);
	assert_int_equal(c.message_bytes, 1 << 20);
}

static void test_shares_shrink_and_keep_together_below_the_ceiling(void **state)
{
	(void)state;
	const size_t max = 32 << 20;
	size_t used = 0, last = 256 << 10;
	for (int readers = 0; readers < 10000; readers++) {
		size_t share = ceilings_share(max, used, 4096, 256 << 10);
		assert_true(share <= last);
		assert_int_equal(share & (share - 1), 0);
		last = share;
		used += share;
	}
	assert_int_equal(last, 4096);
	assert_true(used <= max + (size_t)10000 * 4096);
	assert_int_equal(ceilings_share(max, 0, 4096, 256 << 10), 256 << 10);
	assert_int_equal(ceilings_share(max, max + 1, 4096, 256 << 10), 4096);
	assert_int_equal(ceilings_share(SIZE_MAX, 0, 4096, SIZE_MAX), (size_t)1 << 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_without_a_limit_the_settings_hold),
	        cmocka_unit_test(test_each_worker_and_link_has_its_part),
	        cmocka_unit_test(test_what_works_is_left),
	        cmocka_unit_test(test_a_floor_is_not_above_the_setting),
	        cmocka_unit_test(test_shares_shrink_and_keep_together_below_the_ceiling),
	};
	return cmocka_run_group_tests_name("ceilings", tests, NULL, NULL);
}
