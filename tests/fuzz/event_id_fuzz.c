/* Last-Event-ID of the EventSource view: never reads past its end, and what is accepted prints
 * again. */
#include "common/base/check.h"
#include "worker-sse/views/event_id.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PLACES = 64 };
	struct event_place places[PLACES], back[PLACES];
	uint64_t newest, back_newest;
	size_t count, back_count;
	uint8_t *copy = malloc(size + 1);
	memcpy(copy, data, size);
	if (event_id_parse(span_of(copy, size), &newest, places, PLACES, &count)) {
		char text[EVENT_ID_ROOM + PLACES * EVENT_ID_PLACE_ROOM];
		size_t len = event_id_print(newest, places, count, text);
		check(event_id_parse(span_of(text, len), &back_newest, back, PLACES, &back_count));
		check(newest == back_newest && count == back_count &&
		      memcmp(places, back, count * sizeof *places) == 0);
	}
	free(copy);
	return 0;
}
