/* The oracle: each terminal frame as a signed attestation, a compact JWS (RFC 7515) with EdDSA (RFC
 * 8037).
 *
 * Kept under "oracle/attestation/DUELID", published to feeds/FEED/attestations, and served at
 * /v1/oracle/DUELID with the key set at /v1/oracle/keys (RFC 7517). The key is made once per data
 * directory. docs/market.md shows how to verify one in ten lines. */
#pragma once

#include "common/store/rows.h"

/* Attests what a terminal frame says, unless that duel has been attested before, or the key cannot
 * be read (rows_marked()). */
void oracle_attest(struct rows *rows, struct txn *txn, const char *feed, const json_t *frame,
                   uint64_t now_ms);

/* Removes it, where there is one; what was published stays. */
void oracle_forget(struct rows *rows, const char *duel_id);

/* All that are kept, with when they were made. */
void oracle_each(struct state *view, void (*visit)(void *arg, const char *duel_id, uint64_t at_ms),
                 void *arg);

/* *attestation is a new reference with ROW_PRESENT, else NULL. */
uint64_t oracle_attested_ms(const json_t *attestation);
enum row_found oracle_attestation(struct state *view, const char *duel_id, json_t **attestation);
/* New reference. */
json_t *oracle_keys(struct state *view);
