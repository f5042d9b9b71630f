#include "worker-capture/devtools_wire.h"
#include "common/base/base64.h"
#include "common/base/json_take.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
	FRAME_REST_BYTES_MAX = 4096, /* of a screencast frame's message around its data */
	DATA_WITHIN_BYTES = 1024,    /* where that data begins */
};

#define EVENT_NAME(NAME, text) [DEVTOOLS_EVENT_##NAME] = text,
static const char *const event_names[] = {DEVTOOLS_EVENTS(EVENT_NAME)};
#undef EVENT_NAME

/* ---- frames ---- */

static bool take_session(struct devtools_message *m, const json_t *root)
{
	const json_t *session = json_object_get(root, "sessionId");
	size_t len = json_string_length(session);
	if (session == NULL)
		return true;
	if (!json_is_string(session) || len > DEVTOOLS_SESSION_MAX ||
	    strlen(json_string_value(session)) != len)
		return false;
	memcpy(m->session, json_string_value(session), len + 1);
	return true;
}

/* The message without its data, which is the only long thing in it. */
static bool take_rest(struct devtools_message *m, struct span head, struct span tail)
{
	char rest[FRAME_REST_BYTES_MAX];
	if (head.len + tail.len > sizeof rest)
		return false;
	memcpy(rest, head.at, head.len);
	memcpy(rest + head.len, tail.at, tail.len);
	json_t *root =
	        json_take(span_of(rest, head.len + tail.len), JSON_REJECT_DUPLICATES, NULL, NULL);
	const json_t *params = json_object_get(root, "params");
	const json_t *ack = json_object_get(params, "sessionId");
	const json_t *at = json_object_get(json_object_get(params, "metadata"), "timestamp");
	bool ok = json_is_integer(ack) && take_session(m, root);
	m->ack = json_integer_value(ack);
	m->picture->drawn_at_s = json_number_value(at);
	json_decref(root);
	return ok && isfinite(m->picture->drawn_at_s);
}

static bool take_picture(struct devtools_message *m, struct span data)
{
	m->picture = picture_create(data.len / 4 * 3);
	int64_t len = base64_decode(data, m->picture->bytes);
	if (len < 0)
		return false;
	m->picture->len = (uint32_t)len;
	return picture_measure(span_of(m->picture->bytes, (size_t)len), &m->picture->width,
	                       &m->picture->height);
}

static enum devtools_kind parse_frame(struct span text, struct devtools_message *m)
{
	static const char member[] = "\"data\":\"";
	size_t within = text.len < DATA_WITHIN_BYTES ? text.len : DATA_WITHIN_BYTES;
	const uint8_t *at = memmem(text.at, within, member, sizeof member - 1);
	if (at == NULL)
		return DEVTOOLS_KIND_BAD;
	at += sizeof member - 1;
	const uint8_t *end = text.at + text.len, *quote = memchr(at, '"', (size_t)(end - at));
	if (quote == NULL || !take_picture(m, span_of(at, (size_t)(quote - at))))
		return DEVTOOLS_KIND_BAD;
	return take_rest(m, span_of(text.at, (size_t)(at - text.at)),
	                 span_of(quote, (size_t)(end - quote)))
	               ? DEVTOOLS_KIND_FRAME
	               : DEVTOOLS_KIND_BAD;
}

/* ---- everything else ---- */

static enum devtools_kind parse_reply(struct devtools_message *m)
{
	const json_t *id = json_object_get(m->json, "id"),
	             *error = json_object_get(m->json, "error");
	if (!json_is_integer(id) || json_integer_value(id) < 0)
		return DEVTOOLS_KIND_BAD;
	m->id = (uint64_t)json_integer_value(id);
	m->body = json_object_get(m->json, "result");
	if (m->body != NULL)
		return DEVTOOLS_KIND_REPLY;
	const char *why = json_string_value(json_object_get(error, "message"));
	m->error = why != NULL ? why : "refused without a reason";
	return json_is_object(error) ? DEVTOOLS_KIND_REPLY : DEVTOOLS_KIND_BAD;
}

static enum devtools_kind parse_json(struct span text, struct devtools_message *m, bool event)
{
	m->json = json_take(text, JSON_REJECT_DUPLICATES, NULL, NULL);
	if (!json_is_object(m->json) || !take_session(m, m->json))
		return DEVTOOLS_KIND_BAD;
	if (!event)
		return parse_reply(m);
	m->body = json_object_get(m->json, "params");
	return json_is_object(m->body) ? DEVTOOLS_KIND_EVENT : DEVTOOLS_KIND_BAD;
}

/* Events begin with their name: the many that nobody asked for are known by it. */
static bool event_name(struct span text, struct span *name)
{
	static const char prefix[] = "{\"method\":\"";
	size_t len = sizeof prefix - 1;
	if (text.len < len || memcmp(text.at, prefix, len) != 0)
		return false;
	const uint8_t *quote = memchr(text.at + len, '"', text.len - len);
	if (quote == NULL)
		return false;
	*name = span_of(text.at + len, (size_t)(quote - text.at) - len);
	return true;
}

void devtools_message_parse(struct span text, struct devtools_message *message)
{
	struct span name;
	*message = (struct devtools_message){.kind = DEVTOOLS_KIND_IGNORED, .error = ""};
	if (!event_name(text, &name)) {
		message->kind = parse_json(text, message, false);
		return;
	}
	if (span_equal(name, SPAN("Page.screencastFrame"))) {
		message->kind = parse_frame(text, message);
		return;
	}
	for (unsigned i = 0; i < DEVTOOLS_EVENT_COUNT; i++)
		if (span_equal(name, span_str(event_names[i]))) {
			message->event = (enum devtools_event)i;
			message->kind = parse_json(text, message, true);
		}
}

void devtools_message_finish(struct devtools_message *message)
{
	json_decref(message->json);
	picture_unref(&message->picture);
	message->json = NULL;
}
