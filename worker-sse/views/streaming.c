#include "worker-sse/views/streaming.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/js_text.h"
#include "common/base/json_take.h"
#include "common/store/offset.h"
#include "proto/roles.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/feed_lists.h"
#include "worker-sse/views/live_right.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/views/streaming_state.h"
#include "worker-sse/views/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_MS = 2000,
	LEADERS = 10, /* of a state; /leaderboard has all that are listed */
	LOOK_BACK_BYTES = 1 << 16,
	HISTORY_STANDARD = 40,
	THOUGHTS_STANDARD = 20,
	THOUGHTS_MAX = 200,
};

enum { ROOT_LEN = sizeof "/api/streaming/" - 1 };

/* ---- answers ---- */

/* Takes `body`. */
static void answer(struct request *r, unsigned status, json_t *body)
{
	char *text = js_text(body);
	const struct header headers[] = {{"content-type", SPAN("application/json; charset=utf-8")},
	                                 {"cache-control", SPAN("no-store")},
	                                 {"retry-after", SPAN("5")}};
	json_decref(body);
	reply(r, status, headers, status == 503 || status == 429 ? 3 : 2, span_str(text));
	free(text);
}

static void refuse(struct request *r, unsigned status, const char *error, const char *message)
{
	answer(r, status, json_pack("{s:s,s:s}", "error", error, "message", message));
}

static void refuse_inactive(struct request *r, struct span feed)
{
	bool later = worker_of(r)->settings->feeds_spectator_delay_ms > 0;
	(void)feed;
	refuse(r, 503, later ? "Streaming delay warmup" : "Streaming mode not active",
	       "No frame of this feed is there for spectators (yet)");
}

/* ---- who asks for what ---- */

struct asked {
	struct span feed;
	struct stream *stream; /* NULL: spectators have been told nothing yet */
};

static struct stream *stream_of(struct request *r, struct span feed)
{
	char path[LIVE_RIGHT_FEED_MAX + 64];
	if (feed.len > LIVE_RIGHT_FEED_MAX || memchr(feed.at, '/', feed.len) != NULL)
		return NULL;
	int len = snprintf(path, sizeof path, "/v1/stream/feeds/%.*s/spectator", (int)feed.len,
	                   (const char *)feed.at);
	struct stream *stream =
	        state_find(store_view(worker_of(r)->store), span_of(path, (size_t)len));
	return stream != NULL && stream->tail > 0 ? stream : NULL;
}

static enum refusal refusal_of(const struct request *r, const char *feed, int feed_len)
{
	char path[LIVE_RIGHT_FEED_MAX + 64];
	int len = snprintf(path, sizeof path, "/v1/feeds/%.*s/spectator",
	                   feed_len < LIVE_RIGHT_FEED_MAX ? feed_len : LIVE_RIGHT_FEED_MAX, feed);
	return identities_refusal(r->edge->identities, r->identity, RIGHT(READ) | RIGHT(VIEW),
	                          span_of(path, (size_t)len));
}

/* False: it has been answered. */
static bool admit(struct request *r, struct asked *asked)
{
	sse_worker_catch_up(worker_of(r));
	if (query_find(r->query, "feed", &asked->feed) == 0)
		asked->feed = span_str(worker_of(r)->settings->bet_sync_feed);
	enum refusal refusal = refusal_of(r, (const char *)asked->feed.at, (int)asked->feed.len);
	if (refusal != REFUSAL_NONE) {
		reply_refusal(r, refusal);
		return false;
	}
	asked->stream = stream_of(r, asked->feed);
	return true;
}

/* ---- frames in the store ---- */

/* Frames begin with their place, and no text stands before their number. False: it is none. */
static bool number_of(struct span text, uint64_t *seq)
{
	static const char name[] = "\"seq\":";
	const uint8_t *at = memmem(text.at, text.len, name, sizeof name - 1);
	if (at == NULL)
		return false;
	const uint8_t *end = text.at + text.len;
	*seq = 0;
	for (at += sizeof name - 1; at < end && *at >= '0' && *at <= '9'; at++)
		*seq = *seq * 10 + (*at - '0');
	return *seq > 0;
}

struct found {
	uint64_t ends_at, seq;
	char *text; /* malloc'd; NULL: there is none */
	size_t len;
};

