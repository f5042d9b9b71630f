/* Request heads from hostile bytes: no read outside of them; a whole head lies within them, is
 * framed in one way only, and is whole at no shorter length; what was refused stays refused. */
#include "common/base/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 32 };

struct outcome {
	enum http1_result result;
	unsigned status;
	struct http1_head head;
};

static bool within(struct span s, const uint8_t *at, size_t size)
{
	return s.len <= size && (s.at == NULL || (s.at >= at && s.at + s.len <= at + size));
}

static void check_whole(const struct http1_head *head, const uint8_t *at)
{
	bool root = head->path.len == 1 && head->path.at[0] == '/';
	if (!(within(head->method, at, head->bytes) && within(head->target, at, head->bytes) &&
	      within(head->query, at, head->bytes) && within(head->host, at, head->bytes)))
		abort();
	if (!root && !within(head->path, at, head->bytes))
		abort();
	if (head->path.len == 0 || (head->path.at[0] != '/' && head->path.at[0] != '*'))
		abort();
	if (head->chunked && (head->length_present || head->minor == 0))
		abort();
	if (head->minor == 1 && head->host.len == 0)
		abort();
	for (size_t i = 0; i < head->fields_count; i++)
		if (!within(head->fields[i].name, at, head->bytes) ||
		    !within(head->fields[i].value, at, head->bytes) ||
		    head->fields[i].name.len == 0 ||
		    memchr(head->fields[i].value.at, '\n', head->fields[i].value.len) != NULL)
			abort();
}

/* In memory of its own size, so that ASan sees an overread. */
static struct outcome parse(const uint8_t *data, size_t size)
{
	static const struct http1_limits limits = {.head_bytes = 2048, .target_bytes = 256};
	struct http1_field fields[FIELDS_MAX];
	struct outcome o = {.head = {.fields = fields, .fields_max = FIELDS_MAX}};
	const char *reason = NULL;
	uint8_t *copy = malloc(size + (size == 0));
	if (copy == NULL)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	o.result = http1_parse(span_of(copy, size), &limits, &o.head, &o.status, &reason);
	if (o.head.bytes > size ||
	    (o.result == HTTP1_REFUSED && (o.status < 400 || reason == NULL)))
		abort();
	if (o.result == HTTP1_WHOLE)
		check_whole(&o.head, copy);
	free(copy);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome all = parse(data, size);
	if (all.result == HTTP1_WHOLE) {
		if (parse(data, all.head.bytes).result != HTTP1_WHOLE ||
		    parse(data, all.head.bytes - 1).result != HTTP1_MORE)
			abort();
	}
	size_t cut = size > 0 ? data[size - 1] * size / 256 : 0;
	struct outcome part = parse(data, cut);
	if (part.result == HTTP1_WHOLE &&
	    (all.result != HTTP1_WHOLE || all.head.bytes != part.head.bytes))
		abort();
	if (part.result == HTTP1_REFUSED && all.result != HTTP1_REFUSED)
		abort();
	if (part.result == HTTP1_MORE && all.result == HTTP1_WHOLE && all.head.bytes <= cut)
		abort();
	return 0;
}
