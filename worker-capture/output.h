/* One destination of a session's picture: an ffmpeg of its own, fed at a constant rate whatever the
 * rate of the pictures, started again with a growing delay, ended when it makes no progress. The
 * last picture is repeated while there is no new one, so recoveries of the page do not end it. Loop
 * thread only. */
#pragma once

#include "worker-capture/capture.h"
#include "worker-capture/output_target.h"

struct output;

/* How far one may reach to `host`, its own (address.h). */
enum address_reach output_reach(const struct settings *settings, const struct output_target *target,
                                const struct address_host *host);
/* Why one is refused that names a host beyond its reach. */
extern const char output_closed_host[];

/* Reads the worker's newest settings whenever they are needed; the pictures a second that it asks
 * the session for are those of now.
 *
 * Watches the session from now on, and records what its page plays into, if there is such when
 * ffmpeg starts. */
struct output *output_create(const struct capture *capture, struct session *session,
                             const struct output_target *target);
/* Ends it: what was given to ffmpeg is finished if that takes no longer than two seconds. on_closed
 * comes from the loop; the output is freed when it returns. */
void output_close(struct output *output, void (*on_closed)(void *arg, struct output *output),
                  void *arg);

/* Why it does not do its work although it should, static text; NULL: it does, or has only begun. */
const char *output_fault(const struct output *output);
/* Twice a second or so: what has to be looked after, such as the disk that a recording fills. */
void output_look(struct output *output);
/* Without anything secret. */
json_t *output_describe(const struct output *output);
