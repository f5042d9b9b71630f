#include "worker-bridge/fact.h"
#include "common/base/check.h"
#include "common/base/js_text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum type {
	INTEGER, /* min to max */
	NUMBER,  /* min to max */
	TEXT,    /* min to max bytes */
	ID,      /* of a contestant */
	TOKEN,   /* a reason */
	UUID,
	HEX64,   /* 64 lower-case hexadecimal digits */
	DECIMAL, /* text: an unsigned 64-bit number */
	PHASE,
	OUTCOME,
	WIN_REASON,
	POINT, /* three finite numbers */
	AGENT,
	IDS,       /* one or two contestants */
	OBJECT,    /* any, at most max bytes as compact JSON */
	CANONICAL, /* the same, as canonical JSON */
	FACTS,     /* batch */
};

struct member {
	const char *name;
	enum type type;
	bool required;
	double min, max;
	const char *help;
};

/* Of a contestant (duel_agent.h): what begins a duel with, and what may change in it. */
#define AGENT_ID(name, needed, min, max, help)     {name, ID, needed, 0, 0, help},
#define AGENT_TEXT(name, needed, min, max, help)   {name, TEXT, needed, min, max, help},
#define AGENT_NUMBER(name, needed, min, max, help) {name, NUMBER, needed, min, max, help},
#define AGENT_TALLY(name, needed, min, max, help)
#define AGENT_COUNT(name, needed, min, max, help) {name, INTEGER, needed, min, max, help},
#define AGENT_RANK(name, needed, min, max, help)  {name, INTEGER, needed, min, max, help},
#define AGENT_MEMBER(kind, member, name, needed, min, max, help)                                   \
	AGENT_##kind(name, needed, min, max, help)
static const struct member agent_members[] = {DUEL_AGENT(AGENT_MEMBER)};

#define CHANGE_ID(name, min, max, help)
#define CHANGE_TEXT(name, min, max, help)
#define CHANGE_NUMBER(name, min, max, help) {name, NUMBER, false, min, max, help},
#define CHANGE_TALLY(name, min, max, help)
#define CHANGE_COUNT(name, min, max, help) {name, INTEGER, false, min, max, ""},
#define CHANGE_RANK(name, min, max, help)  {name, INTEGER, false, min, max, ""},

#define AGENT_CHANGE(kind, member, name, needed, min, max, help) CHANGE_##kind(name, min, max, help)

#define DUEL_MEMBER                                                                                \
	{                                                                                          \
		"duelId", TEXT, true, 1, 63, "The duel this is about; another one is a conflict."  \
	}
#define DETAIL_MEMBER                                                                              \
	{                                                                                          \
		"detail", TOKEN, false, 0, 0, "The game's own word for it, as checkmate."          \
	}

static const struct member cycle_members[] = {
        {"agent1", AGENT, true, 0, 0, "The contestant of side A."},
        {"agent2", AGENT, true, 0, 0, "The contestant of side B."},
        {"cycleId", UUID, false, 0, 0, "Made by Ringside when not given."},
        {"announcementMs", INTEGER, false, 1000, 86400000,
         "How long bets are open; else duel.announcement."},
        {"competitiveSnapshot", CANONICAL, false, 0, DUEL_SNAPSHOT_MAX,
         "What they fight with (loadouts and the like), the same until the duel is over."},
};
static const struct member phase_members[] = {
        DUEL_MEMBER,
        {"phase", PHASE, true, 0, 0, "Where the duel is now."},
        {"fightStartTime", INTEGER, false, 1, 1e15,
         "With COUNTDOWN: when the fight is planned, Unix ms."},
};
static const struct member positions_members[] = {
        DUEL_MEMBER,
        {"agent1", POINT, true, -1e9, 1e9, "x, y, z"},
        {"agent2", POINT, true, -1e9, 1e9, "x, y, z; another spot than agent1's"},
};
static const struct member damage_members[] = {
        DUEL_MEMBER,
        {"attackerId", ID, true, 0, 0, "Who dealt it."},
        {"amount", NUMBER, true, 0, 1e9, "Added to the damage dealt, taken from the target's hp."},
        {"targetHp", NUMBER, false, 0, DUEL_NUMBER_MAX,
         "The target's hp after it, where that is not hp - amount."},
};
static const struct member contestant_members[] = {
        DUEL_MEMBER, {"id", ID, true, 0, 0, "Which contestant."}, DUEL_AGENT(AGENT_CHANGE)};
