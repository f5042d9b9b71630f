#include "common/store/actor.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct store *store;
static char dir[64];

static int setup(void **state)
{
	char reason[256] = "";
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof dir, "/tmp/ringside-actor-XXXXXX");
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
	*state = NULL;
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	store_close(&store);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

/* Somebody who adds one to the number in a row, and publishes what it has become. */
struct counter {
	struct actor actor; /* first */
	const char *key;
	const char *remembered; /* what it takes the row for, without looking; NULL: it looks */
	unsigned decided, undone, ended, gone;
	enum actor_end end;
	bool lazy, again;
};

static struct counter *of(struct actor *actor)
{
	return (struct counter *)actor;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct counter *c = of(actor);
	json_t *row;
	c->decided++;
	if (c->remembered != NULL)
		rows_expect(change->rows, c->key, span_str(c->remembered));
	enum row_found found = rows_json(change->rows, c->key, &row);
	if (found == ROW_PRESENT && !json_is_integer(row)) {
		rows_mark(change->rows, c->key);
		found = ROW_UNREADABLE;
	}
	json_int_t number = json_integer_value(row) + 1;
	json_decref(row);
	if (found == ROW_UNREADABLE)
		return ACTOR_STOP;
	char text[32];
	snprintf(text, sizeof text, "%lld", (long long)number);
	rows_put(change->rows, c->key, span_str(text));
	txn_publish(change->txn, "/v1/stream/counts", span_str(text));
	return c->lazy ? ACTOR_REST : ACTOR_WRITE;
}

static void undo(struct actor *actor)
{
	of(actor)->undone++;
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct counter *c = of(actor);
	c->ended++;
	c->end = end;
	if (c->again) {
		c->again = false;
		assert_true(actor_turn(actor));
	}
}

static void on_gone(struct actor *actor)
{
	of(actor)->gone++;
}

static const struct actor_type type = {
        .decide = decide, .undo = undo, .end = on_end, .tries_max = 3, .pause_ms = 3600000};

static struct counter make(const char *key)
{
	struct counter c = {.key = key};
	actor_init(&c.actor, &type, store, NULL);
	return c;
}

/* Until nothing is under way. */
static void settle(struct counter *first, struct counter *second)
{
	const struct timespec nap = {.tv_nsec = 100000};
	while (actor_busy(&first->actor) || (second != NULL && actor_busy(&second->actor)))
		if (store_collect(store) == 0)
			nanosleep(&nap, NULL);
}

static void put(const char *key, const char *text)
{
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(key), span_str(text));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
}

static void assert_row(const char *key, const char *text)
{
	struct span value = {0};
	state_kv_get(store_view(store), span_str(key), &value);
	assert_true(text != NULL ? span_equal(value, span_str(text)) : value.at == NULL);
}

struct sum {
	uint64_t count;
};

static bool count_message(void *arg, const struct store_message *message)
{
	(void)message;
	((struct sum *)arg)->count++;
	return true;
}

static uint64_t published(void)
{
	struct sum sum = {0};
	struct stream *stream = state_find(store_view(store), SPAN("/v1/stream/counts"));
	if (stream != NULL)
		assert_int_equal(
		        store_scan(store, stream, 0, stream->tail, SIZE_MAX, count_message, &sum),
		        STORE_READ_OK);
	return sum.count;
}

static void what_is_decided_becomes_durable(void **state)
{
	struct counter c = make("n");
	(void)state;
	c.again = true;
	assert_true(actor_turn(&c.actor));
	assert_true(actor_busy(&c.actor));
	assert_false(actor_turn(&c.actor)); /* one transaction at a time */
	settle(&c, NULL);
	assert_int_equal(c.ended, 2);
	assert_int_equal(c.end, ACTOR_DURABLE);
	assert_row("n", "2");
	assert_int_equal(published(), 2);
}

static void nothing_to_write_is_an_end(void **state)
{
	struct counter c = make("n");
	(void)state;
	c.lazy = true;
	assert_true(actor_turn(&c.actor));
	assert_int_equal(c.end, ACTOR_RESTED);
	assert_int_equal(c.ended, 1);
	assert_false(actor_busy(&c.actor));
	assert_row("n", NULL);
	assert_int_equal(published(), 0);
}

static void the_slower_of_two_decides_again(void **state)
{
	struct counter a = make("n"), b = make("n");
	(void)state;
	put("n", "5");
	assert_true(actor_turn(&a.actor));
	assert_true(actor_turn(&b.actor)); /* by the same row */
	settle(&a, &b);
	assert_int_equal(a.end, ACTOR_DURABLE);
	assert_int_equal(b.end, ACTOR_DURABLE);
	assert_int_equal(a.decided, 1);
	assert_int_equal(b.decided, 2);
	assert_int_equal(b.undone, 1);
	assert_int_equal(b.ended, 1);
	assert_row("n", "7");
	assert_int_equal(published(), 2);
}

