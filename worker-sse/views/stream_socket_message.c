#include "worker-sse/views/stream_socket_message.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/json_scan.h"
#include "common/base/json_take.h"

#include <stdlib.h>

#define S (1u << STREAM_SOCKET_SUBSCRIBE)
#define U (1u << STREAM_SOCKET_UNSUBSCRIBE)
#define A (1u << STREAM_SOCKET_APPEND)
/* Every member of every type: M(NAME, "name", types that have it, types that need it). */
#define MEMBERS(M)                                                                                 \
	M(TYPE, "type", S | U | A, S | U | A)                                                      \
	M(SUBSCRIPTION, "subscription", S | U, S | U)                                              \
	M(STREAMS, "streams", S, S)                                                                \
	M(FROM, "from", S, 0)                                                                      \
	M(ID, "id", S, 0)                                                                          \
	M(STREAM, "stream", A, A)                                                                  \
	M(REQUEST, "request", A, 0)                                                                \
	M(JSON, "json", A, 0)                                                                      \
	M(TEXT, "text", A, 0)                                                                      \
	M(BASE64, "base64", A, 0)                                                                  \
	M(CONTENT_TYPE, "contentType", A, 0)                                                       \
	M(PRODUCER, "producer", A, 0)                                                              \
	M(STREAM_SEQ, "streamSeq", A, 0)                                                           \
	M(CLOSE, "close", A, 0)

#define MEMBER_ENUM(NAME, text, has, needs) MEMBER_##NAME,
enum member { MEMBERS(MEMBER_ENUM) MEMBER_COUNT };
#undef MEMBER_ENUM

#define MEMBER_ROW(NAME, text, has, needs) {SPAN(text), (has), (needs)},
static const struct {
	struct span name;
	unsigned has, needs;
} members[MEMBER_COUNT] = {MEMBERS(MEMBER_ROW)};
#undef MEMBER_ROW
#undef S
#undef U
#undef A

static const uint64_t number_max = (1ull << 53) - 1;

/* ---- the object ---- */

struct found {
	struct span values[MEMBER_COUNT]; /* as they stand; at NULL: not there */
	bool unknown, twice;
};

static void keep(void *arg, struct span key, struct span value)
{
	struct found *f = arg;
	for (unsigned i = 0; i < MEMBER_COUNT; i++) {
		if (!span_equal(key, members[i].name))
			continue;
		f->twice |= f->values[i].at != NULL;
		f->values[i] = value;
		return;
	}
	f->unknown = true;
}

/* Always false. */
static bool refuse(struct stream_socket_message *m, const char *code, const char *fault)
{
	m->code = code;
	m->fault = fault;
	return false;
}

/* ---- values ---- */

/* A string's bytes, NUL-terminated, to be freed; NULL: it is none, or not one that can be kept as
 * it is. */
static char *string_of(struct span value, size_t *len)
{
	unsigned losses = 0;
	if (value.at == NULL || *value.at != '"')
		return NULL;
	json_t *json = json_take(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, &losses, NULL);
	char *text = NULL;
	if (json_is_string(json) && losses == 0) {
		*len = json_string_length(json);
		text = xmalloc(*len + 1);
		memcpy(text, json_string_value(json), *len + 1);
	}
	json_decref(json);
	return text;
}

/* The same of one that is not empty and has no NUL. */
static char *text_of(struct span value)
{
	size_t len = 0;
	char *text = string_of(value, &len);
	if (text != NULL && len > 0 && strlen(text) == len)
		return text;
	free(text);
	return NULL;
}

static char *name_of(struct span value)
{
	char *text = text_of(value);
	if (text == NULL || strlen(text) <= STREAM_SOCKET_NAME_MAX)
		return text;
	free(text);
	return NULL;
}

static bool number_of(struct span value, uint64_t *out)
{
	*out = 0;
	if (value.len == 0 || value.len > 16)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(value.at[i] - '0');
	}
	return *out <= number_max;
}

static bool flag_of(struct span value, bool *out)
{
	*out = span_equal(value, SPAN("true"));
	return *out || value.at == NULL || span_equal(value, SPAN("false"));
}

/* ---- each type ---- */

/* At least as many as a list has, for a list that is too long is not to be made first. */
static size_t count_of(struct span list)
{
	size_t count = 1;
	bool text = false;
	for (size_t i = 0; i < list.len; i++) {
		if (list.at[i] == '"')
			text = !text;
		else if (text && list.at[i] == '\\')
			i++;
		else if (!text && list.at[i] == ',')
			count++;
	}
	return count;
}

