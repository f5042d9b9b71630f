/* Origins, lists of them, cookies, and tickets in queries: never read past their end; what is
 * canonical stays, and what was taken out of a query is not in it. */
#include "common/base/check.h"
#include "common/base/origin.h"
#include "worker-sse/edge/cookie.h"
#include "worker-sse/edge/query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_origin(struct span text)
{
	char out[ORIGIN_ROOM], again[ORIGIN_ROOM];
	if (origin_read(text, out)) {
		check(origin_read(span_str(out), again) && strcmp(out, again) == 0);
		check(origin_same(text, span_str(out)) && origin_of_url(text, again) &&
		      strcmp(out, again) == 0);
	}
	if (origin_of_url(text, out))
		check(origin_read(span_str(out), again) && strcmp(out, again) == 0);
}

static void look_at_list(const char *list)
{
	struct origins origins;
	if (origins_fault(list) != NULL)
		return;
	origins_init(&origins, list);
	for (size_t i = 0; i < origins.count; i++)
		check(origins_find(&origins, span_str(origins.texts[i])) <= i + 1);
	origins_finish(&origins);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmemdup_text(data, size);
	struct span value, whole = span_of(text, size),
	                   cookie = cookie_find(whole, SPAN("ringside"));
	look_at_origin(whole);
	look_at_list(text);
	check(cookie.at == NULL ||
	      (cookie.at >= whole.at && cookie.at + cookie.len <= whole.at + whole.len));
	size_t len = query_remove((uint8_t *)text, size, "ticket");
	check(len <= size && query_find(span_of(text, len), "ticket", &value) == 0);
	free(text);
	return 0;
}
