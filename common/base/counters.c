#include "common/base/counters.h"
#include "common/base/check.h"
#include "common/base/version.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The names in their order: an upgraded program must not write into its predecessor's fields. */
#define COUNTER_TEXT(name, kind, help) #name ":" #kind ";"
#define HISTOGRAM_TEXT(name, help)     #name ":histogram;"
#define BOUND_TEXT(ns, text)           text ";"
#define LIMITED_TEXT(NAME, label, ...) #label ":limited;"
#define CALMED_TEXT(NAME, label, ...)  #label ":calmed;"
static uint64_t layout_hash(void)
{
	static const char text[] = COUNTERS(COUNTER_TEXT) LIMITS(LIMITED_TEXT)
	        HTTP2_LIMITS(CALMED_TEXT) HISTOGRAMS(HISTOGRAM_TEXT) HISTOGRAM_BOUNDS(BOUND_TEXT);
	uint64_t h = 1469598103934665603u ^ sizeof(struct counters_slot); /* FNV-1a */
	for (size_t i = 0; i + 1 < sizeof text; i++)
		h = (h ^ (uint8_t)text[i]) * 1099511628211u;
	return h;
}

int counters_create(void)
{
	int fd = memfd_create("ringside-counters", MFD_CLOEXEC);
	uint64_t layout = layout_hash();
	if (fd >= 0 && (ftruncate(fd, sizeof(struct counters)) != 0 ||
	                pwrite(fd, &layout, sizeof layout, 0) != sizeof layout)) {
		close(fd);
		return -1;
	}
	return fd;
}

struct counters *counters_map(int fd)
{
	struct stat stat;
	if (fstat(fd, &stat) != 0 || stat.st_size != sizeof(struct counters))
		return NULL;
	void *at = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(at != MAP_FAILED);
	struct counters *counters = at;
	if (counters->layout == layout_hash())
		return counters;
	munmap(at, sizeof(struct counters));
	return NULL;
}

const char *worker_state_name(unsigned state)
{
	static const char *const names[] = {"absent", "starting", "ready", "draining", "failed"};
	return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

bool counters_missing_link(const struct counters *counters, size_t index, char name[64])
{
	if (index >= COUNTERS_LINKS_SHOWN || index >= atomic_load(&counters->links_missing))
		return false;
	uint32_t pair = atomic_load(&counters->links_shown[index]);
	const struct counters_slot *a = &counters->slots[(pair >> 16) % COUNTERS_SLOTS],
	                           *b = &counters->slots[(pair & 0xffff) % COUNTERS_SLOTS];
	snprintf(name, 64, "%s-%u/%s-%u", role_name(a->role), a->slot, role_name(b->role), b->slot);
	return true;
}

unsigned counters_workers(const struct counters *counters, unsigned set)
{
	unsigned workers = 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		workers += (counters->slots[i].role & set) != 0 &&
		           atomic_load(&counters->slots[i].state) != WORKER_ABSENT;
	return workers;
}

uint32_t counters_slots_of(const struct counters *counters, uint32_t role)
{
	uint32_t slots = 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (slot->role == role && atomic_load(&slot->state) != WORKER_ABSENT &&
		    slot->slot >= slots)
			slots = slot->slot + 1;
	}
	return slots;
}

bool counters_ready(const struct counters *counters)
{
	bool serving = false, booted = atomic_load(&counters->booted) != 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		uint32_t state = atomic_load(&slot->state);
		if (state == WORKER_FAILED || (state == WORKER_STARTING && !booted))
			return false;
		if (state == WORKER_READY && atomic_load(&slot->stalled) != 0)
			return false;
		serving = serving || (state == WORKER_READY && (slot->role & ROLE_LISTENERS) != 0);
	}
	return serving && atomic_load(&counters->links_missing) == 0;
}

/* How a kind of proto/counters.h is exported: its type, and how many of what is kept are one of
 * what is shown. */
struct counter_kind {
	const char *type;
	double divisor;
};
static const struct counter_kind kind_counter = {"counter", 1}, kind_gauge = {"gauge", 1},
                                 kind_counter_ns = {"counter", 1e9}, kind_gauge_ms = {"gauge", 1e3};