static bool keep(void *arg, const struct store_message *message)
{
	struct found *found = arg;
	uint64_t seq;
	if (!number_of(message->bytes, &seq))
		return true;
	free(found->text);
	*found = (struct found){message->ends_at, seq,
	                        xmemdup_text(message->bytes.at, message->bytes.len),
	                        message->bytes.len};
	return true;
}

static bool keep_first(void *arg, const struct store_message *message)
{
	keep(arg, message);
	return ((struct found *)arg)->text == NULL;
}

static struct found first_at(struct store *store, const struct stream *stream, uint64_t from)
{
	struct found found = {0};
	if (from < stream->tail)
		store_scan(store, stream, from, stream->tail, SIZE_MAX, keep_first, &found);
	return found;
}

static struct found newest(struct store *store, const struct stream *stream)
{
	struct found found = {0};
	uint64_t first = stream->first,
	         from = stream->last_start > first ? stream->last_start : first;
	for (uint64_t back = LOOK_BACK_BYTES;; back *= 4) {
		store_scan(store, stream, from, stream->tail, SIZE_MAX, keep, &found);
		if (found.text != NULL || from == first)
			return found;
		from = stream->tail - first > back ? stream->tail - back : first;
	}
}

/* The first frame that begins at or behind `from` has this number or a lower one: *ends_at is
 * where it ends. */
static bool up_to(struct store *store, const struct stream *stream, uint64_t from, uint64_t seq,
                  uint64_t *ends_at)
{
	struct found at = first_at(store, stream, from);
	bool there = at.text != NULL;
	free(at.text);
	*ends_at = at.ends_at;
	return there && at.seq <= seq;
}

/* Where the frame behind `seq` begins: halving, then reading. */
static uint64_t place_behind(struct store *store, const struct stream *stream, uint64_t seq)
{
	uint64_t low = stream->first, high = stream->tail, ends_at;
	while (high - low > LOOK_BACK_BYTES) {
		uint64_t middle = low + (high - low) / 2;
		if (up_to(store, stream, middle, seq, &ends_at))
			low = ends_at;
		else
			high = middle;
	}
	while (up_to(store, stream, low, seq, &ends_at))
		low = ends_at;
	return low;
}

/* ---- states ---- */

static struct streaming_times times_of(const struct settings *s)
{
	return (struct streaming_times){s->duel_fight_ms, s->duel_end_warning_ms,
	                                s->duel_resolution_ms};
}

/* The standings that go with it: for everybody who sees states, as a spectator has them. */
static json_t *standings_of(struct sse_worker *w, const struct stream *stream)
{
	static const char prefix[] = "/v1/stream/feeds/";
	size_t from = sizeof prefix - 1, end = strlen("/spectator");
	struct span feed = span_of(stream->path + from, stream->path_len - from - end), list;
	if (feed_lists_public(w, feed, &list) != FEED_LISTS_FOUND)
		return NULL;
	return json_loadb((const char *)list.at, list.len, 0, NULL);
}

/* NULL: it is no frame. */
static json_t *state_of(struct sse_worker *w, const struct stream *stream, struct span text,
                        size_t leaders)
{
	const struct streaming_times times = times_of(w->settings);
	json_t *frame = json_take(text, JSON_ALLOW_NUL, NULL, NULL);
	if (frame == NULL)
		return NULL;
	json_t *standings = standings_of(w, stream);
	json_t *state = streaming_state(frame, streaming_leaderboard(standings, leaders), &times);
	json_decref(standings);
	json_decref(frame);
	return state;
}

/* What most answers are made of. NULL: answered. */
static json_t *state_now(struct request *r, const struct asked *asked, size_t leaders)
{
	struct sse_worker *w = worker_of(r);
	struct found found = {0};
	json_t *state = NULL;
	if (asked->stream != NULL)
		found = newest(w->store, asked->stream);
	if (found.text != NULL)
		state = state_of(w, asked->stream, span_of(found.text, found.len), leaders);
	free(found.text);
	if (state == NULL)
		refuse_inactive(r, asked->feed);
	return state;
}

static void get_state(struct request *r, const struct asked *asked)
{
	json_t *state = state_now(r, asked, LEADERS);
	if (state != NULL)
		answer(r, 200, state);
}

/* The newest frame itself. NULL: answered. */
static json_t *frame_now(struct request *r, const struct asked *asked)
{
	struct found found = {0};
	json_t *frame = NULL;
	if (asked->stream != NULL)
		found = newest(worker_of(r)->store, asked->stream);
	if (found.text != NULL)
		frame = json_take(span_of(found.text, found.len), JSON_ALLOW_NUL, NULL, NULL);
	free(found.text);
	if (frame == NULL)
		refuse_inactive(r, asked->feed);
	return frame;
}

