/* The floor for durable appends: overwrites 4 KiB blocks of a preallocated file, one fdatasync
 * each, one after the other.
 *
 *     disk FILE SECONDS    prints {"per_second", "p50_us", "p99_us"} */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, BLOCKS = 8192, SAMPLES_MAX = 1 << 20 };

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static char block[BLOCK_BYTES];
	static uint32_t samples[SAMPLES_MAX];
	int fd = argc == 3 ? open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (fd < 0) {
		fputs("usage: disk FILE SECONDS\n", stderr);
		return 2;
	}
	memset(block, '*', sizeof block);
	for (int i = 0; i < BLOCKS; i++)
		if (pwrite(fd, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES) != BLOCK_BYTES)
			return 1;
	fsync(fd);
	uint64_t began = now_ns(), end = began + (uint64_t)(strtod(argv[2], NULL) * 1e9);
	size_t count = 0;
	for (uint64_t t = began; t < end && count < SAMPLES_MAX; count++) {
		if (pwrite(fd, block, BLOCK_BYTES, (off_t)(count % BLOCKS) * BLOCK_BYTES) !=
		            BLOCK_BYTES ||
		    fdatasync(fd) != 0)
			return 1;
		uint64_t now = now_ns();
		samples[count] = (uint32_t)((now - t) / 1000);
		t = now;
	}
	double seconds = (double)(now_ns() - began) / 1e9;
	qsort(samples, count, sizeof *samples, by_value);
	printf("{\"per_second\":%.1f,\"p50_us\":%u,\"p99_us\":%u}\n", (double)count / seconds,
	       samples[count / 2], samples[count * 99 / 100]);
	close(fd);
	return 0;
}
