#include "worker-sse/edge/query.h"

bool query_next(struct span *query, struct span *name, struct span *value)
{
	if (query->at == NULL || query->len == 0)
		return false;
	const uint8_t *at = query->at, *end = query->at + query->len;
	const uint8_t *amp = memchr(at, '&', query->len);
	const uint8_t *stop = amp != NULL ? amp : end;
	const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
	*name = span_of(at, (size_t)((equals != NULL ? equals : stop) - at));
	*value = equals != NULL ? span_of(equals + 1, (size_t)(stop - equals - 1))
	                        : span_of(stop, 0);
	*query = amp != NULL ? span_of(amp + 1, (size_t)(end - amp - 1)) : span_of(end, 0);
	return true;
}

unsigned query_find(struct span query, const char *name, struct span *value)
{
	unsigned count = 0;
	struct span found_name, found;
	while (query_next(&query, &found_name, &found))
		if (span_equal(found_name, span_str(name)) && count++ == 0)
			*value = found;
	return count;
}

size_t query_remove(uint8_t *query, size_t len, const char *name)
{
	struct span left = span_of(query, len), found, value;
	uint8_t *to = query;
	bool first = true;
	for (const uint8_t *at = left.at; query_next(&left, &found, &value); at = left.at) {
		size_t part = (size_t)(value.at + value.len - at);
		if (span_equal(found, span_str(name)))
			continue;
		if (!first)
			*to++ = '&';
		memmove(to, at, part);
		to += part;
		first = false;
	}
	return (size_t)(to - query);
}

bool list_next(struct span *list, struct span *element)
{
	if (list->len == 0)
		return false;
	const uint8_t *comma = memchr(list->at, ',', list->len);
	size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;
	struct span e = span_of(list->at, len);
	len += comma != NULL;
	*list = span_of(list->at + len, list->len - len);
	while (e.len > 0 && (*e.at == ' ' || *e.at == '\t'))
		e = span_of(e.at + 1, e.len - 1);
	while (e.len > 0 && (e.at[e.len - 1] == ' ' || e.at[e.len - 1] == '\t'))
		e.len--;
	*element = e;
	return true;
}

struct span list_last(struct span list)
{
	struct span element, last = {0};
	while (list_next(&list, &element))
		if (element.len > 0)
			last = element;
	return last;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t query_decode(struct span in, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < in.len; i++) { /* by pieces: a '+' that was escaped is one */
		size_t piece = in.at[i] == '+' ? 0 : 1;
		while (piece != 0 && i + piece < in.len && in.at[i + piece] != '+')
			piece++;
		if (piece == 0) {
			out[len++] = ' ';
			continue;
		}
		size_t more = percent_decode(span_of(in.at + i, piece), out + len);
		if (more == SIZE_MAX)
			return SIZE_MAX;
		len += more;
		i += piece - 1;
	}
	return len;
}

size_t percent_decode(struct span in, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.at[i];
		if (c == '%') {
			if (in.len - i < 3)
				return SIZE_MAX;
			int high = hex(in.at[i + 1]), low = hex(in.at[i + 2]);
			if (high < 0 || low < 0)
				return SIZE_MAX;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		out[len++] = c;
	}
	return len;
}
