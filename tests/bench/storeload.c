/* Appends to a store without HTTP: what its layout is worth, beside bare fdatasync (disk.c).
 *
 *     storeload --dir D [--processes 1] [--streams 1] [--clients 64] [--bytes 100] [--seconds 2]
 *
 * Each process has so many clients; each of them appends to a random stream, and again when that is
 * on disk. Prints one line of JSON: appends, seconds, per_second, commits_per_second, bad, p50_us,
 * p99_us. Fails when one of them was refused. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/store.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PROCESSES_MAX = 64,
	CLIENTS_MAX = 4096,
	STREAMS_MAX = 1000000,
	BODY_MAX = 1 << 20,
	PATH_MAX_BYTES = 32,
	RING_BYTES = 64 << 20,
	LATENCY_MAX_US = 1 << 20, /* longer ones count as this */
};

/* Shared by all processes: set by the parent, but for `ready` and the processes' own rows. */
struct shared {
	_Atomic uint32_t ready;
	_Atomic uint64_t end_ns; /* 0: not begun */
	struct tally {
		uint64_t appends, bad, commits, ended_ns;
		uint32_t latency[LATENCY_MAX_US + 1]; /* by microseconds */
	} tallies[PROCESSES_MAX];
};

struct client {
	struct command command;
	char path[PATH_MAX_BYTES];
	uint32_t size;
	uint64_t sent_ns;
};

static struct {
	const char *dir;
	uint32_t processes, streams, clients, bytes;
	double seconds;
} load = {.processes = 1, .streams = 1, .clients = 64, .bytes = 100, .seconds = 2};

static struct shared *shared;

/* One process. */
static struct {
	struct store *store;
	struct tally *tally;
	unsigned short random[3];
	char *body;
	int wake_fd;
	uint32_t under_way;
} own;

static void notify(void *arg)
{
	(void)arg;
	uint64_t one = 1;
	check(write(own.wake_fd, &one, sizeof one) == sizeof one);
}

static void await(void)
{
	uint64_t count;
	check(read(own.wake_fd, &count, sizeof count) == sizeof count);
	store_collect(own.store);
}

static void path_of(char path[PATH_MAX_BYTES], uint32_t stream)
{
	snprintf(path, PATH_MAX_BYTES, "/load/%u", stream);
}

static void on_appended(struct command *command);

static void append(struct client *client)
{
	path_of(client->path, (uint32_t)(nrand48(own.random) % load.streams));
	client->size = load.bytes;
	client->command =
	        (struct command){.kind = COMMAND_APPEND,
	                         .done = on_appended,
	                         .owner = client,
	                         .path = span_str(client->path),
	                         .content_type = span_str("application/octet-stream"),
	                         .body = {&client->size, 1, span_of(own.body, load.bytes)}};
	client->sent_ns = clock_monotonic_ns();
	own.under_way++;
	store_submit(own.store, &client->command);
}

static void on_appended(struct command *command)
{
	struct client *client = command->owner;
	uint64_t now_ns = clock_monotonic_ns(), us = (now_ns - client->sent_ns) / 1000;
	own.under_way--;
	own.tally->appends++;
	own.tally->bad += command->verdict != VERDICT_OK;
	own.tally->latency[us < LATENCY_MAX_US ? us : LATENCY_MAX_US]++;
	if (now_ns < shared->end_ns)
		append(client);
}

static void on_created(struct command *command)
{
	own.under_way--;
	if (command->verdict != VERDICT_CREATED && command->verdict != VERDICT_EXISTS)
		fatal("create: %s", verdict_name(command->verdict));
}

/* All of them, a few hundred at a time; several processes may do so at once. */
static void create_streams(void)
{
	enum { AT_ONCE = 500 };
	struct client *clients = xcalloc(AT_ONCE, sizeof *clients);
	for (uint32_t next = 0; next < load.streams;) {
		for (uint32_t i = 0; i < AT_ONCE && next < load.streams; i++, next++) {
			path_of(clients[i].path, next);
			clients[i].command = (struct command){
			        .kind = COMMAND_CREATE,
			        .done = on_created,
			        .path = span_str(clients[i].path),
			        .content_type = span_str("application/octet-stream")};
			own.under_way++;
			store_submit(own.store, &clients[i].command);
		}
		store_kick(own.store);
		while (own.under_way != 0)
			await();
	}
	free(clients);
}

static void open_store(void)
{
	struct store_options options = {
	        .dir = load.dir,
	        .ring_bytes = RING_BYTES,
	        .map_bytes = 64ull << 30,
	        .readers_max = 126,
	        .checkpoint_ms = 1000,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = STREAMS_MAX, .producers_per_stream_max = 16},
	        .maintain = true,
	        .gather = true,
	        .notify = notify};
	char reason[256];
	own.wake_fd = eventfd(0, EFD_CLOEXEC);
	check(own.wake_fd >= 0);
	if (store_open(&own.store, &options, reason) != 0)
		fatal("store not opened: %s", reason);
}

