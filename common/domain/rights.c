#include "common/domain/rights.h"
#include "common/base/check.h"
#include "common/domain/glob.h"
#include "common/domain/rights_parts.h"
#include "common/store/stream_name.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(RIGHTS_PATH_MAX == (int)STREAM_NAME_ROOM, "canonical forms have room");

static const struct {
	const char *name, *root, *about;
} verbs[VERB_COUNT] = {
#define VERB_ROW(NAME, text, path, what) [VERB_##NAME] = {text, path, what},
        VERBS(VERB_ROW)
#undef VERB_ROW
};

const char *verb_name(enum verb verb)
{
	return verbs[verb].name;
}

const char *verb_root(enum verb verb)
{
	return verbs[verb].root;
}

const char *verb_about(enum verb verb)
{
	return verbs[verb].about;
}

bool verb_find(struct span name, enum verb *verb)
{
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		if (span_equal(name, span_str(verbs[v].name))) {
			*verb = (enum verb)v;
			return true;
		}
	}
	return false;
}

/* ---- patterns ---- */

enum kind {
	KIND_EXACT, /* no wildcard */
	KIND_TREE,  /* "**" at its end and no other wildcard: `first` is a path and all below it */
	KIND_GLOB,
};

struct pattern {
	enum kind kind;
	char *text;              /* whole, canonical */
	struct span first, last; /* how every match begins and ends, without the first '/' */
};

/* The canonical form of a path or pattern; at NULL: too long. In `room`, unless it has it. */
static struct span canonical(struct span text, uint8_t room[STREAM_NAME_ROOM])
{
	if (stream_name_is_canonical(text))
		return text.len <= RIGHTS_PATH_MAX ? text : (struct span){0};
	if (text.len > STREAM_NAME_MAX)
		return (struct span){0};
	return span_of(room, stream_name_canonical(text, room));
}

static bool has_escaped_star(struct span text)
{
	for (size_t i = 0; i + 2 < text.len; i++)
		if (text.at[i] == '%' && text.at[i + 1] == '2' && (text.at[i + 2] | 0x20) == 'a')
			return true;
	return false;
}

/* The whole canonical pattern, in `out`. */
static bool whole(enum verb verb, struct span pattern, char out[RIGHTS_PATTERN_MAX + 1],
                  char reason[RIGHTS_REASON_ROOM])
{
	uint8_t room[STREAM_NAME_ROOM];
	struct span name = canonical(pattern, room);
	const char *root = pattern.len > 0 && *pattern.at == '/' ? "" : verb_root(verb);
	if (pattern.len == 0)
		return rights_fail(reason, "pattern", pattern, "is empty");
	if (has_escaped_star(pattern))
		return rights_fail(reason, "pattern", pattern,
		                   "has an escaped '*', which would be a wildcard");
	if (name.at == NULL || strlen(root) + name.len > RIGHTS_PATTERN_MAX)
		return rights_fail(reason, "pattern", pattern, "is too long");
	snprintf(out, RIGHTS_PATTERN_MAX + 1, "%s%.*s", root, (int)name.len, (const char *)name.at);
	return true;
}

/* "a/" before a "**" matches "a" too, and "/c" behind one "c": the slash is not looked for. */
static struct pattern compile(char *text)
{
	struct span all = span_str(text + 1);
	const uint8_t *end = all.at + all.len, *star = memchr(all.at, '*', all.len);
	struct pattern pattern = {KIND_EXACT, text, all, {0}};
	if (star == NULL)
		return pattern;
	size_t first = (size_t)(star - all.at), last = all.len;
	while (all.at[last - 1] != '*')
		last--;
	bool tree = end - star == 2 && star[1] == '*' && (first == 0 || star[-1] == '/');
	pattern.kind = tree ? KIND_TREE : KIND_GLOB;
	first -= first > 0 && all.at[first - 1] == '/';
	last += last < all.len && all.at[last] == '/';
	pattern.first = span_of(all.at, first);
	pattern.last = span_of(all.at + last, all.len - last);
	return pattern;
}

