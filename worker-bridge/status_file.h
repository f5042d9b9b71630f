/* What an external renderer says of itself: DIRECTORY/FEED.json, rewritten by it every few seconds.
 *
 * The members that are known are checked strictly and taken, no other is looked at, and nothing is
 * passed on as it stands. The file is read beside the loop; the last good reading stays, and grows
 * stale by its own time stamp. */
#pragma once

#include "worker-bridge/renderer_health.h"

#include <uv.h>

enum { STATUS_FILE_BYTES_MAX = 65536 };

/* The members of the specification:
 *     {"updatedAt":MS, "destinations":[...], "stats":{...},
 *      "clientConnected":bool?, "ffmpegRunning":bool?,
 *      "rendererHealth":{"ready":bool,"degradedReason":text|null,"updatedAt":MS|null}|null}
 * NULL: taken; else what is wrong, constant. `written_ms`: when the file was, for one that does not
 * say. */
const char *status_file_read(struct renderer_status *status, struct span json, uint64_t written_ms);

struct status_file;
/* Looks every `every_ms`; on_change when there is something new (a good reading, or the file's
 * end). */
struct status_file *status_file_watch(uv_loop_t *loop, const char *directory, const char *feed,
                                      uint64_t every_ms, void (*on_change)(void *arg), void *arg);
const struct renderer_status *status_file_now(const struct status_file *file);
void status_file_stop(struct status_file *file);