static json_t *array_or_none(json_t *array)
{
	return json_is_array(array) ? json_incref(array) : json_array();
}

static void get_context(struct request *r, const struct asked *asked)
{
	json_t *frame = frame_now(r, asked);
	if (frame == NULL)
		return;
	json_t *standings = standings_of(worker_of(r), asked->stream);
	const struct streaming_times times = times_of(worker_of(r)->settings);
	json_t *state = streaming_state(frame, streaming_leaderboard(standings, LEADERS), &times);
	static const char *const names[] = {"agent1", "agent2"};
	for (size_t i = 0; i < 2; i++) {
		json_t *agent = json_object_get(json_object_get(state, "cycle"), names[i]);
		const char *id = json_string_value(json_object_get(agent, "id"));
		if (id != NULL)
			json_object_set_new(
			        agent, "monologues",
			        array_or_none(streaming_of_agent(frame, id, "monologues")));
	}
	json_object_set_new(state, "type", json_string("STREAMING_DUEL_CONTEXT"));
	json_decref(standings);
	json_decref(frame);
	answer(r, 200, state);
}

/* ---- leaderboard ---- */

/* NULL: answered. */
static json_t *leaders_of(struct request *r, const struct asked *asked)
{
	if (asked->stream == NULL) {
		refuse_inactive(r, asked->feed);
		return NULL;
	}
	json_t *standings = standings_of(worker_of(r), asked->stream);
	json_t *leaders = streaming_leaderboard(standings, SIZE_MAX);
	json_decref(standings);
	return leaders;
}

static void get_leaderboard(struct request *r, const struct asked *asked)
{
	json_t *leaders = leaders_of(r, asked);
	if (leaders != NULL)
		answer(r, 200, json_pack("{s:o}", "leaderboard", leaders));
}

/* A number of the query within 1 and `max`; what is none is `standard`, as in the original. */
static size_t limit_of(struct request *r, const char *name, size_t standard, size_t max)
{
	struct span text;
	size_t value = 0;
	if (query_find(r->query, name, &text) == 0 || text.len == 0 || text.len > 9)
		return standard;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return standard;
		value = value * 10 + (size_t)(text.at[i] - '0');
	}
	return value < 1 ? 1 : value < max ? value : max;
}

static void get_details(struct request *r, const struct asked *asked)
{
	size_t limit = limit_of(r, "historyLimit", HISTORY_STANDARD, FEED_LISTS_DUELS_MAX);
	uint64_t next;
	json_t *leaders = leaders_of(r, asked);
	if (leaders == NULL)
		return;
	json_t *past = feed_lists_past(r, asked->feed, UINT64_MAX, limit, &next);
	json_t *state = state_now(r, asked, 0);
	if (state == NULL) {
		json_decref(leaders);
		json_decref(past);
		return;
	}
	json_t *recent = json_array(), *frame;
	size_t i;
	json_array_foreach (past, i, frame)
		json_array_append_new(recent, streaming_past_duel(frame));
	answer(r, 200,
	       json_pack("{s:o,s:O,s:o,s:I}", "leaderboard", leaders, "cycle",
	                 json_object_get(state, "cycle"), "recentDuels", recent, "updatedAt",
	                 (json_int_t)clock_wall_ms()));
	json_decref(past);
	json_decref(state);
}

/* ---- what runs ---- */

static void get_config(struct request *r, const struct asked *asked)
{
	const struct settings *s = worker_of(r)->settings;
	uint64_t cycle_ms = s->duel_announcement_ms + s->duel_countdown_ms + s->duel_fight_ms +
	                    s->duel_end_warning_ms + s->duel_resolution_ms;
	answer(r, 200,
	       json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I}", "enabled", asked->stream != NULL,
	                 "cycleDuration", (json_int_t)cycle_ms, "announcementDuration",
	                 (json_int_t)s->duel_announcement_ms, "fightDuration",
	                 (json_int_t)s->duel_fight_ms, "endWarningDuration",
	                 (json_int_t)s->duel_end_warning_ms, "resolutionDuration",
	                 (json_int_t)s->duel_resolution_ms, "publicDelayMs",
	                 (json_int_t)s->feeds_spectator_delay_ms));
}