static bool begins(struct span text, struct span with)
{
	return text.len >= with.len && memcmp(text.at, with.at, with.len) == 0;
}

static bool ends(struct span text, struct span with)
{
	return text.len >= with.len &&
	       memcmp(text.at + text.len - with.len, with.at, with.len) == 0;
}

/* `path` is canonical and without its first '/'. With `covers` it is a pattern: then literal parts
 * hold for it letter by letter too, since no wildcard of its own is a match for them. */
static bool matches(const struct pattern *pattern, struct span path, bool covers)
{
	struct span first = pattern->first;
	switch (pattern->kind) {
	case KIND_EXACT:
		return span_equal(first, path);
	case KIND_TREE:
		return begins(path, first) &&
		       (first.len == 0 || path.len == first.len || path.at[first.len] == '/');
	case KIND_GLOB:
		if (!begins(path, first) || !ends(path, pattern->last))
			return false;
		return covers ? glob_covers(span_str(pattern->text + 1), path)
		              : glob_matches(span_str(pattern->text + 1), path);
	}
	return false;
}

/* ---- sets ---- */

struct rights {
	unsigned references;
	struct rights *also;         /* must allow it too, or NULL */
	size_t from[VERB_COUNT + 1]; /* verb v has patterns[from[v]] to before from[v + 1] */
	struct pattern *patterns;
};

struct rights_draft {
	size_t count;
	struct {
		enum verb verb;
		char *text;
	} rows[RIGHTS_PATTERNS_MAX];
};

struct rights_draft *rights_draft_create(void)
{
	return xcalloc(1, sizeof(struct rights_draft));
}

bool rights_draft_add(struct rights_draft *draft, enum verb verb, struct span pattern,
                      char reason[RIGHTS_REASON_ROOM])
{
	char text[RIGHTS_PATTERN_MAX + 1];
	if (!whole(verb, pattern, text, reason))
		return false;
	for (size_t i = 0; i < draft->count; i++)
		if (draft->rows[i].verb == verb && strcmp(draft->rows[i].text, text) == 0)
			return true;
	if (draft->count == RIGHTS_PATTERNS_MAX) {
		snprintf(reason, RIGHTS_REASON_ROOM, "more than %d patterns", RIGHTS_PATTERNS_MAX);
		return false;
	}
	draft->rows[draft->count].verb = verb;
	draft->rows[draft->count++].text = xmemdup_text(text, strlen(text));
	return true;
}

void rights_draft_add_all(struct rights_draft *draft)
{
	char reason[RIGHTS_REASON_ROOM];
	for (unsigned v = 0; v < VERB_COUNT; v++)
		check(rights_draft_add(draft, (enum verb)v, SPAN("/**"), reason));
}

struct rights *rights_draft_finish(struct rights_draft **draft)
{
	struct rights *rights = xcalloc(1, sizeof *rights);
	size_t count = 0;
	rights->references = 1;
	rights->patterns = xcalloc((*draft)->count + 1, sizeof *rights->patterns);
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		rights->from[v] = count;
		for (size_t i = 0; i < (*draft)->count; i++)
			if ((*draft)->rows[i].verb == (enum verb)v)
				rights->patterns[count++] = compile((*draft)->rows[i].text);
	}
	rights->from[VERB_COUNT] = count;
	free(*draft); /* its texts are the set's now */
	*draft = NULL;
	return rights;
}

void rights_draft_destroy(struct rights_draft **draft)
{
	for (size_t i = 0; *draft != NULL && i < (*draft)->count; i++)
		free((*draft)->rows[i].text);
	free(*draft);
	*draft = NULL;
}