static void run_process(uint32_t index)
{
	struct store_status before, after;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	own.tally = &shared->tallies[index];
	own.random[0] = (unsigned short)index;
	own.body = xcalloc(1, load.bytes);
	memset(own.body, '*', load.bytes);
	open_store();
	create_streams();
	shared->ready++;
	while (shared->end_ns == 0)
		usleep(1000);
	store_status(own.store, &before);
	struct client *clients = xcalloc(load.clients, sizeof *clients);
	for (uint32_t i = 0; i < load.clients; i++)
		append(&clients[i]);
	while (own.under_way != 0) {
		store_kick(own.store);
		await();
	}
	own.tally->ended_ns = clock_monotonic_ns();
	store_status(own.store, &after);
	own.tally->commits = after.commits - before.commits;
	free(clients);
	store_close(&own.store);
	free(own.body);
	close(own.wake_fd);
}

static uint32_t percentile(const uint64_t *latency, uint64_t appends, double part)
{
	uint64_t seen = 0;
	for (uint32_t us = 0; us <= LATENCY_MAX_US; us++) {
		seen += latency[us];
		if ((double)seen > (double)appends * part)
			return us;
	}
	return 0;
}

/* False when an append was refused: what was not taken is not throughput. */
static bool report(uint64_t began_ns)
{
	uint64_t *latency = xcalloc(LATENCY_MAX_US + 1, sizeof *latency);
	uint64_t appends = 0, bad = 0, commits = 0, ended_ns = began_ns + 1;
	for (uint32_t p = 0; p < load.processes; p++) {
		const struct tally *tally = &shared->tallies[p];
		appends += tally->appends;
		bad += tally->bad;
		commits += tally->commits;
		ended_ns = tally->ended_ns > ended_ns ? tally->ended_ns : ended_ns;
		for (uint32_t us = 0; us <= LATENCY_MAX_US; us++)
			latency[us] += tally->latency[us];
	}
	double seconds = (double)(ended_ns - began_ns) / 1e9;
	printf("{\"appends\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"commits_per_second\":%.1f,"
	       "\"bad\":%llu,"
	       "\"p50_us\":%u,\"p99_us\":%u}\n",
	       (unsigned long long)appends, seconds, (double)appends / seconds,
	       (double)commits / seconds, (unsigned long long)bad,
	       percentile(latency, appends, 0.5), percentile(latency, appends, 0.99));
	free(latency);
	return bad == 0;
}

static uint32_t number(const char *text, uint32_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	if (*end != '\0' || n < 1 || n > max)
		fatal("storeload: %s: must be 1 to %u", text, max);
	return (uint32_t)n;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
	        {"dir", 1, NULL, 'd'},     {"processes", 1, NULL, 'p'}, {"streams", 1, NULL, 's'},
	        {"clients", 1, NULL, 'c'}, {"bytes", 1, NULL, 'b'},     {"seconds", 1, NULL, 't'},
	        {NULL, 0, NULL, 0}};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'd':
			load.dir = optarg;
			break;
		case 'p':
			load.processes = number(optarg, PROCESSES_MAX);
			break;
		case 's':
			load.streams = number(optarg, STREAMS_MAX);
			break;
		case 'c':
			load.clients = number(optarg, CLIENTS_MAX);
			break;
		case 'b':
			load.bytes = number(optarg, BODY_MAX);
			break;
		case 't':
			load.seconds = strtod(optarg, NULL);
			break;
		default:
			exit(2);
		}
	}
	if (load.dir == NULL || optind != argc || load.seconds <= 0) {
		fputs("usage: storeload --dir D [--processes N] [--streams N] [--clients N] "
		      "[--bytes N] [--seconds N]\n",
		      stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	log_set_level(LOG_LEVEL_WARN);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	check(shared != MAP_FAILED);
	for (uint32_t p = 0; p < load.processes; p++) {
		pid_t pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			run_process(p);
			return 0;
		}
	}
	while (shared->ready < load.processes && waitpid(-1, NULL, WNOHANG) == 0)
		usleep(1000);
	uint64_t began_ns = clock_monotonic_ns();
	shared->end_ns = began_ns + (uint64_t)(load.seconds * 1e9);
	bool failed = false;
	for (uint32_t p = 0; p < load.processes; p++) {
		int status;
		failed |= wait(&status) < 0 || status != 0;
	}
	return !report(began_ns) || failed;
}