struct sums {
	uint64_t sessions, healthy, browsers, frames, frame_bytes, outputs, readers;
};

static uint64_t read_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct sums sums_of(const struct counters *all)
{
	struct sums sums = {0};
	for (size_t i = 0; i < COUNTERS_SLOTS; i++) {
		const struct counters_slot *slot = &all->slots[i];
		sums.sessions += read_of(&slot->capture_sessions);
		sums.healthy += read_of(&slot->capture_healthy);
		sums.browsers += read_of(&slot->capture_browsers);
		sums.frames += read_of(&slot->capture_frames_total);
		sums.frame_bytes += read_of(&slot->capture_frame_bytes_total);
		sums.outputs += read_of(&slot->capture_outputs_live);
		sums.readers += read_of(&slot->subscribers);
	}
	return sums;
}

static json_t *health_of(struct request *r, const struct asked *asked)
{
	struct found found = {0};
	if (asked->stream != NULL)
		found = newest(worker_of(r)->store, asked->stream);
	json_t *frame = found.text != NULL ? json_take(span_of(found.text, found.len),
	                                               JSON_ALLOW_NUL, NULL, NULL)
	                                   : NULL;
	json_t *health = json_object_get(frame, "rendererHealth");
	health = health != NULL ? json_incref(health) : json_null();
	json_decref(frame);
	free(found.text);
	return health;
}

/* Destinations are the operators': how many, and nothing of them. */
static void get_rtmp(struct request *r, const struct asked *asked)
{
	struct sums sums = sums_of(worker_of(r)->worker->counters);
	answer(r, 200,
	       json_pack("{s:b,s:b,s:b,s:{s:I,s:I,s:I},s:o,s:I}", "active", sums.outputs > 0,
	                 "ffmpegRunning", sums.outputs > 0, "clientConnected", sums.browsers > 0,
	                 "stats", "bytesReceived", (json_int_t)sums.frame_bytes, "framesReceived",
	                 (json_int_t)sums.frames, "destinations", (json_int_t)sums.outputs,
	                 "rendererHealth", health_of(r, asked), "updatedAt",
	                 (json_int_t)clock_wall_ms()));
}

static void get_capture(struct request *r, const struct asked *asked)
{
	struct sums sums = sums_of(worker_of(r)->worker->counters);
	answer(r, 200,
	       json_pack("{s:b,s:I,s:I,s:I,s:I,s:o,s:I}", "active", sums.sessions > 0, "browsers",
	                 (json_int_t)sums.browsers, "sessions", (json_int_t)sums.sessions,
	                 "healthySessions", (json_int_t)sums.healthy, "framesCaptured",
	                 (json_int_t)sums.frames, "rendererHealth", health_of(r, asked),
	                 "updatedAt", (json_int_t)clock_wall_ms()));
}

static json_t *seq_or_null(const struct found *found)
{
	return found->text != NULL ? json_integer((json_int_t)found->seq) : json_null();
}

static void get_metrics(struct request *r, const struct asked *asked)
{
	const struct settings *s = worker_of(r)->settings;
	struct sums sums = sums_of(worker_of(r)->worker->counters);
	struct found oldest = {0}, latest = {0};
	if (asked->stream != NULL) {
		oldest = first_at(worker_of(r)->store, asked->stream, asked->stream->first);
		latest = newest(worker_of(r)->store, asked->stream);
	}
	answer(r, 200,
	       json_pack("{s:s,s:I,s:{s:{s:I,s:I},s:{s:I},s:{s:o,s:o}}}", "type",
	                 "STREAMING_METRICS", "emittedAt", (json_int_t)clock_wall_ms(), "sse",
	                 "config", "heartbeatMs", (json_int_t)s->http_sse_keepalive_ms,
	                 "publicDelayMs", (json_int_t)s->feeds_spectator_delay_ms, "clients",
	                 "connected", (json_int_t)sums.readers, "replay", "oldestSeq",
	                 seq_or_null(&oldest), "latestSeq", seq_or_null(&latest)));
	free(oldest.text);
	free(latest.text);
}

/* ---- agents ---- */

