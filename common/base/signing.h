/* Ed25519 signatures (RFC 8032), from a 32-byte seed (OpenSSL): of webhooks and of what the oracle
 * attests. */
#pragma once

#include "proto/bytes.h"

/* The public key as a JWK has it (RFC 8037), and `kid`, "ds_" and the thumbprint (RFC 7638). False:
 * the seed is none. */
bool signing_public(struct span seed, char x[64], char kid[64]);
/* The signature of `message`, base64 for URLs, to be freed; NULL: the seed is none. */
char *signing_sign(struct span seed, struct span message);
/* Webhook-Signature: "t=<s>,kid=<kid>,ed25519=<signature>" over "<s>.<body>". False: the seed is
 * none. */
bool signing_header(struct span seed, uint64_t unix_s, struct span body, char out[256]);
