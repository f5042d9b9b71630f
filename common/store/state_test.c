#include "common/store/state.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* A log in memory: every entry is encoded, decoded and given to a follower, so that each test also
 * proves that a replay comes to the same state. */
struct fixture {
	struct state head, follower;
	uint8_t *log;
	size_t log_len;
	uint64_t now_ms;
	struct entry_sink sink;
};

static uint8_t *entry_bytes(const struct entry *entry, size_t *total)
{
	uint8_t *head = xmalloc(ENTRY_HEAD_MAX);
	size_t head_len = entry_encode_head(entry, head, total);
	uint8_t *whole = xcalloc(1, *total);
	memcpy(whole, head, head_len);
	if (entry->data.count != 0)
		memcpy(whole + head_len, entry->data.sizes, 4 * (size_t)entry->data.count);
	struct span data = entry->kind == ENTRY_KV ? entry->value : entry->data.bytes;
	if (data.len != 0)
		memcpy(whole + head_len + 4 * (size_t)entry->data.count, data.at, data.len);
	free(head);
	assert_true(*total <= entry_size_max(entry));
	return whole;
}

static uint64_t sink_put(void *arg, const struct entry *entry)
{
	struct fixture *f = arg;
	size_t total;
	uint8_t *bytes = entry_bytes(entry, &total);
	f->log = xrealloc(f->log, f->log_len + total);
	memcpy(f->log + f->log_len, bytes, total);
	struct entry back;
	assert_int_equal(entry_decode(span_of(bytes, total), &back), total);
	uint64_t lsn = f->log_len + 8;
	f->log_len += total;
	back.at_ms = entry->at_ms;
	state_apply(&f->follower, &back, lsn);
	/* Twice changes nothing. */
	uint64_t count = f->follower.streams_count;
	state_apply(&f->follower, &back, lsn);
	f->follower.streams_count = count;
	free(bytes);
	return lsn;
}

/* The append that covers `at`, found by reading the log. */
static enum row_found append_at(void *arg, const struct stream *stream, uint64_t at,
                                struct batch *out, uint64_t *begins_at)
{
	struct fixture *f = arg;
	for (size_t i = 0; i < f->log_len;) {
		struct entry entry;
		size_t len = entry_decode(span_of(f->log + i, f->log_len - i), &entry);
		assert_true(len != 0);
		i += len;
		if ((entry.kind == ENTRY_APPEND || entry.kind == ENTRY_CREATE) &&
		    entry.stream_id == stream->id && entry.data.count != 0 && entry.offset <= at &&
		    at < entry.offset + entry.data.bytes.len) {
			*out = entry.data;
			*begins_at = entry.offset;
			return ROW_PRESENT;
		}
	}
	return ROW_ABSENT;
}

static int setup(void **out)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	const struct state_limits limits = {
	        .streams_max = 50, .producers_per_stream_max = 3, .producer_idle_ms = 1000};
	const struct state_backing backing = {.arg = f, .append_at = append_at};
	state_init(&f->head, &backing, &limits);
	state_init(&f->follower, NULL, &limits);
	f->now_ms = 1000000;
	f->sink = (struct entry_sink){f, sink_put};
	*out = f;
	return 0;
}

static void same_stream(const struct stream *a, const struct stream *b)
{
	assert_non_null(b);
	assert_int_equal(a->tail, b->tail);
	assert_int_equal(a->first, b->first);
	assert_int_equal(a->lineage, b->lineage);
	assert_int_equal(a->refs, b->refs);
	assert_int_equal(a->closed, b->closed);
	assert_int_equal(a->deleted, b->deleted);
	assert_int_equal(a->dropped, b->dropped);
	assert_int_equal(a->lsn, b->lsn);
	assert_int_equal(a->touched_ms, b->touched_ms);
	assert_int_equal(a->pieces_count, b->pieces_count);
	assert_int_equal(HASH_COUNT(a->producers), HASH_COUNT(b->producers));
	assert_string_equal(a->content_type, b->content_type);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(f->head.streams_count, f->follower.streams_count);
	assert_int_equal(f->head.next_id, f->follower.next_id);
	assert_int_equal(f->head.streams_by_id.count, f->follower.streams_by_id.count);
	for (struct stream *s = f->head.streams; s != NULL; s = s->next)
		same_stream(s, state_overlay_stream(&f->follower, s->id));
	state_finish(&f->head);
	state_finish(&f->follower);
	free(f->log);
	free(f);
	return 0;
}

