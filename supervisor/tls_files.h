/* Certificates, their keys and the keys of session tickets: the supervisor reads and watches the
 * files, and tells who listens (PROTO_LISTEN). So workers need no right to them, all of them resume
 * each other's sessions, and a change takes effect at once and closes nothing.
 *
 * What does not fit is refused whole, with its reason; what was there before goes on. */
#pragma once

#include "common/base/settings.h"
#include "common/worker/peer.h"
#include "supervisor/events.h"

#include <uv.h>

enum { TLS_FILES_REASON_MAX = 512 };

struct tls_files;

/* Reads what the settings name. NULL: `reason`. Watches from then on; `on_change(arg)` is called
 * when there is something new to tell. Settings and events are the caller's and live longer. */
struct tls_files *tls_files_create(uv_loop_t *loop, const struct settings_source *settings,
                                   struct events *events, void (*on_change)(void *arg), void *arg,
                                   char reason[TLS_FILES_REASON_MAX]);
/* NULL is fine. Its handle is closed by the loop. */
void tls_files_destroy(struct tls_files **files);

/* After a reload: reads them again. True: others are in force. */
bool tls_files_reload(struct tls_files *files);

/* Would these settings' files be taken at `now_ms` (Unix)? 0: whatever has expired; so a reload is,
 * which may have to withdraw a token. */
bool tls_files_fit(const struct settings *settings, uint64_t now_ms,
                   char reason[TLS_FILES_REASON_MAX]);

/* Tells a worker that listens; bit n of `tls` is set where its n-th socket speaks TLS. */
void tls_files_tell(const struct tls_files *files, struct peer *peer, uint64_t tls);
