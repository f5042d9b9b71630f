/* The stream-kit client's way to a picture: a WebSocket at /v1/signal/SESSION?token=..., over which
 * the page's Chromium offers and the client answers (signal_message.h). The media end and its
 * limits are WHEP's (worker-capture/render_whep.h): this is one more way to ask it. */
#pragma once

#include "worker-sse/edge/request.h"

/* GET /v1/signal/SESSION */
void signalling_handle(struct request *request);
