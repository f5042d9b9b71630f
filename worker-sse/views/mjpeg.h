/* Pictures of a render session one after another: multipart/x-mixed-replace, for people who would
 * rather look. Pulled: the next picture is asked of the capture worker when the last one has left
 * and sessions.preview_fps lets it, so that a slow viewer costs less, not more. */
#pragma once

#include "worker-sse/edge/request.h"

/* Takes the request over. `path` answers with one JPEG; whose it is, is judged there, each time. */
void mjpeg_start(struct request *request, struct span path);
