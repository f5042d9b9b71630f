#include "common/domain/connection.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/store/record.h"

#include <stdio.h>
#include <stdlib.h>

/* Of generations and revisions, which begin with the time: tens of thousands of years away. */
#define NUMBER_MAX (1ull << 50)

/* Of a stream that is not there any more, whichever it was. */
#define LINEAGE_GONE ((uint64_t)INT64_MAX)

/* ---- ids ---- */

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool connection_cid_read(struct span text, char out[CONNECTION_CID_ROOM])
{
	static const char shape[] = "cid-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	if (text.len != CONNECTION_CID_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = lower(text.at[i]);
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (shape[i] == 'x' ? !hex : c != (uint8_t)shape[i])
			return false;
		out[i] = (char)c;
	}
	out[text.len] = '\0';
	return true;
}

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void connection_cid_bytes(const char *cid, uint8_t out[CONNECTION_ID_BYTES])
{
	const char *at = cid + 4;
	for (size_t i = 0; i < CONNECTION_ID_BYTES; i++, at += 2) {
		if (*at == '-')
			at++;
		out[i] = (uint8_t)(nibble(at[0]) << 4 | nibble(at[1]));
	}
}

void connection_cid_print(const uint8_t id[CONNECTION_ID_BYTES], char out[CONNECTION_CID_ROOM])
{
	char hex[2 * CONNECTION_ID_BYTES + 1];
	hex_print(id, CONNECTION_ID_BYTES, hex);
	snprintf(out, CONNECTION_CID_ROOM, "cid-%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	         hex + 16, hex + 20);
}

void connection_cid_make(const uint8_t random[16], char out[CONNECTION_CID_ROOM])
{
	uint8_t r[CONNECTION_ID_BYTES];
	memcpy(r, random, sizeof r);
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	connection_cid_print(r, out);
}

struct span connection_key(const char *cid, char out[CONNECTION_KEY_ROOM])
{
	int len = snprintf(out, CONNECTION_KEY_ROOM, CONNECTION_KEY "%s", cid);
	check(len > 0 && len < CONNECTION_KEY_ROOM);
	return span_of(out, (size_t)len);
}

bool connection_key_cid(struct span key, char out[CONNECTION_CID_ROOM])
{
	const size_t head = sizeof CONNECTION_KEY - 1;
	return key.len == head + CONNECTION_CID_LEN && memcmp(key.at, CONNECTION_KEY, head) == 0 &&
	       connection_cid_read(span_of(key.at + head, CONNECTION_CID_LEN), out) &&
	       memcmp(out, key.at + head, CONNECTION_CID_LEN) == 0;
}

/* ---- the row ---- */

#define FIELD(name, member) RECORD_MEMBER(name, struct connection, member)
static const struct record_field fields[] = {
        {FIELD("cid", cid), RECORD_NEEDED},
        {FIELD("subject", subject), .sparse = true},
        {FIELD("generation", generation), RECORD_NEEDED, .min = 1, .max = INT64_MAX},
        {FIELD("slot", slot), RECORD_NEEDED},
        {FIELD("worker", worker), RECORD_NEEDED},
        {FIELD("open", open), .sparse = true},
        {FIELD("suspended", suspended), .sparse = true},
        {FIELD("dueMs", due_ms), .sparse = true},
        {FIELD("openedMs", opened_ms)},
        {FIELD("revision", revision), RECORD_NEEDED, .min = 1, .max = INT64_MAX},
        {FIELD("stated", stated), .sparse = true},
        {FIELD("switched", switched), .sparse = true},
        {FIELD("active", active), .sparse = true},
        {FIELD("takeovers", takeovers), .sparse = true},
        {FIELD("takeoversMs", takeovers_ms), .sparse = true},
        {.name = "watches", .kind = RECORD_ARRAY, RECORD_NEEDED},
        {.name = "before", .kind = RECORD_ARRAY},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)};

#define FIELD(name, member) RECORD_MEMBER(name, struct connection_watch, member)
static const struct record_field watch_fields[] = {
        {FIELD("id", id), RECORD_NEEDED},
        {FIELD("from", from), RECORD_NEEDED},
        {FIELD("since", since), RECORD_NEEDED},
        {FIELD("lineage", lineage), .sparse = true},
};
#undef FIELD
static const struct record watch_record = {RECORD_FIELDS(watch_fields)};

static void forget_before(struct connection *c)
{
	free(c->before);
	c->before = NULL;
	c->before_count = 0;
}

void connection_finish(struct connection *c)
{
	free(c->watches);
	c->watches = NULL;
	c->count = 0;
	forget_before(c);
}

