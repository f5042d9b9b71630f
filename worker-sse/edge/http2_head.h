/* The head of a request that comes as fields of HTTP/2, and that of an answer that goes as such.
 * Pure.
 *
 * A request's is put together as a head of HTTP/1.1 and read as one (common/base/http1.h): what is
 * forbidden there is forbidden here, and both make the same request. What HTTP/2 alone forbids (RFC
 * 9113 8.2, 8.3) nghttp2 has refused by then: pseudo-fields in the wrong place, twice or unknown,
 * upper case, fields of the connection. */
#pragma once

#include "proto/bytes.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

/* Bytes of our own; at NULL: none were given. */
struct http2_text {
	uint8_t *at;
	size_t len, room;
};

/* Zero-initialised. Takes no memory of its own but for a request. */
struct http2_head {
	struct http2_text method, path, scheme, authority, protocol, host;
	struct http2_text lines; /* the other fields, each with its CRLF */
	struct http2_text all;
	size_t bytes; /* decoded; what is beyond bytes_max is dropped */
	size_t bytes_max;
};

/* Empties it, for a request of so many bytes. */
void http2_head_begin(struct http2_head *head, size_t bytes_max);
void http2_head_finish(struct http2_head *head);

/* A field. False: the head is larger than it may be; what follows is still to be given. */
bool http2_head_add(struct http2_head *head, struct span name, struct span value);

/* The whole, until it is emptied. An extended CONNECT (RFC 8441) for a WebSocket is the GET with
 * Upgrade that it stands for. NULL in *fault, or why it is refused with 400. */
struct span http2_head_text(struct http2_head *head, const char **fault);
/* Is it an extended CONNECT for a WebSocket? */
bool http2_head_tunnels(const struct http2_head *head);

enum { HTTP2_FIELDS_MAX = 128 };
/* "name: value\r\n" lines as fields behind :status, which is `text` (three digits). Those that are
 * the connection's of HTTP/1 are left out (RFC 9113 8.2.2). Returns how many; they point into the
 * lines. */
size_t http2_head_fields(struct span status, struct span lines,
                         nghttp2_nv fields[HTTP2_FIELDS_MAX]);