static struct command run(struct fixture *f, struct command command)
{
	static uint32_t size;
	if (command.body.bytes.len != 0 && command.body.count == 0) {
		size = (uint32_t)command.body.bytes.len;
		command.body.sizes = &size;
		command.body.count = 1;
	}
	state_decide(&f->head, &command, f->now_ms, &f->sink);
	free(command.scratch);
	command.scratch = NULL;
	return command;
}

#define TEXT              .content_type = SPAN("text/plain")
#define BODY(s)           .body = {.bytes = SPAN(s)}
#define CREATE(...)       run(f, (struct command){.kind = COMMAND_CREATE, __VA_ARGS__})
#define APPEND(...)       run(f, (struct command){.kind = COMMAND_APPEND, __VA_ARGS__})
#define DELETE(p)         run(f, (struct command){.kind = COMMAND_DELETE, .path = SPAN(p)}).verdict
#define PRODUCER(i, e, s) .producer = {.present = true, .id = SPAN(i), .epoch = e, .seq = s}

static void test_create_append_close(void **state)
{
	struct fixture *f = *state;
	struct command c = CREATE(.path = SPAN("/a"), TEXT);
	assert_int_equal(c.verdict, VERDICT_CREATED);
	assert_int_equal(c.tail, 0);
	assert_int_equal(
	        CREATE(.path = SPAN("/a"), .content_type = SPAN("TEXT/plain; x=1")).verdict,
	        VERDICT_EXISTS);
	assert_int_equal(CREATE(.path = SPAN("/a")).verdict, VERDICT_CONFIG_DIFFERS);
	assert_int_equal(APPEND(.path = SPAN("/b"), TEXT, BODY("x")).verdict, VERDICT_NOT_FOUND);
	c = APPEND(.path = SPAN("/a"), TEXT, BODY("hello"));
	assert_int_equal(c.verdict, VERDICT_OK);
	assert_int_equal(c.tail, 5);
	assert_int_equal(APPEND(.path = SPAN("/a"), .content_type = SPAN("a/b"), BODY("x")).verdict,
	                 VERDICT_CONTENT_TYPE);
	c = APPEND(.path = SPAN("/a"), .close = true, TEXT, BODY("!"));
	assert_true(c.closed && c.tail == 6);
	assert_int_equal(APPEND(.path = SPAN("/a"), TEXT, BODY("x")).verdict, VERDICT_CLOSED);
	assert_int_equal(APPEND(.path = SPAN("/a"), .close = true).verdict, VERDICT_OK);
	assert_int_equal(CREATE(.path = SPAN("/a"), TEXT).verdict, VERDICT_CONFIG_DIFFERS);
	assert_int_equal(CREATE(.path = SPAN("/a"), TEXT, .close = true).verdict, VERDICT_EXISTS);
}

static void test_only_the_product_writes_what_it_owns(void **state)
{
	struct fixture *f = *state;
	static const struct span owned[] = {SPAN("/v1/stream/feeds/arena/frames"),
	                                    SPAN("/v1/stream/sessions/i/events")};
	for (size_t i = 0; i < 2; i++) {
		size_t before = f->log_len;
		struct command kv = {.kind = COMMAND_KV, .key = SPAN("k"), .value = SPAN("v")};
		struct command parts[] = {kv, {.kind = COMMAND_CREATE, .path = owned[i], TEXT}};
		struct command txn = {.kind = COMMAND_TXN, .parts = parts, .part_count = 2};
		assert_int_equal(CREATE(.path = owned[i], TEXT).verdict, VERDICT_OWNED);
		assert_int_equal(
		        CREATE(.path = owned[i], .fork = true, .fork_source = SPAN("/x")).verdict,
		        VERDICT_OWNED);
		assert_int_equal(APPEND(.path = owned[i], TEXT, BODY("x")).verdict, VERDICT_OWNED);
		assert_int_equal(run(f, txn).verdict, VERDICT_OWNED);
		assert_int_equal(f->log_len, before);
		assert_int_equal(CREATE(.path = owned[i], TEXT, .by_owner = true).verdict,
		                 VERDICT_CREATED);
		assert_int_equal(
		        APPEND(.path = owned[i], TEXT, BODY("x"), .by_owner = true).verdict,
		        VERDICT_OK);
		before = f->log_len;
		assert_int_equal(CREATE(.path = owned[i], TEXT).verdict, VERDICT_OWNED);
		assert_int_equal(
		        APPEND(.path = owned[i], TEXT, BODY("x"), PRODUCER("p", 0, 0)).verdict,
		        VERDICT_OWNED);
		assert_int_equal(APPEND(.path = owned[i], .close = true).verdict, VERDICT_OWNED);
		struct command delete = {.kind = COMMAND_DELETE, .path = owned[i]};
		assert_int_equal(run(f, delete).verdict, VERDICT_OWNED);
		assert_int_equal(f->log_len, before);
		assert_int_equal(CREATE(.path = i == 0 ? SPAN("/f") : SPAN("/g"), .fork = true,
		                        .fork_source = owned[i])
		                         .verdict,
		                 VERDICT_CREATED); /* reading is free */
		delete.by_owner = true;
		assert_int_equal(run(f, delete).verdict, VERDICT_OK);
	}
	assert_int_equal(CREATE(.path = SPAN("/v1/stream/feedsx"), TEXT).verdict, VERDICT_CREATED);
}

