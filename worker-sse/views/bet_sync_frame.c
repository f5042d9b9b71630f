#include "worker-sse/views/bet_sync_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BET_SYNC_NAME(name) SPAN("\"" #name "\":"),
static const struct span names[BET_SYNC_MEMBER_COUNT] = {BET_SYNC_MEMBERS(BET_SYNC_NAME)};
#undef BET_SYNC_NAME

/* Length of the value (or member) that begins here: up to the comma or bracket that ends it. 0:
 * there is none. */
static size_t value_len(const uint8_t *at, size_t left)
{
	size_t depth = 0;
	for (size_t i = 0; i < left; i++) {
		switch (at[i]) {
		case '"':
			for (i++; i < left && at[i] != '"'; i++)
				i += at[i] == '\\';
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (depth == 0)
				return i;
			depth--;
			break;
		case ',':
			if (depth == 0)
				return i;
			break;
		default:
			break;
		}
	}
	return 0;
}

static bool number(struct span text, uint64_t *value)
{
	*value = 0;
	if (text.len == 0 || text.len > 16 || (text.len > 1 && *text.at == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		*value = *value * 10 + (text.at[i] - '0');
	}
	return *value <= (uint64_t)1 << 53;
}

bool bet_sync_frame_read(struct bet_sync_frame *frame, struct span text)
{
	const uint8_t *at = text.at, *end = text.at + text.len;
	*frame = (struct bet_sync_frame){0};
	for (size_t i = 0; i < BET_SYNC_MEMBER_COUNT; i++) {
		size_t left = (size_t)(end - at);
		if ((i == BET_SYNC_competitiveSnapshotDigest || i == BET_SYNC_standings) &&
		    left == 1)
			break; /* of a release before */
		if (left < names[i].len + 2 || *at != (i == 0 ? '{' : ',') ||
		    memcmp(at + 1, names[i].at, names[i].len) != 0)
			return false;
		at += names[i].len + 1;
		size_t len = value_len(at, (size_t)(end - at));
		if (len == 0)
			return false;
		frame->members[i] = span_of(at, len);
		at += len;
	}
	return end - at == 1 && *at == '}' &&
	       span_equal(frame->members[BET_SYNC_schemaVersion], SPAN("2")) &&
	       number(frame->members[BET_SYNC_sourceEpoch], &frame->epoch) &&
	       number(frame->members[BET_SYNC_seq], &frame->seq);
}

/* ---- other versions ---- */

static char *put(char *out, struct span bytes)
{
	memcpy(out, bytes.at, bytes.len);
	return out + bytes.len;
}

/* {ready, degradedReason, updatedAt} are the first three members of version 2's. Without the last
 * brace; at NULL: null, or with fewer members than we know. */
static struct span health_of(struct span health)
{
	size_t at = 0;
	for (size_t member = 0; member < 3; member++) {
		if (at + 1 >= health.len)
			return (struct span){0};
		at++; /* the brace, the comma */
		at += value_len(health.at + at, health.len - at);
	}
	return at < health.len && health.at[at] == ',' ? span_of(health.at, at) : (struct span){0};
}

static char *put_health(char *out, struct span health)
{
	struct span known = health_of(health);
	return known.at != NULL ? put(put(out, known), SPAN("}")) : put(out, health);
}

size_t bet_sync_frame_v1(const struct bet_sync_frame *frame, char *out)
{
	static const enum bet_sync_member order[] = {
	        BET_SYNC_sourceEpoch,    BET_SYNC_seq,
	        BET_SYNC_emittedAt,      BET_SYNC_duelId,
	        BET_SYNC_duelKey,        BET_SYNC_phase,
	        BET_SYNC_phaseVersion,   BET_SYNC_betOpenTime,
	        BET_SYNC_betCloseTime,   BET_SYNC_fightStartTime,
	        BET_SYNC_duelEndTime,    BET_SYNC_winnerId,
	        BET_SYNC_winnerName,     BET_SYNC_winReason,
	        BET_SYNC_agent1,         BET_SYNC_agent2,
	        BET_SYNC_arenaPositions, BET_SYNC_rendererHealth};
	char *at = put(out, SPAN("{\"schemaVersion\":1"));
	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		struct span value = frame->members[order[i]];
		at = put(put(at, SPAN(",")), names[order[i]]);
		/* Its version knows one time of the fight, planned until it has begun. */
		if (order[i] == BET_SYNC_fightStartTime && span_equal(value, SPAN("null")))
			value = frame->members[BET_SYNC_plannedFightStartTime];
		/* Nor does it know a forfeit, which its producer told as a kill. */
		if (order[i] == BET_SYNC_winReason && span_equal(value, SPAN("\"forfeit\"")))
			value = SPAN("\"kill\"");
		at = order[i] == BET_SYNC_rendererHealth ? put_health(at, value) : put(at, value);
	}
	return (size_t)(at - out);
}

static bool is_null(struct span value)
{
	return value.at == NULL || span_equal(value, SPAN("null"));
}

