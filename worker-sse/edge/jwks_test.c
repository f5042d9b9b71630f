/* Keys over time, with an issuer whose answers are the test's. */
#include "worker-sse/edge/jwks.h"
#include "common/base/http_post.h"
#include "tests/doubles/issuer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ISS  "https://id.example"
#define URL  ISS "/jwks"
#define URL2 "https://other.example/jwks"

struct world {
	struct wheel wheel;
	struct counters_slot counters;
	struct jwks *jwks;
	unsigned fetches, changes, revocations;
	char url[256]; /* of the last fetch */
	/* Under way, the oldest first. */
	struct {
		void (*done)(void *arg, const struct http_post_answer *answer);
		void *arg;
	} waiting[8];
	size_t waiting_count;
};

static void fetch(void *context, const char *url, uint64_t timeout_ms,
                  void (*done)(void *arg, const struct http_post_answer *answer), void *arg)
{
	struct world *w = context;
	assert_int_equal(timeout_ms, 10000);
	snprintf(w->url, sizeof w->url, "%s", url);
	w->waiting[w->waiting_count].done = done;
	w->waiting[w->waiting_count++].arg = arg;
	w->fetches++;
}

static void changed(void *context, bool revoked)
{
	struct world *w = context;
	w->changes++;
	w->revocations += revoked;
}

static void answer(struct world *w, struct http_post_answer a)
{
	assert_true(w->waiting_count > 0);
	void (*done)(void *arg, const struct http_post_answer *answer) = w->waiting[0].done;
	void *arg = w->waiting[0].arg;
	w->waiting_count--;
	memmove(w->waiting, w->waiting + 1, w->waiting_count * sizeof *w->waiting);
	if (a.cache_control == NULL)
		a.cache_control = "";
	if (a.error == NULL)
		a.error = "";
	done(arg, &a);
}

static void answer_keys(struct world *w, const char *keys, const char *cache_control)
{
	answer(w, (struct http_post_answer){
	                  .status = 200, .body = span_str(keys), .cache_control = cache_control});
}

static void pass(struct world *w, uint64_t ms)
{
	for (uint64_t end_ms = w->wheel.now_ms + ms; w->wheel.now_ms < end_ms;)
		wheel_run(&w->wheel, w->wheel.now_ms + WHEEL_TICK_MS);
}

/* "key=value" each; NULL at the end. */
static const struct settings *settings_with(const char *const *pairs)
{
	char reason[SETTINGS_REASON_MAX];
	struct settings s;
	settings_init(&s);
	for (; *pairs != NULL; pairs++) {
		const char *equals = strchr(*pairs, '=');
		if (!settings_set(&s, span_of(*pairs, (size_t)(equals - *pairs)),
		                  span_str(equals + 1), reason))
			fail_msg("%s", reason);
	}
	if (!settings_validate(&s, reason))
		fail_msg("%s", reason);
	return settings_freeze(&s);
}

static void use(struct world *w, const char *const *pairs)
{
	const struct settings *s = settings_with(pairs);
	const struct jwks_options options = {.wheel = &w->wheel,
	                                     .counters = &w->counters,
	                                     .fetch = fetch,
	                                     .changed = changed,
	                                     .context = w};
	if (w->jwks == NULL)
		w->jwks = jwks_create(&options, s);
	else
		jwks_use(w->jwks, s);
	settings_drop(&s);
}

static const char *const usual[] = {"auth.jwt_jwks_url=" URL, "auth.jwt_issuer=" ISS, NULL};

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	wheel_init(&w->wheel, 1000000);
	w->wheel.now_ms = 1000000;
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	jwks_destroy(&w->jwks);
	while (w->waiting_count > 0) /* of places that nobody wants any more */
		answer(w, (struct http_post_answer){.status = 500});
	free(w);
	return 0;
}

/* ---- issuers ---- */

static struct issuer ann, bob;

static int make_issuers(void **state)
{
	(void)state;
	issuer_init(&ann, JWS_EC, 0);
	issuer_init(&bob, JWS_OKP, 0);
	return 0;
}

static int finish_issuers(void **state)
{
	(void)state;
	issuer_finish(&ann);
	issuer_finish(&bob);
	return 0;
}

