/* Every message that crosses a process boundary, declared once.
 *
 * A message is a field list plus one row in the group of processes that receive it. Struct,
 * bounded codec, size ceiling, log name and dispatch case are derived (codec.h). A row whose
 * receiver has no on_<name>() fails to build; a number used twice fails to compile.
 * Numbers are never reused. Two processes whose tables differ do not talk (schema hash in HELLO).
 */
#pragma once

#include "proto/forwarded.h"
#include "proto/roles.h"

/* F(type, name, max, ...): max is the ceiling in bytes of bytes and text, else 0. */

/* ---- worker to supervisor ---- */

/* First message of every worker; the supervisor refuses another schema. */
#define PROTO_HELLO(F)                                                                             \
	F(u64, schema_hash, 0)                                                                     \
	F(u64, pid, 0)

/* The worker serves from now on: its listeners accept, its store is open. */
#define PROTO_READY(F) F(u64, generation, 0)

enum { PROTO_REASON_MAX = 480 };

/* Why this worker cannot start, and no other attempt can succeed either: names the setting, the
 * limit or the file. It exits with EXIT_USAGE next. */
#define PROTO_CANNOT_START(F) F(text, reason, PROTO_REASON_MAX)

/* The link of that number, to the worker in this place, has come (up 1); or it is lost, or came
 * without its descriptor (0). One that has been replaced meanwhile is of no interest. */
#define PROTO_LINK_STATE(F)                                                                        \
	F(u8, role, 0)                                                                             \
	F(u64, slot, 0)                                                                            \
	F(u64, link, 0)                                                                            \
	F(u8, up, 0)

/* The event loop turns. None for worker.hang_ms: the worker is aborted, then killed. */
#define PROTO_HEARTBEAT(F) F(u64, at_ms, 0) /* monotonic */

/* Somebody who may wants a program of hub.commands to be started in a directory below hub.roots
 * (docs/hub.md). `id` is the sender's and comes back in SPAWNED. `command` empty: the first;
 * `folder`: directories below `path` to be made first; `subject`: who asks, for the log. */
#define PROTO_SPAWN(F)                                                                             \
	F(u64, id, 0)                                                                              \
	F(text, command, 64)                                                                       \
	F(text, path, 4096)                                                                        \
	F(text, folder, 1024)                                                                      \
	F(text, subject, 256)

/* The store of a node that follows another (worker-link) is there to be opened (1), or is to be let
 * go of (0): there is another in its place. */
#define PROTO_JOINED(F) F(u8, joined, 0)

/* ---- supervisor to workers ---- */

/* It runs in `path`, or why not. */
#define PROTO_SPAWNED(F)                                                                           \
	F(u64, id, 0)                                                                              \
	F(text, path, 4096)                                                                        \
	F(text, error, 256)

/* The whole effective configuration as "key=value\n" lines, which lie in the memory file that rides
 * along as SCM_RIGHTS (common/worker/handed.h): they may be many, and wait in no queue. The first
 * comes before anything else; later ones are reloads (only LIVE keys have changed). */
enum { PROTO_SETTINGS_BYTES_MAX = 16 << 20 };
#define PROTO_SETTINGS(F) F(u64, len, 0)

/* What its listening sockets speak, to who listens. The first one lets it begin; later ones change
 * what new connections begin with. `tls`: bit n is set where the n-th socket speaks TLS. `pairs`:
 * chain and key of each certificate, PEM, each with a NUL behind it; `client_ca`: PEM; `clients`:
 * enum tls_clients; `ticket_keys`: the newest first (worker-sse/edge/tls.h). */
enum { PROTO_LISTEN_PAIRS_MAX = 4 << 20, PROTO_LISTEN_CA_MAX = 1 << 20 };
#define PROTO_LISTEN(F)                                                                            \
	F(u64, tls, 0)                                                                             \
	F(u64, clients, 0)                                                                         \
	F(bytes, pairs, PROTO_LISTEN_PAIRS_MAX)                                                    \
	F(bytes, client_ca, PROTO_LISTEN_CA_MAX)                                                   \
	F(bytes, ticket_keys, 320)

/* Stop accepting, finish what runs, exit 0 by then, finished or not. Its number and its body never
 * change: a supervisor of another release says it to workers that it has taken over
 * (supervisor/held_bus.h). */
#define PROTO_DRAIN(F) F(u64, due_ms, 0) /* monotonic */

/* A connection to another worker: the socket itself rides along as SCM_RIGHTS. A later
 * introduction for the same (role, slot) replaces the former peer. `link` is the number of the pair
 * of sockets, told to both. */
#define PROTO_PEER(F)                                                                              \
	F(u8, role, 0)                                                                             \
	F(u64, slot, 0)                                                                            \
	F(u64, generation, 0)                                                                      \
	F(u64, link, 0)

#define PROTO_LOG_LEVEL(F) F(text, level, 16)

