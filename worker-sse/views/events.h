/* GET /v1/events: the EventSource view. Several streams, named or by pattern, as one event stream
 * that the browser's own EventSource reads and resumes (WHATWG HTML, 9.2).
 *
 *     stream=PATH        below /v1/stream/; repeated; "*" stands for one segment,
 *                        "**" for any number
 *     from=now|start     where a reader without an id begins; default now
 *     event=stream       each event is named after its stream
 *     event=member:NAME  ... after the string member NAME of its JSON message
 *     lastEventId=ID     for clients that cannot set Last-Event-ID, which beats it
 *
 * Events: `streams` with what is followed, first of all and whenever a pattern takes in another;
 * messages; `reset` when something was lost (retention, a stream deleted or made anew, an id that
 * is none of ours), with the stream and the reason; `heartbeat` with the server's time. A message
 * published under one of these names, or under `error` or `open`, has no name. Ids: event_id.h. 204
 * when there is nothing to come any more. */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

void events_start(struct sse_worker *w);
void events_handle(struct request *request);
