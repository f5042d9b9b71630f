/* Changes of rows: each is one transaction, in which the generation is compared; and the sweep,
 * which finds what nobody looks after any more. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	TRIES_MAX = 64,
	SWEEP_ROWS = 64,      /* in a slice */
	SWEEP_MS_MAX = 30000, /* between two sweeps: half of connections.expiry, and no longer */
	SWEEP_MS_MIN = 500,
	LATE_MS = 2000,  /* whoever has the timer was to have done it by then */
	FRESH_MS = 5000, /* a stream that is being opened is in the row before it is here */
};

/* What is known of who may hold streams: one for each slot of our kind. */
struct connection_holder {
	uint64_t gone;   /* generation that has ended; 0: none */
	unsigned absent; /* sweeps in a row that found nobody there */
};

/* ---- rows ---- */

enum row_found connection_load(struct rows *rows, const char *cid, struct connection *row)
{
	char key[CONNECTION_KEY_ROOM];
	struct span value;
	connection_key(cid, key);
	enum row_found found = rows_find(rows, key, &value);
	if (found == ROW_PRESENT)
		found = connection_read(row, value);
	if (found == ROW_PRESENT && strcmp(row->cid, cid) != 0) {
		connection_finish(row);
		found = ROW_UNREADABLE;
	}
	if (found == ROW_UNREADABLE)
		rows_mark(rows, key);
	return found;
}

void connection_store(struct rows *rows, const struct connection *row)
{
	char key[CONNECTION_KEY_ROOM];
	char *text = connection_text(row);
	connection_key(row->cid, key);
	rows_put(rows, key, span_str(text));
	free(text);
}

/* ---- ops ---- */

static struct connection_op *op_of(struct actor *actor)
{
	return (struct connection_op *)((char *)actor - offsetof(struct connection_op, actor));
}

void connection_op_fault(struct connection_op *op, unsigned status, const char *code,
                         const char *text)
{
	op->status = status;
	op->code = code;
	op->text = text;
	op->write = op->remove = false;
}

static void begin_step(struct connection_op *op, struct actor_change *change)
{
	connection_finish(&op->row);
	op->row = (struct connection){0};
	op->change = change;
	op->now_ms = clock_wall_ms();
	op->write = op->remove = op->took_over = false;
	op->verdict = CONNECTION_SAME;
	op->status = 0;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct connection_op *op = op_of(actor);
	char key[CONNECTION_KEY_ROOM];
	begin_step(op, change);
	enum row_found found = connection_load(change->rows, op->cid, &op->row);
	op->there = found == ROW_PRESENT;
	if (found == ROW_UNREADABLE)
		connection_op_fault(op, 503, "UNREADABLE", "this connection cannot be read");
	else
		op->step(op);
	op->change = NULL;
	if (rows_marked(change->rows) != NULL)
		return ACTOR_STOP;
	if (op->remove)
		rows_put(change->rows, (connection_key(op->cid, key), key), (struct span){0});
	else if (op->write)
		connection_store(change->rows, &op->row);
	return op->write || op->remove ? ACTOR_WRITE : ACTOR_REST;
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct connection_op *op = op_of(actor);
	bool written = end == ACTOR_DURABLE || end == ACTOR_RESTED;
	if (!written && op->status == 0)
		connection_op_fault(
		        op, 503, "WRITE_FAILED",
		        "the store is busy or failed; whether it was written is unknown");
	op->end(op, written && op->status == 0);
	connection_op_free(op);
}

static const struct actor_type actor_type = {
        .decide = decide, .end = on_end, .tries_max = TRIES_MAX};

struct connection_op *connection_op_create(struct connections *all, const char *cid)
{
	struct connection_op *op = xcalloc(1, sizeof *op);
	op->all = all;
	snprintf(op->cid, sizeof op->cid, "%s", cid);
	return op;
}

