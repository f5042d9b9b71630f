#include "worker-sse/edge/identity.h"
#include "worker-sse/edge/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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

static void stale(void *context)
{
	++*(unsigned *)context;
}

static unsigned stale_count;
static const struct identity_source no_sources[IDENTITY_WAYS];
static const struct identities_events events = {stale, &stale_count};

static struct identity *who(struct identities *all, const char *authorization, uint64_t now_ms)
{
	static struct span headers[HEADER_COUNT];
	const struct request request = {
	        .headers = headers, .path = SPAN("/"), .method = METHOD_GET};
	headers[HEADER_AUTHORIZATION] =
	        authorization != NULL ? span_str(authorization) : (struct span){0};
	return identities_of(all, &request, now_ms);
}

/* ---- whose it is ---- */

static const char *owner(const char *authorization)
{
	static char out[8][IDENTITY_PRINCIPAL_ROOM];
	static unsigned next;
	const struct settings settings = all_set();
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *identity = who(all, authorization, 1);
	char *principal = strcpy(out[next++ % 8], identity->principal);
	identity_release(&identity);
	identities_destroy(&all);
	return principal;
}

static enum identity_way way(const char *authorization)
{
	const struct settings settings = all_set();
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *identity = who(all, authorization, 1);
	enum identity_way came = identity->way;
	identity_release(&identity);
	identities_destroy(&all);
	return came;
}

/* Sessions in stores of earlier releases belong to the digest of the token alone. */
static void a_bearer_token_owns_what_it_owned(void **state)
{
	static const char digest[] =
	        "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"; /* of "alice" */
	(void)state;
	assert_string_equal(owner("Bearer alice"), digest);
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
	assert_string_equal(owner(NULL), "");
}

static void only_bearer_is_a_token(void **state)
{
	static const struct {
		const char *authorization;
		enum identity_way way;
	} rows[] = {{NULL, IDENTITY_ANONYMOUS},        {"", IDENTITY_ANONYMOUS},
	            {"Basic YTpi", IDENTITY_OTHER},    {"Bearer a b", IDENTITY_OTHER},
	            {"Bearer", IDENTITY_OTHER},        {"Bearer  a", IDENTITY_STRANGER},
	            {"Bearer ledger", IDENTITY_TOKEN}, {"bearer  bets ", IDENTITY_TOKEN},
	            {"Bearerledger", IDENTITY_OTHER}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(way(rows[i].authorization), rows[i].way);
}

/* ---- what it may ---- */

#define STREAM  RIGHT(READ), "/v1/stream/a"
#define WRITE   RIGHT(APPEND), "/v1/stream/a"
#define METRICS RIGHT(METRICS), "/metrics"
#define ORDER   RIGHT(RENDER), NULL
#define FACT    RIGHT(POST), "/v1/source/arena"
#define OUTPUT  RIGHT(OPERATE), "/v1/outputs/a"
#define ACCOUNT RIGHT(OPERATE), "/v1/ledger/accounts"
#define ABORT   RIGHT(OPERATE), "/v1/duels/arena/abort"
#define FRAMES  RIGHT(FRAMES), "/v1/feeds/arena"

static enum refusal with(const struct settings *settings, unsigned verbs, const char *path,
                         const char *authorization)
{
	struct identities *all = identities_create(settings, no_sources, &events);
	struct identity *identity = who(all, authorization, 1000);
	enum refusal refusal = identities_refusal(all, identity, verbs,
	                                          path != NULL ? span_str(path) : (struct span){0});
	identity_release(&identity);
	identities_destroy(&all);
	return refusal;
}

static void who_may_what(void **state)
{
	(void)state;
	static const char *const tokens[] = {"publish", "publish2", "subscribe",
	                                     "metrics", "render",   "source",
	                                     "outputs", "ledger",   "bets"};
	static const struct {
		unsigned verbs;
		const char *path, *may; /* a letter for each of `tokens` */
	} rows[] = {{WRITE, "yy......."},
	            {RIGHT(CREATE), "/v1/stream/a", "yy......."},
	            {RIGHT(DELETE), "/v1/stream/a", "yy......."},
	            {STREAM, "yyy......"},
	            {RIGHT(READ), "/v1/markets", "yyy......"},
	            {RIGHT(READ), NULL, "yyy......"},
	            {RIGHT(VIEW), "/v1/hls/arena", "yyy......"},
	            {RIGHT(VIEW), "/stream/s", "........."},
	            {METRICS, "...y....."},
	            {ORDER, "yy..y...."},
	            {FACT, ".....y..."},
	            {OUTPUT, "......y.."},
	            {ACCOUNT, ".......y."},
	            {ABORT, ".......y."},
	            {FRAMES, "........y"}};
	const struct settings settings = all_set();
	for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
		for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
			char authorization[40];
			snprintf(authorization, sizeof authorization, "Bearer %s", tokens[t]);
			assert_int_equal(
			        with(&settings, rows[r].verbs, rows[r].path, authorization),
			        rows[r].may[t] == 'y' ? REFUSAL_NONE : REFUSAL_FORBIDDEN);
		}
	assert_int_equal(with(&settings, FACT, "Bearer nobody"), REFUSAL_UNKNOWN);
	assert_int_equal(with(&settings, FACT, NULL), REFUSAL_MISSING);
	assert_int_equal(with(&settings, FACT, "Basic YTpi"), REFUSAL_MISSING);
	assert_int_equal(with(&settings, FACT, "Bearer a b"), REFUSAL_MALFORMED);
}

