#include "worker-sse/views/hls_range.h"
#include "common/domain/output_row.h"

#include <string.h>

enum { DIGITS_MAX = 18 }; /* fits in 64 bits */

/* False: no digits, or too many. */
static bool take_number(struct span *text, uint64_t *number)
{
	size_t digits = 0;
	*number = 0;
	while (text->len > 0 && *text->at >= '0' && *text->at <= '9') {
		*number = *number * 10 + (uint64_t)(*text->at - '0');
		*text = span_of(text->at + 1, text->len - 1);
		if (++digits > DIGITS_MAX)
			return false;
	}
	return digits > 0;
}

static bool take_dash(struct span *text)
{
	bool dash = text->len > 0 && *text->at == '-';
	if (dash)
		*text = span_of(text->at + 1, text->len - 1);
	return dash;
}

/* "-N": the last N bytes. */
static enum hls_range_result suffix(struct span text, uint64_t size, uint64_t *from, uint64_t *len)
{
	uint64_t last;
	if (!take_number(&text, &last) || text.len > 0)
		return HLS_RANGE_WHOLE;
	if (last == 0 || size == 0)
		return HLS_RANGE_OUTSIDE;
	*len = last < size ? last : size;
	*from = size - *len;
	return HLS_RANGE_PART;
}

enum hls_range_result hls_range(struct span header, uint64_t size, uint64_t *from, uint64_t *len)
{
	static const struct span unit = {(const uint8_t *)"bytes=", 6};
	uint64_t first, last = UINT64_MAX;
	*from = 0;
	*len = size;
	if (header.at == NULL || header.len <= unit.len ||
	    !span_equal_nocase(span_of(header.at, unit.len), unit))
		return HLS_RANGE_WHOLE;
	struct span text = span_of(header.at + unit.len, header.len - unit.len);
	if (take_dash(&text))
		return suffix(text, size, from, len);
	if (!take_number(&text, &first) || !take_dash(&text) ||
	    (text.len > 0 && !take_number(&text, &last)) || text.len > 0 || last < first)
		return HLS_RANGE_WHOLE;
	if (first >= size)
		return HLS_RANGE_OUTSIDE;
	*from = first;
	*len = (last < size ? last + 1 : size) - first;
	return HLS_RANGE_PART;
}

bool hls_name_valid(struct span name)
{
	size_t digits = 0;
	if (span_equal(name, span_str(OUTPUT_ROW_PLAYLIST)))
		return true;
	while (digits < name.len && name.at[digits] >= '0' && name.at[digits] <= '9')
		digits++;
	return digits >= OUTPUT_ROW_DIGITS_MIN && digits <= OUTPUT_ROW_DIGITS_MAX &&
	       name.len == digits + 3 && memcmp(name.at + digits, ".ts", 3) == 0;
}
