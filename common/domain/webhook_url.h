/* Where a webhook may go. Names are judged again when they have been resolved
 * (common/base/http_post.h). */
#pragma once

#include "common/base/address.h"

/* How far a webhook to this URL may reach: public addresses, and the hosts of `open`
 * (webhook.allow_private); with `dev` loopback by http. */
enum address_reach webhook_url_reach(const char *url, const char *open, bool dev);
/* May there be one? https, or http to what is not public; no address beyond its reach. */
bool webhook_url_allowed(const char *url, const char *open, bool dev);
