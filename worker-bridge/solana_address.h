/* Addresses of Solana: 32 bytes, a public key or what a program derives. Pure. */
#pragma once

#include "common/base/base58.h"
#include "proto/bytes.h"

struct solana_address {
	uint8_t bytes[32];
};

enum { SOLANA_ADDRESS_ROOM = 45 }; /* in base58, with the NUL */

void solana_address_print(const struct solana_address *address, char text[SOLANA_ADDRESS_ROOM]);
bool solana_address_equal(const struct solana_address *a, const struct solana_address *b);

/* The address that a program derives from seeds (each 32 bytes at most, SOLANA_SEEDS_MAX of them):
 * the SHA-256 of them, a bump, the program and a word, of the largest bump that makes no point of
 * Ed25519's curve, so that nobody has its private key. */
enum { SOLANA_SEEDS_MAX = 4 };
void solana_address_derive(const struct span *seeds, size_t count,
                           const struct solana_address *program, struct solana_address *derived);

/* It is a point of the curve: some private key may belong to it. */
bool solana_address_on_curve(const struct solana_address *address);
