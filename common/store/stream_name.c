#include "common/store/stream_name.h"

#include <string.h>

enum { PLAIN = 1, RAW = 2 }; /* never encoded; not encoded in the canonical form */

static const uint8_t kinds[256] = {
#define ROW(c) [(uint8_t)(c)] = PLAIN | RAW
        ['A' ... 'Z'] = PLAIN | RAW,
        ['a' ... 'z'] = PLAIN | RAW,
        ['0' ... '9'] = PLAIN | RAW,
        ROW('-'),
        ROW('.'),
        ROW('_'),
        ROW('~'),
        ROW('/'),
#undef ROW
#define ROW(c) [(uint8_t)(c)] = RAW
        ROW('!'),
        ROW('$'),
        ROW('&'),
        ROW('\''),
        ROW('('),
        ROW(')'),
        ROW('*'),
        ROW('+'),
        ROW(','),
        ROW(';'),
        ROW('='),
        ROW(':'),
        ROW('@'),
#undef ROW
};

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at `at`, decoded once; *used is how much it takes there. */
static uint8_t byte_at(struct span name, size_t at, bool *escaped)
{
	int high = at + 2 < name.len ? hex(name.at[at + 1]) : -1,
	    low = at + 2 < name.len ? hex(name.at[at + 2]) : -1;
	*escaped = name.at[at] == '%' && high >= 0 && low >= 0;
	return (uint8_t)(*escaped ? high << 4 | low : name.at[at]);
}

/* Whatever is neither plain nor in `raw` is encoded. */
static size_t spell(struct span name, const char *raw, const char *digits, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < name.len; i++) {
		bool escaped;
		uint8_t c = byte_at(name, i, &escaped);
		i += escaped ? 2 : 0;
		bool stands = (kinds[c] & PLAIN) || (c != '\0' && strchr(raw, c) != NULL);
		if (stands && !(escaped && c == '/')) {
			out[len++] = c;
			continue;
		}
		out[len++] = '%';
		out[len++] = (uint8_t)digits[c >> 4];
		out[len++] = (uint8_t)digits[c & 15];
	}
	return len;
}

static const char canonical[] = "!$&'()*+,;=:@", upper[] = "0123456789ABCDEF",
                  lower[] = "0123456789abcdef";

size_t stream_name_canonical(struct span name, uint8_t *out)
{
	return spell(name, canonical, upper, out);
}

bool stream_name_is_canonical(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (kinds[name.at[i]] & RAW)
			continue;
		bool escaped;
		uint8_t c = byte_at(name, i, &escaped);
		if (!escaped || ((kinds[c] & RAW) && c != '/') || name.at[i + 1] >= 'a' ||
		    name.at[i + 2] >= 'a')
			return false;
		i += 2;
	}
	return true;
}

bool stream_name_text(struct span name, char *out, size_t out_len)
{
	uint8_t text[STREAM_NAME_ROOM];
	if (name.len > STREAM_NAME_MAX)
		return false;
	size_t len = stream_name_canonical(name, text);
	if (len >= out_len)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

bool stream_name_equal(struct span a, struct span b)
{
	uint8_t one[STREAM_NAME_ROOM], two[STREAM_NAME_ROOM];
	if (span_equal(a, b))
		return true;
	if (a.len > STREAM_NAME_MAX || b.len > STREAM_NAME_MAX)
		return false;
	return span_equal(span_of(one, stream_name_canonical(a, one)),
	                  span_of(two, stream_name_canonical(b, two)));
}

static bool is_plain(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!(kinds[name.at[i]] & PLAIN))
			return false;
	return true;
}

bool stream_name_spelling(unsigned n, struct span name, uint8_t out[STREAM_NAME_ROOM],
                          struct span *spelling)
{
	/* What stands as it is, and the digits of what does not: canonically, by curl, browsers of
	 * then and now, encodeURIComponent, Go, Python; and where libraries write them in lower
	 * case. */
	static const struct {
		const char *raw, *digits;
	} rows[] = {{canonical, upper},
	            {"!$&'()*+,;=:@\"<>[\\]^`{|}", upper},
	            {"!$&'()*+,;=:@[]^|", upper},
	            {"!$&'()*+,;=:@[]|", upper},
	            {"!*'()", upper},
	            {"$&+=:@", upper},
	            {"", upper},
	            {canonical, lower},
	            {"", lower}};
	*spelling = name;
	if (n == 0)
		return true;
	if (n > sizeof rows / sizeof *rows || name.len > STREAM_NAME_MAX || is_plain(name))
		return false;
	*spelling = span_of(out, spell(name, rows[n - 1].raw, rows[n - 1].digits, out));
	return true;
}