static const struct member death_members[] = {
        DUEL_MEMBER,
        {"ids", IDS, true, 0, 0, "Who died; both at once when two are named."},
        DETAIL_MEMBER,
};
static const struct member forfeit_members[] = {
        DUEL_MEMBER,
        {"id", ID, true, 0, 0, "Who gave up or left."},
        DETAIL_MEMBER,
};
static const struct member result_members[] = {
        DUEL_MEMBER,
        {"outcome", OUTCOME, true, 0, 0, "How it ended."},
        {"winnerId", ID, false, 0, 0, "With outcome win only."},
        {"winReason", WIN_REASON, false, 0, 0, "kill when not given."},
        DETAIL_MEMBER,
        {"seed", DECIMAL, false, 0, 0, "Made by Ringside when not given."},
        {"replayHash", HEX64, false, 0, 0, "Made by Ringside when not given."},
};
static const struct member abort_members[] = {
        DUEL_MEMBER,
        {"reason", TOKEN, true, 0, 0, "Why the duel is cancelled."},
};
static const struct member scene_members[] = {
        DUEL_MEMBER,
        {"scene", OBJECT, true, 0, DUEL_SCENE_MAX,
         "The game's own picture of itself, for its pages."},
};
static const struct member alive_members[] = {
        {"duelId", TEXT, false, 1, 63, "The duel that goes on; it need not be said."},
};
static const struct member batch_members[] = {
        {"facts", FACTS, true, 1, FACTS_MAX, "All take effect, in this order, or none."},
};

#define KIND(text, NAME, members)                                                                  \
	{                                                                                          \
		text, DUEL_FACT_##NAME, members, sizeof members / sizeof *members                  \
	}
