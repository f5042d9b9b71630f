/* Solana's transactions in the legacy format: a message (who signs, which accounts, the hash of a
 * recent block, instructions) and one signature before it. Pure, but for OpenSSL. */
#pragma once

#include "common/base/keypair.h"
#include "worker-bridge/solana_address.h"

enum {
	SOLANA_TRANSACTION_MAX = 1232, /* what a packet of the network carries */
	SOLANA_INSTRUCTIONS_MAX = 8,
	SOLANA_ACCOUNTS_MAX = 8, /* of one instruction */
	SOLANA_DATA_MAX = 512,   /* of one instruction */
};

struct solana_account {
	struct solana_address address;
	bool signs, writes;
};

struct solana_instruction {
	struct solana_address program;
	struct solana_account accounts[SOLANA_ACCOUNTS_MAX];
	size_t accounts_count;
	uint8_t data[SOLANA_DATA_MAX];
	size_t data_len;
};

/* Adds to the instruction: an account, bytes, and a number of `width` bytes, least significant
 * first. Within the limits above. */
void solana_instruction_account(struct solana_instruction *instruction,
                                const struct solana_address *address, bool signs, bool writes);
void solana_instruction_bytes(struct solana_instruction *instruction, struct span bytes);
void solana_instruction_number(struct solana_instruction *instruction, uint64_t value,
                               size_t width);

struct solana_transaction {
	uint8_t bytes[SOLANA_TRANSACTION_MAX];
	size_t len;
	uint8_t signature[64]; /* by which it is known */
};

/* Signed and paid by `payer`, who is the only one that may sign. False: it does not fit. */
bool solana_transaction_make(const struct keypair *payer, const uint8_t blockhash[32],
                             const struct solana_instruction *instructions, size_t count,
                             struct solana_transaction *transaction);

/* A length as transactions write it ("compact-u16"): 7 bits a byte, least significant first, 3
 * bytes at most. How many. */
size_t solana_length_write(uint16_t length, uint8_t out[3]);
