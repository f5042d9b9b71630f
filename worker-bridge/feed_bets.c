#include "worker-bridge/feed_bets.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_ROOM = 96 };

static const struct record_field fields[] = {
        {RECORD_MEMBER("duelId", struct feed_bets, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("betCloseTime", struct feed_bets, close_ms), RECORD_NEEDED},
};
static const struct record record = {RECORD_FIELDS(fields)};

static enum row_found read_row(struct rows *rows, const char *key, struct feed_bets *bets)
{
	json_t *row;
	*bets = (struct feed_bets){0};
	enum row_found found = rows_json(rows, key, &row);
	if (found == ROW_PRESENT)
		found = record_read(&record, row, bets);
	if (found == ROW_UNREADABLE)
		rows_mark(rows, key);
	json_decref(row);
	return found;
}

static bool same(const struct feed_bets *a, const struct feed_bets *b)
{
	return strcmp(a->duel_id, b->duel_id) == 0 && a->close_ms == b->close_ms;
}

bool feed_bets_tell(struct rows *rows, const char *feed, const struct feed_bets *bets)
{
	char key[KEY_ROOM];
	struct feed_bets told;
	snprintf(key, sizeof key, "bets/%s", feed);
	enum row_found found = read_row(rows, key, &told);
	if (found == ROW_UNREADABLE || (found == ROW_PRESENT && same(&told, bets)))
		return false;
	json_t *row = json_object();
	record_write(&record, bets, row);
	rows_put_json(rows, key, row);
	return true;
}

void feed_bets_clock_moved(struct feed_bets_watch *watch, int64_t step_ms)
{
	watch->back_ms += step_ms < 0 ? step_ms : 0;
}

/* It is to be as it is when this is durable. */
static void need(struct rows *rows, const char *key)
{
	struct span row = rows_get(rows, key);
	char *text = xmemdup_text(row.at, row.len);
	rows_put(rows, key, span_of(text, row.len));
	free(text);
}

bool feed_bets_open(struct feed_bets_watch *watch, struct rows *rows, const char *feed,
                    const char *duel_id, uint64_t now_ms)
{
	char key[KEY_ROOM];
	struct feed_bets told;
	snprintf(key, sizeof key, "bets/%s", feed);
	enum row_found found = read_row(rows, key, &told);
	if (found != ROW_PRESENT)
		return found == ROW_ABSENT;
	if (!same(&told, &watch->told))
		*watch = (struct feed_bets_watch){.told = told};
	need(rows, key);
	return strcmp(told.duel_id, duel_id) == 0 &&
	       now_ms < clock_moved_ms(told.close_ms, watch->back_ms);
}
