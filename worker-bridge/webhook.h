/* One signed POST to a subscriber, and what it made of it. */
#pragma once

#include "common/base/settings.h"

#include <uv.h>

struct webhooks;

enum webhook_outcome {
	WEBHOOK_DONE,     /* 2xx with {"done":true} */
	WEBHOOK_ACCEPTED, /* 2xx: the receiver will call back */
	WEBHOOK_FAILED,   /* anything else; logged */
};

/* The newest settings at each delivery; tls.ca_file as it is now. */
struct webhooks *webhooks_create(uv_loop_t *loop, const struct settings_source *settings);

/* False: webhook.parallel deliveries are under way, try later. `signature` is the header's value;
 * url, body and signature are copied. `done` is called once, with the argument; `retry_after_ms`:
 * when a failed one may be tried again, as the receiver says; 0: it says nothing. */
bool webhooks_send(struct webhooks *webhooks, const char *url, struct span body,
                   const char *signature,
                   void (*done)(void *arg, enum webhook_outcome outcome, uint64_t retry_after_ms),
                   void *arg);

size_t webhooks_in_flight(const struct webhooks *webhooks);
