#include "worker-bridge/frame_follower.h"
#include "common/base/json_take.h"
#include "common/store/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SCAN_BYTES = 1 << 18,  /* of frames, in one transaction */
	CURSOR_BYTES = 4 << 20 /* frames without consequence that are read again after a crash */
};

struct cursor {
	uint64_t position;
};

static const struct record_field fields[] = {
        {RECORD_MEMBER("position", struct cursor, position), RECORD_NEEDED},
        {.name = "active", .kind = RECORD_ARRAY, RECORD_NEEDED},
        {.name = "stopped", .kind = RECORD_ARRAY, .sparse = true},
};
static const struct record record = {RECORD_FIELDS(fields)};

void frame_follower_init(struct frame_follower *follower, const char *feed)
{
	*follower = (struct frame_follower){0};
	snprintf(follower->name, sizeof follower->name, "%s", feed);
	snprintf(follower->path, sizeof follower->path, "/v1/stream/feeds/%s/frames", feed);
	snprintf(follower->key, sizeof follower->key, "market/cursor/%s", feed);
}

void frame_follower_load(struct frame_follower *follower, struct rows *rows, json_t **row)
{
	struct cursor cursor = {0};
	enum row_found found = rows_json(rows, follower->key, row);
	if (found == ROW_PRESENT)
		found = record_read(&record, *row, &cursor);
	follower->lost = found == ROW_UNREADABLE;
	if (!follower->lost) {
		follower->seen = follower->kept = cursor.position;
		return;
	}
	rows_mark(rows, follower->key);
	json_decref(*row);
	*row = NULL;
}

void frame_follower_put(struct frame_follower *follower, struct rows *rows, json_t *active,
                        json_t *stopped)
{
	const struct cursor cursor = {follower->seen};
	json_t *row = json_object();
	record_write(&record, &cursor, row);
	json_object_set_new(row, "active", active);
	if (stopped != NULL)
		json_object_set_new(row, "stopped", stopped);
	rows_put_json(rows, follower->key, row);
}

bool frame_follower_resting(const struct frame_follower *follower, struct rows *rows)
{
	return follower->lost ||
	       (follower->seen == follower->kept && rows_get(rows, follower->key).at == NULL);
}

bool frame_follower_far(const struct frame_follower *follower)
{
	return !follower->lost && follower->seen - follower->kept > CURSOR_BYTES;
}

void frame_follower_kept(struct frame_follower *follower)
{
	follower->kept = follower->seen;
}

/* ---- reading ---- */

static struct stream *stream_of(const struct frame_follower *follower, struct store *store)
{
	return state_find(store_view(store), span_str(follower->path));
}

struct reading {
	struct frame_follower *follower;
	const struct frame_visit *visit;
};

static bool take_frame(void *arg, const struct store_message *message)
{
	struct reading *r = arg;
	bool more = true;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	if (frame != NULL)
		more = r->visit->frame(r->visit->arg, frame, r->follower->seen);
	else
		said_log(r->visit->said, LOG_LEVEL_ERROR, "frame unreadable",
		         "feed=%s ends_at=%" PRIu64, r->follower->name, message->ends_at);
	json_decref(frame);
	r->follower->seen = message->ends_at;
	return more;
}

bool frame_follower_read(struct frame_follower *follower, struct store *store,
                         const struct frame_visit *visit)
{
	struct reading reading = {follower, visit};
	struct stream *stream = stream_of(follower, store);
	if (stream == NULL || follower->lost || follower->seen >= stream->tail)
		return false;
	if (follower->seen < stream->first) {
		said_log(visit->said, LOG_LEVEL_ERROR,
		         "frames were trimmed before the market saw them",
		         "feed=%s from=%" PRIu64 " to=%" PRIu64, follower->name, follower->seen,
		         stream->first);
		follower->seen = stream->first;
	}
	if (store_scan(store, stream, follower->seen, stream->tail, SCAN_BYTES, take_frame,
	               &reading) != STORE_READ_OK) {
		said_log(visit->said, LOG_LEVEL_ERROR, "frames not readable", "feed=%s at=%" PRIu64,
		         follower->name, follower->seen);
		return false; /* the next change tries again, not the next turn */
	}
	return follower->seen < stream->tail;
}

struct rereading {
	const char *duel_id;
	uint64_t at;
	const struct frame_visit *visit;
};

static bool take_missed(void *arg, const struct store_message *message)
{
	struct rereading *r = arg;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	const char *duel_id = json_string_value(json_object_get(frame, "duelId"));
	if (duel_id != NULL && strcmp(duel_id, r->duel_id) == 0)
		r->visit->frame(r->visit->arg, frame, r->at);
	json_decref(frame);
	r->at = message->ends_at;
	return true;
}

void frame_follower_again(const struct frame_follower *follower, struct store *store,
                          const char *duel_id, uint64_t from, const struct frame_visit *visit)
{
	struct rereading rereading = {duel_id, from, visit};
	struct stream *stream = stream_of(follower, store);
	if (stream == NULL)
		return;
	uint64_t to = follower->seen < stream->tail ? follower->seen : stream->tail;
	if (from < stream->first) {
		said_log(visit->said, LOG_LEVEL_ERROR,
		         "frames were trimmed before the market saw them",
		         "feed=%s duel=%s from=%" PRIu64 " to=%" PRIu64, follower->name, duel_id,
		         from, stream->first);
		rereading.at = stream->first;
	}
	for (uint64_t before = UINT64_MAX; rereading.at < to && rereading.at != before;) {
		before = rereading.at;
		if (store_scan(store, stream, rereading.at, to, SCAN_BYTES, take_missed,
		               &rereading) != STORE_READ_OK)
			said_log(visit->said, LOG_LEVEL_ERROR, "frames not readable",
			         "feed=%s at=%" PRIu64, follower->name, rereading.at);
	}
}

uint64_t frame_follower_lag(const struct frame_follower *follower, struct store *store)
{
	const struct stream *stream = stream_of(follower, store);
	return stream != NULL && stream->tail > follower->seen ? stream->tail - follower->seen : 0;
}