struct rights *rights_both(struct rights *one, struct rights *other)
{
	if (one == NULL || other == NULL)
		return NULL;
	struct rights_draft *draft = rights_draft_create();
	for (unsigned v = 0; v < VERB_COUNT; v++)
		for (size_t i = one->from[v]; i < one->from[v + 1]; i++) {
			draft->rows[draft->count].verb = (enum verb)v;
			draft->rows[draft->count++].text =
			        xmemdup_text(one->patterns[i].text, strlen(one->patterns[i].text));
		}
	struct rights *both = rights_draft_finish(&draft);
	both->also = one->also != NULL ? rights_both(one->also, other) : rights_hold(other);
	return both;
}

struct rights *rights_hold(struct rights *rights)
{
	if (rights != NULL)
		rights->references++;
	return rights;
}

void rights_release(struct rights **rights)
{
	struct rights *mine = *rights;
	*rights = NULL;
	if (mine == NULL || --mine->references > 0)
		return;
	for (size_t i = 0; i < mine->from[VERB_COUNT]; i++)
		free(mine->patterns[i].text);
	free(mine->patterns);
	rights_release(&mine->also);
	free(mine);
}

/* ---- asking ---- */

/* NULL: none. */
static const struct pattern *find(const struct rights *rights, enum verb verb, struct span path,
                                  bool covers)
{
	for (size_t i = rights->from[verb]; i < rights->from[verb + 1]; i++)
		if (matches(&rights->patterns[i], path, covers))
			return &rights->patterns[i];
	return NULL;
}

/* The first set's pattern, where all of the chain allow it. */
static const char *find_in_all(const struct rights *rights, enum verb verb, struct span path,
                               bool covers)
{
	const char *found = NULL;
	for (const struct rights *r = rights; r != NULL; r = r->also) {
		const struct pattern *pattern = find(r, verb, path, covers);
		if (pattern == NULL)
			return NULL;
		found = found != NULL ? found : pattern->text;
	}
	return found;
}

const char *rights_which(const struct rights *rights, enum verb verb, struct span path)
{
	uint8_t room[STREAM_NAME_ROOM];
	struct span name = canonical(path, room);
	if (rights == NULL || name.at == NULL || name.len == 0 || *name.at != '/')
		return NULL;
	return find_in_all(rights, verb, span_of(name.at + 1, name.len - 1), false);
}

bool rights_may(const struct rights *rights, enum verb verb, struct span path)
{
	return rights_which(rights, verb, path) != NULL;
}

bool rights_any(const struct rights *rights, enum verb verb)
{
	for (const struct rights *r = rights; r != NULL; r = r->also)
		if (r->from[verb] == r->from[verb + 1])
			return false;
	return rights != NULL;
}

bool rights_covers(const struct rights *rights, enum verb verb, struct span pattern)
{
	char text[RIGHTS_PATTERN_MAX + 1], reason[RIGHTS_REASON_ROOM];
	return rights != NULL && whole(verb, pattern, text, reason) &&
	       find_in_all(rights, verb, span_str(text + 1), true) != NULL;
}

/* ---- for those who print ---- */

struct rights *rights_flat(const struct rights *rights)
{
	struct rights_draft *draft = rights_draft_create();
	char reason[RIGHTS_REASON_ROOM];
	for (const struct rights *r = rights; r != NULL; r = r->also)
		for (unsigned v = 0; v < VERB_COUNT; v++)
			for (size_t i = r->from[v]; i < r->from[v + 1]; i++) {
				struct span text = span_str(r->patterns[i].text);
				bool shown = rights->also == NULL ||
				             rights_covers(rights, (enum verb)v, text);
				if (shown && !rights_draft_add(draft, (enum verb)v, text, reason))
					break; /* full: what is left out is not said */
			}
	return rights_draft_finish(&draft);
}

const char *rights_pattern(const struct rights *rights, enum verb verb, size_t index)
{
	size_t at = rights->from[verb] + index;
	return at < rights->from[verb + 1] ? rights->patterns[at].text : NULL;
}
