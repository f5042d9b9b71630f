#include "worker-capture/feed_session.h"
#include "common/log.h"

struct session *feed_session_open(struct sessions *sessions, const struct settings *settings)
{
	char id[SESSION_ID_MAX + 8], reason[256];
	struct session *session = NULL;
	if (*settings->capture_url == '\0')
		return NULL;
	snprintf(id, sizeof id, "feed-%.58s", settings->feed_default);
	const struct session_options options = {.id = id,
	                                        .feed = settings->feed_default,
	                                        .url = settings->capture_url,
	                                        .allow = "",
	                                        .owner = "",
	                                        .width = (uint32_t)settings->capture_width & ~1u,
	                                        .height = (uint32_t)settings->capture_height & ~1u};
	if (session_open(sessions, &options, &session, reason) == SESSION_OPENED)
		return session;
	log_error("the feed's page is not opened", "key=capture.url reason=\"%s\"", reason);
	return NULL;
}
