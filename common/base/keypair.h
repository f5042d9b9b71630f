/* An Ed25519 key pair (RFC 8032), as Solana's tools write it: 32 bytes of seed and the 32 bytes of
 * the public key that belong to it, as a JSON array of 64 numbers, or in base58. */
#pragma once

#include "proto/bytes.h"

struct keypair {
	uint8_t seed[32], public_key[32];
};

/* NULL, or what is wrong with the text. The public half is made anew and compared: who typed half
 * of another key would sign with one key and pay from another. Blanks around it are ignored. */
const char *keypair_read(const char *text, struct keypair *pair);

/* The signature of `message`, by its seed. */
void keypair_sign(const struct keypair *pair, struct span message, uint8_t signature[64]);
