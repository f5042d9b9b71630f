#include "worker-bridge/solana_message.h"
#include "common/base/check.h"

enum { KEYS_MAX = SOLANA_INSTRUCTIONS_MAX * (SOLANA_ACCOUNTS_MAX + 1) + 1 };

void solana_instruction_account(struct solana_instruction *instruction,
                                const struct solana_address *address, bool signs, bool writes)
{
	check(instruction->accounts_count < SOLANA_ACCOUNTS_MAX);
	instruction->accounts[instruction->accounts_count++] =
	        (struct solana_account){*address, signs, writes};
}

void solana_instruction_bytes(struct solana_instruction *instruction, struct span bytes)
{
	check(bytes.len <= SOLANA_DATA_MAX - instruction->data_len);
	if (bytes.len != 0)
		memcpy(instruction->data + instruction->data_len, bytes.at, bytes.len);
	instruction->data_len += bytes.len;
}

void solana_instruction_number(struct solana_instruction *instruction, uint64_t value, size_t width)
{
	uint8_t bytes[8];
	check(width <= sizeof bytes);
	for (size_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	solana_instruction_bytes(instruction, span_of(bytes, width));
}

size_t solana_length_write(uint16_t length, uint8_t out[3])
{
	size_t count = 0;
	do {
		uint8_t more = length > 0x7f ? 0x80 : 0;
		out[count++] = (uint8_t)(length & 0x7f) | more;
		length = (uint16_t)(length >> 7);
	} while (length != 0);
	return count;
}

/* ---- the accounts of all instructions, each once ---- */

struct keys {
	struct solana_account keys[KEYS_MAX];
	size_t count;
};

static void add_key(struct keys *keys, const struct solana_account *account)
{
	size_t i = 0;
	while (i < keys->count && !solana_address_equal(&keys->keys[i].address, &account->address))
		i++;
	if (i == keys->count) {
		check(keys->count < KEYS_MAX);
		keys->keys[keys->count++] = (struct solana_account){.address = account->address};
	}
	keys->keys[i].signs |= account->signs;
	keys->keys[i].writes |= account->writes;
}

/* Signers before others, and of each those that are written to first; the payer is the first. */
static unsigned rank(const struct solana_account *key)
{
	return (key->signs ? 0 : 2) + (key->writes ? 0 : 1);
}

static void collect(struct keys *sorted, const struct keypair *payer,
                    const struct solana_instruction *instructions, size_t count)
{
	struct keys keys = {0};
	struct solana_account first = {.signs = true, .writes = true};
	memcpy(first.address.bytes, payer->public_key, sizeof first.address.bytes);
	add_key(&keys, &first);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < instructions[i].accounts_count; k++)
			add_key(&keys, &instructions[i].accounts[k]);
		add_key(&keys, &(struct solana_account){.address = instructions[i].program});
	}
	sorted->count = 0;
	for (unsigned wanted = 0; wanted < 4; wanted++)
		for (size_t i = 0; i < keys.count; i++)
			if (rank(&keys.keys[i]) == wanted)
				sorted->keys[sorted->count++] = keys.keys[i];
}

static uint64_t count_rank(const struct keys *keys, unsigned wanted)
{
	uint64_t count = 0;
	for (size_t i = 0; i < keys->count; i++)
		count += rank(&keys->keys[i]) == wanted;
	return count;
}

static uint64_t index_of(const struct keys *keys, const struct solana_address *address)
{
	size_t i = 0;
	while (!solana_address_equal(&keys->keys[i].address, address))
		i++;
	return i;
}

/* ---- writing ---- */

static void write_bytes(struct writer *w, const void *bytes, size_t len)
{
	if (!w->ok || (size_t)(w->end - w->at) < len) {
		w->ok = false;
		return;
	}
	memcpy(w->at, bytes, len);
	w->at += len;
}

static void write_length(struct writer *w, size_t length)
{
	uint8_t bytes[3];
	check(length <= UINT16_MAX);
	write_bytes(w, bytes, solana_length_write((uint16_t)length, bytes));
}

static void write_instruction(struct writer *w, const struct keys *keys,
                              const struct solana_instruction *one)
{
	writer_uint(w, index_of(keys, &one->program), 1);
	write_length(w, one->accounts_count);
	for (size_t i = 0; i < one->accounts_count; i++)
		writer_uint(w, index_of(keys, &one->accounts[i].address), 1);
	write_length(w, one->data_len);
	write_bytes(w, one->data, one->data_len);
}

bool solana_transaction_make(const struct keypair *payer, const uint8_t blockhash[32],
                             const struct solana_instruction *instructions, size_t count,
                             struct solana_transaction *transaction)
{
	struct keys keys;
	uint8_t *message = transaction->bytes + 1 + sizeof transaction->signature;
	struct writer w = {message, transaction->bytes + sizeof transaction->bytes, true};
	check(count <= SOLANA_INSTRUCTIONS_MAX);
	collect(&keys, payer, instructions, count);
	uint64_t readers_that_sign = count_rank(&keys, 1);
	check(count_rank(&keys, 0) + readers_that_sign == 1);
	writer_uint(&w, 1, 1);
	writer_uint(&w, readers_that_sign, 1);
	writer_uint(&w, count_rank(&keys, 3), 1);
	write_length(&w, keys.count);
	for (size_t i = 0; i < keys.count; i++)
		write_bytes(&w, keys.keys[i].address.bytes, 32);
	write_bytes(&w, blockhash, 32);
	write_length(&w, count);
	for (size_t i = 0; i < count; i++)
		write_instruction(&w, &keys, &instructions[i]);
	if (!w.ok)
		return false;
	transaction->bytes[0] = 1;
	transaction->len = (size_t)(w.at - transaction->bytes);
	keypair_sign(payer, span_of(message, (size_t)(w.at - message)), transaction->signature);
	memcpy(transaction->bytes + 1, transaction->signature, sizeof transaction->signature);
	return true;
}
