#include "common/domain/webhook_url.h"

#include <string.h>

static bool is_plain(const char *url)
{
	return strncmp(url, "http://", 7) == 0;
}

enum address_reach webhook_url_reach(const char *url, const char *open, bool dev)
{
	struct address_host host = {0};
	const struct address_fence fence = {.open = open, .loopback = dev && is_plain(url)};
	if (!address_parse_url(span_str(url), &host))
		return REACH_PUBLIC;
	return address_reach(&fence, &host);
}

/* Names are judged again when they have been resolved: http_post.h. */
bool webhook_url_allowed(const char *url, const char *open, bool dev)
{
	struct address_host host;
	enum address_reach reach = webhook_url_reach(url, open, dev);
	if (!address_parse_url(span_str(url), &host) || !address_host_allowed(reach, &host))
		return false;
	if (reach > REACH_LOOPBACK)
		return true;
	return is_plain(url) ? reach == REACH_LOOPBACK && address_host_is_loopback(&host)
	                     : host.ipv6 || strchr(host.name, '.') != NULL;
}
