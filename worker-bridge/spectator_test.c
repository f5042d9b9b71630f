/* A spectator's view in a world of its own (tests/sim/world.h): time goes as the test says, and its
 * process dies when it says so. */
#include "worker-bridge/spectator.h"
#include "common/base/log.h"
#include "tests/sim/log_memory.h"
#include "tests/sim/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DELAY_MS = 5000, LATE_MS = 2500 }; /* LATE_MS: of the disk and the news of it, at most */
#define FRAMES    "/v1/stream/feeds/arena/frames"
#define SPECTATOR "/v1/stream/feeds/arena/spectator"

/* Who tells; and who writes frames. */
static struct process {
	unsigned number;
	uv_loop_t loop;
	struct worker worker;
	struct store *store;
	struct spectators *spectators;
} * teller, *feed;
static struct counters counters;
static unsigned processes;
static uint64_t seq;

static void on_store(void *arg)
{
	struct process *p = arg;
	store_collect(p->store);
	store_advance(p->store, 0);
	if (p->spectators != NULL)
		spectators_turn(p->spectators);
}

static struct process *begin(uint64_t delay_ms)
{
	struct process *p = calloc(1, sizeof *p);
	struct settings settings;
	char why[512], text[24];
	p->number = ++processes;
	p->loop.data = (void *)(uintptr_t)p->number;
	p->worker =
	        (struct worker){.loop = &p->loop, .counters = &counters, .mine = counters.slots};
	settings_init(&settings);
	settings_renew(&p->worker.settings.newest, &settings);
	snprintf(text, sizeof text, "%ums", (unsigned)delay_ms);
	assert_true(settings_renew_key(&p->worker.settings.newest, SPAN("feeds.spectator_delay"),
	                               span_str(text), why));
	p->store = log_memory_open(p->number, on_store, p);
	store_advance(p->store, 0);
	return p;
}

static struct process *begin_teller(uint64_t delay_ms)
{
	struct process *p = begin(delay_ms);
	p->spectators = spectators_create(&p->worker, p->store);
	world_after(p->number, 0, on_store, p);
	return p;
}

static void kill_teller(void)
{
	world_kill(teller->number);
	log_memory_kill(teller->store);
	settings_drop(&teller->worker.settings.newest);
	free(teller->spectators);
	free(teller);
}

static void go(uint64_t ms)
{
	for (uint64_t until_ms = world_ms() + ms; world_ms() < until_ms;)
		if (!world_step())
			return;
}

static void on_written(void *owner, enum verdict verdict)
{
	(void)owner;
	assert_int_equal(verdict, VERDICT_OK);
}

static void say_frame(void)
{
	char text[160];
	struct txn *txn = txn_create();
	snprintf(text, sizeof text,
	         "{\"schemaVersion\":2,\"feed\":\"arena\",\"sourceEpoch\":1,\"seq\":%u,"
	         "\"emittedAt\":%llu,\"terminal\":false}",
	         (unsigned)++seq, (unsigned long long)world_wall_ms());
	txn_publish(txn, FRAMES, span_str(text));
	txn_submit(&txn, feed->store, on_written, NULL);
}

/* What the book says of a market that is there. */
static void say_odds(const char *duel_id, const char *line_state)
{
	char text[160], key[96];
	struct txn *txn = txn_create();
	snprintf(key, sizeof key, "market/arena/%s", duel_id);
	if (strcmp(duel_id, "gone") != 0)
		txn_put_always(txn, span_str(key), SPAN("{}"));
	snprintf(text, sizeof text, "{\"at\":%llu,\"duelId\":\"%s\",\"state\":\"%s\"}",
	         (unsigned long long)world_wall_ms(), duel_id, line_state);
	txn_publish(txn, "/v1/stream/feeds/arena/odds", span_str(text));
	txn_submit(&txn, feed->store, on_written, NULL);
}

static bool late_is(const char *duel_id, const char *line_state)
{
	char key[96], text[160];
	struct span row;
	snprintf(key, sizeof key, "late/arena/%s", duel_id);
	if (!state_kv_get(log_memory_head(), span_str(key), &row))
		return line_state == NULL;
	snprintf(text, sizeof text, "%.*s", (int)row.len, (const char *)row.at);
	return line_state != NULL && strstr(text, line_state) != NULL;
}