enum { BATCH = 1000 };
static const struct kind {
	const char *name;
	unsigned kind;
	const struct member *members;
	size_t count;
} kinds[] = {
        KIND("cycle", CYCLE, cycle_members),
        KIND("phase", PHASE, phase_members),
        KIND("positions", POSITIONS, positions_members),
        KIND("damage", DAMAGE, damage_members),
        KIND("contestant", CONTESTANT, contestant_members),
        KIND("death", DEATH, death_members),
        KIND("forfeit", FORFEIT, forfeit_members),
        KIND("result", RESULT, result_members),
        KIND("abort", ABORT, abort_members),
        KIND("scene", SCENE, scene_members),
        KIND("alive", ALIVE, alive_members),
        {"batch", BATCH, batch_members, sizeof batch_members / sizeof *batch_members},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct member post_members[] = {
        {"sourceEpoch", INTEGER, true, 1, (double)FACT_SEQ_MAX, "Grows when the game starts anew."},
        {"sourceSeq", INTEGER, true, 1, (double)FACT_SEQ_MAX,
         "1 first in an epoch, then one more with each post."},
};
static const struct member type_member[] = {{"type", TEXT, true, 1, 16, "The kind."}};

static const struct kind *find_kind(struct span name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (span_equal(name, span_str(kinds[i].name)))
			return &kinds[i];
	return NULL;
}

/* ---- checking ---- */

struct checker {
	char *reason; /* 160 */
	enum fact_result result;
	char where[64]; /* "/agent1", "/facts/3" */
};

static bool fault(struct checker *c, enum fact_result result, const char *member, const char *text)
{
	c->result = result;
	snprintf(c->reason, 160, "%s/%s: %s", c->where, member, text);
	return false;
}

static bool all_of(const char *text, const char *extra)
{
	for (; *text != '\0'; text++)
		if (!(*text >= 'a' && *text <= 'z') && !(*text >= '0' && *text <= '9') &&
		    strchr(extra, *text) == NULL)
			return false;
	return true;
}

static bool is_id(const json_t *v)
{
	const char *text = json_string_value(v);
	size_t len = json_string_length(v);
	return len >= 1 && len <= DUEL_ID_MAX && strlen(text) == len &&
	       all_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.:@-");
}

bool fact_token_valid(const char *text)
{
	return *text != '\0' && strlen(text) <= DUEL_TOKEN_MAX && isalnum((unsigned char)*text) &&
	       all_of(text, "_.:-");
}

/* Version 4, lower case: two spellings of one id would be two ids. */
static bool is_uuid(const char *text)
{
	if (strlen(text) != DUEL_UUID_LEN)
		return false;
	for (size_t i = 0; i < DUEL_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
			return false;
	}
	return text[14] == '4' && strchr("89ab", text[19]) != NULL;
}

static bool is_decimal(const char *text)
{
	size_t len = strlen(text);
	if (len == 0 || len > 20 || (len > 1 && *text == '0') || strspn(text, "0123456789") != len)
		return false;
	return len < 20 || strcmp(text, "18446744073709551615") <= 0;
}

static bool check_object(struct checker *c, const json_t *object, const struct member *members,
                         size_t count, const struct member *also, size_t also_count);

static bool check_number(struct checker *c, const struct member *m, const json_t *v)
{
	char text[80];
	double value = json_number_value(v);
	if (m->type == INTEGER ? !json_is_integer(v) : !json_is_number(v))
		return fault(c, FACT_MALFORMED, m->name,
		             m->type == INTEGER ? "an integer is needed" : "a number is needed");
	if (isfinite(value) && value >= m->min && value <= m->max)
		return true;
	snprintf(text, sizeof text, "must be from %.17g to %.17g", m->min, m->max);
	return fault(c, FACT_UNSUITABLE, m->name, text);
}

static bool check_text(struct checker *c, const struct member *m, const json_t *v)
{
	const char *text = json_string_value(v);
	size_t len = json_string_length(v);
	char bounds[80];
	bool good = false;
	if (!json_is_string(v))
		return fault(c, FACT_MALFORMED, m->name, "a string is needed");
	if (strlen(text) != len)
		return fault(c, FACT_UNSUITABLE, m->name, "holds a NUL");
	switch (m->type) {
	case TEXT:
		snprintf(bounds, sizeof bounds, "must have %.0f to %.0f bytes", m->min, m->max);
		return (double)len >= m->min && (double)len <= m->max
		               ? true
		               : fault(c, FACT_UNSUITABLE, m->name, bounds);
	case ID:
		return is_id(v) ? true
		                : fault(c, FACT_UNSUITABLE, m->name,
		                        "must be 1 to 128 letters, digits, or any of _.:@-");
	case TOKEN:
		return fact_token_valid(text) ? true
		                              : fault(c, FACT_UNSUITABLE, m->name,
		                                      "must match [a-z0-9][a-z0-9_.:-]{0,127}");
	case UUID:
		return is_uuid(text) ? true
		                     : fault(c, FACT_UNSUITABLE, m->name,
		                             "must be a version 4 UUID in lower case");
	case HEX64:
		good = len == 64 && strspn(text, "0123456789abcdef") == 64;
		return good ? true
		            : fault(c, FACT_UNSUITABLE, m->name,
		                    "must be 64 lower-case hexadecimal digits");
	case DECIMAL:
		return is_decimal(text) ? true
		                        : fault(c, FACT_UNSUITABLE, m->name,
		                                "must be a decimal number of at most 64 bits");
	case PHASE:
		for (unsigned i = 0; i < DUEL_PHASE_COUNT; i++)
			good = good || strcmp(text, duel_phase_name(i)) == 0;
		good = good && strcmp(text, "ANNOUNCEMENT") != 0 && strcmp(text, "RESOLUTION") != 0;
		return good ? true
		            : fault(c, FACT_UNSUITABLE, m->name,
		                    "must be COUNTDOWN, FIGHTING or IDLE; post cycle for "
		                    "ANNOUNCEMENT, "
		                    "result for RESOLUTION");
	case OUTCOME:
		good = strcmp(text, "win") == 0 || strcmp(text, "draw") == 0;
		return good ? true
		            : fault(c, FACT_UNSUITABLE, m->name,
		                    "must be win or draw; post abort to cancel");
	case WIN_REASON:
		for (unsigned i = DUEL_BY_KILL; i < DUEL_WIN_REASON_COUNT; i++)
			good = good || strcmp(text, duel_win_reason_name(i)) == 0;
		return good ? true
		            : fault(c, FACT_UNSUITABLE, m->name,
		                    "must be kill, forfeit, hp_advantage, damage_advantage or "
		                    "draw");
	case INTEGER:
	case NUMBER:
	case POINT:
	case AGENT:
	case IDS:
	case OBJECT:
	case CANONICAL:
	case FACTS:
		break; /* no texts */
	}
	check(false);
}

static bool check_point(struct checker *c, const struct member *m, const json_t *v)
{
	size_t i;
	json_t *number;
	if (!json_is_array(v) || json_array_size(v) != 3)
		return fault(c, FACT_MALFORMED, m->name, "an array of three numbers is needed");
	json_array_foreach (v, i, number) {
		if (!json_is_number(number))
			return fault(c, FACT_MALFORMED, m->name,
			             "an array of three numbers is needed");
		if (fabs(json_number_value(number)) > m->max)
			return fault(c, FACT_UNSUITABLE, m->name,
			             "coordinates must be from -1e9 to 1e9");
	}
	return true;
}

static bool check_ids(struct checker *c, const struct member *m, const json_t *v)
{
	size_t i;
	json_t *id;
	if (!json_is_array(v) || json_array_size(v) < 1 || json_array_size(v) > 2)
		return fault(c, FACT_MALFORMED, m->name, "an array of one or two ids is needed");
	json_array_foreach (v, i, id) {
		if (!json_is_string(id))
			return fault(c, FACT_MALFORMED, m->name, "an id must be a string");
		if (!is_id(id))
			return fault(c, FACT_UNSUITABLE, m->name,
			             "must be 1 to 128 letters, digits, or any of _.:@-");
	}
	return true;
}

static bool check_facts(struct checker *c, const struct member *m, const json_t *v)
{
	size_t i;
	json_t *one;
	if (!json_is_array(v))
		return fault(c, FACT_MALFORMED, m->name, "an array is needed");
	if (json_array_size(v) < 1 || json_array_size(v) > FACTS_MAX)
		return fault(c, FACT_UNSUITABLE, m->name, "must hold 1 to 64 facts");
	json_array_foreach (v, i, one) {
		const char *type = json_string_value(json_object_get(one, "type"));
		const struct kind *kind = type != NULL ? find_kind(span_str(type)) : NULL;
		snprintf(c->where, sizeof c->where, "/facts/%zu", i);
		if (!json_is_object(one))
			return fault(c, FACT_MALFORMED, "", "an object is needed");
		if (kind == NULL || kind->kind == BATCH)
			return fault(c, FACT_MALFORMED, "type",
			             "must name a kind other than batch");
		if (!check_object(c, one, kind->members, kind->count, type_member, 1))
			return false;
	}
	*c->where = '\0';
	return true;
}

static bool check_tree(struct checker *c, const struct member *m, const json_t *v)
{
	if (!json_is_object(v))
		return fault(c, FACT_MALFORMED, m->name, "an object is needed");
	char *text = m->type == CANONICAL ? js_text_canonical(v) : js_text(v);
	size_t len = strlen(text);
	free(text);
	return len <= (size_t)m->max
	               ? true
	               : fault(c, FACT_UNSUITABLE, m->name, "is larger than 16384 bytes");
}

static bool check_member(struct checker *c, const struct member *m, const json_t *v)
{
	char where[64];
	switch (m->type) {
	case INTEGER:
	case NUMBER:
		return check_number(c, m, v);
	case TEXT:
	case ID:
	case TOKEN:
	case UUID:
	case HEX64:
	case DECIMAL:
	case PHASE:
	case OUTCOME:
	case WIN_REASON:
		return check_text(c, m, v);
	case POINT:
		return check_point(c, m, v);
	case IDS:
		return check_ids(c, m, v);
	case FACTS:
		return check_facts(c, m, v);
	case OBJECT:
	case CANONICAL:
		return check_tree(c, m, v);
	case AGENT:
		break;
	}
	if (!json_is_object(v))
		return fault(c, FACT_MALFORMED, m->name, "an object is needed");
	memcpy(where, c->where, sizeof where);
	snprintf(c->where, sizeof c->where, "%.40s/%s", where, m->name);
	bool good = check_object(c, v, agent_members, sizeof agent_members / sizeof *agent_members,
	                         NULL, 0);
	if (good)
		memcpy(c->where, where, sizeof where);
	return good;
}

static const struct member *find_member(const struct member *members, size_t count,
                                        const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(members[i].name, name) == 0)
			return &members[i];
	return NULL;
}

