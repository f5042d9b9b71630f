/* JSON at memory speed: validates a text (RFC 8259, UTF-8) and brings it into the stored form, in
 * place: raw values, each followed by a comma. A top-level array is flattened one level. */
#pragma once

#include "proto/bytes.h"

struct json_split {
	uint32_t *sizes; /* owned; free() */
	uint32_t count, room;
	struct span bytes; /* the stored form, inside the caller's buffer */
	size_t fault_at;   /* bytes of the body before what is not valid */
};

/* `body` has len bytes and room for one more behind them. Returns NULL, or a constant reason why it
 * is not valid JSON; then
 * nothing is owned, and fault_at says where. An empty array gives count 0. */
const char *json_split(uint8_t *body, size_t len, size_t depth_max, struct json_split *out);

/* The members of an object, as they stand: `key` without its quotes, its escapes in it, and the
 * text of the value. Returns NULL, or a constant reason why it is no object that is valid JSON;
 * then some may have been given. */
const char *json_members(struct span object, size_t depth_max,
                         void (*member)(void *arg, struct span key, struct span value), void *arg);
