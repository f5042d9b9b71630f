/* Rights from hostile words and claims, asked for hostile paths. However a path is spelled, the
 * answer is the same; what covers a pattern matches it as a path; what is printed is read again to
 * the same. The input: what it is (one byte), the rights up to a newline, a path. */
#include "common/base/json_take.h"
#include "common/domain/rights.h"
#include "common/store/stream_name.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rights *read_rights(uint8_t kind, struct span text)
{
	char reason[RIGHTS_REASON_ROOM] = "";
	struct rights_draft *draft = rights_draft_create();
	json_t *json = kind % 3 != 0 ? json_take(text, 0, NULL, &(json_error_t){0}) : NULL;
	bool read = kind % 3 == 0   ? rights_draft_add_text(draft, text, reason)
	            : json == NULL  ? false
	            : kind % 3 == 1 ? rights_draft_add_json(draft, json, reason)
	                            : rights_draft_add_mercure(draft, json, reason);
	if (!read && *reason == '\0' && (kind % 3 == 0 || json != NULL))
		abort();
	json_decref(json);
	if (read)
		return rights_draft_finish(&draft);
	rights_draft_destroy(&draft);
	return NULL;
}

static void ask(const struct rights *rights, struct span path)
{
	uint8_t out[STREAM_NAME_ROOM];
	if (path.len > STREAM_NAME_MAX)
		return;
	struct span canonical = span_of(out, stream_name_canonical(path, out));
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		enum verb verb = (enum verb)v;
		bool may = rights_may(rights, verb, path);
		if (may != rights_may(rights, verb, canonical) ||
		    (may && !rights_any(rights, verb)))
			abort();
		if (path.len > 0 && *path.at == '/' && rights_covers(rights, verb, path) &&
		    memchr(path.at, '*', path.len) == NULL && !may)
			abort();
	}
}

static void print_again(const struct rights *rights)
{
	char *text = rights_text(rights), reason[RIGHTS_REASON_ROOM];
	struct rights *again = rights_of_text(span_str(text), reason);
	if (again == NULL)
		abort();
	char *twice = rights_text(again);
	if (strcmp(text, twice) != 0)
		abort();
	json_t *json = rights_json(rights), *same = rights_json(again);
	if (!json_equal(json, same))
		abort();
	json_decref(same);
	json_decref(json);
	free(twice);
	free(text);
	rights_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const uint8_t *end = memchr(data + 1, '\n', size - 1);
	size_t len = end != NULL ? (size_t)(end - data) - 1 : size - 1;
	struct rights *rights = read_rights(*data, span_of(data + 1, len));
	if (rights == NULL)
		return 0;
	if (end != NULL)
		ask(rights, span_of(end + 1, size - len - 2));
	print_again(rights);
	rights_release(&rights);
	return 0;
}