static bool required_are_there(struct checker *c, const json_t *object,
                               const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (members[i].required && json_object_get(object, members[i].name) == NULL)
			return fault(c, FACT_MALFORMED, members[i].name, "is missing");
	return true;
}

static bool check_object(struct checker *c, const json_t *object, const struct member *members,
                         size_t count, const struct member *also, size_t also_count)
{
	const char *name;
	json_t *value;
	if (!required_are_there(c, object, also, also_count) ||
	    !required_are_there(c, object, members, count))
		return false;
	json_object_foreach ((json_t *)object, name, value) {
		const struct member *m = find_member(members, count, name);
		if (m == NULL)
			m = find_member(also, also_count, name);
		if (m == NULL) {
			char known[64];
			snprintf(known, sizeof known, "%.60s", name);
			return fault(c, FACT_MALFORMED, known, "is not a member that is known");
		}
		if (!check_member(c, m, value))
			return false;
	}
	return true;
}

/* ---- reading; everything is checked ---- */

static void take_text(const json_t *object, const char *name, char *into, size_t room)
{
	const char *text = json_string_value(json_object_get(object, name));
	snprintf(into, room, "%s", text != NULL ? text : "");
}

static bool take_number(const json_t *object, const char *name, double *into)
{
	const json_t *v = json_object_get(object, name);
	*into = v != NULL ? json_number_value(v) : 0;
	return v != NULL;
}

