/* Tokens that settings name: the rows of auth.tokens, and the old keys as their short form. Part of
 * identity.c. Found by digest: time tells nothing of a token. */
#pragma once

#include "worker-sse/edge/identity.h"

struct identity_tokens;

/* Keeps nothing of the settings but digests, names and rights. */
struct identity_tokens *identity_tokens_create(const struct settings *settings);
void identity_tokens_destroy(struct identity_tokens **tokens);

/* One reference; NULL: a token of nobody here. */
struct identity *identity_tokens_find(const struct identity_tokens *tokens,
                                      const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms);
/* Of the verbs, those that anybody has there, or that are asked for where somebody has others of
 * their kind: bits. */
unsigned identity_tokens_configured(const struct identity_tokens *tokens, struct span path);
