/* permessage-deflate (RFC 7692), the server's side, and always without context takeover in either
 * direction: a message is packed for itself, so that it is packed once for all who get it, and a
 * socket costs no memory of zlib's. One packer serves all sockets of a worker: an inflater of 32
 * KiB, and for each size of window that a client asked for a deflater of at most 256 KiB, made when
 * first needed. */
#pragma once

#include "proto/bytes.h"

/* Reads Sec-WebSocket-Extensions. Takes the first offer that it can, and writes the answer. Bits of
 * the window that the client unpacks with, 9 to 15; 0: none is taken. Pure. */
enum { WEBSOCKET_DEFLATE_ANSWER_ROOM = 128 };
unsigned websocket_deflate_negotiate(struct span offers,
                                     char answer[WEBSOCKET_DEFLATE_ANSWER_ROOM]);

struct websocket_packer;

struct websocket_packer *websocket_packer_create(void);
/* NULL is fine. */
void websocket_packer_destroy(struct websocket_packer **packer);

/* The payload of a message whose first frame has RSV1. Valid until the packer's next call. at NULL:
 * it becomes no shorter, is too short to be worth it, or has more than a MiB; it goes as it is. */
struct span websocket_pack(struct websocket_packer *packer, unsigned bits, struct span message);

enum websocket_unpacked {
	WEBSOCKET_UNPACKED,
	WEBSOCKET_UNPACK_BROKEN, /* it is not deflated */
	WEBSOCKET_UNPACK_LONG,   /* more than `max` bytes are in it: no more were made */
};
/* *message: valid until the packer's next call. */
enum websocket_unpacked websocket_unpack(struct websocket_packer *packer, struct span payload,
                                         size_t max, struct span *message);
