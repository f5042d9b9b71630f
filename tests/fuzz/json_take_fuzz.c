/* JSON of others from hostile bytes: what jansson takes is taken as it is, whatever is valid is
 * taken (json_scan.h knows what is), what is not stays refused, and what came of it can be written
 * and is read again as the same. */
#include "common/base/check.h"
#include "common/base/json_scan.h"
#include "common/base/json_take.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { JANSSON_DEPTH = JSON_PARSER_MAX_DEPTH };

/* Valid by our other parser, nested no deeper than `depth`? */
static bool valid(struct span text, size_t depth)
{
	struct json_split split;
	uint8_t *body = malloc(text.len + 1);
	check(body != NULL);
	if (text.len != 0)
		memcpy(body, text.at, text.len);
	const char *reason = json_split(body, text.len, depth, &split);
	free(split.sizes);
	free(body);
	return reason == NULL;
}

static void read_again(const json_t *value, size_t flags)
{
	unsigned losses = ~0u;
	char *back = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	check(back != NULL);
	json_t *again = json_take(span_str(back), flags, &losses, NULL);
	check(losses == 0 && json_equal(value, again));
	json_decref(again);
	free(back);
}

static void take(struct span text, size_t flags)
{
	unsigned losses = ~0u;
	json_error_t error;
	json_t *plain =
	        json_loadb(text.len != 0 ? (const char *)text.at : "", text.len, flags, NULL);
	json_t *value = json_take(text, flags, &losses, &error);
	check((*json_loss_text(losses) == '\0') == (losses == 0));
	check(plain == NULL || (losses == 0 && json_equal(plain, value)));
	if (value != NULL)
		read_again(value, flags);
	else
		check(losses == 0 && *error.text != '\0');
	check((flags & JSON_ALLOW_NUL) != 0 || !json_has_nul(value, NULL));
	json_decref(plain);
	json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size); /* of its own size, so that an overread is seen */
	check(copy != NULL || size == 0);
	if (size != 0)
		memcpy(copy, data, size);
	struct span text = span_of(copy, size);
	static const size_t flags[] = {JSON_DECODE_ANY | JSON_ALLOW_NUL, JSON_DECODE_ANY,
	                               JSON_REJECT_DUPLICATES};
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		take(text, flags[i]);
	json_t *value = json_take(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL, NULL);
	bool marked = size >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) ==
	                                   0; /* jansson takes no byte order mark */
	check(value != NULL || marked || !valid(text, JANSSON_DEPTH / 2));
	/* A NUL behind a value is its end for jansson. */
	check(value == NULL || valid(text, 2 * JANSSON_DEPTH) || memchr(text.at, 0, size) != NULL);
	json_decref(value);
	free(copy);
	return 0;
}
