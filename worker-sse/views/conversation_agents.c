/* Agents that are registered in a conversation with an endpoint, as clients of the registry's
 * package do it: a row, events of the type "agent", and from then on they are asked
 * (conversation_invoke.c). */
#include "common/base/check.h"
#include "common/domain/webhook_url.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	URL_MAX = 2048,
	HEADERS_MAX = 16,
	HEADER_MAX = 4096,
	SPEC_BYTES_MAX = 16384,
};

/* ---- what a body has ---- */

static bool is_token(const char *text)
{
	const char *more = "!#$%&'*+-.^_`|~"; /* RFC 9110 5.6.2 */
	for (const char *c = text; *c != '\0'; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		      (*c >= '0' && *c <= '9') || strchr(more, *c) != NULL))
			return false;
	return *text != '\0';
}

static bool is_field_value(const json_t *value)
{
	const char *text = json_string_value(value);
	if (text == NULL || json_string_length(value) > HEADER_MAX)
		return false;
	for (size_t i = 0; i < json_string_length(value); i++)
		if ((unsigned char)text[i] < ' ' && text[i] != '\t')
			return false;
	return true;
}

static const char *headers_fault(json_t *headers)
{
	const char *name;
	json_t *value;
	if (headers == NULL)
		return NULL;
	if (!json_is_object(headers) || json_object_size(headers) > HEADERS_MAX)
		return "headers must be an object of at most 16 strings";
	json_object_foreach (headers, name, value)
		if (!is_token(name) || strlen(name) > 128 || !is_field_value(value))
			return "headers must be names and values of HTTP fields";
	return NULL;
}

static const char *spec_fault(const struct settings *settings, const json_t *spec)
{
	const json_t *id = json_object_get(spec, "id"), *name = json_object_get(spec, "name");
	const char *endpoint = json_string_value(json_object_get(spec, "endpoint"));
	const json_t *method = json_object_get(spec, "method");
	const json_t *triggers = json_object_get(spec, "triggers");
	const json_t *template = json_object_get(spec, "bodyTemplate");
	const char *trigger = json_string_value(triggers);
	if (!json_is_string(id) || !conversation_id_good(span_str(json_string_value(id))))
		return "the id of an agent is 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	if (name != NULL &&
	    (!json_is_string(name) || json_string_length(name) > CONVERSATION_NAME_MAX))
		return "name must be a string of at most 256 bytes";
	if (endpoint == NULL || strlen(endpoint) > URL_MAX ||
	    !webhook_url_allowed(endpoint, settings->webhook_allow_private, settings->dev))
		return "endpoint must be an https URL of a public address, or of a host of "
		       "webhook.allow_private";
	if (method != NULL &&
	    (!json_is_string(method) || strcmp(json_string_value(method), "POST") != 0))
		return "method can only be POST";
	if (triggers != NULL && (trigger == NULL || (strcmp(trigger, "all") != 0 &&
	                                             strcmp(trigger, "user-messages") != 0)))
		return "triggers must be all or user-messages";
	if (template != NULL && !json_is_object(template))
		return "bodyTemplate must be an object";
	return headers_fault(json_object_get(spec, "headers"));
}

const char *conversation_agents_take(struct conversation_call *call)
{
	const struct settings *settings = call->all->worker->settings;
	json_t *agents = json_object_get(call->body, "agents"), *spec;
	size_t i;
	if (!json_is_array(agents))
		return "agents must be an array";
	json_array_foreach (agents, i, spec) {
		const char *fault = spec_fault(settings, spec);
		char *text = json_dumps(spec, JSON_COMPACT | JSON_ENCODE_ANY);
		bool large = text == NULL || strlen(text) > SPEC_BYTES_MAX;
		free(text);
		if (fault != NULL || large)
			return fault != NULL ? fault : "an agent has at most 16384 bytes";
	}
	return NULL;
}

/* ---- the row ---- */

json_t *conversation_agents_read(struct span value)
{
	json_t *agents = value.at == NULL ? json_array()
	                                  : json_loadb((const char *)value.at, value.len, 0, NULL);
	if (json_is_array(agents))
		return agents;
	json_decref(agents);
	return NULL;
}

/* NULL: unreadable, answered. */
static json_t *load(struct conversation_call *call)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	json_t *agents = NULL;
	conversation_agents_key(call->id, key);
	if (rows_find(call->change->rows, key, &value) != ROW_UNREADABLE)
		agents = conversation_agents_read(value);
	if (agents == NULL) {
		rows_mark(call->change->rows, key);
		conversation_fault(call, 503, "UNREADABLE", store_unreadable_reason);
	}
	return agents;
}

