#include "common/domain/render_session.h"
#include "common/base/check.h"
#include "common/domain/owner.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/json_patch.h"
#include "common/base/json_take.h"
#include "common/store/record.h"

#include <stdio.h>
#include <stdlib.h>

enum { MINUTE_MS = 60000 };

#define NAME_ROW(NAME, text, client)   [RENDER_##NAME] = text,
#define CLIENT_ROW(NAME, text, client) [RENDER_##NAME] = client,
static const char *const names[] = {RENDER_STATUSES(NAME_ROW)};
static const char *const client_names[] = {RENDER_STATUSES(CLIENT_ROW)};

const char *render_status_name(enum render_status status)
{
	return names[status];
}

const char *render_status_client_name(enum render_status status)
{
	return client_names[status];
}

/* ---- life ---- */

static json_t *first_state(const struct render_session *s)
{
	return json_pack(
	        "{s:s, s:s, s:s, s:b, s:{s:I, s:{s:i, s:i}, s:i}, s:{s:s, s:i}, s:{}, s:n, s:I}",
	        "streamId", s->id, "status", render_status_name(s->status), "targetUrl",
	        s->order.target_url, "clientConnected", 0, "instanceInfo", "startTime",
	        (json_int_t)s->created_ms, "viewport", "width", (int)s->order.width, "height",
	        (int)s->order.height, "targetFps", (int)s->order.fps, "webrtc", "signalingState",
	        "idle", "iceCandidatesGathered", 0, "metadata", "error", "lastActivityTime",
	        (json_int_t)(s->created_ms / MINUTE_MS * MINUTE_MS));
}

struct render_session *render_session_create(const char *id, const char *owner,
                                             struct render_order *order, uint64_t now_ms)
{
	struct render_session *s = xcalloc(1, sizeof *s);
	check(strlen(id) <= RENDER_SESSION_ID_MAX && strlen(owner) <= RENDER_OWNER_MAX);
	strcpy(s->id, id);
	strcpy(s->owner, owner);
	s->created_ms = s->active_ms = now_ms;
	s->order = *order;
	order->initial_data = order->ignored = NULL;
	s->state = first_state(s);
	check(s->state != NULL);
	s->published = json_deep_copy(s->state);
	return s;
}

bool render_session_may_own(const struct settings *settings, struct span principal)
{
	return principal.len > 0 || (settings->dev && *settings->sessions_validate_url == '\0');
}

bool render_session_is_of(const struct render_session *s, const struct settings *settings,
                          struct span principal, struct span former)
{
	return *s->owner != '\0'
	               ? owner_is(span_str(s->owner), principal, former)
	               : principal.len == 0 && render_session_may_own(settings, principal);
}

void render_session_destroy(struct render_session **session)
{
	struct render_session *s = *session;
	*session = NULL;
	if (s == NULL)
		return;
	render_order_finish(&s->order);
	json_decref(s->scene);
	json_decref(s->caller);
	json_decref(s->state);
	json_decref(s->published);
	free(s);
}

/* ---- the document ---- */

/* Whose it is, which event comes next, when it ends and what it shows cannot be guessed. */
#define FIELD(name, member) RECORD_MEMBER(name, struct render_session, member)
static const struct record_field fields[] = {
        {FIELD("id", id), RECORD_NEEDED},
        {FIELD("owner", owner), RECORD_NEEDED},
        {FIELD("retryKey", retry_key)},
        {FIELD("signalToken", signal_token)},
        {FIELD("rev", rev), RECORD_NEEDED},
        {FIELD("signals", signals)},
        {FIELD("createdAt", created_ms), RECORD_NEEDED},
        {FIELD("endedAt", ended_ms)},
        {FIELD("fps", order.fps)},
        {.name = "state", .kind = RECORD_OBJECT, RECORD_NEEDED},
};
/* Of the state, which is the clients' own beside these. */
static const struct record_field state_fields[] = {
        {RECORD_ENUM("status", struct render_session, status, names), RECORD_NEEDED},
        {FIELD("targetUrl", order.target_url), RECORD_NEEDED},
        {.name = "instanceInfo", .kind = RECORD_OBJECT, RECORD_NEEDED},
};
static const struct record_field viewport_fields[] = {
        {FIELD("width", order.width)},
        {FIELD("height", order.height)},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)},
                           state_record = {RECORD_FIELDS(state_fields)},
                           viewport_record = {RECORD_FIELDS(viewport_fields)};

