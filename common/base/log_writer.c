#include "common/base/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROOM_BYTES = 64 << 10, STACK_BYTES = 256 << 10 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more, written;
	pthread_t thread;
	bool running;
	/* A ring of whole lines: bytes from `done` to `put` wait, or are being written. */
	char *ring;
	size_t room;
	uint64_t put, done;
	uint64_t dropped, dropped_unsaid; /* lines */
	void (*on_dropped)(uint64_t lines);
	void (*then)(void); /* when `done` has come to then_at; NULL: nothing */
	uint64_t then_at;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void write_all(const char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, at, len);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) { /* somebody else has made it so */
			struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return; /* nowhere to say that the log is full */
		}
	}
}

/* ---- the ring; under the lock ---- */

static void ring_write(char *ring, size_t room, uint64_t at, const char *from, size_t len)
{
	size_t begin = at % room, first = len < room - begin ? len : room - begin;
	memcpy(ring + begin, from, first);
	memcpy(ring, from + first, len - first);
}

static void ring_read(char *to, size_t len)
{
	size_t begin = writer.done % writer.room;
	size_t first = len < writer.room - begin ? len : writer.room - begin;
	memcpy(to, writer.ring + begin, first);
	memcpy(to + first, writer.ring, len - first);
}

/* As many whole lines as one write may hold. */
static size_t take_lines(char lines[LOG_LINE_BYTES_MAX])
{
	uint64_t end = writer.then != NULL ? writer.then_at : writer.put;
	size_t waits = (size_t)(end - writer.done);
	size_t len = waits < LOG_LINE_BYTES_MAX ? waits : LOG_LINE_BYTES_MAX;
	ring_read(lines, len);
	const char *last = len < waits ? memrchr(lines, '\n', len) : lines + len - 1;
	return last != NULL ? (size_t)(last - lines) + 1 : len;
}

/* ---- the thread ---- */

static void write_some(void)
{
	char lines[LOG_LINE_BYTES_MAX];
	size_t len = take_lines(lines);
	pthread_mutex_unlock(&writer.lock);
	write_all(lines, len);
	pthread_mutex_lock(&writer.lock);
	writer.done += len;
	pthread_cond_broadcast(&writer.written);
}

static void do_then(void)
{
	void (*then)(void) = writer.then;
	pthread_mutex_unlock(&writer.lock);
	then();
	pthread_mutex_lock(&writer.lock);
	writer.then = NULL;
	pthread_cond_broadcast(&writer.written);
}

static void say_dropped(void)
{
	uint64_t lines = writer.dropped_unsaid;
	writer.dropped_unsaid = 0;
	pthread_mutex_unlock(&writer.lock);
	writer.on_dropped(lines);
	pthread_mutex_lock(&writer.lock);
}

static void *writer_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "log");
	pthread_mutex_lock(&writer.lock);
	for (;;) {
		if (writer.then != NULL && writer.done == writer.then_at) {
			do_then();
		} else if (writer.done != writer.put) {
			write_some();
		} else if (writer.dropped_unsaid != 0) {
			say_dropped();
		} else {
			pthread_cond_wait(&writer.more, &writer.lock);
		}
	}
	return NULL;
}

/* ---- starting ---- */

static void before_fork(void)
{
	pthread_mutex_lock(&writer.lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&writer.lock);
}

/* The thread has stayed behind, and what waits is its business. */
static void in_child(void)
{
	writer.running = false;
	writer.done = writer.put;
	writer.then = NULL;
	pthread_mutex_unlock(&writer.lock);
}

static void prepare_once(void)
{
	static bool prepared;
	if (prepared)
		return;
	prepared = true;
	pthread_atfork(before_fork, after_fork, in_child);
}

static void init_conditions(void)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&writer.more, NULL);
	pthread_cond_init(&writer.written, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* Signals are for the threads that were there before. */
static bool start_thread(void)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&writer.thread, &attributes, writer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error == 0;
}

void log_writer_start(void (*on_dropped)(uint64_t lines))
{
	prepare_once();
	pthread_mutex_lock(&writer.lock);
	if (!writer.running) {
		if (writer.ring == NULL) {
			writer.ring = malloc(ROOM_BYTES);
			writer.room = ROOM_BYTES;
		}
		init_conditions();
		writer.on_dropped = on_dropped;
		writer.running = writer.ring != NULL && start_thread();
	}
	pthread_mutex_unlock(&writer.lock);
}

void log_writer_set_room(size_t bytes)
{
	pthread_mutex_lock(&writer.lock);
	size_t waits = (size_t)(writer.put - writer.done);
	char *ring = writer.ring != NULL && bytes != writer.room && bytes >= waits ? malloc(bytes)
	                                                                           : NULL;
	for (size_t i = 0; ring != NULL && i < waits; i++)
		ring[(writer.done + i) % bytes] = writer.ring[(writer.done + i) % writer.room];
	if (ring != NULL) {
		free(writer.ring);
		writer.ring = ring;
		writer.room = bytes;
	}
	pthread_mutex_unlock(&writer.lock);
}

/* ---- who logs ---- */

void log_writer_put(const char *line, size_t len)
{
	pthread_mutex_lock(&writer.lock);
	bool running = writer.running;
	if (running && writer.put - writer.done + len <= writer.room) {
		ring_write(writer.ring, writer.room, writer.put, line, len);
		writer.put += len;
		pthread_cond_signal(&writer.more);
	} else if (running) {
		writer.dropped++;
		writer.dropped_unsaid++;
	}
	pthread_mutex_unlock(&writer.lock);
	if (!running)
		write_all(line, len);
}

uint64_t log_writer_dropped(void)
{
	pthread_mutex_lock(&writer.lock);
	uint64_t dropped = writer.dropped;
	pthread_mutex_unlock(&writer.lock);
	return dropped;
}

bool log_writer_flush(unsigned within_ms)
{
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += within_ms / 1000;
	end.tv_nsec += (long)(within_ms % 1000) * 1000000;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&writer.lock);
	bool wait = writer.running && !pthread_equal(pthread_self(), writer.thread);
	uint64_t all = writer.put;
	while (wait && (writer.done < all || writer.then != NULL))
		wait = pthread_cond_timedwait(&writer.written, &writer.lock, &end) == 0;
	bool flushed = writer.done >= all && writer.then == NULL;
	pthread_mutex_unlock(&writer.lock);
	return flushed;
}

bool log_writer_then(void (*reopen)(void))
{
	pthread_mutex_lock(&writer.lock);
	bool running = writer.running;
	if (running && writer.then == NULL) { /* else the one that waits will do */
		writer.then = reopen;
		writer.then_at = writer.put;
		pthread_cond_signal(&writer.more);
	}
	pthread_mutex_unlock(&writer.lock);
	return running;
}