static int64_t take_integer(const json_t *object, const char *name, int64_t otherwise)
{
	const json_t *v = json_object_get(object, name);
	return v != NULL ? json_integer_value(v) : otherwise;
}

static void take_agent_member(const json_t *object, struct duel_agent *a,
                              const struct duel_agent_row *row)
{
	void *into = duel_agent_member(a, row);
	switch (row->kind) {
	case DUEL_AGENT_ID:
	case DUEL_AGENT_TEXT:
		take_text(object, row->name, into, row->bytes);
		break;
	case DUEL_AGENT_NUMBER:
		take_number(object, row->name, into);
		break;
	case DUEL_AGENT_COUNT:
		*(int64_t *)into = take_integer(object, row->name, 0);
		break;
	case DUEL_AGENT_RANK:
		*(int64_t *)into = take_integer(object, row->name, DUEL_NO_RANK);
		break;
	case DUEL_AGENT_TALLY:
		break;
	}
}

static void take_agent(const json_t *object, struct duel_agent *a)
{
	a->said = 0;
	for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
		take_agent_member(object, a, &duel_agent_rows[i]);
		if (json_object_get(object, duel_agent_rows[i].name) != NULL)
			a->said |= duel_agent_said(&duel_agent_rows[i]);
	}
}

static void take_changes(const json_t *object, struct duel_fact *f)
{
	for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
		const struct duel_agent_row *row = &duel_agent_rows[i];
		if (!duel_agent_changes(row) || json_object_get(object, row->name) == NULL)
			continue;
		take_agent_member(object, &f->update, row);
		f->update_members |= 1u << i;
	}
}

