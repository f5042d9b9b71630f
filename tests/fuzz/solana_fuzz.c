/* What a node of Solana answers, and what accounts hold: anything. And a key pair as somebody wrote
 * it. What is read is written again, and is the same. */
#include "common/base/check.h"
#include "worker-bridge/solana_answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_answer(struct span body)
{
	static struct solana_answer answer;
	for (enum solana_method method = 0; method <= SOLANA_METHOD_BALANCE; method++) {
		solana_answer_read(method,
		                   method % 2 == 0 ? "11111111111111111111111111111111" : NULL,
		                   body, &answer);
		const struct solana_reply *reply = &answer.reply;
		check(reply->fault == SOLANA_OK || *reply->text != '\0');
		check(reply->bytes.len == 0 || reply->there);
		check(strlen(reply->text) < sizeof reply->text);
	}
}

static void read_accounts(struct span account)
{
	struct solana_duel duel;
	struct solana_market market;
	struct solana_oracle_config config;
	if (solana_duel_read(account, &duel))
		check(duel.status < SOLANA_DUEL_STATUSES && duel.proposed.winner < SOLANA_SIDES);
	if (solana_market_read(account, &market))
		check(market.status < SOLANA_MARKET_STATUSES && market.winner < SOLANA_SIDES);
	if (solana_oracle_config_read(account, &config))
		check(config.window_s >= 0);
}

static void read_texts(const char *text)
{
	struct keypair pair;
	uint8_t bytes[BASE58_BYTES_MAX];
	char again[BASE58_TEXT_ROOM];
	(void)keypair_read(text, &pair);
	for (size_t count = 0; count <= sizeof bytes; count++) {
		if (!base58_read(text, bytes, count))
			continue;
		base58_print(bytes, count, again);
		check(strcmp(again, text) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	check(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	read_answer(span_of(data, size));
	read_accounts(span_of(data, size));
	read_texts(text);
	free(text);
	return 0;
}
