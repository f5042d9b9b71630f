#include "worker-sse/views/bet_sync_frame.h"

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
	for (size_t i = 0; i < BET_SYNC_MEMBER_COUNT; i++) {
		size_t left = (size_t)(end - at);
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

/* ---- version 1 ---- */

static char *put(char *out, struct span bytes)
{
	memcpy(out, bytes.at, bytes.len);
	return out + bytes.len;
}

/* {ready, degradedReason, updatedAt} are the first three members of version 2's. */
static char *put_health(char *out, struct span health)
{
	size_t at = 0;
	for (size_t member = 0; member < 3; member++) {
		if (at + 1 >= health.len)
			return put(out, health); /* null, or with fewer members than we know */
		at++;                            /* the brace, the comma */
		at += value_len(health.at + at, health.len - at);
	}
	if (at >= health.len || health.at[at] != ',')
		return put(out, health);
	return put(put(out, span_of(health.at, at)), SPAN("}"));
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