/* NULL: there are none. */
static bool read_watches(struct connection_watch **watches, size_t *count, const json_t *array)
{
	size_t i;
	json_t *watch;
	if (json_array_size(array) > CONNECTION_WATCHES_MAX)
		return false;
	if (array == NULL)
		return true;
	*watches = xcalloc(json_array_size(array) + 1, sizeof **watches);
	json_array_foreach (array, i, watch) {
		struct connection_watch *into = &(*watches)[(*count)++];
		if (record_read(&watch_record, watch, into) != ROW_PRESENT ||
		    !conversation_id_good(span_str(into->id)))
			return false;
	}
	return true;
}

enum row_found connection_read(struct connection *connection, struct span value)
{
	struct connection c = {0};
	char cid[CONNECTION_CID_ROOM];
	json_t *json = json_loadb((const char *)value.at, value.len, JSON_REJECT_DUPLICATES, NULL);
	bool good = record_read(&record, json, &c) == ROW_PRESENT &&
	            connection_cid_read(span_str(c.cid), cid) && strcmp(c.cid, cid) == 0 &&
	            read_watches(&c.watches, &c.count, json_object_get(json, "watches")) &&
	            read_watches(&c.before, &c.before_count, json_object_get(json, "before"));
	json_decref(json);
	if (!good) {
		connection_finish(&c);
		return ROW_UNREADABLE;
	}
	*connection = c;
	return ROW_PRESENT;
}

static json_t *watches_json(const struct connection_watch *watches, size_t count)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *watch = json_object();
		record_write(&watch_record, &watches[i], watch);
		json_array_append_new(array, watch);
	}
	return array;
}

char *connection_text(const struct connection *c)
{
	json_t *json = json_object();
	record_write(&record, c, json);
	json_object_set_new(json, "watches", watches_json(c->watches, c->count));
	if (c->before_count > 0)
		json_object_set_new(json, "before", watches_json(c->before, c->before_count));
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	json_decref(json);
	return text;
}

static struct connection_watch *find(struct connection *c, const char *id)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->watches[i].id, id) == 0)
			return &c->watches[i];
	return NULL;
}

const struct connection_watch *connection_find(const struct connection *c, const char *id)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->watches[i].id, id) == 0)
			return &c->watches[i];
	return NULL;
}

uint64_t connection_lineage(const struct connection *c, const char *id)
{
	const struct connection_watch *w = connection_find(c, id);
	for (size_t i = 0; w == NULL && i < c->before_count; i++)
		if (strcmp(c->before[i].id, id) == 0)
			w = &c->before[i];
	return w != NULL ? w->lineage : 0;
}

static void drop_watch(struct connection *c, struct connection_watch *w)
{
	c->revision++;
	if (strcmp(c->active, w->id) == 0)
		*c->active = '\0';
	c->count--;
	memmove(w, w + 1, (size_t)(c->watches + c->count - w) * sizeof *w);
}

bool connection_is_of(const struct connection *c, const char *principal, struct span former)
{
	const size_t len = CONNECTION_SUBJECT_ROOM - 1;
	bool is = strcmp(c->subject, principal) == 0;
	for (size_t i = 0; strlen(c->subject) == len && i + len <= former.len; i += len)
		is |= memcmp(c->subject, former.at + i, len) == 0;
	return is;
}

/* ---- opening ---- */

