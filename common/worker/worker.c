#include "common/worker/worker.h"
#include "common/base/cgroup.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/handed.h"
#include "common/worker/seccomp.h"
#include "proto/roles.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 250 };

/* What the handlers of one frame need: the worker and the descriptor that rode along. */
struct worker_inbox {
	struct worker *worker;
	int fd;
};
#define CTX struct worker_inbox
PROTO_INBOX_WORKER(PROTO_HANDLER)

static enum proto_verdict on_peer_frame(void *arg, struct peer *peer, unsigned type,
                                        struct span body, int fd);

static void on_heartbeat(uv_timer_t *timer)
{
	struct worker *worker = timer->data;
	if (worker->draining && clock_monotonic_ms() >= worker->drain_due_ms) {
		log_warn("drain cut", "%s", "");
		worker->cut = true; /* what it waits for may never come: its files neither */
		worker_exit(worker, EXIT_DONE);
	}
	counter_set(worker->mine, log_dropped_total, log_dropped());
	if (!worker->stalled)
		peer_put(worker->supervisor, heartbeat, HEARTBEAT, {.at_ms = clock_monotonic_ms()});
}

struct ceilings worker_ceilings(const struct worker *worker)
{
	struct ceilings ceilings;
	const struct ceilings_among among = {
	        .memory_bytes = worker->memory_bytes,
	        .listeners = counters_workers(worker->counters, ROLE_LISTENERS),
	        .others = counters_workers(worker->counters, ROLE_WORKERS & ~ROLE_LISTENERS)};
	ceilings_find(&ceilings, worker->settings.newest, &among);
	return ceilings;
}

static void use_log_settings(struct worker *worker)
{
	enum log_level level;
	if (log_level_parse(worker->settings.newest->log_level, &level))
		log_set_level(level);
	log_set_json(strcmp(worker->settings.newest->log_format, "json") == 0);
	log_set_buffer(worker_ceilings(worker).log_bytes);
}

/* 0, or the exit code. Before anything of others is read. */
static int close_in(struct worker *worker)
{
	const char *sandbox = worker->settings.newest->sandbox;
	char reason[256];
	if ((role_of(worker->program->role)->traits & ROLE_CONFINED) == 0 ||
	    strcmp(sandbox, "off") == 0 || seccomp_close(reason))
		return 0;
	if (strcmp(sandbox, "required") == 0)
		return worker_cannot_start(worker, "sandbox: required, but there is %s", reason);
	log_warn("any system call is possible here", "sandbox=auto why=\"%s\"", reason);
	return 0;
}

static void begin(struct worker *worker)
{
	worker->started = true;
	int code = close_in(worker);
	if (code == 0)
		code = worker->program->start(worker);
	if (code != 0)
		worker_exit(worker, code);
}

static void on_settings(struct worker_inbox *inbox, const struct party *from,
                        const struct proto_settings *m)
{
	struct worker *worker = inbox->worker;
	(void)from;
	char reason[SETTINGS_REASON_MAX];
	struct settings fresh;
	struct span lines;
	if (m->len > PROTO_SETTINGS_BYTES_MAX || inbox->fd < 0 ||
	    handed_open(inbox->fd, m->len, &lines) != HANDED_OPEN)
		fatal("settings from the supervisor cannot be read");
	settings_init(&fresh);
	if (!settings_from_text(&fresh, lines, reason))
		fatal("settings from the supervisor: %s", reason);
	handed_close(&lines);
	const struct settings *former = worker->settings.newest;
	worker->settings.newest = settings_freeze(&fresh);
	use_log_settings(worker);
	if (!worker->started)
		begin(worker);
	else if (worker->program->reload != NULL)
		worker->program->reload(worker);
	settings_drop(&former);
}

static void on_drain(struct worker_inbox *inbox, const struct party *from,
                     const struct proto_drain *m)
{
	struct worker *worker = inbox->worker;
	(void)from;
	if (worker->draining)
		return;
	worker->draining = true;
	worker->drain_due_ms = m->due_ms;
	log_info("draining", "%s", "");
	if (worker->started)
		worker->program->drain(worker, m->due_ms);
	else
		worker_exit(worker, EXIT_DONE);
}

static void tell_gone(struct worker *worker, const struct peer *peer)
{
	if (worker->program->on_peer_gone != NULL && worker->started)
		worker->program->on_peer_gone(worker, peer_party(peer));
}

/* Of one that is not up the supervisor makes another, unless the other worker has ended. */
static void report_link(struct worker *worker, unsigned role, uint64_t slot, uint64_t link, bool up)
{
	counter_add(worker->mine, links_lost_total, !up);
	peer_put(worker->supervisor, link_state, LINK_STATE,
	         {.role = (uint8_t)role, .slot = slot, .link = link, .up = up});
}