/* As releases before the canonical form stored it. */
static void store_as_spelled(struct fixture *f, struct span path)
{
	struct entry entry = {.kind = ENTRY_CREATE,
	                      .stream_id = f->head.next_id,
	                      .lineage = f->head.next_id,
	                      .path = path,
	                      .content_type = SPAN("text/plain"),
	                      .at_ms = f->now_ms};
	state_apply(&f->head, &entry, f->sink.put(f->sink.arg, &entry));
}

static void test_what_differs_only_in_encoding_is_one_stream(void **state)
{
	struct fixture *f = *state;
	struct command c = CREATE(.path = SPAN("/s/a|b:c%7e"), TEXT);
	assert_int_equal(c.verdict, VERDICT_CREATED);
	assert_string_equal(state_find_id(&f->head, c.id)->path, "/s/a%7Cb:c~");
	static const struct span same[] = {SPAN("/s/a%7Cb:c~"), SPAN("/s/a%7cb%3ac~"),
	                                   SPAN("/%73/a|b:c~")};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		assert_int_equal(CREATE(.path = same[i], TEXT).verdict, VERDICT_EXISTS);
		struct command append = APPEND(.path = same[i], TEXT, BODY("x"));
		assert_true(append.verdict == VERDICT_OK && append.id == c.id);
	}
	assert_int_equal(APPEND(.path = SPAN("/s/a%252525"), TEXT, BODY("x")).verdict,
	                 VERDICT_NOT_FOUND);
	assert_int_equal(CREATE(.path = SPAN("/s%2Fa%7Cb:c~"), TEXT).verdict,
	                 VERDICT_CREATED); /* another segment */
	assert_int_equal(
	        CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/s/a|b:c~")).verdict,
	        VERDICT_CREATED);
	assert_int_equal(
	        CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/s/a%7cb:c~"))
	                .verdict,
	        VERDICT_EXISTS);
	assert_int_equal(CREATE(.path = SPAN("/v1/stream/%66eeds/arena/x"), TEXT).verdict,
	                 VERDICT_OWNED);
	assert_int_equal(DELETE("/s/%61|b:c%7E"), VERDICT_OK);
	assert_int_equal(DELETE("/f"), VERDICT_OK);
}

