#include "worker-sse/views/feed_lists.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/js_text.h"
#include "common/base/json_take.h"
#include "worker-sse/views/live_right.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUELS_STANDARD = 20, LOOK_BACK_BYTES = 1 << 16 };

/* ---- standings ---- */

static struct stream *stream_of(struct sse_worker *w, struct span feed, const char *name)
{
	char path[LIVE_RIGHT_FEED_MAX + 64];
	if (feed.len > LIVE_RIGHT_FEED_MAX)
		return NULL;
	int len = snprintf(path, sizeof path, "/v1/stream/feeds/%.*s/%s", (int)feed.len,
	                   (const char *)feed.at, name);
	return state_find(store_view(w->store), span_of(path, (size_t)len));
}

struct finding {
	uint64_t until_ms;
	struct span list; /* at NULL: none yet */
	bool later;       /* there is a newer one than that */
};

/* They come in the order of their frames, each beginning with its time. */
static bool take_list(void *arg, struct span key, struct span value)
{
	static const char begin[] = "{\"at\":";
	struct finding *finding = arg;
	(void)key;
	if (value.len <= sizeof begin || memcmp(value.at, begin, sizeof begin - 1) != 0)
		return true;
	uint64_t at_ms = strtoull((const char *)value.at + sizeof begin - 1, NULL, 10);
	finding->later = at_ms > finding->until_ms;
	if (!finding->later)
		finding->list = value;
	return !finding->later;
}

static enum feed_lists_found find_list(struct sse_worker *w, struct span feed, uint64_t until_ms,
                                       struct span *list)
{
	struct finding finding = {.until_ms = until_ms};
	char prefix[LIVE_RIGHT_FEED_MAX + 32];
	if (stream_of(w, feed, "frames") == NULL)
		return FEED_LISTS_NO_FEED;
	int len = snprintf(prefix, sizeof prefix, "standings/%.*s/list/", (int)feed.len,
	                   (const char *)feed.at);
	state_kv_page(store_view(w->store), span_of(prefix, (size_t)len), (struct span){0},
	              take_list, &finding);
	*list = finding.list;
	if (finding.list.at != NULL)
		return FEED_LISTS_FOUND;
	const struct stream *results = stream_of(w, feed, "results");
	return finding.later || (results != NULL && results->tail > 0) ? FEED_LISTS_LATER
	                                                               : FEED_LISTS_NONE;
}

enum feed_lists_found feed_lists_public(struct sse_worker *w, struct span feed, struct span *list)
{
	return find_list(w, feed, clock_wall_ms() - w->settings->feeds_spectator_delay_ms, list);
}

static void reply_json_text(struct request *request, struct span text)
{
	const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	reply(request, 200, headers, 2, text);
}

static void reply_none(struct request *request, struct span feed)
{
	char text[256];
	int len = snprintf(text, sizeof text,
	                   "{\"at\":0,\"feed\":\"%.*s\",\"duels\":0,\"contestants\":0,"
	                   "\"standings\":[]}",
	                   (int)feed.len, (const char *)feed.at);
	reply_json_text(request, span_of(text, (size_t)len));
}

void feed_lists_standings(struct request *request, struct span feed)
{
	struct span list;
	switch (find_list(worker_of(request), feed, live_right_until_ms(request, feed), &list)) {
	case FEED_LISTS_FOUND:
		reply_json_text(request, list);
		return;
	case FEED_LISTS_NONE:
		reply_none(request, feed);
		return;
	case FEED_LISTS_LATER:
		reply_error(request, 503,
		            "the standings are being counted, or are not yet as old as "
		            "feeds.spectator_delay asks for");
		return;
	case FEED_LISTS_NO_FEED:
		reply_error(request, 404, "no such feed");
		return;
	}
}

/* ---- past duels ---- */

/* A window that slides: the last `limit` of what is visited. */
struct past {
	uint64_t until_ms;
	size_t limit, count; /* of all that fitted */
	struct past_one {
		json_t *frame;
		uint64_t starts_at;
	} * ring;
};

