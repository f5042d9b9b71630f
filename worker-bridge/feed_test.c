/* Two bridges over one store: of a feed only the one that holds its lease acts. */
#include "worker-bridge/bridge.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-bridge/inbox.h"
#include "tests/doubles/store_bench.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

static struct store_bench bench;
static struct store *store;
static struct counters *counters;

/* One bridge of two: they share a process here, and nothing else. */
struct side {
	struct worker worker;
	struct bridge bridge;
	struct calls *calls;
	unsigned status; /* of the last answer */
	char answer[256];
};
static struct side sides[3];

static const struct call_route routes[] = {
        {CALL_METHOD(GET) | CALL_METHOD(POST), "/v1/source/", feeds_on_call}};

static void set(struct side *side, const char *key, const char *value)
{
	char why[512];
	assert_true(settings_renew_key(&side->worker.settings.newest, span_str(key),
	                               span_str(value), why));
}

static void begin(struct side *side, unsigned slot, uint64_t generation)
{
	struct settings defaults;
	*side = (struct side){.worker = {.loop = uv_default_loop(),
	                                 .slot = slot,
	                                 .generation = generation,
	                                 .counters = counters,
	                                 .mine = &counters->slots[slot]}};
	settings_init(&defaults);
	settings_renew(&side->worker.settings.newest, &defaults);
	set(side, "feeds.scheduled", "");
	set(side, "feeds.source_driven", "arena");
	side->bridge.worker = &side->worker;
	side->bridge.store = store;
	side->bridge.feeds = feeds_create(&side->worker, store);
	assert_non_null(side->bridge.feeds);
	side->calls = calls_create(&side->worker, routes, 1, &side->bridge);
}

static void turn(void)
{
	store_collect(store);
	while (store_advance(store, 0)) {
	}
	for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
		if (sides[i].bridge.feeds != NULL)
			feeds_turn(sides[i].bridge.feeds);
	uv_run(uv_default_loop(), UV_RUN_NOWAIT);
	usleep(200);
}

static void on_answer(void *arg, unsigned status, struct span body)
{
	struct side *side = arg;
	snprintf(side->answer, sizeof side->answer, "%.*s", (int)body.len, (const char *)body.at);
	side->status = status;
}

/* The answer's status. */
static unsigned post_body(struct side *side, const char *path, const char *body)
{
	uint64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
	side->status = 0;
	calls_local(side->calls, CALL_POST, path, body, on_answer, side);
	while (side->status == 0) {
		turn();
		assert_true(clock_monotonic_ms() < until_ms);
	}
	return side->status;
}

/* By the feed's own numbers. */
static unsigned post(struct side *side, uint64_t epoch, unsigned seq)
{
	char body[128];
	snprintf(body, sizeof body, "{\"sourceEpoch\":%" PRIu64 ",\"sourceSeq\":%u}", epoch, seq);
	return post_body(side, "/v1/source/arena/alive", body);
}

/* ... until it is this one: a start, or a lease that is looked at again, takes its time. */
static void post_until(struct side *side, uint64_t epoch, unsigned seq, unsigned status)
{
	uint64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
	while (post(side, epoch, seq) != status) {
		turn();
		assert_true(clock_monotonic_ms() < until_ms);
	}
}

static json_t *lease(void)
{
	struct span value;
	assert_true(state_kv_get(store_view(store), SPAN("feeds/lease/arena"), &value));
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	assert_non_null(row);
	return row;
}

static void expire_lease(void)
{
	json_t *row = lease();
	json_object_set_new(row, "until", json_integer(1));
	char *text = json_dumps(row, JSON_COMPACT);
	struct txn *txn = txn_create();
	txn_put_always(txn, SPAN("feeds/lease/arena"), span_str(text));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	free(text);
	json_decref(row);
}

static void assert_holder(unsigned slot, uint64_t fence)
{
	char expected[64];
	json_t *row = lease();
	snprintf(expected, sizeof expected, ":%u:", slot);
	assert_non_null(strstr(json_string_value(json_object_get(row, "holder")), expected));
	assert_int_equal(json_integer_value(json_object_get(row, "fence")), fence);
	json_decref(row);
}