static void test_streams_stored_under_another_spelling_are_found(void **state)
{
	struct fixture *f = *state;
	store_as_spelled(f, SPAN("/s/a|b"));
	store_as_spelled(f, SPAN("/s/x%3Ay"));
	store_as_spelled(f, SPAN("/s/odd%41%7c"));
	static const struct span asked[][2] = {{SPAN("/s/a|b"), SPAN("/s/a%7Cb")},
	                                       {SPAN("/s/x%3Ay"), SPAN("/s/x:y")}};
	for (size_t i = 0; i < 2; i++) {
		struct command first = APPEND(.path = asked[i][0], TEXT, BODY("1"));
		struct command second = APPEND(.path = asked[i][1], TEXT, BODY("2"));
		assert_true(first.verdict == VERDICT_OK && second.verdict == VERDICT_OK &&
		            first.id == second.id);
		assert_int_equal(CREATE(.path = asked[i][1], TEXT).verdict, VERDICT_EXISTS);
	}
	assert_int_equal(APPEND(.path = SPAN("/s/odd%41%7c"), TEXT, BODY("1")).verdict,
	                 VERDICT_OK); /* as it always was */
	/* Two that were two: each keeps the spelling it has, and any other means the canonical one.
	 */
	struct command c = CREATE(.path = SPAN("/s/t"), TEXT);
	store_as_spelled(f, SPAN("/s/%74"));
	assert_int_equal(APPEND(.path = SPAN("/s/t"), TEXT, BODY("1")).id, c.id);
	assert_int_not_equal(APPEND(.path = SPAN("/s/%74"), TEXT, BODY("1")).id, c.id);
	assert_int_equal(APPEND(.path = SPAN("/%73/t"), TEXT, BODY("1")).id, c.id);
	/* Deleted and made anew, it has the canonical form. */
	assert_int_equal(DELETE("/s/a|b"), VERDICT_OK);
	c = CREATE(.path = SPAN("/s/a|b"), TEXT);
	assert_int_equal(c.verdict, VERDICT_CREATED);
	assert_string_equal(state_find_id(&f->head, c.id)->path, "/s/a%7Cb");
}

static void test_bad_body_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	size_t before = f->log_len;
	assert_int_equal(CREATE(.path = SPAN("/j"), .content_type = SPAN("application/json"),
	                        .body_fault = "not JSON")
	                         .verdict,
	                 VERDICT_BAD_BODY);
	assert_null(state_find(&f->head, SPAN("/j")));
	assert_int_equal(f->log_len, before);
}

