/* Heads of answers as bytes of HTTP/1.1 (RFC 9112). Pure. */
#pragma once

#include "proto/bytes.h"

enum { HTTP1_OUT_ROOM = 16384 };

/* A head in the making. What does not fit aborts: names and values are ours, or bounded. */
struct http1_out {
	size_t len;
	uint8_t bytes[HTTP1_OUT_ROOM];
};

/* The line with its CRLF. NULL: a status that no answer has. */
const char *http1_status_line(unsigned status);

void http1_put(struct http1_out *out, const void *at, size_t len);
void http1_put_text(struct http1_out *out, const char *text);
void http1_put_number(struct http1_out *out, uint64_t n);
/* A value never splits a head: what a client sent may come back in it. One that would aborts. */
void http1_put_value(struct http1_out *out, struct span value);
