/* HTTP/1.1 request heads and chunked bodies, strictly (RFC 9112). No allocation: spans into the
 * caller's bytes. Incomplete heads are parsed again from their beginning when more has come; their
 * size is bounded. */
#pragma once

#include "proto/bytes.h"

struct http1_field {
	struct span name, value; /* value trimmed of blanks */
};

struct http1_head {
	struct span method, target; /* target as received */
	struct span path,
	        query;    /* path begins with '/', or is "*"; query without '?', at NULL: none */
	struct span host; /* from the target in absolute form, else from Host */
	unsigned minor;   /* HTTP/1.minor: 0 or 1 */
	struct http1_field *fields; /* the caller's array */
	size_t fields_count, fields_max;
	bool keep_alive, chunked, expect_continue;
	bool length_present;
	uint64_t content_length;
	size_t bytes; /* of the whole head, its empty line included */
};

enum http1_result {
	HTTP1_WHOLE,
	HTTP1_MORE,    /* not complete, nothing wrong so far */
	HTTP1_REFUSED, /* *status and *reason say why; the connection cannot go on */
};

struct http1_limits {
	size_t head_bytes, target_bytes;
};

/* Parses one head from the beginning of `bytes`. head->fields and fields_max are set by the caller.
 */
enum http1_result http1_parse(struct span bytes, const struct http1_limits *limits,
                              struct http1_head *head, unsigned *status, const char **reason);

/* Decodes a chunked body in place as it comes (RFC 9112 section 7.1). Zero-initialise. */
struct http1_chunked {
	uint64_t left;       /* of the chunk's data */
	uint32_t line_bytes; /* of the present size or trailer line */
	uint8_t state;
	bool digits;
};

enum http1_chunked_result {
	HTTP1_CHUNKED_MORE, /* all consumed */
	HTTP1_CHUNKED_DATA, /* *data is a piece of the body */
	HTTP1_CHUNKED_END,  /* the body is complete; *in is what follows it */
	HTTP1_CHUNKED_BAD,
};

/* Consumes from *in. */
enum http1_chunked_result http1_chunked_read(struct http1_chunked *chunked, struct span *in,
                                             struct span *data);