static void take_point(const json_t *array, double into[3])
{
	for (size_t i = 0; i < 3; i++)
		into[i] = json_number_value(json_array_get(array, i));
}

static unsigned take_name(const json_t *object, const char *member, const char *(*name)(unsigned),
                          unsigned count)
{
	const char *text = json_string_value(json_object_get(object, member));
	for (unsigned i = 0; text != NULL && i < count; i++)
		if (strcmp(text, name(i)) == 0)
			return i;
	return 0;
}

static const char *phase_text(unsigned i)
{
	return duel_phase_name(i);
}

static const char *outcome_text(unsigned i)
{
	return duel_outcome_name(i);
}

static const char *win_reason_text(unsigned i)
{
	return duel_win_reason_name(i);
}

static void take_fact(struct duel_fact *f, unsigned kind, const json_t *o)
{
	f->kind = kind;
	take_text(o, "duelId", f->duel_id, sizeof f->duel_id);
	take_text(o, "detail", f->detail, sizeof f->detail);
	switch (f->kind) {
	case DUEL_FACT_CYCLE:
		take_agent(json_object_get(o, "agent1"), &f->pair.agents[0]);
		take_agent(json_object_get(o, "agent2"), &f->pair.agents[1]);
		take_text(o, "cycleId", f->pair.cycle_id, sizeof f->pair.cycle_id);
		f->pair.announcement_ms = (uint64_t)take_integer(o, "announcementMs", 0);
		if (json_object_get(o, "competitiveSnapshot") != NULL)
			f->snapshot = js_text_canonical(json_object_get(o, "competitiveSnapshot"));
		break;
	case DUEL_FACT_PHASE:
		f->phase = take_name(o, "phase", phase_text, DUEL_PHASE_COUNT);
		f->fight_planned_ms = (uint64_t)take_integer(o, "fightStartTime", 0);
		break;
	case DUEL_FACT_POSITIONS:
		take_point(json_object_get(o, "agent1"), f->positions[0]);
		take_point(json_object_get(o, "agent2"), f->positions[1]);
		break;
	case DUEL_FACT_DAMAGE:
		take_text(o, "attackerId", f->agent_id[0], sizeof f->agent_id[0]);
		take_number(o, "amount", &f->amount);
		f->hp_present = take_number(o, "targetHp", &f->hp);
		break;
	case DUEL_FACT_CONTESTANT:
		take_text(o, "id", f->agent_id[0], sizeof f->agent_id[0]);
		take_changes(o, f);
		break;
	case DUEL_FACT_DEATH: {
		const json_t *ids = json_object_get(o, "ids");
		for (size_t i = 0; i < json_array_size(ids); i++)
			snprintf(f->agent_id[i], sizeof f->agent_id[i], "%s",
			         json_string_value(json_array_get(ids, i)));
		break;
	}
	case DUEL_FACT_FORFEIT:
		take_text(o, "id", f->agent_id[0], sizeof f->agent_id[0]);
		break;
	case DUEL_FACT_RESULT:
		f->outcome = take_name(o, "outcome", outcome_text, DUEL_OUTCOME_COUNT);
		take_text(o, "winnerId", f->agent_id[0], sizeof f->agent_id[0]);
		f->win_reason = take_name(o, "winReason", win_reason_text, DUEL_WIN_REASON_COUNT);
		take_text(o, "seed", f->seed, sizeof f->seed);
		take_text(o, "replayHash", f->replay_hash, sizeof f->replay_hash);
		break;
	case DUEL_FACT_ABORT:
		take_text(o, "reason", f->reason, sizeof f->reason);
		break;
	case DUEL_FACT_SCENE:
		f->scene = js_text(json_object_get(o, "scene"));
		break;
	case DUEL_FACT_ALIVE:
		break;
	}
}