/* "agent/ID/WHAT". */
static void get_agent(struct request *r, const struct asked *asked, struct span rest)
{
	const uint8_t *slash = memchr(rest.at, '/', rest.len);
	uint8_t id[512];
	size_t id_len = slash != NULL ? (size_t)(slash - rest.at) : rest.len;
	struct span what =
	        slash != NULL ? span_of(slash + 1, rest.len - id_len - 1) : (struct span){0};
	bool thinks = span_equal(what, SPAN("monologues"));
	if (id_len >= sizeof id || (!thinks && !span_equal(what, SPAN("inventory")))) {
		refuse(r, 404, "Not found", "There is inventory and monologues of an agent");
		return;
	}
	id_len = percent_decode(span_of(rest.at, id_len), id);
	json_t *frame = id_len != SIZE_MAX ? frame_now(r, asked) : NULL;
	if (id_len == SIZE_MAX)
		refuse(r, 400, "Bad request", "The agent's id is not encoded as paths are");
	if (frame == NULL)
		return;
	id[id_len] = '\0';
	json_t *all =
	        streaming_of_agent(frame, (const char *)id, thinks ? "monologues" : "inventory");
	json_t *some = json_array(), *one;
	size_t max = thinks ? limit_of(r, "limit", THOUGHTS_STANDARD, THOUGHTS_MAX) : SIZE_MAX, i;
	json_array_foreach (all, i, one)
		if (i < max)
			json_array_append(some, one);
	size_t count = json_array_size(some);
	answer(r, 200,
	       json_pack("{s:s,s:o,s:I}", "characterId", (const char *)id,
	                 thinks ? "thoughts" : "inventory", some, "count", (json_int_t)count));
	json_decref(frame);
}

/* ---- events ---- */

static void put_event(struct sse_builder *b, struct sse_worker *w, const struct stream *stream,
                      const char *name, struct span text, uint64_t seq)
{
	json_t *state = state_of(w, stream, text, LEADERS);
	if (state == NULL)
		return;
	char *body = js_text(state);
	sse_printf(b, "id: %" PRIu64 "\nevent: %s\ndata: ", seq, name);
	sse_put(b, span_str(body));
	SSE_PUT(b, "\n\n");
	free(body);
	json_decref(state);
}

static bool put_message(void *arg, const struct store_message *message)
{
	const struct frame_query *q = arg;
	uint64_t seq;
	if (number_of(message->bytes, &seq))
		put_event(q->builder, q->context, q->stream, "state", message->bytes, seq);
	return true;
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	sse_begin(q->builder);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message,
	               (void *)(uintptr_t)q) != STORE_READ_OK)
		return false;
	sse_end(q->builder, frame);
	return true;
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	(void)variant;
	sse_begin(q->builder);
	sse_comment(q->builder, "hb %" PRIu64, clock_wall_ms());
	sse_end(q->builder, frame);
	return true;
}

static const struct fanout_view view = {
        .name = "streaming", .shared = true, .frame = build, .heartbeat = heartbeat};

static bool may_follow(void *arg, const struct stream *stream)
{
	static const char prefix[] = "/v1/stream/feeds/";
	size_t from = sizeof prefix - 1, end = strlen("/spectator");
	return stream->path_len > from + end &&
	       refusal_of(arg, stream->path + from, (int)(stream->path_len - from - end)) ==
	               REFUSAL_NONE;
}

static void judge(struct request *r)
{
	if (!fanout_follows_only(r->feature, may_follow, r))
		fanout_leave(r->feature, FANOUT_END_EXPIRED);
}

/* ?since=, or what an EventSource sends by itself; the original prefers the first. 0: none, or no
 * number, as there. */
static uint64_t cursor_of(struct request *r)
{
	struct span text;
	uint64_t seq = 0;
	if (query_find(r->query, "since", &text) == 0)
		text = r->headers[HEADER_LAST_EVENT_ID];
	for (size_t i = 0; i < text.len && i < 17; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return 0;
		seq = seq * 10 + (text.at[i] - '0');
	}
	return text.len <= 17 ? seq : 0;
}

static void put_unavailable(struct sse_builder *b, const struct settings *s)
{
	sse_printf(b,
	           "event: unavailable\ndata: {\"error\":\"%s\",\"message\":\"No frame of this "
	           "feed is there for spectators (yet)\",\"emittedAt\":%" PRIu64 "}\n\n",
	           s->feeds_spectator_delay_ms > 0 ? "Delayed stream warming up"
	                                           : "Streaming mode not active",
	           clock_wall_ms());
}

/* Says so and ends: it will come back by itself. */
static void answer_unavailable(struct request *r, const struct header *headers, size_t count)
{
	struct sse_worker *w = worker_of(r);
	struct sse_builder *b = fanout_builder(w->fanout);
	sse_begin(b);
	sse_printf(b, "retry: %d\n\n", RETRY_MS);
	put_unavailable(b, w->settings);
	reply(r, 200, headers, count, span_of(b->at, b->len));
}

