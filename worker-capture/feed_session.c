#include "worker-capture/feed_session.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "proto/codec.h"
#include "worker-capture/capture.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { REPORT_MS = 1000 };

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
	                                        .sound = true,
	                                        .width = (uint32_t)settings->capture_width & ~1u,
	                                        .height = (uint32_t)settings->capture_height & ~1u};
	if (session_open(sessions, &options, &session, reason) == SESSION_OPENED)
		return session;
	log_error("the feed's page is not opened", "key=capture.url reason=\"%s\"", reason);
	return NULL;
}

/* What a change is: time stamps alone are none. */
static uint64_t fingerprint(const struct health *h)
{
	struct health bare = *h;
	bare.updated_ms = bare.since_ms = bare.page.at_ms = 0;
	return XXH3_64bits(&bare, sizeof bare);
}

static void add(void *arg, struct session *session)
{
	uint64_t *sum = arg;
	if (*session_feed(session) != '\0')
		*sum = *sum * 31 + fingerprint(session_health(session));
}

static void tell(void *arg, struct session *session)
{
	struct peer *bridge = arg;
	if (*session_feed(session) == '\0')
		return;
	json_t *report = health_json(session_health(session));
	char *text = json_dumps(report, JSON_COMPACT);
	check(text != NULL);
	peer_put(bridge, capture_health, CAPTURE_HEALTH,
	         {.feed = span_str(session_feed(session)), .report = span_str(text)});
	free(text);
	json_decref(report);
}

void feed_session_report(struct capture *capture, uint64_t now_ms)
{
	struct peer *bridge = worker_peer(capture->worker, ROLE_BRIDGE, 0);
	uint64_t sum = 1;
	sessions_each(capture->sessions, add, &sum);
	if (bridge == NULL || (sum == capture->reported && now_ms < capture->report_due_ms))
		return;
	capture->reported = sum;
	capture->report_due_ms = now_ms + REPORT_MS;
	sessions_each(capture->sessions, tell, bridge);
}
