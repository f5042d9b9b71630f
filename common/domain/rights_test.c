#include "common/domain/rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct rights *of(const char *text)
{
	char reason[RIGHTS_REASON_ROOM] = "";
	struct rights *rights = rights_of_text(span_str(text), reason);
	if (rights == NULL)
		fail_msg("%s: %s", text, reason);
	return rights;
}

static bool may(const char *text, enum verb verb, const char *path)
{
	struct rights *rights = of(text);
	bool allowed = rights_may(rights, verb, span_str(path));
	assert_int_equal(allowed, rights_which(rights, verb, span_str(path)) != NULL);
	rights_release(&rights);
	return allowed;
}

static void test_what_a_right_allows(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum verb verb;
		const char *path;
		bool allowed;
	} rows[] = {
	        {"", VERB_READ, "/v1/stream/a", false},
	        {"read=a", VERB_READ, "/v1/stream/a", true},
	        {"read=a", VERB_READ, "/v1/stream/ab", false},
	        {"read=a", VERB_READ, "/v1/stream/a/", false},
	        {"read=a", VERB_APPEND, "/v1/stream/a", false},
	        {"read=a", VERB_READ, "a", false},
	        {"read=a", VERB_READ, "v1/stream/a", false},
	        {"read=a", VERB_READ, "", false},
	        {"read=**", VERB_READ, "/v1/stream/a/b", true},
	        {"read=**", VERB_READ, "/v1/markets/a", false},
	        {"read=**,/v1/markets/**", VERB_READ, "/v1/markets/a", true},
	        {"read=a/**", VERB_READ, "/v1/stream/a", true},
	        {"read=a/**", VERB_READ, "/v1/stream/a/b/c", true},
	        {"read=a/**", VERB_READ, "/v1/stream/ab", false},
	        {"read=a/*", VERB_READ, "/v1/stream/a/b", true},
	        {"read=a/*", VERB_READ, "/v1/stream/a/b/c", false},
	        {"read=a/*/c", VERB_READ, "/v1/stream/a/b/c", true},
	        {"read=**/c", VERB_READ, "/v1/stream/c", true},
	        {"read=**/c", VERB_READ, "/v1/stream/a/b/c", true},
	        {"read=**/c", VERB_READ, "/v1/stream/a/bc", false},
	        {"read=a/**/c", VERB_READ, "/v1/stream/a/c", true},
	        {"read=a*c", VERB_READ, "/v1/stream/abc", true},
	        {"read=a*c", VERB_READ, "/v1/stream/a/c", false},
	        {"read=/**", VERB_READ, "/anything", true},
	        {"read=/**", VERB_READ, "/", true},
	        {"read=/*", VERB_READ, "/", false},
	        {"post=arena", VERB_POST, "/v1/source/arena", true},
	        {"post=arena", VERB_POST, "/v1/source/other", false},
	        {"frames=arena", VERB_FRAMES, "/v1/feeds/arena", true},
	        {"render=**", VERB_RENDER, "/stream/x", true},
	        {"view=x", VERB_RENDER, "/stream/x", false},
	        {"bet=**", VERB_BET, "/v1/ledger/accounts", true},
	        {"operate=**", VERB_OPERATE, "/v1/outputs/a", true},
	        {"operate=**", VERB_METRICS, "/metrics", false},
	        {"metrics=**", VERB_METRICS, "/metrics", true},
	        {"  read=a\t append=b \n", VERB_APPEND, "/v1/stream/b", true},
	        {"read=a read=b", VERB_READ, "/v1/stream/a", true},
	        {"read=a=b", VERB_READ, "/v1/stream/a=b", true},
	        {"read=a%2Cb", VERB_READ, "/v1/stream/a,b", true},
	        /* Spellings: of one name they are one, and none gets around a right. */
	        {"read=a", VERB_READ, "/v1/stream/%61", true},
	        {"read=%61", VERB_READ, "/v1/stream/a", true},
	        {"read=a", VERB_READ, "/v1/%73tream/a", true},
	        {"read=a", VERB_READ, "/v1/stream/%2561", false},
	        {"read=a/b", VERB_READ, "/v1/stream/a%2Fb", false},
	        {"read=a%2fb", VERB_READ, "/v1/stream/a%2Fb", true},
	        {"read=a%2Fb", VERB_READ, "/v1/stream/a/b", false},
	        {"read=a/*", VERB_READ, "/v1/stream/a%2Fb", false},
	        {"read=a*", VERB_READ, "/v1/stream/a%2fb", true},
	        {"read=a/**", VERB_READ, "/v1/stream/a%2f..%2fb", false},
	        {"read=a", VERB_READ, "/v1%2Fstream/a", false},
	        {"read=a", VERB_READ, "%2Fv1/stream/a", false},
	        {"read=\xc3\xa4", VERB_READ, "/v1/stream/%c3%a4", true},
	        {"read=a/**", VERB_READ, "/v1/stream/a/../b", true}, /* the stream of that name */
	        {"read=b", VERB_READ, "/v1/stream/a/../b", false},
	        {"read=a", VERB_READ, "/v1/stream//a", false},
	        {"read=a//b", VERB_READ, "/v1/stream/a//b", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (may(rows[i].text, rows[i].verb, rows[i].path) != rows[i].allowed)
			fail_msg("'%s' %s %s", rows[i].text, verb_name(rows[i].verb), rows[i].path);
}

static void test_a_nul_is_a_byte_like_others(void **state)
{
	(void)state;
	struct rights *rights = of("read=a,b%00c");
	assert_false(rights_may(rights, VERB_READ, SPAN("/v1/stream/a\0b")));
	assert_true(rights_may(rights, VERB_READ, SPAN("/v1/stream/b\0c")));
	rights_release(&rights);
}

static void test_long_paths_are_nobodys(void **state)
{
	(void)state;
	static char path[6000];
	struct rights *rights = of("read=/**");
	memset(path, 'a', sizeof path - 1);
	*path = '/';
	assert_false(rights_may(rights, VERB_READ, span_str(path)));
	path[RIGHTS_PATH_MAX] = '\0';
	assert_true(rights_may(rights, VERB_READ, span_str(path)));
	path[1] = '%'; /* is to be made canonical, which has less room */
	assert_false(rights_may(rights, VERB_READ, span_str(path)));
	rights_release(&rights);
}

#define VERBS_ARE                                                                                  \
	": the verbs are read append create delete render view post bet operate metrics spawn "    \
	"frames"

static void test_what_is_no_right(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
	} rows[] = {
	        {"read", "right 'read' is not VERB=PATTERN"},
	        {"=a", "verb '' is unknown" VERBS_ARE},
	        {"read=", "pattern '' is empty"},
	        {"read=a,", "pattern '' is empty"},
	        {"read=,a", "pattern '' is empty"},
	        {"write=a", "verb 'write' is unknown" VERBS_ARE},
	        {"READ=a", "verb 'READ' is unknown" VERBS_ARE},
	        {"read=a write=b", "verb 'write' is unknown" VERBS_ARE},
	        {"read=a%2Ab", "pattern 'a%2Ab' has an escaped '*', which would be a wildcard"},
	        {"read=%2a", "pattern '%2a' has an escaped '*', which would be a wildcard"},
	        {"read\x01=%2a", "verb 'read?' is unknown" VERBS_ARE},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char reason[RIGHTS_REASON_ROOM] = "";
		assert_null(rights_of_text(span_str(rows[i].text), reason));
		assert_string_equal(reason, rows[i].reason);
	}
}

