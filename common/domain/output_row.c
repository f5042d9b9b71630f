#include "common/domain/output_row.h"
#include "common/base/check.h"
#include "common/store/record.h"

#define FIELD(name, member) RECORD_MEMBER(name, struct output_row, member)
static const struct record_field fields[] = {
        {FIELD("added", added), RECORD_NEEDED},
        {FIELD("own", own)},
        {FIELD("url", url), .sparse = true},
        {FIELD("digest", digest), .sparse = true},
        {FIELD("hls", hls), .sparse = true},
        {FIELD("paused", paused)},
        {FIELD("removed", removed)},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)};

enum row_found output_row_read(struct output_row *row, struct span value)
{
	json_t *json = json_loadb((const char *)value.at, value.len, JSON_REJECT_DUPLICATES, NULL);
	bool good = record_read(&record, json, row) == ROW_PRESENT &&
	            *(row->added ? row->url : row->digest) != '\0';
	json_decref(json);
	return good ? ROW_PRESENT : ROW_UNREADABLE;
}

char *output_row_text(const struct output_row *row)
{
	json_t *json = json_object();
	record_write(&record, row, json);
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	json_decref(json);
	return text;
}
