#include "common/store/offset.h"
#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

enum { INTERVAL_MS = 20000, CURSOR_JITTER_S = 3600 };
static const uint64_t cursor_epoch_ms = 1728432000000u; /* 2024-10-09T00:00:00Z */

static bool digits(const uint8_t *at, size_t len, uint64_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (at[i] < '0' || at[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(at[i] - '0');
	}
	*out = n;
	return true;
}

struct offset offset_parse(struct span text)
{
	struct offset o = {0};
	if (span_equal(text, SPAN("-1")))
		o.kind = OFFSET_START;
	else if (span_equal(text, SPAN("now")))
		o.kind = OFFSET_NOW;
	else if (text.len == OFFSET_TEXT_LEN && text.at[16] == '_' &&
	         digits(text.at, 16, &o.lineage) && digits(text.at + 17, 16, &o.position))
		o.kind = OFFSET_AT;
	return o;
}

static void print_digits(char *out, uint64_t n)
{
	for (int i = 15; i >= 0; i--, n /= 10)
		out[i] = (char)('0' + n % 10);
}

struct span offset_print(uint64_t lineage, uint64_t position, char out[OFFSET_ROOM])
{
	print_digits(out, position != 0 ? lineage : 0);
	out[16] = '_';
	print_digits(out + 17, position);
	out[OFFSET_TEXT_LEN] = '\0';
	return span_of(out, OFFSET_TEXT_LEN);
}

uint64_t cursor_next(uint64_t wall_ms, struct span echoed)
{
	uint64_t now = (wall_ms - cursor_epoch_ms) / INTERVAL_MS, c;
	if (echoed.len == 0 || echoed.len > 15 || !digits(echoed.at, echoed.len, &c) || c < now)
		return now;
	uint64_t seconds = 1 + clock_random_below(CURSOR_JITTER_S);
	return c + (seconds * 1000 + INTERVAL_MS - 1) / INTERVAL_MS;
}

struct span etag_print(const struct stream *stream, uint64_t from, uint64_t to, bool closed,
                       char out[96])
{
	int len = snprintf(out, 96, "\"%llx-%llx-%llx%s\"", (unsigned long long)stream->id,
	                   (unsigned long long)from, (unsigned long long)to, closed ? "c" : "");
	return span_of(out, (size_t)len);
}

bool etag_matches(struct span list, struct span etag)
{
	while (list.len > 0) {
		const uint8_t *comma = memchr(list.at, ',', list.len);
		size_t len = comma != NULL ? (size_t)(comma - list.at) : list.len;
		struct span one = {list.at, len};
		while (one.len > 0 && (one.at[0] == ' ' || one.at[0] == '\t'))
			one = span_of(one.at + 1, one.len - 1);
		while (one.len > 0 && (one.at[one.len - 1] == ' ' || one.at[one.len - 1] == '\t'))
			one.len--;
		if (one.len > 2 && one.at[0] == 'W' && one.at[1] == '/')
			one = span_of(one.at + 2, one.len - 2);
		if (span_equal(one, etag) || span_equal(one, SPAN("*")))
			return true;
		len += comma != NULL;
		list = span_of(list.at + len, list.len - len);
	}
	return false;
}

bool number_parse(struct span text, uint64_t max, uint64_t *out)
{
	return text.len > 0 && text.len <= 18 && digits(text.at, text.len, out) && *out <= max;
}

static bool take(struct span *s, size_t len, uint64_t low, uint64_t high, uint64_t *out)
{
	if (s->len < len || !digits(s->at, len, out) || *out < low || *out > high)
		return false;
	*s = span_of(s->at + len, s->len - len);
	return true;
}

static bool take_char(struct span *s, const char *any)
{
	if (s->len == 0 || s->at[0] == '\0' || strchr(any, s->at[0]) == NULL)
		return false;
	*s = span_of(s->at + 1, s->len - 1);
	return true;
}

static bool take_fraction(struct span *s, uint64_t *ms)
{
	*ms = 0;
	if (!take_char(s, "."))
		return true;
	size_t n = 0;
	uint64_t unit = 100;
	for (; n < s->len && s->at[n] >= '0' && s->at[n] <= '9'; n++, unit /= 10)
		*ms += unit * (uint64_t)(s->at[n] - '0');
	*s = span_of(s->at + n, s->len - n);
	return n > 0;
}

static bool take_zone(struct span *s, int64_t *offset_s)
{
	uint64_t hours, minutes;
	*offset_s = 0;
	if (take_char(s, "Zz"))
		return true;
	bool west = s->len > 0 && s->at[0] == '-';
	if (!take_char(s, "+-") || !take(s, 2, 0, 23, &hours) || !take_char(s, ":") ||
	    !take(s, 2, 0, 59, &minutes))
		return false;
	*offset_s = (int64_t)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

bool timestamp_parse(struct span s, int64_t *unix_ms)
{
	uint64_t year, month, day, hour, minute, second, ms;
	int64_t zone_s;
	if (!take(&s, 4, 0, 9999, &year) || !take_char(&s, "-") || !take(&s, 2, 1, 12, &month) ||
	    !take_char(&s, "-") || !take(&s, 2, 1, 31, &day) || !take_char(&s, "Tt ") ||
	    !take(&s, 2, 0, 23, &hour) || !take_char(&s, ":") || !take(&s, 2, 0, 59, &minute) ||
	    !take_char(&s, ":") || !take(&s, 2, 0, 60, &second) || !take_fraction(&s, &ms) ||
	    !take_zone(&s, &zone_s) || s.len != 0)
		return false;
	struct tm tm = {.tm_year = (int)year - 1900,
	                .tm_mon = (int)month - 1,
	                .tm_mday = (int)day,
	                .tm_hour = (int)hour,
	                .tm_min = (int)minute,
	                .tm_sec = (int)second};
	time_t t = timegm(&tm);
	/* timegm() carries 31 April over into May; a date that does not exist is malformed. */
	if (tm.tm_mday != (int)day && !(second == 60 && hour == 23))
		return false;
	*unix_ms = ((int64_t)t - zone_s) * 1000 + (int64_t)ms;
	return true;
}

struct span timestamp_print(int64_t unix_ms, char out[40])
{
	struct tm tm;
	int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
	time_t t = (time_t)((unix_ms - ms) / 1000);
	gmtime_r(&t, &tm);
	size_t len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	return span_of(out, len + (size_t)snprintf(out + len, 8, ".%03dZ", (int)ms));
}
