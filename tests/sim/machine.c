#include "tests/sim/machine.h"
#include "common/base/check.h"
#include "common/worker/handed.h"
#include "supervisor/sandbox.h"
#include "supervisor/spawn.h"
#include "tests/sim/world.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PROCESSES_MAX = 8192,
	STARTS_KEPT = 256,
	FD_FIRST = 1 << 20, /* numbers that are nobody's */
	HEARTBEAT_MS = 250,
	LIFE_MS = 40000, /* about, while it is rough */
	LINK_MS = 400,   /* by then the other end has come, or it is closed */
	FINISH_MS = 1500,
	HANG_MS_MAX = 8000,
	BODY_MAX = 512, /* reasons and the like */
};

struct message {
	struct message *next;
	unsigned type;
	size_t len;
	uint8_t body[BODY_MAX];
};

struct queue {
	struct message *first, **last;
};

struct process {
	pid_t pid;
	size_t place;
	uint64_t generation, started_ms, hung_ms /* since; 0: it does not hang */, woke_ms;
	bool dead, reaped, known, ready, asked, aborted, stuck /* SIGABRT is nothing to it */;
	uint64_t drain_due_ms; /* 0: it was not sent that */
	bool finishes;         /* it has read it */
	bool bus_lost;         /* it may be killed for that */
	int status;            /* as from waitpid() */
	struct peer *peer;
	struct queue in; /* what it has been sent */
	uint64_t links[ROLE_PLACES_COUNT];
};

struct peer {
	struct process *process;
	struct party party;
	struct peer_events events;
	struct queue out; /* what it has sent */
	bool ended;       /* end of file behind it */
};

static struct fleet *fleet;
static struct machine_counts *counts;
static struct process *processes[PROCESSES_MAX];
static size_t processes_count;
static struct process *at_place[ROLE_PLACES_COUNT]; /* the newest */
static uint64_t starts_ms[ROLE_PLACES_COUNT][STARTS_KEPT];
static unsigned starts[ROLE_PLACES_COUNT];
static bool rough, poisoned, over;
static uint64_t pause_ms; /* the last one's length */
static bool untold; /* the settings could not be handed over just now: it is killed for that */
static bool open_slots[LISTENER_SLOTS_MAX], steered[LISTENER_SLOTS_MAX];

void machine_begin(struct fleet *its_fleet, struct machine_counts *its_counts)
{
	fleet = its_fleet;
	counts = its_counts;
}

void machine_rough(bool is_rough)
{
	rough = is_rough;
}

void machine_poison(bool is_poisoned)
{
	poisoned = is_poisoned;
}

void machine_no_more_starts(void)
{
	over = true;
}

void machine_pause(uint64_t ms)
{
	pause_ms = ms;
	world_trace("the supervisor is paused for %" PRIu64 " ms", ms);
	world_pause(MACHINE_SUPERVISOR, ms);
}

static const char *name_of(const struct process *p)
{
	return fleet->children[p->place].name;
}

/* ---- queues ---- */

static void push(struct queue *queue, unsigned type, struct span body)
{
	struct message *m = xcalloc(1, sizeof *m);
	check(body.len <= sizeof m->body);
	m->type = type;
	m->len = body.len;
	memcpy(m->body, body.at, body.len);
	if (queue->first == NULL)
		queue->last = &queue->first;
	*queue->last = m;
	queue->last = &m->next;
}

static struct message *pop(struct queue *queue)
{
	struct message *m = queue->first;
	if (m != NULL)
		queue->first = m->next;
	return m;
}

static void empty(struct queue *queue)
{
	for (struct message *m; (m = pop(queue)) != NULL;)
		free(m);
}

/* ---- from a process to the supervisor ---- */

static void close_peer(struct peer *peer)
{
	peer->events.on_close(peer->events.arg, peer);
	world_cancel(peer);
	empty(&peer->out);
	if (peer->process->peer == peer)
		peer->process->peer = NULL;
	free(peer);
}

