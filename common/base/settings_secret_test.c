#include "common/base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* A directory of files, gone with the test. */
static char dir[64], reason[SETTINGS_REASON_MAX], said[4096];
static struct settings s;

static int begin(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/ringside-secret-XXXXXX");
	settings_init(&s);
	*said = '\0';
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	char command[128];
	settings_finish(&s);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char paths[32][128]; /* more than a test names */
	static unsigned next;
	char *path = paths[next++ % 32];
	snprintf(path, 128, "%s/%s", dir, name);
	return path;
}

static const char *write_bytes(const char *name, const void *bytes, size_t len)
{
	const char *path = path_of(name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
	return path;
}

static const char *write_text(const char *name, const char *text)
{
	return write_bytes(name, text, strlen(text));
}

static bool give(const char *key, const char *path, enum setting_giver giver)
{
	const struct setting_given given = {.row = setting_find(span_str(key)),
	                                    .value = span_str(path),
	                                    .by_file = true,
	                                    .giver = giver};
	assert_non_null(given.row);
	return settings_give(&s, &given, reason);
}

/* `reason` without this test's directory. */
static void assert_reason(const char *expected)
{
	char text[2 * SETTINGS_REASON_MAX];
	const char *at = strstr(reason, dir);
	snprintf(text, sizeof text, "%.*s%s", at != NULL ? (int)(at - reason) : 0, reason,
	         at != NULL ? at + strlen(dir) + 1 : reason);
	assert_string_equal(text, expected);
}

static void test_what_a_file_may_hold(void **state)
{
	(void)state;
	char longest[515];
	memset(longest, 'a', sizeof longest);
	longest[512] = '\n';
	static const struct {
		const char *text;
		size_t len;
		const char *value, *reason;
	} rows[] = {
	        {"opensesame", 10, "opensesame", NULL},
	        {"opensesame\n", 11, "opensesame", NULL},
	        {"opensesame\n\n", 12, NULL,
	         "auth.source_token_file: f: contains a control character"},
	        {"opensesame\r\n", 12, NULL,
	         "auth.source_token_file: f: contains a control character"},
	        {"open\0sesame", 11, NULL, "auth.source_token_file: f: contains a NUL byte"},
	        {"open sesame", 11, NULL,
	         "auth.source_token_file: f: must be tokens of letters, digits and -._~+/= with "
	         "commas between"},
	        {"a,b", 3, NULL, "auth.source_token_file: f: must be one token"},
	        {"", 0, NULL, "auth.source_token_file: f: is empty"},
	        {"\n", 1, NULL, "auth.source_token_file: f: is empty"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_true(settings_set(&s, SPAN("auth.source_token"), SPAN(""), reason));
		const char *path = write_bytes("f", rows[i].text, rows[i].len);
		bool ok = give("auth.source_token", path, GIVEN_BY_FILE);
		assert_true(ok == (rows[i].value != NULL));
		if (ok)
			assert_string_equal(s.auth_source_token, rows[i].value);
		else
			assert_reason(rows[i].reason);
	}
	assert_true(settings_set(&s, SPAN("auth.source_token"), SPAN(""), reason));
	assert_true(give("auth.source_token", write_bytes("f", longest, 513), GIVEN_BY_FILE));
	assert_int_equal(strlen(s.auth_source_token), 512);
	longest[512] = 'a';
	assert_false(give("auth.source_token", write_bytes("f", longest, 513), GIVEN_BY_FILE));
	assert_reason("auth.source_token_file: f: is longer than 512 bytes");
	assert_false(give("auth.source_token", write_bytes("f", longest, 515), GIVEN_BY_FILE));
	assert_reason("auth.source_token_file: f: is longer than 512 bytes");
}

/* A pipe would keep the supervisor waiting, a directory cannot be read. */
static void test_what_is_no_file(void **state)
{
	(void)state;
	assert_false(give("auth.source_token", path_of("none"), GIVEN_BY_FLAG));
	assert_reason("auth.source_token_file: none: No such file or directory");
	assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
	assert_false(give("auth.source_token", path_of("pipe"), GIVEN_BY_FLAG));
	assert_reason("auth.source_token_file: pipe: is not a regular file");
	assert_false(give("auth.source_token", dir, GIVEN_BY_FLAG));
	assert_non_null(strstr(reason, ": is not a regular file"));
	assert_false(give("auth.source_token", "", GIVEN_BY_FLAG));
	assert_string_equal(reason, "auth.source_token_file: '': needs the path of a file");
	/* Kubernetes' are links. */
	write_text("f", "opensesame");
	assert_int_equal(symlink("f", path_of("link")), 0);
	assert_true(give("auth.source_token", path_of("link"), GIVEN_BY_FLAG));
}

static void test_one_giver_says_it_once(void **state)
{
	(void)state;
	const char *path = write_text("f", "fromfile");
	char yaml[512];
	static const struct {
		const char *before, *after, *reason; /* the path */
	} rows[] = {
	        {"auth.source_token: a\nauth:\n  source_token_file: ", "\n",
	         "y:3: auth.source_token: given as auth.source_token_file, too"},
	        {"auth.source_token_file: ", "\nauth.source_token: a\n",
	         "y:2: auth.source_token: given as auth.source_token_file, too"},
	        {"auth.source_token_file: ", "\nauth.source_token_file: x\n",
	         "y:2: auth.source_token_file: given twice"},
	        {"\nauth.source_token_file: ", ".none\n",
	         "y:2: auth.source_token_file: f.none: No such file or directory"},
	        {"\nlog.level_file: ", "\n", "y:2: unknown key 'log.level_file'"},
	        {"auth.source_tokn_file: ", "\n",
	         "y:1: unknown key 'auth.source_tokn_file' (is auth.source_token_file meant?)"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		settings_finish(&s);
		settings_init(&s);
		snprintf(yaml, sizeof yaml, "%s%s%s", rows[i].before, path, rows[i].after);
		assert_false(settings_load_file(&s, write_text("y", yaml), reason));
		char *at = strstr(reason, dir), *again = strstr(at + 1, dir);
		if (again != NULL)
			memmove(again, again + strlen(dir) + 1,
			        strlen(again + strlen(dir) + 1) + 1);
		assert_reason(rows[i].reason);
	}
	char both[2][256];
	snprintf(both[0], sizeof both[0], "RINGSIDE_AUTH_SOURCE_TOKEN_FILE=%s", path);
	snprintf(both[1], sizeof both[1], "RINGSIDE_AUTH_SOURCE_TOKEN=a");
	char *const environment[] = {both[0], both[1], NULL};
	assert_false(settings_load_environment(&s, environment, reason));
	assert_string_equal(reason, "environment: RINGSIDE_AUTH_SOURCE_TOKEN: auth.source_token: "
	                            "given as auth.source_token_file, too");
	char *flags[] = {(char[]){"--auth-source-token=a"}, (char[]){"--auth-source-token-file"},
	                 both[0] + strlen("RINGSIDE_AUTH_SOURCE_TOKEN_FILE="), NULL};
	assert_int_equal(settings_load_flag(&s, 3, flags, reason), 1);
	assert_int_equal(settings_load_flag(&s, 2, flags + 1, reason), -1);
	assert_string_equal(reason, "--auth-source-token-file: auth.source_token: given as "
	                            "auth.source_token_file, too");
}

/* Flags, environment, file, systemd's directory, secrets_dir, in this order. */
static void test_who_wins(void **state)
{
	(void)state;
	char credentials[96], secrets[96], yaml[256], variable[256], flag[256];
	snprintf(credentials, sizeof credentials, "%s/credentials", dir);
	snprintf(secrets, sizeof secrets, "%s/secrets", dir);
	assert_int_equal(mkdir(credentials, 0700) | mkdir(secrets, 0700), 0);
	write_text("secrets/auth.source_token", "from-secrets\n");
	write_text("credentials/ringside.auth.source_token", "from-credentials\n");
	snprintf(yaml, sizeof yaml, "secrets_dir: %s\nauth.source_token_file: %s\n", secrets,
	         write_text("f", "from-file\n"));
	snprintf(variable, sizeof variable, "RINGSIDE_AUTH_SOURCE_TOKEN_FILE=%s",
	         write_text("e", "from-environment"));
	snprintf(flag, sizeof flag, "--auth-source-token-file=%s", write_text("l", "from-flag"));
	static const char *const winners[] = {"from-secrets", "from-credentials", "from-file",
	                                      "from-environment", "from-flag"};
	for (unsigned n = 0; n < 5; n++) {
		settings_finish(&s);
		settings_init(&s);
		char *const environment[] = {variable, NULL};
		char *flags[] = {flag, NULL};
		assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(secrets), reason));
		if (n >= 2)
			assert_true(settings_load_file(&s, write_text("y", yaml), reason));
		if (n >= 3)
			assert_true(settings_load_environment(&s, environment, reason));
		if (n >= 4)
			assert_int_equal(settings_load_flag(&s, 1, flags, reason), 1);
		assert_true(settings_load_found(&s, n >= 1 ? credentials : NULL, reason));
		assert_string_equal(s.auth_source_token, winners[n]);
		const char *shown = settings_show(&s, setting_find(SPAN("auth.source_token")));
		assert_memory_equal(shown, "(set, from ", 11);
		assert_non_null(strstr(shown, dir));
	}
	/* Who says that there is none says something. */
	settings_finish(&s);
	settings_init(&s);
	assert_true(settings_load_file(&s, write_text("y", "auth.source_token: ''\n"), reason));
	assert_true(settings_load_found(&s, credentials, reason));
	assert_string_equal(s.auth_source_token, "");
}

static void test_directories(void **state)
{
	(void)state;
	assert_true(settings_load_found(&s, path_of("gone"), reason));
	assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(path_of("gone")), reason));
	assert_false(settings_load_found(&s, NULL, reason));
	assert_reason("secrets_dir: gone: No such file or directory");
	assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(dir), reason));
	write_text("log.level", "debug");
	write_text("somebody.else", "x");
	assert_true(settings_load_found(&s, NULL, reason));
	assert_string_equal(s.log_level, "info"); /* no secret */
	write_text("market.webhook_url", "https://hush:hush@example.org/hush\n");
	assert_true(settings_load_found(&s, NULL, reason));
	const char *shown = settings_show(&s, setting_find(SPAN("market.webhook_url")));
	assert_memory_equal(shown, "https://example.org/#", 21);
	assert_non_null(strstr(shown, "market.webhook_url)"));
	assert_null(strstr(shown, "hush"));
	write_text("bet_sync.token", "a");
	write_text("ringside.bet_sync.token", "b");
	assert_false(settings_load_found(&s, NULL, reason));
	assert_non_null(strstr(reason, ": holds ringside.bet_sync.token and bet_sync.token, too"));
	write_text("bet_sync.token", "");
	unlink(path_of("ringside.bet_sync.token"));
	assert_false(settings_load_found(&s, NULL, reason));
	assert_reason("bet_sync.token_file: bet_sync.token: is empty");
}

