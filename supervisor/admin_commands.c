/* What each admin command does. */
#include "supervisor/admin_commands.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/version.h"
#include "proto/link_states.h"
#include "supervisor/commands.h"
#include "supervisor/supervisor.h"
#include "supervisor/tell.h"
#include "supervisor/tokens_commands.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- status ---- */

#define COUNTER_FIELD_JSON(name, kind, help)                                                       \
	json_object_set_new(counters, #name, json_integer((json_int_t)counter_get(slot, name)));

static json_t *counters_json(const struct counters_slot *slot)
{
	json_t *counters = json_object();
	COUNTERS(COUNTER_FIELD_JSON)
	return counters;
}

/* How many filters of system calls it is subject to (proc(5), status). */
static long filters(pid_t pid)
{
	static const char key[] = "Seccomp_filters:";
	char path[48], line[256];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
		found = strncmp(line, key, sizeof key - 1) == 0;
	if (file != NULL)
		fclose(file);
	return found ? strtol(line + sizeof key - 1, NULL, 10) : 0;
}

/* What of its sandbox is in force. */
static json_t *sandbox_json(const struct child *child)
{
	json_t *parts = json_array();
	if (child->pid != 0 && child->confined)
		json_array_append_new(parts, json_string("landlock"));
	/* What we are subject to ourselves, of a container or a unit, is not its own. */
	if (child->pid != 0 && filters(child->pid) > filters(getpid()))
		json_array_append_new(parts, json_string("seccomp"));
	return parts;
}

static json_t *worker_json(const struct child *child, uint64_t now_ms)
{
	const struct counters_slot *slot = child->counters;
	const struct child_rates *r = &child->rates;
	bool waits = child->state == CHILD_STOPPED && child->start_due_ms > now_ms;
	json_t *json =
	        json_pack("{s:s, s:s, s:i, s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:i, s:s, s:I}",
	                  "name", child->name, "role", child->role->name, "slot", (int)child->slot,
	                  "pid", (int)child->pid, "state", child_state_name(child), "wanted",
	                  (int)child->wanted, "generation", (json_int_t)child->generation,
	                  "restarts", (json_int_t)counter_get(slot, restarts), "started_at_ms",
	                  (json_int_t)counter_get(slot, started_ms), "up_ms",
	                  (json_int_t)(child->pid != 0 ? now_ms - child->started_ms : 0),
	                  "failures", (int)child->restart.failures, "last_exit", child->last_exit,
	                  "starts_in_ms", (json_int_t)(waits ? child->start_due_ms - now_ms : 0));
	check(json != NULL);
	json_object_set_new(json, "late", json_boolean(child->late));
	json_object_set_new(json, "sandbox", sandbox_json(child));
	json_object_set_new(json, "rates",
	                    json_pack("{s:f, s:f, s:f, s:f}", "connections", r->connections_s,
	                              "requests", r->requests_s, "appends", r->appends_s,
	                              "deliveries", r->deliveries_s));
	json_object_set_new(json, "counters", counters_json(slot));
	return json;
}

static json_t *missing_links(const struct counters *counters)
{
	char name[64];
	json_t *links = json_array();
	for (size_t i = 0; counters_missing_link(counters, i, name); i++)
		json_array_append_new(links, json_string(name));
	return links;
}

static const char *state_of(const struct supervisor *s)
{
	struct fleet_tally tally = fleet_tally(&s->fleet);
	if (s->stopping)
		return "stopping";
	if (!s->announced)
		return tally.failed != 0 ? "failed" : "starting";
	if (tally.listening_ready == 0)
		return "down";
	bool linked = atomic_load(&s->fleet.counters->links_missing) == 0;
	return tally.failed != 0 || tally.ready < tally.wanted || !linked ? "degraded" : "ready";
}

static json_t *absolute(const char *path)
{
	char *real = realpath(path, NULL);
	json_t *json = json_string(real != NULL ? real : path);
	free(real);
	return json;
}

static void on_command_status(struct supervisor *s, struct admin_request *request)
{
	uint64_t now_ms = clock_monotonic_ms();
	json_t *workers = json_array();
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (s->fleet.children[i].state != CHILD_ABSENT)
			json_array_append_new(workers, worker_json(&s->fleet.children[i], now_ms));
	json_t *body = json_pack(
	        "{s:s, s:s, s:b, s:s, s:i, s:I, s:I, s:i, s:o}", "version", ringside_version,
	        "state", state_of(s), "ready", (int)counters_ready(s->fleet.counters), "url",
	        listeners_url(&s->fleet.life.listeners), "pid", (int)getpid(), "started_at_ms",
	        (json_int_t)atomic_load(&s->fleet.counters->started_ms), "up_ms",
	        (json_int_t)(now_ms - s->started_ms), "cpus", (int)s->fleet.cpus, "workers",
	        workers);
	check(body != NULL);
	json_object_set_new(body, "missing_links", missing_links(s->fleet.counters));
	json_object_set_new(body, "data_dir", absolute(s->settings.newest->data_dir));
	json_object_set_new(body, "run_dir", absolute(s->settings.newest->run_dir));
	json_object_set_new(body, "config",
	                    s->options.config != NULL ? absolute(s->options.config) : json_null());
	json_object_set_new(body, "dev", json_boolean(s->settings.newest->dev));
	admin_answer(request, body);
}

static const struct counters_slot *link_slot(const struct supervisor *s)
{
	const struct counters_slot *slots = s->fleet.counters->slots;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		if (slots[i].role == ROLE_LINK && atomic_load(&slots[i].state) != WORKER_ABSENT)
			return &slots[i];
	return NULL;
}

static void add_link(const struct counters_slot *link, json_t *body)
{
	json_object_update_new(body,
	                       json_pack("{s:s, s:b, s:b, s:I, s:I}", "state",
	                                 link_state_text(counter_get(link, cluster_state)), "ready",
	                                 (int)counter_get(link, cluster_ready), "connected",
	                                 (int)counter_get(link, cluster_connected), "lag_bytes",
	                                 (json_int_t)counter_get(link, cluster_lag_bytes), "lag_ms",
	                                 (json_int_t)counter_get(link, cluster_lag_seconds)));
}

static void on_command_cluster(struct supervisor *s, struct admin_request *request)
{
	const struct counters_slot *link = link_slot(s);
	uint64_t followers = 0;
	if (strcmp(request->argv[1], "status") != 0) {
		admin_refuse(request, ADMIN_USAGE, "status is expected, not '%.64s'",
		             request->argv[1]);
		return;
	}
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		followers += counter_get(&s->fleet.counters->slots[i], cluster_followers);
	json_t *body = json_pack("{s:s, s:I}", "follows", s->settings.newest->cluster_follow,
	                         "followers", (json_int_t)followers);
	check(body != NULL);
	if (link != NULL)
		add_link(link, body);
	admin_answer(request, body);
}

/* ---- changing what runs ---- */

static bool set_live(struct supervisor *s, const char *key, const char *value, char *reason)
{
	return settings_renew_key(&s->settings.newest, span_str(key), span_str(value), reason);
}

static void on_command_scale(struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	if (strcmp(request->argv[1], "sse") != 0) {
		admin_refuse(request, ADMIN_USAGE, "only sse can be scaled, not '%.64s'",
		             request->argv[1]);
		return;
	}
	if (!set_live(s, "sse_workers", request->argv[2], reason)) {
		admin_refuse(request, ADMIN_USAGE, "sse: must be auto or 1 to %d",
		             PLAN_LISTENING_MAX);
		return;
	}
	events_emit(&s->events, LOG_LEVEL_INFO, "scaled",
	            json_pack("{s:s}", "sse", s->settings.newest->sse_workers));
	s->fleet.halted = false; /* of a restart before */
	fleet_step(&s->fleet);
	admin_answer_settled(request, json_object());
}

static void on_command_restart(struct supervisor *s, struct admin_request *request)
{
	const char *name = request->argv[1];
	bool all = strcmp(name, "all") == 0;
	struct child *child = all ? NULL : fleet_find(&s->fleet, name);
	if (!all && child == NULL) {
		admin_refuse(request, ADMIN_FAILED,
		             "there is no worker '%.64s'; 'ringsidectl status' lists them", name);
		return;
	}
	events_emit(&s->events, LOG_LEVEL_INFO, "restart-asked",
	            json_pack("{s:s}", "worker", name));
	fleet_restart(&s->fleet, child);
	admin_answer_settled(request, json_object());
}

static void on_command_reload(struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	json_t *report;
	if (supervisor_reload(s, &report, reason))
		admin_answer_settled(request, report);
	else
		admin_refuse(request, ADMIN_FAILED, "%s; the former configuration stays", reason);
}

/* How the last one has ended, once it has. */
static void answer_outcome(struct supervisor *s, struct admin_request *request)
{
	const struct upgrade *u = &s->upgrade;
	if (u->state == UPGRADE_RISING || u->state == UPGRADE_LEAVING)
		admin_answer_settled(request, json_pack("{s:s}", "state", "pending"));
	else
		admin_answer_settled(request, json_pack("{s:s, s:s, s:s, s:s}", "state",
		                                        upgrade_state_name(u->state), "from",
		                                        u->from, "to", u->to, "reason", u->reason));
}

static void on_command_upgrade(struct supervisor *s, struct admin_request *request)
{
	const char *argument = request->argc > 1 ? request->argv[1] : "";
	bool check_only = strcmp(argument, "--check") == 0;
	const char *program = *argument == '\0' || check_only ? s->upgrade.program : argument;
	char version[64], reason[HANDOVER_REASON_MAX + 1];
	if (strcmp(argument, "--outcome") == 0) {
		answer_outcome(s, request);
	} else if (*program != '/') {
		admin_refuse(request, ADMIN_USAGE, "the program must be an absolute path");
	} else if (s->stopping || s->upgrade.state == UPGRADE_RISING ||
	           s->upgrade.state == UPGRADE_LEAVING || !fleet_tally(&s->fleet).settled) {
		admin_refuse(request, ADMIN_FAILED,
		             "workers are starting, leaving or being replaced: try again when they "
		             "are ready");
	} else if (!upgrade_check(s, program, version, reason)) {
		admin_refuse(request, ADMIN_FAILED, "it cannot take over: %s", reason);
	} else {
		admin_answer(request, json_pack("{s:s, s:s, s:s}", "from", ringside_version, "to",
		                                version, "program", program));
		if (!check_only)
			upgrade_leave(s, program);
	}
}

static void on_command_drain(struct supervisor *s, struct admin_request *request)
{
	admin_answer(request, json_pack("{s:I}", "within_ms",
	                                (json_int_t)s->settings.newest->worker_drain_ms));
	if (!s->stopping)
		supervisor_stop(s, "ringsidectl drain");
}

static void on_command_stop(struct supervisor *s, struct admin_request *request)
{
	admin_answer(request, json_object());
	supervisor_kill(s, "ringsidectl stop");
}

static void on_command_log_level(struct supervisor *s, struct admin_request *request)
{
	char reason[SETTINGS_REASON_MAX];
	enum log_level level;
	if (!log_level_parse(request->argv[1], &level)) {
		admin_refuse(request, ADMIN_USAGE, "the level must be debug, info, warn or error");
		return;
	}
	check(set_live(s, "log.level", request->argv[1], reason));
	log_set_level(level);
	tell_log_level(&s->fleet, s->settings.newest->log_level);
	admin_answer(request, json_pack("{s:s}", "level", s->settings.newest->log_level));
}

/* ---- looking ---- */

static void send_kept(void *arg, const char *line)
{
	struct admin_request *request = arg;
	admin_line(request->client, request->id, line);
}

static void on_command_events(struct supervisor *s, struct admin_request *request)
{
	bool follow = request->argc > 1 && strcmp(request->argv[1], "--follow") == 0;
	if (request->argc > 1 && !follow) {
		admin_refuse(request, ADMIN_USAGE, "usage: events [--follow]");
		return;
	}
	events_each(&s->events, send_kept, request);
	if (follow)
		admin_follow(request);
	else
		admin_answer(request, json_object());
}

static void on_command_tokens(struct supervisor *s, struct admin_request *request)
{
	tokens_command(s, request);
}

static void on_command_settings(struct supervisor *s, struct admin_request *request)
{
	json_t *body = json_object();
	for (size_t i = 0; i < setting_rows_count; i++) {
		const struct setting_row *row = &setting_rows[i];
		json_object_set_new(body, row->key,
		                    json_string(settings_show(s->settings.newest, row)));
	}
	admin_answer(request, body);
}

/* ---- dispatch ---- */

struct command_row {
	const char *name, *synopsis;
	unsigned least, most;
	void (*handle)(struct supervisor *s,
	               struct admin_request *request); /* NULL: a worker does it */
	const char *worker;
};
#define OWN_ROW(ident, name, least, most, synopsis, help, more)                                    \
	{name, synopsis, least, most, on_command_##ident, NULL},
#define WORKER_ROW(ident, name, worker, help) {name, "METHOD PATH [BODY]", 2, 3, NULL, worker},
static const struct command_row rows[] = {ADMIN_COMMANDS(OWN_ROW, WORKER_ROW)};

/* Commands that change nothing, and calls that only look. */
static bool only_looks(const struct admin_request *request)
{
	static const char *const looks[] = {"status", "events", "settings"};
	for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
		if (strcmp(request->argv[0], looks[i]) == 0)
			return true;
	const char *second = request->argc > 1 ? request->argv[1] : "";
	return strcmp(second, "GET") == 0 || strcmp(second, "--check") == 0 ||
	       strcmp(second, "--outcome") == 0 ||
	       (strcmp(request->argv[0], "tokens") == 0 &&
	        (strcmp(second, "ls") == 0 || strcmp(second, "check") == 0));
}

/* Who asked for what is for the log. Of what a worker is asked, not the body: it may be long, or
 * somebody's. */
static void audit(struct supervisor *s, const struct admin_request *request)
{
	char words[256] = "";
	size_t len = 0;
	for (unsigned i = 0; i < request->argc && i < 3 && len < sizeof words; i++)
		len += (size_t)snprintf(words + len, sizeof words - len, "%s%s", i > 0 ? " " : "",
		                        request->argv[i]);
	events_emit(&s->events, LOG_LEVEL_INFO, "asked",
	            json_pack("{s:i, s:s%}", "uid", (int)request->uid, "command", words,
	                      strnlen(words, sizeof words)));
}

static void carry_out(struct supervisor *s, const struct command_row *row,
                      struct admin_request *request)
{
	if (!only_looks(request))
		audit(s, request);
	if (row->handle != NULL)
		row->handle(s, request);
	else
		admin_forward(request, fleet_find(&s->fleet, row->worker));
}

void admin_command(void *supervisor, struct admin_request *request)
{
	struct supervisor *s = supervisor;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (strcmp(rows[i].name, request->argv[0]) != 0)
			continue;
		if (request->argc - 1 < rows[i].least || request->argc - 1 > rows[i].most)
			admin_refuse(request, ADMIN_USAGE, "usage: %s %s", rows[i].name,
			             rows[i].synopsis);
		else
			carry_out(s, &rows[i], request);
		return;
	}
	admin_refuse(request, ADMIN_USAGE, "unknown command '%.64s'", request->argv[0]);
}
