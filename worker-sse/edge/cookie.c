#include "worker-sse/edge/cookie.h"
#include "common/base/check.h"

#include <inttypes.h>
#include <stdio.h>

static struct span trimmed(struct span s)
{
	while (s.len > 0 && (*s.at == ' ' || *s.at == '\t'))
		s = span_of(s.at + 1, s.len - 1);
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct span cookie_find(struct span header, struct span name)
{
	const uint8_t *at = header.at, *end = header.at + header.len;
	while (at != NULL && at < end) {
		const uint8_t *stop = memchr(at, ';', (size_t)(end - at));
		stop = stop != NULL ? stop : end;
		const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
		if (equals != NULL &&
		    span_equal(trimmed(span_of(at, (size_t)(equals - at))), name)) {
			struct span value =
			        trimmed(span_of(equals + 1, (size_t)(stop - equals - 1)));
			if (value.len >= 2 && *value.at == '"' && value.at[value.len - 1] == '"')
				value = span_of(value.at + 1, value.len - 2);
			return value;
		}
		at = stop + 1;
	}
	return (struct span){0};
}

#define ATTRIBUTES "; Path=/; HttpOnly; SameSite=Lax"

char *cookie_text(struct span value, bool secure, uint64_t seconds)
{
	char *text = NULL;
	check(asprintf(&text, "%s=%.*s" ATTRIBUTES "%s; Max-Age=%" PRIu64,
	               secure ? COOKIE_HOST : COOKIE_BARE, (int)value.len, value.at,
	               secure ? "; Secure" : "", seconds) > 0);
	return text;
}

const char *cookie_gone(bool secure)
{
	return secure ? COOKIE_HOST "=" ATTRIBUTES "; Secure; Max-Age=0"
	              : COOKIE_BARE "=" ATTRIBUTES "; Max-Age=0";
}
