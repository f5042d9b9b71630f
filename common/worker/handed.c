#include "common/worker/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who maps it must not be shown another text later, nor fall off its end. */
enum { SEALS_NEEDED = F_SEAL_SHRINK | F_SEAL_WRITE };

static bool write_all(int fd, struct span body)
{
	while (body.len > 0) {
		ssize_t n = write(fd, body.at, body.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		body = span_of(body.at + n, body.len - (size_t)n);
	}
	return true;
}

int handed_make(struct span body)
{
	int fd = memfd_create("ringside-body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	if (write_all(fd, body) &&
	    fcntl(fd, F_ADD_SEALS, SEALS_NEEDED | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

enum handed_result handed_open(int fd, size_t len, struct span *body)
{
	struct stat stat;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS_NEEDED) != SEALS_NEEDED || fstat(fd, &stat) != 0 ||
	    stat.st_size < 0 || (uint64_t)stat.st_size != len || len == 0)
		return HANDED_FALSE;
	void *at = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (at == MAP_FAILED)
		return HANDED_NO_ROOM;
	*body = span_of(at, len);
	return HANDED_OPEN;
}

void handed_close(struct span *body)
{
	if (body->len > 0)
		munmap((void *)(uintptr_t)body->at, body->len);
	*body = (struct span){0};
}