/* Reopen the log file by its configured path (rotation). */
#define PROTO_LOG_REOPEN(F) F(u8, unused, 0)

/* ---- worker to worker ---- */

/* The log is durable up to here. It only says so: may be merged, repeated or lost. */
#define PROTO_LOG_DURABLE(F) F(u64, lsn, 0)

/* A body of that type, too large for a socket: it lies in the memory file that rides along as
 * SCM_RIGHTS (common/worker/handed.h). */
enum { PROTO_HANDED_BYTES_MIN = (64 << 10) + 1 };
#define PROTO_HANDED(F)                                                                            \
	F(u64, type, 0)                                                                            \
	F(u64, len, 0)

/* The receiver has done with so many bytes of them. */
#define PROTO_TAKEN(F) F(u64, bytes, 0)

enum {
	PROTO_CALL_BODY_MAX = 1 << 20,
	PROTO_CALL_PATH_MAX = 1024,
	PROTO_CALL_QUERY_MAX = 4096,
	PROTO_CALL_DIGEST = 64, /* hexadecimal SHA-256 */
	PROTO_CALL_FORMER_MAX = 32,
};

/* What it asks: raw path and query as in the request; who asks: `principal`, whom rows belong to,
 * its name, and the digests that owned what is his now, one behind the other; the headers that are
 * forwarded; the "http://host" that the client used, for links. Empty: none. Authorization only
 * where the forwarder passes it on. */
#define PROTO_CALL_SPANS(F)                                                                        \
	F(text, path, PROTO_CALL_PATH_MAX)                                                         \
	F(text, query, PROTO_CALL_QUERY_MAX)                                                       \
	F(text, principal, PROTO_CALL_DIGEST)                                                      \
	F(text, subject, 256)                                                                      \
	F(text, former, PROTO_CALL_DIGEST *PROTO_CALL_FORMER_MAX)                                  \
	FORWARDED_HEADERS(PROTO_CALL_HEADER, F)                                                    \
	F(text, base_url, 1024)                                                                    \
	F(bytes, body, PROTO_CALL_BODY_MAX)
#define PROTO_CALL_HEADER(F, member, NAME, title, max) F(text, member, max)

/* An HTTP request that the receiver answers with CALL_REPLY (common/worker/call.h). `id` is the
 * sender's. With a generation it is for that one alone. Of the verbs (common/domain/rights.h), as
 * bits: `may`, those that who asks has on what the path names; `configured`, those that anybody
 * might have there. */
#define PROTO_CALL(F)                                                                              \
	F(u64, id, 0)                                                                              \
	F(u64, generation, 0)                                                                      \
	F(u8, method, 0)                                                                           \
	F(u64, may, 0)                                                                             \
	F(u64, configured, 0)                                                                      \
	PROTO_CALL_SPANS(F)

/* `headers` are "name: value\n" lines. */
#define PROTO_CALL_REPLY(F)                                                                        \
	F(u64, id, 0)                                                                              \
	F(u64, status, 0)                                                                          \
	F(text, content_type, 128)                                                                 \
	F(text, headers, 4096)                                                                     \
	F(bytes, body, PROTO_CALL_BODY_MAX)

/* So many consumers follow this render session at the sender. Said at each change and again and
 * again while there are any: what is not said again is over. */
#define PROTO_RENDER_CONSUMERS(F)                                                                  \
	F(text, id, 36)                                                                            \
	F(u64, count, 0)

/* What ringsidectl wants of a worker: the command and its arguments, separated by NUL. `id` is the
 * supervisor's and comes back in the one answer. */
#define PROTO_WORKER_COMMAND(F)                                                                    \
	F(u64, id, 0)                                                                              \
	F(text, line, 65536)

/* As ADMIN_REPLY. */
#define PROTO_WORKER_ANSWER(F)                                                                     \
	F(u64, id, 0)                                                                              \
	F(u8, status, 0)                                                                           \
	F(text, body, 1048000)

/* How the picture of a feed is, as the capture worker sees it: at each change, and every second.
 * The report is health_json() (worker-capture/health.h). */
#define PROTO_CAPTURE_HEALTH(F)                                                                    \
	F(text, feed, 64)                                                                          \
	F(text, report, 4096)

/* ---- admin ---- */

/* One command, its arguments separated by NUL. `id` comes back in every reply to it. */
#define PROTO_ADMIN_REQUEST(F)                                                                     \
	F(u64, id, 0)                                                                              \
	F(text, line, 65536)

/* status: 0 ok, 1 failed, 2 wrong usage. `last` is 1 on the reply that ends the request; events
 * send many before it. `body` is JSON when status is 0, one line of reason otherwise. */
#define PROTO_ADMIN_REPLY(F)                                                                       \
	F(u64, id, 0)                                                                              \
	F(u8, status, 0)                                                                           \
	F(u8, last, 0)                                                                             \
	F(text, body, 1048576)