static void test_limits(void **state)
{
	(void)state;
	char reason[RIGHTS_REASON_ROOM], pattern[RIGHTS_PATTERN_MAX + 2];
	struct rights_draft *draft = rights_draft_create();
	memset(pattern, 'a', sizeof pattern);
	assert_false(rights_draft_add(draft, VERB_READ, span_of(pattern, RIGHTS_PATTERN_MAX),
	                              reason)); /* with its root */
	assert_non_null(strstr(reason, "is too long"));
	*pattern = '/';
	assert_true(
	        rights_draft_add(draft, VERB_READ, span_of(pattern, RIGHTS_PATTERN_MAX), reason));
	assert_false(rights_draft_add(draft, VERB_READ, span_of(pattern, RIGHTS_PATTERN_MAX + 1),
	                              reason));
	for (int i = 1; i < RIGHTS_PATTERNS_MAX; i++) {
		snprintf(pattern, sizeof pattern, "p%d", i);
		assert_true(rights_draft_add(draft, VERB_APPEND, span_str(pattern), reason));
	}
	assert_true(rights_draft_add(draft, VERB_APPEND, SPAN("p1"), reason)); /* it has it */
	assert_false(rights_draft_add(draft, VERB_APPEND, SPAN("q"), reason));
	assert_string_equal(reason, "more than 256 patterns");
	struct rights *rights = rights_draft_finish(&draft);
	assert_true(rights_may(rights, VERB_APPEND, SPAN("/v1/stream/p255")));
	assert_false(rights_may(rights, VERB_APPEND, SPAN("/v1/stream/q")));
	rights_release(&rights);
}

