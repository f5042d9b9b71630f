/* A transaction in the making: small values and stream messages that become durable together or
 * not at all (COMMAND_TXN). For the state machines that keep their state in KV rows and publish
 * what they did to a stream: both in one record of the log, so that no crash can part them.
 *
 *     struct txn *txn = txn_create();
 *     txn_put(txn, key, old_value, new_value);
 *     txn_publish(txn, "/v1/stream/feeds/arena/frames", json_text);
 *     txn_submit(&txn, store, done, owner);
 *
 * Only the product itself writes so: what is published may be its own (command.h: by_owner).
 * Copies everything it is given. Loop thread only. */
#pragma once

#include "common/store/store.h"

struct txn;

struct txn *txn_create(void);
/* For one that is not to be submitted. NULL is fine. */
void txn_destroy(struct txn **txn);

/* The value of `key` is to become `value` (at NULL: none), if it is still `expect` (at NULL:
 * absent). One operation per key. Keys have at most 400 bytes. */
void txn_put(struct txn *txn, struct span key, struct span expect, struct span value);
/* The same whatever the value is now. */
void txn_put_always(struct txn *txn, struct span key, struct span value);

/* One JSON message (`json` is the text of one value, trusted) at the end of the JSON stream `path`
 * (as in URLs: "/v1/stream/..."), which is created when it is not there. Several messages for one
 * stream are one append, in order. */
void txn_publish(struct txn *txn, const char *path, struct span json);

/* The JSON stream `path` is there when this is durable, also when nothing is published to it. */
void txn_stream(struct txn *txn, const char *path);

/* The stream `path` becomes a fork of `source` at that offset of it. What is published to it
 * afterwards, in this transaction, stands behind that. */
void txn_fork(struct txn *txn, const char *path, const char *source, uint64_t lineage,
              uint64_t position);
/* The stream `path` goes, if it is there. Nothing else is done to it in this transaction. */
void txn_delete(struct txn *txn, const char *path);

/* What is published to `path` in this transaction (something is) is the last: the stream is closed.
 */
void txn_close(struct txn *txn, const char *path);

/* Bytes gathered so far. A transaction is one record, which has at most 10/32 of store.ring_bytes
 * (1.25 MiB of the smallest): whoever has much to do does it in several. */
size_t txn_bytes(const struct txn *txn);

/* Hands it to the store and sets *txn to NULL. `done` is called once, on the loop thread, when it
 * is durable (VERDICT_OK) or refused: VERDICT_KV_CONFLICT when a value was not as expected, else
 * the first refusal. An empty transaction is VERDICT_OK. */
void txn_submit(struct txn **txn, struct store *store,
                void (*done)(void *owner, enum verdict verdict), void *owner);

/* Waits; for tools and tests without a loop. */
enum verdict txn_execute(struct txn **txn, struct store *store);
