#include "common/domain/subscription.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/glob.h"
#include "common/store/offset.h"
#include "common/store/record.h"
#include "common/store/stream_name.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- globs ---- */

bool subscription_glob(const char *pattern, const char *path)
{
	char canonical[2][STREAM_NAME_ROOM];
	const char *texts[2] = {pattern, path};
	for (size_t i = 0; i < 2; i++)
		if (!stream_name_is_canonical(span_str(texts[i])) &&
		    stream_name_text(span_str(texts[i]), canonical[i], sizeof canonical[i]))
			texts[i] = canonical[i];
	return glob_matches(span_str(texts[0]), span_str(texts[1]));
}

bool subscription_name(const char *text, char out[SUBSCRIPTION_NAME_ROOM])
{
	static const size_t root_len = sizeof SUBSCRIPTION_ROOT - 1;
	size_t len = strlen(text);
	if (len > root_len && memcmp(text, SUBSCRIPTION_ROOT, root_len) == 0)
		return stream_name_text(span_of(text + root_len, len - root_len), out,
		                        SUBSCRIPTION_NAME_ROOM);
	for (; *text == '/'; len--)
		text++;
	while (len > 0 && text[len - 1] == '/')
		len--;
	return len > 0 && stream_name_text(span_of(text, len), out, SUBSCRIPTION_NAME_ROOM);
}

/* Up to the first wildcard, or the first character that may stand in a path in more than one way.
 * "a/" is cut to "a", which "a/" and any number of segments matches too. */
struct span subscription_prefix(const char *pattern, char out[SUBSCRIPTION_PREFIX_ROOM])
{
	static const char plain[] =
	        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
	size_t root = sizeof SUBSCRIPTION_ROOT - 1, len = strspn(pattern, plain);
	if (len > SUBSCRIPTION_PREFIX_ROOM - root)
		len = SUBSCRIPTION_PREFIX_ROOM - root;
	memcpy(out, SUBSCRIPTION_ROOT, root);
	memcpy(out + root, pattern, len);
	while (len > 0 && out[root + len - 1] == '/')
		len--;
	return span_of(out, root + len);
}

/* ---- documents ---- */

/* The link of a stream. Links that an older release made may have another spelling. */
static json_t *link_of(const json_t *links, const char *path)
{
	uint8_t out[STREAM_NAME_ROOM];
	struct span spelling;
	json_t *link = json_object_get(links, path);
	for (unsigned n = 1;
	     link == NULL && stream_name_spelling(n, span_str(path), out, &spelling); n++)
		link = json_object_getn(links, (const char *)spelling.at, spelling.len);
	return link;
}

bool subscription_links(const json_t *doc, const char *path)
{
	return link_of(json_object_get(doc, "links"), path) != NULL;
}

const char *subscription_text(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));
	return text != NULL ? text : "";
}

uint64_t subscription_number(const json_t *doc, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(doc, name));
}

static void set_text(json_t *doc, const char *name, const char *text)
{
	json_object_set_new(doc, name, json_string(text));
}

static void set_number(json_t *doc, const char *name, uint64_t n)
{
	json_object_set_new(doc, name, json_integer((json_int_t)n));
}

static bool phase_is(const json_t *doc, const char *phase)
{
	return strcmp(subscription_text(doc, "phase"), phase) == 0;
}

json_t *subscription_create(const char *id, const char *type, const char *pattern,
                            const char *webhook_url, const char *wake_stream, uint64_t lease_ttl_ms,
                            const char *description, uint64_t now_ms)
{
	json_t *doc = json_pack("{ss ss ss ss ss sI ss sI ss ss sI ss s{} s{}}", "id", id, "type",
	                        type, "pattern", pattern, "webhook_url", webhook_url, "wake_stream",
	                        wake_stream, "lease_ttl_ms", (json_int_t)lease_ttl_ms,
	                        "description", description, "created_ms", (json_int_t)now_ms,
	                        "status", "active", "phase", "idle", "generation", (json_int_t)0,
	                        "wake_id", "", "links", "snapshot");
	check(doc != NULL);
	return doc;
}

static const char *const phases[] = {"idle", "woken", "leased"};
static const char *const types[] = {"webhook", "pull-wake"};

/* Documents stay JSON. What was not written is "" or 0 for subscription_text() and
 * subscription_number(), and stays unwritten, but for what has another default. */
#define NAMES(table)                                                                               \
	.kind = RECORD_NAME, .names = (table), .names_count = sizeof(table) / sizeof *(table)
#define TEXT(label)                                                                                \
	{                                                                                          \
		.name = (label), .kind = RECORD_STRING, .sparse = true                             \
	}
#define NUMBER(label)                                                                              \
	{                                                                                          \
		.name = (label), .kind = RECORD_NUMBER, .sparse = true                             \
	}
