#include "worker-bridge/feed_standings.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/store/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_ROOM = 400,
	STEP_FRAMES = 64, /* counted in one transaction */
	STEP_BYTES = 1 << 18,
	STEP_ROWS = 256, /* removed in one transaction */
	LISTS_MAX = 64,  /* that wait for those who read later */
};

#define STAGE_NAME(NAME, text) text,
static const char *const stages[] = {FEED_STANDINGS_STAGES(STAGE_NAME)};
#undef STAGE_NAME

#define FIELD(name, member) RECORD_MEMBER(name, struct feed_standings, member)
static const struct record_field head_fields[] = {
        {RECORD_ENUM("stage", struct feed_standings, stage, stages), RECORD_NEEDED},
        {FIELD("seq", seq), RECORD_NEEDED},
        {FIELD("position", position), RECORD_NEEDED},
        {FIELD("duels", duels), RECORD_NEEDED},
};
#undef FIELD
#define FIELD(name, member) RECORD_MEMBER(name, struct standing, member)
static const struct record_field one_fields[] = {
        {FIELD("id", id), RECORD_NEEDED},
        {FIELD("name", name)},
        {FIELD("provider", provider)},
        {FIELD("model", model)},
        {FIELD("combatLevel", combat_level)},
        {FIELD("wins", wins), RECORD_NEEDED},
        {FIELD("losses", losses), RECORD_NEEDED},
        {FIELD("draws", draws), RECORD_NEEDED},
        {FIELD("streak", streak)},
        {FIELD("lastEndTime", last_end_ms)},
};
#undef FIELD
#define FIELD(name, member) RECORD_MEMBER(name, struct standing_pair, member)
static const struct record_field pair_fields[] = {
        {FIELD("firstWins", first_wins), RECORD_NEEDED},
        {FIELD("secondWins", second_wins), RECORD_NEEDED},
        {FIELD("draws", draws), RECORD_NEEDED},
        {FIELD("lastEndTime", last_end_ms)},
};
#undef FIELD
static const struct record head_record = {RECORD_FIELDS(head_fields)};
static const struct record one_record = {RECORD_FIELDS(one_fields)};
static const struct record pair_record = {RECORD_FIELDS(pair_fields)};

const char *feed_standings_stage_name(enum feed_standings_stage stage)
{
	return stage == FEED_STANDINGS_LOST ? "unreadable" : stages[stage];
}

void feed_standings_init(struct feed_standings *f, const char *feed, const char *results)
{
	*f = (struct feed_standings){.feed = feed, .results = results};
}

void feed_standings_forget(struct feed_standings *f)
{
	standings_destroy(&f->table);
	free(f->head);
	f->head = NULL;
}

/* "standings/FEED/KIND/NAME"; no NAME: the prefix of all, no KIND: of the feed's. */
static void key_of(const struct feed_standings *f, const char *kind, const char *name,
                   char key[KEY_ROOM])
{
	int len = snprintf(key, KEY_ROOM, "standings/%s/%s%s%s", f->feed, kind,
	                   *kind != '\0' ? "/" : "", name);
	check(len < KEY_ROOM);
}

static void head_key(const struct feed_standings *f, char key[KEY_ROOM])
{
	key_of(f, "", "head", key);
}

/* ---- writing ---- */

static void put_head(struct feed_standings *f, struct rows *rows)
{
	char key[KEY_ROOM];
	json_t *row = json_object();
	record_write(&head_record, f, row);
	head_key(f, key);
	free(f->head);
	f->head = json_dumps(row, JSON_COMPACT);
	check(f->head != NULL);
	rows_put(rows, key, span_str(f->head));
	json_decref(row);
}

static void put_row(const struct feed_standings *f, struct rows *rows, const char *kind,
                    const char *name, const struct record *record, const void *from)
{
	char key[KEY_ROOM];
	json_t *row = json_object();
	record_write(record, from, row);
	key_of(f, kind, name, key);
	rows_put_json(rows, key, row);
}