/* Rows: number (never reused), name, and which roles may send it. */
#define PROTO_TO_SUPERVISOR(M)                                                                     \
	M(1, HELLO, hello, ROLE_WORKERS)                                                           \
	M(2, READY, ready, ROLE_WORKERS)                                                           \
	M(3, HEARTBEAT, heartbeat, ROLE_WORKERS)                                                   \
	M(40, CANNOT_START, cannot_start, ROLE_WORKERS)                                            \
	M(31, WORKER_ANSWER, worker_answer, ROLE_CAPTURE | ROLE_BRIDGE)                            \
	M(33, LINK_STATE, link_state, ROLE_WORKERS)                                                \
	M(41, SPAWN, spawn, ROLE_SSE)                                                              \
	M(43, JOINED, joined, ROLE_LINK)
#define PROTO_TO_ADMINISTERED(M) M(4, ADMIN_REQUEST, admin_request, ROLE_ADMIN)
#define PROTO_TO_WORKERS(M)                                                                        \
	M(5, SETTINGS, settings, ROLE_SUPERVISOR)                                                  \
	M(6, DRAIN, drain, ROLE_SUPERVISOR)                                                        \
	M(7, PEER, peer, ROLE_SUPERVISOR)                                                          \
	M(8, LOG_LEVEL, log_level, ROLE_SUPERVISOR)                                                \
	M(9, LOG_REOPEN, log_reopen, ROLE_SUPERVISOR)
#define PROTO_TO_FOLLOWERS(M) /* every worker that follows the log */                              \
	M(10, LOG_DURABLE, log_durable, ROLE_FOLLOWERS)
#define PROTO_TO_LISTENERS(M)                                                                      \
	M(12, LISTEN, listen, ROLE_SUPERVISOR)                                                     \
	M(42, SPAWNED, spawned, ROLE_SUPERVISOR)
#define PROTO_TO_ANSWERING(M) M(20, CALL, call, ROLE_CALLING)
#define PROTO_TO_CALLING(M)   M(21, CALL_REPLY, call_reply, ROLE_ANSWERING)
#define PROTO_TO_CAPTURE(M)   M(22, RENDER_CONSUMERS, render_consumers, ROLE_SSE)
#define PROTO_TO_COMMANDED(M) M(30, WORKER_COMMAND, worker_command, ROLE_SUPERVISOR)
#define PROTO_TO_BRIDGE(M)    M(32, CAPTURE_HEALTH, capture_health, ROLE_CAPTURE)
#define PROTO_TO_LINKED(M)                                                                         \
	/* 34 was PART. Both are common/worker/peer.c's, on links between workers. */              \
	M(35, HANDED, handed, ROLE_WORKERS)                                                        \
	M(36, TAKEN, taken, ROLE_WORKERS)
#define PROTO_TO_ADMIN(M) M(11, ADMIN_REPLY, admin_reply, ROLE_SUPERVISOR)

#define PROTO_ALL(M)                                                                               \
	PROTO_TO_SUPERVISOR(M)                                                                     \
	PROTO_TO_ADMINISTERED(M)                                                                   \
	PROTO_TO_WORKERS(M)                                                                        \
	PROTO_TO_FOLLOWERS(M)                                                                      \
	PROTO_TO_LISTENERS(M)                                                                      \
	PROTO_TO_ADMIN(M)                                                                          \
	PROTO_TO_ANSWERING(M)                                                                      \
	PROTO_TO_CALLING(M)                                                                        \
	PROTO_TO_CAPTURE(M)                                                                        \
	PROTO_TO_COMMANDED(M)                                                                      \
	PROTO_TO_BRIDGE(M)                                                                         \
	PROTO_TO_LINKED(M)
#define PROTO_INBOX_SUPERVISOR(M)   PROTO_TO_SUPERVISOR(M)
#define PROTO_INBOX_ADMINISTERED(M) PROTO_TO_ADMINISTERED(M) /* supervisor/admin.c */
#define PROTO_INBOX_WORKER(M)       PROTO_TO_WORKERS(M)      /* common/worker/worker.c */
#define PROTO_INBOX_FOLLOWER(M)     PROTO_TO_FOLLOWERS(M)    /* each worker's own inbox */
#define PROTO_INBOX_LISTENER(M)     PROTO_TO_LISTENERS(M)    /* roles that clients connect to */
#define PROTO_INBOX_ANSWERING(M)    PROTO_TO_ANSWERING(M)    /* roles that answer calls */
#define PROTO_INBOX_CALLING(M)      PROTO_TO_CALLING(M)      /* roles whose calls are answered */
#define PROTO_INBOX_CAPTURE(M)      PROTO_TO_CAPTURE(M)
#define PROTO_INBOX_COMMANDED(M)    PROTO_TO_COMMANDED(M) /* bridge and capture */
#define PROTO_INBOX_BRIDGE(M)       PROTO_TO_BRIDGE(M)
#define PROTO_INBOX_ADMIN(M)        PROTO_TO_ADMIN(M)
