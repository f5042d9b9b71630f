/* Subscriptions: durable wake-ups for consumers of streams (Durable Streams, reserved APIs).
 *
 * A subscription is one JSON document in the store's small values, under "sub/<id>". Whoever
 * changes it (an HTTP call in a worker, the bridge) reads it, changes a copy with the functions
 * here (what did not end well leaves a copy to throw away) and writes it back on condition that it
 * is still what was read (COMMAND_KV with expect); on conflict it begins again. So every rule
 * stands here, pure, and generations fence whoever came too late.
 *
 *     idle --wake--> woken --claim (pull-wake)--> leased --ack done, release--> idle
 *       woken (webhook) --done--> idle;  leased, woken --lease runs out--> idle, woken again */
#pragma once

#include "common/store/state.h"

#include <jansson.h>

enum {
	SUBSCRIPTION_ID_MAX = 128,
	SUBSCRIPTION_TOKEN_ROOM = 160,
	SUBSCRIPTION_LEASE_MS_DEFAULT = 30000
};

enum subscription_result {
	SUBSCRIPTION_OK,
	SUBSCRIPTION_UNCHANGED,      /* nothing to write */
	SUBSCRIPTION_FENCED,         /* generation or wake_id is not the present one */
	SUBSCRIPTION_INVALID_OFFSET, /* unknown stream, regression, or beyond the tail */
	SUBSCRIPTION_CLAIMED,        /* somebody holds it */
	SUBSCRIPTION_NO_WORK,
	SUBSCRIPTION_FULL, /* it has as many links as it may have */
};

/* Path below the stream root: "*" is one segment, "**" any number of them. Both in any spelling. */
bool subscription_glob(const char *pattern, const char *path);

enum { SUBSCRIPTION_NAME_ROOM = 600 };
/* The canonical name below the root (stream_name.h) that a client's text means: a path below the
 * root, with slashes around it or not, or the whole path. False: none. */
bool subscription_name(const char *text, char out[SUBSCRIPTION_NAME_ROOM]);
/* Is the stream, a path below the root, linked? */
bool subscription_links(const json_t *doc, const char *path);

/* How every path begins, the stream root included, that the pattern matches: what need not be
 * looked at beside it. In `out`, which it is borrowed from. */
enum { SUBSCRIPTION_PREFIX_ROOM = 600 };
struct span subscription_prefix(const char *pattern, char out[SUBSCRIPTION_PREFIX_ROOM]);

/* A fresh document, idle and without links. */
json_t *subscription_create(const char *id, const char *type, const char *pattern,
                            const char *webhook_url, const char *wake_stream, uint64_t lease_ttl_ms,
                            const char *description, uint64_t now_ms);

/* A document as it is stored; new reference. Members that an older release did not write have
 * defaults. NULL: it is none that this release can read: it must be left as it is (row.h). */
json_t *subscription_read(struct span text);

/* Do both ask for the same? Links that globs made do not count. */
bool subscription_same(const json_t *a, const json_t *b);

/* Links a stream; `acked` is where it begins: an offset or "-1". An explicit link wins over a
 * glob's. `max`: links that it may have (limits.subscription_streams). */
enum subscription_result subscription_link(json_t *doc, const char *path, bool explicit,
                                           const char *acked, size_t max);
/* Removes an explicit link; one that the pattern matches stays as a glob's. */
enum subscription_result subscription_unlink(json_t *doc, const char *path);

/* Drops what a pattern linked and is no more, of one that nobody holds: streams that come and go
 * must not fill it up. */
enum subscription_result subscription_forget_gone(json_t *doc, struct state *view);

/* The tail of a path below the root as an offset text; false: no such stream. */
bool subscription_tail(struct state *view, const char *path, char out[40]);

/* Is any link's stream beyond what was acknowledged? */
bool subscription_pending(const json_t *doc, struct state *view);

/* A fresh random wake id, "w_" and 32 hexadecimal digits. */
void subscription_wake_id(char out[40]);

/* idle and pending: a new generation with this wake id and a snapshot of the tails. */
enum subscription_result subscription_wake(json_t *doc, struct state *view, const char *wake_id,
                                           uint64_t now_ms);
/* pull-wake: takes the lease, waking first when it is idle. SUBSCRIPTION_NO_WORK in what is linked:
 * whoever gets that looks for streams that are not (subscription_scan.h), and tries again. */
enum subscription_result subscription_claim(json_t *doc, struct state *view, const char *worker,
                                            const char *wake_id, uint64_t now_ms);
/* Acknowledges; `acks` is an array of {stream|path, offset} or NULL; `done` releases, else the
 * lease is renewed. */
enum subscription_result subscription_ack(json_t *doc, struct state *view, uint64_t generation,
                                          const char *wake_id, const json_t *acks, bool done,
                                          uint64_t now_ms);
enum subscription_result subscription_release(json_t *doc, uint64_t generation,
                                              const char *wake_id);
/* webhook answered {"done":true}: the snapshot is acknowledged. */
enum subscription_result subscription_done(json_t *doc, uint64_t generation);
/* webhook failed at now_ms: tried again at next_ms, failed until then. */
enum subscription_result subscription_failed(json_t *doc, uint64_t generation, uint64_t now_ms,
                                             uint64_t next_ms);
/* webhook took the wake without finishing it: it has the lease to call back. */
enum subscription_result subscription_accepted(json_t *doc, uint64_t generation, uint64_t now_ms);
/* The lease of a leased one ran out: idle again. One that is longer than any (the clock was set
 * back) is cut. */
enum subscription_result subscription_expire(json_t *doc, uint64_t now_ms);

/* {path, link_type, acked_offset[, tail_offset, has_pending]} of every link. */
json_t *subscription_streams(const json_t *doc, struct state *view);

/* Members, with defaults. */
const char *subscription_text(const json_t *doc, const char *name);
uint64_t subscription_number(const json_t *doc, const char *name);

/* ---- tokens (subscription_token.c); the secrets are small values too, made once ---- */

enum token_result { TOKEN_VALID, TOKEN_INVALID, TOKEN_EXPIRED };

void subscription_token_make(struct span secret, const char *id, uint64_t generation,
                             uint64_t expires_ms, char out[SUBSCRIPTION_TOKEN_ROOM]);
enum token_result subscription_token_check(struct span secret, const char *id, struct span token,
                                           uint64_t now_ms, uint64_t *generation);

#define SUBSCRIPTION_KEY_PREFIX  "sub/"
#define SUBSCRIPTION_SECRET_KEY  "ds/secret"
#define SUBSCRIPTION_SIGNING_KEY "ds/signing"
#define SUBSCRIPTION_ROOT        "/v1/stream/"
