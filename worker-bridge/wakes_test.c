/* Wakes over a real store, with the webhook's receiver in hand. */
#include "worker-bridge/wakes.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/domain/subscription.h"
#include "common/store/txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct store *store;
static struct wakes *wakes;
/* As long as the process, as in the bridge: one for each test. */
static struct {
	uv_loop_t loop;
	struct wakes *wakes;
} started[8];
static size_t tests_count;
static struct counters_slot *counters;

/* ---- the receiver ---- */

static struct {
	unsigned count;
	char *body; /* of the last */
	void (*done)(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms);
	void *arg;
} got;

bool webhooks_send(struct webhooks *webhooks, const char *url, struct span body,
                   const char *signature,
                   void (*done)(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms),
                   void *arg)
{
	(void)webhooks;
	(void)url;
	(void)signature;
	got.count++;
	free(got.body);
	got.body = xmemdup_text(body.at, body.len);
	got.done = done;
	got.arg = arg;
	return true;
}

static void answer(enum webhook_outcome outcome)
{
	void (*done)(void *arg, enum webhook_outcome result, uint64_t retry_after_ms) = got.done;
	got.done = NULL;
	done(got.arg, outcome, 0);
}

/* ---- the store ---- */

static void put(const char *key, struct span value)
{
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(key), value);
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
}