/* False: the peer is gone. */
static bool hand_over(struct peer *peer)
{
	struct message *m = pop(&peer->out);
	if (m == NULL && peer->ended) {
		close_peer(peer);
		return false;
	}
	if (m == NULL)
		return true;
	enum proto_verdict verdict = peer->events.on_frame(peer->events.arg, peer, m->type,
	                                                   span_of(m->body, m->len), -1);
	if (verdict != PROTO_HANDLED)
		world_broken("a message of type %u is not taken", m->type);
	free(m);
	return true;
}

static void on_readable(void *arg)
{
	hand_over(arg);
}

static void say(struct process *p, unsigned type, struct span body)
{
	if (p->peer == NULL || p->peer->ended)
		return;
	push(&p->peer->out, type, body);
	world_after(MACHINE_SUPERVISOR, world_wait(3, 100), on_readable, p->peer);
}

#define SAY(p, lname, NAME, ...)                                                                   \
	do {                                                                                       \
		uint8_t body_[BODY_MAX];                                                           \
		struct writer w_ = {body_, body_ + sizeof body_, true};                            \
		const struct proto_##lname message_ = __VA_ARGS__;                                 \
		check(proto_put_##lname(&w_, &message_));                                          \
		say(p, PROTO_TYPE_##NAME, span_of(body_, (size_t)(w_.at - body_)));                \
	} while (0)

static void end_bus(struct process *p)
{
	if (p->peer == NULL || p->peer->ended)
		return;
	p->bus_lost = true;
	p->peer->ended = true;
	world_after(MACHINE_SUPERVISOR, world_wait(3, 100), on_readable, p->peer);
}

/* ---- links ---- */

static void report_link(struct process *p, size_t other, uint64_t link, bool up)
{
	const struct child *child = &fleet->children[other];
	SAY(p, link_state, LINK_STATE,
	    {.role = (uint8_t)child->role->bit, .slot = child->slot, .link = link, .up = up});
}

static void lose_link(struct process *p, size_t other)
{
	uint64_t link = p->links[other];
	if (link == 0 || p->dead)
		return;
	p->links[other] = 0;
	report_link(p, other, link, false);
}

static void lose_both(struct process *p, size_t other)
{
	struct process *o = at_place[other];
	uint64_t link = p->links[other];
	if (link == 0)
		return;
	counts->losses++;
	lose_link(p, other);
	if (o != NULL && o->links[p->place] == link)
		lose_link(o, p->place);
}

/* The other end is closed where nobody has it. */
static void look_at_links(void *arg)
{
	struct process *p = arg;
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++) {
		const struct process *o = at_place[i];
		if (p->links[i] != 0 && (o == NULL || o->dead || o->links[p->place] != p->links[i]))
			lose_link(p, i);
	}
}

static void on_peer(struct process *p, const struct proto_peer *m)
{
	size_t other = role_of(m->role)->first + m->slot;
	p->links[other] = m->link;
	if (rough && world_chance(30)) { /* no descriptor left for it */
		p->links[other] = 0;
		report_link(p, other, m->link, false);
		return;
	}
	report_link(p, other, m->link, true);
	world_after(0, LINK_MS, look_at_links, p);
}

const char *machine_unlinked(void)
{
	static char text[64];
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++)
		for (size_t j = i + 1; j < ROLE_PLACES_COUNT; j++) {
			const struct child *a = &fleet->children[i], *b = &fleet->children[j];
			if (a->state != CHILD_READY || b->state != CHILD_READY ||
			    !roles_know_each_other(a->role, b->role))
				continue;
			uint64_t link = at_place[i]->links[j];
			if (link != 0 && link == at_place[j]->links[i])
				continue;
			snprintf(text, sizeof text, "%s and %s", a->name, b->name);
			return text;
		}
	return NULL;
}

/* ---- a process ends ---- */

static void on_sigchld(void *arg)
{
	struct process *p = arg;
	p->reaped = true;
	if (!fleet_exited(fleet, p->pid, p->status))
		world_broken("the end of %s is nobody's", name_of(p));
	fleet_step(fleet);
}

static void die(struct process *p, int status)
{
	if (p->dead)
		return;
	world_trace("%s ends, status %#x", name_of(p), (unsigned)status);
	counts->deaths++;
	p->dead = true;
	p->status = status;
	world_cancel(p);
	empty(&p->in);
	if (world_chance(500))
		end_bus(p);
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++)
		if (p->links[i] != 0 && at_place[i] != NULL && !at_place[i]->dead)
			world_after(0, world_wait(3, 100), look_at_links, at_place[i]);
	world_after(MACHINE_SUPERVISOR, world_wait(5, 100), on_sigchld, p);
}

