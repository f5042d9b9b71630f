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
	return (struct settings){.auth_token_rows = text(""),
	                         .auth_public = text(""),
	                         .auth_publish_tokens = text("publish,publish2"),
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

/* ---- rows that have a name ---- */

static void a_name_owns_what_its_tokens_owned(void **state)
{
	struct settings settings = all_set();
	settings.auth_token_rows = text("alice token:first-token read=a/**\n"
	                                "bob token:bobs-token read=b/**\n"
	                                "alice token:second-token append=a/x\n");
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *first = who(all, "Bearer first-token", 1),
	                *second = who(all, "Bearer second-token", 1),
	                *bob = who(all, "Bearer bobs-token", 1);
	(void)state;
	assert_string_equal(first->subject, "alice");
	assert_string_equal(first->principal, second->principal);
	assert_string_not_equal(first->principal, bob->principal);
	assert_int_equal(first->former.len, 128);
	assert_int_equal(bob->former.len, 64);
	/* The one that is shown is the first of them. */
	assert_memory_equal(first->former.at, second->former.at + 64, 64);
	assert_memory_equal(first->former.at + 64, second->former.at, 64);
	/* Each may what its own row says. */
	assert_int_equal(identities_refusal(all, first, RIGHT(READ), SPAN("/v1/stream/a/b/c")),
	                 REFUSAL_NONE);
	assert_int_equal(identities_refusal(all, first, RIGHT(READ), SPAN("/v1/stream/%61/b")),
	                 REFUSAL_NONE);
	assert_int_equal(identities_refusal(all, first, RIGHT(READ), SPAN("/v1/stream/b")),
	                 REFUSAL_FORBIDDEN);
	assert_int_equal(identities_refusal(all, first, RIGHT(APPEND), SPAN("/v1/stream/a/x")),
	                 REFUSAL_FORBIDDEN);
	assert_int_equal(identities_refusal(all, second, RIGHT(APPEND), SPAN("/v1/stream/a/x")),
	                 REFUSAL_NONE);
	assert_true(identities_cover(all, first, VERB_READ, SPAN("a/*/c")));
	assert_false(identities_cover(all, first, VERB_READ, SPAN("**")));
	identity_release(&first);
	identity_release(&second);
	identity_release(&bob);
	identities_destroy(&all);
}

static void a_row_and_a_short_key_are_both_good(void **state)
{
	struct settings settings = all_set();
	settings.auth_token_rows = text("house token:ledger read=a\n");
	(void)state;
	assert_int_equal(with(&settings, ACCOUNT, "Bearer ledger"), REFUSAL_NONE);
	assert_int_equal(with(&settings, STREAM, "Bearer ledger"), REFUSAL_NONE);
	assert_int_equal(with(&settings, WRITE, "Bearer ledger"), REFUSAL_FORBIDDEN);
}

static void a_row_ends_with_its_time(void **state)
{
	struct settings settings = all_set();
	settings.auth_token_rows =
	        text("alice token:first-token read=** expires=1970-01-01T00:00:05Z\n");
	struct identities *all = identities_create(&settings, no_sources, &events);
	struct identity *before = who(all, "Bearer first-token", 4999),
	                *after = who(all, "Bearer first-token", 5000);
	(void)state;
	assert_int_equal(before->refusal, REFUSAL_NONE);
	assert_int_equal(before->expires_ms, 5000);
	assert_int_equal(after->refusal, REFUSAL_EXPIRED);
	assert_string_equal(after->principal, ""); /* it owns nothing any more */
	identity_release(&before);
	identity_release(&after);
	identities_destroy(&all);
}

/* ---- who shows nothing ---- */

static void what_is_public_needs_no_token_but_no_bad_one_either(void **state)
{
	struct settings settings = all_set();
	settings.auth_public = text("read=a metrics=/metrics");
	(void)state;
	assert_int_equal(with(&settings, STREAM, NULL), REFUSAL_NONE);
	assert_int_equal(with(&settings, STREAM, "Basic YTpi"), REFUSAL_NONE);
	assert_int_equal(with(&settings, METRICS, NULL), REFUSAL_NONE);
	assert_int_equal(with(&settings, WRITE, NULL), REFUSAL_MISSING);
	assert_int_equal(with(&settings, RIGHT(READ), "/v1/stream/b", NULL), REFUSAL_MISSING);
	/* What is shown must be good, and has rights of its own alone. */
	assert_int_equal(with(&settings, STREAM, "Bearer nobody"), REFUSAL_UNKNOWN);
	assert_int_equal(with(&settings, STREAM, "Bearer a b"), REFUSAL_MALFORMED);
	assert_int_equal(with(&settings, STREAM, "Bearer source"), REFUSAL_FORBIDDEN);
	settings = (struct settings){.auth_token_rows = text(""),
	                             .auth_public = text("read=a"),
	                             .auth_publish_tokens = text(""),
	                             .auth_subscribe_tokens = text(""),
	                             .auth_metrics_token = text(""),
	                             .auth_session_tokens = text(""),
	                             .auth_source_token = text(""),
	                             .auth_outputs_token = text(""),
	                             .auth_ledger_token = text(""),
	                             .bet_sync_token = text(""),
	                             .bet_sync_token_previous = text(""),
	                             .sessions_validate_url = text("")};
	assert_int_equal(with(&settings, STREAM, NULL), REFUSAL_NONE);
	assert_int_equal(with(&settings, WRITE, NULL), REFUSAL_UNCONFIGURED);
}

/* ---- other kinds ---- */

static unsigned made, asked_again;
static bool withdrawn;

static struct span find_cookie(void *context, const struct request *request)
{
	(void)context;
	return request->query;
}

static struct identity *make_cookie(void *context, struct span value,
                                    const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	char reason[RIGHTS_REASON_ROOM];
	(void)context, (void)digest, (void)now_ms;
	made++;
	if (span_equal(value, SPAN("bad")))
		return identity_bad(IDENTITY_COOKIE, REFUSAL_EXPIRED);
	return identity_create(
	        IDENTITY_COOKIE,
	        &(struct identity_facts){.subject = "carol",
	                                 .rights = rights_of_text(SPAN("read=c"), reason)});
}

static struct identity *cookie_again(void *context, struct identity *was, uint64_t now_ms)
{
	(void)context, (void)now_ms;
	asked_again++;
	return withdrawn ? NULL : identity_hold(was);
}

static void another_kind_of_credential_is_a_source(void **state)
{
	static const struct identity_source sources[IDENTITY_WAYS] = {
	        [IDENTITY_COOKIE] = {
	                .find = find_cookie, .make = make_cookie, .again = cookie_again}};
	static struct span headers[HEADER_COUNT];
	struct settings settings = all_set();
	struct identities *all = identities_create(&settings, sources, &events);
	struct request request = {.headers = headers, .path = SPAN("/"), .query = SPAN("good")};
	(void)state;
	struct identity *one = identities_of(all, &request, 1),
	                *two = identities_of(all, &request, 2);
	assert_ptr_equal(one, two);
	assert_int_equal(made, 1);
	assert_int_equal(one->way, IDENTITY_COOKIE);
	assert_int_equal(identities_refusal(all, one, RIGHT(READ), SPAN("/v1/stream/c")),
	                 REFUSAL_NONE);
	request.query = SPAN("bad");
	struct identity *bad = identities_of(all, &request, 3);
	assert_int_equal(bad->refusal, REFUSAL_EXPIRED);
	/* A Bearer goes first, and the same text as a Bearer is nobody's. */
	headers[HEADER_AUTHORIZATION] = SPAN("Bearer good");
	struct identity *bearer = identities_of(all, &request, 3);
	assert_int_equal(bearer->way, IDENTITY_STRANGER);
	stale_count = 0;
	identities_judge(all, 4);
	assert_int_equal(stale_count, 0);
	withdrawn = true;
	identities_judge(all, 4);
	assert_true(stale_count == 1 && identity_stale(one));
	identity_release(&one);
	two = identity_now(two);
	assert_int_equal(two->refusal, REFUSAL_REVOKED);
	identity_release(&two);
	identity_release(&bad);
	identity_release(&bearer);
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
	        cmocka_unit_test(a_name_owns_what_its_tokens_owned),
	        cmocka_unit_test(a_row_and_a_short_key_are_both_good),
	        cmocka_unit_test(a_row_ends_with_its_time),
	        cmocka_unit_test(what_is_public_needs_no_token_but_no_bad_one_either),
	        cmocka_unit_test(another_kind_of_credential_is_a_source),
	};
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
