#include "worker-bridge/spectator.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/store/record.h"
#include "worker-bridge/market_late.h"
#include "worker-bridge/spectator_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_ROOM = FEED_NAME_MAX + 48,
	TXN_BYTES_MAX = 1 << 18,
	SCAN_BYTES = 1 << 18,
	TRIES_MAX = 50,
	PAUSE_MS = 1000,
	LOOK_MS_MAX = 1000, /* the wall clock may be set */
};

struct place {
	uint64_t position;
};
static const struct record_field fields[] = {
        {RECORD_MEMBER("position", struct place, position), RECORD_NEEDED},
};
static const struct record record = {RECORD_FIELDS(fields)};

/* What of a feed is told, and as what. Only its frames are, where there is no delay, for of the
 * rest spectators may see what others do. */
static const struct kind {
	const char *name, *told;
	const char *time;  /* the member that says when it was */
	bool frames;       /* told as spectators have them */
	bool from_newest;  /* begins there; else at the beginning */
	bool tells_market; /* the last of each duel is a row (market_late.h) */
} kinds[] = {
        {.name = "frames", .told = "", .time = "emittedAt", .frames = true, .from_newest = true},
        {.name = "results", .told = "/results", .time = "emittedAt", .frames = true},
        {.name = "odds", .told = "/odds", .time = "at", .tells_market = true},
        {.name = "bets", .told = "/bets", .time = "at"},
        {.name = "attestations", .told = "/attestations", .time = "at"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct spectator {
	struct actor actor; /* first; the row is its */
	struct spectators *all;
	const struct kind *kind;
	char feed[FEED_NAME_MAX + 1];
	char key[NAME_ROOM], frames[NAME_ROOM], told[NAME_ROOM];
	uint64_t seen;          /* positions: as the store has it, at the last look; ... */
	uint64_t next;          /* ... behind what the decision under way tells */
	uint64_t waits_for;     /* the end of what waits for its time; 0: nothing does */
	uint64_t waits_from_ms; /* monotonic: since when it was seen to wait */
	uint64_t wait_ms;       /* until its time */
	bool waits;             /* for its timer, whatever comes */
	uv_timer_t timer;
};

struct spectators {
	struct worker *worker;
	struct store *store;
	bool draining;
	size_t count;
	struct spectator all[FEEDS_MAX * KINDS];
};

static void look(struct spectator *s);

static void on_timer(uv_timer_t *timer)
{
	look(timer->data);
}

/* ---- what is due ---- */

/* One decision in the making. */
struct telling {
	struct spectator *s;
	struct txn *txn;
	struct rows *rows;
	uint64_t now_ms, delay_ms;
	bool any;
};

/* 0: it is due; else how long not. */
static uint64_t left_ms(struct telling *t, uint64_t emitted_ms, uint64_t ends_at)
{
	struct spectator *s = t->s;
	uint64_t monotonic_ms = clock_monotonic_ms();
	if (t->now_ms >= emitted_ms + t->delay_ms)
		return 0;
	if (s->waits_for != ends_at) {
		s->waits_for = ends_at;
		s->waits_from_ms = monotonic_ms;
	}
	uint64_t waited_ms = monotonic_ms - s->waits_from_ms;
	if (waited_ms >= t->delay_ms)
		return 0; /* by a clock that was set back since it would never be */
	uint64_t wall_ms = emitted_ms + t->delay_ms - t->now_ms;
	return wall_ms < t->delay_ms - waited_ms ? wall_ms : t->delay_ms - waited_ms;
}

/* How the market of this duel stands, as long as there is one. */
static void note_market(struct telling *t, const json_t *line, struct span text)
{
	const char *duel_id = json_string_value(json_object_get(line, "duelId"));
	char key[MARKET_LATE_KEY_ROOM];
	struct market *none = NULL;
	struct span row;
	if (duel_id == NULL || strlen(duel_id) >= sizeof none->duel_id)
		return;
	market_key(t->s->feed, duel_id, key);
	if (!state_kv_get(store_view(t->s->all->store), span_str(key), &row))
		return;
	market_late_key(t->s->feed, duel_id, key);
	rows_put(t->rows, key, text);
}

static void tell_one(struct telling *t, const json_t *one, struct span bytes)
{
	struct spectator *s = t->s;
	char *text = s->kind->frames ? spectator_frame_text(one) : NULL;
	txn_publish(t->txn, s->told, text != NULL ? span_str(text) : bytes);
	if (s->kind->tells_market)
		note_market(t, one, bytes);
	free(text);
}

static bool tell(void *arg, const struct store_message *message)
{
	struct telling *t = arg;
	struct spectator *s = t->s;
	json_t *one = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	const json_t *time = json_object_get(one, s->kind->time);
	uint64_t at_ms = (uint64_t)json_integer_value(time);
	bool good = json_is_integer(time);
	s->wait_ms = good ? left_ms(t, at_ms, message->ends_at) : 0;
	if (s->wait_ms == 0) {
		if (good)
			tell_one(t, one, message->bytes);
		else
			log_error("not told to spectators", "stream=%s ends_at=%" PRIu64, s->frames,
			          message->ends_at);
		s->next = message->ends_at;
		s->waits_for = 0;
		t->any = true;
	}
	json_decref(one);
	return s->wait_ms == 0 && txn_bytes(t->txn) + rows_bytes(t->rows) < TXN_BYTES_MAX;
}

/* Where it goes on. */
static enum row_found read_place(struct spectator *s, struct rows *rows,
                                 const struct stream *stream, uint64_t *position)
{
	json_t *row;
	struct place place = {0};
	enum row_found found = rows_json(rows, s->key, &row);
	if (found == ROW_PRESENT) {
		found = record_read(&record, row, &place);
		if (found == ROW_UNREADABLE)
			rows_mark(rows, s->key);
	}
	json_decref(row);
	*position = found == ROW_PRESENT   ? place.position
	            : s->kind->from_newest ? stream->last_start
	                                   : stream->first;
	if (*position < stream->first)
		*position = stream->first;
	return found;
}

static bool is_told(const struct spectator *s)
{
	return s->kind == kinds || s->all->worker->settings.newest->feeds_spectator_delay_ms != 0;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct spectator *s = (struct spectator *)actor;
	struct store *store = s->all->store;
	const struct stream *stream = state_find(store_view(store), span_str(s->frames));
	struct telling telling = {
	        .s = s,
	        .txn = change->txn,
	        .rows = change->rows,
	        .now_ms = clock_wall_ms(),
	        .delay_ms = s->all->worker->settings.newest->feeds_spectator_delay_ms};
	s->wait_ms = 0;
	if (stream == NULL || stream->tail == 0 || !is_told(s))
		return ACTOR_REST;
	enum row_found found = read_place(s, change->rows, stream, &s->next);
	if (found == ROW_UNREADABLE)
		return ACTOR_STOP;
	telling.any = found == ROW_ABSENT; /* where it began is kept before the first is due */
	s->seen = s->next;
	if (s->next < stream->tail && store_scan(store, stream, s->next, stream->tail, SCAN_BYTES,
	                                         tell, &telling) != STORE_READ_OK)
		log_error("frames not readable", "stream=%s at=%" PRIu64, s->frames, s->next);
	if (!telling.any)
		return ACTOR_REST;
	const struct place place = {s->next};
	json_t *row = json_object();
	record_write(&record, &place, row);
	rows_put_json(change->rows, s->key, row);
	return ACTOR_WRITE;
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct spectator *s = (struct spectator *)actor;
	uint64_t wait_ms = s->wait_ms != 0 && s->wait_ms < LOOK_MS_MAX ? s->wait_ms : LOOK_MS_MAX;
	if (s->all->draining)
		return;
	switch (end) {
	case ACTOR_DURABLE:
		s->seen = s->next;
		look(s);
		return;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		log_error("frames not told to spectators", "stream=%s verdict=%s", s->told,
		          verdict_name(actor->verdict));
		break;
	case ACTOR_RESTED:
	case ACTOR_STOPPED:
		break;
	}
	s->waits = end != ACTOR_RESTED || s->wait_ms != 0;
	uv_timer_start(&s->timer, on_timer, wait_ms, 0);
}

static const struct actor_type spectator_type = {
        .decide = decide, .end = on_end, .tries_max = TRIES_MAX, .pause_ms = PAUSE_MS};

static void look(struct spectator *s)
{
	s->waits = false;
	if (!s->all->draining && !actor_turn(&s->actor))
		uv_timer_start(&s->timer, on_timer, LOOK_MS_MAX, 0);
}

/* ---- life ---- */

static void spectator_init(struct spectators *all, struct spectator *s, const struct kind *kind,
                           const char *feed)
{
	s->all = all;
	s->kind = kind;
	snprintf(s->feed, sizeof s->feed, "%s", feed);
	actor_init(&s->actor, &spectator_type, all->store, all->worker->mine);
	snprintf(s->key, sizeof s->key, "spectator/%s%s", feed, kind->told);
	snprintf(s->frames, sizeof s->frames, "/v1/stream/feeds/%s/%s", feed, kind->name);
	snprintf(s->told, sizeof s->told, "/v1/stream/feeds/%s/spectator%s", feed, kind->told);
	uv_timer_init(all->worker->loop, &s->timer);
	s->timer.data = s;
}

struct spectators *spectators_create(struct worker *worker, struct store *store)
{
	struct feed_name names[FEEDS_MAX];
	struct spectators *all = xcalloc(1, sizeof *all);
	int count = feed_names(worker->settings.newest, names);
	all->worker = worker;
	all->store = store;
	check(count >= 0); /* the feeds were made of the same names */
	for (; all->count < (size_t)count * KINDS; all->count++)
		spectator_init(all, &all->all[all->count], &kinds[all->count % KINDS],
		               names[all->count / KINDS].name);
	return all;
}

void spectators_turn(struct spectators *all)
{
	struct store *store = all->store;
	if (all->draining || store_position(store) < store_durable(store))
		return;
	for (size_t i = 0; i < all->count; i++) {
		struct spectator *s = &all->all[i];
		const struct stream *stream =
		        is_told(s) && !s->waits && !actor_busy(&s->actor)
		                ? state_find(store_view(store), span_str(s->frames))
		                : NULL;
		if (stream != NULL && stream->tail > s->seen)
			look(s);
	}
}

bool spectators_drain(struct spectators *all)
{
	bool idle = true;
	all->draining = true;
	for (size_t i = 0; i < all->count; i++) {
		uv_timer_stop(&all->all[i].timer);
		idle = !actor_busy(&all->all[i].actor) && idle;
	}
	return idle;
}
