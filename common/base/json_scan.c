#include "common/base/json_scan.h"
#include "common/base/check.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { DEPTH_ROOM = 10001 };

struct scan {
	const uint8_t *at, *end, *fault_at;
	const char *fault;
};

static bool fail(struct scan *s, const char *fault)
{
	if (s->fault == NULL) {
		s->fault = fault;
		s->fault_at = s->at;
	}
	return false;
}

static void skip_blanks(struct scan *s)
{
	while (s->at < s->end &&
	       (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

/* To the first byte that is not plain text of a string: quote, backslash, control, not ASCII. */
static void skip_plain(struct scan *s)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(0x20);
	while (s->end - s->at >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)s->at);
		/* Signed: bytes of 0x80 and above are below the space too. */
		__m128i odd = _mm_or_si128(
		        _mm_cmplt_epi8(v, space),
		        _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
		int mask = _mm_movemask_epi8(odd);
		if (mask != 0) {
			s->at += __builtin_ctz((unsigned)mask);
			return;
		}
		s->at += 16;
	}
#endif
	while (s->at < s->end && *s->at >= 0x20 && *s->at < 0x80 && *s->at != '"' && *s->at != '\\')
		s->at++;
}

/* One UTF-8 sequence of more than a byte: no overlong forms, no surrogates (RFC 3629). */
static bool take_utf8(struct scan *s)
{
	uint8_t lead = s->at[0];
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (lead < 0xc2 || lead > 0xf4 || (size_t)(s->end - s->at) < len)
		return fail(s, "invalid UTF-8");
	for (size_t i = 1; i < len; i++)
		if ((s->at[i] & 0xc0) != 0x80)
			return fail(s, "invalid UTF-8");
	uint8_t next = s->at[1];
	if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
	    (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))
		return fail(s, "invalid UTF-8");
	s->at += len;
	return true;
}

static bool is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool take_escape(struct scan *s)
{
	if (s->end - s->at < 2)
		return fail(s, "unterminated string");
	uint8_t c = s->at[1];
	if (c == 'u') {
		if (s->end - s->at < 6 || !is_hex(s->at[2]) || !is_hex(s->at[3]) ||
		    !is_hex(s->at[4]) || !is_hex(s->at[5]))
			return fail(s, "malformed \\u escape");
		s->at += 6;
		return true;
	}
	if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
		return fail(s, "unknown escape in a string");
	s->at += 2;
	return true;
}

static bool take_string(struct scan *s)
{
	s->at++;
	for (;;) {
		skip_plain(s);
		if (s->at == s->end)
			return fail(s, "unterminated string");
		if (*s->at == '"') {
			s->at++;
			return true;
		}
		if (*s->at < 0x20)
			return fail(s, "control character in a string");
		if (!(*s->at == '\\' ? take_escape(s) : take_utf8(s)))
			return false;
	}
}

static bool take_digits(struct scan *s)
{
	const uint8_t *from = s->at;
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > from || fail(s, "malformed number");
}

static bool take_number(struct scan *s)
{
	if (*s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!take_digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!take_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at | 0x20) == 'e') {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		return take_digits(s);
	}
	return true;
}

static bool take_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return fail(s, "not a JSON value");
	s->at += len;
	return true;
}

static bool take_scalar(struct scan *s)
{
	switch (*s->at) {
	case '"':
		return take_string(s);
	case 't':
		return take_word(s, "true");
	case 'f':
		return take_word(s, "false");
	case 'n':
		return take_word(s, "null");
	default:
		return *s->at == '-' || (*s->at >= '0' && *s->at <= '9')
		               ? take_number(s)
		               : fail(s, "not a JSON value");
	}
}

static bool take_colon(struct scan *s)
{
	skip_blanks(s);
	if (s->at == s->end || *s->at != ':')
		return fail(s, "colon expected");
	s->at++;
	skip_blanks(s);
	return true;
}

static bool take_key(struct scan *s)
{
	if (s->at == s->end || *s->at != '"')
		return fail(s, "object key expected");
	return take_string(s) && take_colon(s);
}

/* One value, however deep: a stack of what is open stands for the recursion. */
static bool take_value(struct scan *s, size_t depth_max)
{
	static _Thread_local uint8_t open[DEPTH_ROOM]; /* closing characters */
	size_t depth = 0;
	for (;;) {
		if (s->at == s->end)
			return fail(s, "unexpected end");
		uint8_t c = *s->at;
		if (c == '{' || c == '[') {
			if (depth == depth_max)
				return fail(s, "nested deeper than limits.json_depth");
			open[depth++] = c == '{' ? '}' : ']';
			s->at++;
			skip_blanks(s);
			if (s->at < s->end && *s->at != open[depth - 1]) {
				if (c == '{' && !take_key(s))
					return false;
				continue;
			}
		} else if (!take_scalar(s)) {
			return false;
		}
		/* After a value: close what ends here, go on behind a comma. */
		for (;;) {
			if (depth == 0)
				return true;
			skip_blanks(s);
			if (s->at == s->end)
				return fail(s, "unexpected end");
			if (*s->at == open[depth - 1]) {
				s->at++;
				depth--;
				continue;
			}
			if (*s->at != ',')
				return fail(s, "comma expected");
			s->at++;
			skip_blanks(s);
			if (open[depth - 1] == '}' && !take_key(s))
				return false;
			break;
		}
	}
}

