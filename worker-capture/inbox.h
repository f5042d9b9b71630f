/* What the capture worker is told: one on_<message>() per row of its inbox in proto/messages.h, one
 * handler for the calls of each of its rows in proto/forwarded.h. */
#pragma once

#include "worker-capture/capture.h"

#define CTX struct capture
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_COMMANDED(PROTO_HANDLER)
PROTO_INBOX_ANSWERING(PROTO_HANDLER)
PROTO_INBOX_CAPTURE(PROTO_HANDLER)
FORWARDED_TO_CAPTURE(CALL_HANDLER, )
