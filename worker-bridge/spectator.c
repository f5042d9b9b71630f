#include "worker-bridge/spectator.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/store/record.h"
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

struct spectator {
	struct actor actor; /* first; the row is its */
	struct spectators *all;
	char key[NAME_ROOM], frames[NAME_ROOM], told[NAME_ROOM];
	uint64_t seen;          /* positions: as the store has it, at the last look; ... */
	uint64_t next;          /* ... behind what the decision under way tells */
	uint64_t waits_seq;     /* the frame whose time has not come; 0: none */
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
	struct spectator all[FEEDS_MAX];
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
	uint64_t now_ms, delay_ms;
	bool any;
};

/* 0: it is due; else how long not. */
static uint64_t left_ms(struct telling *t, uint64_t emitted_ms, uint64_t seq)
{
	struct spectator *s = t->s;
	uint64_t monotonic_ms = clock_monotonic_ms();
	if (t->now_ms >= emitted_ms + t->delay_ms)
		return 0;
	if (s->waits_seq != seq) {
		s->waits_seq = seq;
		s->waits_from_ms = monotonic_ms;
	}
	uint64_t waited_ms = monotonic_ms - s->waits_from_ms;
	if (waited_ms >= t->delay_ms)
		return 0; /* by a clock that was set back since it would never be */
	uint64_t wall_ms = emitted_ms + t->delay_ms - t->now_ms;
	return wall_ms < t->delay_ms - waited_ms ? wall_ms : t->delay_ms - waited_ms;
}

static bool tell(void *arg, const struct store_message *message)
{
	struct telling *t = arg;
	struct spectator *s = t->s;
	uint64_t emitted_ms, seq;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	bool good = frame != NULL && spectator_frame_place(frame, &emitted_ms, &seq);
	s->wait_ms = good ? left_ms(t, emitted_ms, seq) : 0;
	if (s->wait_ms == 0) {
		if (good) {
			char *text = spectator_frame_text(frame);
			txn_publish(t->txn, s->told, span_str(text));
			free(text);
		} else
			log_error("frame not told to spectators", "stream=%s ends_at=%" PRIu64,
			          s->frames, message->ends_at);
		s->next = message->ends_at;
		s->waits_seq = 0;
		t->any = true;
	}
	json_decref(frame);
	return s->wait_ms == 0 && txn_bytes(t->txn) < TXN_BYTES_MAX;
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
	*position = found == ROW_PRESENT ? place.position : stream->last_start;
	if (*position < stream->first)
		*position = stream->first;
	return found;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct spectator *s = (struct spectator *)actor;
	struct store *store = s->all->store;
	const struct stream *stream = state_find(store_view(store), span_str(s->frames));
	struct telling telling = {
	        .s = s,
	        .txn = change->txn,
	        .now_ms = clock_wall_ms(),
	        .delay_ms = s->all->worker->settings.newest->feeds_spectator_delay_ms};
	s->wait_ms = 0;
	if (stream == NULL || stream->tail == 0)
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

static void spectator_init(struct spectators *all, struct spectator *s, const char *feed)
{
	s->all = all;
	actor_init(&s->actor, &spectator_type, all->store, all->worker->mine);
	snprintf(s->key, sizeof s->key, "spectator/%s", feed);
	snprintf(s->frames, sizeof s->frames, "/v1/stream/feeds/%s/frames", feed);
	snprintf(s->told, sizeof s->told, "/v1/stream/feeds/%s/spectator", feed);
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
	for (; all->count < (size_t)count; all->count++)
		spectator_init(all, &all->all[all->count], names[all->count].name);
	return all;
}

void spectators_turn(struct spectators *all)
{
	struct store *store = all->store;
	if (all->draining || store_position(store) < store_durable(store))
		return;
	for (size_t i = 0; i < all->count; i++) {
		struct spectator *s = &all->all[i];
		const struct stream *stream = state_find(store_view(store), span_str(s->frames));
		if (stream != NULL && stream->tail > s->seen && !s->waits && !actor_busy(&s->actor))
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
