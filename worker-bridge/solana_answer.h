/* What a node of Solana answers to a JSON-RPC request, read into what the machine knows. Pure. */
#pragma once

#include "worker-bridge/solana_step.h"

enum solana_method {
	SOLANA_METHOD_ACCOUNT,
	SOLANA_METHOD_BLOCKHASH,
	SOLANA_METHOD_HEIGHT,
	SOLANA_METHOD_SEND,
	SOLANA_METHOD_STATUS,
	SOLANA_METHOD_BALANCE
};

enum { SOLANA_ACCOUNT_BYTES_MAX = 10240 }; /* of an account that is kept here */

struct solana_answer {
	struct solana_reply reply;
	uint8_t bytes[SOLANA_ACCOUNT_BYTES_MAX + 3]; /* of the account that the reply tells of */
};

/* `body` of an answer with HTTP status 200, or of another that has one. Whatever it is, the reply
 * says something: what cannot be read is SOLANA_SILENT. `owner`: of an account, in base58; NULL:
 * whoever. */
void solana_answer_read(enum solana_method method, const char *owner, struct span body,
                        struct solana_answer *answer);