/* ---- doubts ---- */

static void say(void *arg, const char *text)
{
	size_t len = strlen(said);
	(void)arg;
	snprintf(said + len, sizeof said - len, "%s\n", text);
}

static bool doubted(const char *what)
{
	return strstr(said, what) != NULL;
}

static void test_doubts(void **state)
{
	(void)state;
	const char *file = write_text("y", "\nauth.source_token: opensesame\n");
	assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(dir), reason));
	assert_true(settings_load_file(&s, file, reason));
	const char *open = write_text("auth.ledger_token", "housekey");
	write_text("bet_sync.token", "frames");
	assert_true(settings_load_found(&s, NULL, reason));
	settings_doubts(&s, file, NULL, say, NULL);
	assert_string_equal(said, "");

	char *flags[] = {(char[]){"--auth-metrics-token=figures"}, NULL};
	assert_int_equal(settings_load_flag(&s, 1, flags, reason), 1);
	assert_int_equal(chmod(open, 0444) | chmod(file, 0640), 0);
	write_text("auth.source_token", "another");
	write_text("ringside.auth_publish-tokenz", "x");
	write_text("log.level", "debug");
	write_text("somebody.else", "x");
	settings_doubts(&s, file, NULL, say, NULL);
	assert_true(doubted("auth.metrics_token: is on the command line"));
	assert_true(doubted("auth.ledger_token may be used by others than its owner (mode 0444)"));
	assert_true(doubted("y may be used by others than its owner (mode 0640)"));
	assert_true(doubted("auth.source_token is not used: /tmp/") &&
	            doubted("y:2 says otherwise"));
	assert_true(doubted("no setting has that name (is auth.publish_tokens meant?)"));
	assert_true(doubted("log.level: is not used: log.level is no secret"));
	assert_false(doubted("somebody") || doubted("bet_sync"));
	assert_false(doubted("opensesame") || doubted("figures") || doubted("housekey"));

	/* So may the keys of certificates, and not the certificates. */
	char pairs[512];
	const char *private = write_text("one.key", "x"), *other = write_text("two.key", "x");
	snprintf(pairs, sizeof pairs, "%s:%s , %s:%s", open, private, file, other);
	assert_true(settings_set(&s, SPAN("tls.certificates"), span_str(pairs), reason));
	*said = '\0';
	settings_doubts(&s, NULL, NULL, say, NULL);
	assert_false(doubted("tls.certificates"));
	assert_int_equal(chmod(private, 0640) | chmod(other, 0604), 0);
	settings_doubts(&s, NULL, NULL, say, NULL);
	assert_true(doubted("one.key may be used by others than its owner (mode 0640)"));
	assert_true(doubted("two.key may be used by others than its owner (mode 0604)"));

	/* A credential's mode shows systemd's ACL. */
	settings_finish(&s);
	settings_init(&s);
	*said = '\0';
	assert_true(settings_load_found(&s, dir, reason));
	settings_doubts(&s, NULL, dir, say, NULL);
	assert_false(doubted("may be used by others"));
}

