#include "common/base/json_patch.h"
#include "common/base/check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the diff ---- */

/* A diff under way: the JSON pointer (RFC 6901) of where it is, and what it found. */
struct diff {
	char *path;
	size_t path_len, path_room;
	json_t *operations;
};

/* Appends "/token", escaped; the caller cuts it off again by restoring path_len. */
static void enter(struct diff *d, const char *token)
{
	size_t need = d->path_len + 2 * strlen(token) + 2;
	if (d->path_room < need) {
		d->path_room = need * 2;
		d->path = xrealloc(d->path, d->path_room);
	}
	d->path[d->path_len++] = '/';
	for (; *token != '\0'; token++) {
		bool escaped = *token == '~' || *token == '/';
		if (escaped)
			d->path[d->path_len++] = '~';
		d->path[d->path_len++] = *token == '~' ? '0' : *token == '/' ? '1' : *token;
	}
	d->path[d->path_len] = '\0';
}

static void leave(struct diff *d, size_t path_len)
{
	d->path_len = path_len;
	d->path[path_len] = '\0';
}

/* `value` NULL: a removal. */
static void put(struct diff *d, const char *op, const json_t *value)
{
	json_t *o = json_object();
	json_object_set_new(o, "op", json_string(op));
	json_object_set_new(o, "path", json_stringn(d->path, d->path_len));
	if (value != NULL)
		json_object_set_new(o, "value", json_deep_copy(value));
	check(json_array_append_new(d->operations, o) == 0);
}

static void put_at(struct diff *d, const char *op, const char *token, const json_t *value)
{
	size_t path_len = d->path_len;
	enter(d, token);
	put(d, op, value);
	leave(d, path_len);
}

static void compare(struct diff *d, const json_t *before, const json_t *after, unsigned depth);

static void compare_member(struct diff *d, const char *token, const json_t *before,
                           const json_t *after, unsigned depth)
{
	size_t path_len = d->path_len;
	enter(d, token);
	compare(d, before, after, depth);
	leave(d, path_len);
}

static void compare_objects(struct diff *d, const json_t *before, const json_t *after,
                            unsigned depth)
{
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)before, key, value)
		if (json_object_get(after, key) == NULL)
			put_at(d, "remove", key, NULL);
	json_object_foreach ((json_t *)after, key, value) {
		const json_t *old = json_object_get(before, key);
		if (old == NULL)
			put_at(d, "add", key, value);
		else
			compare_member(d, key, old, value, depth);
	}
}

/* What is alike at both ends stays; between, the common length is compared in place and the rest is
 * removed from behind or added, so that every index is right when its turn comes. */
static void compare_arrays(struct diff *d, const json_t *before, const json_t *after,
                           unsigned depth)
{
	size_t old = json_array_size(before), now = json_array_size(after);
	size_t least = old < now ? old : now, head = 0, foot = 0;
	while (head < least &&
	       json_equal(json_array_get(before, head), json_array_get(after, head)))
		head++;
	while (foot < least - head && json_equal(json_array_get(before, old - 1 - foot),
	                                         json_array_get(after, now - 1 - foot)))
		foot++;
	char token[24];
	size_t shared = least - foot;
	for (size_t i = head; i < shared; i++) {
		snprintf(token, sizeof token, "%zu", i);
		compare_member(d, token, json_array_get(before, i), json_array_get(after, i),
		               depth);
	}
	for (size_t i = old - foot; i > shared; i--) {
		snprintf(token, sizeof token, "%zu", i - 1);
		put_at(d, "remove", token, NULL);
	}
	for (size_t i = shared; i < now - foot; i++) {
		snprintf(token, sizeof token, "%zu", i);
		put_at(d, "add", token, json_array_get(after, i));
	}
}

static void compare(struct diff *d, const json_t *before, const json_t *after, unsigned depth)
{
	bool inside = depth < JSON_PATCH_DEPTH;
	if (inside && json_is_object(before) && json_is_object(after))
		compare_objects(d, before, after, depth + 1);
	else if (inside && json_is_array(before) && json_is_array(after))
		compare_arrays(d, before, after, depth + 1);
	else if (!json_equal(before, after))
		put(d, "replace", after);
}

