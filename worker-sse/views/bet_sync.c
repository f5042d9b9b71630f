#include "worker-sse/views/bet_sync.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/quota.h"
#include "proto/roles.h"
#include "worker-sse/views/bet_sync_frame.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/worker.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/feed_newest.h"
#include "worker-sse/views/reading.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RETRY_MS = 2000,
	WINDOW_MS = 60000,
	SCAN_BYTES = 1 << 16, /* below this a search reads on instead of halving */
	PURPOSE_STATE = 1,
	PURPOSE_EVENTS,
	PURPOSE_CLIENTS,
	PURPOSE_ALL_CLIENTS,
};

/* Variants of a reader's frames: the version, and a flag. */
enum { VARIANT_VERSION = 3, VARIANT_PREVIOUS_TOKEN = 4 };

/* ---- answers ---- */

static const char legacy_prefix[] = "/api/streaming/betting/";

static bool is_legacy(const struct request *r)
{
	return r->path.len > sizeof legacy_prefix - 1 &&
	       memcmp(r->path.at, legacy_prefix, sizeof legacy_prefix - 1) == 0;
}

struct answer {
	struct header headers[16];
	size_t count;
	char again[24], now[24], origin[ORIGIN_ROOM];
};

static void add(struct answer *a, const char *name, struct span value)
{
	check(a->count < sizeof a->headers / sizeof *a->headers);
	a->headers[a->count++] = (struct header){name, value};
}

/* What every answer carries: who may read it, and the time, for the offset of clocks. */
static void begin(struct answer *a, struct request *r, const char *type)
{
	const char *allowed = worker_of(r)->settings->bet_sync_allowed_origin;
	a->count = 0;
	request_bare_headers(r);
	add(a, "content-type", span_str(type));
	snprintf(a->now, sizeof a->now, "%" PRIu64, clock_wall_ms());
	add(a, "x-server-time", span_str(a->now));
	if (origin_read(span_str(allowed), a->origin)) {
		add(a, "access-control-allow-origin", span_str(a->origin));
		add(a, "access-control-expose-headers", SPAN("retry-after, x-server-time"));
		add(a, "vary", SPAN("origin"));
	}
	if (is_legacy(r)) { /* RFC 9745, RFC 8594; docs/bet-sync.md */
		bool state = span_equal(r->path, SPAN("/api/streaming/betting/bootstrap"));
		add(a, "deprecation", SPAN("@1795219200"));
		add(a, "sunset", SPAN("Sun, 21 Nov 2027 00:00:00 GMT"));
		add(a, "link",
		    state ? SPAN("</api/internal/bet-sync/state>; rel=\"successor-version\"")
		          : SPAN("</api/internal/bet-sync/events>; rel=\"successor-version\""));
	}
}

/* `more`: further members, each with a comma before it. */
static void refuse_with(struct request *r, unsigned status, const char *error, const char *message,
                        const char *more, uint64_t again_ms)
{
	struct answer a;
	char text[512];
	int len = snprintf(text, sizeof text, "{\"error\":\"%s\",\"message\":\"%s\"%s}", error,
	                   message, more);
	begin(&a, r, "application/json");
	add(&a, "cache-control", SPAN("no-store"));
	if (status == 401)
		add(&a, "www-authenticate", SPAN("Bearer realm=\"bet-sync\""));
	if (again_ms != 0) {
		snprintf(a.again, sizeof a.again, "%" PRIu64, (again_ms + 999) / 1000);
		add(&a, "retry-after", span_str(a.again));
	}
	counter_add(worker_of(r)->counters, bet_sync_refused_total, 1);
	reply(r, status, a.headers, a.count, span_of(text, (size_t)len));
}

static void refuse(struct request *r, unsigned status, const char *error, const char *message,
                   uint64_t again_ms)
{
	refuse_with(r, status, error, message, "", again_ms);
}

static void refuse_unconfigured(struct request *r)
{
	refuse_with(r, 503, "Service unavailable", "Betting feed auth token is not configured",
	            ",\"setting\":\"bet_sync.token\"", 60000);
}

/* ---- admission ---- */

