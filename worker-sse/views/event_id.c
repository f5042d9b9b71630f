#include "worker-sse/views/event_id.h"

#include <string.h>

/* Two digits at a time, from the last: each of thousands who hear of an event has an id of his own.
 */
static char *put_number(char *out, uint64_t n)
{
	enum { DIGITS_MAX = 13, BASE = 36 };
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char text[DIGITS_MAX + 1];
	size_t at = sizeof text;
	for (; n >= BASE; n /= BASE * BASE) {
		unsigned two = (unsigned)(n % (BASE * BASE));
		text[--at] = digits[two % BASE];
		text[--at] = digits[two / BASE];
	}
	if (n > 0 || at == sizeof text)
		text[--at] = digits[n];
	else if (text[at] == '0')
		at++;
	memcpy(out, text + at, sizeof text - at);
	return out + (sizeof text - at);
}

size_t event_id_print(uint64_t newest, const struct event_place *places, size_t count, char *out)
{
	char *at = out;
	if (newest != 0)
		at = put_number(at, newest);
	if (newest != 0 && count == 0)
		*at++ = '-';
	for (size_t i = 0; i < count; i++) {
		if (i > 0 || newest != 0)
			*at++ = '-';
		at = put_number(at, places[i].stream_id);
		*at++ = '.';
		at = put_number(at, places[i].position);
	}
	return (size_t)(at - out);
}

/* Digits up to something else; no leading zero, no overflow. */
static bool take_number(struct span *text, uint64_t *out)
{
	size_t i = 0;
	uint64_t n = 0;
	for (; i < text->len; i++) {
		uint8_t c = text->at[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = c - (unsigned)'0';
		else if (c >= 'a' && c <= 'z')
			digit = c - (unsigned)'a' + 10;
		else
			break;
		if (n > (UINT64_MAX - digit) / 36)
			return false;
		n = n * 36 + digit;
	}
	if (i == 0 || (i > 1 && text->at[0] == '0'))
		return false;
	*text = span_of(text->at + i, text->len - i);
	*out = n;
	return true;
}

static bool take_char(struct span *text, char c)
{
	if (text->len == 0 || text->at[0] != (uint8_t)c)
		return false;
	*text = span_of(text->at + 1, text->len - 1);
	return true;
}

static bool listed(const struct event_place *places, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (places[i].stream_id == id)
			return true;
	return false;
}

bool event_id_parse(struct span text, uint64_t *newest, struct event_place *places,
                    size_t places_max, size_t *count)
{
	uint64_t first;
	*newest = 0;
	*count = 0;
	if (!take_number(&text, &first) || first == 0)
		return false;
	bool explicit = take_char(&text, '-');
	if (explicit) {
		*newest = first;
		if (text.len == 0)
			return true;
		if (!take_number(&text, &first))
			return false;
	}
	for (;;) {
		uint64_t position;
		if (first == 0 || listed(places, *count, first) || *count == places_max ||
		    !take_char(&text, '.') || !take_number(&text, &position))
			return false;
		places[(*count)++] = (struct event_place){first, position};
		if (!explicit && first > *newest)
			*newest = first;
		if (text.len == 0)
			return true;
		if (!take_char(&text, '-') || !take_number(&text, &first))
			return false;
	}
}
