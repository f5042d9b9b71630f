#include "worker-bridge/feed_state.h"
#include "common/base/check.h"
#include "worker-bridge/duel_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool feed_name_valid(struct span name)
{
	if (name.len == 0 || name.len > FEED_NAME_MAX || *name.at == '-' ||
	    span_equal(name, SPAN("schemas")))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (memchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.at[i], 37) == NULL)
			return false;
	return true;
}

char *feed_state_row(const struct feed_state *s)
{
	json_t *row = json_pack(
	        "{s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:b,s:s,s:o}", "version", 1, "epoch",
	        (json_int_t)s->epoch, "seq", (json_int_t)s->seq, "lastMs", (json_int_t)s->last_ms,
	        "judgedMs", (json_int_t)s->now_ms, "sourceEpoch", (json_int_t)s->source_epoch,
	        "sourceSeq", (json_int_t)s->source_seq, "sourceDigest", s->source_digest, "ready",
	        s->ready, "reason", s->reason, "cycle", duel_record(&s->cycle));
	check(row != NULL);
	char *text = json_dumps(row, JSON_COMPACT);
	check(text != NULL);
	json_decref(row);
	return text;
}

bool feed_state_read(struct feed_state *state, struct span text)
{
	json_int_t version = 0, epoch = 0, seq = 0, last = 0, judged = 0, source_epoch = 0,
	           source_seq = 0;
	int ready = 0;
	/* What an older release did not write, or may not have. */
	const char *reason = "", *digest = "";
	struct feed_state *s = xmalloc(sizeof *s);
	*s = *state; /* a bad row leaves the good state */
	json_t *cycle,
	        *row = json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, NULL);
	bool good = json_unpack(row, "{s:I,s:I,s:I,s?I,s?I,s:I,s:I,s?s,s?b,s?s,s:o}", "version",
	                        &version, "epoch", &epoch, "seq", &seq, "lastMs", &last, "judgedMs",
	                        &judged, "sourceEpoch", &source_epoch, "sourceSeq", &source_seq,
	                        "sourceDigest", &digest, "ready", &ready, "reason", &reason,
	                        "cycle", &cycle) == 0 &&
	            version == 1 && epoch > 0 && seq >= 0 && last >= 0 && judged >= 0 &&
	            strlen(reason) < sizeof s->reason && strlen(digest) < sizeof s->source_digest &&
	            duel_record_read(&s->cycle, cycle);
	if (good) {
		s->epoch = (uint64_t)epoch;
		s->seq = (uint64_t)seq;
		s->last_ms = (uint64_t)last;
		s->now_ms = (uint64_t)(judged != 0 ? judged : last);
		s->source_epoch = (uint64_t)source_epoch;
		s->source_seq = (uint64_t)source_seq;
		snprintf(s->source_digest, sizeof s->source_digest, "%s", digest);
		s->ready = ready;
		snprintf(s->reason, sizeof s->reason, "%s", reason);
		*state = *s;
	}
	free(s);
	json_decref(row);
	return good;
}
