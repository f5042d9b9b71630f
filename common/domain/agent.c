#include "common/domain/agent.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/domain/owner.h"
#include "common/store/record.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

bool agent_id_good(struct span id)
{
	for (size_t i = 0; i < id.len; i++)
		if (id.at[i] < 0x20 || id.at[i] == 0x7f)
			return false;
	if (id.len == 0 || id.len > AGENT_ID_MAX)
		return false;
	json_t *text = json_stringn((const char *)id.at, id.len); /* is it UTF-8? */
	bool good = text != NULL;
	json_decref(text);
	return good;
}

struct span agent_key(struct span id, char out[AGENT_KEY_ROOM])
{
	int len = snprintf(out, AGENT_KEY_ROOM, AGENT_KEY "%.*s", (int)id.len, (const char *)id.at);
	check(len > 0 && len < AGENT_KEY_ROOM);
	return span_of(out, (size_t)len);
}

bool agent_key_id(struct span key, struct span *id)
{
	const size_t head = sizeof AGENT_KEY - 1;
	if (key.len <= head || memcmp(key.at, AGENT_KEY, head) != 0)
		return false;
	*id = span_of(key.at + head, key.len - head);
	return id->len <= AGENT_ID_MAX;
}

struct span agent_place_key(const struct agent *agent, char out[AGENT_KEY_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char place[AGENT_MACHINE_MAX + 16], hex[2 * SHA256_DIGEST_LENGTH + 1];
	int len = snprintf(place, sizeof place, "%s\n%u", agent->machine, agent->port);
	SHA256((const uint8_t *)place, (size_t)len, digest);
	hex_print(digest, sizeof digest, hex);
	len = snprintf(out, AGENT_KEY_ROOM, AGENT_PLACE_KEY "%.32s", hex);
	return span_of(out, (size_t)len);
}

static bool stands_as_it_is(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '~' || c == '-';
}

struct span agent_path(struct span id, char out[AGENT_PATH_ROOM])
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = sizeof AGENT_ROOT - 1;
	check(id.len <= AGENT_ID_MAX);
	memcpy(out, AGENT_ROOT, len);
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.at[i];
		if (stands_as_it_is(c)) {
			out[len++] = (char)c;
		} else {
			out[len++] = '%';
			out[len++] = digits[c >> 4];
			out[len++] = digits[c & 15];
		}
	}
	return span_of(out, len);
}

/* ---- rows ---- */

static const char *const statuses[] = {[AGENT_ACTIVE] = "active", [AGENT_OFFLINE] = "offline"};

#define FIELD(name, member) RECORD_MEMBER(name, struct agent, member)
static const struct record_field fields[] = {
        {FIELD("id", id), RECORD_NEEDED},
        {FIELD("machine", machine), RECORD_NEEDED},
        {FIELD("cwd", cwd), RECORD_NEEDED},
        {FIELD("port", port), RECORD_NEEDED, .max = 65535},
        {.name = "pid",
         .kind = RECORD_MAYBE,
         RECORD_PLACE(struct agent, pid),
         .standard = RECORD_NULL,
         .sparse = true},
        {RECORD_ENUM("status", struct agent, status, statuses), RECORD_NEEDED},
        {FIELD("offlineSince", offline_since_s), .sparse = true},
        {FIELD("lastSeen", last_seen_s), .sparse = true},
        {FIELD("firstSeen", first_seen_s), .sparse = true},
        {FIELD("tunnel", tunnel), .sparse = true},
        {FIELD("sessions", sessions), .sparse = true},
        {FIELD("evicted", evicted), .sparse = true},
        {FIELD("generation", generation), RECORD_NEEDED},
        {FIELD("reconnects", reconnects), .sparse = true},
        {FIELD("owner", owner), .sparse = true},
        {FIELD("address", address), .sparse = true},
        {FIELD("slot", slot), .sparse = true},
        {FIELD("processMs", process_ms), .sparse = true},
};
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)};

