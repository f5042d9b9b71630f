/* Rows and ids of connections from hostile bytes: what is taken is written as a row that is taken
 * as the same, whatever is done to it; an id that is good is good as it comes out. */
#include "common/domain/connection.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void row_comes_back(const struct connection *row)
{
	struct connection back;
	char *text = connection_text(row);
	must(connection_read(&back, span_str(text)) == ROW_PRESENT);
	char *again = connection_text(&back);
	must(strcmp(text, again) == 0);
	connection_finish(&back);
	free(text);
	free(again);
}

static void change(struct connection *row)
{
	connection_watch_one(row, "one", true, 5, CONNECTION_WATCHES_MAX);
	connection_switch(row, "two", false, 7, CONNECTION_WATCHES_MAX);
	row_comes_back(row);
	connection_close(row, row->generation, 1, 2, 3);
	connection_state(row, row->watches, row->count / 2, CONNECTION_WATCHES_MAX);
	row_comes_back(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct connection row;
	char cid[CONNECTION_CID_ROOM], again[CONNECTION_CID_ROOM];
	if (connection_read(&row, span_of(data, size)) == ROW_PRESENT) {
		row_comes_back(&row);
		if (row.revision < INT64_MAX - 8 && row.generation < INT64_MAX - 8)
			change(&row);
		connection_finish(&row);
	}
	if (connection_cid_read(span_of(data, size), cid)) {
		must(connection_cid_read(span_str(cid), again));
		must(strcmp(cid, again) == 0);
	}
	return 0;
}