static void get_events(struct request *r, const struct asked *asked)
{
	struct sse_worker *w = worker_of(r);
	const struct header headers[] = {{"content-type", SPAN("text/event-stream; charset=utf-8")},
	                                 {"cache-control", SPAN("no-cache, no-transform")},
	                                 {"x-accel-buffering", SPAN("no")}};
	struct found last = {0}, first = {0};
	if (asked->stream != NULL)
		last = newest(w->store, asked->stream);
	if (r->method == METHOD_HEAD) {
		reply(r, 200, headers, 3, (struct span){0});
		free(last.text);
		return;
	}
	if (last.text == NULL) {
		answer_unavailable(r, headers, 3);
		return;
	}
	if (!request_hold_reader(r)) {
		free(last.text);
		return;
	}
	uint64_t seq = cursor_of(r), from = asked->stream->tail;
	struct sse_builder *b = fanout_builder(w->fanout);
	struct sse_frame frame = {0};
	const char *event = NULL;
	first = first_at(w->store, asked->stream, asked->stream->first);
	if (seq == 0)
		event = "state";
	else if (seq > last.seq || seq + 1 < first.seq)
		event = "reset";
	else if (seq < last.seq)
		from = place_behind(w->store, asked->stream, seq);
	sse_begin(b);
	sse_printf(b, "retry: %d\n\n", RETRY_MS);
	if (event != NULL)
		put_event(b, w, asked->stream, event, span_of(last.text, last.len), last.seq);
	sse_end(b, &frame);
	free(first.text);
	free(last.text);
	reply_start(r, 200, headers, 3, UINT64_MAX);
	struct live_reader *reader = fanout_join(w->fanout, request_sink(r), &view, NULL, 0,
	                                         fanout_lifetime_end(w->fanout));
	reading_bind(r, reader, judge);
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	fanout_add(reader, asked->stream, from);
}

/* ---- which ---- */

void streaming_handle(struct request *r)
{
	static const struct {
		const char *name;
		void (*get)(struct request *r, const struct asked *asked);
	} rows[] = {{"state", get_state},
	            {"state/events", get_events},
	            {"duel-context", get_context},
	            {"leaderboard", get_leaderboard},
	            {"leaderboard/details", get_details},
	            {"config", get_config},
	            {"rtmp/status", get_rtmp},
	            {"capture/status", get_capture},
	            {"metrics", get_metrics}};
	static const char agents[] = "agent/";
	struct span rest = span_of(r->path.at + ROOT_LEN, r->path.len - ROOT_LEN);
	struct asked asked;
	if (!admit(r, &asked))
		return;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(rest, span_str(rows[i].name))) {
			rows[i].get(r, &asked);
			return;
		}
	if (rest.len >= sizeof agents - 1 && memcmp(rest.at, agents, sizeof agents - 1) == 0)
		get_agent(r, &asked,
		          span_of(rest.at + sizeof agents - 1, rest.len - (sizeof agents - 1)));
	else
		refuse(r, 404, "Not found", "There is no such thing in the public's feed");
}

/* ?behind=SEQ: where reading the stream begins with the next frame. */
static void answer_place(struct request *r, const struct stream *stream, struct span behind)
{
	char offset[OFFSET_ROOM];
	uint64_t seq;
	if (!number_parse(behind, INT64_MAX, &seq)) {
		reply_error(r, 400, "behind is the seq of a frame");
		return;
	}
	uint64_t place = place_behind(worker_of(r)->store, stream, seq);
	struct span text = offset_print(stream->lineage, place, offset);
	answer(r, 200, json_pack("{s:s%}", "offset", text.at, text.len));
}

void streaming_newest(struct request *r, struct span feed)
{
	struct stream *stream = stream_of(r, feed);
	struct found found = {0};
	struct span behind;
	if (stream != NULL && query_find(r->query, "behind", &behind) != 0) {
		answer_place(r, stream, behind);
		return;
	}
	if (stream != NULL)
		found = newest(worker_of(r)->store, stream);
	if (found.text == NULL) {
		reply_error(r, 404, "no such feed, or spectators have not been told anything yet");
		return;
	}
	const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	reply(r, 200, headers, 2, span_of(found.text, found.len));
	free(found.text);
}
