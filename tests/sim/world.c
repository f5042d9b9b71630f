#include "tests/sim/world.h"
#include "common/base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

struct event {
	uint64_t due_ms, order;
	unsigned process;
	void (*call)(void *arg);
	void *arg;
};

static struct event events[WORLD_EVENTS_MAX];
static size_t events_count;
static uint64_t paused_until_ms[WORLD_PROCESSES_MAX];
static bool killed[WORLD_PROCESSES_MAX];
static uint64_t seed, dice, now_ms;
static int64_t wall_ms;
static bool traced;

enum { WALL_BEGINS_S = 1790000000 };

void world_begin(uint64_t its_seed, bool is_traced)
{
	seed = its_seed;
	dice = its_seed * 0x9e3779b97f4a7c15u + 1;
	traced = is_traced;
	now_ms = 1000;
	wall_ms = WALL_BEGINS_S * INT64_C(1000);
	events_count = 0;
	memset(killed, 0, sizeof killed);
	memset(paused_until_ms, 0, sizeof paused_until_ms);
}

/* ---- chance ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(void)
{
	uint64_t z = dice += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t world_below(uint64_t below)
{
	return next_random() % below;
}

bool world_chance(unsigned per_mille)
{
	return world_below(1000) < per_mille;
}

uint64_t world_wait(uint64_t usual, uint64_t most)
{
	return world_chance(40) ? world_below(most) : world_below(usual);
}

void __wrap_clock_random(void *into, size_t len);
void __wrap_clock_random(void *into, size_t len)
{
	uint8_t *at = into;
	while (len-- > 0)
		*at++ = (uint8_t)next_random();
}

uint64_t __wrap_clock_random_below(uint64_t below);
uint64_t __wrap_clock_random_below(uint64_t below)
{
	return world_below(below);
}

/* ---- time ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	uint64_t ms = now_ms + (id == CLOCK_REALTIME ? (uint64_t)wall_ms : 0);
	*t = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	return 0;
}

uint64_t world_ms(void)
{
	return now_ms;
}

uint64_t world_wall_ms(void)
{
	return now_ms + (uint64_t)wall_ms;
}

void world_set_clock(int64_t by_ms)
{
	world_trace("the clock is set by %" PRId64 " ms", by_ms);
	wall_ms += by_ms;
}

/* ---- events ---- */

void world_after(unsigned process, uint64_t ms, void (*call)(void *arg), void *arg)
{
	check(events_count < WORLD_EVENTS_MAX && process < WORLD_PROCESSES_MAX);
	if (!killed[process])
		events[events_count++] =
		        (struct event){now_ms + ms, next_random(), process, call, arg};
}

static void drop(size_t at)
{
	events[at] = events[--events_count];
}

void world_cancel(const void *arg)
{
	for (size_t i = events_count; i-- > 0;)
		if (events[i].arg == arg)
			drop(i);
}

void world_kill(unsigned process)
{
	killed[process] = true;
	for (size_t i = events_count; i-- > 0;)
		if (events[i].process == process)
			drop(i);
}

void world_pause(unsigned process, uint64_t ms)
{
	paused_until_ms[process] = now_ms + ms;
}

static uint64_t due_ms(const struct event *e)
{
	uint64_t until_ms = paused_until_ms[e->process];
	return e->due_ms > until_ms ? e->due_ms : until_ms;
}

bool world_step(void)
{
	size_t first = 0;
	if (events_count == 0)
		return false;
	for (size_t i = 1; i < events_count; i++) {
		uint64_t due = due_ms(&events[i]), first_due = due_ms(&events[first]);
		if (due < first_due || (due == first_due && events[i].order < events[first].order))
			first = i;
	}
	struct event e = events[first];
	now_ms = due_ms(&e) > now_ms ? due_ms(&e) : now_ms;
	drop(first);
	e.call(e.arg);
	return true;
}

/* ---- libuv's timers ---- */

static void on_timer(void *arg)
{
	uv_timer_t *timer = arg;
	if (timer->repeat != 0)
		uv_timer_start(timer, timer->timer_cb, timer->repeat, timer->repeat);
	timer->timer_cb(timer);
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
	timer->loop = loop;
	return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
	world_cancel(timer);
	timer->timer_cb = cb;
	timer->repeat = repeat;
	world_after((unsigned)(uintptr_t)timer->loop->data, timeout, on_timer, timer);
	return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
	world_cancel(timer);
	return 0;
}

static void on_closed(void *arg)
{
	uv_handle_t *handle = arg;
	handle->close_cb(handle);
}

void uv_close(uv_handle_t *handle, uv_close_cb on_close)
{
	world_cancel(handle);
	handle->close_cb = on_close;
	if (on_close != NULL)
		world_after((unsigned)(uintptr_t)handle->loop->data, 0, on_closed, handle);
}

/* ---- what is seen ---- */

/* What a process that was killed had is nobody's any more, here as anywhere: it is no leak. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void __attribute__((format(printf, 1, 0))) say(const char *format, va_list arguments)
{
	printf("%9.3f  ", (double)now_ms / 1000);
	vprintf(format, arguments);
	putchar('\n');
}

void world_trace(const char *format, ...)
{
	va_list arguments;
	if (!traced)
		return;
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}

void world_broken(const char *format, ...)
{
	va_list arguments;
	printf("BROKEN: seed %" PRIu64 ":\n", seed);
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	fflush(stdout);
	_Exit(WORLD_BROKEN);
}