static size_t told(void)
{
	const struct log_memory_message *all;
	size_t count = log_memory_messages(SPECTATOR, &all);
	for (size_t i = 0; i < count; i++) {
		char expected[24], text[400];
		snprintf(text, sizeof text, "%.*s", (int)all[i].text.len,
		         (const char *)all[i].text.at);
		snprintf(expected, sizeof expected, "\"seq\":%u,", (unsigned)(seq - count + i + 1));
		/* In their order, each once. */
		if (strstr(text, expected) == NULL)
			fail_msg("%s, and not %s", text, expected);
	}
	return count;
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	world_begin(7, false);
	log_memory_begin();
	processes = 0;
	seq = 0;
	feed = begin(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kill_teller();
	settings_drop(&feed->worker.settings.newest);
	free(feed);
	return 0;
}

static void nothing_is_told_before_its_time(void **state)
{
	(void)state;
	say_frame();
	go(LATE_MS);
	uint64_t begins_ms = world_ms();
	teller = begin_teller(DELAY_MS);
	go(begins_ms + DELAY_MS - LATE_MS - world_ms());
	assert_int_equal(told(), 0);
	go(2 * LATE_MS);
	assert_int_equal(told(), 1); /* it began at the newest */
	for (unsigned i = 0; i < 5; i++) {
		say_frame();
		go(1000);
	}
	go(DELAY_MS + LATE_MS);
	assert_int_equal(told(), 6);
}

static void a_market_stands_as_it_stood(void **state)
{
	const struct log_memory_message *all;
	(void)state;
	say_odds("d", "open");
	say_odds("gone", "open");
	go(LATE_MS);
	uint64_t begins_ms = world_ms();
	say_odds("d", "resolved");
	teller = begin_teller(DELAY_MS);
	go(1);
	assert_true(late_is("d", NULL));
	go(begins_ms + DELAY_MS - LATE_MS / 10 - world_ms());
	assert_true(late_is("d", "open"));
	go(2 * LATE_MS);
	assert_true(late_is("d", "resolved"));
	assert_true(late_is("gone", NULL));
	assert_int_equal(log_memory_messages("/v1/stream/feeds/arena/spectator/odds", &all), 3);
}

static void without_a_delay_only_frames_are_told(void **state)
{
	const struct log_memory_message *all;
	(void)state;
	teller = begin_teller(0);
	say_odds("d", "open");
	go(2 * LATE_MS);
	assert_true(late_is("d", NULL));
	assert_int_equal(log_memory_messages("/v1/stream/feeds/arena/spectator/odds", &all), 0);
}

static void without_a_delay_it_is_told_at_once(void **state)
{
	(void)state;
	teller = begin_teller(0);
	for (unsigned i = 1; i < 20; i++) {
		say_frame();
		go(2 * LATE_MS);
		assert_int_equal(told(), i);
	}
}

/* At any moment: what is told and how far it is are one. */
static void each_is_told_once_over_kills(void **state)
{
	(void)state;
	teller = begin_teller(1000);
	for (unsigned i = 0; i < 100; i++) {
		say_frame();
		go(world_below(1500));
		kill_teller();
		teller = begin_teller(1000);
	}
	go(1000 + LATE_MS);
	assert_int_equal(told(), 100);
}

static void a_clock_that_was_set_back_keeps_nobody_waiting(void **state)
{
	(void)state;
	teller = begin_teller(DELAY_MS);
	say_frame();
	go(LATE_MS);
	world_set_clock(-3600 * 1000);
	go(DELAY_MS + LATE_MS);
	assert_int_equal(told(), 1);
}

static void who_drains_begins_nothing(void **state)
{
	(void)state;
	teller = begin_teller(0);
	go(LATE_MS);
	assert_true(spectators_drain(teller->spectators));
	say_frame();
	go(3 * LATE_MS);
	assert_int_equal(told(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(nothing_is_told_before_its_time),
	                                   TEST(without_a_delay_it_is_told_at_once),
	                                   TEST(a_market_stands_as_it_stood),
	                                   TEST(without_a_delay_only_frames_are_told),
	                                   TEST(each_is_told_once_over_kills),
	                                   TEST(a_clock_that_was_set_back_keeps_nobody_waiting),
	                                   TEST(who_drains_begins_nothing)};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
