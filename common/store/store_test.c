#undef _FILE_OFFSET_BITS /* both names of pwrite() and pwritev() are ours */
#include "common/store/store.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/ring.h"
#include "common/store/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a disk that fails, and a process that dies, at the n-th thing done to files ---- */

static int die_at; /* counts down; at 1 the process ends. 0: it does not */
static int ring_syncs_fail, dir_syncs_fail, data_syncs_fail;
static unsigned dir_syncs;
static void (*on_failed_sync)(void); /* what the kernel does to pages that it could not write */

/* What power loss takes with it: writes that no sync has followed, of them all pages, the even or
 * the odd ones. */
enum loss { LOSS_NONE, LOSS_ALL, LOSS_EVEN, LOSS_ODD };
enum { LOSS_WAYS = LOSS_ODD, PAGE_BYTES = 4096, UNSYNCED_MAX = 1000 };
static enum loss loss;
static bool syncs_pretended; /* for tests with many steps */
static struct unsynced {
	int fd; /* -1: synced meanwhile */
	ino_t file;
	off_t at, end;
} unsynced[UNSYNCED_MAX];
static size_t unsynced_count;

static ino_t file_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void note_write(int fd, off_t at, ssize_t len)
{
	if (loss == LOSS_NONE || len <= 0 || (fcntl(fd, F_GETFL) & O_DSYNC) != 0)
		return;
	assert_true(unsynced_count < UNSYNCED_MAX);
	unsynced[unsynced_count++] = (struct unsynced){dup(fd), file_of(fd), at, at + len};
}

static void note_sync(int fd)
{
	for (size_t i = 0; loss != LOSS_NONE && i < unsynced_count; i++)
		if (unsynced[i].file == file_of(fd))
			unsynced[i].fd = -1;
}

static void lose_power(void)
{
	static const uint8_t zeros[PAGE_BYTES];
	for (size_t i = 0; i < unsynced_count; i++)
		for (off_t at = unsynced[i].at; unsynced[i].fd >= 0 && at < unsynced[i].end;) {
			off_t page = at / PAGE_BYTES, end = (page + 1) * PAGE_BYTES;
			end = end < unsynced[i].end ? end : unsynced[i].end;
			if (loss == LOSS_ALL || (page % 2 == 0) == (loss == LOSS_EVEN))
				syscall(SYS_pwrite64, unsynced[i].fd, zeros, (size_t)(end - at),
				        at);
			at = end;
		}
}

static void one_step(void)
{
	if (die_at == 0 || --die_at != 0)
		return;
	lose_power();
	_exit(9);
}

static bool fails_once(int *failures)
{
	if (*failures == 0)
		return false;
	(*failures)--;
	errno = EIO;
	return true;
}

static bool is_file(int fd, const char *name)
{
	char link[64], path[256] = "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof path - 1) > 0 && strcmp(strrchr(path, '/'), name) == 0;
}

/* What is done to data.mdb, in its order: 'w' for writes in a row, 's' a sync, 'f' one that fails.
 */
static char data_calls[64];
static void (*on_data_sync)(void);

static void note_data(int fd, char what)
{
	size_t len = strlen(data_calls);
	bool again = what == 'w' && len > 0 && data_calls[len - 1] == 'w';
	if (on_data_sync == NULL || again || len + 1 == sizeof data_calls ||
	    !is_file(fd, "/data.mdb"))
		return;
	data_calls[len] = what;
	if (what != 'w')
		on_data_sync();
}

int fdatasync(int fd)
{
	one_step();
	if (data_syncs_fail != 0 && is_file(fd, "/data.mdb") && fails_once(&data_syncs_fail)) {
		note_data(fd, 'f');
		errno = EIO;
		return -1;
	}
	note_data(fd, 's');
	if (ring_syncs_fail != 0 && is_file(fd, "/ring") && fails_once(&ring_syncs_fail)) {
		if (on_failed_sync != NULL)
			on_failed_sync();
		errno = EIO;
		return -1;
	}
	note_sync(fd);
	return syncs_pretended ? 0 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	struct stat st;
	one_step();
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		dir_syncs++;
		if (fails_once(&dir_syncs_fail))
			return -1;
	}
	note_sync(fd);
	return syncs_pretended ? 0 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	one_step();
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	one_step();
	note_data(fd, 'w');
	ssize_t n = syscall(SYS_pwritev, fd, iov, count, at, 0);
	note_write(fd, at, n);
	return n;
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
	return pwritev(fd, iov, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	one_step();
	note_data(fd, 'w');
	ssize_t n = syscall(SYS_pwrite64, fd, bytes, len, at);
	note_write(fd, at, n);
	return n;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return pwrite(fd, bytes, len, at);
}

/* LMDB writes several pages so. */
ssize_t writev(int fd, const struct iovec *iov, int count)
{
	bool data = is_file(fd, "/data.mdb") || is_file(fd, "/data.mdb.new");
	off_t at = data ? lseek(fd, 0, SEEK_CUR) : 0;
	if (data) {
		one_step();
		note_data(fd, 'w');
	}
	ssize_t n = syscall(SYS_writev, fd, iov, count);
	if (data)
		note_write(fd, at, n);
	return n;
}

struct fixture {
	char dir[64];
	struct store *store;
	struct store_options options;
};

static void open_store(struct fixture *f)
{
	char reason[256] = "";
	int rc = store_open(&f->store, &f->options, reason);
	if (rc != 0)
		print_error("%s\n", reason);
	assert_int_equal(rc, 0);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(f->dir, sizeof f->dir, "/tmp/ringside-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->options = (struct store_options){
	        .dir = f->dir,
	        .ring_bytes = 4 << 20,
	        .map_bytes = 256 << 20,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 1000, .producers_per_stream_max = 16},
	        .maintain = true};
	open_store(f);
	*state = f;
	return 0;
}

static void print_finding(void *arg, const char *text)
{
	(void)arg;
	print_error("finding: %s\n", text);
}

