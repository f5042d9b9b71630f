#include "common/domain/conversation.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/store/offset.h"
#include "common/store/record.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

static bool id_byte(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '~' || c == '-';
}

bool conversation_id_good(struct span id)
{
	for (size_t i = 0; i < id.len; i++)
		if (!id_byte(id.at[i]))
			return false;
	return id.len > 0 && id.len <= CONVERSATION_ID_MAX && !span_equal(id, SPAN(".")) &&
	       !span_equal(id, SPAN(".."));
}

static struct span printed(const char *out, int len)
{
	check(len > 0 && len < CONVERSATION_KEY_ROOM);
	return span_of(out, (size_t)len);
}

struct span conversation_key(const char *id, char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_KEY "%s", id));
}

struct span conversation_time_key(const char *id, uint64_t created_ms,
                                  char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_TIME_KEY "%016llx/%s",
	                             (unsigned long long)~created_ms, id));
}

bool conversation_time_key_id(struct span key, struct span *id)
{
	const size_t head = sizeof CONVERSATION_TIME_KEY - 1 + CONVERSATION_TIME_DIGITS + 1;
	if (key.len <= head || key.at[head - 1] != '/' ||
	    memcmp(key.at, CONVERSATION_TIME_KEY, sizeof CONVERSATION_TIME_KEY - 1) != 0)
		return false;
	*id = span_of(key.at + head, key.len - head);
	return conversation_id_good(*id);
}

struct span conversation_message_key(const char *id, const char *message,
                                     char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_MESSAGE_KEY "%s/%s",
	                             id, message));
}

struct span conversation_slot_key(const char *id, uint64_t slot, char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_SLOT_KEY "%s/%llu",
	                             id, (unsigned long long)slot));
}

struct span conversation_presence_key(const char *id, char out[CONVERSATION_KEY_ROOM])
{
	return printed(out,
	               snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_PRESENCE_KEY "%s", id));
}

struct span conversation_agents_key(const char *id, char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, CONVERSATION_AGENTS_KEY "%s", id));
}

struct span conversation_due_key(const char *id, bool asked, uint64_t due_ms,
                                 char out[CONVERSATION_KEY_ROOM])
{
	return printed(out, snprintf(out, CONVERSATION_KEY_ROOM, "%s%016llx/%s",
	                             asked ? CONVERSATION_ASK_KEY : CONVERSATION_DUE_KEY,
	                             (unsigned long long)due_ms, id));
}

static_assert(sizeof CONVERSATION_ASK_KEY == sizeof CONVERSATION_DUE_KEY, "told apart by bytes");

bool conversation_due_key_read(struct span key, uint64_t *due_ms, struct span *id)
{
	enum { HEAD = sizeof CONVERSATION_DUE_KEY - 1, NAME = HEAD + CONVERSATION_TIME_DIGITS + 1 };
	if (key.len <= NAME || key.at[NAME - 1] != '/' ||
	    (memcmp(key.at, CONVERSATION_DUE_KEY, HEAD) != 0 &&
	     memcmp(key.at, CONVERSATION_ASK_KEY, HEAD) != 0))
		return false;
	*due_ms = 0;
	for (size_t i = HEAD; i < NAME - 1; i++) {
		const char *digits = "0123456789abcdef", *digit = strchr(digits, key.at[i]);
		if (digit == NULL || key.at[i] == '\0')
			return false;
		*due_ms = *due_ms << 4 | (uint64_t)(digit - digits);
	}
	*id = span_of(key.at + NAME, key.len - NAME);
	return conversation_id_good(*id);
}

const char *conversation_path(const char *id, const char *stream, char out[CONVERSATION_PATH_ROOM])
{
	int len = snprintf(out, CONVERSATION_PATH_ROOM, CONVERSATION_ROOT "%s/%s", id, stream);
	check(len > 0 && len < CONVERSATION_PATH_ROOM);
	return out;
}

/* ---- rows ---- */

#define FIELD(name, member) RECORD_MEMBER(name, struct conversation, member)
static const struct record_field fields[] = {
        {FIELD("id", id), RECORD_NEEDED},
        {FIELD("title", title), RECORD_NEEDED},
        {FIELD("createdBy", created_by), .sparse = true},
        {FIELD("owner", owner), .sparse = true},
        {FIELD("createdMs", created_ms), RECORD_NEEDED},
        {FIELD("changedMs", changed_ms)},
        {FIELD("revision", revision)},
        {FIELD("messages", messages)},
        {FIELD("generation", generation), .sparse = true},
        {FIELD("forkSource", fork_source), .sparse = true},
        {FIELD("said", said), .sparse = true},
        {FIELD("handed", handed), .sparse = true},
        {FIELD("agent", agent), .sparse = true},
        {FIELD("agentOwner", agent_owner), .sparse = true},
        {FIELD("epoch", epoch), .sparse = true},
        {FIELD("leaseMs", lease_ms), .sparse = true},
        {FIELD("leaseUntilMs", lease_until_ms), .sparse = true},
        {FIELD("done", done), .sparse = true},
        {FIELD("dueMs", due_ms), .sparse = true},
        {FIELD("generationEpoch", generation_epoch), .sparse = true},
        {FIELD("served", served), .sparse = true},
        {FIELD("agents", agents), .sparse = true},
        {FIELD("step", step), .sparse = true},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)};