static void on_abort(void *arg)
{
	die(arg, SIGABRT);
}

static void on_killed(void *arg)
{
	die(arg, SIGKILL);
}

/* Is it late for what the supervisor could see of it? */
static bool seems_hung(const struct process *p, uint64_t limit_ms)
{
	/* What it has said since it woke may be on its way, or wait where nobody read. */
	if (p->woke_ms != 0 && world_ms() <= p->woke_ms + 2 * HEARTBEAT_MS + pause_ms)
		return true;
	return p->hung_ms != 0 && world_ms() + 2 * HEARTBEAT_MS >= p->hung_ms + limit_ms;
}

static void on_sigabrt(struct process *p)
{
	const struct settings *s = fleet->life.settings->newest;
	bool late_start = !p->ready && world_ms() >= p->started_ms + s->worker_start_ms;
	if (!late_start && !seems_hung(p, s->worker_hang_ms))
		world_broken("%s is aborted, which was well", name_of(p));
	if (p->aborted)
		world_broken("%s is aborted twice", name_of(p));
	p->aborted = true;
	if (!p->stuck)
		world_after(0, world_wait(30, 400), on_abort, p);
}

static void on_sigkill(struct process *p)
{
	bool cut = p->drain_due_ms != 0 && world_ms() >= p->drain_due_ms;
	if (!cut && !p->aborted && !p->bus_lost && !untold)
		world_broken("%s is killed for nothing", name_of(p));
	untold = false;
	world_after(0, world_wait(3, 50), on_killed, p);
}

int kill(pid_t pid, int number)
{
	size_t i = (size_t)(pid < 0 ? -pid : pid) - 1;
	check(i < processes_count);
	if (processes[i]->reaped && processes[i] != at_place[processes[i]->place])
		world_broken("a pid that is not ours any more is signalled");
	if (processes[i]->dead)
		return 0;
	world_trace("%s gets signal %d", name_of(processes[i]), number);
	if (number == SIGABRT)
		on_sigabrt(processes[i]);
	else if (number == SIGKILL)
		on_sigkill(processes[i]);
	return 0;
}

/* ---- a process runs ---- */

static void on_beat(void *arg)
{
	struct process *p = arg;
	if (p->hung_ms == 0)
		SAY(p, heartbeat, HEARTBEAT, {.at_ms = world_ms()});
	world_after(0, HEARTBEAT_MS, on_beat, p);
}

static void take(void *arg);

static void wake_up(void *arg)
{
	struct process *p = arg;
	if (p->aborted)
		return;
	p->hung_ms = 0;
	p->woke_ms = world_ms();
	for (struct message *m = p->in.first; m != NULL; m = m->next)
		world_after(0, 0, take, p);
}

static void hang(struct process *p)
{
	counts->hangs++;
	world_trace("%s hangs", name_of(p));
	p->hung_ms = world_ms();
	p->stuck = world_chance(200);
	if (world_chance(500)) /* only for a while */
		world_after(0, world_below(HANG_MS_MAX), wake_up, p);
}

static void on_fate(void *arg)
{
	struct process *p = arg;
	world_after(0, world_below(LIFE_MS), on_fate, p);
	if (!rough || p->hung_ms != 0)
		return;
	uint64_t dice = world_below(100);
	if (dice < 45)
		die(p, world_chance(500) ? SIGSEGV : 1 << 8);
	else if (dice < 70)
		hang(p);
	else if (dice < 78)
		end_bus(p);
	else
		for (size_t i = 0; i < ROLE_PLACES_COUNT; i++)
			if (world_chance(500))
				lose_both(p, i);
}

static void on_ready(void *arg)
{
	struct process *p = arg;
	if (p->hung_ms != 0)
		return;
	p->ready = true;
	SAY(p, ready, READY, {.generation = p->generation});
}

static void on_finished(void *arg)
{
	die(arg, rough && world_chance(50) ? 1 << 8 : 0);
}

