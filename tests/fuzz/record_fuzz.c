/* A row of the store from hostile bytes, by a table that has every kind of member: what is taken
 * is written as a row that is taken as the same, and what is unreadable leaves the struct alone. */
#include "common/store/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct thing {
	char name[9];
	uint64_t size;
	uint32_t small;
	int side;
	int64_t rank;
	double weight;
	bool open;
	enum { RED, GREEN } colour;
};

static const char *const colours[] = {"red", "green"};
static const struct record_field fields[] = {
        {RECORD_MEMBER("name", struct thing, name), RECORD_NEEDED},
        {RECORD_MEMBER("size", struct thing, size), .sparse = true},
        {RECORD_MEMBER("small", struct thing, small), .since = 2, .standard = 7},
        {RECORD_MEMBER("side", struct thing, side), .min = -1, .max = 1},
        {.name = "rank", .kind = RECORD_MAYBE, RECORD_PLACE(struct thing, rank)},
        {RECORD_MEMBER("weight", struct thing, weight)},
        {RECORD_MEMBER("open", struct thing, open), .standard = true},
        {RECORD_ENUM("colour", struct thing, colour, colours), .standard = GREEN},
        {.name = "more", .kind = RECORD_OBJECT},
        {.name = "list", .kind = RECORD_ARRAY},
};
static const struct record record = {RECORD_FIELDS(fields), .format_name = "v", .format = 2};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thing first, second;
	memset(&first, 0x55, sizeof first);
	second = first;
	json_t *row = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	enum row_found found = record_read(&record, row, &first);
	if ((found == ROW_ABSENT) != (row == NULL) || record_read(&record, row, NULL) != found ||
	    (found != ROW_PRESENT && memcmp(&first, &second, sizeof first) != 0))
		abort();
	if (found == ROW_PRESENT) {
		json_t *again = json_object();
		record_write(&record, &first, again);
		if (record_read(&record, again, &second) != ROW_PRESENT ||
		    strcmp(first.name, second.name) != 0 || first.size != second.size ||
		    first.small != second.small || first.side != second.side ||
		    first.rank != second.rank || first.weight != second.weight ||
		    first.open != second.open || first.colour != second.colour)
			abort();
		json_decref(again);
		record_complete(&record, row);
		if (record_read(&record, row, &second) != ROW_PRESENT)
			abort();
	}
	json_decref(row);
	return 0;
}