struct counter_row {
	const char *name, *help;
	const struct counter_kind *kind;
	size_t offset;
};
#define COUNTER_ROW(name, kind, help)                                                              \
	{#name, help, &kind_##kind, offsetof(struct counters_slot, name)},
static const struct counter_row rows[] = {
        COUNTERS(COUNTER_ROW){"worker_restarts_total",
                              "Times the supervisor started this worker again.", &kind_counter,
                              offsetof(struct counters_slot, restarts)},
};

static uint64_t value_at(const struct counters_slot *slot, size_t offset)
{
	const _Atomic uint64_t *at = (const void *)((const uint8_t *)slot + offset);
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void print_row(const struct counters *counters, const struct counter_row *row, FILE *out)
{
	fprintf(out, "# HELP ringside_%s %s\n# TYPE ringside_%s %s\n", row->name, row->help,
	        row->name, row->kind->type);
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (atomic_load(&slot->state) == WORKER_ABSENT)
			continue;
		uint64_t value = value_at(slot, row->offset);
		fprintf(out, "ringside_%s{worker=\"%s-%u\"} ", row->name, role_name(slot->role),
		        slot->slot);
		if (row->kind->divisor > 1)
			fprintf(out, "%.9f\n", (double)value / row->kind->divisor);
		else
			fprintf(out, "%llu\n", (unsigned long long)value);
	}
}

/* ---- limits ---- */

static const struct {
	const char *label;
	size_t offset;
} limited_rows[] = {
#define LIMITED_ROW(NAME, label, ...) {#label, offsetof(struct counters_slot, limited_##label)},
        LIMITS(LIMITED_ROW)
#undef LIMITED_ROW
};

static void print_limited(const struct counters *counters, FILE *out)
{
	fputs("# HELP ringside_limited_total Refused with 429 because of what one client may.\n"
	      "# TYPE ringside_limited_total counter\n",
	      out);
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (atomic_load(&slot->state) == WORKER_ABSENT || slot->role != ROLE_SSE)
			continue;
		for (size_t l = 0; l < sizeof limited_rows / sizeof *limited_rows; l++)
			fprintf(out, "ringside_limited_total{worker=\"%s-%u\",limit=\"%s\"} %llu\n",
			        role_name(slot->role), slot->slot, limited_rows[l].label,
			        (unsigned long long)value_at(slot, limited_rows[l].offset));
	}
}

/* ---- HTTP/2 ---- */

static const struct {
	const char *label;
	size_t offset;
} calmed_rows[] = {
#define CALMED_ROW(NAME, label, ...) {#label, offsetof(struct counters_slot, calmed_##label)},
        HTTP2_LIMITS(CALMED_ROW)
#undef CALMED_ROW
};

static void print_calmed(const struct counters *counters, FILE *out)
{
	fputs("# HELP ringside_http2_calmed_total Connections of HTTP/2 ended because of what one "
	      "may "
	      "do in ten seconds.\n"
	      "# TYPE ringside_http2_calmed_total counter\n",
	      out);
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &counters->slots[i];
		if (atomic_load(&slot->state) == WORKER_ABSENT || slot->role != ROLE_SSE)
			continue;
		for (size_t l = 0; l < sizeof calmed_rows / sizeof *calmed_rows; l++)
			fprintf(out,
			        "ringside_http2_calmed_total{worker=\"%s-%u\",limit=\"%s\"} %llu\n",
			        role_name(slot->role), slot->slot, calmed_rows[l].label,
			        (unsigned long long)value_at(slot, calmed_rows[l].offset));
	}
}

/* ---- histograms ---- */

static const struct {
	const char *name, *help;
	size_t offset;
} histogram_rows[] = {
#define HISTOGRAM_ROW(name, help) {#name, help, offsetof(struct counters_slot, name)},
        HISTOGRAMS(HISTOGRAM_ROW)
#undef HISTOGRAM_ROW
};
#define BOUND_NAME(ns, text) text,
static const char *const bound_names[] = {HISTOGRAM_BOUNDS(BOUND_NAME) "+Inf"};
#undef BOUND_NAME

/* The count is that of the last bucket, so that they agree whatever is added meanwhile. */
static void print_histogram(const char *name, const char *worker, const struct histogram *histogram,
                            FILE *out)
{
	unsigned long long count = 0;
	for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
		fprintf(out, "ringside_%s_seconds_bucket{worker=\"%s\",le=\"%s\"} %llu\n", name,
		        worker, bound_names[i], count);
	}
	fprintf(out, "ringside_%s_seconds_sum{worker=\"%s\"} %.9f\n", name, worker,
	        (double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9);
	fprintf(out, "ringside_%s_seconds_count{worker=\"%s\"} %llu\n", name, worker, count);
}