static void assert_sound(struct fixture *f)
{
	struct store_check_totals totals;
	char reason[256];
	assert_int_equal(store_checkpoint(f->store, reason), 0);
	assert_int_equal(store_check(f->store, print_finding, NULL, &totals), 0);
	assert_string_equal(totals.unfinished, "");
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	assert_sound(f);
	store_close(&f->store);
	snprintf(command, sizeof command, "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct command create(struct fixture *f, const char *path, const char *type)
{
	struct command c = {
	        .kind = COMMAND_CREATE, .path = span_str(path), .content_type = span_str(type)};
	store_execute(f->store, &c);
	return c;
}

static struct command append(struct fixture *f, const char *path, const char *type,
                             struct span body)
{
	uint32_t size = (uint32_t)body.len;
	struct command c = {.kind = COMMAND_APPEND,
	                    .path = span_str(path),
	                    .content_type = span_str(type),
	                    .body = {&size, 1, body}};
	store_execute(f->store, &c);
	return c;
}

static unsigned others_done;

static void on_other(struct command *command)
{
	assert_int_equal(command->verdict, VERDICT_CREATED);
	others_done++;
}

/* It is waited for itself, not for whatever ends first. */
static void test_what_is_executed_is_done_among_others(void **state)
{
	enum { OTHERS = 3 };
	struct fixture *f = *state;
	struct command others[OTHERS];
	char paths[OTHERS][16];
	for (unsigned round = 0; round < 50; round++) {
		char mine[16];
		others_done = 0;
		for (unsigned i = 0; i < OTHERS; i++) {
			snprintf(paths[i], sizeof paths[i], "/%u/%u", round, i);
			others[i] = (struct command){.kind = COMMAND_CREATE,
			                             .path = span_str(paths[i]),
			                             .content_type = SPAN("text/plain"),
			                             .done = on_other};
			store_submit(f->store, &others[i]);
			store_kick(f->store);
			usleep(round * 10); /* each may be in a batch of its own */
		}
		snprintf(mine, sizeof mine, "/%u/mine", round);
		assert_int_equal(create(f, mine, "text/plain").verdict, VERDICT_CREATED);
		assert_int_equal(others_done, OTHERS);
	}
}

/* Reads [from, to) whole, slice by slice. */
static char *read_all(struct fixture *f, const char *path, uint64_t from, size_t *len)
{
	struct stream *stream = state_find(store_view(f->store), span_str(path));
	assert_non_null(stream);
	char *out = xcalloc(1, stream->tail - from + 1);
	*len = 0;
	while (from < stream->tail) {
		struct store_slice slice;
		assert_int_equal(store_read(f->store, stream, from, stream->tail, 100000, &slice),
		                 STORE_READ_OK);
		for (int i = 0; i < slice.count; i++) {
			memcpy(out + *len, slice.iov[i].iov_base, slice.iov[i].iov_len);
			*len += slice.iov[i].iov_len;
		}
		from = slice.to;
		store_slice_release(f->store, &slice);
	}
	return out;
}

static void assert_content(struct fixture *f, const char *path, uint64_t from, struct span want)
{
	size_t len;
	char *got = read_all(f, path, from, &len);
	assert_int_equal(len, want.len);
	assert_memory_equal(got, want.at, want.len);
	free(got);
}

static void checkpoint_now(struct fixture *f)
{
	char reason[256];
	assert_int_equal(store_checkpoint(f->store, reason), 0);
}

static void test_reads_ring_and_rows_alike(void **state)
{
	struct fixture *f = *state;
	char want[4000] = "";
	create(f, "/a", "text/plain");
	for (int i = 0; i < 300; i++) {
		char text[16];
		int len = snprintf(text, sizeof text, "<%d>", i);
		strcat(want, text);
		assert_int_equal(append(f, "/a", "text/plain", span_of(text, (size_t)len)).verdict,
		                 VERDICT_OK);
		if (i % 97 == 0)
			checkpoint_now(f);
	}
	assert_content(f, "/a", 0, span_str(want));
	assert_content(f, "/a", 100, span_str(want + 100));
	store_close(&f->store);
	open_store(f);
	assert_content(f, "/a", 0, span_str(want));
}

/* Longer than the ring, with bodies near its limit: wraps, pads, checkpoints under way. */
static void test_more_than_the_ring(void **state)
{
	struct fixture *f = *state;
	create(f, "/big", "a/b");
	size_t total = 0;
	uint8_t *body = xmalloc(900000);
	for (int i = 0; i < 40; i++) {
		size_t len = 1 + (size_t)i * 22000;
		for (size_t k = 0; k < len; k++)
			body[k] = (uint8_t)((total + k) * 31 + (total + k) / 251);
		assert_int_equal(append(f, "/big", "a/b", span_of(body, len)).verdict, VERDICT_OK);
		total += len;
	}
	size_t len;
	char *got = read_all(f, "/big", 0, &len);
	assert_int_equal(len, total);
	for (size_t k = 0; k < len; k++)
		if ((uint8_t)got[k] != (uint8_t)(k * 31 + k / 251))
			fail_msg("byte %zu differs", k);
	free(got);
	free(body);
}

static bool collect(void *arg, const struct store_message *m)
{
	char *text = arg;
	strncat(text, (const char *)m->bytes.at, m->bytes.len);
	strcat(text, m->append_ends ? ";" : "|");
	return true;
}

static void test_messages_boundaries_and_forks(void **state)
{
	struct fixture *f = *state;
	static const uint32_t sizes[] = {2, 3};
	create(f, "/j", "application/json");
	for (int i = 0; i < 3; i++) {
		struct command c = {.kind = COMMAND_APPEND,
		                    .path = SPAN("/j"),
		                    .content_type = SPAN("application/json"),
		                    .body = {sizes, 2, SPAN("1,22,")}};
		store_execute(f->store, &c);
		if (i == 1)
			checkpoint_now(f);
	}
	struct command fork = {.kind = COMMAND_CREATE,
	                       .path = SPAN("/f"),
	                       .fork = true,
	                       .fork_source = SPAN("/j"),
	                       .fork_offset_present = true,
	                       .fork_offset = 5,
	                       .fork_sub_offset = 1};
	store_execute(f->store, &fork);
	assert_int_equal(fork.verdict, VERDICT_CREATED);
	assert_int_equal(fork.tail, 7);
	for (int round = 0; round < 2; round++) {
		struct stream *stream = state_find(store_view(f->store), SPAN("/j"));
		char text[64] = "";
		assert_int_equal(
		        store_scan(f->store, stream, 0, stream->tail, 1 << 20, collect, text),
		        STORE_READ_OK);
		assert_string_equal(text, "1|22;1|22;1|22;");
		static const bool boundary[] = {1, 0, 1, 0, 0, 1, 0, 1};
		for (uint64_t at = 0; at < 8; at++)
			assert_int_equal(store_boundary(f->store, stream, at), boundary[at]);
		assert_content(f, "/f", 0, SPAN("1,22,1,"));
		text[0] = '\0';
		stream = state_find(store_view(f->store), SPAN("/f"));
		store_scan(f->store, stream, 0, stream->tail, 1 << 20, collect, text);
		assert_string_equal(text, "1|22;1;");
		checkpoint_now(f);
		store_close(&f->store);
		open_store(f);
	}
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/j")};
	store_execute(f->store, &c);
	assert_content(f, "/f", 0, SPAN("1,22,1,"));
}

static struct command fork_of(struct fixture *f, const char *path, const char *source, uint64_t at,
                              uint64_t sub)
{
	struct command c = {.kind = COMMAND_CREATE,
	                    .path = span_str(path),
	                    .fork = true,
	                    .fork_source = span_str(source),
	                    .fork_offset_present = true,
	                    .fork_offset = at,
	                    .fork_sub_offset = sub};
	store_execute(f->store, &c);
	return c;
}

static void assert_messages(struct fixture *f, const char *path, const char *want)
{
	struct stream *stream = state_find(store_view(f->store), span_str(path));
	char text[64] = "";
	assert_int_equal(store_scan(f->store, stream, 0, stream->tail, 1 << 20, collect, text),
	                 STORE_READ_OK);
	assert_string_equal(text, want);
}

/* By bytes and by messages alike, from the ring and from rows; and so do forks of the fork. */
static void test_fork_within_an_append_reads_alike(void **state)
{
	struct fixture *f = *state;
	create(f, "/s", "text/plain");
	append(f, "/s", "text/plain", SPAN("abcdef"));
	assert_int_equal(fork_of(f, "/f", "/s", 3, 0).verdict, VERDICT_CREATED);
	append(f, "/f", "text/plain", SPAN("XYZ"));
	/* Of the append "abc" that /f shows, not of the one that /s has. */
	assert_int_equal(fork_of(f, "/g", "/f", 0, 5).verdict, VERDICT_FORK_SUB_OFFSET);
	assert_int_equal(fork_of(f, "/g", "/f", 0, 2).verdict, VERDICT_CREATED);
	for (int round = 0; round < 2; round++) {
		assert_content(f, "/f", 0, SPAN("abcXYZ"));
		assert_messages(f, "/f", "abc;XYZ;");
		assert_messages(f, "/g", "ab;");
		assert_messages(f, "/s", "abcdef;");
		checkpoint_now(f);
		store_close(&f->store);
		open_store(f);
	}
}

/* All pages of a stream, as positions. */
static size_t pages_of(struct fixture *f, size_t bytes, uint64_t *ends)
{
	struct stream *stream = state_find(store_view(f->store), SPAN("/p"));
	size_t count = 0;
	for (uint64_t at = 0; at < stream->tail; at = ends[count++])
		ends[count] = store_page_end(f->store, stream, at, stream->tail, bytes);
	return count;
}

static void test_pages_end_alike_in_ring_and_rows(void **state)
{
	struct fixture *f = *state;
	enum { APPENDS = 200, PAGES_MAX = 1000 };
	static uint64_t ring[PAGES_MAX], rows[PAGES_MAX];
	static const size_t sizes[] = {100, 1000, 5000, 20000};
	static uint8_t body[3000];
	store_close(&f->store);
	f->options.maintain = false;
	open_store(f);
	create(f, "/p", "a/b");
	uint64_t end = 0, ends[APPENDS];
	for (size_t i = 0; i < APPENDS; i++)
		ends[i] = end =
		        append(f, "/p", "a/b", span_of(body, 1 + i * 977 % sizeof body)).tail;
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t count = pages_of(f, sizes[k], ring);
		for (size_t i = 0, a = 0; i < count;
		     i++) { /* the last append that fits, or one that does not */
			uint64_t from = i > 0 ? ring[i - 1] : 0;
			while (ends[a] <= from)
				a++;
			while (a + 1 < APPENDS && ends[a + 1] <= from + sizes[k])
				a++;
			assert_int_equal(ring[i], ends[a]);
		}
	}
	size_t ring_count = pages_of(f, 5000, ring);
	checkpoint_now(f);
	store_close(&f->store);
	open_store(f); /* what was in the ring's reach is forgotten */
	assert_int_equal(pages_of(f, 5000, rows), ring_count);
	assert_memory_equal(rows, ring, ring_count * sizeof *rows);
}

static void test_delete_and_create_again(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 20; i++) {
		create(f, "/d", "a/b");
		append(f, "/d", "a/b", SPAN("old"));
		if (i % 3 == 0)
			checkpoint_now(f);
		assert_content(f, "/d", 0, SPAN("old"));
		struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/d")};
		store_execute(f->store, &c);
		assert_int_equal(c.verdict, VERDICT_OK);
		assert_null(state_find(store_view(f->store), SPAN("/d")));
	}
}