#define FIELD(name, member) RECORD_MEMBER(name, struct conversation_message, member)
static const struct record_field message_fields[] = {
        {FIELD("digest", digest), .sparse = true},
        {FIELD("pieces", pieces), RECORD_NEEDED},
        {FIELD("position", position)},
        {FIELD("atMs", at_ms)},
        {FIELD("ended", ended), .sparse = true},
        {FIELD("finished", finished), .sparse = true},
};
#undef FIELD
static const struct record message_record = {RECORD_FIELDS(message_fields)};

static enum row_found row_read(const struct record *kind, struct span value, void *into)
{
	json_t *json = json_loadb((const char *)value.at, value.len, JSON_REJECT_DUPLICATES, NULL);
	enum row_found found = record_read(kind, json, into);
	json_decref(json);
	return found == ROW_PRESENT ? ROW_PRESENT : ROW_UNREADABLE;
}

static char *row_text(const struct record *kind, const void *from)
{
	json_t *json = json_object();
	record_write(kind, from, json);
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	json_decref(json);
	return text;
}

enum row_found conversation_read(struct conversation *conversation, struct span value)
{
	struct conversation read = {0};
	if (row_read(&record, value, &read) != ROW_PRESENT ||
	    !conversation_id_good(span_str(read.id)))
		return ROW_UNREADABLE;
	*conversation = read;
	return ROW_PRESENT;
}

char *conversation_text(const struct conversation *conversation)
{
	return row_text(&record, conversation);
}

enum row_found conversation_message_read(struct conversation_message *message, struct span value)
{
	return row_read(&message_record, value, message);
}

char *conversation_message_text(const struct conversation_message *message)
{
	return row_text(&message_record, message);
}

void conversation_digest(const json_t *payload, char out[CONVERSATION_DIGEST_ROOM])
{
	uint8_t digest[32];
	char *text = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	check(text != NULL);
	check(EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL) == 1);
	hex_print(digest, sizeof digest, out);
	free(text);
}

/* ---- rules ---- */

enum conversation_verdict conversation_judge_message(const struct conversation_message *known,
                                                     const char *digest)
{
	if (known == NULL)
		return CONVERSATION_TAKEN;
	return strcmp(known->digest, digest) == 0 ? CONVERSATION_REPEATED : CONVERSATION_CONFLICT;
}

enum conversation_verdict conversation_judge_piece(const struct conversation *conversation,
                                                   const struct conversation_message *known,
                                                   const char *message)
{
	if (known != NULL && *known->digest != '\0')
		return CONVERSATION_CONFLICT;
	if (known != NULL && known->ended)
		return CONVERSATION_ENDED;
	if (*conversation->generation != '\0' && strcmp(conversation->generation, message) != 0)
		return CONVERSATION_GENERATING;
	return CONVERSATION_TAKEN;
}

enum conversation_verdict conversation_judge_end(const struct conversation *conversation,
                                                 const char *message)
{
	if (*conversation->generation == '\0')
		return CONVERSATION_REPEATED;
	return message == NULL || strcmp(conversation->generation, message) == 0
	               ? CONVERSATION_TAKEN
	               : CONVERSATION_GENERATING;
}

/* ---- who serves it ---- */

static bool is_held(const struct conversation *c, uint64_t now_ms)
{
	return *c->agent != '\0' && now_ms < c->lease_until_ms;
}

/* When whoever serves it may be given it, as things stand. */
static void settle(struct conversation *c, bool pending, uint64_t now_ms)
{
	if (!pending || (c->served && *c->agent == '\0'))
		c->due_ms = 0;
	else if (is_held(c, now_ms))
		c->due_ms = c->lease_until_ms;
	else if (c->due_ms == 0 || c->due_ms > now_ms)
		c->due_ms = now_ms;
}

void conversation_received(struct conversation *c, uint64_t before, uint64_t now_ms)
{
	if (c->due_ms == 0 && !is_held(c, now_ms)) {
		c->done = before; /* nothing before it waits for anybody */
		c->step = 0;
	}
	settle(c, true, now_ms);
}

