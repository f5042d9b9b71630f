/* GET /v1/hls/FEED/index.m3u8 and its segments: what an HLS output of the capture worker has
 * written to its directory. /v1/hls/FEED/OUTPUT/... when a feed has several; without a name, the
 * first by name.
 *
 * Only the playlist and the segments' own names are ever opened, as plain files, through no link.
 * Files are read by libuv's threads, a piece at a time, and only as fast as the client takes them.
 */
#pragma once

#include "worker-sse/edge/request.h"

void hls_handle(struct request *request);
