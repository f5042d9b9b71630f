#include "worker-bridge/lease.h"
#include "common/base/clock.h"
#include "common/store/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LEASE_MS = 10000 };

struct row {
	char holder[LEASE_HOLDER_ROOM];
	uint64_t fence, until_ms;
};

static const struct record_field fields[] = {
        {RECORD_MEMBER("holder", struct row, holder), RECORD_NEEDED},
        {RECORD_MEMBER("fence", struct row, fence), RECORD_NEEDED},
        {RECORD_MEMBER("until", struct row, until_ms), RECORD_NEEDED},
};
static const struct record record = {RECORD_FIELDS(fields)};

void lease_init(struct lease *lease, const char *key, uint64_t supervisor_ms, unsigned slot,
                uint64_t generation)
{
	*lease = (struct lease){
	        .key = key, .supervisor_ms = supervisor_ms, .slot = slot, .generation = generation};
	snprintf(lease->holder, sizeof lease->holder, "%" PRIu64 ":%u:%" PRIu64, supervisor_ms,
	         slot, generation);
}

static bool is_dead(const struct lease *lease, const char *holder)
{
	unsigned long long supervisor, slot, generation;
	if (sscanf(holder, "%llu:%llu:%llu", &supervisor, &slot, &generation) != 3)
		return true;
	return supervisor != lease->supervisor_ms ||
	       (slot == lease->slot && generation != lease->generation);
}

static enum row_found read_row(const struct lease *lease, struct rows *rows, struct row *row)
{
	json_t *json;
	*row = (struct row){0};
	enum row_found found = rows_json(rows, lease->key, &json);
	if (found == ROW_PRESENT)
		found = record_read(&record, json, row);
	if (found == ROW_UNREADABLE)
		rows_mark(rows, lease->key);
	json_decref(json);
	return found;
}

enum lease_look lease_take(struct lease *lease, struct rows *rows, uint64_t now_ms, bool *moved)
{
	struct row row;
	enum row_found found = read_row(lease, rows, &row);
	*moved = found == ROW_UNREADABLE;
	lease->mine = false;
	if (found == ROW_UNREADABLE) {
		lease->entered = false;
		return LEASE_UNREADABLE;
	}
	bool mine = found == ROW_PRESENT && strcmp(row.holder, lease->holder) == 0;
	/* Nobody takes it for longer than LEASE_MS: who seems to have did so before the clock was
	 * set back. */
	bool free_now = found == ROW_ABSENT || is_dead(lease, row.holder) ||
	                now_ms >= row.until_ms || row.until_ms > now_ms + LEASE_MS + CLOCK_STEP_MS;
	*moved = !mine && (!free_now || row.fence != lease->seen_fence ||
	                   row.until_ms != lease->seen_until_ms);
	lease->seen_fence = row.fence;
	lease->seen_until_ms = row.until_ms;
	lease->entered = lease->entered && mine;
	lease->mine = mine || free_now;
	lease->fence = row.fence + !mine;
	return lease->mine ? LEASE_MINE : LEASE_OTHERS;
}

void lease_put(const struct lease *lease, struct rows *rows, uint64_t now_ms)
{
	struct row row = {.fence = lease->fence, .until_ms = now_ms + LEASE_MS};
	json_t *json = json_object();
	memcpy(row.holder, lease->holder, sizeof row.holder);
	record_write(&record, &row, json);
	rows_put_json(rows, lease->key, json);
}
