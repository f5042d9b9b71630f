/* Preloaded by tests/system/test_clock.py: the wall clock is off by the number of milliseconds (a
 * 64-bit integer) that stands in the file named by CLOCK_FILE, and steps when that is written; the
 * monotonic clocks are the machine's. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t off_ms(void)
{
	static const int64_t none, *volatile file;
	if (file == NULL) {
		const char *path = getenv("CLOCK_FILE");
		int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		void *at = fd >= 0 ? mmap(NULL, sizeof *file, PROT_READ, MAP_SHARED, fd, 0)
		                   : MAP_FAILED;
		file = at != MAP_FAILED ? at : &none;
		if (fd >= 0)
			close(fd);
	}
	return __atomic_load_n(file, __ATOMIC_RELAXED);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	int rc = real(id, t);
	if (rc != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return rc;
	int64_t ms = t->tv_sec * 1000 + t->tv_nsec / 1000000 + off_ms();
	*t = (struct timespec){.tv_sec = ms / 1000,
	                       .tv_nsec = ms % 1000 * 1000000 + t->tv_nsec % 1000000};
	return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *into)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (into != NULL)
		*into = now.tv_sec;
	return now.tv_sec;
}
