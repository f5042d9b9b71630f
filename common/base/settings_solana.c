#include "common/base/settings_solana.h"
#include "common/base/base58.h"
#include "common/base/keypair.h"

#include <strings.h>

static const char *key_fault(const char *value)
{
	struct keypair pair;
	const char *fault = keypair_read(value, &pair);
	explicit_bzero(&pair, sizeof pair);
	return fault;
}

const char *settings_solana_fault(const char *key, const char *value)
{
	uint8_t address[32];
	bool program = strcmp(key, "solana.oracle_program") == 0 ||
	               strcmp(key, "solana.market_program") == 0;
	if (strcmp(key, "solana.commitment") == 0 && strcmp(value, "finalized") != 0 &&
	    strcmp(value, "confirmed") != 0)
		return "must be finalized or confirmed";
	if (*value == '\0')
		return NULL;
	if (program && !base58_read(value, address, sizeof address))
		return "must be an address: 32 bytes in base58";
	return strcmp(key, "solana.key") == 0 ? key_fault(value) : NULL;
}

struct settings_clash settings_solana_clash(const struct settings *s)
{
	static const char own[] = "market.operator";
	const struct {
		const char *key, *value, *what;
	} rows[] = {
	        {"solana.rpc_url", s->solana_rpc_url, "solana needs solana.rpc_url"},
	        {"solana.key", s->solana_key, "solana needs solana.key, or solana.key_file"},
	        {"solana.oracle_program", s->solana_oracle_program,
	         "solana needs solana.oracle_program"},
	        {"solana.market_program", s->solana_market_program,
	         "solana needs solana.market_program"},
	};
	if (strcmp(s->market_operator, "solana") == 0)
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
			if (*rows[i].value == '\0')
				return (struct settings_clash){own, rows[i].key, rows[i].what};
	return (struct settings_clash){0};
}
