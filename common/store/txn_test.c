#include "common/store/txn.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/store/command_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct store_options options;
static char dir[64];

static struct store *open_store(void)
{
	struct store *store;
	char reason[256] = "";
	assert_int_equal(store_open(&store, &options, reason), 0);
	return store;
}

static int setup(void **state)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof dir, "/tmp/ringside-txn-XXXXXX");
	assert_non_null(mkdtemp(dir));
	options = (struct store_options){
	        .dir = dir,
	        .ring_bytes = 4 << 20,
	        .map_bytes = 64 << 20,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 100, .producers_per_stream_max = 16},
	        .maintain = true};
	*state = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

static uint64_t read_count(struct store *store, char text[24])
{
	struct span value;
	text[0] = '\0';
	while (store_advance(store, 0)) {
	}
	if (!state_kv_get(store_view(store), SPAN("count"), &value))
		return 0;
	memcpy(text, value.at, value.len);
	text[value.len] = '\0';
	return strtoull(text, NULL, 10);
}

/* Adds one to the value and publishes the sum; false: somebody else was faster. */
static bool count_once(struct store *store, const char *who)
{
	char before[24], after[24], message[64];
	uint64_t count = read_count(store, before) + 1;
	snprintf(after, sizeof after, "%llu", (unsigned long long)count);
	snprintf(message, sizeof message, "{\"n\":%s,\"by\":\"%s\"}", after, who);
	struct txn *txn = txn_create();
	txn_put(txn, SPAN("count"), before[0] != '\0' ? span_str(before) : (struct span){0},
	        span_str(after));
	txn_publish(txn, "/v1/stream/counts", span_str(message));
	enum verdict verdict = txn_execute(&txn, store);
	assert_true(verdict == VERDICT_OK || verdict == VERDICT_KV_CONFLICT);
	return verdict == VERDICT_OK;
}

struct seen {
	uint64_t next;
};

static bool visit(void *arg, const struct store_message *message)
{
	struct seen *seen = arg;
	char text[64];
	unsigned long long n;
	assert_true(message->bytes.len < sizeof text);
	memcpy(text, message->bytes.at, message->bytes.len);
	text[message->bytes.len] = '\0';
	assert_int_equal(sscanf(text, "{\"n\":%llu,", &n), 1);
	assert_int_equal(n, seen->next++);
	return true;
}

/* Two processes that compete; one of them is killed in the middle. Value and stream must agree. */
static void test_value_and_stream_agree(void **state)
{
	(void)state;
	pid_t rival = fork();
	assert_true(rival >= 0);
	if (rival == 0) {
		struct store *store = open_store();
		for (;;)
			count_once(store, "rival");
	}
	struct store *store = open_store();
	for (int mine = 0; mine < 150;) {
		mine += count_once(store, "we");
		if (mine == 100 && rival > 0) {
			kill(rival, SIGKILL);
			waitpid(rival, NULL, 0);
			rival = 0;
		}
	}
	char text[24];
	uint64_t count = read_count(store, text);
	assert_true(count >= 150);
	struct stream *stream = state_find(store_view(store), SPAN("/v1/stream/counts"));
	assert_non_null(stream);
	struct seen seen = {1};
	assert_int_equal(store_scan(store, stream, 0, stream->tail, SIZE_MAX, visit, &seen),
	                 STORE_READ_OK);
	assert_int_equal(seen.next, count + 1);
	store_close(&store);
}

