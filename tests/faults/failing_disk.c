/* Preloaded into workers by tests/system/test_faults.py: while the file named by FAILING_SYNC
 * exists, fdatasync() fails with EIO, as it does when a disk goes away; while that named by
 * FAILING_WRITE exists, pwritev() does; while that named by STUCK_SYNC exists, fdatasync() does not
 * return; while that named by FAILING_META exists, pwrite() below META_BYTES fails: there LMDB says
 * which transaction is the last. */
#undef _FILE_OFFSET_BITS /* both names of pwritev() are ours */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static bool exists(const char *variable)
{
	const char *flag = getenv(variable);
	return flag != NULL && access(flag, F_OK) == 0;
}

static bool fails(const char *variable)
{
	if (!exists(variable))
		return false;
	errno = EIO;
	return true;
}

int fdatasync(int fd)
{
	static int (*real)(int);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	while (exists("STUCK_SYNC"))
		usleep(10000);
	return fails("FAILING_SYNC") ? -1 : real(fd);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwritev");
	return fails("FAILING_WRITE") ? -1 : real(fd, iov, count, at);
}

enum { META_BYTES = 8192 };

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return at < META_BYTES && fails("FAILING_META") ? -1 : real(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	return pwrite(fd, bytes, len, at);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at)
{
	return pwritev(fd, iov, count, at);
}
