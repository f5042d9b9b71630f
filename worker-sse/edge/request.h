/* A request and its answer, free of the protocol that carries them.
 *
 * Features (streams, events, health, ...) know this header, route.h, sse.h and fanout.h; never the
 * connection. A handler is called once, with the whole body in memory (bounded by body_bytes_max of
 * its route); it answers at once or later. Everything here belongs to the loop thread.
 *
 * Life: handler(request) ... exactly one of
 *     reply(...)                                      a whole answer
 *     reply_start(...) reply_write(...)* reply_end()  a streamed answer
 *     reply_abort()                                   cut the connection
 * after which the request is gone. If the client leaves first, on_gone is called (when set) and the
 * request is gone after it returns; without it (a request that waits for the store) the request
 * stays until it is answered, and the answer goes nowhere. A client that only closes its side
 * behind the request has not left. */
#pragma once

#include "common/base/chunk.h"
#include "proto/bytes.h"
#include "proto/forwarded.h"
#include "worker-sse/edge/https_only.h"
#include "worker-sse/edge/edge.h"
#include "worker-sse/edge/identity.h"
#include "worker-sse/edge/query.h"
#include "worker-sse/live/sink.h"

#include <sys/uio.h>

/* Methods we know; anything else is METHOD_OTHER and gets 405 or 501. */
enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHOD_PATCH,
	METHOD_OTHER
};

/* Request headers features may ask for, by number: found while parsing, no search. A header that
 * occurs twice and may not is refused with 400 by the parser. */
