#include "common/domain/agent_start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void a_path_is_below_a_root_by_its_segments(void **state)
{
	static const struct {
		const char *roots, *path, *root, *rest; /* root NULL: none */
	} rows[] = {
	        {"/srv/a", "/srv/a", "/srv/a", ""},
	        {"/srv/a/", "/srv/a/b/c", "/srv/a", "b/c"},
	        {"/srv/a", "/srv/ab", NULL, NULL},
	        {"/srv/a", "/srv", NULL, NULL},
	        {"/srv/a", "srv/a", NULL, NULL},
	        {"/srv/a", "", NULL, NULL},
	        {"", "/srv/a", NULL, NULL},
	        {"srv", "/srv", NULL, NULL},
	        {" /srv , /srv/a ", "/srv/a/x", "/srv/a", "x"},
	        {"/srv/a,/srv", "/srv/b", "/srv", "b"},
	        {"/", "/etc", "/", "etc"},
	        {"/srv/a", "/srv/a//b", "/srv/a", "b"},
	        {"/srv/a", "/srv/a/../b", "/srv/a", "../b"}, /* beneath.h refuses it */
	        {"/srv/a,/srv/b", NULL, "/srv/a", ""},
	        {"", NULL, NULL, NULL},
	};
	static struct agent_place place;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct span path = rows[i].path != NULL ? span_str(rows[i].path) : (struct span){0};
		bool found = agent_place_find(span_str(rows[i].roots), path, &place);
		assert_int_equal(found, rows[i].root != NULL);
		if (found) {
			assert_string_equal(place.root, rows[i].root);
			assert_string_equal(place.rest, rows[i].rest);
		}
	}
	assert_false(agent_place_find(SPAN("/srv"), SPAN("/srv/a\0b"), &place));
}

static void a_folder_stays_below(void **state)
{
	static char longest[AGENT_FOLDER_MAX + 2];
	(void)state;
	assert_true(agent_folder_good(SPAN("new")));
	assert_true(agent_folder_good(SPAN("a/b.c/..d")));
	assert_false(agent_folder_good(SPAN("")));
	assert_false(agent_folder_good(SPAN("/a")));
	assert_false(agent_folder_good(SPAN("a/")));
	assert_false(agent_folder_good(SPAN("a//b")));
	assert_false(agent_folder_good(SPAN("..")));
	assert_false(agent_folder_good(SPAN("a/../../b")));
	assert_false(agent_folder_good(SPAN("./a")));
	assert_false(agent_folder_good(SPAN("a\nb")));
	assert_false(agent_folder_good(SPAN("a\0b")));
	for (size_t i = 0; i < sizeof longest - 1; i++)
		longest[i] = i % 2 ? '/' : 'a';
	assert_false(agent_folder_good(span_str(longest)));
}

static void a_command_is_what_was_configured(void **state)
{
	static const struct span commands =
	        SPAN(" pi = /usr/bin/pi  --quiet x=y, sh=/bin/sh,bare=pi,=/bin/true,empty= ");
	static struct agent_command command;
	(void)state;
	assert_true(agent_command_find(commands, SPAN(""), &command));
	assert_string_equal(command.name, "pi");
	assert_string_equal(command.argv[0], "/usr/bin/pi");
	assert_string_equal(command.argv[1], "--quiet");
	assert_string_equal(command.argv[2], "x=y");
	assert_null(command.argv[3]);
	assert_true(agent_command_find(commands, SPAN("sh"), &command));
	assert_null(command.argv[1]);
	assert_false(agent_command_find(commands, SPAN("bare"), &command));
	assert_false(agent_command_find(commands, SPAN("empty"), &command));
	assert_false(agent_command_find(commands, SPAN("/bin/sh"), &command));
	assert_false(agent_command_find(commands, SPAN("PI"), &command));
	assert_false(agent_command_find(SPAN(""), SPAN(""), &command));
}

static void there_is_an_end_to_arguments(void **state)
{
	static struct agent_command command;
	static char text[2 * AGENT_ARGUMENTS_MAX + 16] = "a=/x";
	(void)state;
	for (size_t i = 1; i < AGENT_ARGUMENTS_MAX; i++)
		strcat(text, " y");
	assert_true(agent_command_find(span_str(text), SPAN("a"), &command));
	strcat(text, " y");
	assert_false(agent_command_find(span_str(text), SPAN("a"), &command));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_path_is_below_a_root_by_its_segments),
	                                   cmocka_unit_test(a_folder_stays_below),
	                                   cmocka_unit_test(a_command_is_what_was_configured),
	                                   cmocka_unit_test(there_is_an_end_to_arguments)};
	return cmocka_run_group_tests_name("agent_start", tests, NULL, NULL);
}