static void of_two_only_one_acts(void **state)
{
	(void)state;
	begin(&sides[0], 0, 1);
	post_until(&sides[0], 1, 1, 200);
	assert_holder(0, 1);
	begin(&sides[1], 1, 2);
	post_until(&sides[1], 1, 2, 503);
	for (unsigned i = 2; i < 6; i++) {
		assert_int_equal(post(&sides[0], 1, i), 200);
		assert_int_equal(post(&sides[1], 1, i + 1), 503);
	}
	assert_holder(0, 1);
	/* Its holder falls silent. Who takes over knows what was posted, and the first is none any
	 * more. */
	expire_lease();
	post_until(&sides[1], 1, 6, 200);
	assert_holder(1, 2);
	assert_int_equal(post(&sides[0], 1, 7), 503);
	assert_int_equal(post(&sides[1], 1, 7), 200);
	/* A bridge that is replaced in its place waits for nothing. */
	while (!feeds_drain(sides[1].bridge.feeds))
		turn();
	sides[1].bridge.feeds = NULL;
	begin(&sides[2], 1, 3);
	post_until(&sides[2], 1, 8, 200);
	assert_holder(1, 3);
	assert_int_equal(post(&sides[0], 1, 9), 503);
}

/* ---- what is large ---- */

struct newest {
	unsigned frames;
	double hp;
	uint64_t seq;
};

static bool see_frame(void *arg, const struct store_message *message)
{
	struct newest *newest = arg;
	json_t *frame = json_loadb((const char *)message->bytes.at, message->bytes.len, 0, NULL);
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(frame, "seq"));
	assert_true(newest->seq == 0 || seq == newest->seq + 1);
	newest->seq = seq;
	newest->frames++;
	newest->hp = json_number_value(json_object_get(json_object_get(frame, "agent1"), "hp"));
	json_decref(frame);
	return true;
}

/* Each frame has all that the game has said, and a batch is one transaction: the smallest ring
 * takes it all the same, for what is between need not be told. */
static void a_batch_of_large_frames_fits_into_the_smallest_ring(void **state)
{
	static char big[16000], body[40000], duel_id[64];
	struct side *side = &sides[2];
	struct newest newest = {0};
	(void)state;
	memset(big, 'x', sizeof big - 1);
	snprintf(body, sizeof body,
	         "{\"sourceEpoch\":2,\"sourceSeq\":1,"
	         "\"agent1\":{\"id\":\"a\",\"name\":\"A\",\"hp\":99,\"maxHp\":99},"
	         "\"agent2\":{\"id\":\"b\",\"name\":\"B\",\"hp\":99,\"maxHp\":99},"
	         "\"competitiveSnapshot\":{\"with\":\"%s\"}}",
	         big);
	assert_int_equal(post_body(side, "/v1/source/arena/cycle", body), 200);
	json_t *answer = json_loads(side->answer, 0, NULL);
	snprintf(duel_id, sizeof duel_id, "%s",
	         json_string_value(json_object_get(answer, "duelId")));
	json_decref(answer);
	int len = snprintf(body, sizeof body,
	                   "{\"sourceEpoch\":2,\"sourceSeq\":2,\"facts\":[{\"type\":\"scene\","
	                   "\"duelId\":\"%s\",\"scene\":{\"of\":\"%s\"}}",
	                   duel_id, big);
	for (unsigned hp = 1; hp < 64; hp++)
		len += snprintf(body + len, sizeof body - (size_t)len,
		                ",{\"type\":\"contestant\",\"duelId\":\"%s\",\"id\":\"a\","
		                "\"hp\":%u}",
		                duel_id, hp);
	snprintf(body + len, sizeof body - (size_t)len, "]}");
	assert_int_equal(post_body(side, "/v1/source/arena/batch", body), 200);
	struct stream *stream = store_bench_find(&bench, "/v1/stream/feeds/arena/frames");
	assert_int_equal(store_scan(store, stream, stream->first, stream->tail, SIZE_MAX, see_frame,
	                            &newest),
	                 STORE_READ_OK);
	assert_true(newest.hp == 63);
	assert_in_range(newest.frames, 5, 30);
	json_t *told = json_loads(side->answer, 0, NULL);
	assert_true(json_integer_value(json_object_get(told, "seq")) > 0);
	json_decref(told);
}

static int setup(void **state)
{
	(void)state;
	counters = xcalloc(1, sizeof *counters);
	bench.maintains = true;
	store_bench_open(&bench);
	store = bench.store;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_bench_close(&bench);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(of_two_only_one_acts),
	        cmocka_unit_test(a_batch_of_large_frames_fits_into_the_smallest_ring),
	};
	return cmocka_run_group_tests_name("feed", tests, setup, teardown);
}