static const struct record_field fields[] = {
        {.name = "type", NAMES(types), RECORD_NEEDED},
        {.name = "phase", NAMES(phases), RECORD_NEEDED},
        {.name = "generation", .kind = RECORD_NUMBER, RECORD_NEEDED},
        {.name = "links", .kind = RECORD_OBJECT, RECORD_NEEDED},
        {.name = "status", .kind = RECORD_STRING, .text = "active"},
        {.name = "lease_ttl_ms", .kind = RECORD_NUMBER, .standard = SUBSCRIPTION_LEASE_MS_DEFAULT},
        {.name = "snapshot", .kind = RECORD_OBJECT},
        TEXT("id"),
        TEXT("pattern"),
        TEXT("webhook_url"),
        TEXT("wake_stream"),
        TEXT("description"),
        TEXT("base_url"),
        TEXT("wake_id"),
        TEXT("holder"),
        NUMBER("created_ms"),
        NUMBER("lease_until_ms"),
        NUMBER("attempts"),
        NUMBER("failed_ms"),
        NUMBER("next_ms"),
};
#undef NAMES
#undef TEXT
#undef NUMBER
static const struct record record = {RECORD_FIELDS(fields)};

static const struct record_field link_fields[] = {
        {.name = "acked", .kind = RECORD_STRING, RECORD_NEEDED},
        {.name = "type", .kind = RECORD_STRING, RECORD_NEEDED},
};
static const struct record link_record = {RECORD_FIELDS(link_fields)};

static bool links_valid(const json_t *links)
{
	const char *path;
	json_t *link;
	json_object_foreach ((json_t *)(uintptr_t)links, path, link) {
		if (record_read(&link_record, link, NULL) != ROW_PRESENT)
			return false;
	}
	return true;
}

json_t *subscription_read(struct span text)
{
	json_t *doc = json_loadb((const char *)text.at, text.len, 0, NULL);
	if (record_read(&record, doc, NULL) != ROW_PRESENT ||
	    !links_valid(json_object_get(doc, "links"))) {
		json_decref(doc);
		return NULL;
	}
	record_complete(&record, doc);
	return doc;
}

static bool is_explicit(const json_t *link)
{
	return strcmp(subscription_text(link, "type"), "explicit") == 0;
}

static size_t count_explicit(const json_t *doc, const json_t *other, bool *all_there)
{
	const char *path;
	json_t *link;
	size_t count = 0;
	json_object_foreach (json_object_get(doc, "links"), path, link) {
		if (!is_explicit(link))
			continue;
		count++;
		const json_t *twin = link_of(json_object_get(other, "links"), path);
		*all_there = *all_there && twin != NULL && is_explicit(twin);
	}
	return count;
}

static bool same_text(const char *member, const char *a, const char *b)
{
	bool name = strcmp(member, "pattern") == 0 || strcmp(member, "wake_stream") == 0;
	return strcmp(a, b) == 0 || (name && stream_name_equal(span_str(a), span_str(b)));
}

bool subscription_same(const json_t *a, const json_t *b)
{
	static const char *const names[] = {"type", "pattern", "webhook_url", "wake_stream",
	                                    "description"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!same_text(names[i], subscription_text(a, names[i]),
		               subscription_text(b, names[i])))
			return false;
	bool there = true;
	return subscription_number(a, "lease_ttl_ms") == subscription_number(b, "lease_ttl_ms") &&
	       count_explicit(a, b, &there) == count_explicit(b, a, &there) && there;
}

enum subscription_result subscription_link(json_t *doc, const char *path, bool explicit,
                                           const char *acked, size_t max)
{
	json_t *links = json_object_get(doc, "links");
	json_t *link = link_of(links, path);
	if (link != NULL) {
		if (!explicit || is_explicit(link))
			return SUBSCRIPTION_UNCHANGED;
		set_text(link, "type", "explicit");
		return SUBSCRIPTION_OK;
	}
	if (json_object_size(links) >= max)
		return SUBSCRIPTION_FULL;
	json_object_set_new(
	        links, path,
	        json_pack("{ss ss}", "type", explicit ? "explicit" : "glob", "acked", acked));
	return SUBSCRIPTION_OK;
}

static void delete_link(json_t *links, const json_t *link)
{
	const char *path;
	json_t *other;
	void *next;
	json_object_foreach_safe (links, next, path, other) {
		if (other == link)
			json_object_del(links, path);
	}
}

enum subscription_result subscription_unlink(json_t *doc, const char *path)
{
	json_t *links = json_object_get(doc, "links");
	json_t *link = link_of(links, path);
	if (link == NULL || !is_explicit(link))
		return SUBSCRIPTION_UNCHANGED;
	const char *pattern = subscription_text(doc, "pattern");
	if (*pattern != '\0' && subscription_glob(pattern, path))
		set_text(link, "type", "glob");
	else
		delete_link(links, link);
	return SUBSCRIPTION_OK;
}

