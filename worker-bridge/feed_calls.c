/* What games and people ask of feeds and duels over HTTP. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/js_text.h"
#include "common/base/json_take.h"
#include "worker-bridge/duel_record.h"
#include "worker-bridge/inbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SOURCE_ROOT_LEN = sizeof "/v1/source/" - 1 };

/* The duel in the words and types of its frames, and when it and its phase began. */
static json_t *describe_duel(const struct feed *feed)
{
	const struct duel *d = &feed->state.cycle.duel;
	struct feed_frame *frame = feed->house->scratch;
	const struct feed_frame_health none = {.reason = "-"};
	const struct feed_frame_place place = {.feed = "-", .seq = 1};
	if (!d->present)
		return json_null();
	feed_frame_build(frame, d, d->outcome != DUEL_OUTCOME_NONE, &none, &place);
	json_t *duel = json_take(span_of(frame->text, frame->len), JSON_ALLOW_NUL, NULL, NULL);
	static const char *const others[] = {"schemaVersion", "feed",          "sourceEpoch",
	                                     "seq",           "emittedAt",     "previousSeq",
	                                     "terminal",      "rendererHealth"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		json_object_del(duel, others[i]);
	json_object_set_new(duel, "cycleStartTime", json_integer((json_int_t)d->cycle_start_ms));
	json_object_set_new(duel, "phaseStartTime", json_integer((json_int_t)d->phase_start_ms));
	return duel;
}

static json_t *describe(const struct feed *feed)
{
	const struct feed_state *s = &feed->state;
	json_t *whole = json_pack(
	        "{s:s,s:s,s:I,s:I,s:I,s:b,s:o,s:I,s:I,s:o}", "feed", feed->place.name, "mode",
	        s->cycle.scheduled ? "scheduled" : "source", "sourceEpoch",
	        (json_int_t)s->source_epoch, "sourceSeq", (json_int_t)s->source_seq, "seq",
	        (json_int_t)s->seq, "rendererReady", s->ready, "rendererReason",
	        *s->reason != '\0' ? json_string(s->reason) : json_null(), "now",
	        (json_int_t)clock_wall_ms(), "sourceSilenceMs",
	        (json_int_t)s->cycle.times.silence_ms, "sourceHeardAt",
	        feed->heard_ms != 0 ? json_integer((json_int_t)feed->heard_ms) : json_null());
	json_t *record = duel_record(&s->cycle);
	json_object_update(whole, record);
	json_object_set_new(whole, "duel", describe_duel(feed));
	json_object_set_new(whole, "standings",
	                    json_pack("{s:s,s:I}", "stage",
	                              feed_standings_stage_name(feed->standings.stage), "duels",
	                              (json_int_t)feed->standings.duels));
	json_decref(record);
	json_t *next = json_object_get(whole, "next");
	json_object_del(json_object_get(next, "agent1"), "said"); /* the row's own */
	json_object_del(json_object_get(next, "agent2"), "said");
	return whole;
}

/* A scene's numbers are its game's: they are written as the frames have them. Takes over `body`. */
static void reply_js(struct call *call, json_t *body)
{
	char *text = js_text(body);
	json_decref(body);
	call_reply_bytes(call, 200, "application/json", span_str(text));
	free(text);
}

static void show_schema(struct call *call, struct span name)
{
	const struct fact_schema_text *schema = NULL;
	if (name.len == 0)
		schema = fact_schema_text(name);
	else if (name.len > 5 && memcmp(name.at + name.len - 5, ".json", 5) == 0)
		schema = fact_schema_text(span_of(name.at, name.len - 5));
	if (schema == NULL) {
		call_refuse(call, 404, "no such schema");
		return;
	}
	call_header(call, "etag", schema->etag);
	call_header(call, "cache-control", "no-cache");
	call_reply_bytes(call, 200, "application/json", span_str(schema->json));
}

/* The same for every spelling of the same JSON. */
static void digest_of(struct span kind, const json_t *body, char digest[FEED_DIGEST_ROOM])
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
	check(text != NULL);
	XXH3_state_t *hash = XXH3_createState();
	check(hash != NULL);
	XXH3_128bits_reset(hash);
	XXH3_128bits_update(hash, kind.at, kind.len);
	XXH3_128bits_update(hash, text, strlen(text));
	XXH128_hash_t sum = XXH3_128bits_digest(hash);
	XXH3_freeState(hash);
	free(text);
	snprintf(digest, FEED_DIGEST_ROOM, "%016" PRIx64 "%016" PRIx64, sum.high64, sum.low64);
}

static void take_post(struct feed *feed, struct span kind, struct call *call)
{
	static const unsigned statuses[] = {[FACT_OK] = 200,
	                                    [FACT_UNKNOWN] = 404,
	                                    [FACT_MALFORMED] = 400,
	                                    [FACT_UNSUITABLE] = 422};
	char reason[160];
	feed_hear(feed);
	if (!span_equal_nocase(span_of(call->content_type.at,
	                               call->content_type.len < 16 ? call->content_type.len : 16),
	                       SPAN("application/json"))) {
		call_refuse(call, 415, "Content-Type must be application/json");
		return;
	}
	json_t *body = call_json_with(call, "scene");
	if (body == NULL)
		return;
	struct post *post = xcalloc(1, sizeof *post);
	post->call = call;
	enum fact_result result = fact_read(&post->facts, kind, body, reason);
	digest_of(kind, body, post->digest);
	json_decref(body);
	if (result != FACT_OK) {
		post_refuse(post, statuses[result], reason);
		post_answer(post, feed->house->counters);
		return;
	}
	feed_take(feed, post);
}