void connection_op_run(struct connection_op *op)
{
	struct sse_worker *w = op->all->worker;
	actor_init(&op->actor, &actor_type, w->store, w->counters);
	check(actor_turn(&op->actor));
}

void connection_op_free(struct connection_op *op)
{
	connection_finish(&op->row);
	json_decref(op->body);
	json_decref(op->lost);
	free(op->places);
	free(op);
}

/* ---- expiry ---- */

static void set_expiry(struct connections *all, const char *cid, uint64_t generation,
                       uint64_t in_ms);

static void count_stale(struct connections *all, const struct connection_op *op)
{
	if (op->verdict == CONNECTION_STALE)
		counter_add(all->worker->counters, chat_stale_total, 1);
}

static void expire_step(struct connection_op *op)
{
	op->verdict = op->there ? connection_expire(&op->row, op->generation, op->now_ms)
	                        : CONNECTION_STALE;
	op->remove = op->verdict == CONNECTION_DONE;
}

static void expire_end(struct connection_op *op, bool done)
{
	struct connections *all = op->all;
	if (!done)
		return; /* the sweep finds it */
	count_stale(all, op);
	if (op->verdict == CONNECTION_EARLY) /* it went to sleep meanwhile, or a clock was set */
		set_expiry(all, op->cid, op->generation, op->row.due_ms - op->now_ms);
	if (op->verdict != CONNECTION_DONE)
		return;
	counter_add(all->worker->counters, chat_expired_total, 1);
	connection_logins_take(&all->logins, op->row.subject, connections_swept(all, op->cid));
	if (all->rows > 0)
		all->rows--;
	counter_set(all->worker->counters, chat_connections, all->rows);
}

static void expire(struct connections *all, const char *cid, uint64_t generation)
{
	struct connection_op *op = connection_op_create(all, cid);
	op->step = expire_step;
	op->end = expire_end;
	op->generation = generation;
	connection_op_run(op);
}

/* One timer for all who wait: that of the first of them. */
static void look_at_first(struct connections *all)
{
	const struct connection_due *first = connection_dues_first(&all->dues);
	if (first != NULL)
		wheel_set(&all->worker->wheel, &all->first_due, first->due_ms);
}

static void on_due(struct wheel_node *node)
{
	struct connections *all =
	        (struct connections *)((char *)node - offsetof(struct connections, first_due));
	const struct connection_due *first = connection_dues_first(&all->dues);
	while (first != NULL && first->due_ms <= all->worker->wheel.now_ms) {
		const struct connection_due due = *first;
		char cid[CONNECTION_CID_ROOM];
		connection_dues_pop(&all->dues);
		connection_cid_print(due.id, cid);
		expire(all, cid, due.generation);
		first = connection_dues_first(&all->dues);
	}
	look_at_first(all);
}

/* It carries the generation that it is set for. */
static void set_expiry(struct connections *all, const char *cid, uint64_t generation,
                       uint64_t in_ms)
{
	struct connection_due due = {.due_ms = all->worker->wheel.now_ms + in_ms,
	                             .generation = generation};
	connection_cid_bytes(cid, due.id);
	connection_dues_put(&all->dues, &due);
	look_at_first(all);
}

/* ---- the end of a stream ---- */

static void close_step(struct connection_op *op)
{
	const struct settings *s = op->all->worker->settings;
	op->verdict = op->there ? connection_close(&op->row, op->generation, op->now_ms,
	                                           s->connections_expiry_ms,
	                                           s->connections_suspend_grace_ms)
	                        : CONNECTION_STALE;
	op->write = op->verdict == CONNECTION_DONE;
}

static void lose_step(struct connection_op *op)
{
	op->verdict = op->there ? connection_lose(&op->row, op->slot, op->worker, op->now_ms,
	                                          op->all->worker->settings->connections_expiry_ms)
	                        : CONNECTION_STALE;
	op->write = op->verdict == CONNECTION_DONE;
}