static void remove_row(const struct feed_standings *f, struct rows *rows, const char *kind,
                       const char *name)
{
	char key[KEY_ROOM];
	key_of(f, kind, name, key);
	rows_put(rows, key, (struct span){0});
}

static void count_end(struct feed_standings *f, struct rows *rows,
                      const struct duel_agent agents[2], int winner, uint64_t end_ms)
{
	struct standings_change change;
	standings_end(f->table, agents, winner, end_ms, &change);
	if (change.contestants[0] == NULL)
		return;
	f->duels++;
	for (size_t i = 0; i < 2; i++) {
		put_row(f, rows, "one", change.contestants[i]->id, &one_record,
		        change.contestants[i]);
		if (*change.gone[i] != '\0')
			remove_row(f, rows, "one", change.gone[i]);
	}
	put_row(f, rows, "pair", change.pair->key, &pair_record, change.pair);
	if (*change.gone_pair != '\0')
		remove_row(f, rows, "pair", change.gone_pair);
}

/* ---- lists ---- */

static json_t *list_one(const struct standing *s, size_t rank)
{
	uint64_t decided = s->wins + s->losses;
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:f,s:I,s:I}", "rank",
	                 (json_int_t)rank, "id", s->id, "name", s->name, "provider", s->provider,
	                 "model", s->model, "combatLevel", (json_int_t)s->combat_level, "wins",
	                 (json_int_t)s->wins, "losses", (json_int_t)s->losses, "draws",
	                 (json_int_t)s->draws, "winRate",
	                 decided != 0 ? (double)s->wins / (double)decided : 0, "streak",
	                 (json_int_t)s->streak, "lastEndTime", (json_int_t)s->last_end_ms);
}

struct lists {
	size_t count;
	struct {
		char seq[24];
		uint64_t at_ms;
	} lists[LISTS_MAX + 1]; /* the oldest first */
	size_t prefix_len;
};

/* What lists begin with. */
static const char list_begin[] = "{\"at\":";

static bool take_list(void *arg, struct span key, struct span value)
{
	struct lists *lists = arg;
	size_t len = key.len - lists->prefix_len;
	if (lists->count == LISTS_MAX || len >= sizeof lists->lists->seq)
		return false;
	memcpy(lists->lists[lists->count].seq, key.at + lists->prefix_len, len);
	if (value.len > sizeof list_begin &&
	    memcmp(value.at, list_begin, sizeof list_begin - 1) == 0)
		lists->lists[lists->count].at_ms =
		        strtoull((const char *)value.at + sizeof list_begin - 1, NULL, 10);
	lists->count++;
	return true;
}

/* Goes: what nobody needs any more who reads by `delay_ms` later. */
static void remove_lists(const struct feed_standings *f, const struct feed_standings_change *c)
{
	struct lists *lists = xcalloc(1, sizeof *lists);
	char key[KEY_ROOM];
	uint64_t delay_ms = c->settings->feeds_spectator_delay_ms;
	key_of(f, "list", "", key);
	lists->prefix_len = strlen(key);
	state_kv_page(store_view(c->store), span_str(key), (struct span){0}, take_list, lists);
	for (size_t i = 0; i < lists->count; i++) {
		/* The one behind it is old enough for everybody; of the last it is the new one. */
		bool old = i + 1 < lists->count ? lists->lists[i + 1].at_ms + delay_ms <= c->now_ms
		                                : delay_ms == 0;
		if (old || lists->count - i >= LISTS_MAX)
			remove_row(f, c->rows, "list", lists->lists[i].seq);
	}
	free(lists);
}