static size_t text_len(const json_t *value)
{
	return json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
}

json_t *json_patch_diff(const json_t *before, const json_t *after)
{
	struct diff d = {.path = xcalloc(1, 64), .path_room = 64, .operations = json_array()};
	check(d.operations != NULL);
	compare(&d, before, after, 0);
	size_t count = json_array_size(d.operations);
	if (count > 1 && text_len(d.operations) > text_len(after) + 40) {
		json_array_clear(d.operations);
		leave(&d, 0);
		put(&d, "replace", after);
	}
	free(d.path);
	return d.operations;
}

/* ---- applying ---- */

struct work {
	json_t *document; /* a copy of its own */
	const struct json_patch_limits *limits;
	size_t values; /* put in so far */
	size_t index;  /* of the operation */
	char *reason;
	enum json_patch_result result;
};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct work *w, enum json_patch_result result, const char *format, ...)
{
	va_list args;
	int at = snprintf(w->reason, JSON_PATCH_REASON_ROOM, "operation %zu: ", w->index);
	va_start(args, format);
	vsnprintf(w->reason + at, JSON_PATCH_REASON_ROOM - (size_t)at, format, args);
	va_end(args);
	w->result = result;
	return false;
}

size_t json_patch_count(const json_t *value)
{
	size_t count = 1, i;
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)value, key, member)
		count += json_patch_count(member);
	json_array_foreach (value, i, member)
		count += json_patch_count(member);
	return count;
}

/* No deeper than `left` levels below it? */
static bool shallow(const json_t *value, size_t left)
{
	size_t i;
	const char *key;
	json_t *member;
	if (!json_is_object(value) && !json_is_array(value))
		return true;
	if (left == 0)
		return false;
	json_object_foreach ((json_t *)value, key, member)
		if (!shallow(member, left - 1))
			return false;
	json_array_foreach (value, i, member)
		if (!shallow(member, left - 1))
			return false;
	return true;
}

/* RFC 6902 §4.6: numbers are equal when their values are. */
static bool same(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b)) {
		if (json_is_integer(a) && json_is_integer(b))
			return json_integer_value(a) == json_integer_value(b);
		double x = json_number_value(a), y = json_number_value(b);
		return x >= y && x <= y;
	}
	if (json_is_array(a) && json_is_array(b)) {
		size_t count = json_array_size(a);
		bool equal = count == json_array_size(b);
		for (size_t i = 0; equal && i < count; i++)
			equal = same(json_array_get(a, i), json_array_get(b, i));
		return equal;
	}
	if (json_is_object(a) && json_is_object(b)) {
		bool equal = json_object_size(a) == json_object_size(b);
		const char *key;
		json_t *member;
		json_object_foreach ((json_t *)a, key, member) {
			const json_t *other = json_object_get(b, key);
			equal = equal && other != NULL && same(member, other);
		}
		return equal;
	}
	return json_equal(a, b);
}

/* Cuts the next token off a pointer that begins with '/', unescaped into `token`, which has room
 * for all of it. NULL: a '~' that escapes nothing. */
static const char *next_token(const char *at, char *token)
{
	for (at++; *at != '\0' && *at != '/'; at++) {
		if (*at != '~') {
			*token++ = *at;
			continue;
		}
		at++;
		if (*at != '0' && *at != '1')
			return NULL;
		*token++ = *at == '0' ? '~' : '/';
	}
	*token = '\0';
	return at;
}

/* RFC 6901 §4: digits without leading zeros. SIZE_MAX: no index. */
static size_t array_index(const char *token)
{
	size_t len = strlen(token), index = 0;
	if (len == 0 || len > 9 || (len > 1 && *token == '0'))
		return SIZE_MAX;
	for (; *token != '\0'; token++) {
		if (*token < '0' || *token > '9')
			return SIZE_MAX;
		index = index * 10 + (size_t)(*token - '0');
	}
	return index;
}

