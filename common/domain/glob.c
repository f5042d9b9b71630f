#include "common/domain/glob.h"

/* Only the last star is ever tried again, so that many stars do not multiply. */

static const uint8_t *segment_end(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
	return slash != NULL ? slash : end;
}

/* NULL: there is no further one. */
static const uint8_t *next_segment(const uint8_t *at, const uint8_t *end)
{
	at = segment_end(at, end);
	return at < end ? at + 1 : NULL;
}

/* A star in `s` is a character that only one of `p` takes: so this is also whether one segment
 * covers another. */
static bool segment_matches(const uint8_t *p, const uint8_t *p_end, const uint8_t *s,
                            const uint8_t *s_end)
{
	const uint8_t *star = NULL, *mark = NULL;
	if (s == s_end)
		return p == p_end;
	while (s < s_end) {
		if (p < p_end && *p == '*') {
			star = p++;
			mark = s;
		} else if (p < p_end && *p == *s) {
			p++;
			s++;
		} else if (star != NULL) {
			p = star + 1;
			s = ++mark;
		} else {
			return false;
		}
	}
	while (p < p_end && *p == '*')
		p++;
	return p == p_end;
}

bool glob_segment_matches(struct span pattern, struct span segment)
{
	return segment_matches(pattern.at, pattern.at + pattern.len, segment.at,
	                       segment.at + segment.len);
}

static bool is_globstar(const uint8_t *at, const uint8_t *end)
{
	return segment_end(at, end) - at == 2 && memcmp(at, "**", 2) == 0;
}

static bool glob(struct span pattern, struct span path, bool covers)
{
	const uint8_t *p = pattern.at, *p_end = p + pattern.len, *s = path.at,
	              *s_end = s + path.len, *star = NULL,
	              *mark = NULL; /* behind the last "**", and where it was tried */
	for (;;) {
		if (p != NULL && is_globstar(p, p_end)) {
			star = p = next_segment(p, p_end);
			mark = s;
			if (p == NULL)
				return true;
		} else if (p != NULL && s != NULL && !(covers && is_globstar(s, s_end)) &&
		           segment_matches(p, segment_end(p, p_end), s, segment_end(s, s_end))) {
			p = next_segment(p, p_end);
			s = next_segment(s, s_end);
		} else if (p == NULL && s == NULL) {
			return true;
		} else if (star != NULL && mark != NULL) {
			p = star;
			s = mark = next_segment(mark, s_end);
		} else {
			return false;
		}
	}
}

bool glob_matches(struct span pattern, struct span path)
{
	return glob(pattern, path, false);
}

bool glob_covers(struct span pattern, struct span other)
{
	return glob(pattern, other, true);
}
