/* What is asked of the ledger over HTTP: its accounts, and whether it is balanced. */
#pragma once

#include "common/store/row.h"
#include "common/worker/call.h"

/* The account's row as it is now, alerted where it cannot be read; nobody asks for the house's.
 * *account is a new reference with ROW_PRESENT, else NULL. */
enum row_found account_calls_stored(const struct call *call, const char *id, json_t **account);
/* Is it whoever calls that owns it? NULL is nobody's. */
bool account_calls_owns(const struct call *call, const json_t *account);
