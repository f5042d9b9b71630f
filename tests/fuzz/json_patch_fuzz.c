/* A document and a patch from hostile bytes, parted by a newline: applying never does harm, a
 * refused patch leaves the document as it was, and an accepted one is undone by the diff back. */
#include "common/base/json_patch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct json_patch_limits limits = {
	        .operations = 64, .values = 2000, .depth = 32};
	const uint8_t *cut = size > 0 ? memchr(data, '\n', size) : NULL;
	if (cut == NULL)
		return 0;
	size_t first = (size_t)(cut - data);
	json_t *document = json_loadb((const char *)data, first, JSON_DECODE_ANY, NULL);
	json_t *patch = json_loadb((const char *)cut + 1, size - first - 1, JSON_DECODE_ANY, NULL);
	if (document != NULL && patch != NULL) {
		char reason[JSON_PATCH_REASON_ROOM];
		json_t *before = json_deep_copy(document);
		if (json_patch_apply(&document, patch, &limits, reason) != JSON_PATCH_OK) {
			if (!json_equal(before, document) || *reason == '\0')
				abort();
		} else {
			static const struct json_patch_limits back = {1000000, 10000000, 1000};
			json_t *undo = json_patch_diff(document, before);
			if (json_patch_apply(&document, undo, &back, reason) != JSON_PATCH_OK ||
			    !json_equal(before, document))
				abort();
			json_decref(undo);
		}
		json_decref(before);
	}
	json_decref(document);
	json_decref(patch);
	return 0;
}
