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
/* *json is a new reference with ROW_PRESENT, else NULL. ROW_UNREADABLE has been marked (below). */
enum row_found rows_json(struct rows *rows, const char *key, json_t **json);

/* Marks a row that is there and says nothing to this release: from now on it must not be put. */
void rows_mark(struct rows *rows, const char *key);
/* One that has been marked; NULL: none. Borrowed until rows_add(). */
const char *rows_marked(const struct rows *rows);
/* row_alert() for each of them. */
void rows_alert(const struct rows *rows, struct counters_slot *counters);

/* Copies. */
void rows_put(struct rows *rows, const char *key, struct span value);
/* Takes `value`. */
void rows_put_json(struct rows *rows, const char *key, json_t *value);
/* Changes nothing, but the transaction depends on the row's being as it is. */
void rows_keep(struct rows *rows, const char *key);

/* Bytes that rows_add() will put. */
size_t rows_bytes(const struct rows *rows);

/* Puts everything into the transaction, and is then empty. */
void rows_add(struct rows *rows, struct txn *txn);
