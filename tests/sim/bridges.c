#include "tests/sim/bridges.h"
#include "common/base/check.h"
#include "common/domain/rights.h"
#include "tests/sim/log_memory.h"
#include "tests/sim/world.h"
#include "worker-bridge/inbox.h"

#include <stdlib.h>
#include <string.h>

enum {
	TICK_MS = 50,
	WAY_MS = 20,
	WAY_MS_MAX = 6000,
	PATIENCE_MS = 3000,
	LOST = 50, /* of 1000 */
	TWICE = 40,
};

struct process {
	unsigned number; /* in the world */
	struct worker worker;
	struct bridge bridge;
	uv_loop_t loop;
};

static struct process *running[BRIDGES_MAX];
static struct counters *counters;
static const struct settings *settings; /* of every bridge */
static unsigned started;
static bool calm;

void bridges_begin(void)
{
	memset(running, 0, sizeof running);
	counters = xcalloc(1, sizeof *counters);
	atomic_store(&counters->started_ms, 1);
	started = 0;
	calm = false;
}

void bridges_calm(void)
{
	calm = true;
}

void bridges_set(const char *key, const char *value)
{
	char why[512];
	struct settings defaults;
	if (settings == NULL) {
		settings_init(&defaults);
		settings_renew(&settings, &defaults);
	}
	if (!settings_renew_key(&settings, span_str(key), span_str(value), why))
		fatal("%s: %s", key, why);
}

/* ---- a bridge ---- */

/* Who asks is said beside the call: what comes from within may everything. */
static const struct bridge_question *asking;

static void as_asked(struct call *call, void (*handler)(struct call *call))
{
	if (*asking->principal != '\0') {
		call->principal = span_str(asking->principal);
		call->may = call->configured = RIGHT(BET);
	}
	call->idempotency_key = span_str(asking->key);
	handler(call);
}

static void on_market(struct call *call)
{
	as_asked(call, book_on_market_call);
}

static void on_ledger(struct call *call)
{
	as_asked(call, book_on_ledger_call);
}

static const struct call_route routes[] = {
        {CALL_METHOD(GET) | CALL_METHOD(POST), "/v1/source/", feeds_on_call},
        {CALL_METHOD(GET) | CALL_METHOD(POST), "/v1/markets/", on_market},
        {CALL_METHOD(GET) | CALL_METHOD(POST), "/v1/ledger/", on_ledger},
};

/* As main.c has it. */
static void on_store(void *arg)
{
	struct process *p = arg;
	store_collect(p->bridge.store);
	while (store_advance(p->bridge.store, 0)) {
	}
	feeds_turn(p->bridge.feeds);
	book_turn(p->bridge.book);
	spectators_turn(p->bridge.spectators);
}

static void catch_up(void *context)
{
	struct bridge *bridge = context;
	while (store_advance(bridge->store, 0)) {
	}
}

static void on_tick(void *arg)
{
	struct process *p = arg;
	world_after(p->number, TICK_MS, on_tick, p);
	if (store_durable(p->bridge.store) > store_position(p->bridge.store))
		on_store(p);
	feeds_turn(p->bridge.feeds);
}

void bridge_start(unsigned slot)
{
	struct process *p = xcalloc(1, sizeof *p);
	check(running[slot] == NULL);
	running[slot] = p;
	p->number = ++started;
	p->loop.data = (void *)(uintptr_t)p->number;
	p->worker = (struct worker){.loop = &p->loop,
	                            .slot = slot,
	                            .generation = started,
	                            .counters = counters,
	                            .mine = &counters->slots[slot]};
	p->worker.settings.newest = settings_keep(settings);
	p->bridge.worker = &p->worker;
	p->bridge.store = log_memory_open(p->number, on_store, p);
	p->bridge.calls =
	        calls_create(&p->worker, routes, sizeof routes / sizeof *routes, &p->bridge);
	calls_before(p->bridge.calls, catch_up);
	store_advance(p->bridge.store, 0);
	p->bridge.feeds = feeds_create(&p->worker, p->bridge.store);
	check(p->bridge.feeds != NULL);
	p->bridge.book = book_create(&p->worker, p->bridge.store);
	p->bridge.spectators = spectators_create(&p->worker, p->bridge.store);
	world_after(p->number, TICK_MS, on_tick, p);
	world_trace("bridge %u starts as %u", slot, p->number);
}

void bridge_kill(unsigned slot)
{
	struct process *p = running[slot];
	if (p == NULL)
		return;
	world_trace("bridge %u is killed", slot);
	world_kill(p->number);
	log_memory_kill(p->bridge.store);
	running[slot] = NULL; /* what was in it is nobody's any more */
}

bool bridge_runs(unsigned slot)
{
	return running[slot] != NULL;
}

void bridge_pause(unsigned slot, uint64_t ms)
{
	if (running[slot] == NULL)
		return;
	world_trace("bridge %u stands still for %u ms", slot, (unsigned)ms);
	world_pause(running[slot]->number, ms);
}

/* ---- the way to it ---- */

struct request {
	struct bridge_question q;
	struct process *to;
	bool answered;
	unsigned status;
	char *body;
};

static void answer(struct request *r, unsigned status)
{
	if (r->answered)
		return;
	r->answered = true;
	json_t *body = r->body != NULL ? json_loads(r->body, JSON_DECODE_ANY, NULL) : NULL;
	r->q.done(r->q.arg, status, body);
	json_decref(body);
}

static void on_patience(void *arg)
{
	answer(arg, 0);
}

static void on_back(void *arg)
{
	struct request *r = arg;
	answer(r, r->status);
}

static void on_reply(void *arg, unsigned status, struct span body)
{
	struct request *r = arg;
	if (r->status == 0) {
		r->status = status;
		r->body = xmemdup_text(body.at, body.len);
	}
	if (calm || !world_chance(LOST))
		world_after(0, world_wait(WAY_MS, calm ? WAY_MS : WAY_MS_MAX), on_back, r);
}

static void on_arrival(void *arg)
{
	struct request *r = arg;
	asking = &r->q;
	calls_local(r->to->bridge.calls, r->q.method, r->q.path, r->q.body, on_reply, r);
}

void bridges_ask(const struct bridge_question *question)
{
	struct request *r = xcalloc(1, sizeof *r);
	unsigned slot = (unsigned)world_below(BRIDGES_MAX);
	r->q = *question;
	r->to = running[slot] != NULL ? running[slot] : running[(slot + 1) % BRIDGES_MAX];
	world_after(0, PATIENCE_MS, on_patience, r);
	if (r->to == NULL) /* none runs */
		return;
	if (calm || !world_chance(LOST))
		world_after(r->to->number, world_wait(WAY_MS, calm ? WAY_MS : WAY_MS_MAX),
		            on_arrival, r);
	if (!calm && world_chance(TWICE))
		world_after(r->to->number, world_wait(WAY_MS, WAY_MS_MAX), on_arrival, r);
}
