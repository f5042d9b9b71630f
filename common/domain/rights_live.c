#include "common/domain/rights_live.h"
#include "common/store/stream_name.h"

#include <stdio.h>
#include <string.h>

static const char every_feed[] = "*";

/* What follows the prefix; at NULL: it is another path. */
static struct span behind(struct span path, const char *prefix)
{
	size_t len = strlen(prefix);
	return path.len >= len && memcmp(path.at, prefix, len) == 0
	               ? span_of(path.at + len, path.len - len)
	               : (struct span){0};
}

static struct span take_segment(struct span *rest)
{
	const uint8_t *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
	struct span segment =
	        span_of(rest->at, slash != NULL ? (size_t)(slash - rest->at) : rest->len);
	*rest = slash != NULL ? span_of(slash + 1, rest->len - segment.len - 1)
	                      : span_of(rest->at + rest->len, 0);
	return segment;
}

static bool say(struct span feed, char of[RIGHTS_LIVE_ROOM])
{
	/* No feed has a longer name: cut, it is nobody's. */
	int most = RIGHTS_LIVE_ROOM - (int)sizeof "/v1/feeds/";
	snprintf(of, RIGHTS_LIVE_ROOM, "/v1/feeds/%.*s",
	         feed.len < (size_t)most ? (int)feed.len : most, (const char *)feed.at);
	return true;
}

/* "feeds/FEED/..." below the streams' root. What lies in "spectator" is for spectators. */
static bool stream_is_live(const struct rights_live *live, struct span rest,
                           char of[RIGHTS_LIVE_ROOM])
{
	struct span feed = take_segment(&rest), name = rest, first = take_segment(&rest);
	if (feed.len == 0 || name.len == 0 || span_equal(first, SPAN("spectator")))
		return false;
	bool frames = span_equal(name, SPAN("frames"));
	return (live->delayed || (frames && !live->frames_by_read)) && say(feed, of);
}

/* Paths that are one thing, or a root with things below. */
static bool is_or_below(struct span path, const char *root, struct span *rest)
{
	*rest = behind(path, root);
	if (rest->at == NULL || (rest->len > 0 && *rest->at != '/'))
		return false;
	if (rest->len > 0)
		*rest = span_of(rest->at + 1, rest->len - 1);
	return true;
}

static bool read_is_live(const struct rights_live *live, struct span path,
                         char of[RIGHTS_LIVE_ROOM])
{
	struct span rest = behind(path, "/v1/stream/feeds/");
	if (rest.at != NULL)
		return stream_is_live(live, rest, of);
	if (!live->delayed)
		return false;
	return is_or_below(path, "/v1/duels", &rest) &&
	       say(rest.len > 0 ? take_segment(&rest) : span_str(every_feed), of);
}

static bool read_is_later(struct span path, char of[RIGHTS_LIVE_ROOM])
{
	struct span rest;
	bool tells = is_or_below(path, "/v1/markets", &rest) ||
	             (is_or_below(path, "/v1/oracle", &rest) && !span_equal(rest, SPAN("keys")));
	return tells && say(span_str(every_feed), of);
}

static bool view_is_live(const struct rights_live *live, struct span path,
                         char of[RIGHTS_LIVE_ROOM])
{
	return live->delayed && behind(path, "/stream/").at != NULL &&
	       say(span_str(every_feed), of);
}

/* In its one spelling; empty: it is nobody's. */
static struct span canonical(struct span path, uint8_t room[STREAM_NAME_ROOM])
{
	if (path.len == 0 || stream_name_is_canonical(path))
		return path;
	if (path.len > STREAM_NAME_MAX)
		return (struct span){0};
	return span_of(room, stream_name_canonical(path, room));
}

bool rights_live_later(const struct rights_live *live, enum verb verb, struct span path,
                       char of[RIGHTS_LIVE_ROOM])
{
	uint8_t room[STREAM_NAME_ROOM];
	path = canonical(path, room);
	return live->delayed && verb == VERB_READ && path.len > 0 && read_is_later(path, of);
}

bool rights_live(const struct rights_live *live, enum verb verb, struct span path,
                 char of[RIGHTS_LIVE_ROOM])
{
	uint8_t room[STREAM_NAME_ROOM];
	path = canonical(path, room);
	if ((verb != VERB_READ && verb != VERB_VIEW) || path.len == 0 ||
	    (!live->delayed && live->frames_by_read))
		return false;
	return verb == VERB_READ ? read_is_live(live, path, of) : view_is_live(live, path, of);
}

/* ---- patterns ---- */

/* Can they match the same path? A "*" in a segment of either is taken for any. */
static bool may_meet(struct span pattern, struct span path)
{
	while (pattern.len > 0 && path.len > 0) {
		struct span one = take_segment(&pattern), other = take_segment(&path);
		if (span_equal(one, SPAN("**")))
			return true;
		bool any = memchr(one.at, '*', one.len) != NULL ||
		           memchr(other.at, '*', other.len) != NULL;
		if (!any && !span_equal(one, other))
			return false;
	}
	return path.len == 0 && (pattern.len == 0 || span_equal(pattern, SPAN("**")));
}

bool rights_live_pattern(const struct rights_live *live, struct span pattern)
{
	static const char *const streams[] = {
	        "/v1/stream/feeds/*/frames", "/v1/stream/feeds/*/results",
	        "/v1/stream/feeds/*/bets",   "/v1/stream/feeds/*/audit",
	        "/v1/stream/feeds/*/odds",   "/v1/stream/feeds/*/attestations"};
	static const size_t root_len = sizeof "/v1/stream/" - 1;
	uint8_t room[STREAM_NAME_ROOM];
	if (!live->delayed)
		return false;
	if (!stream_name_is_canonical(pattern)) {
		if (pattern.len > STREAM_NAME_MAX)
			return true;
		pattern = span_of(room, stream_name_canonical(pattern, room));
	}
	for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
		struct span path = span_str(streams[i]);
		if (pattern.len == 0 || *pattern.at != '/')
			path = span_of(path.at + root_len, path.len - root_len);
		if (may_meet(pattern, path))
			return true;
	}
	return false;
}
