#include "supervisor/idle_rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* What is said of them, with newlines between. */
static const char *said(const char *text)
{
	static char lines[1024];
	char reason[RIGHTS_REASON_ROOM];
	size_t i, len = 0;
	json_t *line;
	struct rights *rights = rights_of_text(span_str(text), reason);
	if (rights == NULL)
		fail_msg("%s", reason);
	json_t *all = idle_rights(rights);
	*lines = '\0';
	json_array_foreach (all, i, line)
		len += (size_t)snprintf(lines + len, sizeof lines - len, "%s\n",
		                        json_string_value(line));
	json_decref(all);
	rights_release(&rights);
	return lines;
}

static void test_none_at_all(void **state)
{
	(void)state;
	assert_string_equal(said(""), "it has no right: add VERB=PATTERN\n");
}

static void test_what_can_be_asked_for_is_not_idle(void **state)
{
	(void)state;
	static const char *const useful[] = {
	        "read=arena/**",
	        "read=/**",
	        "read=/v1/*/x",
	        "read=/v*/markets",
	        "read=/v1/markets,/v1/markets/**,/v1/duels,/v1/feeds/arena,/v1/oracle/**",
	        "read=/v1/events,/v1/hls/x,/sessions/**,/v1/sessions/x,/streams/x",
	        "operate=/v1/outputs,/v1/outputs/**,/v1/ledger/**",
	        "operate=outputs/**",
	        "metrics=/metrics",
	        "post=arena frames=arena bet=accounts",
	        "view=/v1/hls/** render=/stream,/stream/**",
	};
	for (size_t i = 0; i < sizeof useful / sizeof *useful; i++)
		assert_string_equal(said(useful[i]), "");
}

static void test_mistyped_paths_are_named(void **state)
{
	(void)state;
	assert_string_equal(said("read=/arena/**,x,/v1/streams/x,/v1/stream append=/v2/**"),
	                    "read=/arena/**: no request has such a path\n"
	                    "read=/v1/streams/x: no request has such a path\n"
	                    "read=/v1/stream: no request has such a path\n"
	                    "append=/v2/**: no request has such a path\n");
	assert_string_equal(said("operate=/outputs/**,output/** metrics=/metric"),
	                    "operate=/outputs/**: no request has such a path\n"
	                    "operate=output/**: no request has such a path\n"
	                    "metrics=metric: no request has such a path\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_none_at_all),
	        cmocka_unit_test(test_what_can_be_asked_for_is_not_idle),
	        cmocka_unit_test(test_mistyped_paths_are_named),
	};
	return cmocka_run_group_tests_name("idle_rights", tests, NULL, NULL);
}
