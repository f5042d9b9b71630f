#include "common/worker/ask.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/worker/call.h"

#include <stdlib.h>

struct question {
	uint64_t id;
	struct party to; /* the very process */
	struct asks *asks;
	ask_on_outcome *on_outcome;
	void *arg;
	struct wheel_node timer;
	UT_hash_handle hh;
};

struct asks {
	struct worker *worker;
	struct wheel *wheel;
	struct question *questions; /* hash */
	uint64_t last_id;
};

struct asks *asks_create(struct worker *worker, struct wheel *wheel)
{
	struct asks *asks = xcalloc(1, sizeof *asks);
	*asks = (struct asks){.worker = worker, .wheel = wheel};
	return asks;
}

void asks_destroy(struct asks **asks)
{
	check(*asks == NULL || (*asks)->questions == NULL);
	free(*asks);
	*asks = NULL;
}

static void drop(struct question *q)
{
	HASH_DEL(q->asks->questions, q);
	wheel_cancel(&q->timer);
	free(q);
}

static void conclude(struct question *q, enum ask_outcome outcome, const struct party *from,
                     const struct proto_call_reply *reply)
{
	ask_on_outcome *on_outcome = q->on_outcome;
	void *arg = q->arg;
	counter_add(q->asks->worker->mine, calls_failed_total, outcome != ASK_ANSWERED);
	drop(q);
	on_outcome(arg, outcome, from, reply);
}

static void on_timer(struct wheel_node *node)
{
	conclude((struct question *)((char *)node - offsetof(struct question, timer)), ASK_LATE,
	         NULL, NULL);
}

static bool fits(const struct proto_call *m)
{
#define ASK_FITS(type, name, max) &&m->name.len <= (max)
	return true PROTO_CALL_SPANS(ASK_FITS);
#undef ASK_FITS
}

/* Generations only grow, over all workers: a smaller one has ended. */
static enum ask_outcome judge(const struct peer *peer, const struct party *to,
                              const struct proto_call *m)
{
	if (!fits(m))
		return ASK_UNFIT;
	if (peer == NULL)
		return ASK_ABSENT;
	uint64_t there = peer_party(peer)->generation;
	return to->generation == 0 || to->generation == there ? ASK_SENT
	       : to->generation < there                       ? ASK_STALE
	                                                      : ASK_ABSENT;
}

static void wait_for_reply(struct asks *asks, const struct peer *peer, uint64_t id,
                           ask_on_outcome *on_outcome, void *arg)
{
	struct question *q = xcalloc(1, sizeof *q);
	*q = (struct question){.id = id,
	                       .to = *peer_party(peer),
	                       .asks = asks,
	                       .on_outcome = on_outcome,
	                       .arg = arg,
	                       .timer = {.due = on_timer}};
	HASH_ADD(hh, asks->questions, id, sizeof q->id, q);
	wheel_set(asks->wheel, &q->timer,
	          asks->wheel->now_ms + asks->worker->settings.newest->call_timeout_ms);
}

enum ask_outcome asks_send(struct asks *asks, const struct party *to, const struct proto_call *call,
                           ask_on_outcome *on_outcome, void *arg, uint64_t *id)
{
	struct counters_slot *mine = asks->worker->mine;
	struct peer *peer = worker_peer(asks->worker, to->role, to->slot);
	enum ask_outcome outcome = judge(peer, to, call);
	struct proto_call m = *call;
	m.id = ++asks->last_id;
	m.generation = to->generation;
	if (outcome == ASK_SENT) {
		bool sent;
		peer_try(sent, peer, call, CALL, m);
		counter_add(mine, calls_total, 1);
		counter_add(mine, calls_refused_total, !sent);
		outcome = sent ? ASK_SENT : ASK_FULL;
	}
	counter_add(mine, calls_failed_total, outcome != ASK_SENT);
	if (outcome == ASK_SENT && on_outcome != NULL)
		wait_for_reply(asks, peer, m.id, on_outcome, arg);
	if (id != NULL)
		*id = outcome == ASK_SENT ? m.id : 0;
	return outcome;
}

static struct question *find(const struct asks *asks, uint64_t id)
{
	struct question *q;
	HASH_FIND(hh, asks->questions, &id, sizeof id, q);
	return q;
}

void asks_forget(struct asks *asks, uint64_t id)
{
	struct question *q = find(asks, id);
	if (q != NULL)
		drop(q);
}

static struct question *first_to(const struct asks *asks, const struct party *to)
{
	struct question *q = asks->questions;
	while (q != NULL && !party_equal(&q->to, to))
		q = q->hh.next;
	return q;
}

/* Whoever is told may ask others and forget what it asked: begin again after each. */
void asks_peer_gone(struct asks *asks, const struct party *gone)
{
	struct question *q;
	while ((q = first_to(asks, gone)) != NULL)
		conclude(q, ASK_GONE, NULL, NULL);
}

/* One that nobody waits for is late, or whoever asked has left. */
void asks_take(struct asks *asks, const struct party *from, const struct proto_call_reply *reply)
{
	struct question *q = find(asks, reply->id);
	if (q == NULL || !party_equal(&q->to, from))
		return;
	if (reply->status == CALL_MISDIRECTED)
		conclude(q, ASK_STALE, NULL, NULL);
	else
		conclude(q, ASK_ANSWERED, from, reply);
}
