#include "common/base/check.h"
#include "common/domain/rights_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

bool rights_fail(char reason[RIGHTS_REASON_ROOM], const char *kind, struct span what,
                 const char *why)
{
	char text[101];
	size_t len = what.len < sizeof text - 1 ? what.len : sizeof text - 1;
	for (size_t i = 0; i < len; i++)
		text[i] = isprint(what.at[i]) ? (char)what.at[i] : '?';
	text[len] = '\0';
	snprintf(reason, RIGHTS_REASON_ROOM, "%s '%s' %s", kind, text, why);
	return false;
}

/* ---- words ---- */

static struct span skip(struct span text, size_t count)
{
	return span_of(text.at + count, text.len - count);
}

/* Up to `until`, which is skipped in the text; or all of it. */
static struct span take(struct span *text, char until)
{
	const uint8_t *at = text->len > 0 ? memchr(text->at, until, text->len) : NULL;
	struct span taken = span_of(text->at, at != NULL ? (size_t)(at - text->at) : text->len);
	*text = skip(*text, taken.len + (at != NULL));
	return taken;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* len 0: there is no further one. */
static struct span take_word(struct span *text)
{
	size_t len = 0;
	while (text->len > 0 && is_blank(*text->at))
		*text = skip(*text, 1);
	while (len < text->len && !is_blank(text->at[len]))
		len++;
	struct span word = span_of(text->at, len);
	*text = skip(*text, len);
	return word;
}

static bool add_word(struct rights_draft *draft, struct span word, char reason[RIGHTS_REASON_ROOM])
{
	struct span left = word, name = take(&left, '=');
	enum verb verb;
	if (name.len == word.len)
		return rights_fail(reason, "right", word, "is not VERB=PATTERN");
	if (!verb_find(name, &verb))
		return rights_fail(reason, "verb", name, "is unknown: " RIGHTS_VERBS_ARE);
	bool more = true;
	while (more) {
		more = left.len > 0 && memchr(left.at, ',', left.len) != NULL;
		if (!rights_draft_add(draft, verb, take(&left, ','), reason))
			return false;
	}
	return true;
}

bool rights_draft_add_text(struct rights_draft *draft, struct span text,
                           char reason[RIGHTS_REASON_ROOM])
{
	for (struct span word = take_word(&text); word.len > 0; word = take_word(&text))
		if (!add_word(draft, word, reason))
			return false;
	return true;
}

struct rights *rights_of_text(struct span text, char reason[RIGHTS_REASON_ROOM])
{
	struct rights_draft *draft = rights_draft_create();
	if (rights_draft_add_text(draft, text, reason))
		return rights_draft_finish(&draft);
	rights_draft_destroy(&draft);
	return NULL;
}

/* As short as it is read again: below the root, unless what is left would be a whole path. */
static const char *short_form(enum verb verb, const char *pattern)
{
	size_t root = strlen(verb_root(verb));
	bool below = strncmp(pattern, verb_root(verb), root) == 0 && pattern[root] != '\0' &&
	             pattern[root] != '/';
	return below ? pattern + root : pattern;
}

static void print_pattern(FILE *out, const char *pattern)
{
	for (; *pattern != '\0'; pattern++)
		if (*pattern == ',')
			fputs("%2C", out);
		else
			fputc(*pattern, out);
}

char *rights_text(const struct rights *rights)
{
	struct rights *flat = rights_flat(rights);
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		const char *pattern;
		for (size_t i = 0; (pattern = rights_pattern(flat, (enum verb)v, i)) != NULL; i++) {
			if (i == 0)
				fprintf(out, "%s%s=", ftell(out) > 0 ? " " : "",
				        verb_name((enum verb)v));
			else
				fputc(',', out);
			print_pattern(out, short_form((enum verb)v, pattern));
		}
	}
	check(fclose(out) == 0);
	rights_release(&flat);
	return text;
}

/* ---- JSON ---- */

static bool add_list(struct rights_draft *draft, const char *name, const json_t *list,
                     bool (*add)(struct rights_draft *, enum verb, struct span, char *),
                     enum verb verb, char reason[RIGHTS_REASON_ROOM])
{
	if (!json_is_array(list))
		return rights_fail(reason, "member", span_str(name), "is no array of patterns");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		if (!json_is_string(item))
			return rights_fail(reason, "member", span_str(name),
			                   "has a pattern that is no text");
		if (!add(draft, verb, span_of(json_string_value(item), json_string_length(item)),
		         reason))
			return false;
	}
	return true;
}

