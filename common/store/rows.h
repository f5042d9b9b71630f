/* Rows of the store, read and changed for one transaction: what was read comes from the store's
 * view or from what was put before, and every row that was put becomes durable only if it is still
 * as it was read. Loop thread only. */
#pragma once

#include "common/store/row.h"
#include "common/store/txn.h"

struct rows;

/* The view must not move on before rows_add(). */
struct rows *rows_create(struct state *view);
/* NULL is fine. */
void rows_destroy(struct rows **rows);

/* at NULL: there is none. Borrowed until the row is put. */
struct span rows_get(struct rows *rows, const char *key);
/* ROW_UNREADABLE: the store has no answer; the row has been marked (below). */
enum row_found rows_find(struct rows *rows, const char *key, struct span *value);
/* *json is a new reference with ROW_PRESENT, else NULL. ROW_UNREADABLE has been marked. */
enum row_found rows_json(struct rows *rows, const char *key, json_t **json);

/* The caller has the row in memory, as `before` (at NULL: there was none), and judges by that: so
 * it must be in the store, whatever the view says. Not after the row was read here. Copies. */
void rows_expect(struct rows *rows, const char *key, struct span before);

/* Marks a row that is there and says nothing to this release: from now on it must not be put. */
void rows_mark(struct rows *rows, const char *key);
/* One that has been marked; NULL: none. Borrowed until rows_add(). */
const char *rows_marked(const struct rows *rows);
/* row_alert() for each of them. */
void rows_alert(const struct rows *rows, struct counters_slot *counters);

/* Copies. at NULL: removes it. */
void rows_put(struct rows *rows, const char *key, struct span value);
/* Takes `value`. */
void rows_put_json(struct rows *rows, const char *key, json_t *value);

/* Bytes that rows_add() will put. */
size_t rows_bytes(const struct rows *rows);

/* Puts everything into the transaction, and is then empty. */
void rows_add(struct rows *rows, struct txn *txn);
