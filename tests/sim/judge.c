#include "tests/sim/judge.h"
#include "common/base/check.h"
#include "tests/sim/bettors.h"
#include "tests/sim/cluster.h"
#include "tests/sim/game.h"
#include "tests/sim/log_memory.h"
#include "tests/sim/receiver.h"
#include "tests/sim/world.h"
#include "worker-bridge/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUELS_MAX = 64 };
#define FEED "/v1/stream/feeds/arena/"

/* A duel as its frames tell of it. */
struct told {
	char id[64], key[65];
	char outcome[12], winner[16], reason[64];
	uint64_t place; /* of its terminal frame; 0: it has none */
	unsigned ends, attested, results;
	bool opened; /* its market took bets */
	uint64_t pool[2], bets, paid;
};

static struct told told[DUELS_MAX];
static size_t told_count;

static const char *text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));
	return text != NULL ? text : "";
}

static uint64_t number_of(const json_t *o, const char *member)
{
	return (uint64_t)json_integer_value(json_object_get(o, member));
}

static struct told *told_of(const char *id)
{
	for (size_t i = 0; i < told_count; i++)
		if (strcmp(told[i].id, id) == 0)
			return &told[i];
	return NULL;
}

static struct told *ended(const char *id, const char *what)
{
	struct told *t = told_of(id);
	if (t == NULL || t->place == 0)
		world_broken("%s of %s, which has not ended", what, id);
	return t;
}

static json_t *parse(struct span text)
{
	json_t *o = json_loadb((const char *)text.at, text.len, 0, NULL);
	if (o == NULL)
		world_broken("no JSON: %.*s", (int)text.len, (const char *)text.at);
	return o;
}

/* Each message of the feed's stream. */
static void each(const char *stream, void (*visit)(const json_t *message, uint64_t place))
{
	char path[96];
	const struct log_memory_message *all;
	snprintf(path, sizeof path, FEED "%s", stream);
	size_t count = log_memory_messages(path, &all);
	for (size_t i = 0; i < count; i++) {
		json_t *message = parse(all[i].text);
		visit(message, all[i].place);
		json_decref(message);
	}
}

/* ---- frames ---- */

static struct {
	uint64_t seq, emitted_ms, version;
	char duel[64];
} last;

static void end_duel(struct told *t, const json_t *frame, uint64_t place)
{
	const char *outcome = text_of(frame, "outcome"), *winner = text_of(frame, "winnerId");
	const char *reason = text_of(frame, strcmp(outcome, "cancelled") == 0 ? "cancellationReason"
	                                                                      : "winReason");
	t->place = place;
	snprintf(t->outcome, sizeof t->outcome, "%s", outcome);
	snprintf(t->winner, sizeof t->winner, "%s", winner);
	snprintf(t->reason, sizeof t->reason, "%s", reason);
	bool told_so = strcmp(reason, "kill") == 0 || strcmp(reason, "forfeit") == 0 ||
	               strcmp(reason, "game_stopped") == 0;
	if (told_so && !game_said(t->id, outcome, winner))
		world_broken("%s: %s of %s by %s, and the game never said so", t->id, outcome,
		             winner, reason);
}

static void see_frame(const json_t *frame, uint64_t place)
{
	const char *id = text_of(frame, "duelId");
	uint64_t seq = number_of(frame, "seq"), emitted_ms = number_of(frame, "emittedAt"),
	         version = number_of(frame, "phaseVersion");
	if (seq != last.seq + 1 || number_of(frame, "previousSeq") != last.seq)
		world_broken("frame %" PRIu64 " behind %" PRIu64, seq, last.seq);
	if (emitted_ms < last.emitted_ms)
		world_broken("frame %" PRIu64 " was emitted before the one before", seq);
	if (*id != '\0' && strcmp(id, last.duel) == 0 && version != last.version &&
	    version != last.version + 1)
		world_broken("frame %" PRIu64 ": phase version %" PRIu64 " behind %" PRIu64, seq,
		             version, last.version);
	last.seq = seq;
	last.emitted_ms = emitted_ms;
	last.version = version;
	snprintf(last.duel, sizeof last.duel, "%s", id);
	bool terminal = json_is_true(json_object_get(frame, "terminal"));
	if (*id == '\0')
		return;
	struct told *t = told_of(id);
	if (t == NULL) {
		check(told_count < DUELS_MAX);
		t = &told[told_count++];
		*t = (struct told){0};
		snprintf(t->id, sizeof t->id, "%s", id);
		snprintf(t->key, sizeof t->key, "%s", text_of(frame, "duelKey"));
	}
	if (t->place != 0)
		world_broken("%s: a frame behind its terminal one", id);
	if (terminal != json_is_string(json_object_get(frame, "outcome")))
		world_broken("%s: terminal and outcome do not agree", id);
	if (terminal)
		end_duel(t, frame, place);
}

