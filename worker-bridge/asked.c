#include "worker-bridge/asked.h"
#include "common/base/check.h"
#include "worker-bridge/book_call.h"

#include <stdlib.h>

static void finish(struct errand *errand, bool durable)
{
	struct asked *a = (struct asked *)errand;
	if (!durable) {
		call_header(a->call, "Retry-After", "1");
		call_refuse(a->call, 503, "it could not be made durable; try again");
		json_decref(a->answer);
	} else if (a->reason != NULL)
		call_refuse(a->call, a->status, a->reason);
	else
		call_reply(a->call, a->status, a->answer);
	free(a);
}

void asked_answer(struct asked *a, unsigned status, const char *reason, json_t *body)
{
	json_decref(a->answer); /* of an earlier run */
	a->status = status;
	a->reason = reason;
	a->answer = body;
}

void *asked_create(struct call *call, void (*run)(struct errand *, struct market_change *),
                   size_t bytes)
{
	struct asked *a = xcalloc(1, bytes);
	a->errand = (struct errand){.run = run, .finish = finish};
	a->call = call;
	return a;
}

void asked_submit(struct asked *a)
{
	struct call *call = a->call;
	if (book_submit(book_call_book(call), &a->errand))
		return;
	free(a);
	call_header(call, "Retry-After", "1");
	call_refuse(call, 503,
	            "too many requests wait (market.queue), or this worker stops; try again");
}
