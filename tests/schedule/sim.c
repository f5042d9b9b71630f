/* Coroutines, robust mutexes and a disk (sim.h). */
#include "tests/schedule/sim.h"
#include "common/base/check.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

enum {
	STACK_BYTES = 64 << 10,
	STEPS_MAX = 400000, /* of a run; it takes some thousands */
	SECTORS = SIM_RING_BYTES / SIM_SECTOR,
	BETWEEN_IN = 64,
};

/* In the place of a pthread_mutex_t; all zeros: free. */
struct robust {
	uint32_t owner; /* 1 + number */
	uint32_t state;
};
enum { ROBUST_FINE, ROBUST_OWNER_DEAD, ROBUST_INCONSISTENT, ROBUST_LOST };
_Static_assert(sizeof(struct robust) <= sizeof(pthread_mutex_t), "it stands there");

enum { MUTEXES_MAX = 8 };

struct process {
	jmp_buf at;
	void (*main)(uint32_t number);
	bool living, begun;
	uint8_t *stack;
};

static struct {
	uint64_t random_state;
	struct sim_options options;
	struct process processes[SIM_PROCESSES_MAX];
	uint32_t started, living, current, steps;
	bool running, dying;
	jmp_buf scheduler;
	struct robust *mutexes[MUTEXES_MAX]; /* ever locked */
	uint8_t disk[SIM_RING_BYTES];
	bool dirty[SECTORS];
} sim;

uint8_t sim_cache[SIM_RING_BYTES];
static uint8_t stacks[SIM_PROCESSES_MAX][STACK_BYTES] __attribute__((aligned(64)));

void sim_begin(uint64_t seed, const struct sim_options *options)
{
	memset(&sim, 0, sizeof sim);
	memset(sim_cache, 0, sizeof sim_cache);
	sim.random_state = (seed + 1) * 0x9e3779b97f4a7c15ull;
	sim.options = *options;
}

uint32_t sim_below(uint32_t n)
{
	sim.random_state ^= sim.random_state << 13;
	sim.random_state ^= sim.random_state >> 7;
	sim.random_state ^= sim.random_state << 17;
	return (uint32_t)(sim.random_state >> 16) % n;
}

uint32_t sim_started(void)
{
	return sim.started;
}

void sim_start(void (*main)(uint32_t number))
{
	check(sim.started < SIM_PROCESSES_MAX);
	struct process *process = &sim.processes[sim.started];
	*process = (struct process){.main = main, .living = true, .stack = stacks[sim.started]};
	sim.started++;
	sim.living++;
}

/* ---- who goes on ---- */

static void back_to_scheduler(void)
{
	if (_setjmp(sim.processes[sim.current].at) == 0)
		_longjmp(sim.scheduler, 1);
}

static void enter(void)
{
	struct process *process = &sim.processes[sim.current];
	process->main(sim.current);
	process->living = false;
	sim.living--;
	_longjmp(sim.scheduler, 1);
}

static void go_on(uint32_t number)
{
	struct process *process = &sim.processes[number];
	static ucontext_t first;
	sim.current = number;
	if (process->begun)
		_longjmp(process->at, 1);
	process->begun = true;
	check(getcontext(&first) == 0);
	first.uc_stack.ss_sp = process->stack;
	first.uc_stack.ss_size = STACK_BYTES;
	makecontext(&first, enter, 0);
	setcontext(&first);
}

static void die(void)
{
	sim.processes[sim.current].living = false;
	sim.living--;
	for (int i = 0; i < MUTEXES_MAX && sim.mutexes[i] != NULL; i++)
		if (sim.mutexes[i]->owner == sim.current + 1) {
			sim.mutexes[i]->owner = 0;
			sim.mutexes[i]->state = sim.mutexes[i]->state == ROBUST_LOST
			                                ? ROBUST_LOST
			                                : ROBUST_OWNER_DEAD;
		}
	sim.dying = true;
	_longjmp(sim.scheduler, 1);
}

void sim_step(void)
{
	if (!sim.running)
		return;
	sim.steps++;
	if (sim.options.kill_in != 0 && sim_below(sim.options.kill_in) == 0)
		die();
	if (sim_below(sim.options.switch_in) == 0)
		back_to_scheduler();
}

static uint32_t any_living(void)
{
	uint32_t nth = sim_below(sim.living), i = 0;
	for (;; i++)
		if (sim.processes[i].living && nth-- == 0)
			return i;
}

