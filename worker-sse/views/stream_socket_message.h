/* What a client says on a WebSocket of streams (docs/websocket.md, docs/schema/ws-client.json).
 * Pure but for memory. */
#pragma once

#include "proto/bytes.h"

enum stream_socket_said {
	STREAM_SOCKET_BAD, /* `code` and `fault` say why */
	STREAM_SOCKET_SUBSCRIBE,
	STREAM_SOCKET_UNSUBSCRIBE,
	STREAM_SOCKET_APPEND,
};

enum {
	STREAM_SOCKET_NAME_MAX = 64, /* bytes of a subscription's name, and of a request */
	STREAM_SOCKET_STREAMS_MAX = 64,
};

/* Texts are NUL-terminated and the message's; NULL: not said. */
struct stream_socket_message {
	enum stream_socket_said said;
	const char *code, *fault;     /* constant */
	char *subscription, *request; /* of a bad one, too, where they are good */
	/* ---- subscribe ---- */
	char *streams[STREAM_SOCKET_STREAMS_MAX];
	size_t streams_count;
	char *id;
	bool from_start;
	/* ---- append ---- */
	char *stream, *content_type; /* with a default, where there is a body */
	bool close, producer;
	char *producer_id, *stream_seq;
	uint64_t producer_epoch, producer_seq;
	struct span body; /* within what was read, or in `decoded`; at NULL: none */
	bool json;        /* it is the text of a value */
	uint8_t *decoded;
};

/* `bytes` is a whole text message, or a binary one. It is to outlive the body. */
struct stream_socket_message stream_socket_message_read(struct span bytes, bool binary,
                                                        size_t depth_max);
void stream_socket_message_finish(struct stream_socket_message *message);