/* A picture of which nothing is known is judged when the frame is made. */
static char *put_health_v3(char *out, const struct bet_sync_frame *frame)
{
	static const struct span never = SPAN(",\"updatedAt\":0");
	struct span health = health_of(frame->members[BET_SYNC_rendererHealth]);
	if (health.at == NULL || health.len < never.len ||
	    !span_equal(span_of(health.at + health.len - never.len, never.len), never))
		return put_health(out, frame->members[BET_SYNC_rendererHealth]);
	out = put(out, span_of(health.at, health.len - 1));
	return put(put(out, frame->members[BET_SYNC_emittedAt]), SPAN("}"));
}

/* As version 2 has a contestant's members. */
static const struct agent_member {
	struct span name;
	enum { AS_IT_IS, NOT_EMPTY, UP, DOWN, FROM_ONE, FROM_ZERO } rule;
} agent_members[] = {
        {SPAN("\"id\":"), AS_IT_IS},
        {SPAN("\"name\":"), AS_IT_IS},
        {SPAN("\"provider\":"), NOT_EMPTY},
        {SPAN("\"model\":"), NOT_EMPTY},
        {SPAN("\"hp\":"), UP},
        {SPAN("\"maxHp\":"), UP},
        {SPAN("\"combatLevel\":"), FROM_ONE},
        {SPAN("\"wins\":"), AS_IT_IS},
        {SPAN("\"losses\":"), AS_IT_IS},
        {SPAN("\"damageDealtThisFight\":"), DOWN},
        {SPAN("\"rank\":"), FROM_ZERO},
        {SPAN("\"headToHeadWins\":"), AS_IT_IS},
        {SPAN("\"headToHeadLosses\":"), AS_IT_IS},
};
enum { AGENT_MEMBERS = sizeof agent_members / sizeof *agent_members };

/* False: it is no contestant as version 2 has them. */
static bool agent_read(struct span agent, struct span values[AGENT_MEMBERS])
{
	size_t at = 0;
	for (size_t i = 0; i < AGENT_MEMBERS; i++) {
		struct span name = agent_members[i].name;
		if (agent.len - at < name.len + 2 || agent.at[at] != (i == 0 ? '{' : ',') ||
		    memcmp(agent.at + at + 1, name.at, name.len) != 0)
			return false;
		at += name.len + 1;
		size_t len = value_len(agent.at + at, agent.len - at);
		values[i] = span_of(agent.at + at, len);
		if (len == 0)
			return false;
		at += len;
	}
	return agent.len - at == 1;
}

static char *put_whole(char *out, struct span value, bool up)
{
	char text[32];
	if (value.len >= sizeof text)
		return put(out, value);
	memcpy(text, value.at, value.len);
	text[value.len] = '\0';
	double number = strtod(text, NULL);
	if (!(number >= 0 && number <= (double)((uint64_t)1 << 53)))
		return put(out, value);
	uint64_t whole = (uint64_t)number;
	whole += up && (double)whole < number;
	return out + sprintf(out, "%" PRIu64, whole);
}

static char *put_agent_value(char *out, const struct agent_member *member, struct span value)
{
	switch (member->rule) {
	case AS_IT_IS:
		break;
	case NOT_EMPTY:
		if (span_equal(value, SPAN("\"\"")))
			return put(out, SPAN("\"unknown\""));
		break;
	case UP:
	case DOWN:
		return put_whole(out, value, member->rule == UP);
	case FROM_ONE:
		if (span_equal(value, SPAN("0")))
			return put(out, SPAN("1"));
		break;
	case FROM_ZERO:
		if (is_null(value))
			return put(out, SPAN("0"));
		break;
	}
	return put(out, value);
}

/* The members of a contestant that are counted, in their order. */
static const size_t counted[] = {7, 8, 10, 11, 12};
enum { COUNTED = sizeof counted / sizeof *counted };

/* In place of what his game did not say; where nothing is known, all stays. */
static void take_counted(struct span standings, bool second, struct span values[AGENT_MEMBERS])
{
	static const struct span begins[] = {SPAN("{\"agent1\":"), SPAN(",\"agent2\":")};
	struct span found[COUNTED];
	size_t at = 0;
	for (size_t side = 0; side <= second; side++) {
		if (standings.len < at + begins[side].len ||
		    memcmp(standings.at + at, begins[side].at, begins[side].len) != 0)
			return;
		at += begins[side].len;
		size_t len = value_len(standings.at + at, standings.len - at);
		if (side < second)
			at += len;
	}
	for (size_t i = 0; i < COUNTED; i++) {
		struct span name = agent_members[counted[i]].name;
		if (standings.len < at + 1 + name.len ||
		    memcmp(standings.at + at + 1, name.at, name.len) != 0)
			return;
		at += 1 + name.len; /* the brace, or the comma */
		size_t len = value_len(standings.at + at, standings.len - at);
		found[i] = span_of(standings.at + at, len);
		if (len == 0)
			return;
		at += len;
	}
	for (size_t i = 0; i < COUNTED; i++)
		values[counted[i]] = found[i];
}

