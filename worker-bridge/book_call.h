/* What the answers to calls about markets, accounts, bets and attestations have in common: the book
 * that is asked, its rows as they are now, and the refusals that are the same for all. */
#pragma once

#include "worker-bridge/bridge.h"

extern const char book_call_unreadable[]; /* 503: a row of it cannot be read */

struct book *book_call_book(const struct call *call);
struct state *book_call_view(const struct call *call);

/* The row; alerted when it cannot be read. *row is a new reference with ROW_PRESENT, else NULL. */
enum row_found book_call_row(const struct call *call, const char *key, json_t **row);
/* For a row that is JSON, but not what it ought to be: alerts. Takes it. ROW_UNREADABLE. */
enum row_found book_call_not_ours(const struct call *call, const char *key, json_t **row);

/* Up to when who asks may know of duels, Unix ms: UINT64_MAX, or feeds.spectator_delay ago. */
uint64_t book_call_until_ms(const struct call *call);

/* 401 to who showed nothing, else 403. */
void book_call_refuse_stranger(struct call *call, const char *reason);

/* ---- queries ---- */

/* The value of this parameter, as it stands; empty: it is not there. */
struct span book_call_query(const struct call *call, const char *name);
enum { BOOK_CALL_PAGE = 100, BOOK_CALL_PAGE_MAX = 1000 };
/* How many are asked for (?limit=): BOOK_CALL_PAGE, or 1 to BOOK_CALL_PAGE_MAX. 0: answered with
 * 400. */
size_t book_call_limit(struct call *call);

/* ---- paths ---- */

/* What follows the prefix. */
struct span book_call_below(struct span path, const char *prefix);
/* The part up to the next '/'; *rest becomes what follows it. */
struct span book_call_segment(struct span *rest);
/* As text; false: it is empty or does not fit. */
bool book_call_text(struct span from, char *into, size_t room);