bool conversation_is_free(const struct conversation *c, const char *agent, const char *owner,
                          uint64_t now_ms)
{
	return !is_held(c, now_ms) ||
	       (strcmp(c->agent, agent) == 0 && strcmp(c->agent_owner, owner) == 0);
}

void conversation_give(struct conversation *c, const char *agent, const char *owner,
                       uint64_t lease_ms, uint64_t tail, uint64_t now_ms)
{
	if (c->due_ms == 0 && *c->agent == '\0') {
		c->done = tail; /* it waits for nothing, and nobody served it */
		c->step = 0;
	}
	c->served = false;
	snprintf(c->agent, sizeof c->agent, "%s", agent);
	snprintf(c->agent_owner, sizeof c->agent_owner, "%s", owner);
	c->epoch = c->epoch != 0 ? c->epoch + 1 : now_ms;
	c->lease_ms = lease_ms;
	conversation_renew(c, tail, now_ms);
}

enum conversation_fence conversation_fence(const struct conversation *c, uint64_t epoch,
                                           uint64_t now_ms)
{
	if (epoch != 0)
		return epoch == c->epoch && *c->agent != '\0' ? CONVERSATION_OPEN
		                                              : CONVERSATION_LOST;
	return is_held(c, now_ms) ? CONVERSATION_HELD : CONVERSATION_OPEN;
}

void conversation_renew(struct conversation *c, uint64_t tail, uint64_t now_ms)
{
	c->lease_until_ms = now_ms + c->lease_ms;
	settle(c, tail > c->done, now_ms);
}

bool conversation_deal(struct conversation *c, uint64_t done, uint64_t tail, uint64_t now_ms)
{
	if (done > tail)
		return false;
	if (done > c->done) {
		c->done = done;
		c->step = 0;
	}
	settle(c, tail > c->done, now_ms);
	return true;
}

void conversation_release(struct conversation *c, uint64_t tail, uint64_t now_ms)
{
	*c->agent = *c->agent_owner = '\0';
	c->lease_ms = c->lease_until_ms = 0;
	settle(c, tail > c->done, now_ms);
}

void conversation_forgo(struct conversation *c, uint64_t tail)
{
	c->done = tail;
	c->step = c->due_ms = 0;
}

/* ---- on the wires ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
	check(json_object_set_new(object, name, json_string(text)) == 0);
}

json_t *conversation_time(uint64_t at_ms)
{
	char text[40];
	struct span time = timestamp_print((int64_t)at_ms, text);
	return json_stringn((const char *)time.at, time.len);
}

static void set_time(json_t *object, const char *name, uint64_t at_ms)
{
	check(json_object_set_new(object, name, conversation_time(at_ms)) == 0);
}

json_t *conversation_info(const struct conversation *conversation)
{
	json_t *info = json_object();
	set_text(info, "sessionId", conversation->id);
	set_text(info, "title", conversation->title);
	if (*conversation->created_by != '\0')
		set_text(info, "createdBy", conversation->created_by);
	set_time(info, "createdAt", conversation->created_ms);
	return info;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool holds(const char *text, struct span word)
{
	for (; *text != '\0'; text++) {
		size_t n = 0;
		while (n < word.len && text[n] != '\0' &&
		       lower((uint8_t)text[n]) == lower(word.at[n]))
			n++;
		if (n == word.len)
			return true;
	}
	return false;
}

bool conversation_matches(const struct conversation *conversation, struct span words)
{
	for (size_t at = 0; at < words.len;) {
		size_t begin = at;
		while (at < words.len && words.at[at] != ' ')
			at++;
		struct span word = span_of(words.at + begin, at - begin);
		if (word.len > 0 && !holds(conversation->id, word) &&
		    !holds(conversation->title, word) && !holds(conversation->created_by, word))
			return false;
		at++;
	}
	return true;
}

json_t *conversation_change(const char *type, const struct conversation *conversation)
{
	json_t *change = json_object();
	set_text(change, "type", type);
	json_object_set_new(change, "session", conversation_info(conversation));
	return change;
}

static json_t *state_event(const char *type, const char *key, json_t *value, const char *operation,
                           const char *txid)
{
	json_t *headers = json_object(), *event = json_object();
	set_text(headers, "operation", operation);
	if (txid != NULL)
		set_text(headers, "txid", txid);
	set_text(event, "type", type);
	set_text(event, "key", key);
	if (value != NULL)
		json_object_set_new(event, "value", value);
	json_object_set_new(event, "headers", headers);
	return event;
}

json_t *conversation_piece_event(const char *message, uint64_t number, const char *actor,
                                 const char *role, const json_t *chunk, uint64_t at_ms,
                                 const char *txid)
{
	char key[CONVERSATION_ID_ROOM + 24];
	json_t *value = json_object();
	char *text = json_dumps(chunk, JSON_COMPACT | JSON_ENCODE_ANY);
	check(text != NULL);
	snprintf(key, sizeof key, "%s:%llu", message, (unsigned long long)number);
	set_text(value, "messageId", message);
	set_text(value, "actorId", actor);
	set_text(value, "role", role);
	set_text(value, "chunk", text);
	json_object_set_new(value, "seq", json_integer((json_int_t)number));
	set_time(value, "createdAt", at_ms);
	free(text);
	return state_event("chunk", key, value, "insert", txid);
}

json_t *conversation_whole_message(const char *message, const char *role, const char *content,
                                   uint64_t at_ms)
{
	json_t *whole = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "id", message, "role", role,
	                          "parts", "type", "text", "content", content);
	check(whole != NULL);
	set_time(whole, "createdAt", at_ms);
	return json_pack("{s:s, s:o}", "type", "whole-message", "message", whole);
}

json_t *conversation_reset_event(void)
{
	return json_pack("{s:{s:s}}", "headers", "control", "reset");
}

/* ---- who is there ---- */

