#include "worker-sse/edge/exchange_head.h"
#include "common/base/check.h"

#include <stdlib.h>

#define HEADER_NAME(NAME, text) SPAN(text),
static const struct span header_names[] = {REQUEST_HEADERS(HEADER_NAME)};
#undef HEADER_NAME

/* Lists may come in several fields; everything else at most once. */
static bool header_repeats(enum request_header h)
{
	return h == HEADER_ACCEPT || h == HEADER_ACCEPT_ENCODING || h == HEADER_CONNECTION ||
	       h == HEADER_COOKIE || h == HEADER_IF_MATCH || h == HEADER_IF_NONE_MATCH ||
	       h == HEADER_SEC_WEBSOCKET_EXTENSIONS || h == HEADER_SEC_WEBSOCKET_PROTOCOL ||
	       h == HEADER_UPGRADE || h == HEADER_X_FORWARDED_FOR || h == HEADER_X_FORWARDED_HOST ||
	       h == HEADER_X_FORWARDED_PROTO || h == HEADER_ACCESS_CONTROL_REQUEST_HEADERS;
}

/* Where the span's bytes are in the copy; one that is not of these bytes stays. */
struct span exchange_head_moved(struct span s, const uint8_t *from, size_t len, const uint8_t *to)
{
	if (s.at == NULL || s.at < from || s.at > from + len)
		return s;
	return span_of(to + (s.at - from), s.len);
}

/* Fields of one name are one list, in their order (RFC 9110 5.3). All lists together are shorter
 * than the head: between two fields stood more than ", ". */
static struct span join_fields(struct exchange_head *kept, const struct http1_head *head,
                               enum request_header h)
{
	if (kept->lists == NULL)
		kept->lists = xmalloc(head->bytes);
	uint8_t *from = kept->lists + kept->lists_len, *at = from;
	for (size_t i = 0; i < head->fields_count; i++) {
		const struct http1_field *field = &head->fields[i];
		if (!span_equal_nocase(field->name, header_names[h]))
			continue;
		if (at != from) {
			memcpy(at, h == HEADER_COOKIE ? "; " : ", ", 2); /* RFC 9113 8.2.3 */
			at += 2;
		}
		memcpy(at, field->value.at, field->value.len);
		at += field->value.len;
	}
	kept->lists_len += (size_t)(at - from);
	check(kept->lists_len <= head->bytes);
	return span_of(from, (size_t)(at - from));
}

static bool is_joined(const struct exchange_head *kept, struct span value)
{
	return kept->lists != NULL && value.at >= kept->lists &&
	       value.at < kept->lists + kept->lists_len;
}

const char *exchange_head_read(struct exchange_head *kept, const struct http1_head *head,
                               const uint8_t *bytes)
{
	struct span *headers = kept->headers;
	const uint8_t *copy = kept->bytes;
	for (size_t i = 0; i < head->fields_count; i++) {
		const struct http1_field *field = &head->fields[i];
		for (int h = 0; h < HEADER_COUNT; h++) {
			if (field->name.len != header_names[h].len ||
			    !span_equal_nocase(field->name, header_names[h]))
				continue;
			if (headers[h].at != NULL && !header_repeats((enum request_header)h))
				return "a header that may stand once stands twice";
			if (headers[h].at != NULL && !is_joined(kept, headers[h]))
				headers[h] = join_fields(kept, head, (enum request_header)h);
			else if (headers[h].at == NULL)
				headers[h] =
				        exchange_head_moved(field->value, bytes, head->bytes, copy);
			break;
		}
	}
	headers[HEADER_HOST] = exchange_head_moved(head->host, bytes, head->bytes, copy);
	return NULL;
}

struct exchange_head *exchange_head_create(const struct http1_head *head, const uint8_t *bytes)
{
	struct exchange_head *kept = xmalloc(sizeof *kept + head->bytes);
	memset(kept, 0, sizeof *kept);
	memcpy(kept->bytes, bytes, head->bytes);
	return kept;
}

void exchange_head_free(struct exchange_head *head)
{
	if (head != NULL) {
		free(head->lists);
		free(head->name);
		free(head->token);
		free((void *)(uintptr_t)head->query.at);
	}
	free(head);
}