bool sim_run(void (*on_death)(uint32_t number), void (*between)(void))
{
	while (sim.living > 0 && sim.steps < STEPS_MAX) {
		sim.running = true;
		if (_setjmp(sim.scheduler) == 0)
			go_on(any_living());
		sim.running = false;
		sim.steps++;
		if (sim.dying) {
			sim.dying = false;
			on_death(sim.current);
		}
		if (sim_below(BETWEEN_IN) == 0)
			between();
	}
	return sim.living == 0;
}

/* ---- locks ---- */

static struct robust *robust_of(pthread_mutex_t *mutex)
{
	struct robust *robust = (void *)mutex;
	int i = 0;
	while (sim.mutexes[i] != NULL && sim.mutexes[i] != robust)
		check(++i < MUTEXES_MAX);
	sim.mutexes[i] = robust;
	return robust;
}

int sim_mutex_trylock(pthread_mutex_t *mutex)
{
	struct robust *robust = robust_of(mutex);
	sim_step();
	if (robust->state == ROBUST_LOST)
		return ENOTRECOVERABLE;
	if (robust->owner != 0)
		return EBUSY;
	robust->owner = sim.current + 1;
	if (robust->state != ROBUST_OWNER_DEAD)
		return 0;
	robust->state = ROBUST_INCONSISTENT;
	return EOWNERDEAD;
}

int sim_mutex_lock(pthread_mutex_t *mutex)
{
	int result;
	while ((result = sim_mutex_trylock(mutex)) == EBUSY)
		back_to_scheduler();
	return result;
}

int sim_mutex_consistent(pthread_mutex_t *mutex)
{
	struct robust *robust = robust_of(mutex);
	sim_step();
	if (robust->state != ROBUST_INCONSISTENT)
		return EINVAL;
	robust->state = ROBUST_FINE;
	return 0;
}

int sim_mutex_unlock(pthread_mutex_t *mutex)
{
	struct robust *robust = robust_of(mutex);
	sim_step();
	check(robust->owner == sim.current + 1);
	if (robust->state == ROBUST_INCONSISTENT)
		robust->state = ROBUST_LOST;
	robust->owner = 0;
	sim_step();
	return 0;
}

/* ---- the disk ---- */

static bool fails(void)
{
	return sim.running && sim.options.fail_in != 0 && sim_below(sim.options.fail_in) == 0;
}

static void put(uint64_t at, const uint8_t *from, size_t bytes)
{
	memcpy(sim_cache + at, from, bytes);
	for (uint64_t s = at / SIM_SECTOR; s <= (at + bytes - 1) / SIM_SECTOR; s++)
		sim.dirty[s] = true;
}

/* Gets there in pieces. One that fails may have come some way. */
ssize_t sim_pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	bool failing = fails();
	ssize_t done = 0;
	(void)fd;
	for (int i = 0; i < count; i++) {
		const uint8_t *from = iov[i].iov_base;
		for (size_t left = iov[i].iov_len, n; left > 0; left -= n, from += n) {
			n = 1 + sim_below(SIM_SECTOR);
			n = n < left ? n : left;
			sim_step();
			if (failing && sim_below(4) == 0) {
				errno = EIO;
				return -1;
			}
			put((uint64_t)(at + done), from, n);
			done += (ssize_t)n;
		}
	}
	errno = EIO;
	return failing ? -1 : done;
}

static void write_sector(size_t sector)
{
	size_t at = sector * SIM_SECTOR;
	memcpy(sim.disk + at, sim_cache + at, SIM_SECTOR);
	sim.dirty[sector] = false;
}

/* What a failed sync leaves: some of it written, the rest clean all the same, some of that read
 * again as it was. */
static void lose_sector(size_t sector)
{
	size_t at = sector * SIM_SECTOR;
	sim.dirty[sector] = false;
	if (sim_below(2) == 0)
		memcpy(sim_cache + at, sim.disk + at, SIM_SECTOR);
}

int sim_fdatasync(int fd)
{
	bool due[SECTORS];
	(void)fd;
	sim_step();
	bool failing = fails();
	memcpy(due, sim.dirty, sizeof due);
	for (size_t i = 0; i < SECTORS; i++) {
		if (!due[i])
			continue;
		sim_step();
		if (failing && sim_below(2) == 0)
			lose_sector(i);
		else
			write_sector(i);
	}
	sim_step();
	errno = EIO;
	return failing ? -1 : 0;
}

void sim_power_failure(uint8_t image[SIM_RING_BYTES])
{
	uint32_t kind = sim_below(4);
	memcpy(image, sim.disk, SIM_RING_BYTES);
	for (size_t i = 0; i < SECTORS; i++)
		if (sim.dirty[i] && (kind == 0 || (kind != 1 && sim_below(2) == 0)))
			memcpy(image + i * SIM_SECTOR, sim_cache + i * SIM_SECTOR, SIM_SECTOR);
}