/* A set of the keys of those that are there. */
static const char *keys_of(const struct issuer *one, const struct issuer *two)
{
	static char text[1024];
	char *first =
	        one != NULL ? issuer_jwk(one, one == &ann ? "\"kid\":\"ann\"," : "\"kid\":\"bob\",")
	                    : NULL;
	char *second =
	        two != NULL ? issuer_jwk(two, two == &ann ? "\"kid\":\"ann\"," : "\"kid\":\"bob\",")
	                    : NULL;
	snprintf(text, sizeof text, "{\"keys\":[%s%s%s]}", first != NULL ? first : "",
	         first != NULL && second != NULL ? "," : "", second != NULL ? second : "");
	free(first);
	free(second);
	return text;
}

static enum jwt_fault judge_as(struct world *w, const struct issuer *issuer, const char *iss,
                               uint64_t *generation)
{
	struct jwt_claims claims;
	char payload[128];
	snprintf(payload, sizeof payload, "{\"iss\":\"%s\",\"exp\":1700000060}", iss);
	char *token = issuer == &ann ? issuer_token(issuer, JWS_ES256,
	                                            "{\"alg\":\"ES256\",\"kid\":\"ann\"}", payload)
	                             : issuer_token(issuer, JWS_EDDSA,
	                                            "{\"alg\":\"EdDSA\",\"kid\":\"bob\"}", payload);
	enum jwt_fault fault =
	        jwks_verify(w->jwks, span_str(token), 1700000000000, &claims, generation);
	free(token);
	jwt_claims_finish(&claims);
	return fault;
}

static enum jwt_fault judge(struct world *w, const struct issuer *issuer)
{
	uint64_t generation;
	return judge_as(w, issuer, ISS, &generation);
}

/* ---- tests ---- */

static void keys_of_ones_own_are_there_at_once(void **state)
{
	struct world *w = *state;
	uint64_t generation;
	char *pair, *jwk = issuer_jwk(&ann, "\"kid\":\"ann\",");
	assert_true(asprintf(&pair, "auth.jwt_keys=%s", jwk) > 0);
	use(w, (const char *const[]){NULL});
	assert_false(jwks_configured(w->jwks));
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	use(w, (const char *const[]){pair, NULL});
	assert_true(jwks_configured(w->jwks));
	assert_int_equal(w->fetches, 0);
	assert_int_equal(judge_as(w, &ann, ISS, &generation), JWT_VALID);
	assert_true(jwks_knows(w->jwks, generation));
	assert_int_equal(judge(w, &bob), JWT_KEY_UNKNOWN);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	/* Another key beside it changes nothing for it; other expectations do. */
	use(w,
	    (const char *const[]){pair, "auth.jwt_secret=0123456789abcdef0123456789abcdef", NULL});
	assert_true(jwks_knows(w->jwks, generation));
	use(w, (const char *const[]){pair, "auth.jwt_issuer=" ISS, NULL});
	assert_false(jwks_knows(w->jwks, generation));
	use(w, (const char *const[]){NULL});
	assert_false(jwks_configured(w->jwks));
	assert_false(jwks_knows(w->jwks, generation));
	free(pair);
	free(jwk);
}

static void who_comes_first_waits_for_the_keys(void **state)
{
	struct world *w = *state;
	use(w, usual);
	assert_int_equal(w->fetches, 1);
	assert_string_equal(w->url, URL);
	assert_true(jwks_configured(w->jwks));
	assert_int_equal(judge(w, &ann), JWT_KEY_UNKNOWN);
	assert_int_equal(jwks_ask(w->jwks), JWKS_SOON);
	assert_int_equal(w->fetches, 1);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	assert_int_equal(w->changes, 1);
	assert_int_equal(w->revocations, 0);
	assert_int_equal(judge(w, &ann), JWT_VALID);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	assert_int_equal(counter_get(&w->counters, jwks_keys), 1);
	assert_true(counter_get(&w->counters, jwks_fetched_timestamp_seconds) > 0);
}

static void nobody_waits_for_ever(void **state)
{
	struct world *w = *state;
	use(w, usual);
	pass(w, 2900);
	assert_int_equal(jwks_ask(w->jwks), JWKS_SOON);
	assert_int_equal(w->changes, 0);
	pass(w, 200);
	assert_int_equal(w->changes, 1);
	assert_int_equal(jwks_ask(w->jwks), JWKS_FAILING);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	assert_int_equal(w->changes, 2);
	assert_int_equal(judge(w, &ann), JWT_VALID);
}

