/* What the bridge is told: one on_<message>() per row of its inbox in proto/messages.h, one handler
 * for the calls of each of its rows in proto/forwarded.h. */
#pragma once

#include "worker-bridge/bridge.h"

#define CTX struct bridge
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_COMMANDED(PROTO_HANDLER)
PROTO_INBOX_ANSWERING(PROTO_HANDLER)
PROTO_INBOX_BRIDGE(PROTO_HANDLER)
FORWARDED_TO_BRIDGE(CALL_HANDLER, )
