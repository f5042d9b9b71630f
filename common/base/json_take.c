#include "common/base/json_take.h"
#include "common/base/check.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAFE_DIGITS = 18, NUMBER_ROOM = 400 };

struct taking {
	const uint8_t *at, *end;
	FILE *out;
	size_t flags;
	unsigned losses;
};

/* ---- texts ---- */

/* "\uXXXX" at `at`: its value; -1: it is none. */
static int escaped(const uint8_t *at, const uint8_t *end)
{
	char hex[5] = "";
	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return -1;
	memcpy(hex, at + 2, 4);
	for (size_t i = 0; i < 4; i++)
		if (!isxdigit((unsigned char)hex[i]))
			return -1;
	return (int)strtol(hex, NULL, 16);
}

static const uint8_t *end_of_text(const uint8_t *at, const uint8_t *end)
{
	for (at++; at < end && *at != '"'; at++)
		at += *at == '\\' && at + 1 < end;
	return at < end ? at + 1 : end;
}

static bool is_name(const uint8_t *after, const uint8_t *end)
{
	while (after < end && (*after == ' ' || *after == '\t' || *after == '\n' || *after == '\r'))
		after++;
	return after < end && *after == ':';
}

/* One escape of a text that begins at t->at, or a byte. */
static void take_character(struct taking *t, const uint8_t *end, bool name)
{
	int first = escaped(t->at, end), second = first >= 0 ? escaped(t->at + 6, end) : -1;
	bool high = first >= 0xd800 && first < 0xdc00, low = first >= 0xdc00 && first < 0xe000;
	bool pair = high && second >= 0xdc00 && second < 0xe000;
	size_t len = pair ? 12 : first >= 0 ? 6 : *t->at == '\\' && end - t->at > 1 ? 2 : 1;
	bool nul = first == 0 && (name || (t->flags & JSON_ALLOW_NUL) == 0);
	if ((high && !pair) || low || nul) {
		t->losses |= nul ? JSON_LOSS_NUL : JSON_LOSS_SURROGATE;
		fputs("\\ufffd", t->out);
	} else {
		fwrite(t->at, 1, len, t->out);
	}
	t->at += len;
}

static void take_text(struct taking *t)
{
	const uint8_t *end = end_of_text(t->at, t->end);
	bool name = is_name(end, t->end);
	fputc(*t->at++, t->out);
	while (t->at < end)
		take_character(t, end, name);
}

/* ---- numbers ---- */

static bool is_of_number(uint8_t c)
{
	return isdigit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* A number (RFC 8259 6) and nothing behind it? */
static bool is_number(const char *text)
{
	static const char digits[] = "0123456789";
	text += *text == '-';
	size_t whole = strspn(text, digits);
	bool good = whole == 1 || (whole > 1 && *text != '0');
	text += whole;
	if (*text == '.') {
		size_t part = strspn(++text, digits);
		good &= part > 0;
		text += part;
	}
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '+' || *text == '-';
		size_t exponent = strspn(text, digits);
		good &= exponent > 0;
		text += exponent;
	}
	return good && *text == '\0';
}

static bool beyond_doubles(const char *text)
{
	return is_number(text) && isinf(strtod(text, NULL));
}

/* An integer that may be too long is read as a double. */
static void take_number(struct taking *t)
{
	const uint8_t *from = t->at;
	bool whole = true;
	while (t->at < t->end && is_of_number(*t->at)) {
		whole &= isdigit(*t->at) || *t->at == '-';
		t->at++;
	}
	size_t len = (size_t)(t->at - from);
	char *text = xmemdup_text(from, len);
	if ((!whole || len > NUMBER_ROOM / 2) && beyond_doubles(text)) {
		t->losses |= JSON_LOSS_NUMBER;
		fputs("null", t->out);
	} else {
		fwrite(from, 1, len, t->out);
		if (whole && len > SAFE_DIGITS)
			fputs("e0", t->out);
	}
	free(text);
}

/* ---- all of it ---- */

static json_t *take_apart(struct span text, size_t flags, unsigned *losses, json_error_t *error)
{
	char *copy = NULL;
	size_t len = 0;
	struct taking t = {.at = text.at,
	                   .end = text.at + text.len,
	                   .out = open_memstream(&copy, &len),
	                   .flags = flags};
	check(t.out != NULL);
	while (t.at < t.end) {
		if (*t.at == '"')
			take_text(&t);
		else if (isdigit(*t.at) || *t.at == '-')
			take_number(&t);
		else
			fputc(*t.at++, t.out);
	}
	check(fclose(t.out) == 0);
	json_t *value = json_loadb(copy, len, flags, error);
	free(copy);
	*losses = value != NULL ? t.losses : 0;
	return value;
}

json_t *json_take(struct span text, size_t flags, unsigned *losses, json_error_t *error)
{
	unsigned none;
	losses = losses != NULL ? losses : &none;
	*losses = 0;
	json_t *value = text.len != 0 ? json_loadb((const char *)text.at, text.len, flags, error)
	                              : json_loadb("", 0, flags, error);
	return value != NULL || text.len == 0 ? value : take_apart(text, flags, losses, error);
}

const char *json_loss_text(unsigned losses)
{
	return losses & JSON_LOSS_NUL         ? "U+0000 became U+FFFD"
	       : losses & JSON_LOSS_SURROGATE ? "half of a surrogate pair became U+FFFD"
	       : losses & JSON_LOSS_NUMBER    ? "a number beyond all doubles became null"
	                                      : "";
}

bool json_has_nul(const json_t *value, const char *except)
{
	const char *name;
	json_t *member;
	size_t i;
	if (json_is_string(value))
		return strlen(json_string_value(value)) != json_string_length(value);
	json_array_foreach (value, i, member)
		if (json_has_nul(member, except))
			return true;
	json_object_foreach ((json_t *)value, name, member)
		if ((except == NULL || strcmp(name, except) != 0) && json_has_nul(member, except))
			return true;
	return false;
}