static void put_list(const struct feed_standings *f, const struct feed_standings_change *c,
                     uint64_t epoch, uint64_t at_ms)
{
	size_t max = c->settings->feeds_standings_listed;
	const struct standing **best = xcalloc(max, sizeof *best);
	size_t count = standings_best(f->table, best, max);
	json_t *all = json_array();
	char key[KEY_ROOM], seq[24];
	for (size_t i = 0; i < count; i++)
		json_array_append_new(all, list_one(best[i], i + 1));
	free(best);
	remove_lists(f, c);
	snprintf(seq, sizeof seq, "%020" PRIu64, f->seq);
	key_of(f, "list", seq, key);
	rows_put_json(c->rows, key,
	              json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:o}", "at", (json_int_t)at_ms, "feed",
	                        f->feed, "sourceEpoch", (json_int_t)epoch, "seq",
	                        (json_int_t)f->seq, "duels", (json_int_t)f->duels, "contestants",
	                        (json_int_t)standings_contestants(f->table), "standings", all));
}

/* ---- reading what is there ---- */

static const struct stream *results(const struct feed_standings *f, struct store *store)
{
	return state_find(store_view(store), span_str(f->results));
}

struct load {
	struct feed_standings *f;
	struct rows *rows;
	size_t prefix_len;
	char bad[KEY_ROOM]; /* the key of a row that cannot be read; "": none */
};

static bool bad_row(struct load *load, struct span key)
{
	snprintf(load->bad, sizeof load->bad, "%.*s", (int)key.len, (const char *)key.at);
	return false;
}

static bool load_one(void *arg, struct span key, struct span value)
{
	struct load *load = arg;
	struct standing standing = {0};
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	bool good = record_read(&one_record, row, &standing) == ROW_PRESENT;
	json_decref(row);
	if (!good)
		return bad_row(load, key);
	standings_take(load->f->table, &standing);
	return true;
}

static bool load_pair(void *arg, struct span key, struct span value)
{
	struct load *load = arg;
	struct standing_pair pair = {0};
	size_t len = key.len - load->prefix_len;
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	bool good = len < sizeof pair.key && record_read(&pair_record, row, &pair) == ROW_PRESENT;
	json_decref(row);
	if (!good)
		return bad_row(load, key);
	memcpy(pair.key, key.at + load->prefix_len, len);
	standings_take_pair(load->f->table, &pair);
	return true;
}

static void load_all(struct load *load, struct state *view, const char *kind,
                     bool (*visit)(void *arg, struct span key, struct span value))
{
	char prefix[KEY_ROOM];
	key_of(load->f, kind, "", prefix);
	load->prefix_len = strlen(prefix);
	if (*load->bad == '\0')
		state_kv_each(view, span_str(prefix), visit, load);
}

/* Is there a result that has not been looked at? */
struct newer {
	uint64_t seq;
	bool found;
};

static uint64_t seq_of(const json_t *frame)
{
	json_int_t seq = json_integer_value(json_object_get(frame, "seq"));
	return seq > 0 ? (uint64_t)seq : 0;
}

static bool look_newer(void *arg, const struct store_message *message)
{
	struct newer *newer = arg;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	newer->found = seq_of(frame) > newer->seq;
	json_decref(frame);
	return !newer->found;
}

static bool has_newer(const struct feed_standings *f, struct store *store)
{
	const struct stream *stream = results(f, store);
	struct newer newer = {.seq = f->seq};
	if (stream == NULL || stream->tail == 0)
		return false;
	uint64_t from = f->position > stream->first ? f->position : stream->first;
	if (from < stream->tail)
		store_scan(store, stream, from, stream->tail, SIZE_MAX, look_newer, &newer);
	return newer.found;
}

static bool read_head(struct feed_standings *f, struct rows *rows, const char *key)
{
	json_t *row;
	struct feed_standings read = *f;
	read.stage = FEED_STANDINGS_CURRENT;
	read.seq = read.position = read.duels = 0;
	enum row_found found = rows_json(rows, key, &row);
	if (found == ROW_PRESENT) {
		struct span text = rows_get(rows, key);
		found = record_read(&head_record, row, &read);
		if (found == ROW_PRESENT)
			read.head = xmemdup_text(text.at, text.len);
		else
			rows_mark(rows, key);
	}
	json_decref(row);
	*f = read;
	return found != ROW_UNREADABLE;
}

