#include "common/domain/rights.h"
#include "common/base/check.h"
#include "common/domain/glob.h"
#include "common/domain/glob_set.h"
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

/* ---- sets ---- */

struct rights {
	unsigned references;
	struct rights *also;               /* must allow it too, or NULL */
	size_t from[VERB_COUNT + 1];       /* verb v has texts[from[v]] to before from[v + 1] */
	char **texts;                      /* whole patterns, canonical */
	struct glob_set *sets[VERB_COUNT]; /* the same without the first '/'; NULL: no pattern */
};

struct rights_draft {
	size_t count, segments;
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
	size_t segments = draft->segments + glob_segments(span_str(text + 1));
	if (segments > GLOB_SET_SEGMENTS_MAX) {
		snprintf(reason, RIGHTS_REASON_ROOM, "patterns of more than %d segments together",
		         GLOB_SET_SEGMENTS_MAX);
		return false;
	}
	draft->segments = segments;
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

static void index_verb(struct rights *rights, unsigned verb)
{
	size_t from = rights->from[verb], count = rights->from[verb + 1] - from;
	struct span patterns[RIGHTS_PATTERNS_MAX];
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		patterns[i] = span_str(rights->texts[from + i] + 1);
	rights->sets[verb] = glob_set_create(patterns, count);
}

struct rights *rights_draft_finish(struct rights_draft **draft)
{
	struct rights *rights = xcalloc(1, sizeof *rights);
	size_t count = 0;
	rights->references = 1;
	rights->texts = xcalloc((*draft)->count + 1, sizeof *rights->texts);
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		rights->from[v] = count;
		for (size_t i = 0; i < (*draft)->count; i++)
			if ((*draft)->rows[i].verb == (enum verb)v)
				rights->texts[count++] = (*draft)->rows[i].text;
	}
	rights->from[VERB_COUNT] = count;
	for (unsigned v = 0; v < VERB_COUNT; v++)
		index_verb(rights, v);
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
			        xmemdup_text(one->texts[i], strlen(one->texts[i]));
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
		free(mine->texts[i]);
	for (unsigned v = 0; v < VERB_COUNT; v++)
		glob_set_destroy(&mine->sets[v]);
	free(mine->texts);
	rights_release(&mine->also);
	free(mine);
}

/* ---- asking ---- */

/* `path` without its first '/'. NULL: none. */
static const char *find(const struct rights *rights, enum verb verb, struct span path)
{
	const struct glob_set *set = rights->sets[verb];
	size_t index = set != NULL ? glob_set_find(set, path) : SIZE_MAX;
	return index != SIZE_MAX ? rights->texts[rights->from[verb] + index] : NULL;
}

/* The same of a pattern. */
static const char *find_covering(const struct rights *rights, enum verb verb, struct span pattern)
{
	for (size_t i = rights->from[verb]; i < rights->from[verb + 1]; i++)
		if (glob_covers(span_str(rights->texts[i] + 1), pattern))
			return rights->texts[i];
	return NULL;
}

/* The first set's pattern, where all of the chain allow it. */
static const char *find_in_all(const struct rights *rights, enum verb verb, struct span path,
                               bool covering)
{
	const char *found = NULL;
	for (const struct rights *r = rights; r != NULL; r = r->also) {
		const char *text = covering ? find_covering(r, verb, path) : find(r, verb, path);
		if (text == NULL)
			return NULL;
		found = found != NULL ? found : text;
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
				struct span text = span_str(r->texts[i]);
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
	return at < rights->from[verb + 1] ? rights->texts[at] : NULL;
}