static bool within_rate(struct request *r, unsigned purpose, uint64_t max)
{
	struct sse_worker *w = worker_of(r);
	uint8_t address[16];
	uint64_t again_ms;
	request_address(r, address);
	if (quota_take(&w->worker->counters->quota, quota_key(address, sizeof address, purpose),
	               w->wheel.now_ms, WINDOW_MS, (uint32_t)max, &again_ms))
		return true;
	refuse(r, 429, "Too many requests", "Rate limit exceeded, see Retry-After", again_ms);
	return false;
}

/* One exact origin or none; who sends no Origin is no browser. */
static bool origin_allowed(struct request *r)
{
	struct span origin = r->headers[HEADER_ORIGIN];
	const char *allowed = worker_of(r)->settings->bet_sync_allowed_origin;
	if (origin.at == NULL || origin_same(origin, span_str(allowed)))
		return true;
	refuse(r, 403, "Forbidden", "This origin may not read the betting feed", 0);
	return false;
}

enum { FEED_NAME_MAX = 64 };

/* As it was given, cut: no feed has a longer name. */
static void feed_name(struct request *r, char name[FEED_NAME_MAX + 1])
{
	struct span named;
	if (query_find(r->query, "feed", &named) == 0)
		named = span_str(worker_of(r)->settings->bet_sync_feed);
	size_t len = named.len < FEED_NAME_MAX ? named.len : FEED_NAME_MAX;
	memcpy(name, named.at, len);
	name[len] = '\0';
}

/* What the right to frames is about. */
static enum refusal refusal_of(const struct request *r, const char *name)
{
	char path[FEED_NAME_MAX + 16];
	int len = snprintf(path, sizeof path, "/v1/feeds/%.*s", FEED_NAME_MAX, name);
	return identities_refusal(r->edge->identities, r->identity, RIGHT(FRAMES),
	                          span_of(path, (size_t)len));
}

static bool authorized(struct request *r, uint64_t *expires_ms)
{
	char name[FEED_NAME_MAX + 1];
	feed_name(r, name);
	switch (refusal_of(r, name)) {
	case REFUSAL_NONE:
		*expires_ms = r->identity->expires_ms;
		return true;
	case REFUSAL_UNCONFIGURED:
		refuse_unconfigured(r);
		return false;
	case REFUSAL_PENDING:
	case REFUSAL_NO_KEYS:
		refuse(r, 503, "Service unavailable",
		       "The keys of this token's issuer are not to be had at the moment", 5000);
		return false;
	case REFUSAL_INVALID:
	case REFUSAL_MISSING:
	case REFUSAL_MALFORMED:
	case REFUSAL_UNKNOWN:
	case REFUSAL_EXPIRED:
	case REFUSAL_REVOKED:
	case REFUSAL_PASS:
	case REFUSAL_UNAVAILABLE:
	case REFUSAL_FORBIDDEN:
	case REFUSAL_LIVE:
	case REFUSAL_COUNT:
		break;
	}
	refuse(r, 401, "Unauthorized", "Missing or invalid betting feed token", 0);
	return false;
}

struct asked {
	struct stream *stream;
	unsigned version;    /* of the wire: 1 to 3 */
	uint64_t expires_ms; /* of the token, Unix ms; UINT64_MAX: never */
};

static bool find_feed(struct request *r, struct asked *asked)
{
	char name[FEED_NAME_MAX + 1], path[128];
	feed_name(r, name);
	int path_len = snprintf(path, sizeof path, "/v1/stream/feeds/%s/frames", name);
	if (strchr(name, '/') == NULL)
		asked->stream = state_find(store_view(worker_of(r)->store),
		                           span_of(path, (size_t)path_len));
	if (asked->stream != NULL && asked->stream->tail > 0)
		return true;
	refuse(r, 503, "Service unavailable", "Streaming mode not active", 5000);
	return false;
}

static bool find_version(struct request *r, struct asked *asked)
{
	struct span version;
	asked->version = (unsigned)worker_of(r)->settings->bet_sync_schema_version;
	if (query_find(r->query, "schemaVersion", &version) == 0)
		return true;
	bool good = version.len == 1 && *version.at >= '1' && *version.at <= '3';
	if (good)
		asked->version = *version.at - '0';
	else
		refuse(r, 400, "Bad request", "schemaVersion must be 1, 2 or 3", 0);
	return good;
}

static bool admit(struct request *r, struct asked *asked, unsigned purpose, uint64_t rate)
{
	*asked = (struct asked){0};
	return within_rate(r, purpose, rate) && origin_allowed(r) &&
	       authorized(r, &asked->expires_ms) && find_feed(r, asked) && find_version(r, asked);
}

