#include "worker-bridge/feed_state.h"
#include "common/base/check.h"
#include "common/store/record.h"
#include "worker-bridge/duel_record.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name, member) RECORD_MEMBER(name, struct feed_state, member)
static const struct record_field fields[] = {
        {FIELD("epoch", epoch), RECORD_NEEDED, .min = 1, .max = INT64_MAX},
        {FIELD("seq", seq), RECORD_NEEDED},
        {FIELD("lastMs", last_ms), RECORD_NEEDED},
        {FIELD("judgedMs", now_ms)}, /* 0: with the last frame */
        {FIELD("sourceEpoch", source_epoch), RECORD_NEEDED},
        {FIELD("sourceSeq", source_seq), RECORD_NEEDED},
        {FIELD("sourceDigest", source_digest)},
        {FIELD("ready", ready)},
        {FIELD("reason", reason)},
        {.name = "cycle", .kind = RECORD_OBJECT, RECORD_NEEDED},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields), .format_name = "version", .format = 1};

char *feed_state_row(const struct feed_state *s)
{
	json_t *row = json_object();
	record_write(&record, s, row);
	json_object_set_new(row, "cycle", duel_record(&s->cycle));
	char *text = json_dumps(row, JSON_COMPACT);
	check(text != NULL);
	json_decref(row);
	return text;
}

bool feed_state_read(struct feed_state *state, struct span text)
{
	struct feed_state *s = xmalloc(sizeof *s);
	*s = *state; /* a bad row leaves the good state */
	json_t *row = json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
	bool good = record_read(&record, row, s) == ROW_PRESENT &&
	            duel_record_read(&s->cycle, json_object_get(row, "cycle"));
	if (good) {
		s->now_ms = s->now_ms != 0 ? s->now_ms : s->last_ms;
		*state = *s;
	}
	free(s);
	json_decref(row);
	return good;
}
