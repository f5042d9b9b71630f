/* The calls themselves (disk.h). What is not in the directory goes straight through.
 *
 * Each event is one write() to a file opened with O_APPEND: the kernel puts those of all processes
 * into one order. A write or sync has two, before and behind: what another thread or process did
 * between them happened at the same time. Nothing of the store's files is written to through maps
 * but control and lock.mdb, which no power cut is asked to keep: other maps show in the trace. */
#undef _FILE_OFFSET_BITS /* both names of each call are ours */
#undef _FORTIFY_SOURCE
#include "tests/crash/disk.h"
#include "tests/crash/disk_parts.h"
#include "tests/crash/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_ROOM = 512, TRACE_FD_MIN = 900 };

static char dir[PATH_ROOM];
static size_t dir_len;
static dev_t device;
static int trace_fd = -1;
static ino_t trace_inode;
static unsigned delay_us;
static const void *control; /* the store's, mapped */
static size_t control_bytes;

/* ---- events ---- */

static void put(enum trace_kind kind, struct trace_event event, const struct iovec *iov, int count)
{
	static const uint8_t zeros[8];
	struct iovec all[64];
	int saved = errno;
	if (trace_fd < 0)
		return;
	event.magic = TRACE_MAGIC;
	event.kind = kind;
	event.pid = (uint32_t)getpid();
	event.tid = (uint32_t)syscall(SYS_gettid);
	event.data_bytes = 0;
	uint8_t *flat = NULL;
	all[0] = (struct iovec){&event, sizeof event};
	for (int i = 0; i < count; i++)
		event.data_bytes += (uint32_t)iov[i].iov_len;
	if (count > 60) { /* more than fits: all in one piece */
		uint8_t *at = flat = malloc(event.data_bytes);
		for (int i = 0; i < count; at += iov[i++].iov_len)
			memcpy(at, iov[i].iov_base, iov[i].iov_len);
		all[1] = (struct iovec){flat, event.data_bytes};
		count = 1;
	} else if (count > 0) {
		memcpy(all + 1, iov, (size_t)count * sizeof *iov);
	}
	size_t pad = (8 - event.data_bytes % 8) % 8;
	all[count + 1] = (struct iovec){(void *)(uintptr_t)zeros, pad};
	if (syscall(SYS_writev, trace_fd, all, count + 2) !=
	    (long)(sizeof event + event.data_bytes + pad))
		abort();
	free(flat);
	errno = saved;
}

static void put_text(enum trace_kind kind, struct trace_event event, const char *text)
{
	const struct iovec iov = {(void *)(uintptr_t)text, strlen(text) + 1};
	put(kind, event, &iov, 1);
}

void disk_mark(const void *mark, size_t bytes)
{
	const struct iovec iov = {(void *)(uintptr_t)mark, bytes};
	put(TRACE_MARK, (struct trace_event){0}, &iov, 1);
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("DISK_TRACE"), *name = getenv("DISK_DIR"),
	           *delay = getenv("DISK_DELAY_US");
	struct stat st;
	char above[PATH_ROOM + 4];
	if (name == NULL)
		return;
	snprintf(dir, sizeof dir, "%s", name);
	dir_len = strlen(dir);
	delay_us = delay != NULL ? (unsigned)atoi(delay) : 0;
	snprintf(above, sizeof above, "%s/..", dir);
	char *slash = strrchr(dir, '/');
	*slash = '\0'; /* its parent is there when it is not */
	if (stat(dir, &st) != 0)
		abort();
	*slash = '/';
	device = st.st_dev;
	faults_init();
	if (path == NULL)
		return;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	trace_fd = fcntl(fd, F_DUPFD_CLOEXEC, TRACE_FD_MIN);
	if (trace_fd < 0 || fstat(trace_fd, &st) != 0)
		abort();
	trace_inode = st.st_ino;
	syscall(SYS_close, fd);
}

/* ---- what is ours ---- */

static bool ours(const char *path)
{
	return dir_len != 0 && strncmp(path, dir, dir_len) == 0;
}

/* 0: not in the directory. */
static uint64_t inode_of(int fd)
{
	struct stat st;
	if (dir_len == 0 || fstat(fd, &st) != 0 || st.st_dev != device ||
	    st.st_ino == trace_inode || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	return st.st_ino;
}

static void nap(void)
{
	static __thread unsigned seed;
	if (delay_us == 0)
		return;
	if (seed == 0)
		seed = (unsigned)syscall(SYS_gettid);
	usleep(delay_us / 4 + (unsigned)rand_r(&seed) % delay_us);
}

/* ---- opening ---- */

static int opened(int at, const char *path, int flags, mode_t mode)
{
	if (!ours(path))
		return (int)syscall(SYS_openat, at, path, flags, mode);
	if (faults_next("open", path, -1) != FAULT_NONE)
		return -1;
	int fd = (int)syscall(SYS_openat, at, path, flags, mode);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0)
		put_text(TRACE_OPEN,
		         (struct trace_event){.inode = st.st_ino,
		                              .len = (uint64_t)st.st_size,
		                              .flags = (uint32_t)flags},
		         path);
	return fd;
}

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		va_list args;                                                                      \
		va_start(args, flags);                                                             \
		mode_t mode = va_arg(args, mode_t);                                                \
		va_end(args);                                                                      \
		return opened(AT_FDCWD, path, flags, mode);                                        \
	}
