/* The ring, with its looks at shared memory, locks, writes and syncs turned to sim.h. */
#include "common/store/ring_parts.h"
#include "tests/schedule/sim.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_fetch_sub
#define atomic_load(at)         (sim_step(), atomic_load_explicit(at, memory_order_seq_cst))
#define atomic_store(at, value) (sim_step(), atomic_store_explicit(at, value, memory_order_seq_cst))
#define atomic_fetch_add(at, value)                                                                \
	(sim_step(), atomic_fetch_add_explicit(at, value, memory_order_seq_cst))
#define atomic_fetch_sub(at, value)                                                                \
	(sim_step(), atomic_fetch_sub_explicit(at, value, memory_order_seq_cst))
#define pthread_mutex_lock(mutex)                    sim_mutex_lock(mutex)
#define pthread_mutex_trylock(mutex)                 sim_mutex_trylock(mutex)
#define pthread_mutex_clocklock(mutex, clock, until) ((void)(until), sim_mutex_trylock(mutex))
#define pthread_mutex_consistent(mutex)              sim_mutex_consistent(mutex)
#define pthread_mutex_unlock(mutex)                  sim_mutex_unlock(mutex)
#define pwritev                                      sim_pwritev
#define fdatasync                                    sim_fdatasync
/* Futexes: who waits looks again later, by itself. */
#define syscall(call, word, op, seen, patience, ...) ((void)(seen), (void)(patience), sim_step())

#include "common/store/ring.c" /* NOLINT */
