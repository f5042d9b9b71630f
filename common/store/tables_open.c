/* Opening and making data.mdb: one that is not whole is refused. */
#include "common/store/tables_parts.h"
#include "common/base/check.h"
#include "common/base/map_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of data.mdb, in `meta`: whose it is, and which format (docs/storage.md). Written in the machine's
 * order of bytes, so that those of another order are not taken for ours. */
static const uint64_t format_mark = 0x5253 << 16, format_bits = 0xffff;

enum {
	TABLES_MAX = 16,
	FREE_TABLE = 0, /* LMDB's own: which pages are free */
};

/* ---- environment ---- */

static int open_tables(struct tables *t, MDB_txn *txn)
{
	const struct {
		const char *name;
		MDB_dbi *dbi;
	} rows[] = {{"path", &t->path},       {"stream", &t->stream}, {"producer", &t->producer},
	            {"chunk", &t->chunk},     {"kv", &t->kv},         {"expiry", &t->expiry},
	            {"garbage", &t->garbage}, {"meta", &t->meta}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int rc = mdb_dbi_open(txn, rows[i].name, MDB_CREATE, rows[i].dbi);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int prepare(struct tables *t)
{
	MDB_txn *txn;
	uint64_t number = format_mark | TABLES_FORMAT;
	int rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = open_tables(t, txn);
	MDB_val key = {6, (void *)(uintptr_t) "format"}, value = {sizeof number, &number}, present;
	if (rc == 0)
		rc = mdb_get(txn, t->meta, &key, &present);
	if (rc == MDB_NOTFOUND)
		rc = mdb_put(txn, t->meta, &key, &value, 0);
	else if (rc == 0 && present.mv_size == sizeof number)
		memcpy(&number, present.mv_data, sizeof number);
	else if (rc == 0)
		number = 0;
	t->format = (number & ~format_bits) == format_mark ? number & format_bits : 0;
	if (rc == 0 && t->format != TABLES_FORMAT)
		rc = MDB_VERSION_MISMATCH;
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/* What has been admitted must always fit, fragments and copies of pages included: LMDB's wall
 * stands well behind the limit that admission goes by. The map is virtual; it costs nothing. */
enum { MAP_SPARE_BYTES = 64 << 20 };

uint64_t tables_map_room(uint64_t map_bytes)
{
	return (map_bytes + map_bytes / 2 + MAP_SPARE_BYTES) & ~4095ull;
}

uint64_t tables_map_within(uint64_t bytes)
{
	return bytes > MAP_SPARE_BYTES ? (bytes - MAP_SPARE_BYTES) / 3 * 2 : 0;
}

int tables_env_open(MDB_env *env, const char *dir, unsigned flags)
{
	int fd, rc = mdb_env_open(env, dir, flags, 0600);
	if (rc == 0)
		rc = mdb_env_get_fd(env, &fd);
	if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		rc = errno;
	return rc;
}

void tables_close(struct tables *tables)
{
	if (tables->env != NULL)
		mdb_env_close(tables->env);
	tables->env = NULL;
}

/* ---- backups ---- */

static int put_backup_mark(MDB_env *env)
{
	const struct tables_log none = {.state = TABLES_LOG_NONE, .renew_epoch = 1};
	struct tables copy = {.env = env};
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, "meta", 0, &copy.meta);
	if (rc == 0)
		rc = tables_put_log(&copy, txn, &none);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

int tables_mark_backup(const char *path)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);
	if (rc != 0)
		return rc;
	rc = mdb_env_set_maxdbs(env, 16);
	if (rc == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
	if (rc == 0)
		rc = put_backup_mark(env);
	mdb_env_close(env);
	return rc;
}

/* ---- opening ---- */

static int refuse(char reason[256], int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int refuse(char reason[256], int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reason, 256, format, args);
	va_end(args);
	return error;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

static int make_empty(const char *path)
{
	struct tables t = {0};
	int rc = mdb_env_create(&t.env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(t.env, TABLES_MAX);
	if (rc == 0)
		rc = tables_env_open(t.env, path, MDB_NOSUBDIR | MDB_NOLOCK);
	if (rc == 0)
		rc = prepare(&t);
	tables_close(&t);
	return rc;
}

/* LMDB writes its two first pages without a sync: a start that power cut short could leave half of
 * them. So data.mdb appears only when all of it is on the disk. */
static int make_data(const char *dir, const char *path)
{
	char aside[4200];
	snprintf(aside, sizeof aside, "%s.new", path);
	if (unlink(aside) != 0 && errno != ENOENT)
		return errno;
	int rc = make_empty(aside);
	if (rc == 0)
		rc = sync_path(aside, O_RDWR);
	if (rc == 0 && rename(aside, path) != 0)
		rc = errno;
	return rc != 0 ? rc : sync_path(dir, O_RDONLY | O_DIRECTORY);
}

/* What is to be opened is there, and on the disk: a backup was copied here by somebody who may not
 * have synced it. A data.mdb of no bytes, or none beside a log, is never ours. */
static int find_data(const char *dir, char reason[256])
{
	char path[4100], ring[4100];
	struct stat st;
	snprintf(path, sizeof path, "%s/data.mdb", dir);
	snprintf(ring, sizeof ring, "%s/ring", dir);
	bool log = access(ring, F_OK) == 0;
	int error = stat(path, &st) == 0 ? 0 : errno;
	if (error == 0 && st.st_size == 0)
		return refuse(reason, EUCLEAN, "%.150s is empty: restore a backup", path);
	if (error == ENOENT && log)
		return refuse(reason, EUCLEAN,
		              "%.150s is missing, and its log is there: restore a backup", path);
	if (error == ENOENT)
		error = make_data(dir, path);
	else if (error == 0 && !log)
		error = sync_path(path, O_RDWR);
	if (error == 0 && !log)
		error = sync_path(dir, O_RDONLY | O_DIRECTORY);
	return error == 0 ? 0
	                  : refuse(reason, error > 0 ? error : EIO, "cannot make %.150s: %s", path,
	                           mdb_strerror(error));
}

struct sizes {
	const struct tables *tables;
	MDB_envinfo info;
	MDB_stat stat;
};

static void take_sizes(void *arg)
{
	struct sizes *sizes = arg;
	mdb_env_info(sizes->tables->env, &sizes->info);
	mdb_env_stat(sizes->tables->env, &sizes->stat);
}

bool tables_size(const struct tables *tables, uint64_t *page_bytes, uint64_t *used_bytes)
{
	struct sizes sizes = {.tables = tables};
	if (!map_guard(take_sizes, &sizes))
		return false;
	*page_bytes = sizes.stat.ms_psize;
	*used_bytes = (sizes.info.me_last_pgno + 1) * *page_bytes;
	return true;
}

/* Marks the pages from `first` on that LMDB has as free. */
struct free_list {
	uint64_t first, count;
	uint8_t *is_free;
};

static bool take_free(void *arg, const MDB_val *key, const MDB_val *value)
{
	struct free_list *list = arg;
	(void)key;
	for (size_t i = 8; i + 8 <= value->mv_size; i += 8) { /* the first says how many */
		uint64_t page;
		memcpy(&page, (const uint8_t *)value->mv_data + i, 8);
		if (page >= list->first && page - list->first < list->count)
			list->is_free[page - list->first] = 1;
	}
	return true;
}

/* Pages at the end that were taken and given back in one transaction are never written: a file
 * without those is sound. How long it must be for the others. */
static uint64_t bytes_needed(const struct tables *tables, uint64_t file_bytes, uint64_t page_bytes,
                             uint64_t used_bytes)
{
	struct tables_reader reader = {.tables = tables};
	struct free_list list = {.first = file_bytes / page_bytes};
	list.count = used_bytes / page_bytes - list.first;
	list.is_free = xcalloc(1, list.count);
	bool whole = tables_each_row(&reader, FREE_TABLE, (struct span){0}, take_free, &list);
	while (whole && list.count > 0 && list.is_free[list.count - 1])
		list.count--;
	free(list.is_free);
	tables_reader_finish(&reader);
	return (list.first + list.count) * page_bytes;
}

static int check_length(const struct tables *tables, const char *dir, char reason[256])
{
	uint64_t page_bytes, used_bytes;
	struct stat st;
	int fd;
	if (!tables_size(tables, &page_bytes, &used_bytes) ||
	    mdb_env_get_fd(tables->env, &fd) != 0 || fstat(fd, &st) != 0)
		return refuse(reason, EIO, "%.150s/data.mdb cannot be read", dir);
	uint64_t file_bytes = (uint64_t)st.st_size;
	if (file_bytes >= used_bytes)
		return 0;
	uint64_t needed = bytes_needed(tables, file_bytes, page_bytes, used_bytes);
	if (file_bytes >= needed)
		return 0;
	return refuse(reason, EUCLEAN,
	              "%.130s/data.mdb is cut short: %llu bytes, expected %llu; restore a backup",
	              dir, (unsigned long long)file_bytes, (unsigned long long)needed);
}

/* LMDB found its pages wrong: as if it could not read them. */
static void on_assert(MDB_env *env, const char *text)
{
	(void)env;
	(void)text;
	map_guard_leave();
}

static void prepare_guarded(void *arg)
{
	struct tables *tables = arg;
	tables->opened = prepare(tables);
}

int tables_open(struct tables *tables, const char *dir, uint64_t map_bytes, uint32_t readers_max,
                char reason[256])
{
	*tables = (struct tables){.map_bytes = tables_map_room(map_bytes), .opened = MDB_CORRUPTED};
	map_guard_install();
	int rc = find_data(dir, reason);
	if (rc != 0)
		return rc;
	rc = mdb_env_create(&tables->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(tables->env, tables->map_bytes);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(tables->env, readers_max);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(tables->env, TABLES_MAX);
	if (rc == 0)
		rc = mdb_env_set_assert(tables->env, on_assert);
	if (rc == 0)
		rc = tables_env_open(tables->env, dir, MDB_NOTLS | MDB_NORDAHEAD);
	if (rc == 0 && (rc = check_length(tables, dir, reason)) != 0) {
		tables_close(tables);
		return rc;
	}
	if (rc == 0)
		rc = map_guard(prepare_guarded, tables) ? tables->opened : MDB_CORRUPTED;
	if (rc == 0)
		return 0;
	tables_close(tables);
	if (rc == MDB_VERSION_MISMATCH && tables->format > TABLES_FORMAT)
		return refuse(reason, EINVAL,
		              "%.100s has format %u, a newer release's; this one knows formats up "
		              "to %d: run the newer one, or restore a backup made before it",
		              dir, tables->format, TABLES_FORMAT);
	return refuse(reason,
	              rc > 0                   ? rc
	              : rc == MDB_READERS_FULL ? EAGAIN
	                                       : EINVAL,
	              "cannot open %.150s/data.mdb: %s", dir, mdb_strerror(rc));
}