static void refuse_not_loaded(const struct feed *feed, struct call *call)
{
	if (!feed->unreadable)
		call_header(call, "Retry-After", "1");
	call_refuse(call, 503,
	            feed->unreadable ? feed_unreadable
	                             : "the store is still being read; try again");
}

void feeds_on_call(struct call *call)
{
	struct feeds *feeds = ((struct bridge *)call->context)->feeds;
	struct span rest =
	        span_of(call->path.at + SOURCE_ROOT_LEN, call->path.len - SOURCE_ROOT_LEN);
	const uint8_t *slash = memchr(rest.at, '/', rest.len);
	struct span name = span_of(rest.at, slash != NULL ? (size_t)(slash - rest.at) : rest.len);
	struct span kind =
	        slash != NULL ? span_of(slash + 1, rest.len - name.len - 1) : (struct span){0};
	struct feed *feed = feeds_find(feeds, name);
	if (span_equal(name, SPAN("schemas")) && call->method == CALL_GET)
		show_schema(call, kind);
	else if (feed == NULL)
		call_refuse(call, 404, "no such feed: see feeds.scheduled and feeds.source_driven");
	else if (!feed->loaded)
		refuse_not_loaded(feed, call);
	else if (call->method == CALL_GET && kind.len == 0)
		reply_js(call, describe(feed));
	else if (call->method == CALL_POST && kind.len != 0)
		take_post(feed, kind, call);
	else
		call_refuse_method(call, kind.len == 0 ? CALL_METHOD(GET) : CALL_METHOD(POST),
		                   "GET /v1/source/FEED or POST /v1/source/FEED/KIND");
}

/* ---- the house ---- */

static void abort_duel(struct feed *feed, struct call *call)
{
	const char *reason = NULL, *duel = NULL;
	json_error_t error;
	json_t *body = call_json(call);
	if (body == NULL)
		return;
	struct duel_fact *fact = xcalloc(1, sizeof *fact);
	fact->kind = DUEL_FACT_ABORT;
	duel_id(&feed->state.cycle.duel, fact->duel_id);
	bool good = json_unpack_ex(body, &error, JSON_STRICT, "{s:s,s?s}", "reason", &reason,
	                           "duelId", &duel) == 0;
	bool fits = good && fact_token_valid(reason);
	if (fits)
		snprintf(fact->reason, sizeof fact->reason, "%s", reason);
	if (fits && duel != NULL)
		snprintf(fact->duel_id, sizeof fact->duel_id, "%s", duel);
	json_decref(body);
	if (!fits) {
		free(fact);
		call_refuse(
		        call, good ? 422 : 400,
		        "a reason is one word of a-z, 0-9 and _.:-, 128 bytes at most (the body: "
		        "{reason, duelId?})");
		return;
	}
	struct post *post = xcalloc(1, sizeof *post);
	post->call = call;
	post->facts.count = 1;
	post->facts.facts = fact;
	feed_take(feed, post);
}

static void recount_duels(struct feed *feed, struct call *call)
{
	struct post *post = xcalloc(1, sizeof *post);
	post->call = call;
	post->recount = true;
	feed_take(feed, post);
}

static void list_duels(struct feeds *feeds, struct call *call)
{
	json_t *list = json_array();
	const struct feed *feed;
	for (size_t i = 0; (feed = feeds_at(feeds, i)) != NULL; i++) {
		if (feed->loaded)
			json_array_append_new(list, describe(feed));
		if (feed->unreadable)
			json_array_append_new(list, json_pack("{s:s,s:b}", "feed", feed->place.name,
			                                      "unreadable", 1));
	}
	reply_js(call, json_pack("{s:o}", "feeds", list));
}

static bool ends_with(struct span text, struct span end)
{
	return text.len > end.len && memcmp(text.at + text.len - end.len, end.at, end.len) == 0;
}

void feeds_on_duels_call(struct call *call)
{
	static const char root[] = "/v1/duels";
	static const struct {
		const char *name;
		void (*act)(struct feed *feed, struct call *call);
	} verbs[] = {{"/abort", abort_duel}, {"/recount", recount_duels}};
	struct bridge *bridge = call->context;
	struct span rest =
	        span_of(call->path.at + sizeof root - 1, call->path.len - sizeof root + 1);
	void (*act)(struct feed * feed, struct call * call) = NULL;
	if (rest.len == 0) {
		list_duels(bridge->feeds, call);
		return;
	}
	rest = span_of(rest.at + 1, rest.len - 1);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs && act == NULL; i++)
		if (ends_with(rest, span_str(verbs[i].name))) {
			act = verbs[i].act;
			rest.len -= strlen(verbs[i].name);
		}
	/* Who may is said before what there is: the answer is the same before a feed has loaded. */
	if (act != NULL && call->method == CALL_POST && !bridge_house(call))
		return;
	struct feed *feed = feeds_find(bridge->feeds, rest);
	if (feed == NULL)
		call_refuse(call, 404, "no such feed");
	else if (!feed->loaded)
		refuse_not_loaded(feed, call);
	else if (act == NULL && call->method == CALL_GET)
		reply_js(call, describe(feed));
	else if (act == NULL || call->method != CALL_POST)
		call_refuse_method(call, act != NULL ? CALL_METHOD(POST) : CALL_METHOD(GET),
		                   "GET /v1/duels/FEED, POST /v1/duels/FEED/abort or .../recount");
	else
		act(feed, call);
}