/* Takes `agents`. What was said before anybody was registered is for nobody. */
static void store(struct conversation_call *call, json_t *agents)
{
	char key[CONVERSATION_KEY_ROOM];
	uint64_t count = json_array_size(agents);
	conversation_agents_key(call->id, key);
	if (count > 0) {
		rows_put_json(call->change->rows, key, agents);
	} else {
		rows_put(call->change->rows, key, (struct span){0});
		json_decref(agents);
	}
	if ((call->row.agents > 0) != (count > 0))
		conversation_forgo(&call->row, conversation_inbox_tail(call));
	if (count > 0)
		call->row.served = false;
	call->row.agents = count;
	conversation_put(call);
}

static const char *text_of(const json_t *spec, const char *name)
{
	const char *text = json_string_value(json_object_get(spec, name));
	return text != NULL ? text : "";
}

static size_t place_of(const json_t *agents, const char *id)
{
	size_t i;
	json_t *spec;
	json_array_foreach (agents, i, spec)
		if (strcmp(text_of(spec, "id"), id) == 0)
			return i;
	return SIZE_MAX;
}

/* ---- events ---- */

static void say(struct conversation_call *call, const json_t *spec, const char *operation)
{
	static const char *const shown[] = {"name", "endpoint", "triggers"};
	const char *id = text_of(spec, "id");
	json_t *event = json_pack("{s:s, s:s, s:{s:s}, s:{s:s}}", "type", "agent", "key", id,
	                          "value", "agentId", id, "headers", "operation", operation);
	check(event != NULL);
	json_t *value = json_object_get(event, "value");
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		if (json_object_get(spec, shown[i]) != NULL)
			json_object_set(value, shown[i], json_object_get(spec, shown[i]));
	if (strcmp(operation, "delete") == 0)
		json_object_del(event, "value");
	conversation_say(call, event);
}

bool conversation_agents_say(struct conversation_call *call)
{
	size_t i;
	json_t *spec, *agents = load(call);
	if (agents == NULL)
		return false;
	json_array_foreach (agents, i, spec)
		say(call, spec, "upsert");
	json_decref(agents);
	return true;
}

/* ---- steps ---- */

static bool are_too_many(const struct conversation_call *call, const json_t *agents)
{
	return json_array_size(agents) > call->all->worker->settings->conversations_agents;
}

static void refuse_more(struct conversation_call *call)
{
	conversation_fault(call, 429, "LIMIT", "conversations.agents are registered");
}

void conversation_agents_step(struct conversation_call *call)
{
	size_t i;
	json_t *spec, *wanted = json_object_get(call->body, "agents");
	if (are_too_many(call, wanted)) { /* before each is looked up among the others */
		refuse_more(call);
		return;
	}
	if (!call->there && !conversation_make(call, call->id, ""))
		return;
	json_t *agents = load(call);
	if (agents == NULL)
		return;
	json_array_foreach (wanted, i, spec) {
		size_t place = place_of(agents, text_of(spec, "id"));
		if (place == SIZE_MAX)
			json_array_append(agents, spec);
		else
			json_array_set(agents, place, spec);
	}
	if (are_too_many(call, agents)) {
		json_decref(agents);
		refuse_more(call);
		return;
	}
	json_array_foreach (wanted, i, spec)
		say(call, spec, "upsert");
	store(call, agents);
	conversation_answer(call, 200, json_pack("{s:b}", "success", true));
}

/* As they were registered, but what stands in their headers is nobody's to see. */
void conversation_agents_look_step(struct conversation_call *call)
{
	size_t i;
	json_t *spec, *agents = load(call);
	if (agents == NULL)
		return;
	json_array_foreach (agents, i, spec)
		json_object_del(spec, "headers");
	conversation_answer(call, 200, json_pack("{s:o}", "agents", agents));
}

void conversation_agents_drop_step(struct conversation_call *call)
{
	json_t *agents = load(call);
	if (agents == NULL)
		return;
	size_t place = place_of(agents, call->argument);
	conversation_answer(call, 204, NULL);
	if (place == SIZE_MAX) {
		json_decref(agents);
		return;
	}
	say(call, json_array_get(agents, place), "delete");
	json_array_remove(agents, place);
	store(call, agents);
}