static json_t *child(json_t *parent, const char *token)
{
	return json_is_array(parent) ? json_array_get(parent, array_index(token))
	                             : json_object_get(parent, token);
}

/* A place in the document: the last token of its pointer, in the container that holds or would hold
 * it. `parent` NULL: the document itself. */
struct place {
	json_t *parent;
	char *token;  /* owned */
	size_t depth; /* of what stands there; the document's own is 0 */
};

static bool find(struct work *w, const char *pointer, struct place *place)
{
	*place = (struct place){.token = xcalloc(1, strlen(pointer) + 1)};
	if (*pointer != '\0' && *pointer != '/')
		return refuse(w, JSON_PATCH_MALFORMED, "a path is \"\" or begins with /");
	json_t *at = w->document;
	while (*pointer != '\0') {
		if (place->parent != NULL)
			at = child(place->parent, place->token);
		place->parent = at;
		if (!json_is_object(at) && !json_is_array(at))
			return refuse(w, JSON_PATCH_CONFLICT,
			              "its path leads through what is no object or array");
		pointer = next_token(pointer, place->token);
		if (pointer == NULL)
			return refuse(w, JSON_PATCH_MALFORMED, "~ stands for itself only as ~0");
		place->depth++;
	}
	return true;
}

static json_t *value_at(struct work *w, const struct place *place)
{
	return place->parent == NULL ? w->document : child(place->parent, place->token);
}

/* Counts what is put in, and looks at its depth. */
static bool admit(struct work *w, const struct place *place, const json_t *value)
{
	w->values += json_patch_count(value);
	if (w->values > w->limits->values)
		return refuse(w, JSON_PATCH_LIMIT, "more than %zu values are put in",
		              w->limits->values);
	if (place->depth > w->limits->depth || !shallow(value, w->limits->depth - place->depth))
		return refuse(w, JSON_PATCH_LIMIT, "deeper than %zu", w->limits->depth);
	return true;
}

/* These take the reference to `value`. */
static bool set_document(struct work *w, json_t *value)
{
	json_decref(w->document);
	w->document = value;
	return true;
}

static bool do_add(struct work *w, const struct place *place, json_t *value)
{
	if (place->parent == NULL)
		return set_document(w, value);
	if (json_is_object(place->parent))
		return json_object_set_new(place->parent, place->token, value) == 0;
	size_t count = json_array_size(place->parent);
	size_t index = strcmp(place->token, "-") == 0 ? count : array_index(place->token);
	if (index > count) {
		json_decref(value);
		return refuse(w, JSON_PATCH_CONFLICT, "no such place in the array");
	}
	return json_array_insert_new(place->parent, index, value) == 0;
}

static bool do_replace(struct work *w, const struct place *place, json_t *value)
{
	if (value_at(w, place) == NULL) {
		json_decref(value);
		return refuse(w, JSON_PATCH_CONFLICT, "nothing there to replace");
	}
	if (place->parent == NULL)
		return set_document(w, value);
	if (json_is_object(place->parent))
		return json_object_set_new(place->parent, place->token, value) == 0;
	return json_array_set_new(place->parent, array_index(place->token), value) == 0;
}

static bool do_remove(struct work *w, const struct place *place)
{
	if (place->parent == NULL)
		return refuse(w, JSON_PATCH_CONFLICT, "the whole document cannot be removed");
	if (value_at(w, place) == NULL)
		return refuse(w, JSON_PATCH_CONFLICT, "nothing there to remove");
	if (json_is_object(place->parent))
		return json_object_del(place->parent, place->token) == 0;
	return json_array_remove(place->parent, array_index(place->token)) == 0;
}

