#include "supervisor/survey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct settings s;
static char reason[SETTINGS_REASON_MAX], said[4096];

static int begin(void **state)
{
	(void)state;
	settings_init(&s);
	*said = '\0';
	return 0;
}

static int end(void **state)
{
	(void)state;
	settings_finish(&s);
	return 0;
}

static void set(const char *key, const char *value)
{
	if (!settings_set(&s, span_str(key), span_str(value), reason))
		fail_msg("%s", reason);
}

static void say(void *arg, bool certain, const char *text)
{
	size_t len = strlen(said);
	(void)arg;
	snprintf(said + len, sizeof said - len, "%c %s\n", certain ? '!' : '?', text);
}

static const char *tokens(const char *file)
{
	*said = '\0';
	survey_access(&s, file, say, NULL);
	return said;
}

static void test_tokens_are_judged_where_they_stand(void **state)
{
	(void)state;
	assert_string_equal(tokens(NULL), "");
	char path[] = "/tmp/ringside-survey-XXXXXX", expected[512];
	static const char yaml[] = "auth:\n  publish_tokens: [a0b1c2d3e4f5a6b7c8, CHANGE-ME]\n"
	                           "  source_token: tiny4\nbet_sync.token: k7_Qz3pAk7\n"
	                           "capture.url: 'http://x/#changeme'\n";
	int fd = mkstemp(path);
	assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
	close(fd);
	assert_true(settings_load_file(&s, path, reason));
	unlink(path);
	snprintf(expected, sizeof expected,
	         "! %s:2: auth.publish_tokens: token 2 of 2 is a placeholder\n"
	         "! %s:3: auth.source_token: is shorter than 8 characters\n"
	         "? %s:4: bet_sync.token: is shorter than 16 characters\n",
	         path, path, path);
	assert_string_equal(tokens(path), expected);
	set("dev", "true");
	assert_string_equal(tokens(path), "");
}