static void cache_control_says_when_within_bounds(void **state)
{
	static const struct {
		const char *says;
		uint64_t age_s, after_s;
	} rows[] = {{"", 0, 3600},
	            {"public, max-age=600", 0, 600},
	            {"max-age=600, must-revalidate", 200, 400},
	            {"MAX-AGE=\"600\"", 0, 600},
	            {"public,max-age=600,immutable", 700, 60},
	            {"max-age=1", 0, 60},
	            {"max-age=600, no-cache", 0, 60},
	            {"no-store", 0, 60},
	            {"max-age=99999999999999999999", 0, 3600},
	            {"max-age=86400", 0, 3600},
	            {"max-age=", 0, 3600},
	            {"x-max-age=600", 0, 3600}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		void *own;
		(void)state;
		begin(&own);
		struct world *w = own;
		use(w, usual);
		answer(w, (struct http_post_answer){.status = 200,
		                                    .body = span_str(keys_of(&ann, NULL)),
		                                    .cache_control = rows[i].says,
		                                    .age_s = rows[i].age_s});
		pass(w, rows[i].after_s * 1000 - 100);
		if (w->fetches != 1)
			fail_msg("'%s': too early", rows[i].says);
		pass(w, 200);
		if (w->fetches != 2)
			fail_msg("'%s': too late", rows[i].says);
		end(&own);
	}
}

static void an_unknown_key_is_asked_for_once_in_a_while(void **state)
{
	struct world *w = *state;
	use(w, usual);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	pass(w, 9900);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	pass(w, 200);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(jwks_ask(w->jwks), JWKS_SOON);
	assert_int_equal(w->fetches, 2);
	assert_int_equal(judge(w, &bob), JWT_KEY_UNKNOWN);
	answer_keys(w, keys_of(&ann, &bob), NULL);
	assert_int_equal(judge(w, &bob), JWT_VALID);
	assert_int_equal(judge(w, &ann), JWT_VALID);
	assert_int_equal(w->revocations, 0);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
	assert_int_equal(w->fetches, 2);
}

static void a_key_that_is_withdrawn_counts_no_longer(void **state)
{
	struct world *w = *state;
	uint64_t of_ann, of_bob;
	use(w, usual);
	answer_keys(w, keys_of(&ann, &bob), NULL);
	judge_as(w, &ann, ISS, &of_ann);
	judge_as(w, &bob, ISS, &of_bob);
	pass(w, 3600100);
	answer_keys(w, keys_of(&bob, NULL), NULL);
	assert_int_equal(w->revocations, 1);
	assert_false(jwks_knows(w->jwks, of_ann));
	assert_true(jwks_knows(w->jwks, of_bob));
	assert_int_equal(judge(w, &ann), JWT_KEY_UNKNOWN);
}

static void old_keys_stay_while_their_server_fails(void **state)
{
	struct world *w = *state;
	uint64_t total_ms = 0;
	use(w, usual);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	pass(w, 3600100);
	static const struct http_post_answer failures[] = {
	        {.status = 0, .error = "Couldn't connect to server"},
	        {.status = 500},
	        {.status = 404, .body = {(const uint8_t *)"{}", 2}},
	        {.status = 200, .body = {(const uint8_t *)"<html>", 6}},
	        {.status = 200, .body = {(const uint8_t *)"{\"keys\":[]}", 11}},
	        {.status = 301},
	};
	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
		unsigned before = w->fetches;
		answer(w, failures[i]);
		assert_int_equal(w->fetches, before);
		assert_int_equal(counter_get(&w->counters, jwks_failures_total), i + 1);
		assert_int_equal(judge(w, &ann), JWT_VALID);
		assert_int_equal(jwks_ask(w->jwks), JWKS_FAILING); /* and hammers nobody */
		while (w->fetches == before) {
			pass(w, WHEEL_TICK_MS);
			total_ms += WHEEL_TICK_MS;
		}
	}
	/* 1, 2, 4, 8, 16 and 32 s, each a fifth more or less. */
	assert_in_range(total_ms, 63000 * 8 / 10, 63000 * 12 / 10 + 600);
	assert_int_equal(w->revocations, 0);
	answer_keys(w, keys_of(&bob, NULL), NULL);
	assert_int_equal(judge(w, &bob), JWT_VALID);
	assert_int_equal(jwks_ask(w->jwks), JWKS_NONE);
}

