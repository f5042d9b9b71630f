#include "common/store/row.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"

#include <string.h>

enum { ALERTED_MAX = 1000 }; /* rows that are told apart; beyond it they are counted as one */

struct alerted {
	UT_hash_handle hh;
	char key[];
};

enum row_found row_json(struct state *view, const char *key, json_t **json)
{
	struct span value;
	*json = NULL;
	if (!state_kv_get(view, span_str(key), &value))
		return view->unreadable ? ROW_UNREADABLE : ROW_ABSENT;
	*json = json_loadb((const char *)value.at, value.len, JSON_DECODE_ANY, NULL);
	return *json != NULL ? ROW_PRESENT : ROW_UNREADABLE;
}

void row_alert(struct counters_slot *counters, const char *key)
{
	static struct alerted *all; /* hash by key */
	struct alerted *known;
	HASH_FIND_STR(all, key, known);
	if (known != NULL || HASH_COUNT(all) >= ALERTED_MAX)
		return;
	size_t len = strlen(key);
	known = xcalloc(1, sizeof *known + len + 1);
	memcpy(known->key, key, len);
	HASH_ADD_KEYPTR(hh, all, known->key, len, known);
	if (counters != NULL)
		counter_set(counters, rows_unreadable, HASH_COUNT(all));
	log_error("row unreadable",
	          "key=%s why=\"not a row that this release knows; what it belongs to stands "
	          "still, and it is not written over\"",
	          key);
}
