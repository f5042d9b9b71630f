/* Which ring goes with this data.mdb, and what to do when it is another, damaged, or not there.
 *
 * LMDB says what it needs (struct tables_log). What an acknowledged write may be lost by stops the
 * start, unless store.recover says to go on with what is left; then, as with a backup, the epoch
 * is raised: first is written that it is to be, last that it was, so that no crash between keeps it
 * from clients. */
#include "common/store/store_parts.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { RING_BYTES_MIN = 1 << 20, PATH_ROOM = 4096 };

#define ULL(n) ((unsigned long long)(n))

struct opening {
	struct store *store;
	struct tables_checkpoint checkpoint;
	struct tables_log log;
	bool replica; /* it is another node's log, which has whatever is missing here */
	char *reason;
};

bool store_is_replica(const char *dir)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/" STORE_REPLICA_NAME, dir);
	return access(path, F_OK) == 0;
}

/* ---- a snapshot of another node that came ---- */

static int take_snapshot(struct store *store, const char *snapshot, char reason[256])
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", store->dir);
	ring_close(&store->ring);
	int error = unlink(path) != 0 && errno != ENOENT ? errno : 0;
	snprintf(path, sizeof path, "%s/data.mdb", store->dir);
	if (error == 0 && rename(snapshot, path) != 0)
		error = errno;
	if (error == 0)
		error = ring_sync_directory(store->dir);
	if (error == 0)
		return ring_find(&store->ring, store->dir, reason);
	snprintf(reason, 256, "cannot put %.150s in its place: %s", snapshot, strerror(error));
	return error;
}

int store_log_swap(struct store *store, char reason[256])
{
	char snapshot[PATH_ROOM];
	snprintf(snapshot, sizeof snapshot, "%s/" STORE_SNAPSHOT_NAME, store->dir);
	if (!store_is_replica(store->dir) || access(snapshot, F_OK) != 0)
		return 0;
	if (store->ring.alone)
		return take_snapshot(store, snapshot, reason);
	snprintf(reason, 256, "%.150s waits for those who have the store open to end", snapshot);
	return EAGAIN;
}

/* ---- its rows ---- */

static int lmdb_failed(struct opening *o, const char *what, int rc)
{
	snprintf(o->reason, 256, "cannot %s %.150s/data.mdb: %s", what, o->store->dir,
	         mdb_strerror(rc));
	return rc > 0 ? rc : EIO;
}