static void on_drain(struct process *p)
{
	if (!p->finishes)
		world_after(0, world_wait(100, rough ? 4 * FINISH_MS : FINISH_MS), on_finished, p);
	p->finishes = true;
}

static void handle(struct process *p, const struct message *m)
{
	struct span body = span_of(m->body, m->len);
	struct proto_peer peer;
	switch (m->type) {
	case PROTO_TYPE_SETTINGS: /* lets it begin */
		if (!p->known && !(rough && world_chance(30)))
			world_after(0, world_wait(300, 3000), on_ready, p);
		p->known = true;
		break;
	case PROTO_TYPE_PEER:
		check(proto_get_peer(body, &peer));
		on_peer(p, &peer);
		break;
	case PROTO_TYPE_DRAIN:
		on_drain(p);
		break;
	default:
		world_broken("a worker is told a message of type %u", m->type);
	}
}

static void take(void *arg)
{
	struct process *p = arg;
	struct message *m = p->hung_ms == 0 ? pop(&p->in) : NULL;
	if (m != NULL)
		handle(p, m);
	free(m);
}

static void on_begun(void *arg)
{
	struct process *p = arg;
	SAY(p, hello, HELLO, {.schema_hash = proto_schema_hash(), .pid = (uint64_t)p->pid});
	world_after(0, HEARTBEAT_MS, on_beat, p);
	world_after(0, world_below(LIFE_MS), on_fate, p);
}

static void on_stillborn(void *arg)
{
	die(arg, world_chance(300) ? SPAWN_EXEC_FAILED << 8 : 1 << 8);
}

/* So many starts within the window of restarts are too many (supervisor/restart.h). */
static void count_start(size_t place)
{
	const struct settings *s = fleet->life.settings->newest;
	uint64_t now_ms = world_ms();
	unsigned within = 0;
	starts_ms[place][starts[place]++ % STARTS_KEPT] = now_ms;
	for (unsigned i = 0; i < starts[place] && i < STARTS_KEPT; i++)
		within += now_ms - starts_ms[place][i] < s->worker_restart_window_ms;
	uint64_t most = s->worker_restart_limit + 2 +
	                2 * s->worker_restart_window_ms / s->worker_restart_delay_max_ms;
	if (within > most)
		world_broken("%s is started %u times within worker.restart_window",
		             fleet->children[place].name, within);
}

void machine_forgive(void)
{
	memset(starts, 0, sizeof starts);
}

static struct process *find_starting(uint64_t generation)
{
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++)
		if (fleet->children[i].generation == generation)
			return at_place[i];
	return NULL;
}

pid_t spawn_start(const struct spawn *spawn)
{
	size_t place = 0;
	while (fleet->children[place].generation != spawn->generation)
		place++;
	if (over)
		world_broken("%s is started, where all is to stop", fleet->children[place].name);
	if (at_place[place] != NULL && !at_place[place]->reaped)
		world_broken("%s is started twice", fleet->children[place].name);
	if (at_place[place] != NULL && at_place[place]->drain_due_ms == 0)
		count_start(place);
	if (rough && world_chance(20)) {
		errno = EAGAIN;
		return -1;
	}
	check(processes_count < PROCESSES_MAX);
	struct process *p = processes[processes_count++] = xcalloc(1, sizeof *p);
	*p = (struct process){.pid = (pid_t)processes_count,
	                      .place = place,
	                      .generation = spawn->generation,
	                      .started_ms = world_ms()};
	at_place[place] = p;
	counts->starts++;
	world_trace("%s is started", name_of(p));
	bool stillborn = poisoned || (rough && world_chance(60));
	world_after(0, world_wait(20, 300), stillborn ? on_stillborn : on_begun, p);
	return p->pid;
}

unsigned machine_living(void)
{
	unsigned count = 0;
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++)
		count += at_place[i] != NULL && !at_place[i]->dead;
	return count;
}

/* ---- what is asked of the machine ---- */

struct peer *peer_create(uv_loop_t *loop, int fd, struct party party,
                         const struct peer_events *events)
{
	struct peer *peer = xcalloc(1, sizeof *peer);
	(void)loop;
	(void)fd;
	peer->process = find_starting(party.generation);
	peer->party = party;
	peer->events = *events;
	peer->process->peer = peer;
	return peer;
}