static void load_table(struct feed_standings *f, const struct feed_standings_change *c,
                       const char *key)
{
	struct load load = {.f = f, .rows = c->rows};
	struct state *view = store_view(c->store);
	feed_standings_forget(f);
	f->table = standings_create(c->settings->feeds_standings_contestants,
	                            c->settings->feeds_standings_pairs);
	if (!read_head(f, c->rows, key)) {
		f->stage = FEED_STANDINGS_LOST;
		return;
	}
	if (f->stage == FEED_STANDINGS_CLEARING)
		return;
	load_all(&load, view, "one", load_one);
	load_all(&load, view, "pair", load_pair);
	if (*load.bad != '\0') {
		rows_mark(c->rows, load.bad);
		f->stage = FEED_STANDINGS_LOST;
	} else if (f->stage == FEED_STANDINGS_CURRENT && has_newer(f, c->store)) {
		f->stage = FEED_STANDINGS_COUNTING;
		said_log(c->said, LOG_LEVEL_INFO, "standings are counted",
		         "feed=%s behind_frame=%" PRIu64, f->feed, f->seq);
	}
}

/* ---- counting what was not counted ---- */

struct step {
	struct feed_standings *f;
	const struct feed_standings_change *c;
	size_t frames;
	uint64_t epoch, at_ms;
};

static void take_text(const json_t *o, const char *name, char *into, size_t room)
{
	const char *text = json_string_value(json_object_get(o, name));
	snprintf(into, room, "%s", text != NULL ? text : "");
}

static void take_agent(const json_t *o, struct duel_agent *a)
{
	*a = (struct duel_agent){0};
	take_text(o, "id", a->id, sizeof a->id);
	take_text(o, "name", a->name, sizeof a->name);
	take_text(o, "provider", a->provider, sizeof a->provider);
	take_text(o, "model", a->model, sizeof a->model);
	a->combat_level = json_integer_value(json_object_get(o, "combatLevel"));
}

/* One that won or lost, or both drew; any other is passed over. */
static void count_frame(const struct step *step, const json_t *frame)
{
	struct duel_agent agents[2];
	const char *outcome = json_string_value(json_object_get(frame, "outcome"));
	const char *winner_id = json_string_value(json_object_get(frame, "winnerId"));
	bool win = outcome != NULL && strcmp(outcome, "win") == 0;
	bool draw = outcome != NULL && strcmp(outcome, "draw") == 0;
	take_agent(json_object_get(frame, "agent1"), &agents[0]);
	take_agent(json_object_get(frame, "agent2"), &agents[1]);
	int winner = -1;
	for (int i = 0; i < 2 && win && winner_id != NULL; i++)
		if (strcmp(agents[i].id, winner_id) == 0)
			winner = i;
	if ((!draw && winner < 0) || *agents[0].id == '\0' || *agents[1].id == '\0')
		return;
	count_end(step->f, step->c->rows, agents, winner, step->at_ms);
}

static bool step_frame(void *arg, const struct store_message *message)
{
	struct step *step = arg;
	struct feed_standings *f = step->f;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	uint64_t seq = seq_of(frame);
	if (seq > f->seq) {
		step->epoch = (uint64_t)json_integer_value(json_object_get(frame, "sourceEpoch"));
		step->at_ms = (uint64_t)json_integer_value(json_object_get(frame, "emittedAt"));
		count_frame(step, frame);
		f->seq = seq;
	}
	json_decref(frame);
	f->position = message->ends_at;
	return ++step->frames < STEP_FRAMES;
}

static bool count_some(struct feed_standings *f, const struct feed_standings_change *c)
{
	const struct stream *stream = results(f, c->store);
	struct step step = {.f = f, .c = c};
	uint64_t tail = stream != NULL ? stream->tail : 0;
	if (stream != NULL && f->position < stream->first)
		f->position = stream->first; /* retention has the rest */
	if (f->position < tail && store_scan(c->store, stream, f->position, tail, STEP_BYTES,
	                                     step_frame, &step) != STORE_READ_OK) {
		said_log(c->said, LOG_LEVEL_ERROR, "results not readable", "feed=%s at=%" PRIu64,
		         f->feed, f->position);
		if (step.frames == 0)
			return false;
	}
	if (f->position >= tail) {
		f->stage = FEED_STANDINGS_CURRENT;
		if (f->duels > 0)
			put_list(f, c, step.epoch, step.at_ms);
		said_log(c->said, LOG_LEVEL_INFO, "standings are counted", "feed=%s duels=%" PRIu64,
		         f->feed, f->duels);
	}
	put_head(f, c->rows);
	return true;
}

