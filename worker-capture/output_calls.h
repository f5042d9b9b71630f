/* Outputs over HTTP:
 *
 *     GET    /v1/outputs             {"feed":..., "outputs":[...]}
 *     GET    /v1/outputs/NAME
 *     PUT    /v1/outputs/NAME        {"url":"rtmp://...", "paused":false}
 *                                    201, 200 when it is so already
 *     PATCH  /v1/outputs/NAME        {"paused":true}
 *     DELETE /v1/outputs/NAME        204
 *
 * 400 a body that is not understood, 404 no output of that name, 409 the name goes elsewhere, or a
 * change of it is under way, 422 not a url, or a file outside capture.output_dir, 503 no picture,
 * too many outputs, or not durable. */
#pragma once

#include "common/worker/call.h"

void output_calls_on_list(struct call *call);
void output_calls_on_one(struct call *call);