static void test_producers_survive(void **state)
{
	struct fixture *f = *state;
	create(f, "/p", "a/b");
	for (int round = 0; round < 3; round++) {
		uint32_t size = 1;
		struct command c = {.kind = COMMAND_APPEND,
		                    .path = SPAN("/p"),
		                    .content_type = SPAN("a/b"),
		                    .body = {&size, 1, SPAN("x")},
		                    .producer = {true, SPAN("me"), 0, (uint64_t)round}};
		store_execute(f->store, &c);
		assert_int_equal(c.verdict, VERDICT_OK);
		store_execute(f->store, &c);
		assert_int_equal(c.verdict, VERDICT_DUPLICATE);
		if (round == 1)
			checkpoint_now(f);
		store_close(&f->store);
		open_store(f);
	}
	assert_content(f, "/p", 0, SPAN("xxx"));
}

static void test_retention_bounds_the_file(void **state)
{
	struct fixture *f = *state;
	store_close(&f->store);
	f->options.retention_bytes = 1 << 20;
	open_store(f);
	create(f, "/r", "a/b");
	uint8_t body[4096] = {0};
	struct store_status status;
	for (int i = 0; i < 8000; i++)
		assert_int_equal(append(f, "/r", "a/b", span_of(body, sizeof body)).verdict,
		                 VERDICT_OK);
	usleep(200000);
	store_advance(f->store, 0);
	store_status(f->store, &status);
	struct stream *stream = state_find(store_view(f->store), SPAN("/r"));
	assert_true(stream->first > 0 && stream->tail - stream->first <= 3u << 20);
	assert_true(status.used_bytes < 12u << 20);
	struct store_slice slice;
	assert_int_equal(store_read(f->store, stream, 0, 10, 10, &slice), STORE_READ_TRIMMED);
}

static void test_full_map_refuses_and_heals(void **state)
{
	struct fixture *f = *state;
	store_close(&f->store);
	f->options.map_bytes = 16 << 20;
	open_store(f);
	create(f, "/full", "a/b");
	create(f, "/other", "a/b");
	uint8_t *body = xcalloc(1, 100000);
	struct command c = {0};
	for (int i = 0; i < 1000 && c.verdict != VERDICT_NO_SPACE; i++)
		c = append(f, "/full", "a/b", span_of(body, 100000));
	assert_int_equal(c.verdict, VERDICT_NO_SPACE);
	uint64_t tail = state_find(store_view(f->store), SPAN("/full"))->tail;
	size_t len;
	free(read_all(f, "/full", 0, &len));
	assert_int_equal(len, tail);
	struct command gone = {.kind = COMMAND_DELETE, .path = SPAN("/full")};
	store_execute(f->store, &gone);
	assert_int_equal(gone.verdict, VERDICT_OK);
	for (int i = 0; i < 200 && c.verdict != VERDICT_OK; i++) {
		usleep(20000);
		c = append(f, "/other", "a/b", SPAN("x"));
	}
	assert_int_equal(c.verdict, VERDICT_OK);
	free(body);
}

/* In a process of its own: writes to data.mdb and stands still, from one byte to the next. */
static void hold_writer(struct fixture *f, int go, int said)
{
	MDB_env *env;
	MDB_txn *txn;
	char byte = 0;
	int rc = mdb_env_create(&env) | mdb_env_set_maxdbs(env, 16);
	rc |= tables_env_open(env, f->dir, 0) | mdb_txn_begin(env, NULL, 0, &txn);
	if (rc != 0 || write(said, "", 1) != 1 || read(go, &byte, 1) != 1)
		_exit(1);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	_exit(0);
}

