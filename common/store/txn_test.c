#include "common/store/txn.h"
#include "common/base/check.h"
#include "common/base/log.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_value_and_stream_agree, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_several_messages_are_one_append, setup,
	                                        teardown),
	};
	return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
