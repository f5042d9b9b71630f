#include "common/base/utf8.h"

/* The bytes of the sequence at its front; 0: it is none. */
static size_t sequence(struct span text)
{
	uint8_t lead = text.at[0];
	size_t len = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (len == 1)
		return 1;
	if (lead < 0xc2 || lead > 0xf4 || text.len < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((text.at[i] & 0xc0) != 0x80)
			return 0;
	uint8_t next = text.at[1];
	bool wrong = (lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
	             (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f);
	return wrong ? 0 : len;
}

bool utf8_valid(struct span text)
{
	static const uint64_t high_bits = 0x8080808080808080u;
	while (text.len > 0) {
		uint64_t eight;
		size_t len = sizeof eight;
		if (text.len >= len)
			memcpy(&eight, text.at, len);
		if (text.len < len || (eight & high_bits) != 0)
			len = sequence(text);
		if (len == 0)
			return false;
		text = span_of(text.at + len, text.len - len);
	}
	return true;
}