enum fact_result fact_read(struct fact_post *post, struct span name, const json_t *body,
                           char reason[160])
{
	const struct kind *kind = find_kind(name);
	struct checker c = {.reason = reason};
	*post = (struct fact_post){0};
	if (kind == NULL) {
		snprintf(reason, 160, "no such kind of fact");
		return FACT_UNKNOWN;
	}
	if (!json_is_object(body)) {
		snprintf(reason, 160, "the body must be a JSON object");
		return FACT_MALFORMED;
	}
	if (!check_object(&c, body, kind->members, kind->count, post_members, 2))
		return c.result;
	const json_t *facts = json_object_get(body, "facts");
	post->source_epoch = (uint64_t)take_integer(body, "sourceEpoch", 0);
	post->source_seq = (uint64_t)take_integer(body, "sourceSeq", 0);
	post->count = kind->kind == BATCH ? json_array_size(facts) : 1;
	post->facts = xcalloc(post->count, sizeof *post->facts);
	if (kind->kind != BATCH)
		take_fact(post->facts, kind->kind, body);
	for (size_t i = 0; kind->kind == BATCH && i < post->count; i++) {
		const json_t *one = json_array_get(facts, i);
		take_fact(
		        &post->facts[i],
		        find_kind(span_str(json_string_value(json_object_get(one, "type"))))->kind,
		        one);
	}
	return FACT_OK;
}

void fact_post_finish(struct fact_post *post)
{
	for (size_t i = 0; i < post->count; i++) {
		free(post->facts[i].scene);
		free(post->facts[i].snapshot);
	}
	free(post->facts);
	*post = (struct fact_post){0};
}

/* ---- describing ---- */

static json_t *object_schema(const struct member *members, size_t count);

static json_t *names_schema(const char *(*name)(unsigned), unsigned from, unsigned to,
                            const char *except)
{
	json_t *values = json_array();
	for (unsigned i = from; i < to; i++)
		if (strstr(except, name(i)) == NULL)
			json_array_append_new(values, json_string(name(i)));
	return json_pack("{s:s,s:o}", "type", "string", "enum", values);
}

static json_t *pattern_schema(const char *pattern)
{
	return json_pack("{s:s,s:s}", "type", "string", "pattern", pattern);
}

