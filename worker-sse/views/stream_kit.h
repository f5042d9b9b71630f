/* Render sessions as stream-kit's clients see them: a view of what the capture worker owns.
 *
 *     POST /stream                 forwarded; with Accept: text/event-stream the events follow
 *     GET  /stream/{id}            the state, from the store
 *     GET  /stream/{id}/sse        snapshot, then patches and signals: sessions/{id}/events
 *     GET  /stream/{id}/frame.jpg  the last picture, forwarded; /mjpeg: one after another
 *     PATCH, DELETE /stream/{id}, POST /stream/{id}/input, /signal          forwarded
 *     /stream/session/...          the same in the words of the stream-kit web client
 *
 * Reading needs no capture worker: a client keeps its place while it is restarted. To everybody but
 * its owner a session is not there (404); one that is over is gone (410). */
#pragma once

#include "worker-sse/edge/request.h"

void stream_kit_handle(struct request *request);