char *render_session_document(const struct render_session *s)
{
	json_t *doc = json_object(), *trees;
	record_write(&record, s, doc);
	trees = json_pack("{s:O?, s:O?, s:O?, s:O}", "initialData", s->order.initial_data,
	                  "sceneData", s->scene, "callerContext", s->caller, "state", s->published);
	check(trees != NULL && json_object_update_new(doc, trees) == 0);
	char *text = json_dumps(doc, JSON_COMPACT);
	check(text != NULL);
	json_decref(doc);
	return text;
}

static bool read_document(struct render_session *s, const json_t *doc)
{
	json_t *state = json_object_get(doc, "state");
	const json_t *info = json_object_get(state, "instanceInfo");
	if (record_read(&record, doc, s) != ROW_PRESENT ||
	    record_read(&state_record, state, s) != ROW_PRESENT ||
	    record_read(&viewport_record, json_object_get(info, "viewport"), s) != ROW_PRESENT)
		return false;
	s->order.initial_data = json_incref(json_object_get(doc, "initialData"));
	s->order.ignored = json_array();
	s->scene = json_incref(json_object_get(doc, "sceneData"));
	s->caller = json_incref(json_object_get(doc, "callerContext"));
	s->state = json_incref(state);
	s->published = json_deep_copy(state);
	return true;
}

struct render_session *render_session_load(struct span document, uint64_t now_ms)
{
	json_t *doc = json_take(document, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL, NULL);
	struct render_session *s = xcalloc(1, sizeof *s);
	s->active_ms = now_ms;
	if (!json_is_object(doc) || !read_document(s, doc))
		render_session_destroy(&s);
	json_decref(doc);
	return s;
}

/* ---- the state ---- */

void render_session_set(struct render_session *s, const char *member, json_t *value)
{
	if (value == NULL)
		json_object_del(s->state, member);
	else
		check(json_object_set_new(s->state, member, value) == 0);
}

void render_session_status(struct render_session *s, enum render_status status, const char *message)
{
	check(s->status != RENDER_TERMINATED || status == RENDER_TERMINATED);
	s->status = status;
	render_session_set(s, "status", json_string(render_status_name(status)));
	render_session_set(s, "error", status == RENDER_ERROR ? json_string(message) : json_null());
}

void render_session_touch(struct render_session *s, uint64_t now_ms)
{
	s->active_ms = now_ms;
	render_session_set(s, "lastActivityTime",
	                   json_integer((json_int_t)(now_ms / MINUTE_MS * MINUTE_MS)));
}

void render_session_clock_moved(struct render_session *s, int64_t step_ms)
{
	s->created_ms = clock_moved_ms(s->created_ms, step_ms);
	s->active_ms = clock_moved_ms(s->active_ms, step_ms);
	s->ended_ms = clock_moved_ms(s->ended_ms, step_ms);
}

/* ---- events ---- */

json_t *render_session_first(const struct render_session *s)
{
	return json_pack("{s:I, s:O}", "rev", (json_int_t)s->rev, "state", s->published);
}

json_t *render_session_patch(struct render_session *s)
{
	json_t *operations = json_patch_diff(s->published, s->state);
	if (json_array_size(operations) == 0) {
		json_decref(operations);
		return NULL;
	}
	json_decref(s->published);
	s->published = json_deep_copy(s->state);
	s->rev++;
	s->signals = 0;
	return json_pack("{s:I, s:o}", "rev", (json_int_t)s->rev, "patch", operations);
}

json_t *render_session_signal(struct render_session *s, const json_t *signal)
{
	s->signals++;
	return json_pack("{s:I, s:I, s:o}", "rev", (json_int_t)s->rev, "n", (json_int_t)s->signals,
	                 "signal", json_deep_copy(signal));
}

json_t *render_session_end(const struct render_session *s, const char *reason)
{
	check(s->status == RENDER_TERMINATED);
	return json_pack("{s:I, s:s}", "rev", (json_int_t)s->rev, "end", reason);
}

const char *render_session_overdue(const struct render_session *s, const struct render_times *times,
                                   bool consumed, uint64_t now_ms)
{
	if (now_ms >= s->created_ms + times->lifetime_ms)
		return "lifetime";
	return !consumed && now_ms >= s->active_ms + times->idle_ms ? "idle" : NULL;
}

/* ---- names ---- */

void render_session_id(char out[RENDER_SESSION_ID_MAX + 1])
{
	uint8_t b[16];
	clock_random(b, sizeof b);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562 §5.4 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	char h[33];
	hex_print(b, sizeof b, h);
	snprintf(out, RENDER_SESSION_ID_MAX + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12,
	         h + 16, h + 20);
}