static void test_public_keys_are_no_secret(void **state)
{
	(void)state;
#define PUBLIC_KEY                                                                                 \
	"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","                                         \
	"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
	static const char public[] = PUBLIC_KEY,
	                  symmetric[] = "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":"
	                                "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
	                                "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
	char *flags[] = {(char[]){"--auth-jwt-keys=" PUBLIC_KEY}, NULL};
#undef PUBLIC_KEY
	assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(dir), reason));
	assert_int_equal(chmod(write_text("auth.jwt_keys", public), 0644), 0);
	if (!settings_load_found(&s, NULL, reason))
		fail_msg("%s", reason);
	settings_doubts(&s, NULL, NULL, say, NULL);
	assert_string_equal(said, "");
	settings_finish(&s);
	settings_init(&s);
	assert_int_equal(settings_load_flag(&s, 1, flags, reason), 1);
	settings_doubts(&s, NULL, NULL, say, NULL);
	assert_string_equal(said, "");

	settings_finish(&s);
	settings_init(&s);
	assert_true(settings_set(&s, SPAN("secrets_dir"), span_str(dir), reason));
	assert_int_equal(chmod(write_text("auth.jwt_keys", symmetric), 0644), 0);
	assert_true(settings_load_found(&s, NULL, reason));
	settings_doubts(&s, NULL, NULL, say, NULL);
	assert_true(doubted("auth.jwt_keys may be used by others than its owner (mode 0644)"));
}

