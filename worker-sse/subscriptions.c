#include "worker-sse/subscriptions.h"

void subscriptions_handle(struct request *request)
{
	static const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                        {"cache-control", SPAN("no-store")}};
	reply(request, 404, headers, 2,
	      SPAN("{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"no such control route\"}}\n"));
}