static void whoever_is_always_slower_gives_up(void **state)
{
	struct counter c = make("n");
	(void)state;
	put("n", "5");
	c.remembered = "4"; /* and does not look again */
	assert_true(actor_turn(&c.actor));
	settle(&c, NULL);
	assert_int_equal(c.end, ACTOR_OVERTAKEN);
	assert_int_equal(c.decided, 3);
	assert_int_equal(c.undone, 2);
	assert_row("n", "5");
	assert_int_equal(published(), 0);
	c.remembered = NULL;
	assert_true(actor_turn(&c.actor)); /* at once, and with all its tries */
	settle(&c, NULL);
	assert_int_equal(c.end, ACTOR_DURABLE);
	assert_row("n", "6");
}

static void what_is_remembered_is_what_is_compared(void **state)
{
	struct counter c = make("n");
	(void)state;
	put("n", "5");
	c.remembered = "5";
	assert_true(actor_turn(&c.actor));
	settle(&c, NULL);
	assert_int_equal(c.end, ACTOR_DURABLE);
	assert_row("n", "6");
}

static void a_row_that_cannot_be_read_stops_it(void **state)
{
	static const char *const rows[] = {"{\"of\":\"another release\"}", "not JSON", ""};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct counters_slot *counters = aligned_alloc(64, sizeof *counters);
		memset(counters, 0, sizeof *counters);
		char key[16];
		snprintf(key, sizeof key, "bad-%zu", i);
		put(key, rows[i]);
		struct counter c = make(key);
		c.actor.counters = counters;
		assert_true(actor_turn(&c.actor));
		assert_int_equal(c.end, ACTOR_STOPPED);
		assert_true(counter_get(counters, rows_unreadable) > i);
		assert_row(key, rows[i]);
		assert_int_equal(published(), i);
		put(key, "1"); /* a release that can read it */
		assert_true(actor_turn(&c.actor));
		settle(&c, NULL);
		assert_int_equal(c.end, ACTOR_DURABLE);
		assert_row(key, "2");
		free(counters);
	}
}

static void on_other(void *owner, enum verdict verdict)
{
	(void)owner;
	assert_int_equal(verdict, VERDICT_OK);
}

/* It became so while the transaction was under way. */
static void a_row_that_is_unreadable_by_now_is_not_written_over(void **state)
{
	struct counter a = make("n"), b = make("n");
	(void)state;
	put("n", "5");
	struct txn *txn = txn_create();
	txn_put_always(txn, SPAN("n"), SPAN("{}"));
	txn_submit(&txn, store, on_other, NULL);
	assert_true(actor_turn(&a.actor));
	settle(&a, NULL);
	assert_int_equal(a.end, ACTOR_STOPPED);
	assert_int_equal(a.decided, 2);
	assert_row("n", "{}");
	assert_true(actor_turn(&b.actor));
	assert_int_equal(b.end, ACTOR_STOPPED);
}

static void after_a_failure_it_waits(void **state)
{
	struct counter c = make("n");
	(void)state;
	store_refuse(store, true);
	assert_true(actor_turn(&c.actor));
	settle(&c, NULL);
	assert_int_equal(c.end, ACTOR_FAILED);
	assert_int_equal(c.actor.verdict, VERDICT_STALLED);
	store_refuse(store, false);
	assert_false(actor_turn(&c.actor));
	assert_int_equal(c.decided, 1);
	c.actor.due_ms = 0; /* its time has come */
	assert_true(actor_turn(&c.actor));
	settle(&c, NULL);
	assert_int_equal(c.end, ACTOR_DURABLE);
	assert_row("n", "1");
}

static void its_owner_may_go_while_a_transaction_is_under_way(void **state)
{
	struct counter c = make("n"), idle = make("m"), slow = make("n");
	(void)state;
	assert_true(actor_turn(&c.actor));
	assert_true(actor_turn(&slow.actor)); /* its transaction is refused */
	actor_leave(&c.actor, on_gone);
	actor_leave(&slow.actor, on_gone);
	assert_int_equal(c.gone, 0);
	settle(&c, &slow);
	assert_int_equal(c.gone, 1);
	assert_int_equal(slow.gone, 1);
	assert_int_equal(c.ended + slow.ended, 0);
	assert_int_equal(slow.decided, 1);
	assert_row("n", "1");
	actor_leave(&idle.actor, on_gone);
	assert_int_equal(idle.gone, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(what_is_decided_becomes_durable),
	        T(nothing_to_write_is_an_end),
	        T(the_slower_of_two_decides_again),
	        T(whoever_is_always_slower_gives_up),
	        T(what_is_remembered_is_what_is_compared),
	        T(a_row_that_cannot_be_read_stops_it),
	        T(a_row_that_is_unreadable_by_now_is_not_written_over),
	        T(after_a_failure_it_waits),
	        T(its_owner_may_go_while_a_transaction_is_under_way),
#undef T
	};
	return cmocka_run_group_tests_name("actor", tests, NULL, NULL);
}