static struct stream *find_stream(struct state *view, const char *path)
{
	char full[600];
	int len = snprintf(full, sizeof full, SUBSCRIPTION_ROOT "%s", path);
	if (len < 0 || (size_t)len >= sizeof full)
		return NULL;
	struct stream *stream = state_find(view, span_of(full, (size_t)len));
	return stream != NULL && !stream->deleted ? stream : NULL;
}

bool subscription_tail(struct state *view, const char *path, char out[40])
{
	struct stream *stream = find_stream(view, path);
	if (stream != NULL)
		offset_print(stream->lineage, stream->tail, out);
	return stream != NULL;
}

enum subscription_result subscription_forget_gone(json_t *doc, struct state *view)
{
	enum subscription_result result = SUBSCRIPTION_UNCHANGED;
	json_t *links = json_object_get(doc, "links"), *link;
	const char *path;
	void *next;
	if (strcmp(subscription_text(doc, "phase"), "idle") != 0)
		return result; /* who holds it may yet acknowledge them */
	json_object_foreach_safe (links, next, path, link) {
		/* What cannot be read may be there: its acknowledged offset is kept. */
		if (is_explicit(link) || find_stream(view, path) != NULL || view->unreadable)
			continue;
		json_object_del(links, path);
		result = SUBSCRIPTION_OK;
	}
	return result;
}

/* Offsets sort as text; "-1" is before all of them. */
static bool beyond(const char *tail, const char *acked)
{
	return strcmp(acked, "-1") == 0 ? true : strcmp(tail, acked) > 0;
}

static bool link_pending(const json_t *link, struct state *view, const char *path)
{
	char tail[40];
	struct stream *stream = find_stream(view, path);
	if (stream == NULL || !subscription_tail(view, path, tail))
		return false;
	/* An empty stream has nothing to wake for. */
	return stream->tail > 0 && beyond(tail, subscription_text(link, "acked"));
}

bool subscription_pending(const json_t *doc, struct state *view)
{
	const char *path;
	json_t *link;
	json_object_foreach (json_object_get(doc, "links"), path, link) {
		if (link_pending(link, view, path))
			return true;
	}
	return false;
}

static void take_snapshot(json_t *doc, struct state *view)
{
	json_t *snapshot = json_object(), *link;
	const char *path;
	json_object_foreach (json_object_get(doc, "links"), path, link) {
		char tail[40];
		if (subscription_tail(view, path, tail))
			json_object_set_new(snapshot, path, json_string(tail));
	}
	json_object_set_new(doc, "snapshot", snapshot);
}

enum subscription_result subscription_wake(json_t *doc, struct state *view, const char *wake_id,
                                           uint64_t now_ms)
{
	if (!phase_is(doc, "idle") || !subscription_pending(doc, view))
		return SUBSCRIPTION_UNCHANGED;
	set_text(doc, "phase", "woken");
	set_number(doc, "generation", subscription_number(doc, "generation") + 1);
	set_text(doc, "wake_id", wake_id);
	set_number(doc, "attempts", 0);
	set_number(doc, "failed_ms", now_ms); /* none yet: since when it waits */
	set_number(doc, "next_ms", now_ms);
	take_snapshot(doc, view);
	return SUBSCRIPTION_OK;
}

static void make_idle(json_t *doc)
{
	set_text(doc, "phase", "idle");
	set_text(doc, "holder", "");
	set_text(doc, "status", "active");
	set_number(doc, "attempts", 0);
}

enum subscription_result subscription_claim(json_t *doc, struct state *view, const char *worker,
                                            const char *wake_id, uint64_t now_ms)
{
	if (phase_is(doc, "leased") && now_ms < subscription_number(doc, "lease_until_ms"))
		return SUBSCRIPTION_CLAIMED;
	if (phase_is(doc, "leased"))
		make_idle(doc);
	if (!subscription_pending(doc, view))
		return SUBSCRIPTION_NO_WORK;
	if (phase_is(doc, "idle"))
		subscription_wake(doc, view, wake_id, now_ms);
	take_snapshot(doc, view);
	set_text(doc, "phase", "leased");
	set_text(doc, "holder", worker);
	set_number(doc, "lease_until_ms", now_ms + subscription_number(doc, "lease_ttl_ms"));
	return SUBSCRIPTION_OK;
}

static bool fenced(const json_t *doc, uint64_t generation, const char *wake_id)
{
	return phase_is(doc, "idle") || subscription_number(doc, "generation") != generation ||
	       (wake_id != NULL && strcmp(subscription_text(doc, "wake_id"), wake_id) != 0);
}

