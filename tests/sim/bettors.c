#include "tests/sim/bettors.h"
#include "common/base/check.h"
#include "tests/sim/bridges.h"
#include "tests/sim/game.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LOOKS = 5, REPEAT_MS = 300, THINK_MS = 1500, AMOUNT_MAX = 1500 };

static struct bettor_bet bets[BETTOR_BETS_MAX];
static size_t bets_count;
static char accounts[BETTORS_MAX][32];
static bool stopped, busy[BETTORS_MAX];
static uint64_t confirmed[BETTORS_MAX]; /* bets */

static void bet(void *arg);

static void principal_of(unsigned bettor, char out[65])
{
	snprintf(out, 65, "%064x", 0xb0 + bettor);
}

/* ---- an account ---- */

static void open_one(void *arg);

static void on_opened(void *arg, unsigned status, const json_t *body)
{
	unsigned bettor = (unsigned)(uintptr_t)arg;
	world_trace("account of %u: %u", bettor, status);
	if (status != 200 && status != 201) {
		world_after(0, world_wait(REPEAT_MS, 10 * REPEAT_MS), open_one, arg);
		return;
	}
	snprintf(accounts[bettor], sizeof accounts[bettor], "%s",
	         json_string_value(json_object_get(body, "id")));
	world_after(0, world_below(THINK_MS), bet, arg);
}

static void open_one(void *arg)
{
	struct bridge_question q = {.method = CALL_POST,
	                            .path = "/v1/ledger/accounts",
	                            .body = "{}",
	                            .done = on_opened,
	                            .arg = arg};
	principal_of((unsigned)(uintptr_t)arg, q.principal);
	bridges_ask(&q);
}

/* ---- what he sees ---- */

struct look {
	unsigned bettor;
	uint64_t confirmed; /* when he asked */
};

static void on_seen(void *arg, unsigned status, const json_t *body)
{
	const struct look *l = arg;
	if (status == 0 || status == 503)
		return;
	uint64_t count = (uint64_t)json_integer_value(json_object_get(body, "bets"));
	if (status != 200 || count < l->confirmed)
		world_broken("%u has %" PRIu64 " confirmed bets, and was shown %u with %" PRIu64,
		             l->bettor, l->confirmed, status, count);
}

/* Whoever was told of something sees it, whichever bridge he asks next. */
static void look(unsigned bettor)
{
	struct look *l = xcalloc(1, sizeof *l);
	struct bridge_question q = {.method = CALL_GET, .done = on_seen, .arg = l};
	*l = (struct look){bettor, confirmed[bettor]};
	principal_of(bettor, q.principal);
	snprintf(q.path, sizeof q.path, "/v1/ledger/accounts/%s", accounts[bettor]);
	bridges_ask(&q);
}

/* ---- a bet ---- */

static void ask(void *arg);

static void on_answer(void *arg, unsigned status, const json_t *body)
{
	struct bettor_bet *b = arg;
	if (status == 0 || status == 503) {
		b->doubted = true;
		world_after(0, world_wait(REPEAT_MS, 10 * REPEAT_MS), ask, b);
		return;
	}
	b->status = status;
	world_trace("bet %zu of %u on %s: %u", (size_t)(b - bets), b->bettor, b->duel, status);
	if (status == 200 || status == 201) {
		b->number = (uint64_t)json_integer_value(json_object_get(body, "number"));
		confirmed[b->bettor]++;
		for (unsigned i = 0; i < LOOKS; i++)
			look(b->bettor);
	} else if (status != 402 && status != 404 && status != 409)
		world_broken("a bet on %s was answered with %u", b->duel, status);
	busy[b->bettor] = false;
	world_after(0, world_wait(THINK_MS, 5 * THINK_MS), bet, (void *)(uintptr_t)b->bettor);
}

static void ask(void *arg)
{
	struct bettor_bet *b = arg;
	struct bridge_question q = {.method = CALL_POST, .done = on_answer, .arg = b};
	principal_of(b->bettor, q.principal);
	snprintf(q.path, sizeof q.path, "/v1/markets/%s/bets", b->duel);
	snprintf(q.key, sizeof q.key, "bet-%zu", (size_t)(b - bets));
	snprintf(q.body, sizeof q.body,
	         "{\"account\":\"%s\",\"side\":\"%s\",\"amount\":%" PRIu64 "}", accounts[b->bettor],
	         b->side == 0 ? "A" : "B", b->amount);
	bridges_ask(&q);
}

static void bet(void *arg)
{
	unsigned bettor = (unsigned)(uintptr_t)arg;
	if (stopped)
		return;
	if (*game_duel() == '\0' || bets_count == BETTOR_BETS_MAX) {
		world_after(0, world_below(THINK_MS), bet, arg);
		return;
	}
	struct bettor_bet *b = &bets[bets_count++];
	*b = (struct bettor_bet){.bettor = bettor,
	                         .side = (unsigned)world_below(world_chance(200) ? 1 : 2),
	                         .amount = 1 + world_below(AMOUNT_MAX)};
	snprintf(b->duel, sizeof b->duel, "%s", game_duel());
	busy[bettor] = true;
	ask(b);
}

void bettors_begin(void)
{
	bets_count = 0;
	stopped = false;
	memset(accounts, 0, sizeof accounts);
	memset(busy, 0, sizeof busy);
	memset(confirmed, 0, sizeof confirmed);
	for (uintptr_t i = 0; i < BETTORS_MAX; i++)
		world_after(0, world_below(THINK_MS), open_one, (void *)i);
}

void bettors_stop(void)
{
	stopped = true;
}

bool bettors_done(void)
{
	for (size_t i = 0; i < BETTORS_MAX; i++)
		if (busy[i] || *accounts[i] == '\0')
			return false;
	return true;
}

size_t bettors_bets(const struct bettor_bet **all)
{
	*all = bets;
	return bets_count;
}

const char *bettors_account(unsigned bettor)
{
	return accounts[bettor];
}
