/* The world of one run: what chance does in it comes of a seed, and time goes by itself, from one
 * event to the next. Everything runs on one thread, in an order that is the same for the same seed.
 *
 * It stands in place of what the product asks the machine for: clock_gettime(), clock_random() and
 * libuv's timers (link with world_dep). A loop belongs to a process: uv_loop_t.data is its number,
 * from 1 on; 0 is the world itself. What a process that was killed waits for never comes; of one
 * that is paused it comes late. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WORLD_EVENTS_MAX = 4096,
	WORLD_PROCESSES_MAX = 1024,
	WORLD_BROKEN = 9, /* exit code of a run in which something is not as it must be */
};

/* `traced`: what happens is printed. */
void world_begin(uint64_t seed, bool traced);

/* ---- chance ---- */

uint64_t world_below(uint64_t below); /* uniform in [0, below) */
bool world_chance(unsigned per_mille);
/* Mostly small, sometimes large: what waiting is like. Below `most`. */
uint64_t world_wait(uint64_t usual, uint64_t most);

/* ---- time, in ms ---- */

uint64_t world_ms(void); /* since world_begin() */
uint64_t world_wall_ms(void);
/* Somebody sets the clock. */
void world_set_clock(int64_t by_ms);

/* ---- events ---- */

void world_after(unsigned process, uint64_t ms, void (*call)(void *arg), void *arg);
/* What waits for it with this argument. */
void world_cancel(const void *arg);
void world_kill(unsigned process);
void world_pause(unsigned process, uint64_t ms);
/* The next one happens; false: there is none. */
bool world_step(void);

/* ---- what is seen ---- */

void world_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Something is not as it must be: says so, and ends the process with WORLD_BROKEN. */
_Noreturn void world_broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