static bool ack_fits(const json_t *doc, struct state *view, const json_t *ack, json_t **link,
                     const char **offset)
{
	char tail[40];
	char path[SUBSCRIPTION_NAME_ROOM];
	const char *named = subscription_text(ack, "stream");
	if (!subscription_name(*named != '\0' ? named : subscription_text(ack, "path"), path))
		return false;
	*offset = subscription_text(ack, "offset");
	*link = link_of(json_object_get(doc, "links"), path);
	const char *acked = *link != NULL ? subscription_text(*link, "acked") : "";
	return *link != NULL && offset_parse(span_str(*offset)).kind == OFFSET_AT &&
	       subscription_tail(view, path, tail) && strcmp(*offset, tail) <= 0 &&
	       (strcmp(acked, "-1") == 0 || strcmp(*offset, acked) >= 0);
}

enum subscription_result subscription_ack(json_t *doc, struct state *view, uint64_t generation,
                                          const char *wake_id, const json_t *acks, bool done,
                                          uint64_t now_ms)
{
	size_t i;
	json_t *ack, *link;
	const char *offset;
	if (fenced(doc, generation, wake_id))
		return SUBSCRIPTION_FENCED;
	json_array_foreach (acks, i, ack) {
		if (!ack_fits(doc, view, ack, &link, &offset))
			return SUBSCRIPTION_INVALID_OFFSET;
		set_text(link, "acked", offset); /* one list may name a stream twice */
	}
	if (done)
		make_idle(doc);
	else
		set_number(doc, "lease_until_ms",
		           now_ms + subscription_number(doc, "lease_ttl_ms"));
	return SUBSCRIPTION_OK;
}

enum subscription_result subscription_release(json_t *doc, uint64_t generation, const char *wake_id)
{
	if (fenced(doc, generation, wake_id))
		return SUBSCRIPTION_FENCED;
	make_idle(doc);
	return SUBSCRIPTION_OK;
}

enum subscription_result subscription_done(json_t *doc, uint64_t generation)
{
	const char *path;
	json_t *tail;
	if (fenced(doc, generation, NULL))
		return SUBSCRIPTION_FENCED;
	json_object_foreach (json_object_get(doc, "snapshot"), path, tail) {
		json_t *link = json_object_get(json_object_get(doc, "links"), path);
		if (link != NULL &&
		    beyond(json_string_value(tail), subscription_text(link, "acked")))
			set_text(link, "acked", json_string_value(tail));
	}
	make_idle(doc);
	return SUBSCRIPTION_OK;
}

enum subscription_result subscription_failed(json_t *doc, uint64_t generation, uint64_t now_ms,
                                             uint64_t next_ms)
{
	if (fenced(doc, generation, NULL))
		return SUBSCRIPTION_FENCED;
	set_text(doc, "phase", "woken");
	set_text(doc, "status", "failed");
	set_number(doc, "attempts", subscription_number(doc, "attempts") + 1);
	set_number(doc, "failed_ms", now_ms);
	set_number(doc, "next_ms", next_ms);
	return SUBSCRIPTION_OK;
}

enum subscription_result subscription_accepted(json_t *doc, uint64_t generation, uint64_t now_ms)
{
	if (fenced(doc, generation, NULL))
		return SUBSCRIPTION_FENCED;
	set_text(doc, "phase", "leased");
	set_text(doc, "status", "active");
	set_number(doc, "lease_until_ms", now_ms + subscription_number(doc, "lease_ttl_ms"));
	return SUBSCRIPTION_OK;
}

enum subscription_result subscription_expire(json_t *doc, uint64_t now_ms)
{
	uint64_t until_ms = subscription_number(doc, "lease_until_ms");
	uint64_t longest_ms = subscription_number(doc, "lease_ttl_ms");
	if (!phase_is(doc, "leased"))
		return SUBSCRIPTION_UNCHANGED;
	/* Longer than any lease: it was taken before the clock was set back, and begins anew. */
	if (until_ms > now_ms + longest_ms + CLOCK_STEP_MS) {
		set_number(doc, "lease_until_ms", now_ms + longest_ms);
		return SUBSCRIPTION_OK;
	}
	if (now_ms < until_ms)
		return SUBSCRIPTION_UNCHANGED;
	make_idle(doc);
	return SUBSCRIPTION_OK;
}

json_t *subscription_streams(const json_t *doc, struct state *view)
{
	json_t *out = json_array(), *link;
	const char *path;
	json_object_foreach (json_object_get(doc, "links"), path, link) {
		char tail[40] = "0000000000000000_0000000000000000";
		subscription_tail(view, path, tail);
		json_array_append_new(
		        out, json_pack("{ss ss ss ss sb}", "path", path, "link_type",
		                       subscription_text(link, "type"), "acked_offset",
		                       subscription_text(link, "acked"), "tail_offset", tail,
		                       "has_pending", link_pending(link, view, path)));
	}
	return out;
}
