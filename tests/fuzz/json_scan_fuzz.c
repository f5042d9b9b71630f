/* Bodies of appends: what is accepted is JSON for another parser too, and is stored as values that
 * each end in a comma; nothing is written beyond the one byte of room. */
#include "common/base/json_scan.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Jansson refuses some valid texts (huge numbers, lone surrogates) and takes a NUL behind a value
 * for its end; whatever else it takes we must take. */
static bool taken_by_another(const uint8_t *data, size_t size)
{
	if (memchr(data, 0, size) != NULL)
		return false;
	json_t *json = json_loadb((const char *)data, size,
	                          JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	json_decref(json);
	return json != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_split out, again;
	uint8_t *body = malloc(size + 1);
	require(body != NULL);
	if (size != 0)
		memcpy(body, data, size);
	const char *reason = json_split(body, size, 512, &out);
	require(reason == NULL || size == 0 || !taken_by_another(data, size));
	const uint8_t *at = out.bytes.at;
	for (uint32_t i = 0; i < out.count; i++) {
		size_t len = out.sizes[i];
		require(len >= 2 && at[len - 1] == ',');
		uint8_t *value = malloc(len);
		require(value != NULL);
		memcpy(value, at, len - 1);
		/* Each is one value by itself; an array in it was not the outermost. */
		bool array = value[0] == '[';
		require(json_split(value, len - 1, 512, &again) == NULL);
		require(array || (again.count == 1 && again.bytes.len == len));
		free(again.sizes);
		free(value);
		at += len;
	}
	require(out.count == 0 || at == out.bytes.at + out.bytes.len);
	free(out.sizes);
	free(body);
	return 0;
}
