#include "supervisor/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const struct limits none = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
static const struct settings usual = {.store_ring_bytes = 256 << 20,
                                      .store_map_bytes = 64ull << 30};

static void assert_refused(struct limits limits, const char *limit, const char *need)
{
	char reason[SETTINGS_REASON_MAX] = "";
	assert_false(limits_suffice(&limits, &usual, 4, reason, sizeof reason));
	assert_non_null(strstr(reason, limit));
	assert_non_null(strstr(reason, need));
}

static void assert_enough(struct limits limits, const struct settings *settings)
{
	char reason[SETTINGS_REASON_MAX] = "";
	assert_true(limits_suffice(&limits, settings, 4, reason, sizeof reason));
}

static void test_each_limit_is_named_with_what_needs_more(void **state)
{
	(void)state;
	struct limits l = none;
	assert_enough(l, &usual);
	l.files = 64;
	assert_refused(l, "RLIMIT_NOFILE", "workers");
	l = none;
	l.file_bytes = 100 << 20;
	assert_refused(l, "RLIMIT_FSIZE", "store.ring_bytes");
	l = none;
	l.address_bytes = 8ull << 30;
	assert_refused(l, "RLIMIT_AS", "store.map_bytes");
	l = none;
	l.stack_bytes = 64 << 10;
	assert_refused(l, "RLIMIT_STACK", "threads");
	l = none;
	l.processes = 8;
	assert_refused(l, "RLIMIT_NPROC", "workers");
}

static void test_smaller_settings_make_do_with_less(void **state)
{
	(void)state;
	const struct settings small = {.store_ring_bytes = 8 << 20, .store_map_bytes = 1 << 30};
	struct limits l = none;
	l.files = 256;
	l.file_bytes = 100 << 20;
	l.address_bytes = 8ull << 30;
	assert_enough(l, &small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_each_limit_is_named_with_what_needs_more),
	        cmocka_unit_test(test_smaller_settings_make_do_with_less),
	};
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