/* ---- frames in the store ---- */

struct found {
	uint64_t starts_at, ends_at;
	uint64_t epoch, seq;
	bool present;
};

static bool take_first_message(void *arg, const struct store_message *message)
{
	struct found *found = arg;
	struct bet_sync_frame frame;
	if (!bet_sync_frame_read(&frame, message->bytes))
		return true;
	*found = (struct found){.starts_at = message->ends_at - message->bytes.len - 1,
	                        .ends_at = message->ends_at,
	                        .epoch = frame.epoch,
	                        .seq = frame.seq,
	                        .present = true};
	return false;
}

/* The first frame that begins at or behind `from`. */
static struct found first_at(struct store *store, const struct stream *stream, uint64_t from)
{
	struct found found = {0};
	if (from < stream->tail)
		store_scan(store, stream, from, stream->tail, SIZE_MAX, take_first_message, &found);
	return found;
}

/* Where the frame behind `seq` begins. Frames are in the order of their numbers: halving, then
 * reading. */
static uint64_t place_behind(struct store *store, const struct stream *stream, uint64_t seq)
{
	uint64_t low = stream->first, high = stream->tail;
	while (high - low > SCAN_BYTES) {
		struct found middle = first_at(store, stream, low + (high - low) / 2);
		if (middle.present && middle.seq <= seq)
			low = middle.ends_at;
		else
			high = low + (high - low) / 2;
	}
	for (struct found next; (next = first_at(store, stream, low)).present && next.seq <= seq;)
		low = next.ends_at;
	return low;
}

/* ---- state ---- */

/* The frame in the consumer's version, without its last '}'; its length. */
static size_t cut(const struct bet_sync_frame *frame, struct span text, unsigned version, char *out)
{
	if (version == 1)
		return bet_sync_frame_v1(frame, out);
	if (version == 3)
		return bet_sync_frame_v3(frame, out);
	memcpy(out, text.at, text.len - 1);
	return text.len - 1;
}

/* What can be asked for, and in version 2 the time. */
static size_t put_replay(char *out, size_t room, const struct asked *asked,
                         const struct bet_sync_frame *f, uint64_t oldest_seq)
{
	const struct stream *stream = asked->stream;
	int len = snprintf(out, room,
	                   ",\"replay\":{\"sourceEpoch\":%" PRIu64 ",\"latestSeq\":%" PRIu64
	                   ",\"oldestSeq\":%" PRIu64 ",\"bufferedFrames\":%" PRIu64
	                   ",\"bufferedBytes\":%" PRIu64 ",\"lastBroadcastSeq\":%" PRIu64 "}",
	                   f->epoch, f->seq, oldest_seq, f->seq - oldest_seq + 1,
	                   stream->tail - stream->first, f->seq);
	if (asked->version == 2)
		len += snprintf(out + len, room - (size_t)len, ",\"now\":%" PRIu64,
		                clock_wall_ms());
	return (size_t)len;
}

static void answer_state(struct request *r, const struct asked *asked,
                         const struct feed_frame *newest_frame)
{
	struct found oldest = first_at(worker_of(r)->store, asked->stream, asked->stream->first);
	const struct bet_sync_frame *f = &newest_frame->frame;
	size_t room = newest_frame->text.len + BET_SYNC_MORE + 512;
	char *body = xmalloc(room);
	size_t len = cut(f, newest_frame->text, asked->version, body);
	struct answer a;
	if (asked->version != 3) /* which has its members and no other */
		len += put_replay(body + len, room - len, asked, f, oldest.seq);
	body[len++] = '}';
	begin(&a, r, "application/json; charset=utf-8");
	add(&a, "cache-control", SPAN("no-store"));
	reply(r, 200, a.headers, a.count, span_of(body, len));
	free(body);
}

void bet_sync_state(struct request *r)
{
	struct asked asked;
	struct feed_frame newest;
	if (!admit(r, &asked, PURPOSE_STATE, worker_of(r)->settings->bet_sync_state_rate))
		return;
	if (feed_newest_read(worker_of(r)->store, asked.stream, &newest))
		answer_state(r, &asked, &newest);
	else
		refuse(r, 503, "Service unavailable", "The feed cannot be read", 5000);
	feed_frame_finish(&newest);
}