static void on_peer_closed(void *arg, struct peer *peer)
{
	struct worker *worker = arg;
	for (size_t i = 0; i < worker->peers_count; i++)
		if (worker->peers[i].peer == peer) {
			report_link(worker, peer_party(peer)->role, peer_party(peer)->slot,
			            worker->peers[i].link, false);
			worker->peers[i] = worker->peers[--worker->peers_count];
			tell_gone(worker, peer);
			return;
		}
}

static struct counters_slot *find_slot(const struct worker *worker, unsigned role, uint64_t number)
{
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		struct counters_slot *slot = &worker->counters->slots[i];
		if (slot->role == role && slot->slot == number &&
		    atomic_load(&slot->state) != WORKER_ABSENT)
			return slot;
	}
	return NULL;
}

/* Its index, or peers_count. */
static size_t find_peer(const struct worker *worker, unsigned role, uint64_t slot)
{
	size_t i = 0;
	while (i < worker->peers_count && (peer_party(worker->peers[i].peer)->role != role ||
	                                   peer_party(worker->peers[i].peer)->slot != slot))
		i++;
	return i;
}

struct peer *worker_peer(struct worker *worker, unsigned role, unsigned slot)
{
	size_t i = find_peer(worker, role, slot);
	return i < worker->peers_count ? worker->peers[i].peer : NULL;
}

/* A peer that came back has a new generation and replaces its former self. */
static void forget_peer(struct worker *worker, unsigned role, uint64_t slot)
{
	size_t i = find_peer(worker, role, slot);
	if (i == worker->peers_count)
		return;
	struct peer *old = worker->peers[i].peer;
	worker->peers[i] = worker->peers[--worker->peers_count];
	tell_gone(worker, old);
	peer_destroy(&old);
}

static void on_peer(struct worker_inbox *inbox, const struct party *from,
                    const struct proto_peer *m)
{
	struct worker *worker = inbox->worker;
	(void)from;
	forget_peer(worker, m->role, m->slot);
	bool up = inbox->fd >= 0 && worker->peers_count < WORKER_PEERS_MAX;
	report_link(worker, m->role, m->slot, m->link, up);
	if (!up)
		return;
	const struct peer_events events = {.on_frame = on_peer_frame,
	                                   .on_close = on_peer_closed,
	                                   .arg = worker,
	                                   .queue_bytes_max = worker_ceilings(worker).link_bytes,
	                                   .link = true};
	counter_set(worker->mine, link_bytes_max, events.queue_bytes_max);
	const struct party party = {m->role, (unsigned)m->slot, m->generation};
	worker->peers[worker->peers_count++] =
	        (struct worker_peer){peer_create(worker->loop, inbox->fd, party, &events),
	                             find_slot(worker, m->role, m->slot), m->link};
	inbox->fd = -1;
}

static void on_log_level(struct worker_inbox *inbox, const struct party *from,
                         const struct proto_log_level *m)
{
	(void)inbox;
	(void)from;
	char text[17] = "";
	enum log_level level;
	memcpy(text, m->level.at, m->level.len);
	if (log_level_parse(text, &level))
		log_set_level(level);
}

static void on_log_reopen(struct worker_inbox *inbox, const struct party *from,
                          const struct proto_log_reopen *m)
{
	(void)from;
	(void)m;
	log_reopen(inbox->worker->settings.newest->log_file);
}