static void over_end(struct connection_op *op, bool done)
{
	if (!done)
		return; /* the sweep finds it */
	count_stale(op->all, op);
	if (op->verdict == CONNECTION_DONE)
		set_expiry(op->all, op->cid, op->row.generation, op->row.due_ms - op->now_ms);
}

static void lose_end(struct connection_op *op, bool done)
{
	if (done && op->verdict == CONNECTION_DONE)
		counter_add(op->all->worker->counters, chat_lost_total, 1);
	over_end(op, done);
}

void connection_over(struct connections *all, const char *cid, uint64_t generation)
{
	struct connection_op *op = connection_op_create(all, cid);
	op->step = close_step;
	op->end = over_end;
	op->generation = generation;
	connection_op_run(op);
}

static void lose(struct connections *all, const struct connection *row)
{
	struct connection_op *op = connection_op_create(all, row->cid);
	op->step = lose_step;
	op->end = lose_end;
	op->slot = row->slot;
	op->worker = row->worker;
	connection_op_run(op);
}

static void hold_step(struct connection_op *op)
{
	op->verdict = op->there ? connection_hold(&op->row, op->generation) : CONNECTION_STALE;
	op->write = op->verdict == CONNECTION_DONE;
}

static void hold_end(struct connection_op *op, bool done)
{
	if (done)
		count_stale(op->all, op);
}

void connection_hold_on(struct connections *all, const char *cid, uint64_t generation)
{
	struct connection_op *op = connection_op_create(all, cid);
	op->step = hold_step;
	op->end = hold_end;
	op->generation = generation;
	connection_op_run(op);
}

static void told_step(struct connection_op *op)
{
	op->verdict =
	        op->there ? connection_told(&op->row, op->generation, op->places, op->places_count)
	                  : CONNECTION_STALE;
	op->write = op->verdict == CONNECTION_DONE;
}

void connection_has_told(struct connections *all, const char *cid, uint64_t generation,
                         struct connection_watch *told, size_t count)
{
	struct connection_op *op = connection_op_create(all, cid);
	op->step = told_step;
	op->end = hold_end;
	op->generation = generation;
	op->places = told;
	op->places_count = count;
	connection_op_run(op);
}

/* ---- the sweep ---- */

/* Of those who live the first looks after the rows of others. */
static bool is_first(const struct worker *worker)
{
	for (size_t i = 0; i < worker->peers_count; i++) {
		const struct party *party =
		        worker->peers[i].peer != NULL ? peer_party(worker->peers[i].peer) : NULL;
		if (party != NULL && party->role == ROLE_SSE && party->slot < worker->slot)
			return false;
	}
	return true;
}

static bool holder_ended(struct connections *all, const struct connection *row)
{
	struct worker *worker = all->worker->worker;
	if (row->slot >= all->holders_count)
		return true;
	const struct connection_holder *holder = &all->holders[row->slot];
	struct peer *peer = worker_peer(worker, ROLE_SSE, row->slot);
	if (peer != NULL)
		return peer_party(peer)->generation != row->worker;
	return holder->gone == row->worker || holder->absent > 1;
}

static bool is_lost(struct connections *all, const struct connection *row, uint64_t now_ms)
{
	const struct worker *worker = all->worker->worker;
	if (row->slot != worker->slot)
		return is_first(worker) && holder_ended(all, row);
	const struct connection_stream *stream = connection_stream_find(all, row->cid);
	return (stream == NULL || stream->generation != row->generation) &&
	       now_ms >= row->opened_ms + FRESH_MS;
}

/* What is found is done behind the page: nothing else is read within. */
struct page {
	struct connections *all;
	size_t seen, count;
	struct connection found[SWEEP_ROWS]; /* lost, or late: without what they watch */
};