static void see_result(const json_t *frame, uint64_t place)
{
	struct told *t = ended(text_of(frame, "duelId"), "a result");
	(void)place;
	if (t->results++ != 0)
		world_broken("%s: two results", t->id);
	if (strcmp(text_of(frame, "outcome"), t->outcome) != 0)
		world_broken("%s: a result that is another", t->id);
}

static void read_frames(void)
{
	told_count = 0;
	memset(&last, 0, sizeof last);
	each("frames", see_frame);
}

/* ---- markets ---- */

static const char *side_of(const struct told *t)
{
	return strcmp(t->outcome, "win") != 0 ? "" : *t->winner == 'a' ? "A" : "B";
}

/* A market that nobody could bet on before its duel had ended is not opened in hindsight. */
static bool is_paid(const struct told *t)
{
	return strcmp(t->outcome, "win") == 0 && t->opened;
}

static void see_audit(const json_t *line, uint64_t place)
{
	const char *event = text_of(line, "event"), *id = text_of(line, "duelId");
	bool resolved = strcmp(event, "resolved") == 0;
	(void)place;
	if (strcmp(event, "manual_review") == 0)
		world_broken("%s needs a person: %s", id, text_of(line, "why"));
	if (strcmp(event, "opened") == 0 && told_of(id) != NULL)
		told_of(id)->opened = true;
	if (!resolved && strcmp(event, "cancelled") != 0)
		return;
	struct told *t = ended(id, "the settlement");
	if (t->ends++ != 0)
		world_broken("%s was settled twice", id);
	if (resolved != is_paid(t) || strcmp(text_of(line, "winnerSide"), side_of(t)) != 0)
		world_broken("%s ended as %s of %s, and was %s for %s", id, t->outcome, t->winner,
		             event, text_of(line, "winnerSide"));
}

static void see_attestation(const json_t *line, uint64_t place)
{
	struct told *t = ended(text_of(line, "duelId"), "an attestation");
	(void)place;
	if (t->attested++ != 0)
		world_broken("%s was attested twice", t->id);
}

static bool row(const char *key, json_t **o)
{
	struct span value;
	*o = state_kv_get(log_memory_head(), span_str(key), &value) ? parse(value) : NULL;
	return *o != NULL;
}

static void check_market(const struct told *t, const char *operator)
{
	char key[MARKET_KEY_ROOM];
	struct market m;
	json_t *record;
	market_key("arena", t->id, key);
	if (!row(key, &record) || !market_read(&m, record))
		world_broken("%s has no market", t->id);
	json_decref(record);
	if (m.state != (is_paid(t) ? MARKET_RESOLVED : MARKET_CANCELLED) ||
	    strcmp(m.outcome, t->outcome) != 0 || strcmp(m.side, side_of(t)) != 0)
		world_broken("%s: %s of %s, and its market is %s, %s for %s", t->id, t->outcome,
		             t->winner, market_state_name(m.state), m.outcome, m.side);
	if (strcmp(m.operator, operator) != 0)
		world_broken("%s is with %s", t->id, m.operator);
	if (t->ends != 1 || t->attested != 1 || t->results != 1)
		world_broken("%s: settled %u, attested %u, told %u times", t->id, t->ends,
		             t->attested, t->results);
}

/* ---- the ledger ---- */

static int64_t balances[BETTORS_MAX];
static uint64_t fees, rounding;

/* What a bet brings, by the rules as people read them. */
static uint64_t payout(const struct told *t, const struct bettor_bet *b, uint64_t fee_ppm)
{
	uint64_t pool = t->pool[0] + t->pool[1], winning;
	bool win = strcmp(t->outcome, "win") == 0;
	unsigned side = *side_of(t) == 'B';
	winning = t->pool[side];
	if (!win || winning == 0)
		return b->amount;
	if (b->side != side)
		return 0;
	unsigned __int128 share = pool - (unsigned __int128)pool * fee_ppm / 1000000;
	return (uint64_t)(share * b->amount / winning);
}

static void see_bet(const json_t *line, uint64_t place)
{
	struct told *t = told_of(text_of(line, "duelId"));
	if (t == NULL || number_of(line, "number") != ++t->bets)
		world_broken("bet %" PRIu64 " on %s", number_of(line, "number"),
		             text_of(line, "duelId"));
	if (t->place != 0 && place > t->place)
		world_broken("%s: a bet was taken when it had ended", t->id);
	t->pool[*text_of(line, "side") == 'B'] += number_of(line, "amount");
}