/* ---- events ---- */

static void put_event(struct sse_builder *b, const char *name, const struct bet_sync_frame *frame,
                      struct span text, unsigned version)
{
	if (version == 2)
		sse_printf(b, "id: %" PRIu64 "-%" PRIu64 "\nevent: %s\ndata: ", frame->epoch,
		           frame->seq, name);
	else
		sse_printf(b, "id: %" PRIu64 "\nevent: %s\ndata: ", frame->seq, name);
	sse_written(b, cut(frame, text, version, sse_room(b, text.len + BET_SYNC_MORE)));
	SSE_PUT(b, "}\n\n");
}

/* One message that is no frame must not end everybody's feed. */
static void pass_over(const struct frame_query *q, const struct store_message *message)
{
	struct sse_worker *w = q->context;
	uint64_t now_ms = w->wheel.now_ms;
	counter_add(w->counters, bet_sync_unreadable_total, 1);
	if (w->bet_sync_said_ms != 0 && now_ms - w->bet_sync_said_ms < WINDOW_MS)
		return;
	w->bet_sync_said_ms = now_ms;
	log_error("a message of the feed is no frame", "stream=%s ends_at=%" PRIu64,
	          q->stream->path, message->ends_at);
}

static bool put_message(void *arg, const struct store_message *message)
{
	const struct frame_query *q = arg;
	struct sse_builder *b = q->builder;
	struct bet_sync_frame frame;
	if (bet_sync_frame_read(&frame, message->bytes))
		put_event(b, "betting", &frame, message->bytes, q->variant & VARIANT_VERSION);
	else
		pass_over(q, message);
	return true;
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message,
	               (void *)(uintptr_t)q) != STORE_READ_OK)
		return false;
	sse_end(b, frame);
	return true;
}

/* For whoever cannot see comments, EventSource among them: that the feed lives, and what time it
 * is. */
static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct sse_builder *b = q->builder;
	uint64_t now_ms = clock_wall_ms();
	struct feed_frame last;
	(void)variant;
	if (!feed_newest_read(q->store, q->stream, &last)) {
		feed_frame_finish(&last);
		return false;
	}
	sse_begin(b);
	sse_comment(b, "hb %" PRIu64, now_ms);
	sse_printf(b,
	           "event: heartbeat\ndata: {\"sourceEpoch\":%" PRIu64 ",\"latestSeq\":%" PRIu64
	           ",\"now\":%" PRIu64 "}\n\n",
	           last.frame.epoch, last.frame.seq, now_ms);
	feed_frame_finish(&last);
	sse_end(b, frame);
	return true;
}

static const char *reason_of(enum fanout_end why, uint64_t variant)
{
	switch (why) {
	case FANOUT_END_TIME:
		return variant & VARIANT_PREVIOUS_TOKEN ? "token_or_lifetime_over"
		                                        : "lifetime_over";
	case FANOUT_END_DRAIN:
		return "draining";
	case FANOUT_END_TRIMMED:
		return "history_trimmed";
	case FANOUT_END_LAG:
		return "too_far_behind";
	case FANOUT_END_EXPIRED:
		return "token_or_lifetime_over";
	case FANOUT_END_CLOSED:
	case FANOUT_END_GONE:
	case FANOUT_END_RESUME:
		break;
	}
	return "feed_over";
}

static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	/* Who takes version 3 takes whatever has data for a frame. */
	if ((q->variant & VARIANT_VERSION) == 3)
		sse_comment(b, "bye %s", reason_of(why, q->variant));
	else
		sse_printf(b, "event: bye\ndata: {\"reason\":\"%s\",\"now\":%" PRIu64 "}\n\n",
		           reason_of(why, q->variant), clock_wall_ms());
	sse_end(b, frame);
	return true;
}

static uint64_t key_of_all(void)
{
	return quota_key("", 0, PURPOSE_ALL_CLIENTS);
}

/* Among those of its address, and among all. */
struct place {
	uint32_t own, all;
};

struct client {
	struct sse_worker *worker;
	struct place place;
};

static void client_left(void *owner)
{
	struct client *client = owner;
	struct sse_worker *w = client->worker;
	quota_release(&w->worker->counters->quota, client->place.own);
	quota_release(&w->worker->counters->quota, client->place.all);
	counter_add(w->counters, bet_sync_clients, -1);
	free(client);
}