/* What is printed; *lacking: how many things. */
static const char *survey(size_t *lacking)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof text, "w");
	assert_non_null(out);
	*lacking = survey_print(&s, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void test_a_file_without_anything_lacks_everything(void **state)
{
	(void)state;
	size_t lacking;
	const char *text = survey(&lacking);
	assert_int_equal(lacking, 8);
	static const char *const lines[] = {
	        "  read     read streams, markets, duels and feeds: nobody\n",
	        "  post     post a game's facts: nobody\n",
	        "  - nobody may post the facts of arena: set auth.source_token, or give a token "
	        "row "
	        "post=arena\n",
	        "  - nobody may follow arena: ",
	        "  - no betting service may have the frames of arena: ",
	        "  - nobody may see markets: ",
	        "  - nobody is the house, ",
	        "  - nobody may open an account, ",
	        "  - nobody may read metrics: ",
	        "  - how the TLS proxy in front is called is not known",
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("missing: %s", lines[i]);
}

static void test_each_setting_fills_its_gap(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value;
		size_t lacking;
	} rows[] = {
	        {"auth.source_token", "game-0123456789abcdef", 7},
	        {"auth.subscribe_tokens", "look-0123456789abcdef", 4}, /* metrics, too */
	        {"auth.ledger_token", "house-0123456789abcdef", 2},
	        {"bet_sync.token", "bets-0123456789abcdef", 1},
	        {"http.public_url", "http://arena.example", 1},
	        {"http.public_url", "https://arena.example", 0},
	        {"listen", "0.0.0.0:80,[::]:81,127.0.0.1:82", 2},
	        {"listen", "https://0.0.0.0:443,0.0.0.0:80", 1},
	        {"http.redirect_port", "443", 0},
	        {"http.redirect_port", "0", 1},
	        {"listen", "https://0.0.0.0:443,[::1]:80", 0},
	        {"http.public_url", "", 0},
	        {"listen", "127.0.0.1:80", 1},
	        {"http.trust_forwarded", "true", 0},
	        {"feeds.source_driven", "other,third", 0},
	        {"auth.metrics_token", "figures-0123456789abcdef", 0},
	        {"bridge.workers", "0", 1},
	        {"market.operator", "", 2},
	        {"feeds.scheduled", "", 2},
	        {"feeds.source_driven", "", 3},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t lacking;
		set(rows[i].key, rows[i].value);
		const char *text = survey(&lacking);
		if (lacking != rows[i].lacking)
			fail_msg("%s: %zu\n%s", rows[i].key, lacking, text);
		assert_null(strstr(text, "0123456789abcdef"));
	}
}

static void test_who_may(void **state)
{
	(void)state;
	size_t lacking;
	set("auth.subscribe_tokens", "look-0123456789abcdef,look-0123456789abcdee");
	set("auth.publish_tokens", "pub-0123456789abcdef");
	set("auth.outputs_token", "out-0123456789abcdef");
	const char *text = survey(&lacking);
	assert_non_null(strstr(text, ": auth.subscribe_tokens, auth.publish_tokens\n"));
	assert_non_null(strstr(text, "close them: auth.publish_tokens\n"));
	assert_non_null(strstr(text, "  operate  outputs: auth.outputs_token\n"));
	assert_non_null(strstr(text, "deciding markets: nobody\n"));
	assert_non_null(strstr(text, "nothing else: nobody\n  view     watch by HLS: "
	                             "auth.subscribe_tokens, auth.publish_tokens\n"));
	assert_non_null(strstr(text, "nobody is the house")); /* outputs are not the house's */
	set("auth.ledger_token", "house-0123456789abcdef");
	text = survey(&lacking);
	assert_non_null(strstr(text, "deciding markets: auth.ledger_token\n"));
	assert_non_null(strstr(text, "  operate  outputs: auth.outputs_token\n"));
	set("dev", "true");
	assert_memory_equal(survey(&lacking), "development: ", 13);
	assert_int_equal(lacking, 0);
}

static void test_rows_fill_gaps_and_are_named(void **state)
{
	(void)state;
	static const char rows[] =
	        "# who\n"
	        "game token:game-0123456789abcdef post=arena\n"
	        "house token:house-0123456789abcdef operate=/v1/markets/**,/v1/ledger/**\n"
	        "bets token:bets-0123456789abcdef frames=arena\n"
	        "bets token:more-0123456789abcdef frames=arena\n"
	        "prom token:prom-0123456789abcdef metrics=metrics\n"
	        "late token:late-0123456789abcdef append=** expires=2020-01-01T00:00:00Z\n"
	        "elsewhere token:else-0123456789abcdef append=other/** render=**\n";
	size_t lacking;
	set("auth.token_rows", rows);
	const char *text = survey(&lacking);
	assert_int_equal(lacking, 3); /* readers of feed and markets, TLS */
	assert_non_null(strstr(text, "facts: game arena\n"));
	assert_non_null(strstr(text, "markets: house markets/**,ledger/**\n"));
	assert_non_null(strstr(text, "nothing else: bets arena\n"));
	assert_non_null(strstr(text, "close them: elsewhere other/**\n")); /* late has ended */
	assert_non_null(strstr(text, "whoever has no token gets health"));
	assert_null(strstr(text, "0123456789abcdef"));
	set("auth.public", "read=/v1/feeds/**,feeds/**,/v1/markets,/v1/markets/**");
	set("http.trust_forwarded", "true");
	text = survey(&lacking);
	assert_int_equal(lacking, 0);
	assert_non_null(strstr(text, "feeds: everybody (auth.public) "
	                             "/v1/feeds/**,feeds/**,/v1/markets,/v1/markets/**\n"));
	assert_null(strstr(text, "whoever has no token"));
	set("feeds.source_driven", "other");
	text = survey(&lacking);
	assert_int_equal(lacking, 2); /* facts and frames of that one */
	assert_non_null(strstr(text, "post=other\n"));
}

static void test_rows_that_have_ended_do_not_count(void **state)
{
	(void)state;
	size_t lacking;
	set("auth.token_rows", "game token:game-0123456789abcdef post=arena "
	                       "expires=2020-01-01T00:00:00Z\n");
	const char *text = survey(&lacking);
	assert_int_equal(lacking, 8);
	assert_non_null(strstr(text, "facts: nobody\n"));
}

static void test_patterns_of_one_name_stand_together(void **state)
{
	(void)state;
	size_t lacking;
	set("auth.public", "read=feeds/arena/* view=/v1/hls/arena");
	set("auth.token_rows", "a token:aaaa-0123456789abcdef append=1,2 view=**\n"
	                       "b token:bbbb-0123456789abcdef append=** operate=/v1/**\n"
	                       "a token:cccc-0123456789abcdef append=3,4,5,6\n");
	const char *text = survey(&lacking);
	assert_non_null(strstr(text, "feeds: everybody (auth.public) feeds/arena/*\n"));
	assert_non_null(strstr(text, "close them: a 1,2,3,4 and 2 more, b\n"));
	assert_non_null(strstr(text, "nothing else: a\n"));
	assert_non_null(strstr(text, "by HLS: everybody (auth.public) /v1/hls/arena\n"));
	assert_non_null(strstr(text, "deciding markets: b\n  operate  outputs: b\n"));
}

static void test_what_is_not_for_everybody(void **state)
{
	(void)state;
	static const char *const verbs[] = {"append", "create",  "delete",  "render",
	                                    "post",   "operate", "metrics", "frames"};
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		char text[64], begins[64];
		snprintf(text, sizeof text, "read=** view=** bet=accounts %s=x", verbs[i]);
		snprintf(begins, sizeof begins, "auth.public: %s: everybody ", verbs[i]);
		set("auth.public", text);
		assert_non_null(strstr(tokens(NULL), begins));
		assert_int_equal(*said, '?');
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	}
	set("auth.public", "read=/** view=/** bet=/**");
	assert_string_equal(tokens(NULL), "");
	set("auth.public", "operate=/** delete=/**");
	assert_non_null(strstr(tokens(NULL), "delete: everybody may delete streams\n"));
	assert_non_null(strstr(said, "operate: everybody is the house"));
	set("dev", "true");
	assert_string_equal(tokens(NULL), "");
}