static bool is_row_of(const json_t *row, const struct bettor_bet *b)
{
	return strcmp(text_of(row, "account"), bettors_account(b->bettor)) == 0 &&
	       number_of(row, "amount") == b->amount &&
	       (*text_of(row, "side") == 'B') == (b->side == 1);
}

/* Whose bet this is: of somebody who was told so, or who cannot know. */
static const struct bettor_bet *bet_of(const struct told *t, uint64_t number, const json_t *row)
{
	static bool used[BETTOR_BETS_MAX];
	const struct bettor_bet *bets, *found = NULL;
	size_t count = bettors_bets(&bets);
	for (size_t i = 0; i < count; i++)
		if (strcmp(bets[i].duel, t->id) == 0 && bets[i].number == number)
			found = &bets[i];
	for (size_t i = 0; found == NULL && i < count; i++)
		if (strcmp(bets[i].duel, t->id) == 0 && bets[i].number == 0 && bets[i].doubted &&
		    !used[i] && is_row_of(row, &bets[i])) {
			used[i] = true;
			found = &bets[i];
		}
	return found != NULL && is_row_of(row, found) ? found : NULL;
}

static void check_bet(struct told *t, uint64_t number, uint64_t fee_ppm)
{
	char key[LEDGER_KEY_ROOM];
	json_t *bet;
	ledger_bet_key(t->id, number, key);
	if (!row(key, &bet))
		world_broken("%s: bet %" PRIu64 " is not there", t->id, number);
	const struct bettor_bet *b = bet_of(t, number, bet);
	if (b == NULL)
		world_broken("%s: bet %" PRIu64 " is nobody's who made it", t->id, number);
	uint64_t due = payout(t, b, fee_ppm);
	if (!json_is_integer(json_object_get(bet, "paid")) || number_of(bet, "paid") != due)
		world_broken("%s: bet %" PRIu64 " was paid %" PRIu64 ", and %" PRIu64 " was due",
		             t->id, number, number_of(bet, "paid"), due);
	json_decref(bet);
	balances[b->bettor] += (int64_t)due - (int64_t)b->amount;
	t->paid += due;
}

/* What was confirmed is there. */
static void check_confirmed(void)
{
	const struct bettor_bet *bets;
	size_t count = bettors_bets(&bets);
	for (size_t i = 0; i < count; i++) {
		const struct told *t = told_of(bets[i].duel);
		if (bets[i].number != 0 && (t == NULL || bets[i].number > t->bets))
			world_broken("%s: bet %" PRIu64 " was confirmed, and was not told of",
			             bets[i].duel, bets[i].number);
	}
}

static void check_account(const char *id, int64_t expected)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	int64_t balance = 0;
	ledger_account_key(id, key);
	if (row(key, &account))
		balance = json_integer_value(json_object_get(account, "balance"));
	json_decref(account);
	if (balance != expected)
		world_broken("%s has %" PRId64 ", and should have %" PRId64, id, balance, expected);
}

static void check_ledger(const struct judge_run *run, struct judge_counts *counts)
{
	struct ledger_sums sums;
	each("bets", see_bet);
	check_confirmed();
	memset(balances, 0, sizeof balances);
	fees = rounding = 0;
	for (size_t i = 0; i < told_count; i++) {
		struct told *t = &told[i];
		for (uint64_t number = 1; number <= t->bets; number++)
			check_bet(t, number, run->fee_ppm);
		uint64_t pool = t->pool[0] + t->pool[1];
		uint64_t fee =
		        strcmp(t->outcome, "win") == 0 && t->pool[*side_of(t) == 'B'] != 0
		                ? (uint64_t)((unsigned __int128)pool * run->fee_ppm / 1000000)
		                : 0;
		counts->bets += t->bets;
		fees += fee;
		rounding += pool - fee - t->paid;
		counts->paid += t->paid;
	}
	for (unsigned i = 0; i < BETTORS_MAX; i++)
		check_account(bettors_account(i), (int64_t)run->grant + balances[i]);
	check_account("@fees", (int64_t)fees);
	check_account("@rounding", (int64_t)rounding);
	check_account("@issue", -(int64_t)(run->grant * BETTORS_MAX));
	ledger_sum(log_memory_head(), &sums);
	if (sums.accounts + sums.house + sums.pools != 0 || sums.pools != 0 || sums.bad_rows != 0)
		world_broken("the ledger does not sum to zero");
}

/* ---- operators outside ---- */

