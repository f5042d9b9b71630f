/* What the bridge is asked: one handler for the calls of each of its rows in proto/forwarded.h.
 * What it is told is main.c's. */
#pragma once

#include "worker-bridge/bridge.h"

FORWARDED_TO_BRIDGE(CALL_HANDLER, )
