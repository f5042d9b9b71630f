/* ringsidectl agents: the roster of the hub, read beside the running workers; evicting one. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/agent.h"
#include "common/store/record.h"
#include "common/store/txn.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <stdlib.h>

const struct ctl_text ctl_text_agents = {
        "ls | show ID | evict ID",
        "  --json   as JSON\n"
        "evict takes an agent out of the roster and has its socket closed; it may come again.\n"};

enum { TRIES_MAX = 16 };

static json_t *agent_json(const struct agent *agent)
{
	json_t *json = agent_node(agent);
	char *owner =
	        xmemdup_text(agent->owner, strlen(agent->owner) < 12 ? strlen(agent->owner) : 12);
	json_object_set_new(json, "generation", json_integer((json_int_t)agent->generation));
	json_object_set_new(json, "first_seen", json_integer((json_int_t)agent->first_seen_s));
	json_object_set_new(json, "reconnects", json_integer((json_int_t)agent->reconnects));
	json_object_set_new(json, "address", json_string(agent->address));
	json_object_set_new(json, "owner", json_string(owner));
	free(owner);
	if (agent->status == AGENT_ACTIVE)
		json_object_set_new(json, "worker", json_sprintf("sse-%u", agent->slot));
	return json;
}

static bool add_agent(void *arg, struct span key, struct span value)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	(void)key;
	if (agent_read(agent, value) != ROW_PRESENT)
		json_array_append_new(arg, json_pack("{s:s}", "status", "unreadable"));
	else if (!agent->evicted)
		json_array_append_new(arg, agent_json(agent));
	free(agent);
	return true;
}

static void print_agent(const json_t *agent)
{
	char text[32];
	long long since = ctl_number_of(agent, "offline_since"), now = (long long)clock_wall_ms();
	printf("%-36s %-10s %-28s %-8s %s\n", ctl_text_of(agent, "id"),
	       ctl_text_of(agent, "status"), ctl_text_of(agent, "machine"),
	       since != 0 && now > since * 1000 ? ctl_duration((uint64_t)(now - since * 1000), text)
	                                        : "-",
	       ctl_text_of(agent, "cwd"));
}

static int list_agents(struct store *store, bool as_json)
{
	json_t *agents = json_array(), *agent;
	size_t i;
	state_kv_each(store_view(store), SPAN(AGENT_KEY), add_agent, agents);
	if (as_json)
		return ctl_print_json(agents);
	printf("%-36s %-10s %-28s %-8s %s\n", "ID", "STATUS", "MACHINE", "OFFLINE", "DIRECTORY");
	json_array_foreach (agents, i, agent)
		print_agent(agent);
	json_decref(agents);
	return EXIT_DONE;
}

/* `value` is borrowed until the store's view moves. */
static bool find(struct store *store, const char *id, struct agent *agent, struct span *value)
{
	char key[AGENT_KEY_ROOM];
	return agent_id_good(span_str(id)) &&
	       state_kv_get(store_view(store), agent_key(span_str(id), key), value) &&
	       agent_read(agent, *value) == ROW_PRESENT && !agent->evicted;
}

static int show_agent(struct store *store, const char *id)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	struct span value;
	int code = find(store, id, agent, &value) ? ctl_print_json(agent_json(agent))
	                                          : ctl_fail("no agent %s is there", id);
	free(agent);
	return code;
}

/* The row stays until the worker that holds its socket has seen it, and goes at the next sweep. */
static enum verdict evict_once(struct store *store, struct agent *agent, struct span before)
{
	char key[AGENT_KEY_ROOM];
	struct txn *txn = txn_create();
	agent->evicted = true;
	char *row = agent_text(agent);
	json_t *event = agent_event("node_removed", agent->id);
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	txn_put(txn, agent_key(span_str(agent->id), key), before, span_str(row));
	txn_publish(txn, AGENT_ROSTER, span_str(text));
	enum verdict verdict = txn_execute(&txn, store);
	txn_destroy(&txn);
	json_decref(event);
	free(text);
	free(row);
	return verdict;
}

static int evict_agent(struct store *store, const char *id)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	struct span value;
	enum verdict verdict = VERDICT_KV_CONFLICT;
	bool there = true;
	for (unsigned i = 0; there && i < TRIES_MAX && verdict == VERDICT_KV_CONFLICT; i++) {
		while (store_advance(store, 0)) {
		}
		there = find(store, id, agent, &value);
		if (there)
			verdict = evict_once(store, agent, value);
	}
	free(agent);
	if (!there)
		return ctl_fail("no agent %s is there", id);
	if (verdict != VERDICT_OK)
		return ctl_fail("the store does not take it");
	printf("%s is evicted\n", id);
	return EXIT_DONE;
}

int ctl_agents(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	bool lists = argc == 1 && strcmp(argv[0], "ls") == 0,
	     shows = argc == 2 && strcmp(argv[0], "show") == 0,
	     evicts = argc == 2 && strcmp(argv[0], "evict") == 0;
	char data_dir[4096];
	struct store *store;
	if (!lists && !shows && !evicts)
		return ctl_usage(ctl, "ls, show ID or evict ID is expected");
	int code = ctl_open_store(ctl, &store, data_dir);
	if (code != 0)
		return code;
	code = lists   ? list_agents(store, as_json)
	       : shows ? show_agent(store, argv[1])
	               : evict_agent(store, argv[1]);
	store_close(&store);
	return code;
}