static const struct fanout_view view = {.name = "bet-sync",
                                        .shared = true,
                                        .frame = build,
                                        .heartbeat = heartbeat,
                                        .farewell = farewell,
                                        .left = client_left};

/* Where a client begins, and what it is told first. */
struct start {
	uint64_t from;
	const char *event; /* of the newest frame; NULL: it is not sent by itself */
	const char *why;   /* of a reset */
};

/* Spec b.4, in its order; but what follows the oldest frame without a gap is replayed. */
static bool find_start(struct request *r, const struct asked *asked, const struct found *last,
                       struct start *start)
{
	struct span text = r->headers[HEADER_LAST_EVENT_ID], epoch;
	struct bet_sync_cursor cursor, named;
	const struct stream *stream = asked->stream;
	if (text.len == 0 && query_find(r->query, "since", &text) == 0)
		text = (struct span){0};
	enum bet_sync_cursor_result result = bet_sync_cursor_read(&cursor, text);
	bool foreign = result == BET_SYNC_CURSOR_PLACE && cursor.epoch != last->epoch;
	if (query_find(r->query, "epoch", &epoch) > 0) {
		if (bet_sync_cursor_read(&named, epoch) != BET_SYNC_CURSOR_SEQ)
			result = BET_SYNC_CURSOR_BAD;
		foreign = foreign || named.seq != last->epoch;
	}
	*start = (struct start){.from = stream->tail};
	if (result == BET_SYNC_CURSOR_BAD) {
		refuse(r, 400, "Bad request",
		       "The cursor (Last-Event-ID, or since, and epoch) must be a frame number, or "
		       "EPOCH-NUMBER",
		       0);
		return false;
	}
	struct found oldest = first_at(worker_of(r)->store, stream, stream->first);
	bool ahead = result != BET_SYNC_CURSOR_NONE && (foreign || cursor.seq > last->seq);
	if (ahead && cluster_follows(worker_of(r))) {
		cluster_hand_on(r); /* it may be there already */
		return false;
	}
	if (result == BET_SYNC_CURSOR_NONE || (cursor.seq == 0 && !foreign)) {
		start->event = "betting";
	} else if (foreign || cursor.seq > last->seq || cursor.seq + 1 < oldest.seq) {
		start->event = "reset";
		start->why = foreign                  ? "another source epoch"
		             : cursor.seq > last->seq ? "ahead"
		                                      : "trimmed";
	} else if (cursor.seq < last->seq) {
		start->from = place_behind(worker_of(r)->store, stream, cursor.seq);
	}
	return true;
}

/* Who comes back at once is not refused because of the connection it has left. */
static bool hold(struct sse_worker *w, uint64_t key, uint64_t max, uint32_t *place)
{
	struct quota *quota = &w->worker->counters->quota;
	uint32_t workers = counters_slots_of(w->worker->counters, ROLE_SSE), slot = w->worker->slot;
	*place = quota_hold(quota, key, slot, workers, (uint32_t)max);
	if (*place == QUOTA_USED_UP) {
		requests_drop_gone(&w->edge);
		*place = quota_hold(quota, key, slot, workers, (uint32_t)max);
	}
	return *place != QUOTA_USED_UP && *place != QUOTA_NO_PLACE;
}

static bool hold_place(struct request *r, struct place *place)
{
	struct sse_worker *w = worker_of(r);
	const struct settings *s = w->settings;
	uint8_t address[16];
	request_address(r, address);
	uint64_t key = quota_key(address, sizeof address, PURPOSE_CLIENTS);
	if (!hold(w, key_of_all(), s->bet_sync_clients, &place->all)) {
		refuse(r, 503, "Service unavailable", "Bet sync SSE capacity reached", 5000);
		return false;
	}
	if (!hold(w, key, s->bet_sync_clients_per_address, &place->own)) {
		quota_release(&w->worker->counters->quota, place->all);
		refuse(r, 429, "Too many requests", "Too many connections from this address", 5000);
		return false;
	}
	counter_add(w->counters, bet_sync_clients, 1);
	return true;
}