static uint64_t highest(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Above every one before it, also of a row of this name that has expired: that has begun with its
 * time, and no generation comes oftener than once in a millisecond for long. */
static uint64_t next_number(uint64_t number, uint64_t now_ms)
{
	return highest(number + 1, now_ms);
}

static bool is_contested(const struct connection *c, const struct connection_opening *o)
{
	return o->now_ms < c->takeovers_ms + o->takeovers_window_ms &&
	       c->takeovers >= o->takeovers_max;
}

static void count_takeover(struct connection *c, const struct connection_opening *o)
{
	if (c->takeovers == 0 || o->now_ms >= c->takeovers_ms + o->takeovers_window_ms ||
	    o->now_ms < c->takeovers_ms) {
		c->takeovers = 0;
		c->takeovers_ms = o->now_ms;
	}
	c->takeovers++;
}

static bool is_placed(const struct connection_opening *o, const char *id)
{
	for (size_t i = 0; i < o->places_count; i++)
		if (strcmp(o->places[i].id, id) == 0)
			return true;
	return false;
}

/* What was watched then and has no place in the position was told as not watched; unless its place
 * may be one of those that are gone: the client counts in what is not there any more. */
static void leave_unplaced(struct connection *c, const struct connection_opening *o)
{
	for (size_t i = c->count; i-- > 0;) {
		struct connection_watch *w = &c->watches[i];
		if (o->revision < w->since || is_placed(o, w->id))
			continue;
		if (o->whole)
			drop_watch(c, w);
		else
			w->lineage = LINEAGE_GONE;
	}
}

static void take_place(struct connection_watch *w, const struct connection_watch *place)
{
	bool other = w->lineage != 0 && place->lineage != 0 && w->lineage != place->lineage;
	w->from = other ? place->from : highest(w->from, place->from);
	if (place->lineage != 0)
		w->lineage = place->lineage;
}

/* What is watched stays; where the client says that it stands is believed, if it says so of this
 * watch. */
static void resume(struct connection *c, const struct connection_opening *o)
{
	forget_before(c);
	if (o->revision < NUMBER_MAX)
		leave_unplaced(c, o);
	for (size_t i = 0; i < o->places_count; i++) {
		struct connection_watch *w = find(c, o->places[i].id);
		if (w != NULL && o->revision >= w->since)
			take_place(w, &o->places[i]);
	}
}

/* A stream that has nothing: what was watched is not, and is remembered until the client states
 * what it has. */
static void begin_with_nothing(struct connection *c)
{
	c->revision++;
	*c->active = '\0';
	if (c->count == 0)
		return;
	forget_before(c);
	c->before = c->watches;
	c->before_count = c->count;
	c->watches = NULL;
	c->count = 0;
}

static void set_watches(struct connection *c, const struct connection_watch *set, size_t count)
{
	struct connection_watch *watches = xcalloc(count + 1, sizeof *watches);
	if (count > 0)
		memcpy(watches, set, count * sizeof *watches);
	free(c->watches);
	c->watches = watches;
	c->count = count;
}

/* Of a row that is not there any more: what the client says is what there is. No position has a
 * revision that high: it was made up, and says nothing. */
static void begin(struct connection *c, const struct connection_opening *o)
{
	bool known = o->resumes && o->revision < NUMBER_MAX;
	*c = (struct connection){.revision = next_number(known ? o->revision : 0, o->now_ms)};
	snprintf(c->cid, sizeof c->cid, "%s", o->cid);
	snprintf(c->subject, sizeof c->subject, "%s", o->subject);
	set_watches(c, o->places, o->resumes ? o->places_count : 0);
	for (size_t i = 0; i < c->count; i++)
		c->watches[i].since = c->revision;
}

enum connection_verdict connection_open(struct connection *c, bool there,
                                        const struct connection_opening *o, bool *took_over)
{
	*took_over = there && c->open;
	if (*took_over && is_contested(c, o))
		return CONNECTION_CONTESTED;
	if (!there)
		begin(c, o);
	else if (o->resumes)
		resume(c, o);
	if (*took_over)
		count_takeover(c, o);
	if (there && !o->resumes)
		begin_with_nothing(c);
	c->generation = next_number(c->generation, o->now_ms);
	c->slot = o->slot;
	c->worker = o->worker;
	c->open = true;
	c->suspended = false;
	c->due_ms = 0;
	c->opened_ms = o->now_ms;
	return CONNECTION_DONE;
}

/* ---- the end ---- */

enum connection_verdict connection_close(struct connection *c, uint64_t generation, uint64_t now_ms,
                                         uint64_t wait_ms, uint64_t suspended_ms)
{
	if (c->generation != generation || !c->open)
		return CONNECTION_STALE;
	c->open = false;
	c->due_ms = now_ms + (c->suspended ? suspended_ms : wait_ms);
	return CONNECTION_DONE;
}

enum connection_verdict connection_lose(struct connection *c, uint32_t slot, uint64_t worker,
                                        uint64_t now_ms, uint64_t wait_ms)
{
	if (c->slot != slot || c->worker != worker)
		return CONNECTION_STALE;
	return connection_close(c, c->generation, now_ms, wait_ms, wait_ms);
}

enum connection_verdict connection_hold(struct connection *c, uint64_t generation)
{
	if (c->generation != generation)
		return CONNECTION_STALE;
	if (c->open)
		return CONNECTION_SAME;
	c->open = true;
	c->due_ms = 0;
	return CONNECTION_DONE;
}

enum connection_verdict connection_expire(const struct connection *c, uint64_t generation,
                                          uint64_t now_ms)
{
	if (c->generation != generation || c->open)
		return CONNECTION_STALE;
	return now_ms < c->due_ms ? CONNECTION_EARLY : CONNECTION_DONE;
}

/* ---- what is watched ---- */

/* Of a watch that is said again. More is believed: the client has it. Less is a watch that begins
 * anew, for what it was handed since then it does not have. */
static bool restate(struct connection_watch *w, uint64_t from, uint64_t revision)
{
	if (from == w->from)
		return false;
	if (from < w->from)
		w->since = revision;
	w->from = from;
	return true;
}

enum connection_verdict connection_watch_one(struct connection *c, const char *id, bool stated,
                                             uint64_t from, size_t max)
{
	struct connection_watch *w = find(c, id);
	c->suspended = false;
	if (w != NULL) {
		if (!stated || !restate(w, from, c->revision + 1))
			return CONNECTION_SAME;
		c->revision++;
		return CONNECTION_DONE;
	}
	if (c->count >= max || c->count >= CONNECTION_WATCHES_MAX)
		return CONNECTION_FULL;
	c->revision++;
	c->watches = xrealloc(c->watches, (c->count + 1) * sizeof *c->watches);
	w = &c->watches[c->count++];
	*w = (struct connection_watch){.from = from, .since = c->revision};
	snprintf(w->id, sizeof w->id, "%s", id);
	return CONNECTION_DONE;
}

enum connection_verdict connection_unwatch(struct connection *c, const char *id)
{
	struct connection_watch *w = find(c, id);
	if (w == NULL)
		return CONNECTION_SAME;
	drop_watch(c, w);
	return CONNECTION_DONE;
}

void connection_count_in(struct connection *c, const char *id, uint64_t lineage)
{
	struct connection_watch *w = find(c, id);
	if (w != NULL)
		w->lineage = lineage;
}

void connection_leave_other(struct connection *c, const char *id, uint64_t lineage)
{
	struct connection_watch *w = find(c, id);
	if (w != NULL && w->lineage != 0 && w->lineage != lineage)
		drop_watch(c, w);
}

static bool count_anew(struct connection_watch *w, const struct connection_watch *told)
{
	if (w->lineage == told->lineage)
		return false;
	if (w->lineage != 0)
		w->from = told->from;
	w->lineage = told->lineage;
	return true;
}

enum connection_verdict connection_told(struct connection *c, uint64_t generation,
                                        const struct connection_watch *told, size_t count)
{
	enum connection_verdict verdict = CONNECTION_SAME;
	if (c->generation != generation)
		return CONNECTION_STALE;
	for (size_t i = 0; i < count; i++) {
		struct connection_watch *w = find(c, told[i].id);
		if (w == NULL || w->since != told[i].since)
			continue;
		if (told[i].lineage == 0)
			drop_watch(c, w);
		else if (!count_anew(w, &told[i]))
			continue;
		verdict = CONNECTION_DONE;
	}
	return verdict;
}

enum connection_verdict connection_state(struct connection *c, const struct connection_watch *set,
                                         size_t count, size_t max)
{
	struct connection next = {0};
	if (count > max || count > CONNECTION_WATCHES_MAX)
		return CONNECTION_FULL;
	c->revision++;
	c->stated = c->revision;
	c->suspended = false;
	set_watches(&next, set, count);
	for (size_t i = 0; i < count; i++) {
		const struct connection_watch *known = find(c, set[i].id);
		next.watches[i].since = c->revision;
		if (known == NULL)
			continue;
		next.watches[i] = *known;
		next.watches[i].lineage = set[i].lineage;
		restate(&next.watches[i], set[i].from, c->revision);
	}
	if (find(&next, c->active) == NULL)
		*c->active = '\0';
	forget_before(c);
	free(c->watches);
	c->watches = next.watches;
	c->count = count;
	return CONNECTION_DONE;
}

enum connection_verdict connection_switch(struct connection *c, const char *id, bool stated,
                                          uint64_t from, size_t max)
{
	char before[CONVERSATION_ID_ROOM];
	memcpy(before, c->active, sizeof before);
	bool leaves = *before != '\0' && (id == NULL || strcmp(before, id) != 0);
	if (id != NULL && find(c, id) == NULL && c->count - leaves >= max)
		return CONNECTION_FULL;
	if (leaves)
		connection_unwatch(c, before);
	if (id != NULL && connection_watch_one(c, id, stated, from, max) == CONNECTION_FULL)
		return CONNECTION_FULL;
	snprintf(c->active, sizeof c->active, "%s", id != NULL ? id : "");
	c->suspended = false;
	c->revision++;
	c->switched = c->revision;
	return CONNECTION_DONE;
}

enum connection_verdict connection_suspend(struct connection *c,
                                           const struct connection_watch *places, size_t count,
                                           uint64_t now_ms, uint64_t suspended_ms)
{
	for (size_t i = 0; i < count; i++) {
		struct connection_watch *w = find(c, places[i].id);
		if (w != NULL)
			w->from = highest(w->from, places[i].from);
	}
	c->suspended = true;
	if (!c->open)
		c->due_ms = now_ms + suspended_ms;
	return CONNECTION_DONE;
}

bool connection_moves(const struct connection_watch *w, uint64_t since, uint64_t position)
{
	return w->since != since || w->from > position;
}