OPEN(open)
OPEN(open64)
#undef OPEN
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return opened(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
	return opened(AT_FDCWD, path, flags, 0);
}

/* ---- writing ---- */

static size_t bytes_of(const struct iovec *iov, int count)
{
	size_t bytes = 0;
	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

static ssize_t write_now(int fd, const struct iovec *iov, int count, off_t at)
{
	return at >= 0 ? syscall(SYS_pwritev, fd, iov, count, at, 0)
	               : syscall(SYS_writev, fd, iov, count);
}

static ssize_t recorded(uint64_t inode, int fd, const struct iovec *iov, int count, off_t at)
{
	off_t from = at >= 0 ? at : lseek(fd, 0, SEEK_CUR);
	size_t bytes = bytes_of(iov, count);
	int mode = fcntl(fd, F_GETFL);
	uint32_t synced = mode >= 0 && (mode & O_DSYNC) != 0;
	const struct trace_event event = {
	        .inode = inode, .at = (uint64_t)from, .len = bytes, .flags = synced};
	if (!synced) /* what is synced by itself, no sync that fails takes back */
		undo_remember(inode, fd, from, bytes);
	faults_write_begins();
	put(TRACE_WRITE_BEGIN, event, iov, count);
	ssize_t n = write_now(fd, iov, count, at);
	if (synced)
		nap();
	struct trace_event end = event;
	end.result = n;
	put(TRACE_WRITE_END, end, NULL, 0);
	faults_write_ended();
	return n;
}

static ssize_t half(uint64_t inode, int fd, const struct iovec *iov, int count, off_t at)
{
	size_t bytes = bytes_of(iov, count) / 2 & ~(size_t)7, left = bytes;
	struct iovec some[8];
	int n = 0;
	for (; n < count && n < 8 && left > 0; n++) {
		some[n] = iov[n];
		some[n].iov_len = iov[n].iov_len < left ? iov[n].iov_len : left;
		left -= some[n].iov_len;
	}
	return n > 0 ? recorded(inode, fd, some, n, at) : 0;
}

static ssize_t written(const char *op, int fd, const struct iovec *iov, int count, off_t at)
{
	uint64_t inode = inode_of(fd);
	if (inode == 0)
		return write_now(fd, iov, count, at);
	ssize_t n = -1;
	enum fault fault = faults_next(op, NULL, fd);
	int error = errno;
	switch (fault) {
	case FAULT_NONE:
		return recorded(inode, fd, iov, count, at);
	case FAULT_SHORT:
		n = half(inode, fd, iov, count, at);
		return n > 0 ? n : recorded(inode, fd, iov, count, at);
	case FAULT_HALF:
	case FAULT_HALF_KILL:
		half(inode, fd, iov, count, at);
		break;
	case FAULT_DONE:
	case FAULT_DONE_KILL:
		recorded(inode, fd, iov, count, at);
		break;
	case FAULT_ERRNO:
	case FAULT_DROP:
	case FAULT_KILL:
		break;
	}
	put_text(TRACE_FAULT, (struct trace_event){.inode = inode}, op);
	if (fault == FAULT_HALF_KILL || fault == FAULT_DONE_KILL)
		faults_die();
	errno = error;
	return -1;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	return written("pwritev", fd, iov, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
	return written("pwritev", fd, iov, count, at);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at)
{
	const struct iovec iov = {(void *)(uintptr_t)from, bytes};
	return written("pwrite", fd, &iov, 1, at);
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
	return pwrite(fd, from, bytes, at);
}

ssize_t write(int fd, const void *from, size_t bytes)
{
	const struct iovec iov = {(void *)(uintptr_t)from, bytes};
	return written("write", fd, &iov, 1, -1);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return written("write", fd, iov, count, -1);
}

/* ---- syncing ---- */

static void show_control(void)
{
	if (control == NULL)
		return;
	const struct iovec iov = {(void *)(uintptr_t)control, control_bytes};
	put(TRACE_CONTROL, (struct trace_event){0}, &iov, 1);
}

static int synced(const char *op, long call, int fd)
{
	uint64_t inode = inode_of(fd);
	if (inode == 0)
		return (int)syscall(call, fd);
	struct trace_event event = {.inode = inode};
	show_control();
	put(TRACE_SYNC_BEGIN, event, NULL, 0);
	nap();
	enum fault fault = faults_next(op, NULL, fd);
	int error = errno, rc = -1;
	if (fault == FAULT_NONE || fault == FAULT_DONE || fault == FAULT_DONE_KILL)
		rc = (int)syscall(call, fd);
	if (fault == FAULT_DROP)
		undo_all(inode, fd);
	else
		undo_forget(inode);
	event.result = fault == FAULT_NONE || fault == FAULT_DONE_KILL ? rc : -1;
	put(TRACE_SYNC_END, event, NULL, 0);
	if (fault == FAULT_HALF_KILL || fault == FAULT_DONE_KILL)
		faults_die();
	if (fault == FAULT_NONE)
		return rc;
	errno = error;
	return -1;
}

int fdatasync(int fd)
{
	return synced("fdatasync", SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return synced("fsync", SYS_fsync, fd);
}

/* ---- names and sizes ---- */

int ftruncate(int fd, off_t size)
{
	uint64_t inode = inode_of(fd);
	if (inode != 0 && faults_next("ftruncate", NULL, fd) != FAULT_NONE)
		return -1;
	int rc = (int)syscall(SYS_ftruncate, fd, size);
	if (inode != 0 && rc == 0)
		put(TRACE_TRUNCATE, (struct trace_event){.inode = inode, .at = (uint64_t)size},
		    NULL, 0);
	return rc;
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

/* Only ahead of the end: no size changes, so no power cut shows it. */
int fallocate(int fd, int mode, off_t at, off_t bytes)
{
	if (inode_of(fd) != 0 && faults_next("fallocate", NULL, fd) != FAULT_NONE)
		return -1;
	return (int)syscall(SYS_fallocate, fd, mode, at, bytes);
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes)
{
	return fallocate(fd, mode, at, bytes);
}

int rename(const char *from, const char *to)
{
	enum fault fault = ours(from) ? faults_next("rename", from, -1) : FAULT_NONE;
	int error = errno;
	if (fault != FAULT_NONE && fault != FAULT_DONE && fault != FAULT_DONE_KILL)
		return -1;
	int rc = (int)syscall(SYS_rename, from, to);
	const struct iovec iov[2] = {{(void *)(uintptr_t)from, strlen(from) + 1},
	                             {(void *)(uintptr_t)to, strlen(to) + 1}};
	if (rc == 0 && ours(from))
		put(TRACE_RENAME, (struct trace_event){0}, iov, 2);
	if (fault == FAULT_DONE_KILL)
		faults_die();
	errno = fault == FAULT_NONE ? errno : error;
	return fault == FAULT_NONE ? rc : -1;
}

int unlink(const char *path)
{
	if (ours(path) && faults_next("unlink", path, -1) != FAULT_NONE)
		return -1;
	int rc = (int)syscall(SYS_unlink, path);
	if (rc == 0 && ours(path))
		put_text(TRACE_UNLINK, (struct trace_event){0}, path);
	return rc;
}

/* ---- memory ---- */

static void mapped(int fd, const void *at, size_t bytes)
{
	char link[64], path[PATH_ROOM];
	uint64_t inode = inode_of(fd);
	snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
	ssize_t n = inode != 0 ? readlink(link, path, sizeof path - 1) : -1;
	if (n < 0)
		return;
	path[n] = '\0';
	const char *leaf = strrchr(path, '/');
	if (strcmp(leaf, "/control") == 0) {
		control = at;
		control_bytes = bytes;
	} else if (strcmp(leaf, "/lock.mdb") != 0) {
		put_text(TRACE_MAPPED, (struct trace_event){.inode = inode}, path);
	}
}

void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (fd >= 0 && dir_len != 0 && inode_of(fd) != 0 &&
	    faults_next("mmap", NULL, fd) != FAULT_NONE)
		return MAP_FAILED;
	void *map = (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);
	if (map != MAP_FAILED && fd >= 0 && (prot & PROT_WRITE) && (flags & MAP_SHARED) &&
	    dir_len != 0)
		mapped(fd, map, bytes);
	return map;
}

void *mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
	return mmap(at, bytes, prot, flags, fd, offset);
}

int munmap(void *at, size_t bytes)
{
	if (at == control)
		control = NULL;
	return (int)syscall(SYS_munmap, at, bytes);
}

/* glibc's own, under the names that it keeps for such as us. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *at, size_t bytes);

void *malloc(size_t bytes)
{
	return faults_next("malloc", "", -1) != FAULT_NONE ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	return faults_next("malloc", "", -1) != FAULT_NONE ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *at, size_t bytes)
{
	return faults_next("malloc", "", -1) != FAULT_NONE ? NULL : __libc_realloc(at, bytes);
}

/* ---- LMDB ---- */

int mdb_txn_commit(MDB_txn *txn)
{
	static int (*real)(MDB_txn *);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "mdb_txn_commit");
	enum fault fault = faults_next("commit", "", -1);
	int error = errno;
	if (fault == FAULT_NONE)
		return real(txn);
	if (fault == FAULT_DONE || fault == FAULT_DONE_KILL) {
		int rc = real(txn);
		if (fault == FAULT_DONE_KILL)
			faults_die();
		return rc != 0 ? rc : error;
	}
	mdb_txn_abort(txn);
	return error;
}
