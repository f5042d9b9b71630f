#include "tests/doubles/solana_made.h"
#include "common/base/check.h"

#include <openssl/sha.h>
#include <stdio.h>

struct made {
	uint8_t *bytes;
	size_t len;
};

static void bytes(struct made *m, const void *from, size_t len)
{
	check(m->len + len <= SOLANA_MADE_ROOM);
	memcpy(m->bytes + m->len, from, len);
	m->len += len;
}

static void number(struct made *m, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++)
		bytes(m, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static void zeros(struct made *m, size_t len)
{
	while (len-- > 0)
		number(m, 0, 1);
}

static struct made begin(const char *name, uint8_t *into)
{
	uint8_t digest[32];
	struct made m = {into, 0};
	SHA256((const uint8_t *)name, strlen(name), digest);
	bytes(&m, digest, 8);
	return m;
}

static void result(struct made *m, const struct solana_result *one)
{
	number(m, one->seed, 8);
	bytes(m, one->result_hash, 32);
	bytes(m, one->replay_hash, 32);
}

size_t solana_made_duel(const struct solana_duel *d, uint8_t into[SOLANA_MADE_ROOM])
{
	struct made m = begin("account:DuelState", into);
	bytes(&m, d->key, 32);
	bytes(&m, d->participant, 64);
	number(&m, d->status, 1);
	number(&m, d->result.winner, 1);
	number(&m, (uint64_t)d->open_s, 8);
	number(&m, (uint64_t)d->close_s, 8);
	number(&m, (uint64_t)d->start_s, 8);
	number(&m, (uint64_t)d->result.end_s, 8);
	result(&m, &d->result);
	zeros(&m, 32);
	number(&m, d->proposed.winner, 1);
	result(&m, &d->proposed);
	number(&m, (uint64_t)d->proposed.end_s, 8);
	number(&m, (uint64_t)d->proposed_s, 8);
	number(&m, d->challenged, 1);
	zeros(&m, 4 + 1);
	return m.len;
}

size_t solana_made_market(const struct solana_market *market, uint8_t into[SOLANA_MADE_ROOM])
{
	struct made m = begin("account:MarketState", into);
	bytes(&m, market->duel.bytes, 32);
	zeros(&m, 32);
	number(&m, 1, 1);
	number(&m, market->status, 1);
	number(&m, market->winner, 1);
	zeros(&m, 300);
	return m.len;
}

size_t solana_made_config(const struct solana_oracle_config *config, uint8_t into[SOLANA_MADE_ROOM])
{
	struct made m = begin("account:OracleConfig", into);
	zeros(&m, 32);
	bytes(&m, config->reporter.bytes, 32);
	bytes(&m, config->finalizer.bytes, 32);
	zeros(&m, 32);
	number(&m, (uint64_t)config->window_s, 8);
	number(&m, 255, 1);
	return m.len;
}