/* A spectator's frame has no proof in it: that is between the betting services and the oracle. */
static void hide_proof(json_t *frame)
{
	static const char *const hidden[] = {"duelKey", "seed", "replayHash", "rendererHealth"};
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		json_object_del(frame, hidden[i]);
}

static bool take_past(void *arg, const struct store_message *message)
{
	struct past *past = arg;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	json_int_t at_ms = json_integer_value(json_object_get(frame, "emittedAt"));
	if (frame == NULL || (uint64_t)at_ms > past->until_ms) {
		json_decref(frame);
		return frame == NULL;
	}
	struct past_one *one = &past->ring[past->count++ % past->limit];
	json_decref(one->frame);
	*one = (struct past_one){frame, message->ends_at - message->bytes.len - 1};
	return true;
}

/* The newest first. */
static json_t *unroll(struct past *past, bool proof, uint64_t *starts_at)
{
	json_t *list = json_array();
	size_t kept = past->count < past->limit ? past->count : past->limit;
	for (size_t i = 0; i < kept; i++) {
		struct past_one *one = &past->ring[(past->count - 1 - i) % past->limit];
		if (!proof)
			hide_proof(one->frame);
		*starts_at = one->starts_at;
		json_array_append_new(list, one->frame);
	}
	return list;
}

json_t *feed_lists_past(struct request *request, struct span feed, uint64_t before, size_t limit,
                        uint64_t *next)
{
	struct store *store = worker_of(request)->store;
	const struct stream *results = stream_of(worker_of(request), feed, "results");
	uint64_t first = results != NULL ? results->first : 0, starts_at = 0;
	uint64_t to = results != NULL && before > results->tail ? results->tail : before;
	struct past past = {.limit = limit,
	                    .until_ms = live_right_until_ms(request, feed),
	                    .ring = xcalloc(limit, sizeof *past.ring)};
	json_t *list = NULL;
	*next = 0;
	for (uint64_t back = LOOK_BACK_BYTES; list == NULL; back *= 4) {
		uint64_t from = to > first + back ? to - back : first;
		past.count = 0;
		if (results != NULL && from < to &&
		    store_scan(store, results, from, to, SIZE_MAX, take_past, &past) !=
		            STORE_READ_OK)
			break;
		if (past.count >= limit || from == first || results == NULL)
			list = unroll(&past, live_right_has(request, feed), &starts_at);
	}
	if (list == NULL)
		for (size_t i = 0; i < limit; i++)
			json_decref(past.ring[i].frame);
	if (past.count >= limit && starts_at > first)
		*next = starts_at;
	free(past.ring);
	return list;
}

/* A whole decimal; false: it is none. */
static bool number(struct span text, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		*value = *value * 10 + (text.at[i] - '0');
	}
	return text.len > 0 && text.len <= 16;
}

void feed_lists_duels(struct request *request, struct span feed)
{
	uint64_t limit = DUELS_STANDARD, before = UINT64_MAX, next;
	struct span text;
	bool good = query_find(request->query, "limit", &text) == 0 || number(text, &limit);
	good = good && (query_find(request->query, "before", &text) == 0 || number(text, &before));
	if (!good || limit == 0 || limit > FEED_LISTS_DUELS_MAX) {
		reply_error(request, 400, "limit is 1 to 200, before what an answer said as next");
		return;
	}
	if (stream_of(worker_of(request), feed, "frames") == NULL) {
		reply_error(request, 404, "no such feed");
		return;
	}
	json_t *duels = feed_lists_past(request, feed, before, limit, &next);
	if (duels == NULL) {
		reply_error(request, 503, "the feed's results cannot be read");
		return;
	}
	json_t *body = json_pack("{s:o,s:o}", "duels", duels, "next",
	                         next != 0 ? json_integer((json_int_t)next) : json_null());
	char *whole = js_text(body);
	json_decref(body);
	reply_json_text(request, span_str(whole));
	free(whole);
}
