#include "common/counters.h"
#include "common/check.h"

#include <sys/mman.h>
#include <unistd.h>

int counters_create(void)
{
	int fd = memfd_create("ringside-counters", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, sizeof(struct counters)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct counters *counters_map(int fd)
{
	void *at = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(at != MAP_FAILED);
	return at;
}

const char *role_name(unsigned role)
{
	switch (role) {
	case ROLE_SUPERVISOR:
		return "ringside";
	case ROLE_SSE:
		return "sse";
	case ROLE_CAPTURE:
		return "capture";
	case ROLE_BRIDGE:
		return "bridge";
	case ROLE_ADMIN:
		return "admin";
	default:
		return "unknown";
	}
}

const char *worker_state_name(unsigned state)
{
	static const char *const names[] = {"absent", "starting", "ready", "draining", "failed"};
	return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

bool counters_ready(const struct counters *counters)
{
	bool serving = false, booted = atomic_load(&counters->booted) != 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		uint32_t state = atomic_load(&slot->state);
		if (state == WORKER_FAILED || (state == WORKER_STARTING && !booted))
			return false;
		serving = serving || (state == WORKER_READY && slot->role == ROLE_SSE);
	}
	return serving;
}

struct counter_row {
	const char *name, *kind, *help;
	size_t offset;
};
#define COUNTER_ROW(name, kind, help) {#name, #kind, help, offsetof(struct counters_slot, name)},
static const struct counter_row rows[] = {
        COUNTERS(COUNTER_ROW)
        {"worker_restarts_total", "counter", "Times the supervisor started this worker again.",
         offsetof(struct counters_slot, restarts)},
};

static uint64_t value_at(const struct counters_slot *slot, size_t offset)
{
	const _Atomic uint64_t *at = (const void *)((const uint8_t *)slot + offset);
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void print_row(const struct counters *counters, const struct counter_row *row, FILE *out)
{
	fprintf(out, "# HELP ringside_%s %s\n# TYPE ringside_%s %s\n", row->name, row->help, row->name,
	        row->kind);
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (atomic_load(&slot->state) != WORKER_ABSENT)
			fprintf(out, "ringside_%s{worker=\"%s-%u\"} %llu\n", row->name,
			        role_name(slot->role), slot->slot,
			        (unsigned long long)value_at(slot, row->offset));
	}
}

void counters_print(const struct counters *counters, FILE *out)
{
	fprintf(out,
	        "# HELP ringside_info Version of the suite.\n# TYPE ringside_info gauge\n"
	        "ringside_info{version=\"%s\"} 1\n"
	        "# HELP ringside_ready 1 when every wanted worker serves.\n"
	        "# TYPE ringside_ready gauge\nringside_ready %d\n"
	        "# HELP ringside_worker_up 1 when the worker is ready.\n"
	        "# TYPE ringside_worker_up gauge\n",
	        RINGSIDE_VERSION, counters_ready(counters));
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		uint32_t state = atomic_load(&slot->state);
		if (state != WORKER_ABSENT)
			fprintf(out, "ringside_worker_up{worker=\"%s-%u\",state=\"%s\"} %d\n",
			        role_name(slot->role), slot->slot, worker_state_name(state),
			        state == WORKER_READY);
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		print_row(counters, &rows[i], out);
}