static void print_histograms(const struct counters *counters, FILE *out)
{
	for (size_t h = 0; h < sizeof histogram_rows / sizeof *histogram_rows; h++) {
		const char *name = histogram_rows[h].name;
		fprintf(out,
		        "# HELP ringside_%s_seconds %s\n# TYPE ringside_%s_seconds histogram\n",
		        name, histogram_rows[h].help, name);
		for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
			const struct counters_slot *slot = &counters->slots[i];
			char worker[32];
			snprintf(worker, sizeof worker, "%s-%u", role_name(slot->role), slot->slot);
			if (atomic_load(&slot->state) != WORKER_ABSENT)
				print_histogram(name, worker,
				                (const void *)((const uint8_t *)slot +
				                               histogram_rows[h].offset),
				                out);
		}
	}
}

/* ---- facts of the processes ---- */

/* "(name) S 1 2 ...": utime and stime are fields 14 and 15; the name may hold anything. */
static bool read_facts(uint32_t pid, struct process_facts *facts)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%u/stat", pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	size_t len = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	text[len] = '\0';
	const char *rest = strrchr(text, ')');
	unsigned long long user, system;
	long long pages;
	if (rest == NULL ||
	    sscanf(rest + 1,
	           " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
	           "%*d %*u %*u %lld",
	           &user, &system, &pages) != 3)
		return false;
	facts->cpu_seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	facts->resident_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

bool counters_process_facts(const struct counters_slot *slot, struct process_facts *facts)
{
	uint32_t pid = atomic_load(&slot->pid);
	return atomic_load(&slot->state) != WORKER_ABSENT && pid != 0 && read_facts(pid, facts);
}

enum fact { FACT_UP, FACT_STARTED, FACT_CPU, FACT_RESIDENT, FACTS };
static const struct {
	const char *name, *kind, *help;
} fact_rows[FACTS] = {
        [FACT_UP] = {"worker_up", "gauge", "1 when the worker is ready."},
        [FACT_STARTED] = {"worker_start_time_seconds", "gauge", "When the process was started."},
        [FACT_CPU] = {"worker_cpu_seconds_total", "counter", "Processor time of the process."},
        [FACT_RESIDENT] = {"worker_resident_bytes", "gauge", "Memory the process has resident."},
};

static double fact_value(const struct counters_slot *slot, const struct process_facts *facts,
                         enum fact fact)
{
	switch (fact) {
	case FACT_UP:
		return atomic_load(&slot->state) == WORKER_READY;
	case FACT_STARTED:
		return (double)atomic_load(&slot->started_ms) / 1000;
	case FACT_CPU:
		return facts->cpu_seconds;
	case FACT_RESIDENT:
		return (double)facts->resident_bytes;
	case FACTS:
		break;
	}
	return 0;
}

static void print_facts(const struct counters *counters, FILE *out)
{
	struct process_facts facts[COUNTERS_SLOTS];
	bool runs[COUNTERS_SLOTS];
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		runs[i] = counters_process_facts(&counters->slots[i], &facts[i]);
	for (enum fact fact = 0; fact < FACTS; fact++) {
		fprintf(out, "# HELP ringside_%s %s\n# TYPE ringside_%s %s\n", fact_rows[fact].name,
		        fact_rows[fact].help, fact_rows[fact].name, fact_rows[fact].kind);
		for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
			const struct counters_slot *slot = &counters->slots[i];
			if (fact == FACT_UP ? atomic_load(&slot->state) != WORKER_ABSENT : runs[i])
				fprintf(out, "ringside_%s{worker=\"%s-%u\"} %.15g\n",
				        fact_rows[fact].name, role_name(slot->role), slot->slot,
				        fact_value(slot, &facts[i], fact));
		}
	}
}

void counters_print(const struct counters *counters, FILE *out)
{
	fprintf(out,
	        "# HELP ringside_info Version of the suite.\n# TYPE ringside_info gauge\n"
	        "ringside_info{version=\"%s\"} 1\n"
	        "# HELP ringside_ready 1 when every wanted worker serves.\n"
	        "# TYPE ringside_ready gauge\nringside_ready %d\n"
	        "# HELP ringside_links_missing Links between workers that are not there.\n"
	        "# TYPE ringside_links_missing gauge\nringside_links_missing %u\n"
	        "# HELP ringside_start_time_seconds When the supervisor was started.\n"
	        "# TYPE ringside_start_time_seconds gauge\nringside_start_time_seconds %.15g\n",
	        ringside_version, counters_ready(counters),
	        (unsigned)atomic_load(&counters->links_missing),
	        (double)atomic_load(&counters->started_ms) / 1000);
	print_facts(counters, out);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		print_row(counters, &rows[i], out);
	print_limited(counters, out);
	print_calmed(counters, out);
	print_histograms(counters, out);
}