static void test_pieces_make_one_set(void **state)
{
	(void)state;
	char reason[RIGHTS_REASON_ROOM];
	struct rights_draft *draft = rights_draft_create();
	json_t *object = json_pack("{s[ss] s[]}", "read", "c", "/v1/markets/**", "append");
	assert_true(rights_draft_add_text(draft, SPAN("append=a/*"), reason));
	assert_true(rights_draft_add(draft, VERB_READ, SPAN("b"), reason));
	assert_true(rights_draft_add_json(draft, object, reason));
	struct rights *rights = rights_draft_finish(&draft);
	assert_null(draft);
	char *text = rights_text(rights);
	assert_string_equal(text, "read=b,c,/v1/markets/** append=a/*");
	json_t *json = rights_json(rights);
	json_t *want =
	        json_pack("{s[sss] s[s]}", "read", "b", "c", "/v1/markets/**", "append", "a/*");
	assert_true(json_equal(json, want));
	json_decref(want);
	json_decref(json);
	json_decref(object);
	free(text);
	rights_release(&rights);
}

static void test_json_that_is_none(void **state)
{
	(void)state;
	static const struct {
		const char *json, *reason;
	} rows[] = {
	        {"[]", "rights are an object of verbs"},
	        {"{\"write\":[]}", "verb 'write' is unknown"},
	        {"{\"read\":\"a\"}", "member 'read' is no array of patterns"},
	        {"{\"read\":[1]}", "member 'read' has a pattern that is no text"},
	        {"{\"read\":[\"\"]}", "pattern '' is empty"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char reason[RIGHTS_REASON_ROOM] = "";
		struct rights_draft *draft = rights_draft_create();
		json_t *json = json_loads(rows[i].json, 0, NULL);
		assert_false(rights_draft_add_json(draft, json, reason));
		assert_string_equal(reason, rows[i].reason);
		json_decref(json);
		rights_draft_destroy(&draft);
	}
}

/* What is printed is read again to the same, and printed the same. */
static void test_text_is_read_again(void **state)
{
	(void)state;
	static const char *const texts[] = {
	        "",
	        "read=**",
	        ("read=/v1/stream/,a%2Cb,/v1/stream//x,/**,%20x append=/v1/markets/* "
	         "metrics=metrics"),
	        "render=** view=a* post=arena bet=** operate=** frames=*",
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct rights *rights = of(texts[i]);
		char *text = rights_text(rights);
		assert_string_equal(text, texts[i]);
		free(text);
		rights_release(&rights);
	}
}

static void test_any(void **state)
{
	(void)state;
	struct rights *rights = of("read=a");
	assert_true(rights_any(rights, VERB_READ));
	assert_false(rights_any(rights, VERB_APPEND));
	assert_false(rights_any(NULL, VERB_READ));
	assert_false(rights_may(NULL, VERB_READ, SPAN("/")));
	rights_release(&rights);
}

static void test_all(void **state)
{
	(void)state;
	struct rights_draft *draft = rights_draft_create();
	rights_draft_add_all(draft);
	struct rights *rights = rights_draft_finish(&draft);
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		assert_true(rights_may(rights, (enum verb)v, SPAN("/x")));
		assert_true(*verb_about((enum verb)v) != '\0');
	}
	rights_release(&rights);
}

