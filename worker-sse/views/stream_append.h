/* A write to a stream, whoever asks for it: POST and PUT (streams.c), or a message of a WebSocket
 * (stream_socket_append.c). What its body is, what it may be, and what became of it. */
#pragma once

#include "common/base/json_scan.h"
#include "common/base/settings.h"
#include "common/store/command.h"

#include <uv.h>

struct stream_write {
	struct command command;
	/* The body: the caller's, writable, with one byte behind it, until the command is done. */
	uint8_t *bytes;
	size_t len;
	bool json, empty_array_ok;
	size_t depth_max; /* limits.json_depth */
	/* stream_write_take() has come to its end. */
	void (*taken)(struct stream_write *write);
	struct json_split split;
	uint32_t size; /* of a body that is one message */
};

/* The body as messages, or why it cannot be. The verdict on it comes in its turn: a missing stream
 * is a 404 whatever was sent. True: done. False: it is large, and another thread reads it; taken()
 * follows, on the loop. */
bool stream_write_take(struct stream_write *write, uv_loop_t *loop);
/* Frees what it has of its own. */
void stream_write_finish(struct stream_write *write);

/* Is it an append that is to be judged? NULL, or what it is 400 for. The spans of the command are
 * there. */
const char *stream_append_fault(const struct settings *settings, const struct command *append,
                                size_t body_len);

struct verdict_row {
	unsigned status;    /* of HTTP */
	const char *reason; /* NULL: success */
};
/* Success of an append depends on its producer: below. */
struct verdict_row stream_verdict(enum verdict verdict);
/* Why a body was not taken, in words: constant, or in `text`. */
enum { STREAM_FAULT_ROOM = 128 };
const char *stream_write_fault(const struct stream_write *write, char text[STREAM_FAULT_ROOM]);

/* What an append came to, and which of the command's answers are told. */
struct stream_append_told {
	unsigned status;
	bool offset, closed;
	bool producer_epoch, producer_seq;
	bool sequence; /* expected and received */
	uint64_t expected_seq, received_seq;
};
struct stream_append_told stream_append_told(const struct command *append);
