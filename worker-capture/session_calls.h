/* Calls about the browser sessions, for `ringsidectl capture` alone: rows of the worker's route
 * table. Whoever asks over HTTP finds nothing here. */
#pragma once

#include "worker-capture/capture.h"

void session_calls_on_list(struct call *call); /* GET /v1/capture/sessions */
/* GET .../ID, POST .../ID/restart, GET .../ID/screenshot. "-" for ID: the only one, or the
 * feed's. */
void session_calls_on_one(struct call *call);
