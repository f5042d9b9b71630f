#include "worker-sse/views/hls_late.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A segment: its tags, and its name on the last line. */
struct segment {
	struct span lines, name;
};

struct playlist {
	struct span head;
	struct segment *all;
	size_t count;
};

static bool starts(struct span line, const char *with)
{
	size_t len = strlen(with);
	return line.len >= len && memcmp(line.at, with, len) == 0;
}

/* The next line with its end; *rest becomes what follows. */
static struct span take_line(struct span *rest)
{
	const uint8_t *end = memchr(rest->at, '\n', rest->len);
	size_t len = end != NULL ? (size_t)(end - rest->at) + 1 : rest->len;
	struct span line = span_of(rest->at, len);
	*rest = span_of(rest->at + len, rest->len - len);
	return line;
}

static struct span without_end(struct span line)
{
	while (line.len > 0 && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
		line.len--;
	return line;
}

static bool begins_segment(struct span line)
{
	return starts(line, "#EXTINF") || starts(line, "#EXT-X-DISCONTINUITY\n") ||
	       starts(line, "#EXT-X-PROGRAM-DATE-TIME") || (line.len > 1 && *line.at != '#');
}

static void split(struct span text, struct playlist *p)
{
	struct span rest = text, line;
	const uint8_t *from = NULL;
	*p = (struct playlist){.head = span_of(text.at, 0)};
	while (rest.len > 0) {
		line = take_line(&rest);
		if (from == NULL && !begins_segment(line)) {
			if (p->count == 0)
				p->head.len = (size_t)(line.at + line.len - text.at);
			continue; /* behind the last: that it has ended */
		}
		from = from != NULL ? from : line.at;
		if (*line.at == '#' || without_end(line).len == 0)
			continue;
		p->all = xrealloc(p->all, (p->count + 1) * sizeof *p->all);
		p->all[p->count++] = (struct segment){
		        span_of(from, (size_t)(line.at + line.len - from)), without_end(line)};
		from = NULL;
	}
}

static void put(char **at, struct span text)
{
	memcpy(*at, text.at, text.len);
	*at += text.len;
}

/* Its first segment is a later one. */
static void put_head(char **at, struct span head, size_t skipped)
{
	static const char number[] = "#EXT-X-MEDIA-SEQUENCE:";
	while (head.len > 0) {
		struct span line = take_line(&head);
		if (starts(line, number))
			*at += sprintf(
			        *at, "%s%llu\n", number,
			        strtoull((const char *)line.at + sizeof number - 1, NULL, 10) +
			                skipped);
		else
			put(at, line);
	}
}

char *hls_late(struct span playlist, size_t most, bool (*is_old)(void *arg, struct span name),
               void *arg, size_t *len)
{
	struct playlist p;
	char *text = NULL;
	split(playlist, &p);
	size_t end = p.count;
	while (end > 0 && !is_old(arg, p.all[end - 1].name))
		end--;
	size_t from = end > most ? end - most : 0;
	if (end > 0) {
		char *at = text = xmalloc(playlist.len + 32); /* a longer number */
		put_head(&at, p.head, from);
		for (size_t i = from; i < end; i++)
			put(&at, p.all[i].lines);
		*len = (size_t)(at - text);
	}
	free(p.all);
	return text;
}
