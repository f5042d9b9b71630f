#include "worker-sse/edge/websocket_proof.h"
#include "common/base/base64.h"
#include "common/base/check.h"

#include <openssl/sha.h>
#include <string.h>

char *websocket_proof(struct span key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t text[WEBSOCKET_KEY_LEN + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];
	check(key.len == WEBSOCKET_KEY_LEN);
	memcpy(text, key.at, WEBSOCKET_KEY_LEN);
	memcpy(text + WEBSOCKET_KEY_LEN, guid, sizeof guid - 1);
	SHA1(text, sizeof text, digest);
	return base64_text(span_of(digest, sizeof digest));
}