static void check_receiver(const struct told *t)
{
	const char *side, *state = receiver_state(t->id, &side);
	bool win = is_paid(t);
	if (state == NULL && !win)
		return; /* it ended before anybody was told */
	if (state == NULL || strcmp(state, win ? "resolved" : "cancelled") != 0 ||
	    strcmp(side, win ? side_of(t) : "") != 0)
		world_broken("%s: %s of %s, and the receiver has it as %s for %s", t->id,
		             t->outcome, t->winner, state != NULL ? state : "nothing", side);
}

static void check_chain(const struct told *t)
{
	struct solana_duel d;
	struct solana_market m;
	bool win = is_paid(t);
	if (!cluster_duel(t->key, &d, &m)) {
		if (win)
			world_broken("%s is not on the chain", t->id);
		return;
	}
	enum solana_side side = !win                ? SOLANA_SIDE_NONE
	                        : *t->winner == 'a' ? SOLANA_SIDE_A
	                                            : SOLANA_SIDE_B;
	if (d.status != (win ? SOLANA_DUEL_RESOLVED : SOLANA_DUEL_CANCELLED) ||
	    m.status != (win ? SOLANA_MARKET_RESOLVED : SOLANA_MARKET_CANCELLED) ||
	    d.result.winner != side || m.winner != side)
		world_broken("%s: %s of %s, and the chain has duel %d, market %d for %d", t->id,
		             t->outcome, t->winner, (int)d.status, (int)m.status, (int)m.winner);
}

/* ---- spectators ---- */

/* What spectators have been told last is what the feed told last; before that everything, once and
 * in order; of frames from wherever they began. `same`: as it stands. */
static void check_spectators(const char *stream, const char *spectators, bool same)
{
	char path[96];
	const struct log_memory_message *all, *seen;
	snprintf(path, sizeof path, FEED "%s", stream);
	size_t count = log_memory_messages(path, &all);
	snprintf(path, sizeof path, FEED "%s", spectators);
	size_t told_of_it = log_memory_messages(path, &seen);
	bool whole = strcmp(stream, "frames") != 0;
	if (told_of_it > count || (whole && told_of_it < count) || (count > 0 && told_of_it == 0))
		world_broken("spectators were told %zu of %zu %s", told_of_it, count, stream);
	for (size_t i = 0; i < told_of_it; i++) {
		const struct log_memory_message *one = &all[count - told_of_it + i];
		json_t *was = parse(one->text), *is = parse(seen[i].text);
		if (one->place >= seen[i].place || (same && !span_equal(one->text, seen[i].text)) ||
		    number_of(was, "seq") != number_of(is, "seq"))
			world_broken("spectators were told something else of %s", stream);
		if (json_object_get(is, "seed") != NULL)
			world_broken("spectators were told a proof");
		json_decref(was);
		json_decref(is);
	}
}

static void check_all_spectators(void)
{
	const struct log_memory_message *none;
	check_spectators("frames", "spectator", false);
	if (log_memory_messages(FEED "spectator/odds", &none) == 0)
		return; /* there is no delay */
	check_spectators("odds", "spectator/odds", true);
	check_spectators("bets", "spectator/bets", true);
	check_spectators("attestations", "spectator/attestations", true);
	check_spectators("results", "spectator/results", false);
}

/* ---- all of it ---- */

bool judge_settled(void)
{
	read_frames();
	for (size_t i = 0; i < told_count; i++) {
		char key[MARKET_KEY_ROOM];
		struct market m;
		json_t *record;
		market_key("arena", told[i].id, key);
		if (told[i].place == 0 || !row(key, &record) || !market_read(&m, record))
			return false;
		json_decref(record);
		if (m.state == MARKET_MANUAL_REVIEW)
			return true; /* nobody comes: it is judged */
		if (m.state != MARKET_RESOLVED && m.state != MARKET_CANCELLED)
			return false;
	}
	return true;
}

void judge_all(const struct judge_run *run, struct judge_counts *counts)
{
	read_frames();
	each("results", see_result);
	each("audit", see_audit);
	each("attestations", see_attestation);
	for (size_t i = 0; i < told_count; i++) {
		const struct told *t = &told[i];
		check_market(t, run->operator);
		if (strcmp(run->operator, "webhook") == 0)
			check_receiver(t);
		else if (strcmp(run->operator, "solana") == 0)
			check_chain(t);
		counts->duels++;
		counts->won += strcmp(t->outcome, "win") == 0;
		counts->drawn += strcmp(t->outcome, "draw") == 0;
		counts->cancelled += strcmp(t->outcome, "cancelled") == 0;
	}
	check_ledger(run, counts);
	check_all_spectators();
}