static void what_is_not_set(void **state)
{
	(void)state;
	struct settings settings = all_set();
	settings.auth_metrics_token = text("");
	assert_int_equal(with(&settings, METRICS, "Bearer subscribe"), REFUSAL_NONE);
	assert_int_equal(with(&settings, METRICS, "Bearer publish"), REFUSAL_NONE);
	assert_int_equal(with(&settings, METRICS, "Bearer render"), REFUSAL_FORBIDDEN);
	settings.auth_source_token = text("");
	assert_int_equal(with(&settings, FACT, "Bearer publish"), REFUSAL_UNCONFIGURED);
	assert_int_equal(with(&settings, FACT, NULL), REFUSAL_UNCONFIGURED);
	settings.auth_session_tokens = text("");
	assert_int_equal(with(&settings, ORDER, "Bearer publish"), REFUSAL_NONE);
	settings.auth_publish_tokens = settings.auth_subscribe_tokens = text("");
	assert_int_equal(with(&settings, WRITE, "Bearer outputs"), REFUSAL_UNCONFIGURED);
	assert_int_equal(with(&settings, OUTPUT, "Bearer outputs"), REFUSAL_NONE);
	settings.auth_session_tokens = text("render");
	assert_int_equal(with(&settings, WRITE, "Bearer render"), REFUSAL_FORBIDDEN);
	settings.auth_ledger_token = text("");
	assert_int_equal(with(&settings, ACCOUNT, "Bearer outputs"), REFUSAL_UNCONFIGURED);
	settings.dev = true;
	assert_int_equal(with(&settings, WRITE, NULL), REFUSAL_NONE);
	assert_int_equal(with(&settings, ACCOUNT, "Bearer nobody"), REFUSAL_NONE);
	assert_int_equal(with(&settings, FRAMES, NULL), REFUSAL_MISSING);
	settings = all_set();
	settings.sessions_validate_url = text("http://127.0.0.1/");
	assert_int_equal(with(&settings, ORDER, NULL), REFUSAL_NONE);
	assert_int_equal(with(&settings, STREAM, NULL), REFUSAL_MISSING);
}

/* ---- what changes ---- */

static void one_credential_is_one_identity(void **state)
{
	const struct settings settings = all_set();
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *a = who(all, "Bearer publish", 1), *b = who(all, "bearer  publish", 2),
	                *c = who(all, "Bearer publish2", 2);
	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	identity_release(&a);
	identity_release(&b);
	identity_release(&c);
	identities_destroy(&all);
}

static void who_may_no_longer_is_told_and_others_are_not(void **state)
{
	struct settings settings = all_set();
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *publisher = who(all, "Bearer publish", 1),
	                *reader = who(all, "Bearer subscribe", 1), *nobody = who(all, NULL, 1),
	                *stranger = who(all, "Bearer alice", 1);
	(void)state;
	stale_count = 0;
	identities_use(all, &settings, 2);
	assert_int_equal(stale_count, 0);
	assert_false(identity_stale(publisher) || identity_stale(reader));
	settings.auth_publish_tokens = text("publish2");
	identities_use(all, &settings, 2);
	assert_int_equal(stale_count, 1);
	assert_true(identity_stale(publisher));
	assert_false(identity_stale(reader) || identity_stale(nobody) || identity_stale(stranger));
	publisher = identity_now(publisher);
	assert_int_equal(publisher->refusal, REFUSAL_REVOKED);
	struct identity *again = who(all, "Bearer publish", 2);
	assert_int_equal(again->refusal, REFUSAL_UNKNOWN);
	identity_release(&again);
	/* More rights are another identity, too: a reader of patterns may see more. */
	settings.auth_publish_tokens = text("publish2,subscribe");
	identities_use(all, &settings, 3);
	assert_true(identity_stale(reader));
	reader = identity_now(reader);
	assert_int_equal(identities_refusal(all, reader, RIGHT(APPEND), SPAN("/v1/stream/a")),
	                 REFUSAL_NONE);
	identity_release(&publisher);
	identity_release(&reader);
	identity_release(&nobody);
	identity_release(&stranger);
	identities_destroy(&all);
}

static void a_token_ends_with_its_time(void **state)
{
	struct settings settings = all_set();
	settings.bet_sync_token_previous = text("old");
	settings.bet_sync_token_previous_expires = 5000;
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *before = who(all, "Bearer old", 4999),
	                *after = who(all, "Bearer old", 5000);
	(void)state;
	assert_int_equal(identities_refusal(all, before, RIGHT(FRAMES), (struct span){0}),
	                 REFUSAL_NONE);
	assert_int_equal(before->expires_ms, 5000);
	assert_int_equal(identities_refusal(all, after, RIGHT(FRAMES), (struct span){0}),
	                 REFUSAL_EXPIRED);
	identities_judge(all, 5000);
	assert_true(identity_stale(before));
	identity_release(&before);
	identity_release(&after);
	identities_destroy(&all);
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
	        cmocka_unit_test(one_credential_is_one_identity),
	        cmocka_unit_test(who_may_no_longer_is_told_and_others_are_not),
	        cmocka_unit_test(a_token_ends_with_its_time),
	};
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