/* The log fills because nobody can checkpoint: space would not help, and it is no hurry of theirs
 * who write. */
static void test_a_checkpoint_that_gets_nowhere(void **state)
{
	struct fixture *f = *state;
	int go[2], said[2], status;
	char byte;
	struct store_status told;
	uint8_t *body = xcalloc(1, 400000);
	create(f, "/held", "a/b");
	assert_int_equal(pipe(go) | pipe(said), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		hold_writer(f, go[0], said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	struct command c = {0};
	for (int i = 0; i < 20 && (i == 0 || c.verdict == VERDICT_OK); i++)
		c = append(f, "/held", "a/b", span_of(body, 400000));
	assert_int_equal(c.verdict, VERDICT_STALLED);
	store_status(f->store, &told);
	assert_int_equal(told.refusing, EBUSY);
	assert_non_null(strstr(told.reason, "checkpoint"));
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (int i = 0; i < 200 && c.verdict != VERDICT_OK; i++) {
		usleep(20000);
		c = append(f, "/held", "a/b", SPAN("x"));
	}
	assert_int_equal(c.verdict, VERDICT_OK);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(said[i]);
	}
	free(body);
}

/* Two processes write to one stream; both see all of it, in one order. */
static void test_two_processes(void **state)
{
	struct fixture *f = *state;
	create(f, "/two", "a/b");
	store_close(&f->store);
	pid_t child = fork();
	assert_true(child >= 0);
	open_store(f);
	const char *mine = child == 0 ? "c" : "p";
	for (int i = 0; i < 500; i++)
		check(append(f, "/two", "a/b", span_str(mine)).verdict == VERDICT_OK);
	if (child == 0) {
		store_close(&f->store);
		_exit(0);
	}
	int status;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	store_advance(f->store, 0);
	size_t len;
	char *got = read_all(f, "/two", 0, &len);
	int parents = 0;
	for (size_t i = 0; i < len; i++)
		parents += got[i] == 'p';
	assert_int_equal(len, 1000);
	assert_int_equal(parents, 500);
	free(got);
}

static void test_ttl_expires_by_itself(void **state)
{
	struct fixture *f = *state;
	struct command c = {
	        .kind = COMMAND_CREATE, .path = SPAN("/ttl"), .ttl_present = true, .ttl_s = 1};
	store_execute(f->store, &c);
	checkpoint_now(f);
	for (int i = 0; i < 200 && store_view(f->store)->streams_count > 0; i++) {
		usleep(20000);
		store_advance(f->store, 0);
	}
	assert_int_equal(store_view(f->store)->streams_count, 0);
}

static struct command *created_by(struct command *c, const char *path, const char *source)
{
	*c = (struct command){.kind = COMMAND_CREATE,
	                      .path = span_str(path),
	                      .fork = source != NULL,
	                      .fork_source = source != NULL ? span_str(source) : (struct span){0},
	                      .expires_present = true,
	                      .expires_at_ms = (int64_t)clock_wall_ms() +
	                                       (source != NULL ? 86400000 : 2000)};
	return c;
}

/* More than one round of expiry takes: all of them expired and kept for their forks, in front of
 * one that only has to go. */
static void test_expired_sources_of_forks_do_not_stop_expiry(void **state)
{
	struct fixture *f = *state;
	enum { SOURCES = 1001 };
	struct command *commands = xcalloc(2 * SOURCES + 1, sizeof *commands);
	char(*paths)[2][16] = xcalloc(SOURCES, sizeof *paths);
	store_close(&f->store);
	f->options.limits.streams_max = 3 * SOURCES;
	open_store(f);
	for (int i = 0; i < SOURCES; i++) {
		snprintf(paths[i][0], sizeof paths[i][0], "/s%d", i);
		snprintf(paths[i][1], sizeof paths[i][1], "/f%d", i);
		store_submit(f->store, created_by(&commands[2 * i], paths[i][0], NULL));
		store_submit(f->store, created_by(&commands[2 * i + 1], paths[i][1], paths[i][0]));
	}
	for (size_t done = 0; done < 2 * SOURCES; usleep(1000))
		done += store_collect(f->store);
	store_execute(f->store, created_by(&commands[2 * SOURCES], "/last", NULL));
	assert_int_equal(commands[2 * SOURCES].verdict, VERDICT_CREATED);
	for (int i = 0; i < 1000 && state_find(store_view(f->store), SPAN("/last")) != NULL; i++) {
		usleep(20000);
		store_advance(f->store, 0);
	}
	assert_null(state_find(store_view(f->store), SPAN("/last")));
	assert_true(state_find(store_view(f->store), SPAN("/s0"))->deleted);
	struct command gone = {.kind = COMMAND_DELETE, .path = SPAN("/f0")};
	store_execute(f->store, &gone); /* the last fork takes its source along */
	assert_null(state_find(store_view(f->store), SPAN("/s0")));
	free(commands);
	free(paths);
}

static void test_backup_restores(void **state)
{
	struct fixture *f = *state;
	char path[128], reason[256], command[512];
	create(f, "/b", "a/b");
	append(f, "/b", "a/b", SPAN("kept"));
	snprintf(path, sizeof path, "%s.backup", f->dir);
	assert_int_equal(store_backup(f->store, path, reason), 0);
	append(f, "/b", "a/b", SPAN("lost"));
	store_close(&f->store);
	snprintf(command, sizeof command, "rm -rf %s/* && mv %s %s/data.mdb", f->dir, path, f->dir);
	assert_int_equal(system(command), 0);
	open_store(f);
	assert_content(f, "/b", 0, SPAN("kept"));
	struct span epoch;
	assert_true(state_kv_get(store_view(f->store), SPAN("store.epoch"), &epoch));
	append(f, "/b", "a/b", SPAN("!"));
	assert_content(f, "/b", 0, SPAN("kept!"));
}

static uint64_t epoch_of(struct store *store)
{
	struct span value;
	char text[32] = "";
	while (store_advance(store, 0)) {
	}
	if (!state_kv_get(store_view(store), SPAN("store.epoch"), &value))
		return 0;
	memcpy(text, value.at, value.len < 31 ? value.len : 31);
	return strtoull(text, NULL, 10);
}

/* With $D for the directory. */
static void shell(struct fixture *f, const char *text)
{
	char command[600];
	snprintf(command, sizeof command, "D=%s; %s", f->dir, text);
	assert_int_equal(system(command), 0);
}

/* Leaves the store closed, and what a backup of it is in DIR.backup. */
static void back_up(struct fixture *f)
{
	char path[128], reason[256];
	create(f, "/b", "a/b");
	append(f, "/b", "a/b", SPAN("kept"));
	snprintf(path, sizeof path, "%s.backup", f->dir);
	assert_int_equal(store_backup(f->store, path, reason), 0);
	store_close(&f->store);
}

/* As releases before made it: without a word of what it is. */
static void forget_that_it_is_a_backup(struct fixture *f)
{
	char path[128];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi meta;
	MDB_val key = {3, (void *)(uintptr_t) "log"};
	snprintf(path, sizeof path, "%s.backup", f->dir);
	assert_int_equal(mdb_env_create(&env) | mdb_env_set_maxdbs(env, 16), 0);
	assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
	assert_int_equal(mdb_del(txn, meta, &key, NULL), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

/* Opens in a process that dies at its n-th step. Did it? */
static bool opener_dies(struct fixture *f, int n)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char reason[256];
		die_at = n;
		int error = store_open(&f->store, &f->options, reason);
		die_at = 0;
		_exit(error != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
	return WEXITSTATUS(status) == 9;
}

/* Whenever the first process dies that opens a restored backup: the next one raises the epoch, or
 * finds it raised. */
static void restore_and_crash(struct fixture *f, int stride)
{
	bool died = true;
	f->options.ring_bytes = 1 << 20;
	f->options.maintain = false; /* its steps would come at any time */
	for (int n = 1; died; n += stride) {
		shell(f, "rm -rf $D/* && cp $D.backup $D/data.mdb");
		died = opener_dies(f, n);
		open_store(f);
		if (epoch_of(f->store) == 0)
			fail_msg("died at step %d: the epoch is not raised", n);
		assert_content(f, "/b", 0, SPAN("kept"));
		store_close(&f->store);
	}
	open_store(f);
}

static void test_restore_then_crash_raises_the_epoch(void **state)
{
	struct fixture *f = *state;
	back_up(f);
	restore_and_crash(f, 1);
	shell(f, "rm $D.backup");
}

static void test_restore_of_an_older_backup_then_crash(void **state)
{
	struct fixture *f = *state;
	back_up(f);
	forget_that_it_is_a_backup(f);
	restore_and_crash(f, 3);
	shell(f, "rm $D.backup");
}

/* ---- power loss ---- */

/* As a process that opens the store, until power goes at its n-th step. */
static bool power_goes(struct fixture *f, int n, enum loss kind)
{
	loss = kind;
	bool died = opener_dies(f, n);
	loss = LOSS_NONE;
	return died;
}

static void test_a_first_start_cut_short_by_power_loss_opens_again(void **state)
{
	struct fixture *f = *state;
	store_close(&f->store);
	f->options.ring_bytes = 1 << 20;
	f->options.maintain = false;
	syncs_pretended = true;
	bool died = true;
	for (int n = 1; died; n++) {
		char reason[256] = "";
		shell(f, "rm -rf $D/*");
		died = power_goes(f, n, (enum loss)(n % LOSS_WAYS + 1));
		if (store_open(&f->store, &f->options, reason) != 0)
			fail_msg("power lost at step %d: %s", n, reason);
		create(f, "/p", "a/b");
		assert_int_equal(append(f, "/p", "a/b", SPAN("x")).verdict, VERDICT_OK);
		store_close(&f->store);
	}
	syncs_pretended = false;
	open_store(f);
}

/* Whoever copied a backup here did not sync it. */
static void copied_without_sync(struct fixture *f)
{
	char path[128];
	snprintf(path, sizeof path, "%s/data.mdb", f->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	unsynced[unsynced_count++] = (struct unsynced){fd, file_of(fd), 0, lseek(fd, 0, SEEK_END)};
}

/* Before it has a log nothing was acknowledged, and it may be copied anew. Then it is there for
 * good. */
static void test_a_restored_backup_that_has_a_log_is_on_the_disk(void **state)
{
	struct fixture *f = *state;
	int with_log = 0;
	back_up(f);
	f->options.ring_bytes = 1 << 20;
	f->options.maintain = false;
	syncs_pretended = true;
	bool died = true;
	for (int n = 1; died; n++) {
		char path[128];
		shell(f, "rm -rf $D/* && cp $D.backup $D/data.mdb");
		copied_without_sync(f);
		died = power_goes(f, n, (enum loss)(n % LOSS_WAYS + 1));
		close(unsynced[0].fd);
		unsynced_count = 0;
		snprintf(path, sizeof path, "%s/ring", f->dir);
		if (access(path, F_OK) != 0)
			continue;
		with_log++;
		open_store(f);
		assert_content(f, "/b", 0, SPAN("kept"));
		store_close(&f->store);
	}
	syncs_pretended = false;
	assert_true(with_log > 3);
	shell(f, "rm -rf $D/* $D.backup");
	open_store(f);
}

/* ---- a commit of LMDB that fails ---- */

static struct ring_control *control;
static char locked_at[sizeof data_calls]; /* beside data_calls: was the checkpoint's lock held? */

static void look_at_lock(void)
{
	bool held = pthread_mutex_trylock(&control->checkpoint_lock) != 0;
	if (!held)
		pthread_mutex_unlock(&control->checkpoint_lock);
	locked_at[strlen(data_calls) - 1] = held ? 'h' : '-';
}

static void watch_data(struct fixture *f)
{
	char path[128];
	snprintf(path, sizeof path, "%s/control", f->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(control != MAP_FAILED);
	close(fd);
	memset(data_calls, 0, sizeof data_calls);
	on_data_sync = look_at_lock;
}

static void watch_no_more(void)
{
	on_data_sync = NULL;
	munmap(control, sizeof *control);
}

static void assert_calls(const char *want)
{
	if (strncmp(data_calls, want, strlen(want)) != 0)
		fail_msg("data.mdb: %s instead of %s", data_calls, want);
	memset(data_calls, 0, sizeof data_calls);
}

/* It may be on the disk all the same: that is settled before anybody's next writes over pages of
 * the other version; by whoever holds the lock, or else first thing in the next. */
static void test_a_failed_commit_is_synced_before_the_next(void **state)
{
	struct fixture *f = *state;
	char reason[256];
	store_close(&f->store);
	f->options.maintain = false;
	open_store(f);
	create(f, "/c", "a/b");
	append(f, "/c", "a/b", SPAN("<one>"));
	watch_data(f);
	data_syncs_fail = 1;
	assert_int_equal(store_checkpoint(f->store, reason), EIO);
	assert_calls("wfs");
	assert_int_equal(locked_at[2], 'h');
	data_syncs_fail = 2;
	assert_int_equal(store_checkpoint(f->store, reason), EIO);
	assert_calls("wff");
	assert_int_equal(store_checkpoint(f->store, reason), 0);
	assert_calls("sw");
	watch_no_more();
	store_close(&f->store);
	open_store(f);
	assert_content(f, "/c", 0, SPAN("<one>"));
}

/* "1 violation: keep the directory, restore a backup" it said, of a disk that was full. */
static void test_what_a_failing_disk_keeps_from_being_checked_is_no_violation(void **state)
{
	struct fixture *f = *state;
	struct store_check_totals totals;
	store_close(&f->store);
	f->options.maintain = false;
	open_store(f);
	create(f, "/c", "a/b");
	append(f, "/c", "a/b", SPAN("<one>"));
	watch_data(f);
	data_syncs_fail = 1;
	assert_int_equal(store_check(f->store, print_finding, NULL, &totals), 0);
	assert_string_equal(totals.unfinished, "the log cannot be applied: Input/output error");
	watch_no_more();
	assert_sound(f);
}

/* It is answered before anybody is served; and what is not answered stops the start. */
static void test_an_epoch_that_cannot_be_raised_stops_the_start(void **state)
{
	struct fixture *f = *state;
	char reason[256] = "";
	back_up(f);
	shell(f, "rm -rf $D/* && mv $D.backup $D/data.mdb");
	for (int i = 0; i < 2; i++) {
		ring_syncs_fail = 1000;
		assert_int_equal(store_open(&f->store, &f->options, reason), EIO);
		assert_null(f->store);
	}
	ring_syncs_fail = 0;
	open_store(f);
	uint64_t epoch = epoch_of(f->store);
	assert_true(epoch > 0);
	store_close(&f->store);
	open_store(f);
	assert_int_equal(epoch_of(f->store), epoch);
}

/* Names that a failed sync left in doubt are synced at each first open. */
static void test_directories_are_synced_at_each_first_open(void **state)
{
	struct fixture *f = *state;
	char reason[256] = "";
	store_close(&f->store);
	for (int i = 0; i < 2; i++) {
		dir_syncs_fail = 1;
		assert_int_equal(store_open(&f->store, &f->options, reason), EIO);
		assert_non_null(strstr(reason, "directory"));
	}
	dir_syncs = 0;
	open_store(f);
	assert_int_equal(dir_syncs, 2); /* its own and its parent's */
}

/* ---- a ring that is lost or damaged ---- */

/* Five messages in the ring, each durable before the next, and none in LMDB; closed. */
static void fill_ring(struct fixture *f, const char *path)
{
	static const char *const texts[] = {"<one>", "<two>", "<three>", "<four>", "<five>"};
	store_close(&f->store);
	f->options.maintain = false;
	open_store(f);
	create(f, path, "a/b");
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(append(f, path, "a/b", span_str(texts[i])).verdict, VERDICT_OK);
	store_close(&f->store);
}

static void refuses(struct fixture *f, const char *why)
{
	char reason[256] = "";
	assert_int_equal(store_open(&f->store, &f->options, reason), EBADMSG);
	assert_null(f->store);
	if (strstr(reason, why) == NULL || strstr(reason, "store.recover") == NULL)
		fail_msg("'%s' does not say '%s'", reason, why);
}

/* As store.recover tells it to. */
static void opens_truncated(struct fixture *f)
{
	f->options.truncate = true;
	open_store(f);
	assert_int_equal(epoch_of(f->store), 1);
	f->options.truncate = false;
}

static void test_damage_in_the_log_stops_the_start(void **state)
{
	struct fixture *f = *state;
	fill_ring(f, "/t");
	shell(f,
	      "at=$(grep -abo '<three>' $D/ring | head -1 | cut -d: -f1) && "
	      "printf X | dd of=$D/ring bs=1 seek=$at conv=notrunc status=none && rm $D/control");
	refuses(f, "damaged");
	refuses(f, "damaged");
	opens_truncated(f);
	assert_content(f, "/t", 0, SPAN("<one><two>"));
	append(f, "/t", "a/b", SPAN("<six>"));
	store_close(&f->store);
	open_store(f);
	assert_content(f, "/t", 0, SPAN("<one><two><six>"));
	assert_int_equal(epoch_of(f->store), 1);
}

/* Before its first checkpoint, and after one that needs it or does not. */
static void lose_ring(struct fixture *f, const char *how, const char *why)
{
	fill_ring(f, "/t");
	shell(f, how);
	refuses(f, why);
	opens_truncated(f);
	fill_ring(f, "/u");
	open_store(f);
	checkpoint_now(f);
	store_close(&f->store);
	shell(f, how);
	refuses(f, why);
	f->options.truncate = true;
	open_store(f);
	f->options.truncate = false;
	assert_int_equal(epoch_of(f->store), 2);
	assert_content(f, "/u", 0, SPAN("<one><two><three><four><five>"));
	append(f, "/u", "a/b", SPAN("<six>"));
	store_close(&f->store);
	open_store(f);
	assert_content(f, "/u", 0, SPAN("<one><two><three><four><five><six>"));
}

static void test_a_missing_ring_is_not_a_restored_backup(void **state)
{
	lose_ring(*state, "rm $D/ring", "missing");
}

static void test_a_shorter_ring_is_not_a_restored_backup(void **state)
{
	lose_ring(*state, "truncate -s 2M $D/ring", "instead of");
}

static void test_a_tiny_ring_is_not_a_restored_backup(void **state)
{
	lose_ring(*state, "truncate -s 50000 $D/ring", "instead of");
}

static void test_a_ring_of_garbage_is_not_a_restored_backup(void **state)
{
	lose_ring(*state, "head -c 4194304 /dev/urandom > $D/ring", "not the one");
}

static void test_a_ring_of_zeros_is_not_a_restored_backup(void **state)
{
	lose_ring(*state, "head -c 4194304 /dev/zero > $D/ring", "not the one");
}

/* ---- a sync that fails, and pages that are read again as they were ---- */

static char ring_path[128];

static void zero_the_last_append(void)
{
	static uint8_t bytes[4 << 20];
	int fd = open(ring_path, O_RDWR | O_CLOEXEC);
	ssize_t len = pread(fd, bytes, sizeof bytes, 0);
	uint8_t *at = memmem(bytes, (size_t)len, "<never>", 7);
	check(at != NULL);
	memset(at, 0, 7);
	check(pwrite(fd, at, 7, at - bytes) == 7);
	close(fd);
}

/* Nothing of it was promised; and whoever had seen it at the head of the log forgets it. */
static void test_the_end_of_the_log_is_lost_by_a_failed_sync(void **state)
{
	struct fixture *f = *state;
	snprintf(ring_path, sizeof ring_path, "%s/ring", f->dir);
	create(f, "/e", "a/b");
	append(f, "/e", "a/b", SPAN("<one>"));
	on_failed_sync = zero_the_last_append;
	ring_syncs_fail = 1;
	assert_int_equal(append(f, "/e", "a/b", SPAN("<never>")).verdict, VERDICT_IO_ERROR);
	on_failed_sync = NULL;
	assert_int_equal(append(f, "/e", "a/b", SPAN("<two>")).verdict, VERDICT_OK);
	assert_content(f, "/e", 0, SPAN("<one><two>"));
	store_close(&f->store);
	open_store(f);
	assert_content(f, "/e", 0, SPAN("<one><two>"));
}

/* A record that was torn by a crash ends the log; everything before it counts. */
static void test_torn_tail(void **state)
{
	struct fixture *f = *state;
	char command[256];
	create(f, "/t", "a/b");
	append(f, "/t", "a/b", SPAN("one"));
	checkpoint_now(f);
	store_close(&f->store);
	f->options.maintain = false; /* nothing is checkpointed from here on */
	open_store(f);
	append(f, "/t", "a/b", SPAN("two"));
	struct store_status status;
	store_status(f->store, &status);
	append(f, "/t", "a/b", SPAN("torn"));
	store_close(&f->store);
	snprintf(command, sizeof command,
	         "printf XXXX | dd of=%s/ring bs=1 seek=%llu conv=notrunc status=none && rm "
	         "%s/control",
	         f->dir, (unsigned long long)status.durable + 60, f->dir);
	assert_int_equal(system(command), 0);
	f->options.maintain = true;
	open_store(f);
	assert_content(f, "/t", 0, SPAN("onetwo"));
	append(f, "/t", "a/b", SPAN("three"));
	assert_content(f, "/t", 0, SPAN("onetwothree"));
}

/* A fork may take many tiny messages along: their sizes weigh more than they do. */
static void test_fork_prefix_of_tiny_messages(void **state)
{
	struct fixture *f = *state;
	enum { TINY = 500000 };
	uint32_t *sizes = xmalloc(4 * TINY);
	uint8_t *bytes = xmalloc(2 * TINY);
	for (size_t i = 0; i < TINY; i++) {
		sizes[i] = 2;
		memcpy(bytes + 2 * i, "1,", 2);
	}
	create(f, "/j", "application/json");
	struct command c = {.kind = COMMAND_APPEND,
	                    .path = SPAN("/j"),
	                    .content_type = SPAN("application/json"),
	                    .body = {sizes, TINY, {bytes, 2 * TINY}}};
	store_execute(f->store, &c);
	assert_int_equal(c.verdict, VERDICT_OK);
	/* Round and round the ring, so that some fork meets its end. */
	for (int i = 0; i < 40; i++) {
		char path[16];
		snprintf(path, sizeof path, "/f%d", i);
		struct command fork = {.kind = COMMAND_CREATE,
		                       .path = span_str(path),
		                       .fork = true,
		                       .fork_source = SPAN("/j"),
		                       .fork_offset_present = true,
		                       .fork_sub_offset = i % 2 == 0 ? TINY : TINY / 4};
		store_execute(f->store, &fork);
		assert_int_equal(fork.verdict,
		                 i % 2 == 0 ? VERDICT_FORK_SUB_OFFSET : VERDICT_CREATED);
	}
	free(sizes);
	free(bytes);
}

static int setup_roomy(void **state)
{
	if (setup(state) != 0)
		return 1;
	struct fixture *f = *state;
	char command[128];
	store_close(&f->store);
	snprintf(command, sizeof command, "rm -rf %s/*", f->dir);
	assert_int_equal(system(command), 0);
	f->options.ring_bytes = 32 << 20;
	open_store(f);
	return 0;
}

/* What never fits the ring is refused at once, and the others go on. */
static void test_larger_than_any_record(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = xcalloc(1, 2 << 20);
	create(f, "/a", "text/plain");
	for (int i = 0; i < 20; i++)
		assert_int_equal(append(f, "/a", "text/plain", span_of(bytes, 2 << 20)).verdict,
		                 VERDICT_NO_SPACE);
	assert_int_equal(append(f, "/a", "text/plain", SPAN("small")).verdict, VERDICT_OK);
	assert_content(f, "/a", 0, SPAN("small"));
	free(bytes);
}

static size_t done;

static void count_done(struct command *command)
{
	assert_int_equal(command->verdict, VERDICT_OK);
	done++;
}

/* Long sequence names, many in one batch. */
static void test_long_stream_seqs(void **state)
{
	struct fixture *f = *state;
	enum { COMMANDS = 64, SEQ_BYTES = 4096 };
	static struct command commands[COMMANDS];
	static uint8_t seqs[COMMANDS][SEQ_BYTES];
	static const uint32_t one = 1;
	done = 0;
	create(f, "/s", "text/plain");
	for (size_t i = 0; i < COMMANDS; i++) {
		memset(seqs[i], 'a', SEQ_BYTES);
		seqs[i][SEQ_BYTES - 1] = (uint8_t)(1 + i);
		commands[i] = (struct command){.kind = COMMAND_APPEND,
		                               .path = SPAN("/s"),
		                               .content_type = SPAN("text/plain"),
		                               .body = {&one, 1, SPAN("x")},
		                               .stream_seq = span_of(seqs[i], SEQ_BYTES),
		                               .done = count_done};
	}
	for (size_t i = 0; i < COMMANDS; i++)
		store_submit(f->store, &commands[i]);
	for (int i = 0; i < 10000 && done < COMMANDS; i++) {
		store_collect(f->store);
		usleep(1000);
	}
	assert_int_equal(done, COMMANDS);
}

/* A stream that is written for ever keeps in memory only what the ring can hold of it. */
static void test_memory_of_a_busy_stream_is_bounded(void **state)
{
	struct fixture *f = *state;
	enum { ROUNDS = 60, COMMANDS = 500, BYTES = 300 };
	static struct command commands[COMMANDS];
	static const uint8_t bytes[BYTES];
	static const uint32_t size = BYTES;
	create(f, "/busy", "text/plain");
	for (size_t round = 0; round < ROUNDS; round++) {
		done = 0;
		for (size_t i = 0; i < COMMANDS; i++) {
			commands[i] = (struct command){.kind = COMMAND_APPEND,
			                               .path = SPAN("/busy"),
			                               .content_type = SPAN("text/plain"),
			                               .body = {&size, 1, {bytes, BYTES}},
			                               .done = count_done};
			store_submit(f->store, &commands[i]);
		}
		for (int i = 0; i < 10000 && done < COMMANDS; i++) {
			store_collect(f->store);
			usleep(200);
		}
		assert_int_equal(done, COMMANDS);
	}
	struct stream *stream = state_find(store_view(f->store), SPAN("/busy"));
	assert_int_equal(stream->tail, (uint64_t)ROUNDS * COMMANDS * BYTES);
	assert_true(stream->pieces_count < f->options.ring_bytes / BYTES);
	assert_true(stream->pieces_room <= 2 * f->options.ring_bytes / BYTES);
}

/* ---- lapped ---- */

enum { OVERRUNS = 96, OVERRUN_BYTES = 64000, BATCH = 8, BATCH_BYTES = 2000 };

/* Appends that nobody waits for. */
struct load {
	struct command commands[OVERRUNS];
	uint32_t size;
	uint8_t body[OVERRUN_BYTES];
};

static void wait_durable(struct store *store, uint64_t from)
{
	while (store_durable(store) < from)
		usleep(500);
}

/* The log goes once round while the view stays where it is. */
static void overrun(struct store *store, struct load *load)
{
	uint64_t durable = store_durable(store);
	load->size = OVERRUN_BYTES;
	memset(load->body, 'z', OVERRUN_BYTES);
	for (int i = 0; i < OVERRUNS; i++) {
		load->commands[i] = (struct command){
		        .kind = COMMAND_APPEND,
		        .path = SPAN("z"),
		        .content_type = SPAN("text/plain"),
		        .body = {&load->size, 1, span_of(load->body, OVERRUN_BYTES)}};
		store_submit(store, &load->commands[i]);
		store_kick(store);
	}
	wait_durable(store, durable + (uint64_t)OVERRUNS * OVERRUN_BYTES);
}

struct lapping {
	struct store *store;
	struct load *load;
	bool within; /* overrun while a record is being shown */
	unsigned appends, strange, lapped;
};

static void look(void *arg, const struct store_change *change)
{
	struct lapping *l = arg;
	if (change->lapped) {
		l->lapped++;
		return;
	}
	struct span bytes = change->entry->data.bytes;
	if (change->entry->kind != ENTRY_APPEND || l->lapped != 0)
		return;
	bool fits = bytes.len == BATCH_BYTES;
	for (size_t i = 0; fits && i < bytes.len; i++)
		fits = bytes.at[i] == 'a' + l->appends;
	l->strange += !fits;
	if (l->appends++ == 0 && l->within)
		overrun(l->store, l->load);
}

/* A commit that failed, and whose process ended then, may show in memory only. */
static void test_who_is_alone_syncs_data_before_it_is_believed(void **state)
{
	struct fixture *f = *state;
	char reason[256] = "";
	f->options.maintain = false;
	store_close(&f->store);
	data_syncs_fail = 1;
	assert_int_equal(store_open(&f->store, &f->options, reason), EIO);
	assert_non_null(strstr(reason, "cannot sync"));
	watch_data(f);
	open_store(f);
	assert_calls("s");
	watch_no_more();
}

/* One record of several appends is there, and not yet seen. */
static void put_batch(struct fixture *f, struct command commands[BATCH],
                      uint8_t bodies[BATCH][BATCH_BYTES])
{
	static const uint32_t size = BATCH_BYTES;
	uint64_t durable = store_durable(f->store);
	for (int i = 0; i < BATCH; i++) {
		memset(bodies[i], 'a' + i, BATCH_BYTES);
		commands[i] = (struct command){.kind = COMMAND_APPEND,
		                               .path = SPAN("a"),
		                               .content_type = SPAN("text/plain"),
		                               .body = {&size, 1, span_of(bodies[i], BATCH_BYTES)}};
		store_submit(f->store, &commands[i]);
	}
	store_kick(f->store);
	wait_durable(f->store, durable + BATCH * BATCH_BYTES);
}

static void lap(struct fixture *f, bool within)
{
	static struct load load;
	static struct command commands[BATCH];
	static uint8_t bodies[BATCH][BATCH_BYTES];
	store_close(&f->store);
	f->options.gather = true; /* nothing is taken before the kick: one record */
	open_store(f);
	create(f, "a", "text/plain");
	create(f, "z", "text/plain");
	struct lapping l = {.store = f->store, .load = &load, .within = within};
	store_set_follower(f->store, look, &l);
	put_batch(f, commands, bodies);
	if (!within)
		overrun(f->store, &load);
	size_t collected = 0;
	while (collected < BATCH + OVERRUNS)
		collected += store_collect(f->store);
	store_set_follower(f->store, NULL, NULL);
	assert_int_equal(l.strange, 0);
	assert_int_equal(l.lapped, 1);
	assert_int_equal(l.appends, within ? BATCH : 0);
	assert_int_equal(state_find(store_view(f->store), SPAN("a"))->tail, BATCH * BATCH_BYTES);
	assert_int_equal(state_find(store_view(f->store), SPAN("z"))->tail,
	                 OVERRUNS * OVERRUN_BYTES);
}

/* A loop that slept while the log went round starts over and says so, once. */
static void test_lapped_follower(void **state)
{
	lap(*state, false);
}

/* What it shows of a record is of that record, whatever happens to the ring meanwhile. */
static void test_lapped_within_a_record(void **state)
{
	lap(*state, true);
}

/* Of this process's thread of that name; 100: there is none. */
static int nice_of(const char *name)
{
	glob_t found;
	int nice = 100;
	assert_int_equal(glob("/proc/self/task/*/comm", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char text[32] = "";
		unsigned thread;
		FILE *file = fopen(found.gl_pathv[i], "r");
		if (file == NULL)
			continue;
		if (fgets(text, sizeof text, file) != NULL &&
		    strcmp(strtok(text, "\n"), name) == 0 &&
		    sscanf(found.gl_pathv[i], "/proc/self/task/%u", &thread) == 1)
			nice = getpriority(PRIO_PROCESS, thread);
		fclose(file);
	}
	globfree(&found);
	return nice;
}

static bool may_rise_by(int levels)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - levels) == 0 ? 0
		                                                                               : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status == 0;
}

static void test_commits_go_before_others(void **state)
{
	struct fixture *f = *state;
	int own = getpriority(PRIO_PROCESS, 0);
	assert_int_equal(nice_of("commit"), own);
	store_close(&f->store);
	f->options.commit_priority = 3;
	open_store(f);
	assert_int_equal(nice_of("commit"), may_rise_by(3) ? own - 3 : own);
	assert_int_equal(nice_of("maintain"), own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_reads_ring_and_rows_alike),
	        T(test_more_than_the_ring),
	        T(test_messages_boundaries_and_forks),
	        T(test_fork_within_an_append_reads_alike),
	        T(test_pages_end_alike_in_ring_and_rows),
	        T(test_delete_and_create_again),
	        T(test_producers_survive),
	        T(test_what_is_executed_is_done_among_others),
	        T(test_retention_bounds_the_file),
	        T(test_full_map_refuses_and_heals),
	        T(test_a_checkpoint_that_gets_nowhere),
	        T(test_two_processes),
	        T(test_lapped_follower),
	        T(test_lapped_within_a_record),
	        T(test_ttl_expires_by_itself),
	        T(test_expired_sources_of_forks_do_not_stop_expiry),
	        T(test_backup_restores),
	        T(test_restore_then_crash_raises_the_epoch),
	        T(test_restore_of_an_older_backup_then_crash),
	        T(test_a_first_start_cut_short_by_power_loss_opens_again),
	        T(test_a_restored_backup_that_has_a_log_is_on_the_disk),
	        T(test_a_failed_commit_is_synced_before_the_next),
	        T(test_what_a_failing_disk_keeps_from_being_checked_is_no_violation),
	        T(test_an_epoch_that_cannot_be_raised_stops_the_start),
	        T(test_directories_are_synced_at_each_first_open),
	        T(test_damage_in_the_log_stops_the_start),
	        T(test_a_missing_ring_is_not_a_restored_backup),
	        T(test_a_shorter_ring_is_not_a_restored_backup),
	        T(test_a_tiny_ring_is_not_a_restored_backup),
	        T(test_a_ring_of_garbage_is_not_a_restored_backup),
	        T(test_a_ring_of_zeros_is_not_a_restored_backup),
	        T(test_the_end_of_the_log_is_lost_by_a_failed_sync),
	        T(test_torn_tail),
	        T(test_who_is_alone_syncs_data_before_it_is_believed),
	        T(test_larger_than_any_record),
	        T(test_long_stream_seqs),
	        T(test_memory_of_a_busy_stream_is_bounded),
	        T(test_commits_go_before_others),
#undef T
	        cmocka_unit_test_setup_teardown(test_fork_prefix_of_tiny_messages, setup_roomy,
	                                        teardown),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
