/* permessage-deflate: what a client offers, and what it says is packed. No more is made of it than
 * may be; what was unpacked is packed and unpacked again. */
#include "common/base/check.h"
#include "worker-sse/edge/websocket_deflate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct websocket_packer *packer, unsigned bits, struct span message)
{
	uint8_t *copy = malloc(message.len + 1);
	struct span back;
	if (message.len > 0)
		memcpy(copy, message.at, message.len);
	struct span packed = websocket_pack(packer, bits, span_of(copy, message.len));
	if (packed.at != NULL) {
		uint8_t *payload = malloc(packed.len);
		memcpy(payload, packed.at, packed.len);
		check(packed.len < message.len);
		check(websocket_unpack(packer, span_of(payload, packed.len), message.len, &back) ==
		      WEBSOCKET_UNPACKED);
		check(span_equal(back, span_of(copy, message.len)));
		free(payload);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { MAX = 65536 };
	char answer[WEBSOCKET_DEFLATE_ANSWER_ROOM];
	struct websocket_packer *packer = websocket_packer_create();
	struct span message, given = span_of(data, size);
	unsigned bits = websocket_deflate_negotiate(given, answer);
	check(bits == 0 || (bits >= 9 && bits <= 15 && strlen(answer) < sizeof answer));
	switch (websocket_unpack(packer, given, MAX, &message)) {
	case WEBSOCKET_UNPACKED:
		check(message.len <= MAX);
		again(packer, bits != 0 ? bits : 9 + (unsigned)size % 7, message);
		break;
	case WEBSOCKET_UNPACK_LONG:
	case WEBSOCKET_UNPACK_BROKEN:
		break;
	}
	again(packer, 9 + (unsigned)size % 7, given);
	websocket_packer_destroy(&packer);
	return 0;
}
