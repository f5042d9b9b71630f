#include "worker-bridge/ledger_rows.h"

static bool add_account(void *arg, struct span key, struct span value)
{
	struct ledger_sums *sums = arg;
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	struct ledger_account_row account;
	if (record_read(&ledger_account_record, row, &account) != ROW_PRESENT)
		sums->bad_rows++;
	else if (key.at[sizeof LEDGER_ACCOUNTS - 1] == '@')
		sums->house += account.balance;
	else {
		sums->accounts += account.balance;
		sums->account_count++;
	}
	json_decref(row);
	return true;
}

static bool add_pool(void *arg, struct span key, struct span value)
{
	struct ledger_sums *sums = arg;
	struct market m;
	json_t *record = json_loadb((const char *)value.at, value.len, 0, NULL);
	(void)key;
	if (json_is_array(record) ||
	    (json_is_object(record) && json_object_get(record, "duelId") == NULL &&
	     json_object_get(record, "state") == NULL)) {
		json_decref(record);
		return true; /* a cursor, a lease, what is recent */
	}
	if (!market_read(&m, record))
		sums->bad_rows++;
	else if (m.settled_ms == 0)
		sums->pools += (int64_t)(m.pool[0] + m.pool[1] - m.paid);
	json_decref(record);
	return true;
}

void ledger_sum(struct state *view, struct ledger_sums *sums)
{
	*sums = (struct ledger_sums){0};
	state_kv_each(view, SPAN(LEDGER_ACCOUNTS), add_account, sums);
	state_kv_each(view, SPAN("market/"), add_pool, sums);
}