/* move and copy: `from` is read first; a move then removes it before it adds (RFC 6902 §4.4). */
static bool transfer(struct work *w, const char *from, const char *path, bool moves)
{
	struct place source, target = {0};
	size_t from_len = strlen(from);
	bool ok = find(w, from, &source);
	json_t *value = ok ? value_at(w, &source) : NULL;
	if (ok && value == NULL)
		ok = refuse(w, JSON_PATCH_CONFLICT, "nothing there to %s", moves ? "move" : "copy");
	if (ok && moves && strncmp(path, from, from_len) == 0 && path[from_len] == '/')
		ok = refuse(w, JSON_PATCH_CONFLICT, "moved into itself");
	if (ok && moves && strcmp(path, from) == 0) {
		free(source.token);
		return true;
	}
	value = !ok ? NULL : moves ? json_incref(value) : json_deep_copy(value);
	if (ok && moves)
		ok = do_remove(w, &source);
	ok = ok && find(w, path, &target) && admit(w, &target, value) &&
	     do_add(w, &target, json_incref(value));
	json_decref(value);
	free(source.token);
	free(target.token);
	return ok;
}

static bool do_test(struct work *w, const struct place *place, const json_t *value)
{
	const json_t *present = value_at(w, place);
	return present != NULL && same(present, value)
	               ? true
	               : refuse(w, JSON_PATCH_CONFLICT, "the test failed");
}

static bool with_value(struct work *w, const char *op, const char *path, json_t *value)
{
	struct place place;
	bool ok = find(w, path, &place);
	if (ok && strcmp(op, "test") == 0)
		ok = do_test(w, &place, value);
	else if (ok && admit(w, &place, value))
		ok = strcmp(op, "add") == 0 ? do_add(w, &place, json_deep_copy(value))
		                            : do_replace(w, &place, json_deep_copy(value));
	else
		ok = false;
	free(place.token);
	return ok;
}

static bool without_value(struct work *w, const char *path)
{
	struct place place;
	bool ok = find(w, path, &place) && do_remove(w, &place);
	free(place.token);
	return ok;
}

static bool carry_out(struct work *w, const json_t *operation)
{
	const char *op = json_string_value(json_object_get(operation, "op"));
	const char *path = json_string_value(json_object_get(operation, "path"));
	const char *from = json_string_value(json_object_get(operation, "from"));
	json_t *value = json_object_get(operation, "value");
	if (op == NULL || path == NULL)
		return refuse(w, JSON_PATCH_MALFORMED, "op and path are strings");
	if (strcmp(op, "remove") == 0)
		return without_value(w, path);
	if (strcmp(op, "move") == 0 || strcmp(op, "copy") == 0)
		return from != NULL ? transfer(w, from, path, *op == 'm')
		                    : refuse(w, JSON_PATCH_MALFORMED, "%s needs from", op);
	if (strcmp(op, "add") != 0 && strcmp(op, "replace") != 0 && strcmp(op, "test") != 0)
		return refuse(w, JSON_PATCH_MALFORMED, "op is none of RFC 6902's");
	return value != NULL ? with_value(w, op, path, value)
	                     : refuse(w, JSON_PATCH_MALFORMED, "%s needs a value", op);
}

enum json_patch_result json_patch_apply(json_t **document, const json_t *patch,
                                        const struct json_patch_limits *limits,
                                        char reason[JSON_PATCH_REASON_ROOM])
{
	struct work w = {.limits = limits, .reason = reason, .result = JSON_PATCH_OK};
	*reason = '\0';
	if (!json_is_array(patch)) {
		snprintf(reason, JSON_PATCH_REASON_ROOM, "a patch is an array of operations");
		return JSON_PATCH_MALFORMED;
	}
	if (json_array_size(patch) > limits->operations) {
		snprintf(reason, JSON_PATCH_REASON_ROOM, "more than %zu operations",
		         limits->operations);
		return JSON_PATCH_LIMIT;
	}
	w.document = json_deep_copy(*document);
	check(w.document != NULL);
	bool ok = true;
	for (; ok && w.index < json_array_size(patch); w.index++)
		ok = carry_out(&w, json_array_get(patch, w.index));
	if (ok) {
		json_decref(*document);
		*document = w.document;
		return JSON_PATCH_OK;
	}
	json_decref(w.document);
	check(w.result != JSON_PATCH_OK);
	return w.result;
}
