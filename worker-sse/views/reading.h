/* A live answer is as good as the credential that it was given for: it ends when that ends, and is
 * judged anew when that is revoked or may something else. */
#pragma once

#include "worker-sse/edge/request.h"
#include "worker-sse/live/fanout.h"

/* Behind fanout_join(), with the reader in request->feature. `on_judge`: request.h; NULL: it goes
 * on as long as every stream that it follows may be read. */
void reading_bind(struct request *request, struct live_reader *reader,
                  void (*on_judge)(struct request *request));

/* Only its first part: when the credential ends, it does. */
void reading_expires(const struct request *request, struct live_reader *reader);

/* May who asks read this stream? */
bool reading_allowed(const struct request *request, const struct stream *stream);
/* ... and each that the reader follows? */
bool reading_goes_on(const struct request *request, const struct live_reader *reader);