struct clearing {
	const char *head;
	size_t count;
	char keys[STEP_ROWS][KEY_ROOM];
};

static bool clear_row(void *arg, struct span key, struct span value)
{
	struct clearing *clearing = arg;
	(void)value;
	if (span_equal(key, span_str(clearing->head)))
		return true;
	snprintf(clearing->keys[clearing->count++], KEY_ROOM, "%.*s", (int)key.len,
	         (const char *)key.at);
	return clearing->count < STEP_ROWS;
}

static bool clear_some(struct feed_standings *f, const struct feed_standings_change *c)
{
	char prefix[KEY_ROOM], head[KEY_ROOM];
	struct clearing *clearing = xcalloc(1, sizeof *clearing);
	clearing->head = head;
	key_of(f, "", "", prefix);
	head_key(f, head);
	state_kv_page(store_view(c->store), span_str(prefix), (struct span){0}, clear_row,
	              clearing);
	for (size_t i = 0; i < clearing->count; i++)
		rows_put(c->rows, clearing->keys[i], (struct span){0});
	if (clearing->count < STEP_ROWS)
		f->stage = FEED_STANDINGS_COUNTING;
	free(clearing);
	put_head(f, c->rows);
	return true;
}

bool feed_standings_turn(struct feed_standings *f, const struct feed_standings_change *c)
{
	char key[KEY_ROOM];
	head_key(f, key);
	struct span row = rows_get(c->rows, key);
	bool same = f->head != NULL ? span_equal(row, span_str(f->head)) : row.at == NULL;
	if (f->table == NULL || !same)
		load_table(f, c, key);
	switch (f->stage) {
	case FEED_STANDINGS_CLEARING:
		return clear_some(f, c);
	case FEED_STANDINGS_COUNTING:
		return count_some(f, c);
	case FEED_STANDINGS_CURRENT:
	case FEED_STANDINGS_LOST:
		break;
	}
	return false;
}

/* ---- as it happens ---- */

void feed_standings_end(struct feed_standings *f, const struct feed_standings_change *c,
                        const struct duel *duel, uint64_t epoch, uint64_t seq, uint64_t emitted_ms)
{
	const struct stream *stream = results(f, c->store);
	if (f->stage != FEED_STANDINGS_CURRENT)
		return; /* it is counted when its turn comes */
	f->seq = seq;
	f->position = stream != NULL ? stream->tail : 0;
	if (duel->outcome == DUEL_OUTCOME_WIN || duel->outcome == DUEL_OUTCOME_DRAW) {
		count_end(f, c->rows, duel->agents, duel->winner, emitted_ms);
		put_list(f, c, epoch, emitted_ms);
	}
	put_head(f, c->rows);
}

void feed_standings_fill(const struct feed_standings *f, struct duel *duel)
{
	for (size_t i = 0; i < 2 && f->stage == FEED_STANDINGS_CURRENT && f->table != NULL; i++)
		standings_of(f->table, duel->agents[i].id, duel->agents[!i].id, &duel->counts[i]);
}

bool feed_standings_recount(struct feed_standings *f, const struct feed_standings_change *c)
{
	if (f->stage == FEED_STANDINGS_LOST)
		return false;
	standings_destroy(&f->table);
	f->table = standings_create(c->settings->feeds_standings_contestants,
	                            c->settings->feeds_standings_pairs);
	f->stage = FEED_STANDINGS_CLEARING;
	f->seq = f->position = f->duels = 0;
	put_head(f, c->rows);
	return true;
}