static void test_producers(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/p"), TEXT);
	static const struct {
		const char *id;
		uint64_t epoch, seq;
		enum verdict verdict;
		uint64_t answer; /* seq on a duplicate, expected on a gap, epoch when stale */
	} rows[] = {
	        {"a", 0, 1, VERDICT_PRODUCER_GAP, 0},
	        {"a", 3, 0, VERDICT_OK, 0},
	        {"a", 3, 1, VERDICT_OK, 1},
	        {"a", 3, 0, VERDICT_DUPLICATE, 1},
	        {"a", 3, 1, VERDICT_DUPLICATE, 1},
	        {"a", 3, 3, VERDICT_PRODUCER_GAP, 2},
	        {"a", 2, 0, VERDICT_PRODUCER_STALE, 3},
	        {"a", 4, 1, VERDICT_PRODUCER_EPOCH, 0},
	        {"a", 4, 0, VERDICT_OK, 0},
	        {"a", 3, 2, VERDICT_PRODUCER_STALE, 4},
	        {"b", 0, 0, VERDICT_OK, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct command c = APPEND(.path = SPAN("/p"), TEXT, BODY("x"),
		                          .producer = {true, span_str(rows[i].id), rows[i].epoch,
		                                       rows[i].seq});
		assert_int_equal(c.verdict, rows[i].verdict);
		if (c.verdict == VERDICT_DUPLICATE)
			assert_int_equal(c.producer_seq, rows[i].answer);
		if (c.verdict == VERDICT_PRODUCER_GAP)
			assert_int_equal(c.expected_seq, rows[i].answer);
		if (c.verdict == VERDICT_PRODUCER_STALE)
			assert_int_equal(c.producer_epoch, rows[i].answer);
	}
	assert_int_equal(state_find(&f->head, SPAN("/p"))->tail, 4);
}

static void test_producer_limit_forgets_the_idle(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/p"), TEXT);
	const char *ids[] = {"a", "b", "c"};
	for (int i = 0; i < 3; i++, f->now_ms++)
		APPEND(.path = SPAN("/p"), TEXT, BODY("x"),
		       .producer = {true, span_str(ids[i]), 0, 0});
	assert_int_equal(APPEND(.path = SPAN("/p"), TEXT, BODY("x"), PRODUCER("d", 0, 0)).verdict,
	                 VERDICT_PRODUCER_LIMIT);
	f->now_ms += 1000;
	assert_int_equal(APPEND(.path = SPAN("/p"), TEXT, BODY("x"), PRODUCER("d", 0, 0)).verdict,
	                 VERDICT_OK);
	assert_int_equal(APPEND(.path = SPAN("/p"), TEXT, BODY("x"), PRODUCER("a", 0, 1)).verdict,
	                 VERDICT_PRODUCER_GAP); /* unknown again */
	assert_int_equal(APPEND(.path = SPAN("/p"), TEXT, BODY("x"), PRODUCER("b", 0, 1)).verdict,
	                 VERDICT_OK);
}

static void test_refusal_moves_nothing(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/s"), TEXT);
	APPEND(.path = SPAN("/s"), TEXT, BODY("x"), .stream_seq = SPAN("2"), PRODUCER("a", 0, 0));
	size_t before = f->log_len;
	assert_int_equal(APPEND(.path = SPAN("/s"), TEXT, BODY("x"), .stream_seq = SPAN("10"),
	                        PRODUCER("a", 0, 1))
	                         .verdict,
	                 VERDICT_STREAM_SEQ);
	/* A duplicate is one even when its Stream-Seq would conflict. */
	assert_int_equal(APPEND(.path = SPAN("/s"), TEXT, BODY("x"), .stream_seq = SPAN("1"),
	                        PRODUCER("a", 0, 0))
	                         .verdict,
	                 VERDICT_DUPLICATE);
	assert_int_equal(f->log_len, before);
	assert_int_equal(APPEND(.path = SPAN("/s"), TEXT, BODY("x"), .stream_seq = SPAN("3"),
	                        PRODUCER("a", 0, 1))
	                         .verdict,
	                 VERDICT_OK);
}

static void test_producer_close(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/c"), TEXT);
	assert_int_equal(APPEND(.path = SPAN("/c"), .close = true, PRODUCER("a", 1, 0)).verdict,
	                 VERDICT_OK);
	struct command c = APPEND(.path = SPAN("/c"), .close = true, PRODUCER("a", 1, 0));
	assert_int_equal(c.verdict, VERDICT_CLOSED);
	assert_true(c.closed_by_match);
	c = APPEND(.path = SPAN("/c"), TEXT, BODY("x"), PRODUCER("a", 1, 1));
	assert_int_equal(c.verdict, VERDICT_CLOSED);
	assert_false(c.closed_by_match);
}

static void test_fork_keeps_its_source(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/src"), TEXT, .ttl_present = true, .ttl_s = 60);
	APPEND(.path = SPAN("/src"), TEXT, BODY("abcdef"));
	struct command c = CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/src"),
	                          .fork_offset_present = true, .fork_offset = 0,
	                          .fork_sub_present = true, .fork_sub_offset = 4, BODY("!"), TEXT);
	assert_int_equal(c.verdict, VERDICT_CREATED);
	assert_int_equal(c.tail, 5);
	struct stream *fork = state_find(&f->head, SPAN("/f"));
	assert_true(fork->ttl_present && fork->ttl_s == 60 && fork->expiry_inherited);
	assert_int_equal(state_find(&f->head, SPAN("/src"))->refs, 1);
	/* Idempotent by what was asked. */
	assert_int_equal(CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/src"),
	                        .fork_sub_present = true, .fork_sub_offset = 4)
	                         .verdict,
	                 VERDICT_EXISTS);
	assert_int_equal(
	        CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/src")).verdict,
	        VERDICT_CONFIG_DIFFERS);
	assert_int_equal(DELETE("/src"), VERDICT_OK);
	assert_int_equal(DELETE("/src"), VERDICT_GONE);
	assert_int_equal(APPEND(.path = SPAN("/src"), TEXT, BODY("x")).verdict, VERDICT_GONE);
	assert_int_equal(CREATE(.path = SPAN("/src"), TEXT).verdict, VERDICT_PATH_SOFT_DELETED);
	assert_int_equal(
	        CREATE(.path = SPAN("/g"), .fork = true, .fork_source = SPAN("/src")).verdict,
	        VERDICT_SOURCE_GONE);
	assert_int_equal(DELETE("/f"), VERDICT_OK);
	assert_null(state_find(&f->head, SPAN("/src")));
	assert_int_equal(f->head.streams_count, 0);
}