static void test_a_secret_among_arguments(void **state)
{
	(void)state;
	char *flags[] = {(char[]){"--auth-source-token"},
	                 (char[]){"hush"},
	                 (char[]){"--auth-source-token=hush"},
	                 (char[]){"--auth-source-token-file=path"},
	                 (char[]){"--log-level=warn"},
	                 (char[]){"--config"},
	                 (char[]){"--dev"},
	                 NULL};
	assert_ptr_equal(settings_flag_secret(7, flags), flags[1]);
	assert_null(settings_flag_secret(1, flags));
	assert_ptr_equal(settings_flag_secret(5, flags + 2), flags[2] + 20);
	for (int i = 3; i < 7; i++)
		assert_null(settings_flag_secret(7 - i, flags + i));
}

static bool spelled_alike(const char *a, const char *b)
{
	while (*a != '\0' && (*a == *b || (strchr("._", *a) && *b != '\0' && strchr("._", *b)))) {
		a++;
		b++;
	}
	return *a == *b;
}

static void test_no_key_is_spelled_as_the_file_of_another(void **state)
{
	(void)state;
	for (size_t i = 0; i < setting_rows_count; i++)
		for (size_t k = 0; k < setting_rows_count; k++) {
			char name[128];
			snprintf(name, sizeof name, "%s_file", setting_rows[k].key);
			assert_false(setting_is_secret(setting_rows[k].type) &&
			             spelled_alike(setting_rows[i].key, name));
		}
}

/* Where a value came from goes with it, also through a reload that changes another. */
static void test_places_are_kept(void **state)
{
	(void)state;
	struct settings next;
	char text[160];
	const char *path = write_text("f", "opensesame");
	assert_true(give("auth.source_token", path, GIVEN_BY_FILE));
	snprintf(text, sizeof text, "(set, from %s)", path);
	const struct setting_row *row = setting_find(SPAN("auth.source_token"));
	settings_copy(&next, &s);
	assert_string_equal(settings_show(&next, row), text);
	const struct settings *kept = settings_freeze(&next);
	assert_true(settings_renew_key(&kept, SPAN("log.level"), SPAN("warn"), reason));
	assert_string_equal(settings_show(kept, row), text);
	settings_drop(&kept);

	settings_init(&next);
	assert_true(settings_set(&next, SPAN("auth.source_token"), SPAN("opensesame"), reason));
	assert_true(settings_set(&next, SPAN("auth.ledger_token"), SPAN("other"), reason));
	assert_string_equal(settings_show(&next, row), "(set)");
	settings_copy_places(&next, &s);
	assert_string_equal(settings_show(&next, row), text);
	settings_finish(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	        T(test_what_a_file_may_hold),
	        T(test_what_is_no_file),
	        T(test_one_giver_says_it_once),
	        T(test_who_wins),
	        T(test_directories),
	        T(test_doubts),
	        T(test_public_keys_are_no_secret),
	        T(test_a_secret_among_arguments),
	        T(test_no_key_is_spelled_as_the_file_of_another),
	        T(test_places_are_kept),
#undef T
	};
	return cmocka_run_group_tests_name("settings_secret", tests, NULL, NULL);
}
