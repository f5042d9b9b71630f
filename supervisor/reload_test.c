#include "supervisor/reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64], reason[SETTINGS_REASON_MAX];
static struct options options = {.config = path};
static struct settings loaded, in_effect;
static struct reload reload;

static void configure(const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "/tmp/ringside-reload-XXXXXX");
	close(mkstemp(path));
	configure("log.level: warn\nsse_workers: 2\n");
	if (!options_load(&options, &loaded, reason))
		return -1;
	settings_copy(&in_effect, &loaded);
	return 0;
}

static int end(void **state)
{
	(void)state;
	settings_finish(&loaded);
	settings_finish(&in_effect);
	return unlink(path);
}

static bool read_again(const char *text)
{
	configure(text);
	return reload_read(&reload, &options, &loaded, &in_effect, reason);
}

static void finish(void)
{
	settings_finish(&reload.fresh);
	settings_finish(&reload.next);
	json_decref(reload.report);
}

/* The report as text. */
static const char *report(void)
{
	static char text[512];
	char *json = json_dumps(reload.report, JSON_COMPACT);
	snprintf(text, sizeof text, "%s", json);
	free(json);
	return text;
}

static void test_nothing_changed(void **state)
{
	(void)state;
	assert_true(read_again("log.level: warn\nsse_workers: 2\n"));
	assert_string_equal(report(), "{\"changed\":[],\"restarting\":false,\"needs_restart\":[]}");
	assert_false(reload.workers);
	finish();
}

static void test_a_live_key_is_taken(void **state)
{
	(void)state;
	assert_true(read_again("log.level: debug\nsse_workers: 2\n"));
	assert_string_equal(
	        report(),
	        "{\"changed\":[\"log.level\"],\"restarting\":false,\"needs_restart\":[]}");
	assert_string_equal(reload.next.log_level, "debug");
	assert_string_equal(in_effect.log_level, "warn"); /* it only reads */
	finish();
}

static void test_some_keys_restart_the_workers(void **state)
{
	(void)state;
	assert_true(read_again("log.level: warn\nsse_workers: 2\nstore.commit_priority: 3\n"));
	assert_true(reload.workers);
	finish();
}

/* It is named until the start that it waits for. */
static void test_a_start_key_stays(void **state)
{
	(void)state;
	const char *text = "log.level: warn\nsse_workers: 2\nlisten: 127.0.0.1:1\n";
	assert_true(read_again(text));
	assert_string_equal(report(),
	                    "{\"changed\":[],\"restarting\":false,\"needs_restart\":[\"listen\"]}");
	assert_string_equal(reload.next.listen, in_effect.listen);
	settings_finish(&loaded);
	settings_copy(&loaded, &reload.fresh);
	finish();
	assert_true(read_again(text));
	assert_string_equal(report(),
	                    "{\"changed\":[],\"restarting\":false,\"needs_restart\":[\"listen\"]}");
	finish();
}

/* ringsidectl scale, ringsidectl log-level. */
static void test_what_was_given_at_run_time_stays_until_its_key_changes(void **state)
{
	(void)state;
	assert_true(settings_set(&in_effect, span_str("sse_workers"), span_str("5"), reason));
	assert_true(read_again("log.level: debug\nsse_workers: 2\n"));
	assert_string_equal(reload.next.sse_workers, "5");
	finish();
	assert_true(read_again("log.level: warn\nsse_workers: 3\n"));
	assert_string_equal(reload.next.sse_workers, "3");
	finish();
}

static void test_an_unreadable_configuration_is_refused(void **state)
{
	(void)state;
	assert_false(read_again("log.level: warn\nno_such_key: 1\n"));
	assert_non_null(strstr(reason, ":2: "));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(nothing_changed),
	        TEST(a_live_key_is_taken),
	        TEST(some_keys_restart_the_workers),
	        TEST(a_start_key_stays),
	        TEST(what_was_given_at_run_time_stays_until_its_key_changes),
	        TEST(an_unreadable_configuration_is_refused),
	};
#undef TEST
	return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