static uint64_t end_of(const struct sse_worker *w, uint64_t expires_ms)
{
	uint64_t lifetime_ms = w->settings->http_events_lifetime_ms, now_ms = clock_wall_ms();
	uint64_t left_ms = expires_ms > now_ms ? expires_ms - now_ms : 0;
	lifetime_ms += clock_random_below(lifetime_ms / 4 + 1);
	return w->wheel.now_ms +
	       (expires_ms != UINT64_MAX && left_ms < lifetime_ms ? left_ms : lifetime_ms);
}

static bool may_follow(void *arg, const struct stream *stream)
{
	static const char root[] = "/v1/stream/feeds/";
	size_t from = sizeof root - 1, len = strlen("/frames");
	char name[FEED_NAME_MAX + 1];
	if (stream->path_len < from + len)
		return false;
	snprintf(name, sizeof name, "%.*s", (int)(stream->path_len - from - len),
	         stream->path + from);
	return refusal_of(arg, name) == REFUSAL_NONE;
}

static void judge(struct request *r)
{
	if (!fanout_follows_only(r->feature, may_follow, r))
		fanout_leave(r->feature, FANOUT_END_EXPIRED);
}

static void join(struct request *r, const struct asked *asked, const struct start *start,
                 const struct place *place, const struct feed_frame *newest)
{
	struct sse_builder *b = fanout_builder(worker_of(r)->fanout);
	struct sse_worker *w = worker_of(r);
	struct client *client = xmalloc(sizeof *client);
	struct sse_frame frame = {0};
	struct answer a;
	*client = (struct client){w, *place};
	sse_begin(b);
	sse_printf(b, "retry: %d\n\n", RETRY_MS);
	if (start->why != NULL)
		sse_comment(b, "reset %s", start->why);
	if (start->event != NULL)
		put_event(b, start->event, &newest->frame, newest->text, asked->version);
	sse_end(b, &frame);
	begin(&a, r, "text/event-stream; charset=utf-8");
	add(&a, "cache-control", SPAN("no-cache, no-transform"));
	add(&a, "x-accel-buffering", SPAN("no"));
	reply_start(r, 200, a.headers, a.count, UINT64_MAX);
	uint64_t variant =
	        asked->version | (asked->expires_ms != UINT64_MAX ? VARIANT_PREVIOUS_TOKEN : 0);
	struct live_reader *reader = fanout_join(w->fanout, request_sink(r), &view, client, variant,
	                                         end_of(w, asked->expires_ms));
	reading_bind(r, reader, judge);
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	fanout_add(reader, asked->stream, start->from);
}

void bet_sync_events(struct request *r)
{
	struct asked asked;
	struct feed_frame newest;
	struct start start;
	struct place place;
	if (!admit(r, &asked, PURPOSE_EVENTS, worker_of(r)->settings->bet_sync_events_rate))
		return;
	if (!feed_newest_read(worker_of(r)->store, asked.stream, &newest)) {
		refuse(r, 503, "Service unavailable", "The feed cannot be read", 5000);
		feed_frame_finish(&newest);
		return;
	}
	const struct found last = {
	        .epoch = newest.frame.epoch, .seq = newest.frame.seq, .present = true};
	if (find_start(r, &asked, &last, &start)) {
		if (r->method == METHOD_HEAD) {
			struct answer a;
			begin(&a, r, "text/event-stream; charset=utf-8");
			reply(r, 200, a.headers, a.count, (struct span){0});
		} else if (hold_place(r, &place))
			join(r, &asked, &start, &place, &newest);
	}
	feed_frame_finish(&newest);
}

void bet_sync_preflight(struct request *r)
{
	struct answer a;
	if (!within_rate(r, PURPOSE_EVENTS, worker_of(r)->settings->bet_sync_events_rate) ||
	    !origin_allowed(r))
		return;
	begin(&a, r, "text/plain");
	add(&a, "access-control-allow-methods", SPAN("GET, HEAD"));
	add(&a, "access-control-allow-headers", SPAN("authorization, last-event-id"));
	add(&a, "access-control-max-age", SPAN("600"));
	reply(r, 204, a.headers, a.count, (struct span){0});
}

void bet_sync_start(struct sse_worker *w)
{
	counter_set(w->counters, bet_sync_clients, 0);
	if (*w->settings->bet_sync_token == '\0' && w->worker->slot == 0)
		log_warn("bet-sync feed closed", "why=\"no token is set: bet_sync.token\"");
}