static void test_fork_points(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = {2, 3, 2};
	const struct batch three = {sizes, 3, SPAN("1,22,3,")};
	CREATE(.path = SPAN("/j"), .content_type = SPAN("application/json"), .body = three);
	uint64_t lineage = state_find(&f->head, SPAN("/j"))->lineage;
	static const struct {
		uint64_t at, sub;
		enum verdict verdict;
		uint64_t tail;
	} rows[] = {
	        {0, 0, VERDICT_CREATED, 0},     {0, 2, VERDICT_CREATED, 5},
	        {0, 3, VERDICT_CREATED, 7},     {0, 4, VERDICT_FORK_SUB_OFFSET, 0},
	        {2, 1, VERDICT_CREATED, 5},     {3, 0, VERDICT_FORK_OFFSET, 0},
	        {7, 0, VERDICT_CREATED, 7},     {7, 1, VERDICT_FORK_SUB_OFFSET, 0},
	        {8, 0, VERDICT_FORK_OFFSET, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct command c =
		        CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/j"),
		               .fork_offset_present = true, .fork_offset = rows[i].at,
		               .fork_offset_lineage = lineage, .fork_sub_offset = rows[i].sub);
		assert_int_equal(c.verdict, rows[i].verdict);
		if (c.verdict != VERDICT_CREATED)
			continue;
		assert_int_equal(c.tail, rows[i].tail);
		assert_int_equal(c.lineage, lineage);
		assert_int_equal(DELETE("/f"), VERDICT_OK);
	}
	/* An offset of another stream is none of this one's. */
	assert_int_equal(CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/j"),
	                        .fork_offset_present = true, .fork_offset = 2,
	                        .fork_offset_lineage = lineage + 1)
	                         .verdict,
	                 VERDICT_FORK_OFFSET);
	assert_int_equal(state_find(&f->head, SPAN("/j"))->refs, 0);
}

static void test_expiry(void **state)
{
	struct fixture *f = *state;
	uint64_t id = CREATE(.path = SPAN("/t"), TEXT, .ttl_present = true, .ttl_s = 10).id;
	f->now_ms += 9000;
	assert_int_equal(
	        run(f, (struct command){.kind = COMMAND_TOUCH, .path = SPAN("/t")}).verdict,
	        VERDICT_OK);
	f->now_ms += 9000;
	assert_int_equal(APPEND(.path = SPAN("/t"), TEXT, BODY("x")).verdict, VERDICT_OK);
	f->now_ms += 10000 - 1;
	assert_int_equal(run(f, (struct command){.kind = COMMAND_EXPIRE, .stream_id = id}).verdict,
	                 VERDICT_NOT_FOUND);
	f->now_ms += 1001;
	assert_int_equal(APPEND(.path = SPAN("/t"), TEXT, BODY("x")).verdict, VERDICT_NOT_FOUND);
	/* Free for another configuration before any sweeper came. */
	struct command c = CREATE(.path = SPAN("/t"), .content_type = SPAN("a/b"));
	assert_int_equal(c.verdict, VERDICT_CREATED);
	assert_int_not_equal(c.id, id);
	assert_int_equal(f->head.streams_count, 1);
}

static void test_expired_source_moves_out_of_the_way(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/s"), TEXT, .expires_present = true,
	       .expires_at_ms = (int64_t)f->now_ms + 5000, BODY("abc"));
	assert_int_equal(CREATE(.path = SPAN("/f"), .fork = true, .fork_source = SPAN("/s"),
	                        .ttl_present = true, .ttl_s = 100)
	                         .verdict,
	                 VERDICT_CREATED);
	f->now_ms += 6000;
	assert_int_equal(CREATE(.path = SPAN("/s"), .content_type = SPAN("a/b")).verdict,
	                 VERDICT_CREATED);
	struct stream *fork = state_find(&f->head, SPAN("/f"));
	assert_non_null(state_find_id(&f->head, fork->source_id));
	assert_int_equal(DELETE("/f"), VERDICT_OK);
	assert_int_equal(f->head.streams_count, 1);
	assert_non_null(state_find(&f->head, SPAN("/s")));
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	char path[16];
	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof path, "/%d", i);
		assert_int_equal(CREATE(.path = span_str(path)).verdict, VERDICT_CREATED);
	}
	assert_int_equal(CREATE(.path = SPAN("/more")).verdict, VERDICT_STREAM_LIMIT);
	assert_int_equal(DELETE("/7"), VERDICT_OK);
	assert_int_equal(CREATE(.path = SPAN("/more")).verdict, VERDICT_CREATED);
}