enum row_found agent_read(struct agent *agent, struct span value)
{
	struct agent read = {0};
	json_t *json = json_loadb((const char *)value.at, value.len, JSON_REJECT_DUPLICATES, NULL);
	enum row_found found = record_read(&record, json, &read);
	json_decref(json);
	if (found != ROW_PRESENT || !agent_id_good(span_str(read.id)))
		return ROW_UNREADABLE;
	*agent = read;
	return ROW_PRESENT;
}

char *agent_text(const struct agent *agent)
{
	json_t *json = json_object();
	record_write(&record, agent, json);
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	json_decref(json);
	return text;
}

/* An id of a conversation needs no escapes (conversation_id_good()). */
char *agent_session_item(const struct agent_item *item, size_t *len)
{
	bool begun = item->generation != NULL;
	char *text;
	int n = asprintf(&text,
	                 "{\"event\":\"session_item\",\"session\":\"%s\",\"epoch\":%llu,"
	                 "\"leaseMs\":%llu,%s%s%s\"seq\":%llu,\"item\":%.*s}",
	                 item->conversation, (unsigned long long)item->epoch,
	                 (unsigned long long)item->lease_ms, begun ? "\"generation\":" : "",
	                 begun ? item->generation : "", begun ? "," : "",
	                 (unsigned long long)item->seq, (int)item->item.len,
	                 (const char *)item->item.at);
	check(n > 0);
	*len = (size_t)n;
	return text;
}

/* ---- the wire ---- */

/* False: it is no text, or does not fit. */
static bool take_text(const json_t *params, const char *name, char *out, size_t room)
{
	const json_t *value = json_object_get(params, name);
	if (!json_is_string(value) || json_string_length(value) >= room ||
	    strlen(json_string_value(value)) != json_string_length(value))
		return false;
	memcpy(out, json_string_value(value), json_string_length(value) + 1);
	return true;
}

static bool in_range(const json_t *value, json_int_t max)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
	       json_integer_value(value) <= max;
}

static bool status_good(const json_t *value)
{
	const char *text = json_string_value(value);
	return text != NULL && (strcmp(text, "active") == 0 || strcmp(text, "offline") == 0);
}

static bool lists(const json_t *list, const char *text)
{
	size_t i;
	json_t *value;
	json_array_foreach (list, i, value)
		if (json_is_string(value) && strcmp(json_string_value(value), text) == 0)
			return true;
	return false;
}

const char *agent_take(const json_t *params, struct agent *agent)
{
	static const char invalid[] = "Invalid node info";
	const json_t *pid = json_object_get(params, "pid"), *port = json_object_get(params, "port"),
	             *accepts = json_object_get(params, "accepts");
	if (params == NULL || json_is_null(params))
		return "Missing params";
	if (!take_text(params, "id", agent->id, sizeof agent->id) ||
	    !agent_id_good(span_str(agent->id)) ||
	    !take_text(params, "machine", agent->machine, sizeof agent->machine) ||
	    !take_text(params, "cwd", agent->cwd, sizeof agent->cwd) || !in_range(port, 65535) ||
	    !status_good(json_object_get(params, "status")))
		return invalid;
	agent->pid = RECORD_NULL;
	if (pid != NULL && !json_is_null(pid)) {
		if (!in_range(pid, UINT32_MAX))
			return invalid;
		agent->pid = json_integer_value(pid);
	}
	agent->port = (uint32_t)json_integer_value(port);
	agent->tunnel = json_is_true(json_object_get(params, "tunnel"));
	if (accepts != NULL && !json_is_null(accepts) && !json_is_array(accepts))
		return invalid; /* else it would wait for ever for what it thinks it accepts */
	agent->items = lists(accepts, "items");
	agent->sessions = agent->items || lists(accepts, "sessions");
	return NULL;
}

static void put_seconds(json_t *node, const char *name, uint64_t s)
{
	if (s != 0)
		json_object_set_new(node, name, json_integer((json_int_t)s));
}