static void test_covers(void **state)
{
	(void)state;
	static const struct {
		const char *text, *pattern;
		bool covers;
	} rows[] = {
	        {"read=**", "a/*/b", true},     {"read=**", "**", true},
	        {"read=**", "/v1/**", false},   {"read=a/**", "**", false},
	        {"read=a/**", "a/**", true},    {"read=a/**", "a", true},
	        {"read=a/**", "a/b/*", true},   {"read=a/**", "*/b", false},
	        {"read=a/**", "a*", false},     {"read=a/*", "a/**", false},
	        {"read=a/*/c", "a/b*/c", true}, {"read=a", "a", true},
	        {"read=a", "%61", true},        {"read=*", "*", true},
	        {"read=*", "**", false},        {"read=a/**,b/**", "**", false},
	        {"append=**", "a", false},      {"read=**", "", false},
	        {"read=**", "%2A", false},      {"read=**/c", "a/**/c", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct rights *rights = of(rows[i].text);
		if (rights_covers(rights, VERB_READ, span_str(rows[i].pattern)) != rows[i].covers)
			fail_msg("'%s' '%s'", rows[i].text, rows[i].pattern);
		rights_release(&rights);
	}
	assert_false(rights_covers(NULL, VERB_READ, SPAN("a")));
}

static void test_both_must_allow(void **state)
{
	(void)state;
	struct rights *one = of("read=a/**,*/x append=a"), *other = of("read=*/b,*/x,a*/**"),
	              *third = of("read=a/**");
	struct rights *both = rights_both(one, other);
	rights_release(&one);
	rights_release(&other);
	assert_true(rights_may(both, VERB_READ, SPAN("/v1/stream/a/b")));
	assert_true(rights_may(both, VERB_READ, SPAN("/v1/stream/c/x")));
	assert_false(rights_may(both, VERB_READ, SPAN("/v1/stream/c/b")));
	assert_false(rights_may(both, VERB_APPEND, SPAN("/v1/stream/a")));
	assert_true(rights_any(both, VERB_READ));
	assert_false(rights_any(both, VERB_APPEND));
	assert_true(rights_covers(both, VERB_READ, SPAN("a/**")));
	assert_false(rights_covers(both, VERB_READ, SPAN("*/b")));
	assert_string_equal(rights_which(both, VERB_READ, SPAN("/v1/stream/a/b")),
	                    "/v1/stream/a/**");
	char *text = rights_text(both);
	assert_string_equal(text, "read=a/**,*/x");
	free(text);
	struct rights *all = rights_both(both, third);
	assert_false(rights_may(all, VERB_READ, SPAN("/v1/stream/c/x")));
	assert_true(rights_may(all, VERB_READ, SPAN("/v1/stream/a/x")));
	assert_null(rights_both(all, NULL));
	rights_release(&third);
	rights_release(&both);
	assert_true(rights_may(all, VERB_READ, SPAN("/v1/stream/a/x")));
	rights_release(&all);
}

static void test_held_as_often_as_released(void **state)
{
	(void)state;
	struct rights *rights = of("read=a"), *mine = rights_hold(rights);
	rights_release(&rights);
	assert_null(rights);
	assert_true(rights_may(mine, VERB_READ, SPAN("/v1/stream/a")));
	rights_release(&mine);
	rights_release(&mine);
	assert_null(rights_hold(NULL));
}

static void test_mercure(void **state)
{
	(void)state;
	static const struct {
		const char *claim, *text;
	} rows[] = {
	        {"{}", ""},
	        {"{\"subscribe\":null,\"payload\":1}", ""},
	        {"{\"subscribe\":[\"*\"]}", "read=**"},
	        {"{\"publish\":[\"*\"]}", "append=** create=**"},
	        {"{\"subscribe\":[\"books/1\",\"/books/2\"]}", "read=books/1,books/2"},
	        {"{\"subscribe\":[\"https://example.com/books/{id}?a#b\"]}", "read=books/*"},
	        {"{\"subscribe\":[\"https://example.com/v1/markets/{id}\"]}", "read=/v1/markets/*"},
	        {"{\"subscribe\":[\"{a}{b}/c\"]}", "read=*/c"},
	        {"{\"subscribe\":[\"a{b}\"]}", "read=a*"},
	        {"{\"subscribe\":[\"urn:uuid:1\"]}", "read=urn:uuid:1"},
	        {"{\"subscribe\":[\"a/**\"]}", NULL},
	        {"{\"subscribe\":[\"a/%2A\"]}", NULL},
	        {"{\"subscribe\":[\"a/{+b}\"]}", NULL},
	        {"{\"subscribe\":[\"a/{?b}\"]}", NULL},
	        {"{\"subscribe\":[\"a/{b*}\"]}", NULL},
	        {"{\"subscribe\":[\"a/{}\"]}", NULL},
	        {"{\"subscribe\":[\"a/{b\"]}", NULL},
	        {"{\"subscribe\":[\"https://example.com\"]}", NULL},
	        {"{\"subscribe\":[\"https://example.com?x=/a\"]}", NULL},
	        {"{\"subscribe\":[\"\"]}", NULL},
	        {"{\"subscribe\":\"*\"}", NULL},
	        {"[]", NULL},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char reason[RIGHTS_REASON_ROOM] = "";
		struct rights_draft *draft = rights_draft_create();
		json_t *claim = json_loads(rows[i].claim, 0, NULL);
		bool read = rights_draft_add_mercure(draft, claim, reason);
		json_decref(claim);
		if (read != (rows[i].text != NULL))
			fail_msg("%s: %s", rows[i].claim, reason);
		struct rights *rights = rights_draft_finish(&draft);
		char *text = rights_text(rights);
		if (read && strcmp(text, rows[i].text) != 0)
			fail_msg("%s: %s", rows[i].claim, text);
		free(text);
		rights_release(&rights);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_a_right_allows),
	        cmocka_unit_test(test_a_nul_is_a_byte_like_others),
	        cmocka_unit_test(test_long_paths_are_nobodys),
	        cmocka_unit_test(test_what_is_no_right),
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_pieces_make_one_set),
	        cmocka_unit_test(test_json_that_is_none),
	        cmocka_unit_test(test_text_is_read_again),
	        cmocka_unit_test(test_any),
	        cmocka_unit_test(test_all),
	        cmocka_unit_test(test_covers),
	        cmocka_unit_test(test_both_must_allow),
	        cmocka_unit_test(test_held_as_often_as_released),
	        cmocka_unit_test(test_mercure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
