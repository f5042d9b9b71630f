#include "worker-bridge/feed_frame.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/base/js_text.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Every text is bounded (duel.h), so that a frame always fits: checked, not handled. */
static void put(struct feed_frame *f, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void put(struct feed_frame *f, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(f->text + f->len, sizeof f->text - f->len, format, arguments);
	va_end(arguments);
	check(len >= 0 && (size_t)len < sizeof f->text - f->len);
	f->len += (size_t)len;
}

/* As JSON.stringify escapes (ECMA-262, QuoteJSONString). */
static void put_text(struct feed_frame *f, const char *text)
{
	put(f, "\"");
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		static const char short_forms[] = "\bb\ff\nn\rr\tt\"\"\\\\";
		const char *form = NULL;
		for (size_t i = 0; i + 1 < sizeof short_forms; i += 2)
			if ((unsigned char)short_forms[i] == *c)
				form = short_forms + i + 1;
		if (form != NULL)
			put(f, "\\%c", *form);
		else if (*c < 0x20)
			put(f, "\\u%04x", *c);
		else
			put(f, "%c", *c);
	}
	put(f, "\"");
}

static void member_text(struct feed_frame *f, const char *name, const char *text)
{
	put(f, "\"%s\":", name);
	if (text == NULL || *text == '\0')
		put(f, "null,");
	else {
		put_text(f, text);
		put(f, ",");
	}
}

static void member_ms(struct feed_frame *f, const char *name, uint64_t ms)
{
	if (ms == 0)
		put(f, "\"%s\":null,", name);
	else
		put(f, "\"%s\":%" PRIu64 ",", name, ms);
}

static void put_number(struct feed_frame *f, double value)
{
	char text[JS_NUMBER_ROOM];
	js_number(value, text);
	put(f, "%s", text);
}

static void put_agent_value(struct feed_frame *f, const struct duel_agent *a,
                            const struct duel_agent_row *row)
{
	const void *value = duel_agent_value(a, row);
	switch (row->kind) {
	case DUEL_AGENT_ID:
	case DUEL_AGENT_TEXT:
		put_text(f, value);
		break;
	case DUEL_AGENT_NUMBER:
	case DUEL_AGENT_TALLY:
		put_number(f, *(const double *)value);
		break;
	case DUEL_AGENT_RANK:
		if (*(const int64_t *)value == DUEL_NO_RANK)
			put(f, "null");
		else
			put(f, "%" PRId64, *(const int64_t *)value);
		break;
	case DUEL_AGENT_COUNT:
		put(f, "%" PRId64, *(const int64_t *)value);
		break;
	}
}

static void member_agent(struct feed_frame *f, const char *name, const struct duel_agent *a)
{
	put(f, "\"%s\":", name);
	for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
		put(f, "%s\"%s\":", i == 0 ? "{" : ",", duel_agent_rows[i].name);
		put_agent_value(f, a, &duel_agent_rows[i]);
	}
	put(f, "},");
}

static void member_positions(struct feed_frame *f, const struct duel *d)
{
	if (!d->positions_present) {
		put(f, "\"arenaPositions\":null,");
		return;
	}
	put(f, "\"arenaPositions\":{");
	for (size_t i = 0; i < 2; i++) {
		put(f, "%s\"agent%zu\":[", i > 0 ? "," : "", i + 1);
		for (size_t axis = 0; axis < 3; axis++) {
			put(f, "%s", axis > 0 ? "," : "");
			put_number(f, d->positions[i][axis]);
		}
		put(f, "]");
	}
	put(f, "},");
}

static void put_no_duel(struct feed_frame *f)
{
	put(f,
	    "\"cycleId\":null,\"duelId\":null,\"duelKey\":null,\"phase\":null,\"phaseVersion\":0,"
	    "\"betOpenTime\":null,\"betCloseTime\":null,\"plannedFightStartTime\":null,"
	    "\"fightStartTime\":null,\"duelEndTime\":null,\"terminal\":false,\"outcome\":null,"
	    "\"cancellationReason\":null,\"winnerId\":null,\"winnerName\":null,\"loserId\":null,"
	    "\"loserName\":null,\"winReason\":null,\"detail\":null,\"seed\":null,"
	    "\"replayHash\":null,\"agent1\":null,\"agent2\":null,\"arenaPositions\":null,"
	    "\"scene\":null,");
}

