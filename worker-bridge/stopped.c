#include "worker-bridge/stopped.h"
#include "common/base/check.h"
#include "common/store/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct record_field fields[] = {
        {RECORD_MEMBER("duelId", struct stopped, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("from", struct stopped, from)},
};
static const struct record record = {RECORD_FIELDS(fields)};

struct stopped *stopped_find(struct stopped *all, const char *duel_id)
{
	struct stopped *one;
	HASH_FIND_STR(all, duel_id, one);
	return one;
}

void stopped_add(struct stopped **all, const char *feed, const char *duel_id, uint64_t from)
{
	if (strlen(duel_id) >= sizeof((struct stopped *)0)->duel_id ||
	    stopped_find(*all, duel_id) != NULL)
		return;
	struct stopped *one = xcalloc(1, sizeof *one);
	snprintf(one->feed, sizeof one->feed, "%s", feed);
	snprintf(one->duel_id, sizeof one->duel_id, "%s", duel_id);
	one->from = from;
	HASH_ADD_STR(*all, duel_id, one);
}

void stopped_remove(struct stopped **all, struct stopped *one)
{
	HASH_DEL(*all, one);
	free(one);
}

void stopped_finish(struct stopped **all)
{
	struct stopped *one, *next;
	HASH_ITER (hh, *all, one, next)
		stopped_remove(all, one);
}

json_t *stopped_record(struct stopped *all, const char *feed)
{
	json_t *list = NULL;
	for (struct stopped *one = all; one != NULL; one = one->hh.next) {
		if (strcmp(one->feed, feed) != 0)
			continue;
		if (list == NULL)
			list = json_array();
		json_t *row = json_object();
		record_write(&record, one, row);
		json_array_append_new(list, row);
	}
	return list;
}

void stopped_read(struct stopped **all, const char *feed, const json_t *list)
{
	size_t i;
	json_t *row;
	json_array_foreach (list, i, row) {
		struct stopped one;
		if (record_read(&record, row, &one) == ROW_PRESENT)
			stopped_add(all, feed, one.duel_id, one.from);
	}
}
