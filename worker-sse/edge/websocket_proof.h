/* Sec-WebSocket-Accept: the proof that a handshake was understood (RFC 6455 4.2.2). Pure. */
#pragma once

#include "proto/bytes.h"

enum { WEBSOCKET_KEY_LEN = 24 };

/* Of the key as it stands in the request, WEBSOCKET_KEY_LEN bytes. To be freed. */
char *websocket_proof(struct span key);