#define REQUEST_HEADERS(H)                                                                         \
	FORWARDED_HEADERS(REQUEST_FORWARDED_HEADER, H)                                             \
	H(ACCEPT, "accept")                                                                        \
	H(ACCEPT_ENCODING, "accept-encoding")                                                      \
	H(CONNECTION, "connection")                                                                \
	H(COOKIE, "cookie")                                                                        \
	H(HOST, "host")                                                                            \
	H(IF_NONE_MATCH, "if-none-match")                                                          \
	H(IF_RANGE, "if-range")                                                                    \
	H(RANGE, "range")                                                                          \
	H(LAST_EVENT_ID, "last-event-id")                                                          \
	H(ORIGIN, "origin")                                                                        \
	H(X_ACTOR_ID, "x-actor-id")                                                                \
	H(X_CONNECTION_GENERATION, "x-connection-generation")                                      \
	H(X_CONNECTION_ID, "x-connection-id")                                                      \
	H(X_FORWARDED_FOR, "x-forwarded-for")                                                      \
	H(X_FORWARDED_HOST, "x-forwarded-host")                                                    \
	H(X_FORWARDED_PROTO, "x-forwarded-proto")                                                  \
	H(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")                          \
	H(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers")                        \
	H(UPGRADE, "upgrade")                                                                      \
	H(USER_AGENT, "user-agent")                                                                \
	H(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                                    \
	H(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                  \
	H(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                        \
	H(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                          \
	H(STREAM_TTL, "stream-ttl")                                                                \
	H(STREAM_EXPIRES_AT, "stream-expires-at")                                                  \
	H(STREAM_SEQ, "stream-seq")                                                                \
	H(STREAM_CLOSED, "stream-closed")                                                          \
	H(STREAM_FORKED_FROM, "stream-forked-from")                                                \
	H(STREAM_FORK_OFFSET, "stream-fork-offset")                                                \
	H(STREAM_FORK_SUB_OFFSET, "stream-fork-sub-offset")                                        \
	H(PRODUCER_ID, "producer-id")                                                              \
	H(PRODUCER_EPOCH, "producer-epoch")                                                        \
	H(PRODUCER_SEQ, "producer-seq")

#define REQUEST_FORWARDED_HEADER(H, member, NAME, title, max) H(NAME, title)

#define REQUEST_HEADER_ENUM(NAME, text) HEADER_##NAME,
enum request_header { REQUEST_HEADERS(REQUEST_HEADER_ENUM) HEADER_COUNT };

struct exchange;

struct request {
	struct edge *edge; /* whose options have the handlers' context */
	enum method method;
	bool bare_headers;    /* request_bare_headers() */
	bool close_delimited; /* HTTP/1.0: a streamed answer has no chunks */
	bool comments; /* a streamed answer of events: a comment may stand between any two writes */
	uint8_t refusal;            /* enum refusal: what request_refusal() said last */
	struct span path;           /* raw, still percent-encoded, as received; begins with '/' */
	struct span query;          /* raw, without '?'; at NULL: there was none */
	const struct span *headers; /* HEADER_COUNT of them; at NULL: absent; trimmed */
	/* The body; writable, and body_room bytes may be used behind it (at least 1). It lives
	 * until the request is gone: a command may borrow it. */
	uint8_t *body;
	size_t body_len, body_room;
	struct identity *identity; /* who asks: from its admission on, never NULL; a reference */
	uint64_t ahead_due_ms; /* it waits for what this node has not yet, until then; 0: it does
	                          not (views/cluster_wait.c) */

	/* The feature's. */
	void *feature;
	void (*on_gone)(struct request *request);
	/* All written bytes have left for the kernel, and others had their turn: write more, or
	 * end. */
	void (*on_drain)(struct request *request);
	/* `identity` is another than it was: what it may has changed, or it is good no longer. For
	 * answers that last; it may end this one. NULL: an answer that has begun is cut when its
	 * route would refuse it now, another is finished. */
	void (*on_judge)(struct request *request);

	struct exchange *exchange; /* the transport's. NULL: asked in a message of a WebSocket */
	union {
		const struct sink_events
		        *holder_events; /* of request_sink(): what `feature` is told by */
		/* Without an exchange: gets the whole answer in the transport's place. What such a
		 * request may be asked is who asks, and its headers. */
		void (*answer)(struct request *request, unsigned status, struct span body);
	};
};

struct header {
	const char *name;  /* lower case constant */
	struct span value; /* copied by reply*(); never contains CR, LF or NUL (checked) */
};

/* A whole answer. Adds Date, Content-Length, security and CORS headers, Connection. With HEAD
 * the body is measured but not sent (body.at may then be NULL). A 401 without WWW-Authenticate gets
 * one, a 405 without Allow that of its route. 204 and 304 have none. `body` is copied or sent at
 * once. */
void reply(struct request *request, unsigned status, const struct header *headers, size_t count,
           struct span body);

/* Is it one that reply() can give? Ask before relaying what somebody else said. */
bool reply_status_known(unsigned status);

/* text/plain "reason\n" with Cache-Control: no-store, and Retry-After with 429 and 503. For every
 * error of every feature. */
void reply_error(struct request *request, unsigned status, const char *reason);

/* May who asks do one of these verbs (bits, RIGHT(NAME)) on this path, in whatever spelling; at
 * NULL: anywhere? 0, or the status (401, 403, 503) and the reason; when that is the answer, it has
 * its WWW-Authenticate. What nobody may for want of a setting is logged once. */
unsigned request_refusal(struct request *request, unsigned verbs, struct span path,
                         const char **reason);
/* The same as a question. */
bool request_may(const struct request *request, unsigned verbs, struct span path);
/* Which verbs its route asks for: bits. */
unsigned request_verbs(const struct request *request);
/* What its route's rights are about: the path, or the part of it that has a name of its own; at
 * NULL: nothing that has a name yet. Points into the request, or to `room`. */
enum { REQUEST_RESOURCE_ROOM = 128 };
struct span request_resource(const struct request *request, char room[REQUEST_RESOURCE_ROOM]);

/* Answers with it. A credential that is no good counts (limits.bad_credentials). */
void reply_refusal(struct request *request, enum refusal refusal);
/* One more of a rate of proto/limits.h (enum limit). False: answered with 429. */
bool request_take(struct request *request, unsigned limit);
/* Has its address guessed too often to log in? False: so it has, and was answered with 429. */
bool request_may_guess(struct request *request);
/* One more who watches, if it is nobody in particular (limits.anonymous_readers), as long as the
 * request lives. False: answered with 429. */
bool request_hold_reader(struct request *request);

/* What a known client that may not is answered with: 403, but 401 to an idempotent producer,
 * because the official one takes every 403 for a stale epoch and repeats without end. */
unsigned request_forbidden(const struct request *request);

/* Begins a streamed answer. content_length UINT64_MAX: chunked (or close-delimited on HTTP/1.0).
 * The head leaves with the first bytes, or when the handler returns. */
void reply_start(struct request *request, unsigned status, const struct header *headers,
                 size_t count, uint64_t content_length);

/* 101: from here on the connection is the feature's both ways (RFC 9110 7.8). What comes goes to
 * on_bytes() as it comes, a piece at a time; reply_write() sends bytes as they are, reply_end()
 * closes when they have left. */
void reply_upgrade(struct request *request, const struct header *headers, size_t count,
                   void (*on_bytes)(struct request *request, struct span bytes));

/* Body bytes; what the kernel does not take at once is copied. True: all taken, go on. False: stop
 * and wait for on_drain. Chunk framing is added when the answer is chunked. */
bool reply_write(struct request *request, const struct iovec *iov, int count);

/* The bytes [from, from + len) of what others have too, on a connection that was upgraded: the rest
 * is kept by reference. */
bool reply_write_chunk(struct request *request, struct chunk *chunk, size_t from, size_t len);

/* There is more to write than one slice, and the last was taken: on_drain follows when others have
 * had their turn. */
void reply_again(struct request *request);

/* The answer that has begun, for events that many readers share. */
struct sink request_sink(struct request *request);

/* Bytes written but not yet taken by the kernel. */
size_t reply_pending(const struct request *request);

void reply_end(struct request *request);

/* Frees what came with the request: path, query and headers are empty from here on, and so is the
 * body. For answers that live as long as a viewer watches. */
void request_forget(struct request *request);

/* What was asked for under another name: from here on it has this path and this query (at NULL:
 * none), which are copied. */
void request_rename(struct request *request, struct span path, struct span query);

/* The query as it came, with the token or the ticket that was taken out of it: for whoever asks
 * another node the same. */
struct span request_asked_query(const struct request *request);

/* Cuts the connection without ending the answer: the client sees a truncation and resumes. */
void reply_abort(struct request *request);

/* Closes the connections of clients who have left for good: they closed their side, and then reset
 * it. That is noticed without this too, a little later: for whoever is about to refuse somebody
 * because of them. */
void requests_drop_gone(struct edge *edge);

/* Its client has left while there was no on_gone: nobody hears what is answered. */
bool request_left(const struct request *request);

/* Nothing that the client sends behind this request is begun until it is answered, or released: for
 * one that is not yet where those behind it would be. */
void request_hold(struct request *request, bool hold);

/* This answer goes without the headers by which the server lets pages of other origins in. */
void request_bare_headers(struct request *request);

/* Is it to come by TLS instead, and where to (http.redirect_port)? */
enum https_answer request_https_only(const struct request *request,
                                     char location[HTTPS_LOCATION_ROOM]);

/* Whom limits by address mean: the /64 of the client's IPv6 address, or its IPv4 address as
 * ::ffff:a.b.c.d. Behind a proxy that is trusted (http.trust_forwarded), the last one that
 * X-Forwarded-For names. */
void request_address(const struct request *request, uint8_t out[16]);

/* The page that a request comes from, by its Origin. */
enum page_origin {
	PAGE_UNSAID,  /* none, or one of our own that reads */
	PAGE_OWN,     /* of the origin that the client knows us by */
	PAGE_LISTED,  /* named by http.allowed_origin ("*" names none) */
	PAGE_FOREIGN, /* any other */
};
enum page_origin request_page(const struct request *request);
/* May a page act for whoever has its browser's cookie? Our own, and those that are named. */
bool request_page_trusted(const struct request *request);
/* Would the browser keep a cookie of ours that is for TLS only? Not under dev in the clear. */
bool request_over_tls(const struct request *request);

/* "http://host[:port]" the client used: configured public_url, else X-Forwarded-* when trusted,
 * else Host. Written into `out`; returns its length. */
size_t request_base_url(const struct request *request, char *out, size_t out_len);
