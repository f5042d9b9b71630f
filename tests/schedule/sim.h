/* Processes of one ring as coroutines of one thread, and their disk: who goes on at each look at
 * shared memory, lock, write and sync, who dies there and what a sync does, a seed says. The same
 * seed is the same run.
 *
 * The ring's source is compiled with its calls turned to these (ring_shim.c). */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { SIM_PROCESSES_MAX = 12, SIM_RING_BYTES = 16384, SIM_SECTOR = 512 };

struct sim_options {
	uint32_t switch_in; /* another goes on at one look in so many */
	uint32_t kill_in;   /* dies; 0: nobody */
	uint32_t fail_in;   /* a write or sync fails; 0: none */
};

extern uint8_t sim_cache[SIM_RING_BYTES]; /* what processes see */

/* All is forgotten; nothing yields until sim_run(). */
void sim_begin(uint64_t seed, const struct sim_options *options);
uint32_t sim_below(uint32_t n);

/* `main` gets its number. To be called before sim_run() or by a process. */
void sim_start(void (*main)(uint32_t number));
/* Until all have ended. Between the steps of processes `between` is called now and then. False:
 * they do not get on. */
bool sim_run(void (*on_death)(uint32_t number), void (*between)(void));
uint32_t sim_started(void);

/* What the disk may show now, if the power fails. */
void sim_power_failure(uint8_t image[SIM_RING_BYTES]);

/* ---- what the ring calls ---- */
void sim_step(void);
int sim_mutex_lock(pthread_mutex_t *mutex);
int sim_mutex_trylock(pthread_mutex_t *mutex);
int sim_mutex_consistent(pthread_mutex_t *mutex);
int sim_mutex_unlock(pthread_mutex_t *mutex);
ssize_t sim_pwritev(int fd, const struct iovec *iov, int count, off_t at);
int sim_fdatasync(int fd);