static json_t *member_schema(const struct member *m)
{
	switch (m->type) {
	case INTEGER:
		return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)m->min,
		                 "maximum", (json_int_t)m->max);
	case NUMBER:
		return json_pack("{s:s,s:f,s:f}", "type", "number", "minimum", m->min, "maximum",
		                 m->max);
	case TEXT:
		return json_pack("{s:s,s:I,s:I}", "type", "string", "minLength",
		                 (json_int_t)(m->min > 0), "maxLength", (json_int_t)m->max);
	case ID:
		return pattern_schema("^[A-Za-z0-9_.:@-]{1,128}$");
	case TOKEN:
		return pattern_schema("^[a-z0-9][a-z0-9_.:-]{0,127}$");
	case UUID:
		return pattern_schema(
		        "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$");
	case HEX64:
		return pattern_schema("^[0-9a-f]{64}$");
	case DECIMAL:
		return pattern_schema("^(0|[1-9][0-9]{0,19})$");
	case PHASE:
		return names_schema(phase_text, 0, DUEL_PHASE_COUNT, "ANNOUNCEMENT RESOLUTION");
	case OUTCOME:
		return names_schema(outcome_text, 1, DUEL_OUTCOME_COUNT, "cancelled");
	case WIN_REASON:
		return names_schema(win_reason_text, 1, DUEL_WIN_REASON_COUNT, "-");
	case POINT:
		return json_pack("{s:s,s:i,s:i,s:{s:s,s:f,s:f}}", "type", "array", "minItems", 3,
		                 "maxItems", 3, "items", "type", "number", "minimum", m->min,
		                 "maximum", m->max);
	case AGENT:
		return object_schema(agent_members, sizeof agent_members / sizeof *agent_members);
	case IDS:
		return json_pack("{s:s,s:i,s:i,s:o}", "type", "array", "minItems", 1, "maxItems", 2,
		                 "items", pattern_schema("^[A-Za-z0-9_.:@-]{1,128}$"));
	case OBJECT:
	case CANONICAL:
		return json_pack("{s:s}", "type", "object");
	case FACTS: {
		json_t *any = json_array();
		for (size_t i = 0; i < KINDS; i++) {
			if (kinds[i].kind == BATCH)
				continue;
			json_t *one = object_schema(kinds[i].members, kinds[i].count);
			json_object_set_new(json_object_get(one, "properties"), "type",
			                    json_pack("{s:s}", "const", kinds[i].name));
			json_array_insert_new(json_object_get(one, "required"), 0,
			                      json_string("type"));
			json_array_append_new(any, one);
		}
		return json_pack("{s:s,s:i,s:i,s:{s:o}}", "type", "array", "minItems", 1,
		                 "maxItems", FACTS_MAX, "items", "oneOf", any);
	}
	}
	check(false);
}

static json_t *object_schema(const struct member *members, size_t count)
{
	json_t *properties = json_object(), *required = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *one = member_schema(&members[i]);
		if (*members[i].help != '\0')
			json_object_set_new(one, "description", json_string(members[i].help));
		json_object_set_new(properties, members[i].name, one);
		if (members[i].required)
			json_array_append_new(required, json_string(members[i].name));
	}
	return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", properties,
	                 "required", required, "additionalProperties", 0);
}

json_t *fact_schema(struct span name)
{
	const struct kind *kind = find_kind(name);
	if (kind == NULL)
		return NULL;
	struct member all[32];
	check(kind->count + 2 <= sizeof all / sizeof *all);
	memcpy(all, post_members, sizeof post_members);
	memcpy(all + 2, kind->members, kind->count * sizeof *all);
	json_t *schema = object_schema(all, kind->count + 2);
	json_object_set_new(schema, "$schema",
	                    json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(schema, "title",
	                    json_sprintf("Body of POST /v1/source/FEED/%s", kind->name));
	return schema;
}

json_t *fact_schemas(void)
{
	json_t *all = json_object();
	for (size_t i = 0; i < KINDS; i++)
		json_object_set_new(all, kinds[i].name, fact_schema(span_str(kinds[i].name)));
	return all;
}

const struct fact_schema_text *fact_schema_text(struct span name)
{
	static struct fact_schema_text texts[KINDS + 1]; /* the last: all */
	size_t i = 0;
	while (name.len > 0 && i < KINDS && !span_equal(name, span_str(kinds[i].name)))
		i++;
	if (i == KINDS)
		return NULL;
	struct fact_schema_text *text = &texts[name.len > 0 ? i : KINDS];
	if (text->json != NULL)
		return text;
	json_t *schema = name.len > 0 ? fact_schema(name) : fact_schemas();
	text->json = json_dumps(schema, JSON_COMPACT | JSON_REAL_PRECISION(15));
	check(text->json != NULL);
	json_decref(schema);
	snprintf(text->etag, sizeof text->etag, "\"%016llx\"",
	         (unsigned long long)XXH3_64bits(text->json, strlen(text->json)));
	return text;
}