static void put_duel(struct feed_frame *f, const struct duel *d, bool terminal)
{
	const struct duel_agent *winner = d->winner >= 0 ? &d->agents[d->winner] : NULL;
	const struct duel_agent *loser = d->winner >= 0 ? &d->agents[!d->winner] : NULL;
	char id[64];
	duel_id(d, id);
	member_text(f, "cycleId", d->cycle_id);
	member_text(f, "duelId", id);
	member_text(f, "duelKey", d->key);
	put(f, "\"phase\":\"%s\",\"phaseVersion\":%u,", duel_phase_name(d->phase),
	    d->phase_version);
	member_ms(f, "betOpenTime", d->bet_open_ms);
	member_ms(f, "betCloseTime", d->bet_close_ms);
	member_ms(f, "plannedFightStartTime", d->fight_planned_ms);
	member_ms(f, "fightStartTime", d->fight_start_ms);
	member_ms(f, "duelEndTime", d->end_ms);
	put(f, "\"terminal\":%s,", terminal ? "true" : "false");
	member_text(f, "outcome", duel_outcome_name(d->outcome));
	member_text(f, "cancellationReason", d->cancellation);
	member_text(f, "winnerId", winner != NULL ? winner->id : NULL);
	member_text(f, "winnerName", winner != NULL ? winner->name : NULL);
	member_text(f, "loserId", loser != NULL ? loser->id : NULL);
	member_text(f, "loserName", loser != NULL ? loser->name : NULL);
	member_text(f, "winReason", duel_win_reason_name(d->win_reason));
	member_text(f, "detail", d->detail);
	member_text(f, "seed", d->seed);
	member_text(f, "replayHash", d->replay_hash);
	member_agent(f, "agent1", &d->agents[0]);
	member_agent(f, "agent2", &d->agents[1]);
	member_positions(f, d);
	put(f, "\"scene\":%s,", *d->scene != '\0' ? d->scene : "null");
}

/* Of what they fight with: its digest, and itself. Without a word of the game it is empty. */
static void put_snapshot(struct feed_frame *f, const struct duel *d)
{
	if (!d->present) {
		put(f, ",\"competitiveSnapshotDigest\":null,\"competitiveSnapshot\":null");
		return;
	}
	const char *snapshot = *d->snapshot != '\0' ? d->snapshot : "{}";
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char digits[2 * SHA256_DIGEST_LENGTH + 1];
	SHA256((const uint8_t *)snapshot, strlen(snapshot), digest);
	hex_print(digest, sizeof digest, digits);
	put(f, ",\"competitiveSnapshotDigest\":\"%s\",\"competitiveSnapshot\":%s", digits,
	    snapshot);
}

/* What is counted of a contestant, where his game says nothing. */
static void put_counted(struct feed_frame *f, const struct duel_agent *agent,
                        const struct duel_count *count)
{
	struct duel_agent a = *agent;
	duel_agent_fill(&a, count);
	for (size_t i = 0, n = 0; i < DUEL_AGENT_ROWS; i++) {
		if (duel_agent_said(&duel_agent_rows[i]) == 0)
			continue;
		put(f, "%s\"%s\":", n++ == 0 ? "{" : ",", duel_agent_rows[i].name);
		put_agent_value(f, &a, &duel_agent_rows[i]);
	}
	put(f, "}");
}

static void put_standings(struct feed_frame *f, const struct duel *d)
{
	if (!d->present || !d->counts[0].known || !d->counts[1].known) {
		put(f, ",\"standings\":null");
		return;
	}
	put(f, ",\"standings\":{\"agent1\":");
	put_counted(f, &d->agents[0], &d->counts[0]);
	put(f, ",\"agent2\":");
	put_counted(f, &d->agents[1], &d->counts[1]);
	put(f, "}");
}

static void put_health(struct feed_frame *f, const struct feed_frame_health *h)
{
	put(f, "\"rendererHealth\":{\"ready\":%s,", h->ready ? "true" : "false");
	member_text(f, "degradedReason", h->reason);
	put(f, "\"updatedAt\":%" PRIu64 ",", h->updated_ms);
	member_text(f, "source", h->source);
	if (h->page_duel_id == NULL) {
		put(f, "\"page\":null}");
		return;
	}
	put(f, "\"page\":{");
	member_text(f, "duelId", h->page_duel_id);
	member_text(f, "phase", h->page_phase);
	put(f, "\"at\":%" PRIu64 "}}", h->page_ms);
}

void feed_frame_build(struct feed_frame *f, const struct duel *duel, bool terminal,
                      const struct feed_frame_health *health, const struct feed_frame_place *place)
{
	f->len = 0;
	put(f,
	    "{\"schemaVersion\":2,\"feed\":\"%s\",\"sourceEpoch\":%" PRIu64 ",\"seq\":%" PRIu64
	    ",\"previousSeq\":%" PRIu64 ",\"emittedAt\":%" PRIu64 ",",
	    place->feed, place->epoch, place->seq, place->seq - 1, place->now_ms);
	f->core_at = f->len;
	if (duel->present)
		put_duel(f, duel, terminal);
	else
		put_no_duel(f);
	f->core_len = f->len - f->core_at;
	put_health(f, health);
	put_snapshot(f, duel);
	put_standings(f, duel);
	put(f, "}");
}