static bool sweep_row(void *arg, struct span key, struct span value)
{
	struct page *page = arg;
	struct connections *all = page->all;
	struct connection row;
	uint64_t now_ms = clock_wall_ms();
	page->seen++;
	if (!connection_key_cid(key, all->swept))
		return page->seen < SWEEP_ROWS;
	all->counted++;
	if (connection_read(&row, value) == ROW_PRESENT) {
		connection_logins_see(&all->logins, row.subject);
		bool found = row.open ? is_lost(all, &row, now_ms) : now_ms >= row.due_ms + LATE_MS;
		connection_finish(&row);
		if (found)
			page->found[page->count++] = row;
	}
	return page->seen < SWEEP_ROWS;
}

bool connections_swept(const struct connections *all, const char *cid)
{
	return all->sweeping && strcmp(cid, all->swept) <= 0;
}

static uint64_t sweep_ms(const struct connections *all)
{
	uint64_t ms = all->worker->settings->connections_expiry_ms / 2;
	return ms > SWEEP_MS_MAX ? SWEEP_MS_MAX : ms < SWEEP_MS_MIN ? SWEEP_MS_MIN : ms;
}

static void sweep_soon(struct connections *all, uint64_t in_ms)
{
	wheel_set(&all->worker->wheel, &all->sweep_due, all->worker->wheel.now_ms + in_ms);
}

static void end_sweep(struct connections *all)
{
	struct sse_worker *w = all->worker;
	all->sweeping = false;
	connection_logins_end(&all->logins);
	all->rows = all->counted;
	counter_set(w->counters, chat_connections, all->rows);
	sweep_soon(all, sweep_ms(all));
}

static bool sweep_slice(struct slices_job *job)
{
	struct connections *all =
	        (struct connections *)((char *)job - offsetof(struct connections, sweep));
	static struct page page;
	char key[CONNECTION_KEY_ROOM];
	struct span behind = {0};
	page.all = all;
	page.seen = page.count = 0;
	if (*all->swept != '\0')
		behind = connection_key(all->swept, key);
	state_kv_page(store_view(all->worker->store), SPAN(CONNECTION_KEY), behind, sweep_row,
	              &page);
	bool more = page.seen == SWEEP_ROWS;
	if (cluster_follows(all->worker))
		page.count = 0; /* they are the other node's, as are those who hold them */
	for (size_t i = 0; i < page.count; i++) {
		if (page.found[i].open)
			lose(all, &page.found[i]);
		else
			expire(all, page.found[i].cid, page.found[i].generation);
	}
	if (!more)
		end_sweep(all);
	return more;
}

static void look_for_holders(struct connections *all)
{
	for (size_t i = 0; i < all->holders_count; i++) {
		struct connection_holder *holder = &all->holders[i];
		bool there = worker_peer(all->worker->worker, ROLE_SSE, (unsigned)i) != NULL;
		holder->absent = there ? 0 : holder->absent < 2 ? holder->absent + 1 : 2;
	}
}

static void on_sweep(struct wheel_node *node)
{
	struct connections *all =
	        (struct connections *)((char *)node - offsetof(struct connections, sweep_due));
	if (all->sweeping)
		return;
	all->sweeping = true;
	all->counted = 0;
	connection_logins_begin(&all->logins);
	*all->swept = '\0';
	look_for_holders(all);
	slices_add(&all->worker->slices, &all->sweep);
}

void connections_sweep_start(struct connections *all)
{
	all->holders_count = role_of(ROLE_SSE)->slots;
	all->holders = xcalloc(all->holders_count, sizeof *all->holders);
	all->sweep.run = sweep_slice;
	all->sweep_due.due = on_sweep;
	all->first_due.due = on_due;
	sweep_soon(all, 0);
}

void connections_peer_gone(struct sse_worker *w, const struct party *gone)
{
	struct connections *all = w->connections;
	if (all == NULL || gone->role != ROLE_SSE || gone->slot >= all->holders_count)
		return;
	all->holders[gone->slot].gone = gone->generation;
	if (!all->sweeping)
		sweep_soon(all, 0);
}
