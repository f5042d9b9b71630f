#include "worker-sse/edge/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *owner(const char *authorization)
{
	static char out[8][AUTH_PRINCIPAL_ROOM];
	static unsigned next;
	char *text = out[next++ % 8];
	auth_owner(span_str(authorization), text);
	return text;
}

static const char *principal(const char *authorization)
{
	static char out[AUTH_PRINCIPAL_ROOM];
	auth_principal(span_str(authorization), out);
	return out;
}

/* Sessions in stores of earlier releases belong to the digest of the token alone. */
static void a_bearer_token_owns_what_it_owned(void **state)
{
	static const char digest[] =
	        "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"; /* of "alice" */
	(void)state;
	assert_string_equal(owner("Bearer alice"), digest);
	assert_string_equal(principal("Bearer alice"), digest);
}

static void spaces_and_case_make_nobody_else(void **state)
{
	static const char *const same[] = {"Bearer  alice", "BEARER alice", "bearer    alice ",
	                                   "Bearer \t alice"};
	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		assert_string_equal(owner(same[i]), owner("Bearer alice"));
	assert_string_equal(owner("basic   YTpi"), owner("Basic YTpi"));
	assert_string_equal(owner("Digest  a=1,  b=2"), owner("DIGEST a=1, b=2"));
}

static void each_credential_is_somebody_else(void **state)
{
	static const char *const texts[] = {
	        "Bearer alice", "Bearer Alice", "Basic YWxpY2U=",    "Basic YTpi",  "Basic YTpj",
	        "Digest a=1",   "Digest a=2",   "Bearer basic YTpi", "ApiKey alice"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(strlen(owner(texts[i])), 64);
		for (size_t n = 0; n < i; n++)
			assert_string_not_equal(owner(texts[i]), owner(texts[n]));
	}
}

/* Spellings that some take for another's, and what is no credential. */
static void what_can_be_read_in_two_ways_is_nobody(void **state)
{
	static const char *const texts[] = {"",
	                                    "Bearer",
	                                    "Bearer ",
	                                    "Basic",
	                                    "alice",
	                                    "Basic YTo",
	                                    "Basic YTpi=",
	                                    "Basic YWxpY2V=",
	                                    "Basic YT pi",
	                                    "Basic !!!!",
	                                    "Bearer alice\xa0",
	                                    "Bearer \x01"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (*owner(texts[i]) != '\0')
			fail_msg("'%s' is somebody", texts[i]);
	char out[AUTH_PRINCIPAL_ROOM];
	auth_owner((struct span){0}, out);
	assert_string_equal(out, "");
}

static void only_bearer_is_a_token(void **state)
{
	(void)state;
	assert_string_equal(principal("Basic YTpi"), "");
	assert_string_equal(principal("Bearer a b"), "");
	assert_int_equal(strlen(principal("Bearer  a")), 64);
}

/* ---- permissions ---- */

static enum auth_result with(const struct settings *settings, enum permission permission,
                             const char *authorization)
{
	static struct auth auth;
	auth_init(&auth, settings);
	return auth_check(&auth, permission,
	                  authorization != NULL ? span_str(authorization) : (struct span){0});
}

static char *text(const char *constant)
{
	return (char *)(uintptr_t)constant;
}

/* Each with a token of its own, named after it. */
static struct settings all_set(void)
{
	return (struct settings){.auth_publish_tokens = text("publish,publish2"),
	                         .auth_subscribe_tokens = text("subscribe"),
	                         .auth_metrics_token = text("metrics"),
	                         .auth_session_tokens = text("render"),
	                         .auth_source_token = text("source"),
	                         .auth_outputs_token = text("outputs"),
	                         .auth_ledger_token = text("ledger"),
	                         .bet_sync_token = text("bets"),
	                         .bet_sync_token_previous = text(""),
	                         .sessions_validate_url = text("")};
}

static void who_may_what(void **state)
{
	(void)state;
	static const char *const tokens[] = {"publish", "publish2", "subscribe",
	                                     "metrics", "render",   "source",
	                                     "outputs", "ledger",   "bets"};
	static const struct {
		enum permission permission;
		const char *may; /* a letter for each of `tokens` */
	} rows[] = {{PERMISSION_PUBLISH, "yy......."}, {PERMISSION_SUBSCRIBE, "yyy......"},
	            {PERMISSION_METRICS, "...y....."}, {PERMISSION_RENDER, "yy..y...."},
	            {PERMISSION_SOURCE, ".....y..."},  {PERMISSION_OUTPUTS, "......y.."},
	            {PERMISSION_NONE, "yyyyyyyyy"}};
	const struct settings settings = all_set();
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
		for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
			char authorization[40];
			snprintf(authorization, sizeof authorization, "Bearer %s", tokens[t]);
			assert_int_equal(with(&settings, rows[r].permission, authorization),
			                 rows[r].may[t] == 'y' ? AUTH_ALLOWED : AUTH_FORBIDDEN);
		}
	assert_int_equal(with(&settings, PERMISSION_SOURCE, "Bearer nobody"), AUTH_UNKNOWN);
	assert_int_equal(with(&settings, PERMISSION_SOURCE, NULL), AUTH_MISSING);
	assert_int_equal(with(&settings, PERMISSION_NONE, NULL), AUTH_ALLOWED);
}

static void what_is_not_set(void **state)
{
	(void)state;
	struct settings settings = all_set();
	settings.auth_metrics_token = text("");
	assert_int_equal(with(&settings, PERMISSION_METRICS, "Bearer subscribe"), AUTH_ALLOWED);
	assert_int_equal(with(&settings, PERMISSION_METRICS, "Bearer publish"), AUTH_ALLOWED);
	assert_int_equal(with(&settings, PERMISSION_METRICS, "Bearer render"), AUTH_FORBIDDEN);
	settings.auth_source_token = text("");
	assert_int_equal(with(&settings, PERMISSION_SOURCE, "Bearer publish"), AUTH_UNCONFIGURED);
	settings.auth_session_tokens = text("");
	assert_int_equal(with(&settings, PERMISSION_RENDER, "Bearer publish"), AUTH_ALLOWED);
	settings.auth_publish_tokens = settings.auth_subscribe_tokens = text("");
	assert_int_equal(with(&settings, PERMISSION_PUBLISH, "Bearer outputs"), AUTH_UNCONFIGURED);
	assert_int_equal(with(&settings, PERMISSION_OUTPUTS, "Bearer outputs"), AUTH_ALLOWED);
	settings.auth_session_tokens = text("render");
	assert_int_equal(with(&settings, PERMISSION_PUBLISH, "Bearer render"), AUTH_FORBIDDEN);
	settings.dev = true;
	assert_int_equal(with(&settings, PERMISSION_PUBLISH, NULL), AUTH_ALLOWED);
	settings = all_set();
	settings.sessions_validate_url = text("http://127.0.0.1/");
	assert_int_equal(with(&settings, PERMISSION_RENDER, NULL), AUTH_ALLOWED);
	assert_int_equal(with(&settings, PERMISSION_SUBSCRIBE, NULL), AUTH_MISSING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_bearer_token_owns_what_it_owned),
	        cmocka_unit_test(spaces_and_case_make_nobody_else),
	        cmocka_unit_test(each_credential_is_somebody_else),
	        cmocka_unit_test(what_can_be_read_in_two_ways_is_nobody),
	        cmocka_unit_test(only_bearer_is_a_token),
	        cmocka_unit_test(who_may_what),
	        cmocka_unit_test(what_is_not_set),
	};
	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