static json_t *presence_value(const struct conversation_presence *presence, uint64_t at_ms)
{
	json_t *value = json_object();
	set_text(value, "actorId", presence->actor);
	set_text(value, "deviceId", presence->device);
	set_text(value, "actorType", presence->actor_type);
	if (presence->name != NULL)
		set_text(value, "name", presence->name);
	set_text(value, "status", presence->online ? "online" : "offline");
	set_time(value, "lastSeenAt", at_ms);
	return value;
}

static void presence_key(const struct conversation_presence *presence,
                         char out[2 * CONVERSATION_NAME_MAX + 2])
{
	snprintf(out, 2 * CONVERSATION_NAME_MAX + 2, "%s:%s", presence->actor, presence->device);
}

json_t *conversation_presence_event(const struct conversation_presence *presence, uint64_t at_ms)
{
	char key[2 * CONVERSATION_NAME_MAX + 2];
	presence_key(presence, key);
	return state_event("presence", key, presence_value(presence, at_ms), "upsert", NULL);
}

json_t *conversation_presence_read(struct span value)
{
	json_t *row = value.at == NULL ? json_object()
	                               : json_loadb((const char *)value.at, value.len, 0, NULL);
	if (json_is_object(row))
		return row;
	json_decref(row);
	return NULL;
}

bool conversation_presence_put(json_t *row, const struct conversation_presence *presence,
                               uint64_t at_ms, size_t max)
{
	char key[2 * CONVERSATION_NAME_MAX + 2];
	presence_key(presence, key);
	if (!presence->online) {
		json_object_del(row, key);
		return true;
	}
	if (json_object_get(row, key) == NULL && json_object_size(row) >= max)
		return false;
	return json_object_set_new(row, key, presence_value(presence, at_ms)) == 0;
}

/* ---- sessions.json ---- */

static const char *import_text(const json_t *entry, const char *name, char *out, size_t room)
{
	const json_t *value = json_object_get(entry, name);
	char number[32];
	*out = '\0';
	if (json_is_integer(value))
		snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
	const char *text = json_is_integer(value) ? number : json_string_value(value);
	if (text == NULL)
		return value == NULL || json_is_null(value) ? NULL : "is not a text";
	if (strlen(text) >= room ||
	    (json_is_string(value) && strlen(text) != json_string_length(value)))
		return "is too long, or has a NUL";
	memcpy(out, text, strlen(text) + 1);
	return NULL;
}

const char *conversation_import(const json_t *entry, uint64_t at_ms,
                                struct conversation *conversation)
{
	const char *created = json_string_value(json_object_get(entry, "createdAt"));
	int64_t created_ms;
	*conversation = (struct conversation){.revision = 1};
	if (!json_is_object(entry))
		return "it is no object";
	if (import_text(entry, "sessionId", conversation->id, sizeof conversation->id) != NULL ||
	    !conversation_id_good(span_str(conversation->id)))
		return "its sessionId is not 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	if (import_text(entry, "title", conversation->title, sizeof conversation->title) != NULL)
		return "its title is no text of at most 1024 bytes";
	if (import_text(entry, "createdBy", conversation->created_by,
	                sizeof conversation->created_by) != NULL)
		return "its createdBy is no text of at most 256 bytes";
	bool timed = created != NULL && timestamp_parse(span_str(created), &created_ms) &&
	             created_ms >= 0;
	conversation->created_ms = timed ? (uint64_t)created_ms : at_ms;
	conversation->changed_ms = conversation->created_ms;
	return NULL;
}
