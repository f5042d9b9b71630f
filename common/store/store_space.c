/* What room there is: in data.mdb, on its file system, and ahead of what is used.
 *
 * Whatever stands in the log has been acknowledged and must get into LMDB, and so must what makes
 * the store smaller: LMDB writes new pages even for a delete. So data.mdb has blocks ahead of its
 * end, which nobody else can take, and what grows the store is accepted only as far as they reach.
 */
#include "common/store/store_parts.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	SHRINK_BYTES = 2 << 20,    /* ahead of the end, for what makes the store smaller alone */
	STEP_BYTES_MIN = 64 << 10, /* no smaller piece is asked for when the file system is full */
	BLOCK_BYTES = 512,         /* of st_blocks, stat(2) */
};

int store_error_kind(int rc)
{
	bool full = rc == ENOSPC || rc == EDQUOT || rc == EFBIG || rc == MDB_MAP_FULL;
	return rc == 0 ? 0 : full ? ENOSPC : EIO;
}

static uint64_t room_above(uint64_t have, uint64_t need)
{
	return have > need ? have - need : 0;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t free_pages(struct store *store)
{
	const struct tables *tables = &store->tables;
	struct tables_reader reader = {.tables = tables};
	MDB_txn *txn = tables_begin(&reader);
	MDB_cursor *cursor;
	uint64_t pages = 0;
	if (txn == NULL)
		return 0;
	if (tables_cursor_open(tables, txn, 0, &cursor) == 0) {
		MDB_val key, value;
		while (tables_cursor_get(tables, cursor, &key, &value, MDB_NEXT) == 0) {
			size_t count = 0;
			memcpy(&count, value.mv_data, sizeof count);
			pages += count;
		}
		mdb_cursor_close(cursor);
	}
	tables_end(&reader);
	tables_reader_finish(&reader);
	return pages;
}

/* ---- blocks ahead of the end ---- */

static int allocate(int fd, uint64_t from, uint64_t bytes)
{
	int rc;
	do
		rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)bytes);
	while (rc != 0 && errno == EINTR);
	return rc == 0 ? 0 : errno;
}

/* As far as there are any. What has its blocks already costs nothing: the first time it is all of
 * the file, because pages that LMDB took and gave back in one transaction are holes in it. */
static int reserve_to(struct store *store, uint64_t end)
{
	int fd;
	mdb_env_get_fd(store->tables.env, &fd);
	uint64_t step = room_above(end, store->reserved_to);
	while (store->reserved_to < end) {
		uint64_t bytes = lesser(step, end - store->reserved_to);
		int error = allocate(fd, store->reserved_to, bytes);
		if (error == 0)
			store->reserved_to += bytes;
		else if (store_error_kind(error) == ENOSPC && step / 2 >= STEP_BYTES_MIN)
			step /= 2;
		else
			return error;
	}
	return 0;
}

static void give_up_reserving(struct store *store, int error)
{
	store->unreservable = true;
	log_warn("no room kept to shrink",
	         "file=%s/data.mdb error=\"%s\" advice=\"a full disk may then refuse "
	         "deletes too: see store.free_bytes_min\"",
	         store->dir, strerror(error));
}

/* `above`: bytes of the file system that may be ours beyond `used`. How many there now are of which
 * nobody can take any; UINT64_MAX: as many as the log can ever need, or the file system does not
 * say. */
static uint64_t reserve(struct store *store, uint64_t used, uint64_t above)
{
	const uint64_t whole = store->ring.bytes + SHRINK_BYTES,
	               map_bytes = store->tables.map_bytes;
	uint64_t wanted = above < SHRINK_BYTES ? SHRINK_BYTES : lesser(above, whole);
	int error = store->unreservable ? 0 : reserve_to(store, lesser(used + wanted, map_bytes));
	if (store_error_kind(error) == EIO)
		give_up_reserving(store, error);
	uint64_t reserved = room_above(store->reserved_to, used);
	bool enough = reserved >= whole || store->reserved_to >= map_bytes;
	return store->unreservable || enough ? UINT64_MAX : reserved;
}

/* How much log that leaves room for. Its rows and the copies of pages take more than itself, and of
 * the free pages not all stand together as large rows need them. */
static uint64_t log_room(uint64_t reserved, uint64_t spare)
{
	return reserved == UINT64_MAX ? UINT64_MAX
	                              : room_above(reserved + spare / 2, SHRINK_BYTES) / 3 * 2;
}

/* ---- judging ---- */

struct room {
	uint64_t map, disk, log;
};

static uint64_t smallest(const struct room *room)
{
	return lesser(room->map, lesser(room->disk, room->log));
}

/* Growing commands are refused at store.map_bytes; LMDB's own wall stands behind it, so that what
 * was admitted and what shrinks always fit. */
static struct room measure(struct store *store, uint64_t used, uint64_t spare)
{
	struct room room = {.map = room_above(store->options.map_bytes + spare, used),
	                    .disk = UINT64_MAX,
	                    .log = UINT64_MAX};
	struct statvfs fs;
	struct stat file;
	int fd;
	mdb_env_get_fd(store->tables.env, &fd);
	if (statvfs(store->dir, &fs) != 0 || fstat(fd, &file) != 0)
		return room;
	/* What is reserved is not free any more, but ours. */
	uint64_t held = room_above((uint64_t)file.st_blocks * BLOCK_BYTES, used);
	uint64_t ours = (uint64_t)fs.f_bavail * fs.f_frsize + held;
	uint64_t keep_free = store->options.free_bytes_min;
	room.disk = room_above(ours + spare, keep_free);
	room.log = log_room(reserve(store, used, room_above(ours, keep_free)), spare);
	return room;
}

static const char *reason_of(const struct room *room, int checkpoint_error)
{
	return checkpoint_error != 0 ? mdb_strerror(checkpoint_error)
	       : room->map == 0      ? "store.map_bytes is used up"
	       : room->disk == 0     ? "the file system has less than store.free_bytes_min"
	       : room->log == 0      ? "the file system is full"
	                             : "";
}

void store_space_judge(struct store *store, int checkpoint_error)
{
	uint64_t page, used;
	if (!tables_size(&store->tables, &page, &used))
		return;
	uint64_t spare = free_pages(store) * page;
	struct room room = measure(store, used, spare);
	uint64_t least = smallest(&room);
	int refuse = checkpoint_error != 0 ? store_error_kind(checkpoint_error)
	             : least == 0          ? ENOSPC
	                                   : 0;
	atomic_store(&store->ring.control->room_bytes, least);
	pthread_mutex_lock(&store->queue_lock);
	store->space.used_bytes = used;
	store->space.free_bytes = spare;
	snprintf(store->refuse_reason, sizeof store->refuse_reason, "%s",
	         reason_of(&room, checkpoint_error));
	pthread_mutex_unlock(&store->queue_lock);
	int before = atomic_exchange(&store->ring.control->refuse, refuse);
	if (refuse != 0 && before == 0)
		log_error("appends refused", "reason=\"%s\"", store->refuse_reason);
	if (refuse == 0 && before != 0)
		log_info("appends accepted again", "%s", "");
}