static void a_server_that_asks_for_patience_gets_it(void **state)
{
	struct world *w = *state;
	use(w, usual);
	answer(w, (struct http_post_answer){.status = 503, .retry_after_ms = 120000});
	pass(w, 119900);
	assert_int_equal(w->fetches, 1);
	pass(w, 24200);
	assert_int_equal(w->fetches, 2);
	/* But not for ever. */
	answer(w, (struct http_post_answer){.status = 503, .retry_after_ms = UINT64_MAX});
	pass(w, 3600000 * 6 / 5 + 100);
	assert_int_equal(w->fetches, 3);
}

static void each_issuer_has_its_own_keys(void **state)
{
	struct world *w = *state;
	uint64_t generation;
	use(w, (const char *const[]){"auth.jwt_jwks_url=" URL "," URL2,
	                             "auth.jwt_issuer=" ISS ",urn:other", NULL});
	assert_int_equal(w->fetches, 2);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	assert_int_equal(counter_get(&w->counters, jwks_fetched_timestamp_seconds), 0);
	answer_keys(w, keys_of(&bob, NULL), NULL);
	assert_true(counter_get(&w->counters, jwks_fetched_timestamp_seconds) > 0);
	assert_int_equal(judge_as(w, &ann, ISS, &generation), JWT_VALID);
	assert_int_equal(judge_as(w, &bob, "urn:other", &generation), JWT_VALID);
	assert_int_equal(judge_as(w, &bob, ISS, &generation), JWT_KEY_UNKNOWN);
	assert_int_equal(judge_as(w, &ann, "urn:other", &generation), JWT_KEY_UNKNOWN);
	assert_int_equal(judge_as(w, &ann, "urn:nobody", &generation), JWT_ISSUER);
}

static void a_reload_keeps_what_was_fetched(void **state)
{
	struct world *w = *state;
	uint64_t generation;
	use(w, usual);
	answer_keys(w, keys_of(&ann, NULL), NULL);
	judge_as(w, &ann, ISS, &generation);
	use(w, (const char *const[]){usual[0], usual[1], "auth.jwt_wait=1s", NULL});
	assert_int_equal(w->fetches, 1);
	assert_true(jwks_knows(w->jwks, generation));
	use(w, (const char *const[]){"auth.jwt_jwks_url=" URL2, usual[1], NULL});
	assert_int_equal(w->fetches, 2);
	assert_string_equal(w->url, URL2);
	assert_false(jwks_knows(w->jwks, generation));
	/* What is fetched for nobody any more brings nothing. */
	use(w, (const char *const[]){NULL});
	answer_keys(w, keys_of(&ann, NULL), NULL);
	assert_int_equal(w->changes, 1);
	assert_false(jwks_configured(w->jwks));
}

static void what_is_published_is_no_secret(void **state)
{
	struct world *w = *state;
	use(w, usual);
	answer_keys(w,
	            "{\"keys\":[{\"kty\":\"oct\",\"k\":"
	            "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}",
	            NULL);
	assert_int_equal(counter_get(&w->counters, jwks_keys), 0);
	assert_int_equal(counter_get(&w->counters, jwks_failures_total), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(keys_of_ones_own_are_there_at_once),
	        TEST(who_comes_first_waits_for_the_keys),
	        TEST(nobody_waits_for_ever),
	        TEST(cache_control_says_when_within_bounds),
	        TEST(an_unknown_key_is_asked_for_once_in_a_while),
	        TEST(a_key_that_is_withdrawn_counts_no_longer),
	        TEST(old_keys_stay_while_their_server_fails),
	        TEST(a_server_that_asks_for_patience_gets_it),
	        TEST(each_issuer_has_its_own_keys),
	        TEST(a_reload_keeps_what_was_fetched),
	        TEST(what_is_published_is_no_secret),
	};
	return cmocka_run_group_tests(tests, make_issuers, finish_issuers);
}