bool rights_draft_add_json(struct rights_draft *draft, const json_t *object,
                           char reason[RIGHTS_REASON_ROOM])
{
	const char *name;
	json_t *list;
	if (!json_is_object(object)) {
		snprintf(reason, RIGHTS_REASON_ROOM, "rights are an object of verbs");
		return false;
	}
	json_object_foreach ((json_t *)(uintptr_t)object, name, list) {
		enum verb verb;
		if (!verb_find(span_str(name), &verb))
			return rights_fail(reason, "verb", span_str(name), "is unknown");
		if (!add_list(draft, name, list, rights_draft_add, verb, reason))
			return false;
	}
	return true;
}

json_t *rights_json(const struct rights *rights)
{
	struct rights *flat = rights_flat(rights);
	json_t *object = json_object();
	for (unsigned v = 0; v < VERB_COUNT; v++) {
		const char *pattern;
		json_t *list = json_array();
		for (size_t i = 0; (pattern = rights_pattern(flat, (enum verb)v, i)) != NULL; i++)
			json_array_append_new(list, json_string(short_form((enum verb)v, pattern)));
		if (json_array_size(list) > 0)
			json_object_set(object, verb_name((enum verb)v), list);
		json_decref(list);
	}
	rights_release(&flat);
	return object;
}

/* ---- Mercure ---- */

/* The path of an absolute URL without its query and fragment; any other text as it is. Neither with
 * slashes before it. */
static struct span path_of(struct span topic)
{
	struct span left = topic, scheme = take(&left, ':');
	size_t len = 0;
	if (left.len >= 2 && memcmp(left.at, "//", 2) == 0 &&
	    memchr(scheme.at, '/', scheme.len) == NULL) {
		left = skip(left, 2);
		while (len < left.len && memchr("/?#", left.at[len], 3) == NULL)
			len++;
		topic = skip(left, len);
		len = 0;
		while (len < topic.len && topic.at[len] != '?' && topic.at[len] != '#')
			len++;
		topic = span_of(topic.at, len);
	}
	while (topic.len > 0 && *topic.at == '/')
		topic = skip(topic, 1);
	return topic;
}

/* The simple variables of a URI template (RFC 6570) become "*", of which two in a row are one: "**"
 * is something else. False: there is more to it than that, or a star, which Mercure has none of. */
static bool expand(struct span topic, char *out, size_t room)
{
	size_t len = 0;
	while (topic.len > 0 && len + 1 < room) {
		uint8_t c = *topic.at;
		struct span variable = {0};
		if (c == '*')
			return false;
		if (c == '{') {
			size_t before = topic.len;
			variable = skip(take(&topic, '}'), 1);
			if (before - topic.len != variable.len + 2 || variable.len == 0)
				return false;
		} else {
			topic = skip(topic, 1);
		}
		for (size_t i = 0; i < variable.len; i++)
			if (!isalnum(variable.at[i]) && variable.at[i] != '_')
				return false;
		if (c != '{')
			out[len++] = (char)c;
		else if (len == 0 || out[len - 1] != '*')
			out[len++] = '*';
	}
	out[len] = '\0';
	return topic.len == 0;
}

static bool add_topic(struct rights_draft *draft, enum verb verb, struct span topic, char *reason)
{
	char pattern[RIGHTS_PATTERN_MAX + 1] = "/", *below = pattern + 1;
	if (span_equal(topic, SPAN("*")))
		return rights_draft_add(draft, verb, SPAN("**"), reason);
	if (!expand(path_of(topic), below, sizeof pattern - 1))
		return rights_fail(reason, "topic", topic, "is no path with plain {names} in it");
	return rights_draft_add(draft, verb,
	                        span_str(strncmp(below, "v1/", 3) == 0 ? pattern : below), reason);
}

bool rights_draft_add_mercure(struct rights_draft *draft, const json_t *claim,
                              char reason[RIGHTS_REASON_ROOM])
{
	static const struct {
		const char *member;
		enum verb verb;
	} rows[] = {{"subscribe", VERB_READ}, {"publish", VERB_APPEND}, {"publish", VERB_CREATE}};
	if (!json_is_object(claim)) {
		snprintf(reason, RIGHTS_REASON_ROOM, "the claim mercure is no object");
		return false;
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const json_t *list = json_object_get(claim, rows[i].member);
		if (list != NULL && !json_is_null(list) &&
		    !add_list(draft, rows[i].member, list, add_topic, rows[i].verb, reason))
			return false;
	}
	return true;
}
