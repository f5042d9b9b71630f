#include "worker-sse/views/connection_due.h"
#include "common/base/check.h"

#include <stdlib.h>

enum { ROOM_MIN = 8 };

static void resize(struct connection_dues *dues, size_t room)
{
	dues->heap = xrealloc(dues->heap, room * sizeof *dues->heap);
	dues->room = room;
}

void connection_dues_put(struct connection_dues *dues, const struct connection_due *due)
{
	size_t i = dues->count;
	if (dues->count == dues->room)
		resize(dues, dues->room > 0 ? 2 * dues->room : ROOM_MIN);
	dues->count++;
	for (; i > 0 && dues->heap[(i - 1) / 2].due_ms > due->due_ms; i = (i - 1) / 2)
		dues->heap[i] = dues->heap[(i - 1) / 2];
	dues->heap[i] = *due;
}

const struct connection_due *connection_dues_first(const struct connection_dues *dues)
{
	return dues->count > 0 ? dues->heap : NULL;
}

void connection_dues_pop(struct connection_dues *dues)
{
	check(dues->count > 0);
	const struct connection_due last = dues->heap[--dues->count];
	size_t i = 0;
	for (size_t next = 1; next < dues->count; next = 2 * i + 1) {
		if (next + 1 < dues->count && dues->heap[next + 1].due_ms < dues->heap[next].due_ms)
			next++;
		if (dues->heap[next].due_ms >= last.due_ms)
			break;
		dues->heap[i] = dues->heap[next];
		i = next;
	}
	if (dues->count > 0)
		dues->heap[i] = last;
	if (dues->count == 0) {
		free(dues->heap);
		*dues = (struct connection_dues){0};
	} else if (dues->room > ROOM_MIN && dues->count <= dues->room / 4) {
		resize(dues, dues->room / 2);
	}
}
