#include "worker-sse/views/hub.h"
#include "common/base/check.h"
#include "worker-sse/views/hub_tunnel.h"

/* Its clients know 400 for what is no upgrade at all.
 *
 * Whoever opens a WebSocket from a page of another site has nothing but the browser's word for it:
 * who it is, is not enough. */
bool hub_welcomes(struct request *request)
{
	if (request->headers[HEADER_UPGRADE].at == NULL) {
		reply_error(request, 400, "Bad Request: this is a WebSocket");
		return false;
	}
	if (request->edge->cors.origins.any || request_page(request) != PAGE_FOREIGN)
		return true;
	reply_error(request, 403, "pages of this origin may not (http.allowed_origin)");
	return false;
}

void hub_start(struct sse_worker *w)
{
	struct hub *hub = xcalloc(1, sizeof *hub);
	hub->worker = w;
	w->hub = hub;
	hub_roster_start(hub);
}

void hub_peer_gone(struct sse_worker *w, const struct party *gone)
{
	enum { SOON_MS = 200 }; /* until the counters say so, too */
	if (w->hub == NULL || gone->role != ROLE_SSE)
		return;
	hub_tunnels_lose(w->hub, gone->slot);
	w->hub->alive = 0;
	wheel_set(&w->wheel, &w->hub->sweep, w->wheel.now_ms + SOON_MS);
}