static void test_kv(void **state)
{
	struct fixture *f = *state;
	struct span value;
	const struct command put = {
	        .kind = COMMAND_KV, .key = SPAN("k"), .value = SPAN("1"), .expect_present = true};
	assert_int_equal(run(f, put).verdict, VERDICT_OK);
	assert_int_equal(run(f, put).verdict, VERDICT_KV_CONFLICT);
	assert_true(state_kv_get(&f->follower, SPAN("k"), &value) && span_equal(value, SPAN("1")));
	struct command remove = {.kind = COMMAND_KV, .key = SPAN("k")};
	assert_int_equal(run(f, remove).verdict, VERDICT_OK);
	assert_false(state_kv_get(&f->follower, SPAN("k"), &value));
	assert_int_equal(run(f, put).verdict, VERDICT_OK);
}

#define JSON_PATH(name) .path = SPAN(name), .content_type = SPAN("application/json")

static void test_txn_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct span value;
	static const uint32_t size = 3;
	const struct batch body = {&size, 1, SPAN("11,")};
	struct command parts[] = {
	        {.kind = COMMAND_KV, .key = SPAN("a"), .value = SPAN("1"), .expect_present = true},
	        {.kind = COMMAND_CREATE, JSON_PATH("/feed")},
	        {.kind = COMMAND_APPEND, JSON_PATH("/feed"), .body = body},
	        {.kind = COMMAND_KV, .key = SPAN("b"), .value = SPAN("2")},
	};
	const struct command txn = {.kind = COMMAND_TXN, .parts = parts, .part_count = 4};
	assert_int_equal(run(f, txn).verdict, VERDICT_OK);
	assert_int_equal(parts[1].verdict, VERDICT_CREATED);
	assert_int_equal(parts[2].tail, 3);
	assert_true(state_kv_get(&f->follower, SPAN("b"), &value) && span_equal(value, SPAN("2")));

	/* The last condition fails: the append before it is not made. */
	struct command again[] = {parts[1],
	                          parts[2],
	                          {.kind = COMMAND_KV,
	                           .key = SPAN("a"),
	                           .value = SPAN("3"),
	                           .expect_present = true,
	                           .expect = SPAN("2")}};
	struct command refused = {.kind = COMMAND_TXN, .parts = again, .part_count = 3};
	size_t len = f->log_len;
	refused = run(f, refused);
	assert_int_equal(refused.verdict, VERDICT_KV_CONFLICT);
	assert_int_equal(refused.failed_part, 2);
	assert_int_equal(f->log_len, len);
	assert_int_equal(state_find(&f->head, SPAN("/feed"))->tail, 3);

	again[2].expect = SPAN("1");
	assert_int_equal(run(f, refused).verdict, VERDICT_OK);
	assert_int_equal(again[0].verdict, VERDICT_EXISTS);
	assert_int_equal(state_find(&f->follower, SPAN("/feed"))->tail, 6);
	assert_true(state_kv_get(&f->follower, SPAN("a"), &value) && span_equal(value, SPAN("3")));
}

static void test_txn_refusals(void **state)
{
	struct fixture *f = *state;
	static const uint32_t size = 2;
	const struct batch body = {&size, 1, SPAN("1,")};
	CREATE(.path = SPAN("/text"), .content_type = SPAN("text/plain"));
	struct command parts[2] = {{.kind = COMMAND_APPEND, JSON_PATH("/none"), .body = body}};
	struct command txn = {.kind = COMMAND_TXN, .parts = parts, .part_count = 1};
	assert_int_equal(run(f, txn).verdict, VERDICT_NOT_FOUND);
	parts[0].path = SPAN("/text");
	assert_int_equal(run(f, txn).verdict, VERDICT_CONTENT_TYPE);
	parts[0] = (struct command){.kind = COMMAND_CREATE, JSON_PATH("/text")};
	assert_int_equal(run(f, txn).verdict, VERDICT_CONFIG_DIFFERS);
	CREATE(JSON_PATH("/shut"), .close = true);
	parts[0] = (struct command){.kind = COMMAND_APPEND, JSON_PATH("/shut"), .body = body};
	assert_int_equal(run(f, txn).verdict, VERDICT_CLOSED);
	f->head.limits.streams_max = f->head.streams_count + 1;
	parts[0] = (struct command){.kind = COMMAND_CREATE, JSON_PATH("/one")};
	parts[1] = (struct command){.kind = COMMAND_CREATE, JSON_PATH("/two")};
	txn.part_count = 2;
	txn = run(f, txn);
	assert_int_equal(txn.verdict, VERDICT_STREAM_LIMIT);
	assert_int_equal(txn.failed_part, 1);
	assert_null(state_find(&f->head, SPAN("/one")));
}