static void append(const char *path)
{
	struct txn *txn = txn_create();
	txn_publish(txn, path, SPAN("1"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
}

/* Another writer's change, on its way before what follows. */
static void on_other(void *owner, enum verdict verdict)
{
	(void)owner;
	assert_int_equal(verdict, VERDICT_OK);
}

static void submit(const char *key, struct span value)
{
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(key), value);
	txn_submit(&txn, store, on_other, NULL);
}

static json_t *document(void)
{
	struct span value;
	return state_kv_get(store_view(store), SPAN("sub/s"), &value) ? subscription_read(value)
	                                                              : NULL;
}

static char *fresh_document(const char *description)
{
	json_t *doc = subscription_create("s", "webhook", "ev/*", "http://receiver/", "", 30000,
	                                  description, clock_wall_ms());
	char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(doc);
	return text;
}

static void turn(void)
{
	uv_run(&started[tests_count - 1].loop, UV_RUN_NOWAIT);
	store_collect(store);
	while (store_advance(store, 0)) {
	}
	wakes_turn(wakes);
}

static void on_barrier(void *owner, enum verdict verdict)
{
	assert_int_equal(verdict, VERDICT_OK);
	*(bool *)owner = true;
}

/* Until nothing is under way: the store keeps the order of what is submitted. */
static void settle(void)
{
	const struct timespec nap = {.tv_nsec = 100000};
	for (int i = 0; i < 12; i++) {
		struct txn *txn = txn_create();
		bool passed = false;
		turn();
		txn_put_always(txn, SPAN("barrier"), SPAN(""));
		txn_submit(&txn, store, on_barrier, &passed);
		while (!passed) {
			nanosleep(&nap, NULL);
			turn();
		}
	}
}

static bool linked(const char *path)
{
	json_t *doc = document();
	bool there = subscription_links(doc, path);
	json_decref(doc);
	return there;
}

static int setup(void **state)
{
	static const uint8_t secret[32] = {1};
	static const struct settings settings = {.limits_subscription_streams = 10,
	                                         .webhook_retry_min_ms = 3600000,
	                                         .webhook_retry_max_ms = 3600000};
	static const struct settings_source source = {&settings};
	char reason[256] = "";
	log_set_level(LOG_LEVEL_ERROR);
	memset(&got, 0, sizeof got);
	snprintf(dir, sizeof dir, "/tmp/ringside-wakes-XXXXXX");
	assert_non_null(mkdtemp(dir));
	const struct store_options options = {
	        .dir = dir,
	        .ring_bytes = 4 << 20,
	        .map_bytes = 64 << 20,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 100, .producers_per_stream_max = 16}};
	assert_int_equal(store_open(&store, &options, reason), 0);
	put("ds/secret", span_of(secret, sizeof secret));
	put("ds/signing", span_of(secret, sizeof secret));
	counters = aligned_alloc(64, sizeof *counters);
	memset(counters, 0, sizeof *counters);
	uv_loop_t *loop = &started[tests_count].loop;
	uv_loop_init(loop);
	wakes = wakes_create(loop, store, NULL, &source, counters);
	started[tests_count++].wakes = wakes;
	char *text = fresh_document("");
	put("sub/s", span_str(text));
	free(text);
	append("/v1/stream/ev/a");
	settle();
	assert_int_equal(got.count, 1);
	assert_non_null(strstr(got.body, "\"generation\":1,"));
	*state = NULL;
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	if (got.done != NULL)
		answer(WEBHOOK_FAILED);
	wakes_drain(wakes);
	store_close(&store);
	free(counters);
	free(got.body);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

/* It was dropped, and the wake that had been done was delivered again. */
static void what_a_receiver_says_while_a_change_is_written_counts(void **state)
{
	(void)state;
	append("/v1/stream/ev/b");
	wakes_turn(wakes); /* its link is on its way */
	answer(WEBHOOK_DONE);
	settle();
	assert_true(linked("ev/b"));
	assert_int_equal(got.count, 2);
	assert_non_null(strstr(got.body, "\"generation\":2,"));
	answer(WEBHOOK_DONE);
	settle();
	assert_int_equal(got.count, 2);
	json_t *doc = document();
	assert_string_equal(subscription_text(doc, "phase"), "idle");
	json_decref(doc);
}

static void a_failure_is_in_the_document(void **state)
{
	(void)state;
	answer(WEBHOOK_FAILED);
	settle();
	json_t *doc = document();
	assert_string_equal(subscription_text(doc, "status"), "failed");
	assert_int_equal(subscription_number(doc, "attempts"), 1);
	json_decref(doc);
	assert_int_equal(got.count, 1); /* not before its time */
}

static void of_two_writers_neither_is_lost(void **state)
{
	char *other = fresh_document("another's");
	(void)state;
	append("/v1/stream/ev/b");
	submit("sub/s", span_str(other));
	free(other);
	wakes_turn(wakes); /* by the document as it was */
	settle();
	json_t *doc = document();
	assert_string_equal(subscription_text(doc, "description"), "another's");
	json_decref(doc);
	assert_true(linked("ev/b"));
}

static void a_document_that_cannot_be_read_stands_still(void **state)
{
	struct span value;
	(void)state;
	append("/v1/stream/ev/b");
	submit("sub/s", SPAN("{\"phase\":\"of another release\"}"));
	wakes_turn(wakes); /* what is on its way is refused, and not tried again */
	answer(WEBHOOK_DONE);
	settle();
	assert_true(state_kv_get(store_view(store), SPAN("sub/s"), &value));
	assert_true(span_equal(value, SPAN("{\"phase\":\"of another release\"}")));
	assert_int_equal(counter_get(counters, rows_unreadable), 1);
}

static void one_that_is_removed_meanwhile_stays_away(void **state)
{
	struct span value;
	(void)state;
	append("/v1/stream/ev/b");
	submit("sub/s", (struct span){0});
	wakes_turn(wakes);
	settle();
	answer(WEBHOOK_FAILED);
	settle();
	assert_false(state_kv_get(store_view(store), SPAN("sub/s"), &value));
	assert_int_equal(got.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(what_a_receiver_says_while_a_change_is_written_counts),
	        T(a_failure_is_in_the_document),
	        T(of_two_writers_neither_is_lost),
	        T(a_document_that_cannot_be_read_stands_still),
	        T(one_that_is_removed_meanwhile_stays_away),
#undef T
	};
	return cmocka_run_group_tests_name("wakes", tests, NULL, NULL);
}