static bool take_streams(struct stream_socket_message *m, struct span value)
{
	bool some = count_of(value) <= STREAM_SOCKET_STREAMS_MAX;
	json_t *list = some ? json_take(value, 0, NULL, NULL) : NULL, *each;
	size_t i, count = json_array_size(list);
	bool good = json_is_array(list) && count > 0 && count <= STREAM_SOCKET_STREAMS_MAX;
	if (good) {
		json_array_foreach (list, i, each) {
			const char *text = json_string_value(each);
			good &= text != NULL && *text != '\0';
			if (good)
				m->streams[m->streams_count++] = xmemdup_text(text, strlen(text));
		}
	}
	json_decref(list);
	return good || refuse(m, "invalid", "streams is a list of 1 to 64 paths or patterns");
}

static bool take_subscribe(struct stream_socket_message *m, const struct found *f)
{
	struct span from = f->values[MEMBER_FROM], id = f->values[MEMBER_ID];
	size_t len;
	m->from_start = span_equal(from, SPAN("\"start\""));
	if (from.at != NULL && !m->from_start && !span_equal(from, SPAN("\"now\"")))
		return refuse(m, "invalid", "from is now or start");
	if (id.at != NULL && (m->id = string_of(id, &len)) == NULL)
		return refuse(m, "invalid", "id is a text");
	return take_streams(m, f->values[MEMBER_STREAMS]);
}

struct producer {
	struct span id, epoch, seq;
	unsigned count;
};

static void keep_producer(void *arg, struct span key, struct span value)
{
	struct producer *p = arg;
	p->count++;
	if (span_equal(key, SPAN("id")))
		p->id = value;
	else if (span_equal(key, SPAN("epoch")))
		p->epoch = value;
	else if (span_equal(key, SPAN("seq")))
		p->seq = value;
}

static bool take_producer(struct stream_socket_message *m, struct span value)
{
	struct producer p = {0};
	m->producer = value.at != NULL;
	if (!m->producer)
		return true;
	bool good = json_members(value, 1, keep_producer, &p) == NULL && p.count == 3;
	good = good && (m->producer_id = text_of(p.id)) != NULL;
	good = good && number_of(p.epoch, &m->producer_epoch) && number_of(p.seq, &m->producer_seq);
	return good || refuse(m, "invalid", "producer is an object of id, epoch and seq");
}

static bool decode_base64(struct stream_socket_message *m, struct span value)
{
	size_t coded_len = 0;
	char *text = string_of(value, &coded_len);
	struct span coded = span_of(text, coded_len);
	m->decoded = xmalloc(coded.len / 4 * 3 + 1);
	int64_t len = text != NULL ? base64_decode(coded, m->decoded) : -1;
	free(text);
	m->body = span_of(m->decoded, len > 0 ? (size_t)len : 0);
	return len >= 0 || refuse(m, "invalid", "base64 is a text of that");
}

/* `behind`: of a binary message; at NULL: it is a text. */
static bool take_body(struct stream_socket_message *m, const struct found *f, struct span behind)
{
	struct span json = f->values[MEMBER_JSON], text = f->values[MEMBER_TEXT],
	            base64 = f->values[MEMBER_BASE64];
	unsigned count = (json.at != NULL) + (text.at != NULL) + (base64.at != NULL);
	size_t len;
	if (count > 1 || (count == 1 && behind.at != NULL))
		return refuse(m, "invalid", "a message is one of json, text, base64 and bytes");
	m->json = json.at != NULL;
	m->body = m->json ? json : behind;
	if (base64.at != NULL)
		return decode_base64(m, base64);
	if (text.at == NULL)
		return true;
	m->decoded = (uint8_t *)string_of(text, &len);
	if (m->decoded == NULL)
		return refuse(m, "invalid", "text is a text");
	m->body = span_of(m->decoded, len);
	return true;
}

