/* What clients of render sessions send, and what may lie in the store, from hostile bytes: an
 * order, a document, a resumption mark. What is read is written back the same. */
#include "common/domain/render_session.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_order(const json_t *body)
{
	struct render_order order;
	char reason[160];
	if (render_order_read(&order, body, 1280, 720, reason) == RENDER_ORDER_OK) {
		if (order.width < 16 || order.width > 3840 || order.height < 16 ||
		    order.height > 2160 || order.fps < 1 || order.fps > 60 || *reason != '\0')
			abort();
	} else if (*reason == '\0') {
		abort();
	}
	render_order_finish(&order);
}

static void fuzz_document(const uint8_t *data, size_t size)
{
	struct render_session *s = render_session_load(span_of(data, size), 1), *again;
	if (s == NULL)
		return;
	char *text = render_session_document(s);
	again = render_session_load(span_str(text), 1);
	if (again == NULL || !json_equal(again->state, s->state))
		abort();
	free(text);
	render_session_destroy(&again);
	render_session_destroy(&s);
}

static void fuzz_mark(const uint8_t *data, size_t size)
{
	uint64_t lineage;
	struct render_mark mark, back;
	char text[RENDER_MARK_ROOM];
	enum render_event kind;
	struct span part;
	render_mark_read(span_of(data, size), &mark);
	if (render_event_read(span_of(data, size), &kind, &mark, &part) &&
	    (part.at < data || part.at + part.len > data + size))
		abort();
	if (!render_mark_parse(span_of(data, size), &lineage, &mark))
		return;
	size_t len = render_mark_print(lineage, mark, text);
	if (!render_mark_parse(span_of(text, len), &lineage, &back) ||
	    render_mark_compare(mark, back) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (body != NULL)
		fuzz_order(body);
	json_decref(body);
	fuzz_document(data, size);
	fuzz_mark(data, size);
	return 0;
}
