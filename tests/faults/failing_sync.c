/* Preloaded into workers by tests/system/test_faults.py: fdatasync() fails with EIO while the file
 * named by FAILING_SYNC exists, as it does when a disk goes away. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd)
{
	static int (*real)(int);
	const char *flag = getenv("FAILING_SYNC");
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	if (flag != NULL && access(flag, F_OK) == 0) {
		errno = EIO;
		return -1;
	}
	return real(fd);
}
