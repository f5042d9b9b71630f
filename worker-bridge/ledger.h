/* The embedded ledger: accounts, stakes, parimutuel pools, payouts. Integer units, double entry:
 * what leaves one account enters another in the same transaction, so that all balances and all
 * pools that are not settled sum to zero.
 *
 *     ledger/account/ID           people's; and @issue, @fees, @rounding, @closed: the house's
 *     ledger/bet/DUELID/00000001  one for each bet, numbered per market
 *     ledger/own/ACCOUNT/N        which bets an account made, the newest first; the bet's row says
 *                                 "ownNumber", so that both go together
 *     ledger/key/ACCOUNT/HASH     an Idempotency-Key and the bet that was made with it; the bet's
 *                                 row says "keyHash", so that both go together
 *
 * Works on rows (rows.h): whoever calls submits them with the market's own row. */
#pragma once

#include "worker-bridge/market.h"
#include "common/store/rows.h"

#define LEDGER_AMOUNT_MAX (((uint64_t)1 << 53) - 1)
enum { LEDGER_ID_MAX = 64, LEDGER_KEY_ROOM = 224 };

/* What a winner gets: floor(stake * total / winning), the fee already taken off `total`. winning >
 * 0. */
uint64_t ledger_payout(uint64_t stake, uint64_t total, uint64_t winning);

#define LEDGER_ACCOUNTS "ledger/account/" /* what their keys begin with */
void ledger_account_key(const char *id, char key[LEDGER_KEY_ROOM]);
void ledger_bet_key(const char *duel_id, uint64_t number, char key[LEDGER_KEY_ROOM]);

/* What a row needs to be one of ours: an account its balance; a bet its duel, account, side, amount
 * and "paid", an integer or null. A row that lacks it is unreadable (rows_mark()), stops whatever
 * needs it, and is left as it is. *json is a new reference with ROW_PRESENT, else NULL. */
enum row_found ledger_account(struct rows *rows, const char *id, json_t **json);
bool ledger_account_valid(const json_t *account);
/* It takes no bets any more (ledger_end()). */
bool ledger_account_ended(const json_t *account);
bool ledger_bet_valid(const json_t *bet);

enum ledger_result {
	LEDGER_OK,
	LEDGER_REPEATED,   /* the same key and the same bet as before: *bet is that one */
	LEDGER_NO_ACCOUNT, /* 404 */
	LEDGER_CLOSED,     /* 409: the market takes no bets */
	LEDGER_POOR,       /* 402: the balance does not cover it */
	LEDGER_FULL,       /* 409: the market has all the bets it may */
	LEDGER_KEY_REUSED, /* 422: another bet, or top-up, was made with this key */
	LEDGER_ENDED,      /* 409: the account is closed */
	LEDGER_UNREADABLE, /* 503: a row of it cannot be read (rows_marked()); nothing was changed
	                    */
};

/* *issued: all units that were ever granted. At most LEDGER_AMOUNT_MAX: then no balance, pool or
 * sum can pass it. LEDGER_OK or LEDGER_UNREADABLE. */
enum ledger_result ledger_issued(struct rows *rows, uint64_t *issued);

/* Opens an account, of an id that is new, with `grant` units from @issue, at most what
 * ledger_issued() leaves. `owner` is the hexadecimal SHA-256 of its secret. LEDGER_OK or
 * LEDGER_UNREADABLE; LEDGER_CLOSED: it exists. */
enum ledger_result ledger_open(struct rows *rows, const char *id, const char *name,
                               const char *owner, uint64_t grant, uint64_t now_ms);

/* Who gives units to an account that is there, and why. */
struct ledger_top_up {
	uint64_t amount; /* 1 to LEDGER_AMOUNT_MAX */
	const char *actor, *reason;
	struct span key; /* Idempotency-Key; empty: none */
};
enum { LEDGER_TOP_UPS_KEPT = 16 }; /* of an account, with their keys; the oldest goes */
/* Units from @issue. LEDGER_OK, or LEDGER_REPEATED, NO_ACCOUNT, KEY_REUSED, ENDED, UNREADABLE, or
 * FULL: more than @issue may give. */
enum ledger_result ledger_top_up(struct rows *rows, const char *id,
                                 const struct ledger_top_up *top_up, uint64_t now_ms);

/* Closes an account, for good: its balance goes to @closed, and so does what its stakes bring that
 * are in markets yet. Its row and totals stay. LEDGER_OK, NO_ACCOUNT, UNREADABLE; ENDED: it was. */
enum ledger_result ledger_end(struct rows *rows, const char *id, uint64_t now_ms);
/* Opens a closed one again, with nothing in it. LEDGER_OK, NO_ACCOUNT, UNREADABLE. */
enum ledger_result ledger_begin_again(struct rows *rows, const char *id);

enum { LEDGER_DISPLAY_NAME_MAX = 32 }; /* bytes */
/* 1 to so many bytes of UTF-8 without control characters, neither beginning nor ending with a
 * blank, nor beginning as an account's id does. */
bool ledger_display_name_valid(const char *name);
/* What its owner is called where others see his bets; "": nothing. LEDGER_OK, NO_ACCOUNT, ENDED,
 * UNREADABLE. */
enum ledger_result ledger_name(struct rows *rows, const char *id, const char *name);

/* Of bet `number` of the account (its total of bets when it was made); later ones come first. */
void ledger_own_key(const char *account, uint64_t number, char key[LEDGER_KEY_ROOM]);

struct ledger_bet {
	const char *account;
	unsigned side;   /* 0: A, 1: B */
	uint64_t amount; /* 1 to LEDGER_AMOUNT_MAX */
	struct span key; /* Idempotency-Key; empty: none */
	bool too_late;   /* more is known than the market's row says */
};
/* Takes the stake. On LEDGER_OK and LEDGER_REPEATED *made is the bet's record, a new reference. */
enum ledger_result ledger_stake(struct rows *rows, struct market *market,
                                const struct ledger_bet *bet, uint64_t bets_max, uint64_t now_ms,
                                json_t **made);

enum ledger_progress {
	LEDGER_DONE,
	LEDGER_MORE,  /* call again */
	LEDGER_STUCK, /* at a row that cannot be read (rows_marked()); what came before it is done
	               */
};

/* Pays the next `count` bets of a market that is being resolved (by its outcome) or cancelled
 * (stakes back; also when nobody had bet on the winner). LEDGER_DONE: all are paid, and the rest of
 * the pool is with @fees and @rounding. */
enum ledger_progress ledger_settle(struct rows *rows, struct market *market, uint64_t count);

/* Removes the next `count` bets of a settled market, with their keys: what was paid is in the
 * balances. LEDGER_DONE: none is left. */
enum ledger_progress ledger_forget(struct rows *rows, struct market *market, uint64_t count);

/* Which bet a row of ledger/own/ is about; false: it is none of ours. */
bool ledger_own_read(const json_t *row, char duel_id[64], uint64_t *number);
/* Of a bet's row: its number among its account's bets; 0: of a release before. */
uint64_t ledger_bet_own_number(const json_t *bet);

/* A bet's row as it is shown: "paid" is gross, "net" is that less its stake; null until it is
 * settled. Takes and gives back. */
json_t *ledger_bet_shown(json_t *bet);

/* Balances of everybody and all unsettled pools: sums to 0, or money was made or lost. */
struct ledger_sums {
	int64_t accounts, house, pools;
	uint64_t account_count, bad_rows;
};
void ledger_sum(struct state *view, struct ledger_sums *sums);