static void test_evict_keeps_what_is_new_or_pinned(void **state)
{
	struct fixture *f = *state;
	CREATE(.path = SPAN("/old"));
	CREATE(.path = SPAN("/pinned"));
	uint64_t bound = f->log_len;
	CREATE(.path = SPAN("/new"));
	state_find(&f->follower, SPAN("/pinned"))->pins = 1;
	state_evict(&f->follower, bound, 0);
	assert_int_equal(f->follower.streams_by_id.count, 2);
	assert_null(state_find(&f->follower, SPAN("/old")));
	assert_non_null(state_find(&f->follower, SPAN("/new")));
	state_evict(&f->head, bound, 0);
	f->follower.streams->pins = 0;
	state_evict(&f->follower, bound, 0);
	assert_int_equal(f->follower.streams_by_id.count, 1);
}

static void test_evict_counts_the_bytes_of_kvs(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(f->follower.kvs_bytes, 0);
	run(f, (struct command){.kind = COMMAND_KV, .key = SPAN("a"), .value = SPAN("1")});
	size_t one = f->follower.kvs_bytes;
	run(f, (struct command){.kind = COMMAND_KV, .key = SPAN("a"), .value = SPAN("333")});
	assert_int_equal(f->follower.kvs_bytes, one + 2);
	run(f, (struct command){.kind = COMMAND_KV, .key = SPAN("b"), .value = SPAN("1")});
	assert_int_equal(f->follower.kvs_bytes, 2 * one + 2);
	run(f, (struct command){.kind = COMMAND_KV, .key = SPAN("a")});
	assert_int_equal(f->follower.kvs_bytes, 2 * one - 1);
	state_evict(&f->follower, f->log_len, 0);
	assert_int_equal(f->follower.kvs_bytes, 0);
}

static void test_hostile_entries(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 2};
	const struct entry entry = {.kind = ENTRY_APPEND,
	                            .stream_id = 1,
	                            .data = {sizes, 2, SPAN("abc")},
	                            .producer = {true, SPAN("p"), 1, 2},
	                            .stream_seq = SPAN("s")};
	size_t total;
	uint8_t *bytes = entry_bytes(&entry, &total);
	struct entry out;
	for (size_t len = 0; len < total; len++) {
		uint8_t *part = xmalloc(len + 1);
		memcpy(part, bytes, len);
		assert_int_equal(entry_decode(span_of(part, len), &out), 0);
		free(part);
	}
	srand(1);
	for (int i = 0; i < 100000; i++) {
		uint8_t *copy = xmalloc(total);
		memcpy(copy, bytes, total);
		for (int k = rand() % 4; k >= 0; k--)
			copy[(size_t)rand() % total] = (uint8_t)rand();
		entry_decode(span_of(copy, total), &out);
		free(copy);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_create_append_close),
	        T(test_only_the_product_writes_what_it_owns),
	        T(test_what_differs_only_in_encoding_is_one_stream),
	        T(test_streams_stored_under_another_spelling_are_found),
	        T(test_bad_body_leaves_nothing),
	        T(test_producers),
	        T(test_producer_limit_forgets_the_idle),
	        T(test_refusal_moves_nothing),
	        T(test_producer_close),
	        T(test_fork_keeps_its_source),
	        T(test_fork_points),
	        T(test_expiry),
	        T(test_expired_source_moves_out_of_the_way),
	        T(test_limits),
	        T(test_kv),
	        T(test_txn_is_all_or_nothing),
	        T(test_txn_refusals),
	        T(test_evict_keeps_what_is_new_or_pinned),
	        T(test_evict_counts_the_bytes_of_kvs),
	        T(test_hostile_entries),
#undef T
	};
	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