static void test_many_rows_are_counted(void **state)
{
	(void)state;
	char rows[8192] = "";
	size_t lacking;
	for (unsigned i = 0; i < 50; i++)
		snprintf(rows + strlen(rows), sizeof rows - strlen(rows),
		         "n%u token:token-0123456789-%u read=/v1/feeds/**\n", i, i);
	set("auth.token_rows", rows);
	assert_non_null(strstr(survey(&lacking),
	                       "feeds: n0 /v1/feeds/**, n1 /v1/feeds/**, n2 /v1/feeds/**, "
	                       "n3 /v1/feeds/**, n4 /v1/feeds/**, n5 /v1/feeds/**, "
	                       "n6 /v1/feeds/**, n7 /v1/feeds/**, and 42 more rows\n"));
}

static void test_what_an_issuer_says_is_not_lacking(void **state)
{
	(void)state;
	size_t lacking;
	set("auth.jwt_secret", "0123456789abcdef0123456789abcdef");
	const char *text = survey(&lacking);
	assert_int_equal(lacking, 1); /* TLS */
	assert_non_null(strstr(text, "who may do what:\n  whoever shows a JSON Web Token of the "
	                             "issuer: what its claim ringside says"));
	assert_non_null(strstr(text, "  no setting and no row gives anybody a right\nwhoever has "
	                             "no token gets health"));
	assert_null(strstr(text, "facts: "));
	set("auth.token_rows", "late token:late-0123456789abcdef read=** "
	                       "expires=2020-01-01T00:00:00Z\n");
	assert_null(strstr(survey(&lacking), "facts: "));
	set("auth.source_token", "game-0123456789abcdef");
	text = survey(&lacking);
	assert_non_null(strstr(text, "facts: auth.source_token, whose JSON Web Token says so\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	        T(test_tokens_are_judged_where_they_stand),
	        T(test_a_file_without_anything_lacks_everything),
	        T(test_each_setting_fills_its_gap),
	        T(test_who_may),
	        T(test_rows_fill_gaps_and_are_named),
	        T(test_rows_that_have_ended_do_not_count),
	        T(test_patterns_of_one_name_stand_together),
	        T(test_what_is_not_for_everybody),
	        T(test_many_rows_are_counted),
	        T(test_what_an_issuer_says_is_not_lacking),
#undef T
	};
	return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
