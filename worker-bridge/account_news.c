#include "worker-bridge/account_news.h"
#include "common/base/js_text.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/market_shown.h"

#include <stdlib.h>

void account_news_tell(struct market_change *change, const char *id, const char *type, json_t *more)
{
	json_t *account;
	ledger_account(change->rows, id, &account);
	json_t *line = json_pack("{s:s,s:I,s:s,s:I}", "account", id, "at",
	                         (json_int_t)change->now_ms, "type", type, "balance",
	                         json_integer_value(json_object_get(account, "balance")));
	json_decref(account);
	if (more != NULL)
		json_object_update(line, more);
	json_decref(more);
	char *text = js_text(line);
	txn_publish(change->txn, ACCOUNT_NEWS_STREAM, span_str(text));
	free(text);
	json_decref(line);
}

void account_news_settled(struct market_change *change, const struct market *m, uint64_t first,
                          uint64_t last)
{
	for (uint64_t n = first; n <= last; n++) {
		char key[LEDGER_KEY_ROOM];
		json_t *bet;
		ledger_bet_key(m->duel_id, n, key);
		if (rows_json(change->rows, key, &bet) != ROW_PRESENT)
			continue;
		const char *account = json_string_value(json_object_get(bet, "account"));
		json_incref(bet);
		account_news_tell(change, account, "paid",
		                  json_pack("{s:o,s:o}", "bet", ledger_bet_shown(bet), "result",
		                            market_result(m)));
		json_decref(bet);
	}
}