void peer_destroy(struct peer **at)
{
	struct peer *peer = *at;
	*at = NULL;
	if (peer == NULL)
		return;
	world_cancel(peer);
	empty(&peer->out);
	if (peer->process->peer == peer)
		peer->process->peer = NULL;
	free(peer);
}

void peer_drain(struct peer *peer)
{
	while (peer->out.first != NULL || peer->ended)
		if (!hand_over(peer))
			return;
}

const struct party *peer_party(const struct peer *peer)
{
	return &peer->party;
}

static void on_overflow(void *arg)
{
	close_peer(arg);
}

bool peer_send(struct peer *peer, unsigned type, struct span body, int fd)
{
	struct process *p = peer->process;
	if (rough && world_chance(10)) {
		counts->refused_sends++;
		p->bus_lost = true;    /* whoever cannot be told goes, or is told again */
		if (world_chance(300)) /* its queue is full, and not only no descriptor left */
			world_after(MACHINE_SUPERVISOR, 0, on_overflow, peer);
		return false;
	}
	(void)fd;
	struct proto_drain drain;
	if (type == PROTO_TYPE_DRAIN && proto_get_drain(body, &drain))
		p->drain_due_ms = drain.due_ms;
	if (p->dead || peer->ended)
		return true;
	push(&p->in, type, body);
	world_after(0, world_wait(3, 100), take, p);
	return true;
}

int handed_make(struct span body)
{
	(void)body;
	untold = rough && world_chance(5);
	return untold ? -1 : FD_FIRST;
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
	(void)domain;
	(void)type;
	(void)protocol;
	if (rough && world_chance(10)) {
		errno = EMFILE;
		return -1;
	}
	ends[0] = FD_FIRST + 1;
	ends[1] = FD_FIRST + 2;
	return 0;
}

int sandbox_make(const struct settings *settings, const char *program)
{
	(void)settings;
	(void)program;
	return SANDBOX_NONE;
}

void tls_files_tell(const struct tls_files *files, struct peer *peer, uint64_t tls)
{
	(void)files;
	(void)peer;
	(void)tls;
}

/* ---- sockets ---- */

bool listeners_init(struct listeners *listeners, const char *listen, bool loopback_only,
                    const char **reason)
{
	(void)listen;
	(void)loopback_only;
	(void)reason;
	listeners->count = 1;
	return true;
}

bool listeners_adopt(struct listeners *listeners, int fd, unsigned slot)
{
	(void)listeners;
	(void)fd;
	(void)slot;
	return false; /* nothing is handed over here */
}

int listeners_await(struct listeners *listeners, const char *listen, uint64_t wait_ms,
                    unsigned *left_out)
{
	(void)listeners;
	(void)listen;
	(void)wait_ms;
	*left_out = 0;
	return 0;
}

int listeners_open(struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	if (rough && world_chance(20))
		return EMFILE;
	open_slots[slot] = true;
	return 0;
}

bool listeners_are_open(const struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	return open_slots[slot];
}

void listeners_close(struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	open_slots[slot] = false;
}

void listeners_fds(const struct listeners *listeners, unsigned slot, int fds[BOOT_LISTENERS_MAX])
{
	(void)listeners;
	fds[0] = FD_FIRST + 3 + (int)slot;
}

uint64_t listeners_tls(const struct listeners *listeners)
{
	(void)listeners;
	return 0;
}

int listeners_steer(struct listeners *listeners, const bool active[LISTENER_SLOTS_MAX])
{
	(void)listeners;
	memcpy(steered, active, sizeof steered);
	return 0;
}

bool listeners_queue_waits(const struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	return open_slots[slot] && world_chance(100);
}

void listeners_finish(struct listeners *listeners)
{
	(void)listeners;
}

bool machine_listens(unsigned slot)
{
	return open_slots[slot];
}

bool machine_serves(void)
{
	for (unsigned slot = 0; slot < role_of(ROLE_SSE)->slots; slot++) {
		const struct process *p = at_place[role_of(ROLE_SSE)->first + slot];
		if (steered[slot] && open_slots[slot] && p != NULL && !p->dead && p->ready &&
		    p->drain_due_ms == 0 && p->hung_ms == 0)
			return true;
	}
	return false;
}
