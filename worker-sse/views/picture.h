/* The present picture of a render session, asked of the capture worker once for all who want it at
 * the same time: however many look, one crosses the bus. Only those with the same credential share,
 * for whose the session is, is judged there. */
#pragma once

#include "worker-sse/views/call.h"

/* As call_send() with ROLE_CAPTURE. Of the options all but `authorization` count; path.at is not
 * NULL. */
void picture_send(struct request *request, const struct call_options *options);
