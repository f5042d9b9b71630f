#include "scripts/duel/wait.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static int signals = -1;
static bool stopped;

void wait_init(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* an engine that has ended is found by reading */
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		abort();
}

static void look(void)
{
	struct signalfd_siginfo info;
	stopped |= read(signals, &info, sizeof info) == sizeof info;
}

bool wait_stopped(void)
{
	look();
	return stopped;
}

static uint64_t now_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t wait_now_ms(void)
{
	return now_ms(CLOCK_MONOTONIC);
}

uint64_t wait_wall_ms(void)
{
	return now_ms(CLOCK_REALTIME);
}

static struct {
	void (*call)(void *arg);
	void *arg;
	uint64_t every_ms, due_ms;
	bool runs;
} beat;

void wait_beat(void (*call)(void *arg), void *arg, uint64_t every_ms)
{
	beat.call = call;
	beat.arg = arg;
	beat.every_ms = every_ms;
	beat.due_ms = wait_now_ms() + every_ms;
}

static void beat_if_due(void)
{
	if (beat.call == NULL || beat.runs || wait_now_ms() < beat.due_ms)
		return;
	beat.runs = true; /* it may wait itself */
	beat.call(beat.arg);
	beat.runs = false;
	beat.due_ms = wait_now_ms() + beat.every_ms;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

enum wait_result wait_until(int fd, uint64_t due_ms)
{
	for (;;) {
		beat_if_due();
		struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
		                       {.fd = fd, .events = POLLIN}};
		uint64_t now = wait_now_ms(), left = due_ms > now ? due_ms - now : 0;
		left = min(left, beat.call != NULL ? beat.every_ms : 60000);
		poll(fds, 2, (int)min(left, 60000));
		look();
		if (stopped)
			return WAIT_STOPPED;
		if (fd >= 0 && fds[1].revents != 0)
			return WAIT_READY;
		if (wait_now_ms() >= due_ms)
			return WAIT_DUE;
	}
}

enum wait_result wait_for_ms(uint64_t ms)
{
	return wait_until(-1, wait_now_ms() + ms);
}