json_t *agent_node(const struct agent *agent)
{
	json_t *node = json_pack("{s:s, s:s, s:s, s:i, s:s}", "id", agent->id, "machine",
	                         agent->machine, "cwd", agent->cwd, "port", (int)agent->port,
	                         "status", statuses[agent->status]);
	check(node != NULL);
	put_seconds(node, "offline_since", agent->offline_since_s);
	put_seconds(node, "last_seen", agent->last_seen_s);
	if (agent->pid != RECORD_NULL)
		json_object_set_new(node, "pid", json_integer(agent->pid));
	if (agent->tunnel)
		json_object_set_new(node, "tunnel", json_true());
	return node;
}

json_t *agent_joined(const struct agent *agent)
{
	return json_pack("{s:s, s:o}", "event", "node_joined", "node", agent_node(agent));
}

json_t *agent_event(const char *event, const char *id)
{
	return json_pack("{s:s, s:s}", "event", event, "id", id);
}

bool agent_request_read(struct agent_request *request, struct span text)
{
	json_t *whole = json_loadb((const char *)text.at, text.len, JSON_ALLOW_NUL, NULL);
	json_t *id = json_object_get(whole, "id");
	const json_t *method = json_object_get(whole, "method");
	if (json_is_null(id))
		id = NULL;
	if (!json_is_string(method) ||
	    strlen(json_string_value(method)) != json_string_length(method) ||
	    (id != NULL && !json_is_string(id) && !json_is_integer(id))) {
		json_decref(whole);
		return false;
	}
	*request = (struct agent_request){.id = id,
	                                  .method = json_string_value(method),
	                                  .params = json_object_get(whole, "params"),
	                                  .whole = whole};
	return true;
}

void agent_request_finish(struct agent_request *request)
{
	json_decref(request->whole);
	*request = (struct agent_request){0};
}

char *agent_reply(const json_t *id, json_t *result, const char *error)
{
	json_t *reply = json_object();
	if (id != NULL)
		json_object_set(reply, "id", (json_t *)(uintptr_t)id);
	if (result != NULL)
		json_object_set_new(reply, "result", result);
	if (error != NULL)
		json_object_set_new(reply, "error", json_string(error));
	char *text = json_dumps(reply, JSON_COMPACT);
	check(text != NULL);
	json_decref(reply);
	return text;
}

/* ---- rules ---- */

bool agent_owned(const struct agent *agent, struct span owner, struct span former)
{
	return *agent->owner == '\0' ? owner.len == 0
	                             : owner_is(span_str(agent->owner), owner, former);
}

enum agent_verdict agent_judge(const struct agent *there, const struct agent *place,
                               struct span owner, struct span former)
{
	if (there != NULL && !there->evicted && !agent_owned(there, owner, former))
		return AGENT_OTHERS_ID;
	if (place != NULL && place->status == AGENT_ACTIVE && !place->evicted &&
	    !agent_owned(place, owner, former))
		return AGENT_OTHERS_PLACE;
	return AGENT_TAKEN;
}

void agent_begin(struct agent *agent, const struct agent *there, uint64_t now_ms)
{
	uint64_t next = there != NULL ? there->generation + 1 : 0;
	agent->generation = next > now_ms ? next : now_ms;
	agent->status = AGENT_ACTIVE;
	agent->offline_since_s = 0;
	agent->last_seen_s = now_ms / 1000;
	agent->evicted = false;
	bool again = there != NULL && !there->evicted;
	agent->first_seen_s = again ? there->first_seen_s : now_ms / 1000;
	agent->reconnects = again ? there->reconnects + 1 : 0;
}

void agent_end(struct agent *agent, uint64_t now_ms)
{
	agent->status = AGENT_OFFLINE;
	agent->offline_since_s = now_ms / 1000;
	agent->slot = 0;
	agent->process_ms = 0;
}

bool agent_is_ahead(const struct agent *agent, uint64_t now_ms)
{
	return agent->status == AGENT_OFFLINE && agent->offline_since_s > now_ms / 1000 + 1;
}

bool agent_is_due(const struct agent *agent, uint64_t now_ms, uint64_t ttl_ms)
{
	return agent->evicted ||
	       (agent->status == AGENT_OFFLINE && now_ms > agent->offline_since_s * 1000 + ttl_ms);
}
