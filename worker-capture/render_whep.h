/* WHEP for render sessions (draft-ietf-wish-whep): a viewer's offer, answered by Chromium's own
 * WebRTC, or, for a POST without a body, an offer of its own that the viewer answers by PATCH.
 *
 * The media end is a script of ours in the page (injected/whep.js), in a world that the page cannot
 * touch: one peer connection for each viewer, sending the page's largest canvas, or the whole tab.
 * Viewers last as long as the document; after a reload they come again. ICE can be restarted: the
 * ETag names the ICE session, and other credentials need If-Match. */
#pragma once

#include "worker-capture/render_parts.h"

/* "/whep" and "/whep/VIEWER", `rest` is what follows "/stream/ID". */
void render_whep_call(struct render_live *live, struct call *call, struct span rest);
/* The order's rate is another: whoever looks goes on looking, at that. */
void render_whep_pace(struct render_live *live);
/* A message of the script. */
void render_whep_message(struct render_live *live, const char *kind, const json_t *value);
