#include "common/base/origin.h"
#include "common/base/check.h"

#include <stdlib.h>

static const char null_origin[] = "null";

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool is_letter(uint8_t c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3986 3.1. */
static size_t scheme_len(struct span text)
{
	size_t len = 0;
	while (len < text.len && (is_letter(text.at[len]) ||
	                          (len > 0 && (is_digit(text.at[len]) || text.at[len] == '+' ||
	                                       text.at[len] == '-' || text.at[len] == '.'))))
		len++;
	return len;
}

/* A name as browsers have it, after IDNA, or an address; IPv6 in brackets. 0: none. */
static size_t host_len(struct span text)
{
	bool ipv6 = text.len > 0 && *text.at == '[';
	size_t len = ipv6;
	for (; len < text.len; len++) {
		uint8_t c = text.at[len];
		bool hex = is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f');
		if (ipv6 ? !hex && c != ':' && c != '.'
		         : !is_letter(c) && !is_digit(c) && c != '-' && c != '.' && c != '_')
			break;
	}
	if (!ipv6)
		return len;
	return len > 1 && len < text.len && text.at[len] == ']' ? len + 1 : 0;
}

static unsigned scheme_port(struct span scheme)
{
	return span_equal_nocase(scheme, SPAN("http"))    ? 80
	       : span_equal_nocase(scheme, SPAN("https")) ? 443
	                                                  : 0;
}

/* Digits, 1 to 65535. 0: anything else. */
static unsigned port_of(struct span text)
{
	unsigned port = 0;
	if (text.len == 0 || text.len > 5 || *text.at == '0')
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		if (!is_digit(text.at[i]))
			return 0;
		port = port * 10 + (unsigned)(text.at[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

bool origin_read(struct span text, char out[ORIGIN_ROOM])
{
	size_t scheme = scheme_len(text), kept;
	*out = '\0';
	if (scheme == 0 || text.len >= ORIGIN_ROOM || text.len < scheme + 3 ||
	    memcmp(text.at + scheme, "://", 3) != 0)
		return false;
	struct span rest = span_of(text.at + scheme + 3, text.len - scheme - 3);
	size_t host = host_len(rest);
	if (host == 0)
		return false;
	kept = scheme + 3 + host;
	if (host < rest.len) {
		unsigned port = rest.at[host] == ':'
		                        ? port_of(span_of(rest.at + host + 1, rest.len - host - 1))
		                        : 0;
		if (port == 0)
			return false;
		if (port != scheme_port(span_of(text.at, scheme)))
			kept = text.len;
	}
	for (size_t i = 0; i < kept; i++)
		out[i] = (char)lower(text.at[i]);
	out[kept] = '\0';
	return true;
}

bool origin_of_url(struct span url, char out[ORIGIN_ROOM])
{
	size_t from = scheme_len(url) + 3, len = from;
	while (len < url.len && url.at[len] != '/' && url.at[len] != '?' && url.at[len] != '#')
		len++;
	return origin_read(span_of(url.at, len < url.len ? len : url.len), out);
}

bool origin_same(struct span a, struct span b)
{
	char one[ORIGIN_ROOM], other[ORIGIN_ROOM];
	return origin_read(a, one) && origin_read(b, other) && strcmp(one, other) == 0;
}

/* ---- lists ---- */

/* The next item; false: no more. */
static bool next(const char **list, struct span *item)
{
	if (*list == NULL)
		return false;
	size_t len = strcspn(*list, ",");
	*item = span_of(*list, len);
	*list = (*list)[len] == ',' ? *list + len + 1 : NULL;
	return true;
}

static bool read_item(struct span item, char out[ORIGIN_ROOM])
{
	if (origin_read(item, out))
		return true;
	if (!span_equal(item, span_str(null_origin)))
		return false;
	strcpy(out, null_origin);
	return true;
}

const char *origins_fault(const char *list)
{
	char text[ORIGIN_ROOM];
	struct span item;
	size_t count = 0;
	if (strcmp(list, "*") == 0)
		return NULL;
	while (next(&list, &item)) {
		if (span_equal(item, SPAN("*")))
			return "must be * alone, or a list of origins";
		if (!read_item(item, text))
			return "must be *, or origins with commas between: scheme://host[:port]";
		if (++count > ORIGINS_MAX)
			return "must be 64 origins at most";
	}
	return NULL;
}
_Static_assert(ORIGINS_MAX == 64, "as the reason above says");

void origins_init(struct origins *origins, const char *list)
{
	struct span item;
	*origins = (struct origins){.any = strcmp(list, "*") == 0};
	if (origins->any || *list == '\0')
		return;
	origins->texts = xcalloc(ORIGINS_MAX, sizeof *origins->texts);
	while (next(&list, &item)) {
		check(origins->count < ORIGINS_MAX);
		bool good = read_item(item, origins->texts[origins->count]);
		check(good);
		origins->count++;
	}
}

void origins_finish(struct origins *origins)
{
	free(origins->texts);
	*origins = (struct origins){0};
}

size_t origins_find(const struct origins *origins, struct span origin)
{
	char text[ORIGIN_ROOM];
	if (origins->count == 0 || origin.at == NULL || !read_item(origin, text))
		return 0;
	for (size_t i = 0; i < origins->count; i++)
		if (strcmp(origins->texts[i], text) == 0)
			return i + 1;
	return 0;
}
