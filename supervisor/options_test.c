#include "supervisor/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64], reason[SETTINGS_REASON_MAX];
static struct options options;
static struct settings settings;

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "/tmp/ringside-options-XXXXXX");
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");
	fputs("limits:\n  headers: 50\n  pipeline: 5\nlog.level: warn\n", file);
	return fclose(file);
}

static int teardown(void **state)
{
	(void)state;
	unsetenv("RINGSIDE_LIMITS_HEADERS");
	unsetenv("RINGSIDE_LIMITS_PIPELINE");
	unsetenv("RINGSIDE_CONFIG");
	return unlink(path);
}

#define ARGUMENTS(...)                                                                             \
	(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[])                             \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define TEXT(literal)                                                                              \
	(char[])                                                                                   \
	{                                                                                          \
		literal                                                                            \
	}

static void test_the_later_wins(void **state)
{
	(void)state;
	setenv("RINGSIDE_LIMITS_HEADERS", "60", 1);
	setenv("RINGSIDE_LIMITS_PIPELINE", "6", 1);
	char *arguments[] = {TEXT("--config"), path, TEXT("--limits-headers=70"), TEXT("--dev")};
	assert_true(options_parse(&options, 4, arguments, reason));
	assert_true(options_load(&options, &settings, reason));
	assert_int_equal(settings.limits_headers, 70);
	assert_int_equal(settings.limits_pipeline, 6);
	assert_string_equal(settings.log_level, "warn");
	assert_true(settings.dev);
	settings_finish(&settings);
}

static void test_config_from_the_environment(void **state)
{
	(void)state;
	setenv("RINGSIDE_CONFIG", path, 1);
	assert_true(options_parse(&options, 0, NULL, reason));
	assert_string_equal(options.config, path);
	assert_true(options_load(&options, &settings, reason));
	assert_int_equal(settings.limits_headers, 50);
	settings_finish(&settings);
	/* A flag wins; an empty one means none. */
	assert_true(options_parse(&options, ARGUMENTS(TEXT("--config=")), reason));
	assert_null(options.config);
}

static void test_again_after_the_file_changed(void **state)
{
	(void)state;
	char *arguments[] = {TEXT("--config"), path};
	assert_true(options_parse(&options, 2, arguments, reason));
	FILE *file = fopen(path, "w");
	fputs("limits.headers: 51\n", file);
	fclose(file);
	assert_true(options_load(&options, &settings, reason));
	assert_int_equal(settings.limits_headers, 51);
	assert_string_equal(settings.log_level, "info");
	settings_finish(&settings);
	file = fopen(path, "w");
	fputs("limits.headers: 51\nlimits.header: 1\n", file);
	fclose(file);
	assert_false(options_load(&options, &settings, reason));
	assert_non_null(strstr(reason, ":2: "));
}

static void test_wrong_arguments(void **state)
{
	(void)state;
	assert_false(options_parse(&options, ARGUMENTS(TEXT("--nonsense")), reason));
	assert_non_null(strstr(reason, "--nonsense"));
	assert_false(
	        options_parse(&options, ARGUMENTS(TEXT("--auth-publish-tokenz=secret")), reason));
	assert_string_equal(
	        reason, "unknown argument '--auth-publish-tokenz' (is auth.publish_tokens meant?)");
	assert_false(options_parse(&options, ARGUMENTS(TEXT("stray")), reason));
	assert_false(options_parse(&options, ARGUMENTS(TEXT("--config")), reason));
	assert_false(options_parse(&options, ARGUMENTS(TEXT("--limits-headers")), reason));
	assert_false(options_parse(&options, ARGUMENTS(TEXT("--limits-headers=x")), reason));
	assert_true(options_parse(&options, ARGUMENTS(TEXT("--dev"), TEXT("--help")), reason));
	assert_true(options.help);
}

/* The order of all five givers: settings_secret_test.c. */
static void test_secrets_are_found(void **state)
{
	(void)state;
	char dir[] = "/tmp/ringside-options-XXXXXX", file[64];
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/auth.source_token", dir);
	FILE *out = fopen(file, "w");
	fputs("of-the-directory\n", out);
	assert_int_equal(fclose(out), 0);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	assert_true(options_parse(&options, 0, NULL, reason));
	assert_true(options_load(&options, &settings, reason));
	assert_string_equal(settings.auth_source_token, "of-the-directory");
	settings_finish(&settings);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(unlink(file) | rmdir(dir), 0);
}

static void test_secrets_among_the_arguments_are_hidden(void **state)
{
	(void)state;
	char *arguments[] = {TEXT("--config"),
	                     path,
	                     TEXT("--bet-sync-token"),
	                     TEXT("hush"),
	                     TEXT("--auth-publish-tokens=hush,hush"),
	                     TEXT("--auth-source-token-file=/none"),
	                     TEXT("--log-level=error")};
	static const char *const left[] = {"--config",
	                                   path,
	                                   "--bet-sync-token",
	                                   "****",
	                                   "--auth-publish-tokens=*********",
	                                   "--auth-source-token-file=/none",
	                                   "--log-level=error"};
	options = (struct options){.config = path, .argc = 7, .argv = arguments};
	options_hide_secrets(&options);
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(arguments[i], left[i]);
	assert_string_equal(options.argv[3], "hush");
	assert_false(options_load(&options, &settings, reason));
	assert_string_equal(reason,
	                    "--auth-source-token-file: auth.source_token_file: /none: No such "
	                    "file or directory");
	options.argc = 5;
	for (unsigned again = 0; again < 2; again++) {
		assert_true(options_load(&options, &settings, reason));
		assert_string_equal(settings.bet_sync_token, "hush");
		assert_string_equal(settings.auth_publish_tokens, "hush,hush");
		settings_finish(&settings);
	}
	for (size_t i = 0; i < 7; i++)
		free(options.argv[i]);
	free(options.argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_the_later_wins),
	        T(test_config_from_the_environment),
	        T(test_again_after_the_file_changed),
	        T(test_wrong_arguments),
	        T(test_secrets_are_found),
	        T(test_secrets_among_the_arguments_are_hidden),
#undef T
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
