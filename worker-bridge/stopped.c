#include "worker-bridge/stopped.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		json_array_append_new(list, json_pack("{s:s,s:I}", "duelId", one->duel_id, "from",
		                                      (json_int_t)one->from));
	}
	return list;
}

void stopped_read(struct stopped **all, const char *feed, const json_t *record)
{
	size_t i;
	json_t *one;
	json_array_foreach (record, i, one) {
		const char *duel_id = json_string_value(json_object_get(one, "duelId"));
		if (duel_id != NULL)
			stopped_add(all, feed, duel_id,
			            (uint64_t)json_integer_value(json_object_get(one, "from")));
	}
}
