#include "common/domain/token_rows.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* echo -n letmein | sha256sum */
#define HEX_LETMEIN "1c8bfe8f801d79745c4631d09fff36c82aa37fc4cce4fc946683d7b336b63032"

static struct token_rows *read_rows(const char *text)
{
	char reason[TOKEN_ROWS_REASON_ROOM] = "";
	struct token_rows *rows = token_rows_create();
	if (!token_rows_read(rows, "file", span_str(text), reason))
		fail_msg("%s", reason);
	return rows;
}

static const struct token_row *find(const struct token_rows *rows, const char *hex)
{
	uint8_t digest[TOKEN_DIGEST_BYTES];
	assert_true(token_digest_read(span_str(hex), digest));
	return token_rows_find(rows, digest);
}

static void test_rows(void **state)
{
	(void)state;
	struct token_rows *rows = read_rows(
	        "# who\n"
	        "\n"
	        "  game  sha256:" HEX_A " post=arena read=arena/**,/v1/markets/** "
	        "append=x # its own\r\n"
	        "viewer token:letmein expires=2026-12-31T00:00:00Z view=**\n"
	        "game\tsha256:BBBBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	const struct token_row *a = find(rows, HEX_A), *b = find(rows, HEX_B),
	                       *viewer = find(rows, HEX_LETMEIN);
	assert_string_equal(a->name, "game");
	assert_string_equal(a->source, "file");
	assert_int_equal(a->line, 3);
	assert_null(a->token.at);
	assert_true(a->expires_ms == UINT64_MAX);
	assert_true(rights_may(a->rights, VERB_POST, SPAN("/v1/source/arena")));
	assert_true(rights_may(a->rights, VERB_READ, SPAN("/v1/markets/a")));
	assert_false(rights_may(a->rights, VERB_VIEW, SPAN("/stream/a")));
	assert_int_equal(b->line, 5);
	assert_false(rights_any(b->rights, VERB_READ));
	assert_true(viewer->expires_ms == 1798675200000);
	assert_true(span_equal(viewer->token, SPAN("letmein")));
	assert_false(token_row_ended(viewer, 1798675199999));
	assert_true(token_row_ended(viewer, 1798675200000));
	assert_true(rights_may(viewer->rights, VERB_VIEW, SPAN("/stream/a")));
	/* One subject, two tokens. */
	assert_ptr_equal(token_rows_named(rows, SPAN("game")), a);
	assert_ptr_equal(a->next, b);
	assert_null(b->next);
	assert_ptr_equal(token_rows_named(rows, SPAN("viewer")), viewer);
	assert_null(token_rows_named(rows, SPAN("gam")));
	assert_null(token_rows_named(rows, SPAN("")));
	assert_ptr_equal(token_rows_at(rows, 1), viewer);
	assert_null(token_rows_at(rows, 3));
	token_rows_destroy(&rows);
	assert_null(rows);
}

static void test_text(void **state)
{
	(void)state;
	static const char printed[] = "viewer sha256:" HEX_LETMEIN
	                              " read=a%2Cb view=** expires=2027-01-01T00:00:00.000Z\n"
	                              "bare sha256:" HEX_A "\n";
	struct token_rows *rows = read_rows(
	        "viewer token:letmein view=** read=a%2Cb expires=2027-01-01T01:00:00+01:00\n"
	        "bare sha256:" HEX_A " # why\n");
	char *text = token_rows_text(rows);
	assert_string_equal(text, printed);
	struct token_rows *again = read_rows(text);
	char *twice = token_rows_text(again), *one = token_row_text(token_rows_at(again, 1));
	assert_string_equal(twice, printed);
	assert_string_equal(one, "bare sha256:" HEX_A "\n");
	free(one);
	free(twice);
	free(text);
	token_rows_destroy(&again);
	token_rows_destroy(&rows);
}

static void test_faults(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
	} rows[] = {
	        {"a", "file:1: a token is missing: sha256:HEX or token:TEXT"},
	        {"a # sha256:" HEX_A, "file:1: a token is missing: sha256:HEX or token:TEXT"},
	        {"\n\na s3cret", "file:3: the second word is sha256:HEX or token:TEXT"},
	        {"a sha256:12", "file:1: sha256: is to be followed by 64 hexadecimal digits"},
	        {"a sha256:" HEX_A "a",
	         "file:1: sha256: is to be followed by 64 hexadecimal digits"},
	        {"a sha256:g" HEX_A, "file:1: sha256: is to be followed by 64 hexadecimal digits"},
	        {"a token:", "file:1: a token is letters, digits and -._~+/="},
	        {"a token:s3cret,", "file:1: a token is letters, digits and -._~+/="},
	        {"-a token:s3cret",
	         "file:1: a name is letters, digits and ._@+-, a letter or digit first"},
	        {"jwt:a token:s3cret",
	         "file:1: a name is letters, digits and ._@+-, a letter or digit first"},
	        {"anonymous token:s3cret",
	         "file:1: anonymous is who shows no token: its rights are auth.public"},
	        {"a token:s3cret s3cret",
	         "file:1: behind the token stand VERB=PATTERN and expires=TIME"},
	        {"a token:x s3cret=", "file:1: the verbs are read append create delete render view "
	                              "post bet operate metrics spawn frames"},
	        {"a token:s3cret read=", "file:1: pattern '' is empty"},
	        {"a token:s3cret read=%2a",
	         "file:1: pattern '%2a' has an escaped '*', which would be a wildcard"},
	        {"a token:s3cret expires=",
	         "file:1: expires is a time such as 2026-12-31T00:00:00Z"},
	        {"a token:s3cret expires=1960-01-01T00:00:00Z",
	         "file:1: expires is a time such as 2026-12-31T00:00:00Z"},
	        {"a token:s3cret expires=2026-12-31T00:00:00Z expires=2026-12-31T00:00:00Z",
	         "file:1: expires stands twice"},
	        {"a token:letmein\n\nb sha256:" HEX_LETMEIN, "file:3: its token is that of file:1"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char reason[TOKEN_ROWS_REASON_ROOM] = "";
		struct token_rows *made = token_rows_create();
		assert_false(token_rows_read(made, "file", span_str(rows[i].text), reason));
		assert_string_equal(reason, rows[i].reason);
		assert_null(strstr(reason, "s3cret"));
		token_rows_destroy(&made);
	}
}

static void test_a_nul_is_no_end(void **state)
{
	(void)state;
	static const char *const texts[] = {"a\0b sha256:" HEX_A, "a token:s3cret\0x",
	                                    "a sha256:" HEX_A "\0 read=a"};
	static const size_t lens[] = {11 + 64, 16, 9 + 64 + 8};
	for (size_t i = 0; i < 3; i++) {
		char reason[TOKEN_ROWS_REASON_ROOM] = "";
		struct token_rows *rows = token_rows_create();
		assert_false(token_rows_read(rows, "f", span_of(texts[i], lens[i]), reason));
		token_rows_destroy(&rows);
	}
}

static void test_sources_share_one_table(void **state)
{
	(void)state;
	char reason[TOKEN_ROWS_REASON_ROOM];
	struct token_rows *rows = read_rows("a token:letmein");
	assert_true(token_rows_read(rows, "more", SPAN("a sha256:" HEX_A), reason));
	assert_string_equal(find(rows, HEX_A)->source, "more");
	assert_ptr_equal(token_rows_named(rows, SPAN("a"))->next, find(rows, HEX_A));
	assert_false(token_rows_read(rows, "third", SPAN("c token:letmein"), reason));
	assert_string_equal(reason, "third:1: its token is that of file:1");
	token_rows_destroy(&rows);
}

static void test_limits(void **state)
{
	(void)state;
	char reason[TOKEN_ROWS_REASON_ROOM] = "", name[TOKEN_NAME_MAX + 2];
	struct token_rows *rows = token_rows_create();
	char *text = xmalloc(TOKEN_ROWS_BYTES_MAX + 1);
	size_t len = 0;
	for (int i = 0; i < TOKEN_ROWS_MAX; i++)
		len += (size_t)sprintf(text + len, "n%d token:t%d\n", i % 100, i);
	assert_true(token_rows_read(rows, "f", span_of(text, len), reason));
	assert_true(token_rows_read(rows, "f", SPAN("# no row\n"), reason));
	assert_false(token_rows_read(rows, "g", SPAN("a token:x"), reason));
	assert_string_equal(reason, "g:1: there are more than 10000 rows");
	size_t count = 0;
	for (const struct token_row *row = token_rows_named(rows, SPAN("n7")); row != NULL;
	     row = row->next)
		count++;
	assert_int_equal(count, 100);
	token_rows_destroy(&rows);

	rows = token_rows_create();
	memset(text, '#', TOKEN_ROWS_BYTES_MAX + 1);
	assert_false(token_rows_read(rows, "f", span_of(text, TOKEN_ROWS_BYTES_MAX + 1), reason));
	assert_string_equal(reason, "f: is longer than 4 MB");
	assert_true(token_rows_read(rows, "f", span_of(text, TOKEN_ROW_BYTES_MAX), reason));
	assert_false(token_rows_read(rows, "f", span_of(text, TOKEN_ROW_BYTES_MAX + 1), reason));
	assert_string_equal(reason, "f:1: the line is longer than 8192 bytes");
	token_rows_destroy(&rows);
	free(text);

	memset(name, 'n', sizeof name);
	assert_true(token_name_valid(span_of(name, TOKEN_NAME_MAX)));
	assert_false(token_name_valid(span_of(name, TOKEN_NAME_MAX + 1)));
	assert_false(token_name_valid(SPAN("")));
	assert_true(token_name_valid(SPAN("a.b_c@d+e-f")));
}

static void test_editing_leaves_the_rest(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned lines[3];
		size_t count;
		const char *left;
	} rows[] = {
	        {"a\nb\nc\n", {2}, 1, "a\nc\n"},
	        {"a\nb\nc", {3}, 1, "a\nb\n"},
	        {"a\r\n\n# c\nd\n", {1, 4}, 2, "\n# c\n"},
	        {"a\n", {1}, 1, ""},
	        {"a\n", {2}, 1, "a\n"},
	        {"", {1}, 1, ""},
	        {"a\nb\n", {0}, 0, "a\nb\n"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *left =
		        token_rows_without(span_str(rows[i].text), rows[i].lines, rows[i].count);
		assert_string_equal(left, rows[i].left);
		free(left);
	}
	static const char *const added[][2] = {{"", "x\n"}, {"a\n", "a\nx\n"}, {"# a", "# a\nx\n"}};
	for (size_t i = 0; i < 3; i++) {
		char *text = token_rows_with(span_str(added[i][0]), "x\n");
		assert_string_equal(text, added[i][1]);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rows),
	        cmocka_unit_test(test_text),
	        cmocka_unit_test(test_faults),
	        cmocka_unit_test(test_a_nul_is_no_end),
	        cmocka_unit_test(test_sources_share_one_table),
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_editing_leaves_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