static void test_several_messages_are_one_append(void **state)
{
	(void)state;
	struct store *store = open_store();
	struct txn *txn = txn_create();
	txn_publish(txn, "/v1/stream/counts", SPAN("{\"n\":1,\"x\":0}"));
	txn_publish(txn, "/v1/stream/other", SPAN("true"));
	txn_publish(txn, "/v1/stream/counts", SPAN("{\"n\":2,\"x\":0}"));
	txn_put_always(txn, SPAN("k"), SPAN("v"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	assert_null(txn);
	struct stream *stream = state_find(store_view(store), SPAN("/v1/stream/counts"));
	assert_non_null(stream);
	struct seen seen = {1};
	store_scan(store, stream, 0, stream->tail, SIZE_MAX, visit, &seen);
	assert_int_equal(seen.next, 3);
	assert_int_equal(stream->last_start, 0);
	assert_non_null(state_find(store_view(store), SPAN("/v1/stream/other")));
	txn = txn_create();
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK); /* empty */
	store_close(&store);
}

static void test_a_stream_without_messages(void **state)
{
	(void)state;
	struct store *store = open_store();
	for (int i = 0; i < 2; i++) { /* one that is there is as good */
		struct txn *txn = txn_create();
		txn_stream(txn, "/v1/stream/quiet");
		assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	}
	struct stream *stream = state_find(store_view(store), SPAN("/v1/stream/quiet"));
	assert_non_null(stream);
	assert_true(stream->json && !stream->closed && stream->tail == 0);
	store_close(&store);
}

static uint64_t tail_of(struct store *store, const char *path)
{
	while (store_advance(store, 0)) {
	}
	const struct stream *stream = state_find(store_view(store), span_str(path));
	return stream == NULL || stream->deleted ? UINT64_MAX : stream->tail;
}

/* What forks and deletes is in the same record as the rows that say so. */
static void test_forks_and_deletions(void **state)
{
	(void)state;
	struct store *store = open_store();
	struct txn *txn = txn_create();
	txn_publish(txn, "/v1/stream/a", SPAN("1"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	txn = txn_create();
	txn_publish(txn, "/v1/stream/a", SPAN("2"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	uint64_t lineage = state_find(store_view(store), SPAN("/v1/stream/a"))->lineage;

	static const struct {
		const char *source;
		uint64_t lineage, position;
		enum verdict verdict;
	} bad[] = {{"/v1/stream/none", 0, 0, VERDICT_SOURCE_NOT_FOUND},
	           {"/v1/stream/a", 0, 99, VERDICT_FORK_OFFSET},
	           {"/v1/stream/a", 77, 2, VERDICT_FORK_OFFSET}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		txn = txn_create();
		txn_put_always(txn, SPAN("k"), SPAN("v"));
		txn_fork(txn, "/v1/stream/b", bad[i].source, bad[i].lineage, bad[i].position);
		assert_int_equal(txn_execute(&txn, store), bad[i].verdict);
		struct span value;
		assert_false(state_kv_get(store_view(store), SPAN("k"), &value));
	}
	txn = txn_create();
	txn_put(txn, SPAN("k"), (struct span){0}, SPAN("v"));
	txn_fork(txn, "/v1/stream/b", "/v1/stream/a", lineage, 2);
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	assert_int_equal(tail_of(store, "/v1/stream/b"), 2);

	/* To go on writing it needs not be known that it is a fork. */
	txn = txn_create();
	txn_publish(txn, "/v1/stream/b", SPAN("3"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	assert_int_equal(tail_of(store, "/v1/stream/b"), 4);

	/* A fork, and what comes behind it, at once. */
	txn = txn_create();
	txn_fork(txn, "/v1/stream/c", "/v1/stream/a", lineage, 2);
	txn_publish(txn, "/v1/stream/c", SPAN("345"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	assert_int_equal(tail_of(store, "/v1/stream/c"), 6);
	assert_int_equal(tail_of(store, "/v1/stream/a"), 4);

	/* The condition fails: nothing is deleted. */
	for (int i = 0; i < 2; i++) {
		txn = txn_create();
		txn_delete(txn, "/v1/stream/a");
		txn_delete(txn, "/v1/stream/never");
		txn_put(txn, SPAN("k"), i == 0 ? SPAN("other") : SPAN("v"), (struct span){0});
		assert_int_equal(txn_execute(&txn, store),
		                 i == 0 ? VERDICT_KV_CONFLICT : VERDICT_OK);
		assert_int_equal(tail_of(store, "/v1/stream/a"), i == 0 ? 4 : UINT64_MAX);
	}
	/* The fork keeps what it has of it. Both gone, the chain is. */
	assert_int_equal(tail_of(store, "/v1/stream/b"), 4);
	txn = txn_create();
	txn_delete(txn, "/v1/stream/a");
	txn_delete(txn, "/v1/stream/b");
	txn_delete(txn, "/v1/stream/c");
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	assert_int_equal(tail_of(store, "/v1/stream/b"), UINT64_MAX);
	assert_null(state_find(store_view(store), SPAN("/v1/stream/a")));
	store_close(&store);
}

/* ---- as much as the smallest ring takes ---- */

enum { STREAMS = 60, CHAIN = 200 };

/* What a step of many markets tells: to make sure of a stream that is there costs next to nothing,
 * whatever could have been in its way. */
static void test_many_streams_fit_into_the_smallest_ring(void **state)
{
	(void)state;
	struct store *store = open_store();
	for (unsigned round = 0; round < 2; round++) {
		struct txn *txn = txn_create();
		char path[64];
		for (unsigned i = 0; i < STREAMS; i++) {
			snprintf(path, sizeof path, "/v1/stream/feeds/f%u/audit", i);
			txn_publish(txn, path, SPAN("{}"));
		}
		assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	}
	store_close(&store);
}

static char *chain_path(unsigned i)
{
	static char path[400];
	snprintf(path, sizeof path, "/v1/stream/chain/%03u-%0300u", i, i);
	return path;
}

/* A chain of forks of which only the last one lives, and its time is over: all of it goes. */
static void make_chain(struct store *store)
{
	char source[400];
	for (unsigned i = 0; i < CHAIN; i++) {
		struct command c = {.kind = COMMAND_CREATE,
		                    .content_type = SPAN("application/json"),
		                    .expires_present = i + 1 == CHAIN,
		                    .expires_at_ms = 1,
		                    .fork = i > 0,
		                    .fork_source = span_str(source),
		                    .path = span_str(chain_path(i))};
		store_execute(store, &c);
		assert_int_equal(c.verdict, VERDICT_CREATED);
		snprintf(source, sizeof source, "%s", chain_path(i));
	}
	for (unsigned i = 0; i + 1 < CHAIN; i++) {
		struct command c = {.kind = COMMAND_DELETE, .path = span_str(chain_path(i))};
		store_execute(store, &c);
		assert_int_equal(c.verdict, VERDICT_OK);
	}
}

static void test_what_goes_with_a_chain_is_measured(void **state)
{
	(void)state;
	options.limits.streams_max = 1000;
	options.maintain = false; /* the sweeper would be faster */
	struct store *store = open_store();
	make_chain(store);
	while (store_advance(store, 0)) {
	}
	assert_non_null(state_find(store_view(store), span_str(chain_path(0))));
	struct txn *txn = txn_create();
	char path[64];
	for (unsigned i = 0; i < STREAMS; i++) {
		snprintf(path, sizeof path, "/v1/stream/feeds/f%u/audit", i);
		txn_publish(txn, path, SPAN("{}"));
	}
	txn_publish(txn, chain_path(CHAIN - 1), SPAN("1"));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	while (store_advance(store, 0)) {
	}
	assert_null(state_find(store_view(store), span_str(chain_path(0))));
	store_close(&store);
}

static void test_no_more_is_written_than_was_measured(void **state)
{
	(void)state;
	options.limits.streams_max = 1000;
	options.maintain = false;
	struct store *store = open_store();
	make_chain(store);
	while (store_advance(store, 0)) {
	}
	uint64_t before = store_durable(store);
	struct command create = {.kind = COMMAND_CREATE,
	                         .content_type = SPAN("application/json"),
	                         .path = span_str(chain_path(CHAIN - 1))};
	size_t most = command_bytes_now(&create, store_view(store));
	assert_true(most < command_bytes_max(&create, &options.limits));
	store_execute(store, &create);
	assert_int_equal(create.verdict, VERDICT_CREATED);
	uint64_t written = store_durable(store) - before;
	assert_in_range(written, CHAIN * 300, most);
	store_close(&store);
}

/* ---- pages of small values ---- */

enum { KEYS = 400 };

struct page {
	char last[32];
	unsigned count, left, sum;
};

static bool visit_page(void *arg, struct span key, struct span value)
{
	struct page *page = arg;
	char text[32];
	assert_true(page->left > 0 && key.len < sizeof text && value.len == 1);
	memcpy(text, key.at, key.len);
	text[key.len] = '\0';
	assert_true(strcmp(text, page->last) > 0);
	memcpy(page->last, text, key.len + 1);
	page->count++;
	page->sum += (unsigned)strtoul(text + 2, NULL, 10);
	return --page->left > 0;
}

static void assert_pages(struct store *store, unsigned size, unsigned count, unsigned sum)
{
	struct page page = {.left = size};
	unsigned before;
	do {
		before = page.count;
		page.left = size;
		state_kv_page(store_view(store), SPAN("k/"), span_str(page.last), visit_page,
		              &page);
		assert_false(store_view(store)->unreadable);
	} while (page.count > before);
	assert_int_equal(page.count, count);
	assert_int_equal(page.sum, sum);
}

/* Some are in LMDB, some changed since, some were removed since, and others lie on either side. */
static void test_pages_of_small_values_are_in_order(void **state)
{
	(void)state;
	struct store *store = open_store();
	char key[32], reason[256];
	unsigned count = 0, sum = 0;
	for (unsigned round = 0; round < 2; round++) {
		struct txn *txn = txn_create();
		txn_put_always(txn, SPAN("j/9"), SPAN("x"));
		txn_put_always(txn, SPAN("l/0"), SPAN("x"));
		for (unsigned i = 0; i < KEYS; i++) {
			unsigned n = i * 7919 % 10000;
			if (round == 0 ? i % 2 != 0 : i % 2 == 0 && i % 3 != 0)
				continue;
			bool there = !(round == 1 && i % 3 == 0 && i % 2 == 0);
			snprintf(key, sizeof key, "k/%04u", n);
			txn_put_always(txn, span_str(key), there ? SPAN("v") : (struct span){0});
		}
		assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
		if (round == 0)
			assert_int_equal(store_checkpoint(store, reason), 0);
	}
	for (unsigned i = 0; i < KEYS; i++)
		if (i % 2 != 0 || i % 3 != 0) {
			count++;
			sum += i * 7919 % 10000;
		}
	while (store_advance(store, 0)) {
	}
	static const unsigned sizes[] = {1, 2, 7, 100, 1000};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		assert_pages(store, sizes[i], count, sum);
	assert_int_equal(store_checkpoint(store, reason), 0);
	assert_pages(store, 9, count, sum);
	store_close(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_value_and_stream_agree, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_several_messages_are_one_append, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_forks_and_deletions, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_a_stream_without_messages, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_many_streams_fit_into_the_smallest_ring, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_what_goes_with_a_chain_is_measured, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_no_more_is_written_than_was_measured, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_pages_of_small_values_are_in_order, setup,
	                                        teardown),
	};
	return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