static char *put_agent_v3(char *out, const struct bet_sync_frame *frame,
                          enum bet_sync_member member)
{
	struct span values[AGENT_MEMBERS], agent = frame->members[member];
	if (!agent_read(agent, values))
		return put(out, agent);
	take_counted(frame->members[BET_SYNC_standings], member == BET_SYNC_agent2, values);
	for (size_t i = 0; i < AGENT_MEMBERS; i++) {
		out = put(put(out, i == 0 ? SPAN("{") : SPAN(",")), agent_members[i].name);
		out = put_agent_value(out, &agent_members[i], values[i]);
	}
	return put(out, SPAN("}"));
}

/* Where they stand before the game has said it; of a cancelled duel nobody knows. */
static char *put_positions_v3(char *out, const struct bet_sync_frame *frame)
{
	struct span positions = frame->members[BET_SYNC_arenaPositions];
	bool known = !is_null(positions) || is_null(frame->members[BET_SYNC_duelId]) ||
	             span_equal(frame->members[BET_SYNC_outcome], SPAN("\"cancelled\""));
	return put(out, known ? positions : SPAN("{\"agent1\":[-1,0,0],\"agent2\":[1,0,0]}"));
}

/* Of a frame of a release before: of a duel, the empty one's. */
static struct span snapshot_of(const struct bet_sync_frame *frame, enum bet_sync_member member)
{
	static const struct span empty_digest =
	        SPAN("\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"");
	struct span value = frame->members[member];
	if (value.at != NULL)
		return value;
	return is_null(frame->members[BET_SYNC_duelId])       ? SPAN("null")
	       : member == BET_SYNC_competitiveSnapshotDigest ? empty_digest
	                                                      : SPAN("{}");
}

static char *put_value_v3(char *out, const struct bet_sync_frame *frame,
                          enum bet_sync_member member)
{
	struct span value = frame->members[member];
	if (member == BET_SYNC_agent1 || member == BET_SYNC_agent2)
		return put_agent_v3(out, frame, member);
	if (member == BET_SYNC_arenaPositions)
		return put_positions_v3(out, frame);
	if (member == BET_SYNC_rendererHealth)
		return put_health_v3(out, frame);
	if (member == BET_SYNC_competitiveSnapshotDigest || member == BET_SYNC_competitiveSnapshot)
		return put(out, snapshot_of(frame, member));
	return put(out, value);
}

size_t bet_sync_frame_v3(const struct bet_sync_frame *frame, char *out)
{
	static const enum bet_sync_member order[] = {BET_SYNC_sourceEpoch,
	                                             BET_SYNC_seq,
	                                             BET_SYNC_emittedAt,
	                                             BET_SYNC_phaseVersion,
	                                             BET_SYNC_duelId,
	                                             BET_SYNC_duelKey,
	                                             BET_SYNC_competitiveSnapshotDigest,
	                                             BET_SYNC_competitiveSnapshot,
	                                             BET_SYNC_phase,
	                                             BET_SYNC_betOpenTime,
	                                             BET_SYNC_betCloseTime,
	                                             BET_SYNC_fightStartTime,
	                                             BET_SYNC_duelEndTime,
	                                             BET_SYNC_winnerId,
	                                             BET_SYNC_outcome,
	                                             BET_SYNC_cancellationReason,
	                                             BET_SYNC_winReason,
	                                             BET_SYNC_seed,
	                                             BET_SYNC_replayHash,
	                                             BET_SYNC_agent1,
	                                             BET_SYNC_agent2,
	                                             BET_SYNC_arenaPositions,
	                                             BET_SYNC_winnerName,
	                                             BET_SYNC_rendererHealth};
	char *at = put(out, SPAN("{\"schemaVersion\":3"));
	for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
		if (order[i] == BET_SYNC_competitiveSnapshotDigest) {
			at = put(at, SPAN(",\"competitiveSnapshotVersion\":"));
			at = put(at, is_null(frame->members[BET_SYNC_duelId]) ? SPAN("null")
			                                                      : SPAN("1"));
		}
		at = put(put(at, SPAN(",")), names[order[i]]);
		at = put_value_v3(at, frame, order[i]);
	}
	return (size_t)(at - out);
}

/* ---- cursors ---- */

enum bet_sync_cursor_result bet_sync_cursor_read(struct bet_sync_cursor *cursor, struct span text)
{
	*cursor = (struct bet_sync_cursor){0};
	if (text.len == 0)
		return BET_SYNC_CURSOR_NONE;
	const uint8_t *dash = memchr(text.at, '-', text.len);
	if (dash == NULL)
		return number(text, &cursor->seq) ? BET_SYNC_CURSOR_SEQ : BET_SYNC_CURSOR_BAD;
	size_t first = (size_t)(dash - text.at);
	return number(span_of(text.at, first), &cursor->epoch) &&
	                       number(span_of(dash + 1, text.len - first - 1), &cursor->seq)
	               ? BET_SYNC_CURSOR_PLACE
	               : BET_SYNC_CURSOR_BAD;
}
