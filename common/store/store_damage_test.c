/* A data.mdb that is cut short, has holes or was never whole: said, never answered from. */
#include "common/store/store.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/store/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { STREAMS = 40, BODY_BYTES = 50000, PAGE = 4096 };

struct fixture {
	char dir[64], data[96], reason[256];
	struct store *store;
	struct store_options options;
};

static int open_store(struct fixture *f)
{
	return store_open(&f->store, &f->options, f->reason);
}

static char *path_of(int i)
{
	static char path[16];
	snprintf(path, sizeof path, "/s%d", i);
	return path;
}

static enum verdict create(struct fixture *f, const char *path, struct span body)
{
	uint32_t size = (uint32_t)body.len;
	struct command c = {.kind = COMMAND_CREATE,
	                    .path = span_str(path),
	                    .content_type = SPAN("a/b"),
	                    .body = {&size, body.len > 0, body}};
	store_execute(f->store, &c);
	return c.verdict;
}

/* Every byte of a stream is the same and says which. */
static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	static uint8_t body[BODY_BYTES];
	log_set_level(LOG_LEVEL_ERROR + 1);
	snprintf(f->dir, sizeof f->dir, "/tmp/ringside-damage-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->data, sizeof f->data, "%s/data.mdb", f->dir);
	f->options = (struct store_options){
	        .dir = f->dir,
	        .ring_bytes = 4 << 20,
	        .map_bytes = 64 << 20,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 1000, .producers_per_stream_max = 16}};
	assert_int_equal(open_store(f), 0);
	for (int i = 0; i < STREAMS; i++) {
		memset(body, 'A' + i, sizeof body);
		assert_int_equal(create(f, path_of(i), span_of(body, sizeof body)),
		                 VERDICT_CREATED);
	}
	struct command kv = {.kind = COMMAND_KV, .key = SPAN("row"), .value = span_of(body, 20000)};
	store_execute(f->store, &kv);
	assert_int_equal(store_checkpoint(f->store, f->reason), 0);
	store_close(&f->store);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	store_close(&f->store);
	snprintf(command, sizeof command, "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static off_t size_of(const struct fixture *f)
{
	struct stat st;
	assert_int_equal(stat(f->data, &st), 0);
	return st.st_size;
}

/* 1: all of the stream is read and right; 0: reading fails; fails itself when something else is
 * read. */
static int reads(struct fixture *f, int i)
{
	struct stream *stream = state_find(store_view(f->store), span_str(path_of(i)));
	if (stream == NULL) {
		assert_true(store_view(f->store)->unreadable);
		return 0;
	}
	assert_int_equal(stream->tail, BODY_BYTES);
	for (uint64_t at = 0; at < stream->tail;) {
		struct store_slice slice;
		if (store_read(f->store, stream, at, stream->tail, 30000, &slice) != STORE_READ_OK)
			return 0;
		for (int k = 0; k < slice.count; k++)
			for (size_t b = 0; b < slice.iov[k].iov_len; b++)
				if (((uint8_t *)slice.iov[k].iov_base)[b] != 'A' + i)
					fail_msg("stream %d: byte %zu is wrong", i, b);
		at = slice.to;
		store_slice_release(f->store, &slice);
	}
	return 1;
}

static int readable(struct fixture *f)
{
	int count = 0;
	for (int i = 0; i < STREAMS; i++)
		count += reads(f, i);
	return count;
}

static void count_finding(void *arg, const char *text)
{
	(void)text;
	++*(int *)arg;
}

static int findings(struct fixture *f)
{
	struct store_check_totals totals;
	int count = 0;
	store_check(f->store, count_finding, &count, &totals);
	return count;
}

static void test_a_file_cut_short_is_refused(void **state)
{
	struct fixture *f = *state;
	off_t whole = size_of(f);
	for (off_t size = 0; size < whole * 3 / 4; size += whole / 16 / PAGE * PAGE + 100) {
		char want[64];
		int fd = open(f->data, O_RDWR);
		char *copy = xmalloc((size_t)whole);
		assert_int_equal(pread(fd, copy, (size_t)whole, 0), whole);
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_not_equal(open_store(f), 0);
		assert_non_null(strstr(f->reason, "data.mdb"));
		snprintf(want, sizeof want, "%lld bytes, expected ", (long long)size);
		if (size > 2 * PAGE)
			assert_non_null(strstr(f->reason, want));
		assert_int_equal(pwrite(fd, copy, (size_t)whole, 0), whole);
		close(fd);
		free(copy);
	}
	assert_int_equal(truncate(f->data, whole + 100000), 0); /* longer is normal */
	assert_int_equal(open_store(f), 0);
	assert_int_equal(readable(f), STREAMS);
	assert_int_equal(findings(f), 0);
}

/* What one transaction took and gave back is not written: LMDB counts pages behind the end of the
 * file. */
static void test_free_pages_at_the_end_need_not_be_there(void **state)
{
	struct fixture *f = *state;
	struct tables tables;
	MDB_txn *txn;
	MDB_val key = {3, (void *)(uintptr_t) "tmp"}, value = {3000000, NULL};
	uint64_t page, used;
	assert_int_equal(tables_open(&tables, f->dir, f->options.map_bytes, 64, f->reason), 0);
	assert_int_equal(mdb_txn_begin(tables.env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_put(txn, tables.kv, &key, &value, MDB_RESERVE), 0);
	memset(value.mv_data, 1, value.mv_size);
	assert_int_equal(mdb_del(txn, tables.kv, &key, NULL), 0);
	key = (MDB_val){4, (void *)(uintptr_t) "tmp2"};
	value = (MDB_val){16, NULL};
	assert_int_equal(mdb_put(txn, tables.kv, &key, &value, MDB_RESERVE), 0);
	assert_int_equal(mdb_del(txn, tables.kv, &key, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	assert_true(tables_size(&tables, &page, &used));
	tables_close(&tables);
	assert_true((uint64_t)size_of(f) < used);
	assert_int_equal(open_store(f), 0);
	assert_int_equal(readable(f), STREAMS);
	assert_int_equal(findings(f), 0);
}

static void zero(const struct fixture *f, off_t from, off_t to)
{
	static const uint8_t zeros[PAGE];
	int fd = open(f->data, O_RDWR);
	for (; from < to; from += PAGE)
		assert_int_equal(pwrite(fd, zeros, PAGE, from), PAGE);
	close(fd);
}

static void test_zeroed_pages_are_not_messages(void **state)
{
	struct fixture *f = *state;
	off_t middle = size_of(f) / 2 / PAGE * PAGE;
	zero(f, middle, middle + 20 * PAGE);
	assert_int_equal(open_store(f), 0);
	int left = readable(f);
	assert_true(left > STREAMS / 2 && left < STREAMS);
	assert_true(findings(f) > 0);
	assert_int_equal(create(f, "/more", SPAN("x")), VERDICT_CREATED);
}

/* Wherever the hole is, tree pages included, one page at a time. */
static void test_no_zeroed_page_ends_the_process(void **state)
{
	struct fixture *f = *state;
	off_t pages = size_of(f) / PAGE;
	uint8_t page[PAGE];
	for (off_t i = 2; i < pages; i += 1 + (i > 40 && i < pages - 40) * 37) {
		int fd = open(f->data, O_RDWR);
		assert_int_equal(pread(fd, page, PAGE, i * PAGE), PAGE);
		zero(f, i * PAGE, (i + 1) * PAGE);
		if (open_store(f) == 0) {
			struct span value;
			readable(f);
			if (!state_kv_get(store_view(f->store), SPAN("row"), &value))
				assert_true(store_view(f->store)->unreadable);
			else
				assert_int_equal(value.at[19999], 'A' + STREAMS - 1);
			store_close(&f->store);
		}
		assert_int_equal(pwrite(fd, page, PAGE, i * PAGE), PAGE);
		close(fd);
	}
	assert_int_equal(open_store(f), 0);
	assert_int_equal(readable(f), STREAMS);
	assert_int_equal(findings(f), 0);
}

/* Somebody cuts the file under our hands: reads fail, nothing is taken for absent, the process
 * lives. */
static void test_cut_short_while_open(void **state)
{
	struct fixture *f = *state;
	off_t whole = size_of(f);
	assert_int_equal(open_store(f), 0);
	assert_int_equal(truncate(f->data, 2 * PAGE), 0);
	assert_int_equal(readable(f), 0);
	assert_int_equal(create(f, path_of(3), SPAN("")), VERDICT_IO_ERROR);
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/s4")};
	store_execute(f->store, &c);
	assert_int_equal(c.verdict, VERDICT_IO_ERROR);
	c = (struct command){
	        .kind = COMMAND_KV, .key = SPAN("row"), .value = SPAN("x"), .expect_present = true};
	store_execute(f->store, &c);
	assert_int_equal(c.verdict, VERDICT_IO_ERROR);
	struct span value;
	assert_false(state_kv_get(store_view(f->store), SPAN("row"), &value));
	assert_true(store_view(f->store)->unreadable);
	struct store_status status;
	store_status(f->store, &status);
	assert_true(status.unreadable > 0);
	assert_true(whole > size_of(f));
}

/* A backup says so, and leaves nothing that could be taken for one. */
static void test_backup_of_a_file_cut_short(void **state)
{
	struct fixture *f = *state;
	char path[96], part[112];
	snprintf(path, sizeof path, "%s/backup", f->dir);
	snprintf(part, sizeof part, "%s.part", path);
	assert_int_equal(open_store(f), 0);
	assert_int_equal(store_backup(f->store, path, f->reason), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(truncate(f->data, 4 * PAGE), 0);
	assert_int_not_equal(store_backup(f->store, path, f->reason), 0);
	assert_non_null(strstr(f->reason, "cannot be read"));
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_not_equal(access(part, F_OK), 0);
	store_close(&f->store);
}

/* The checkpointer meets the damage within its write transaction: it gives up and says so; reading
 * goes on. */
static void test_checkpoint_over_a_file_cut_short(void **state)
{
	struct fixture *f = *state;
	struct store_status status = {0};
	f->options.maintain = true;
	assert_int_equal(open_store(f), 0);
	/* Known by now, so that it takes more without a look at the file; a checkpointer that was
	 * through before the file was cut has something to do again. */
	assert_int_equal(create(f, "/known", SPAN("")), VERDICT_CREATED);
	assert_int_equal(truncate(f->data, 2 * PAGE), 0);
	for (int i = 0; i < 6000 && status.refusing != EIO; i++) {
		uint32_t size = 1;
		struct command more = {.kind = COMMAND_APPEND,
		                       .path = SPAN("/known"),
		                       .content_type = SPAN("a/b"),
		                       .body = {&size, 1, SPAN("x")}};
		store_execute(f->store, &more);
		usleep(10000);
		store_status(f->store, &status);
	}
	assert_int_equal(status.refusing, EIO);
	struct command c = {.kind = COMMAND_KV, .key = SPAN("new"), .value = SPAN("x")};
	store_execute(f->store, &c);
	assert_int_equal(c.verdict, VERDICT_IO_ERROR);
	assert_int_equal(readable(f), 0);
	/* Here, while the signals are the store's: between tests cmocka takes them, and its thread
	 * may meet one. */
	store_close(&f->store);
}

/* A write transaction that was left where it stood cannot be closed: what it holds goes with the
 * process. By the library: of its inner functions no name is known where its debug symbols are not
 * installed. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:liblmdb\n";
}

static struct span old_form(MDB_val *value, size_t check_at, size_t check_bytes, uint8_t *into)
{
	memcpy(into, value->mv_data, check_at);
	memcpy(into + check_at, (uint8_t *)value->mv_data + check_at + check_bytes,
	       value->mv_size - check_at - check_bytes);
	return span_of(into, value->mv_size - check_bytes);
}

/* As releases before wrote them: rows without checks. */
static void test_rows_without_checks_are_read(void **state)
{
	struct fixture *f = *state;
	static uint8_t row[2 * BODY_BYTES];
	struct tables t;
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	assert_int_equal(tables_open(&t, f->dir, f->options.map_bytes, 64, f->reason), 0);
	assert_int_equal(mdb_txn_begin(t.env, NULL, 0, &txn), 0);
	const struct {
		MDB_dbi table;
		size_t cleared_at, clear_bytes,
		        cut_at; /* cut_at: the check stands there and goes */
	} forms[] = {{t.chunk, 4, 4, 0}, {t.kv, 0, 0, 8}, {t.path, 0, 0, 16}};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		assert_int_equal(mdb_cursor_open(txn, forms[i].table, &cursor), 0);
		for (int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == 0;
		     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
			struct span old =
			        forms[i].cut_at == 0
			                ? span_of(memcpy(row, value.mv_data, value.mv_size),
			                          value.mv_size)
			                : old_form(&value, forms[i].cut_at, 8, row);
			memset(row + forms[i].cleared_at, 0, forms[i].clear_bytes);
			if (forms[i].table == t.kv)
				row[7] &= 0x7f;
			uint8_t copy[512];
			MDB_val same = {key.mv_size, memcpy(copy, key.mv_data, key.mv_size)},
			        put = {old.len, row};
			assert_int_equal(mdb_cursor_put(cursor, &same, &put, 0), 0);
		}
		mdb_cursor_close(cursor);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
	tables_close(&t);
	assert_int_equal(open_store(f), 0);
	struct span kv;
	assert_int_equal(readable(f), STREAMS);
	assert_true(state_kv_get(store_view(f->store), SPAN("row"), &kv));
	assert_int_equal(kv.len, 20000);
	assert_int_equal(findings(f), 0);
}

static void keep_finding(void *arg, const char *text)
{
	snprintf(arg, 256, "%s", text);
}

/* What a fork reads is its source's: a source that does not know of it goes when it is deleted, and
 * then its rows. 'store check' looked at forks only where a source said that it had some. */
static void test_a_source_that_forgot_its_fork_is_found(void **state)
{
	struct fixture *f = *state;
	struct store_check_totals totals;
	struct stream *source;
	struct tables t;
	MDB_txn *txn;
	char text[256] = "";
	assert_int_equal(open_store(f), 0);
	struct command fork = {.kind = COMMAND_CREATE,
	                       .path = SPAN("/fork"),
	                       .fork = true,
	                       .fork_source = span_str(path_of(0))};
	store_execute(f->store, &fork);
	assert_int_equal(fork.verdict, VERDICT_CREATED);
	uint64_t id = state_find_id(store_view(f->store), fork.id)->source_id;
	assert_int_equal(store_checkpoint(f->store, f->reason), 0);
	assert_int_equal(store_check(f->store, keep_finding, text, &totals), 0);
	store_close(&f->store);
	for (int gone = 0; gone < 2; gone++) {
		assert_int_equal(tables_open(&t, f->dir, f->options.map_bytes, 64, f->reason), 0);
		assert_int_equal(mdb_txn_begin(t.env, NULL, 0, &txn), 0);
		struct tables_reader reader = {.tables = &t, .txn = txn};
		source = xcalloc(1, sizeof *source);
		assert_int_equal(tables_load_stream(&reader, id, source), ROW_PRESENT);
		source->refs = 0;
		assert_int_equal(gone ? tables_drop_stream(&t, txn, source)
		                      : tables_put_stream(&t, txn, source),
		                 0);
		stream_free(source);
		assert_int_equal(mdb_txn_commit(txn), 0);
		tables_close(&t);
		assert_int_equal(open_store(f), 0);
		assert_true(store_check(f->store, keep_finding, text, &totals) > 0);
		if (!gone)
			assert_non_null(strstr(text, "knows of no fork"));
		store_close(&f->store);
	}
	assert_int_equal(open_store(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_a_file_cut_short_is_refused),
	        T(test_free_pages_at_the_end_need_not_be_there),
	        T(test_zeroed_pages_are_not_messages),
	        T(test_no_zeroed_page_ends_the_process),
	        T(test_cut_short_while_open),
	        T(test_backup_of_a_file_cut_short),
	        T(test_checkpoint_over_a_file_cut_short),
	        T(test_rows_without_checks_are_read),
	        T(test_a_source_that_forgot_its_fork_is_found),
#undef T
	};
	return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
