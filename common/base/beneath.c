#include "common/base/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

int beneath_open(int root, const char *path, int flags)
{
	const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
	                             .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	return (int)syscall(SYS_openat2, root, *path != '\0' ? path : ".", &how, sizeof how);
}
