/* What a session is, for everybody: nothing changes here. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-capture/session_parts.h"

const char *session_id(const struct session *session)
{
	return session->id;
}

const char *session_feed(const struct session *session)
{
	return session->feed;
}

enum session_state session_state(const struct session *session)
{
	return session->state;
}

const struct health *session_health(const struct session *session)
{
	return &session->health;
}

const struct sound *session_sound(const struct session *session)
{
	return session->sound;
}

struct picture *session_last_picture(const struct session *session)
{
	return session->last;
}

/* The token is in the fragment or, against all advice, in the query. */
static json_t *public_url(const char *url)
{
	return json_stringn(url, strcspn(url, "?#"));
}

json_t *session_describe(const struct session *s)
{
	uint64_t now_ms = clock_monotonic_ms();
	json_t *json = json_pack(
	        "{s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:b}", "id",
	        s->id, "feed", s->feed, "state", session_state_name(s->state), "url",
	        public_url(s->url), "health", health_json(&s->health), "width", (int)s->width,
	        "height", (int)s->height, "fps", s->rate, "wantedFps", session_wanted_fps(s),
	        "frames", (json_int_t)s->seq, "recoveries", (json_int_t)s->recoveries, "browsers",
	        (json_int_t)s->browsers, "blocked", (json_int_t)s->blocked, "upMs",
	        (json_int_t)(now_ms - s->opened_ms), "sandbox",
	        !s->sessions->settings->newest->capture_no_sandbox);
	check(json != NULL);
	json_object_set_new(json, "frameAgeMs",
	                    s->last != NULL ? json_integer((json_int_t)(now_ms - s->last->at_ms))
	                                    : json_null());
	json_object_set_new(json, "keeper",
	                    s->on != NULL ? json_integer(page_keeper_pid(s->on->page))
	                                  : json_null());
	json_object_set_new(json, "webrtc", json_boolean(s->webrtc));
	json_t *hosts = json_array();
	for (size_t i = 0; i < s->egress.count; i++)
		json_array_append_new(hosts, json_string(s->egress.hosts[i].at.name));
	json_object_set_new(json, "hosts", hosts);
	return json;
}