static void add_size(struct json_split *out, uint32_t size)
{
	if (out->count == out->room) {
		out->room = out->room != 0 ? out->room * 2 : 8;
		out->sizes = xrealloc(out->sizes, out->room * sizeof *out->sizes);
	}
	out->sizes[out->count++] = size;
}

/* The elements of a top-level array move together where blanks stood between them. */
static bool split_array(struct scan *s, uint8_t *body, size_t depth_max, struct json_split *out)
{
	s->at++;
	uint8_t *stored = body + (s->at - body);
	out->bytes = span_of(stored, 0);
	skip_blanks(s);
	if (s->at < s->end && *s->at == ']') {
		s->at++;
		return true;
	}
	for (;;) {
		skip_blanks(s);
		const uint8_t *from = s->at;
		if (!take_value(s, depth_max))
			return false;
		size_t len = (size_t)(s->at - from);
		skip_blanks(s);
		if (s->at == s->end || (*s->at != ',' && *s->at != ']'))
			return fail(s, "comma expected");
		bool last = *s->at == ']';
		if (stored != from)
			memmove(stored, from, len);
		stored[len] = ',';
		stored += len + 1;
		add_size(out, (uint32_t)len + 1);
		s->at++;
		if (last) {
			out->bytes.len = (size_t)(stored - out->bytes.at);
			return true;
		}
	}
}

const char *json_split(uint8_t *body, size_t len, size_t depth_max, struct json_split *out)
{
	struct scan s = {body, body + len, body, NULL};
	*out = (struct json_split){0};
	if (depth_max >= DEPTH_ROOM)
		depth_max = DEPTH_ROOM - 1;
	if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0)
		s.at += 3;
	skip_blanks(&s);
	if (s.at == s.end) {
		out->fault_at = len;
		return "no JSON value";
	}
	bool array = *s.at == '[';
	uint8_t *from = body + (s.at - body);
	bool ok = array ? split_array(&s, body, depth_max, out) : take_value(&s, depth_max);
	const uint8_t *to = s.at;
	skip_blanks(&s);
	if (ok && s.at != s.end)
		ok = fail(&s, "something behind the JSON value");
	if (!ok) {
		free(out->sizes);
		*out = (struct json_split){.fault_at = (size_t)(s.fault_at - body)};
		return s.fault;
	}
	if (!array) {
		size_t value_len = (size_t)(to - from);
		from[value_len] = ',';
		out->bytes = span_of(from, value_len + 1);
		add_size(out, (uint32_t)value_len + 1);
	}
	return NULL;
}

static bool take_members(struct scan *s, size_t depth_max,
                         void (*member)(void *arg, struct span key, struct span value), void *arg)
{
	skip_blanks(s);
	if (s->at == s->end || *s->at != '{')
		return fail(s, "an object is expected");
	s->at++;
	skip_blanks(s);
	if (s->at < s->end && *s->at == '}') {
		s->at++;
		return true;
	}
	for (;;) {
		const uint8_t *name = s->at + 1;
		if (s->at == s->end || *s->at != '"')
			return fail(s, "object key expected");
		if (!take_string(s))
			return false;
		struct span key = span_of(name, (size_t)(s->at - name) - 1);
		if (!take_colon(s))
			return false;
		const uint8_t *from = s->at;
		if (!take_value(s, depth_max))
			return false;
		member(arg, key, span_of(from, (size_t)(s->at - from)));
		skip_blanks(s);
		if (s->at == s->end || (*s->at != ',' && *s->at != '}'))
			return fail(s, "comma expected");
		if (*s->at++ == '}')
			return true;
		skip_blanks(s);
	}
}

const char *json_members(struct span object, size_t depth_max,
                         void (*member)(void *arg, struct span key, struct span value), void *arg)
{
	struct scan s = {object.at, object.at + object.len, object.at, NULL};
	if (depth_max >= DEPTH_ROOM)
		depth_max = DEPTH_ROOM - 1;
	if (!take_members(&s, depth_max, member, arg))
		return s.fault;
	skip_blanks(&s);
	if (s.at != s.end)
		fail(&s, "something behind the JSON value");
	return s.fault;
}
