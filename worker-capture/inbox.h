/* What the capture worker is asked: one handler for the calls of each of its rows in
 * proto/forwarded.h. What it is told is main.c's. */
#pragma once

#include "worker-capture/capture.h"

FORWARDED_TO_CAPTURE(CALL_HANDLER, )
