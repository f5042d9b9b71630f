/* What came with a request, as long as it is needed: a copy of its head, and in it the fields that
 * features know. Pure. */
#pragma once

#include "common/base/http1.h"
#include "worker-sse/edge/request.h"

struct exchange_head {
	struct span headers[HEADER_COUNT]; /* point into bytes or lists */
	uint8_t *lists; /* those of several fields, made one; NULL: there are none */
	size_t lists_len;
	uint8_t *token;    /* of the query, as Authorization; NULL: there is none */
	struct span query; /* as it came, its own; at NULL: nothing was taken out of it */
	uint8_t *name;     /* that it was given here (request_rename()); NULL: none */
	uint8_t bytes[];   /* a copy of the head */
};

/* `bytes` are what was parsed. */
struct exchange_head *exchange_head_create(const struct http1_head *head, const uint8_t *bytes);
/* Finds the fields that features know. NULL, or why they are refused. */
const char *exchange_head_read(struct exchange_head *kept, const struct http1_head *head,
                               const uint8_t *bytes);
/* Where the span is in a copy `to` of the bytes it points into; one that does not stays. */
struct span exchange_head_moved(struct span s, const uint8_t *from, size_t len, const uint8_t *to);
/* NULL is fine. */
void exchange_head_free(struct exchange_head *head);