static enum proto_verdict dispatch(struct worker_inbox *ctx, const struct party *from,
                                   unsigned type, struct span body)
{
	switch (type) {
		PROTO_INBOX_WORKER(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static enum proto_verdict on_supervisor_frame(void *arg, struct peer *peer, unsigned type,
                                              struct span body, int fd)
{
	struct worker_inbox inbox = {arg, fd};
	enum proto_verdict verdict = dispatch(&inbox, peer_party(peer), type, body);
	if (inbox.fd >= 0)
		close(inbox.fd);
	/* What only this program is told. */
	if (verdict == PROTO_NOT_MINE && inbox.worker->started)
		return inbox.worker->program->on_frame(inbox.worker, peer_party(peer), type, body);
	return verdict;
}

static enum proto_verdict on_peer_frame(void *arg, struct peer *peer, unsigned type,
                                        struct span body, int fd)
{
	struct worker *worker = arg;
	if (fd >= 0)
		close(fd);
	return worker->program->on_frame(worker, peer_party(peer), type, body);
}

/* Without a supervisor nobody restarts, drains or introduces: leave at once. */
static void on_supervisor_gone(void *arg, struct peer *peer)
{
	(void)arg;
	(void)peer;
	log_error("supervisor is gone", "%s", "");
	log_flush();
	_exit(EXIT_SUPERVISOR_GONE);
}

void worker_ready(struct worker *worker)
{
	if (worker->ready)
		return;
	worker->ready = true;
	peer_put(worker->supervisor, ready, READY, {.generation = worker->generation});
}

int worker_cannot_start(struct worker *worker, const char *format, ...)
{
	char reason[PROTO_REASON_MAX + 1];
	va_list args;
	va_start(args, format);
	vsnprintf(reason, sizeof reason, format, args);
	va_end(args);
	peer_put(worker->supervisor, cannot_start, CANNOT_START, {.reason = span_str(reason)});
	return EXIT_USAGE;
}

struct peer *worker_supervisor(struct worker *worker)
{
	return worker->supervisor;
}

void worker_exit(struct worker *worker, int code)
{
	worker->exit_code = code;
	uv_stop(worker->loop);
}

void worker_announce_durable(struct worker *worker, uint64_t lsn)
{
	for (size_t i = 0; i < worker->peers_count; i++) {
		const struct counters_slot *slot = worker->peers[i].slot;
		if (slot == NULL || atomic_load(&slot->follows) != 0)
			peer_send_durable(worker->peers[i].peer, lsn);
	}
}

void worker_follow(struct worker *worker, bool follows)
{
	if (atomic_load(&worker->mine->follows) != follows)
		atomic_store(&worker->mine->follows, follows);
}

static bool find_my_slot(struct worker *worker)
{
	worker->counters = counters_map(BOOT_FD_COUNTERS);
	if (worker->counters == NULL) {
		log_error("the supervisor is of another build", "%s", "");
		return false;
	}
	worker->mine = find_slot(worker, worker->program->role, worker->slot);
	check(worker->mine != NULL);
	return true;
}

static int usage(const char *program)
{
	fprintf(stderr, "%s is started by 'ringside run', not by hand\n", program);
	return EXIT_USAGE;
}

static bool parse_arguments(struct worker *worker, int argc, char **argv)
{
	bool slot = false, generation = false;
	if (argc != 5)
		return false;
	for (int i = 1; i < argc; i += 2) {
		char *end;
		unsigned long long n = strtoull(argv[i + 1], &end, 10);
		if (*end != '\0' || end == argv[i + 1])
			return false;
		if (strcmp(argv[i], "--slot") == 0) {
			worker->slot = (unsigned)n;
			slot = true;
		} else if (strcmp(argv[i], "--generation") == 0) {
			worker->generation = n;
			generation = true;
		} else {
			return false;
		}
	}
	return slot && generation;
}

/* What we were given is not for the programs that we start. */
static bool own_descriptors(void)
{
	for (int fd = BOOT_FD_BUS; fd < BOOT_FD_END; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && fd < BOOT_FD_LISTEN)
			return false;
	return true;
}

/* The supervisor decides when a worker ends. A terminal's Ctrl-C and a careless pkill reach all. */
static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
}

int worker_main(int argc, char **argv, const struct worker_program *program)
{
	static struct worker worker;
	struct settings defaults;
	worker.program = program;
	if (!parse_arguments(&worker, argc, argv) || !own_descriptors())
		return usage(argv[0]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Executed by a descriptor it would be called by that one's number. */
	prctl(PR_SET_NAME, argv[0]);
	ignore_signals();
	snprintf(worker.name, sizeof worker.name, "%s-%u", role_name(program->role), worker.slot);
	log_init(worker.name);
	settings_init(&defaults);
	settings_renew(&worker.settings.newest, &defaults);
	worker.loop = uv_default_loop();
	if (!find_my_slot(&worker))
		return EXIT_USAGE;
	worker.memory_bytes = cgroup_memory_bytes("");
	const struct peer_events events = {.on_frame = on_supervisor_frame,
	                                   .on_close = on_supervisor_gone,
	                                   .arg = &worker,
	                                   .queue_bytes_max = worker_ceilings(&worker).bus_bytes};
	worker.supervisor = peer_create(worker.loop, BOOT_FD_BUS,
	                                (struct party){.role = ROLE_SUPERVISOR}, &events);
	peer_put(worker.supervisor, hello, HELLO,
	         {.schema_hash = proto_schema_hash(), .pid = (uint64_t)getpid()});
	uv_timer_init(worker.loop, &worker.heartbeat);
	busy_poll_init(&worker.busy_poll, worker.loop);
	worker.heartbeat.data = &worker;
	uv_timer_start(&worker.heartbeat, on_heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
	uv_run(worker.loop, UV_RUN_DEFAULT);
	if (worker.draining && worker.started && !worker.cut && program->finish != NULL)
		program->finish(&worker);
	log_info("stopped", "code=%d", worker.exit_code);
	return worker.exit_code;
}
