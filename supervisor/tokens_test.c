#include "supervisor/tokens.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* of letmein */
#define HEX_LETMEIN "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032"

static char directory[64], path[96], reason[SETTINGS_REASON_MAX];
static struct settings settings;
static const struct options options;

static void set(const char *key, const char *value)
{
	if (!settings_set(&settings, span_str(key), span_str(value), reason))
		fail_msg("%s", reason);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void expect_file(const char *text)
{
	char found[1024] = "";
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	found[fread(found, 1, sizeof found - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(found, text);
}

static int begin(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/ringside-tokens-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/tokens", directory);
	settings_init(&settings);
	set("auth.tokens", path);
	write_file("");
	return 0;
}

static int end(void **state)
{
	(void)state;
	settings_finish(&settings);
	unlink(path);
	return rmdir(directory);
}

static void expect_rows(const char *rows)
{
	char *now = tokens_in_effect(&options, &settings, reason);
	if (now == NULL)
		fail_msg("%s", reason);
	assert_string_equal(now, rows);
	free(now);
}

static void expect_fault(const char *fault)
{
	char *now = tokens_in_effect(&options, &settings, reason);
	assert_null(now);
	assert_string_equal(reason, fault);
}

static const char *at_file(const char *what)
{
	static char text[512];
	snprintf(text, sizeof text, "%s%s", path, what);
	return text;
}

static void test_both_places_count(void **state)
{
	(void)state;
	write_file("# ours\nviewer token:letmein view=**\n");
	set("auth.token_rows", "game sha256:" HEX_A " post=arena\n");
	expect_rows("game sha256:" HEX_A " post=arena\nviewer sha256:" HEX_LETMEIN " view=**\n");
	set("auth.token_rows", "game token:letmein");
	expect_fault(at_file(":2: its token is that of auth.token_rows:1"));
	set("auth.token_rows", "");
	set("auth.tokens", "");
	expect_rows("");
}

static void test_faults_are_named(void **state)
{
	(void)state;
	write_file("\nviewer token:letmein see=**\n");
	expect_fault(at_file(":2: the verbs are read append create delete render view post bet "
	                     "operate metrics spawn frames"));
	write_file("");
	set("auth.public", "read=** see=x");
	expect_fault(
	        "its default: auth.public: verb 'see' is unknown: the verbs are read append create "
	        "delete render view post bet operate metrics spawn frames");
	set("auth.public", "read=**");
	assert_int_equal(chmod(path, 0640), 0);
	expect_fault(at_file(": is open to others than its owner (mode 640): chmod 600"));
	set("dev", "true");
	expect_rows("");
	set("dev", "false");
	unlink(path);
	expect_fault(at_file(": there is no such file: install -m 600 /dev/null there"));
	assert_int_equal(mkdir(path, 0700), 0);
	expect_fault(at_file(": is not a regular file"));
	assert_int_equal(rmdir(path), 0);
}

static void add(const char *line, const char *rows)
{
	struct token_rows *made = token_rows_create();
	assert_true(token_rows_read(made, "row", span_str(line), reason));
	char *now = tokens_add(&options, &settings, token_rows_at(made, 0), reason);
	if (rows == NULL)
		assert_null(now);
	else if (now == NULL)
		fail_msg("%s", reason);
	else
		assert_string_equal(now, rows);
	free(now);
	token_rows_destroy(&made);
}

static void test_add(void **state)
{
	(void)state;
	struct stat status;
	write_file("# kept");
	add("a sha256:" HEX_A " read=x", "a sha256:" HEX_A " read=x\n");
	expect_file("# kept\na sha256:" HEX_A " read=x\n");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* What would not be read again leaves the file as it is. */
	add("b sha256:" HEX_A, NULL);
	assert_non_null(strstr(reason, "tokens:3: its token is that of "));
	expect_file("# kept\na sha256:" HEX_A " read=x\n");
	set("auth.tokens", "");
	add("b sha256:" HEX_B, NULL);
	assert_non_null(strstr(reason, "auth.tokens names no file"));
}

static void test_a_link_is_followed(void **state)
{
	(void)state;
	char real[128];
	struct stat status;
	snprintf(real, sizeof real, "%s/real", directory);
	assert_int_equal(rename(path, real), 0);
	assert_int_equal(symlink("real", path), 0);
	add("a sha256:" HEX_A, "a sha256:" HEX_A "\n");
	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	expect_file("a sha256:" HEX_A "\n");
	assert_int_equal(unlink(real), 0);
}

static void end_tokens(const char *whose, const char *rows, size_t count)
{
	json_t *revoked;
	char *now = tokens_revoke(&options, &settings, whose, &revoked, reason);
	if (now == NULL)
		fail_msg("%s", reason);
	assert_string_equal(now, rows);
	assert_int_equal(json_array_size(revoked), count);
	json_decref(revoked);
	free(now);
}

static void expect_no_revocation(const char *whose, const char *why)
{
	json_t *revoked;
	assert_null(tokens_revoke(&options, &settings, whose, &revoked, reason));
	assert_null(revoked);
	if (strstr(reason, why) == NULL)
		fail_msg("%s", reason);
}

static void test_revoke(void **state)
{
	(void)state;
	write_file("a sha256:" HEX_A "\n# kept\nb token:letmein # why\na sha256:" HEX_B "\n");
	set("auth.token_rows", "c token:other\nd token:more");
	expect_no_revocation("nobody", "there is no token of nobody");
	expect_no_revocation("aaaaaaa", "there is no token of aaaaaaa");
	expect_no_revocation("c", "it stands in auth.token_rows");
	end_tokens("sha256:1C8BFE8F",
	           "c sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\n"
	           "d sha256:187897ce0afcf20b50ba2b37dca84a951b7046f29ed5ab94f010619f69d6e189\n"
	           "a sha256:" HEX_A "\na sha256:" HEX_B "\n",
	           1);
	expect_file("a sha256:" HEX_A "\n# kept\na sha256:" HEX_B "\n");
	set("auth.token_rows", "");
	end_tokens("a", "", 2);
	expect_file("# kept\n");
}

static void expect_answer(const char *who, const char *verb, const char *where, bool allowed,
                          const char *text)
{
	json_t *json = tokens_may(&settings, who, verb, where, 1000, reason);
	if (json == NULL)
		fail_msg("%s", reason);
	assert_int_equal(json_is_true(json_object_get(json, "allowed")), allowed);
	assert_string_equal(json_string_value(json_object_get(json, allowed ? "by" : "why")), text);
	json_decref(json);
}

static void test_may(void **state)
{
	(void)state;
	set("auth.token_rows", "a sha256:" HEX_A " read=x/**\na sha256:" HEX_B
	                       " append=y expires=1970-01-01T00:00:01Z\n");
	set("auth.public", "view=lobby");
	set("auth.publish_tokens", "first,letmein");
	expect_answer("a", "read", "x/1", true, "a sha256:aaaaaaaaaaaa: read=/v1/stream/x/**");
	expect_answer("a", "read", "/v1/stream/x/%31", true,
	              "a sha256:aaaaaaaaaaaa: read=/v1/stream/x/**");
	expect_answer("a", "append", "y", false,
	              "a may not append /v1/stream/y: a token has ended");
	expect_answer("sha256:" HEX_A, "read", "y", false, "this token may not read /v1/stream/y");
	expect_answer("anonymous", "view", "lobby", true, "auth.public: view=/stream/lobby");
	expect_answer("anonymous", "read", "x", false, "anonymous may not read /v1/stream/x");
	expect_answer("sha256:" HEX_LETMEIN, "create", "z", true,
	              "auth.publish_tokens: create=/**");
	expect_answer("sha256:" HEX_LETMEIN, "metrics", "metrics", true,
	              "auth.publish_tokens: metrics=/**");
	assert_null(tokens_may(&settings, "b", "read", "x", 0, reason));
	assert_string_equal(reason, "there is no token of b");
	assert_null(tokens_may(&settings, "a", "see", "x", 0, reason));
	assert_string_equal(reason, "there is no verb see");
	set("dev", "true");
	expect_answer("anonymous", "read", "x", true, "dev: everybody may");
	expect_answer("anonymous", "frames", "arena", false,
	              "anonymous may not frames /v1/feeds/arena");
}

static char said[1024];

static void say(void *arg, bool certain, const char *text)
{
	(void)arg;
	size_t len = strlen(said);
	snprintf(said + len, sizeof said - len, "%d %s\n", certain, strstr(text, ":") + 1);
}

static void test_tokens_that_are_guessed(void **state)
{
	(void)state;
	write_file("a token:short\nb token:a0b1c2d3e4f5a6b7c8d9\nc token:k7_Qz3pAk7\n");
	*said = '\0';
	tokens_judge(&settings, say, NULL);
	assert_string_equal(said, "1 1: the token of a is shorter than 8 characters\n"
	                          "0 3: the token of c is shorter than 16 characters\n");
	assert_null(strstr(said, "k7_Q"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(test_both_places_count),       TEST(test_faults_are_named), TEST(test_add),
	        TEST(test_a_link_is_followed),      TEST(test_revoke),           TEST(test_may),
	        TEST(test_tokens_that_are_guessed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
