#include "worker-bridge/past.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

void past_finish(struct past *past)
{
	free(past->duels);
	*past = (struct past){0};
}

static void make_room(struct past *past)
{
	if (past->first > 0 && past->first >= past->count / 2) {
		memmove(past->duels, past->duels + past->first,
		        (past->count - past->first) * sizeof *past->duels);
		past->count -= past->first;
		past->first = 0;
	}
	if (past->count == past->room) {
		past->room = past->room != 0 ? 2 * past->room : 64;
		past->duels = xrealloc(past->duels, past->room * sizeof *past->duels);
	}
}

void past_add(struct past *past, const char *duel_id, uint64_t settled_ms)
{
	struct past_duel duel = {.settled_ms = settled_ms};
	size_t len = strlen(duel_id), i;
	if (len >= sizeof duel.duel_id)
		return;
	memcpy(duel.duel_id, duel_id, len);
	make_room(past);
	for (i = past->count; i > past->first && past->duels[i - 1].settled_ms > settled_ms; i--)
		past->duels[i] = past->duels[i - 1];
	past->duels[i] = duel;
	past->count++;
}

const struct past_duel *past_at(const struct past *past, size_t number)
{
	return number < past->count - past->first ? &past->duels[past->first + number] : NULL;
}

void past_remove(struct past *past, size_t number)
{
	size_t i = past->first + number;
	for (; i > past->first; i--)
		past->duels[i] = past->duels[i - 1];
	past->first++;
}