static int read_rows(struct opening *o)
{
	const struct tables *tables = &o->store->tables;
	MDB_txn *txn;
	int rc = mdb_txn_begin(tables->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return lmdb_failed(o, "read", rc);
	rc = tables_get_checkpoint(tables, txn, &o->checkpoint);
	if (rc == 0)
		rc = tables_get_log(tables, txn, &o->log);
	mdb_txn_abort(txn);
	return rc == 0 ? 0 : lmdb_failed(o, "read", rc);
}

/* Both rows at once, synced. */
static int write_rows(struct opening *o)
{
	const struct tables *tables = &o->store->tables;
	MDB_txn *txn;
	int rc = mdb_txn_begin(tables->env, NULL, 0, &txn);
	if (rc != 0)
		return lmdb_failed(o, "write", rc);
	rc = tables_put_checkpoint(tables, txn, &o->checkpoint);
	if (rc == 0)
		rc = tables_put_log(tables, txn, &o->log);
	if (rc != 0)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : lmdb_failed(o, "write", rc);
}

/* A new ring for a log that goes on behind all that LMDB knows. */
static int make(struct opening *o, bool renew)
{
	struct store *store = o->store;
	uint64_t bytes = store->options.ring_bytes & ~4095ull;
	if (!o->replica)
		o->checkpoint.position = ring_first(o->checkpoint.position.lsn, bytes);
	o->log.ring_bytes = bytes;
	o->log.state = TABLES_LOG_MAKING;
	o->log.renew_epoch |= renew;
	int error = write_rows(o);
	if (error == 0)
		error = ring_make(&store->ring, store->dir, bytes, o->checkpoint.position,
		                  o->reason);
	return error;
}

/* It is the one, from now on. */
static int keep(struct opening *o, struct ring_position end, bool cut, bool renew)
{
	struct store *store = o->store;
	struct tables_log kept = {.ring_bytes = store->ring.bytes,
	                          .state = TABLES_LOG_KEPT,
	                          .renew_epoch = o->log.renew_epoch | renew};
	int error = 0;
	if (memcmp(&kept, &o->log, sizeof kept) != 0) {
		o->log = kept;
		error = write_rows(o);
	}
	return error != 0 ? error
	                  : ring_recover(&store->ring, o->checkpoint.position, end, cut, o->reason);
}

static int make_and_keep(struct opening *o, bool renew)
{
	int error = make(o, renew);
	return error != 0 ? error : keep(o, o->checkpoint.position, false, false);
}

/* Something acknowledged is not there, or may not be. True: go on all the same. */
static bool may_lose(struct opening *o, const char *fault)
{
	const struct store *store = o->store;
	if (store->options.truncate) {
		log_error("log given up",
		          "file=%s/ring reason=\"%s\" because=\"store.recover is truncate\"",
		          store->dir, fault);
		return true;
	}
	snprintf(o->reason, 256,
	         "%.90s/ring %.90s; restore it or a backup, or set store.recover: truncate",
	         store->dir, fault);
	return false;
}

static int renew_ring(struct opening *o, const char *fault)
{
	return may_lose(o, fault) ? make_and_keep(o, true) : EBADMSG;
}

/* What chains on the checkpoint is the other node's, byte for byte, and what does not comes again
 * from there. So nothing is lost here that stops a start; and nothing of it is synced but by
 * checkpoints. */
static int take_replica(struct opening *o)
{
	struct store *store = o->store;
	const struct ring *ring = &store->ring;
	if (o->replica && o->checkpoint.position.lsn < sizeof(struct ring_record)) {
		snprintf(o->reason, 256, "%.150s follows another node and has nothing of it yet",
		         store->dir);
		return EAGAIN;
	}
	if (o->log.state != TABLES_LOG_KEPT || ring->fd < 0 || ring->bytes != o->log.ring_bytes)
		return make_and_keep(o, false);
	struct ring_finding finding = ring_judge(ring, o->checkpoint.position);
	switch (finding.verdict) {
	case RING_SOUND:
		return keep(o, finding.end, false, false);
	case RING_DAMAGED:
		return keep(o, finding.end, true, false);
	case RING_FOREIGN:
		break;
	}
	return make_and_keep(o, false);
}

/* A ring that is there and has its size. */
static int take(struct opening *o)
{
	const struct ring *ring = &o->store->ring;
	char fault[96];
	struct ring_finding finding = ring_judge(ring, o->checkpoint.position);
	switch (finding.verdict) {
	case RING_SOUND:
		return keep(o, finding.end, false, false);
	case RING_DAMAGED:
		snprintf(fault, sizeof fault,
		         "is damaged at byte %llu: whole records stand behind it",
		         ULL(finding.end.lsn % ring->bytes));
		return may_lose(o, fault) ? keep(o, finding.end, true, true) : EBADMSG;
	case RING_FOREIGN:
		break;
	}
	/* An older release has restored a backup and ended before its first checkpoint. */
	if (o->log.state == TABLES_LOG_UNKNOWN && ring_blank(ring))
		return make_and_keep(o, true);
	return renew_ring(o, "is not the one that data.mdb goes with");
}

static int take_kept(struct opening *o)
{
	const struct ring *ring = &o->store->ring;
	char fault[96];
	if (ring->fd < 0)
		return renew_ring(o, "is missing");
	if (ring->bytes == o->log.ring_bytes)
		return take(o);
	snprintf(fault, sizeof fault, "has %llu bytes instead of %llu", ULL(ring->bytes),
	         ULL(o->log.ring_bytes));
	return renew_ring(o, fault);
}

/* New, or of a release that did not say. Without a ring it is then a backup. */
static int take_unknown(struct opening *o)
{
	const struct ring *ring = &o->store->ring;
	if (ring->fd < 0)
		return make_and_keep(o, o->checkpoint.position.lsn != 0);
	return ring->bytes >= RING_BYTES_MIN ? take(o) : renew_ring(o, "is cut short");
}

/* A backup. A ring in its place is a mistake, or its own, and then it may go on. */
static int take_backup(struct opening *o)
{
	const struct ring *ring = &o->store->ring;
	if (ring->fd < 0)
		return make_and_keep(o, true);
	struct ring_finding finding = {.verdict = RING_FOREIGN};
	if (ring->bytes >= RING_BYTES_MIN)
		finding = ring_judge(ring, o->checkpoint.position);
	if (finding.verdict == RING_SOUND)
		return keep(o, finding.end, false, true);
	return renew_ring(o, "is not of this backup");
}

static int settle(struct opening *o)
{
	if (o->replica && o->log.state <= TABLES_LOG_NONE)
		return take_replica(o);
	switch ((enum tables_log_state)o->log.state) {
	case TABLES_LOG_UNKNOWN:
		return take_unknown(o);
	case TABLES_LOG_MAKING:
		return make_and_keep(o, false);
	case TABLES_LOG_KEPT:
		/* Of a copy that has left, or a backup: nothing was acknowledged since, and clients
		 * are told that something may be missing. Its log may never have been synced. */
		return o->log.renew_epoch ? take_replica(o) : take_kept(o);
	case TABLES_LOG_NONE:
		return take_backup(o);
	}
	snprintf(o->reason, 256, "%.150s/data.mdb is of a later release", o->store->dir);
	return EBADMSG;
}

/* What LMDB shows may be in memory only: of a commit whose sync failed, whose process then ended.
 * What is decided by it must stand on the disk. */
static int sync_rows(struct opening *o)
{
	int fd, rc = mdb_env_get_fd(o->store->tables.env, &fd);
	if (rc == 0 && fdatasync(fd) != 0)
		rc = errno;
	return rc == 0 ? 0 : lmdb_failed(o, "sync", rc);
}

/* What a crash may have taken is whatever a directory sync that failed once, or never was, left
 * unsaid. */
static int sync_names(struct opening *o)
{
	char path[4096];
	int error = ring_sync_directory(o->store->dir);
	snprintf(path, sizeof path, "%s/..", o->store->dir);
	if (error == 0)
		error = ring_sync_directory(path);
	if (error ==
	    EACCES) /* a parent that we may not read: it is on the same file system, or above one */
		error = ring_sync_file_system(o->store->dir);
	if (error != 0)
		snprintf(o->reason, 256, "cannot sync directory %.150s: %s", o->store->dir,
		         strerror(error));
	return error;
}

int store_log_open(struct store *store, bool *renew, char reason[256])
{
	struct opening opening = {
	        .store = store, .replica = store_is_replica(store->dir), .reason = reason};
	int error = read_rows(&opening);
	if (error == 0 && store->ring.alone) {
		error = sync_rows(&opening);
		if (error == 0)
			error = settle(&opening);
		if (error == 0)
			error = sync_names(&opening);
		if (error == 0 && opening.replica)
			ring_set_role(&store->ring, RING_FOLLOWS);
		if (error == 0)
			ring_share(&store->ring);
	}
	*renew = opening.log.renew_epoch != 0 && !opening.replica;
	return error;
}

int store_log_renewed(struct store *store, char reason[256])
{
	struct opening opening = {.store = store, .reason = reason};
	const struct tables *tables = &store->tables;
	MDB_txn *txn;
	int rc = mdb_txn_begin(tables->env, NULL, 0, &txn);
	if (rc != 0)
		return lmdb_failed(&opening, "write", rc);
	rc = tables_get_log(tables, txn, &opening.log);
	opening.log.renew_epoch = 0;
	if (rc == 0)
		rc = tables_put_log(tables, txn, &opening.log);
	if (rc != 0)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : lmdb_failed(&opening, "write", rc);
}