bool render_session_id_valid(struct span id)
{
	if (id.len != RENDER_SESSION_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.at[i];
		if (!(c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

size_t render_session_location(const struct settings *settings, const char *id,
                               char out[RENDER_LOCATION_ROOM])
{
	return (size_t)snprintf(out, RENDER_LOCATION_ROOM, "%s/stream/%s",
	                        settings->sessions_base_path, id);
}

struct span render_session_meant(const struct settings *settings, struct span path)
{
	static const struct span root = {(const uint8_t *)"/stream", 7};
	struct span base = span_str(settings->sessions_base_path);
	if (base.len == 0 || path.len < base.len + root.len ||
	    memcmp(path.at, base.at, base.len) != 0 ||
	    memcmp(path.at + base.len, root.at, root.len) != 0 ||
	    (path.len > base.len + root.len && path.at[base.len + root.len] != '/'))
		return path;
	return span_of(path.at + base.len, path.len - base.len);
}

size_t render_session_path(const char *id, char out[RENDER_PATH_ROOM])
{
	return (size_t)snprintf(out, RENDER_PATH_ROOM, "/v1/stream/sessions/%s/events", id);
}

size_t render_session_key(const char *id, char out[RENDER_PATH_ROOM])
{
	return (size_t)snprintf(out, RENDER_PATH_ROOM, RENDER_SESSION_KEY_PREFIX "%s", id);
}

/* ---- marks ---- */

/* Digits at *at, not past `end`, at most 18 of them. */
static bool read_digits(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	const uint8_t *from = *at;
	*value = 0;
	while (*at < end && **at >= '0' && **at <= '9' && *at - from < 18)
		*value = *value * 10 + (uint64_t)(*(*at)++ - '0');
	return *at > from;
}

static bool skip(const uint8_t **at, const uint8_t *end, const char *text)
{
	size_t len = strlen(text);
	if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool read_mark(const uint8_t **at, const uint8_t *end, struct render_mark *mark)
{
	*mark = (struct render_mark){0};
	if (!skip(at, end, "{\"rev\":") || !read_digits(at, end, &mark->rev))
		return false;
	return !skip(at, end, ",\"n\":") || read_digits(at, end, &mark->n);
}

bool render_mark_read(struct span event, struct render_mark *mark)
{
	const uint8_t *at = event.at;
	return read_mark(&at, event.at + event.len, mark);
}

bool render_event_read(struct span event, enum render_event *kind, struct render_mark *mark,
                       struct span *data)
{
	static const struct {
		const char *member;
		enum render_event kind;
	} rows[] = {{",\"state\":", RENDER_EVENT_STATE},
	            {",\"patch\":", RENDER_EVENT_PATCH},
	            {",\"signal\":", RENDER_EVENT_SIGNAL},
	            {",\"end\":", RENDER_EVENT_END}};
	const uint8_t *at = event.at, *end = event.at + event.len;
	if (!read_mark(&at, end, mark) || end[-1] != '}')
		return false;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (skip(&at, end, rows[i].member) && at < end - 1) {
			*kind = rows[i].kind;
			*data = *kind == RENDER_EVENT_STATE ? event
			                                    : span_of(at, (size_t)(end - 1 - at));
			return true;
		}
	return false;
}

bool render_mark_parse(struct span id, uint64_t *lineage, struct render_mark *mark)
{
	const uint8_t *at = id.at, *end = id.at + id.len;
	*mark = (struct render_mark){0};
	return read_digits(&at, end, lineage) && skip(&at, end, "-") &&
	       read_digits(&at, end, &mark->rev) &&
	       (!skip(&at, end, ".") || read_digits(&at, end, &mark->n)) && at == end;
}

size_t render_mark_print(uint64_t lineage, struct render_mark mark, char out[RENDER_MARK_ROOM])
{
	int len = snprintf(out, RENDER_MARK_ROOM, "%llu-%llu", (unsigned long long)lineage,
	                   (unsigned long long)mark.rev);
	if (mark.n != 0)
		len += snprintf(out + len, RENDER_MARK_ROOM - (size_t)len, ".%llu",
		                (unsigned long long)mark.n);
	return (size_t)len;
}

int render_mark_compare(struct render_mark a, struct render_mark b)
{
	return a.rev != b.rev ? (a.rev > b.rev) - (a.rev < b.rev) : (a.n > b.n) - (a.n < b.n);
}