static bool take_append(struct stream_socket_message *m, const struct found *f, struct span behind)
{
	struct span type = f->values[MEMBER_CONTENT_TYPE], seq = f->values[MEMBER_STREAM_SEQ];
	const char *fallback = f->values[MEMBER_JSON].at != NULL   ? "application/json"
	                       : f->values[MEMBER_TEXT].at != NULL ? "text/plain"
	                                                           : "application/octet-stream";
	m->stream = text_of(f->values[MEMBER_STREAM]);
	if (m->stream == NULL)
		return refuse(m, "invalid", "stream is a path");
	m->content_type =
	        type.at != NULL ? text_of(type) : xmemdup_text(fallback, strlen(fallback));
	if (m->content_type == NULL)
		return refuse(m, "invalid", "contentType is a text");
	if (seq.at != NULL && (m->stream_seq = text_of(seq)) == NULL)
		return refuse(m, "invalid", "streamSeq is a text");
	if (!flag_of(f->values[MEMBER_CLOSE], &m->close))
		return refuse(m, "invalid", "close is true or false");
	return take_producer(m, f->values[MEMBER_PRODUCER]) && take_body(m, f, behind);
}

/* ---- all of them ---- */

static enum stream_socket_said type_of(struct span value)
{
	return span_equal(value, SPAN("\"subscribe\""))     ? STREAM_SOCKET_SUBSCRIBE
	       : span_equal(value, SPAN("\"unsubscribe\"")) ? STREAM_SOCKET_UNSUBSCRIBE
	       : span_equal(value, SPAN("\"append\""))      ? STREAM_SOCKET_APPEND
	                                                    : STREAM_SOCKET_BAD;
}

/* Whoever is told of a fault finds what it is about by these. */
static bool take_names(struct stream_socket_message *m, const struct found *f)
{
	m->subscription = name_of(f->values[MEMBER_SUBSCRIPTION]);
	m->request = name_of(f->values[MEMBER_REQUEST]);
	if (m->subscription == NULL && f->values[MEMBER_SUBSCRIPTION].at != NULL)
		return refuse(m, "invalid", "subscription is a text of 1 to 64 bytes");
	if (m->request == NULL && f->values[MEMBER_REQUEST].at != NULL)
		return refuse(m, "invalid", "request is a text of 1 to 64 bytes");
	return true;
}

static bool fits(struct stream_socket_message *m, const struct found *f,
                 enum stream_socket_said type, bool binary)
{
	if (f->twice)
		return refuse(m, "invalid", "a member stands twice");
	if (f->unknown)
		return refuse(m, "invalid", "a member that is not known");
	if (binary && type != STREAM_SOCKET_APPEND)
		return refuse(m, "invalid", "only an append has bytes behind it");
	for (unsigned i = 0; i < MEMBER_COUNT; i++) {
		bool there = f->values[i].at != NULL;
		if (there && !(members[i].has & 1u << type))
			return refuse(m, "invalid", "a member that this type does not have");
		if (!there && (members[i].needs & 1u << type))
			return refuse(m, "invalid", "a member is missing");
	}
	return true;
}

static bool take(struct stream_socket_message *m, struct span object, struct span behind,
                 size_t depth_max)
{
	struct found f = {0};
	const char *fault = json_members(object, depth_max, keep, &f);
	if (fault != NULL)
		return refuse(m, "malformed", fault);
	if (f.values[MEMBER_TYPE].at == NULL)
		return refuse(m, "malformed", "a message has a type");
	enum stream_socket_said type = type_of(f.values[MEMBER_TYPE]);
	bool named = take_names(m, &f);
	if (type == STREAM_SOCKET_BAD)
		return refuse(m, "unknown-type", "there is no such type of message");
	if (!named || !fits(m, &f, type, behind.at != NULL))
		return false;
	if (type == STREAM_SOCKET_SUBSCRIBE && !take_subscribe(m, &f))
		return false;
	if (type == STREAM_SOCKET_APPEND && !take_append(m, &f, behind))
		return false;
	m->said = type;
	return true;
}

struct stream_socket_message stream_socket_message_read(struct span bytes, bool binary,
                                                        size_t depth_max)
{
	struct stream_socket_message m = {0};
	struct reader r = {bytes.at, bytes.at + bytes.len, true};
	struct span behind = {0};
	if (binary) {
		bytes = reader_span(&r, bytes.len);
		behind = span_of(r.at, reader_left(&r));
	}
	if (!r.ok)
		refuse(&m, "malformed", "a binary message begins with the length of its object");
	else
		take(&m, bytes, behind, depth_max);
	return m;
}

void stream_socket_message_finish(struct stream_socket_message *m)
{
	for (size_t i = 0; i < m->streams_count; i++)
		free(m->streams[i]);
	char *texts[] = {m->subscription, m->request,     m->id,        m->stream,
	                 m->content_type, m->producer_id, m->stream_seq};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		free(texts[i]);
	free(m->decoded);
	*m = (struct stream_socket_message){0};
}
