/* ringsidectl: the commands that the supervisor carries out. */
#include "proto/roles.h"
#include "supervisor/admin.h"
#include "supervisor/ctl.h"

#include <stdlib.h>
#include <unistd.h>

static int too_many(const struct ctl *ctl, int argc, char **argv, int most)
{
	return argc > most ? ctl_usage(ctl, "unexpected argument '%s'", argv[most]) : 0;
}

/* ---- status ---- */

static void print_worker(const json_t *w)
{
	const json_t *rates = json_object_get(w, "rates"),
	             *counters = json_object_get(w, "counters");
	char up[32] = "-", pid[16] = "-";
	bool runs = ctl_number_of(w, "pid") != 0;
	if (runs) {
		ctl_duration((uint64_t)ctl_number_of(w, "up_ms"), up);
		snprintf(pid, sizeof pid, "%lld", ctl_number_of(w, "pid"));
	}
	printf("%-11s %8s %-9s %8s %8lld %8lld %9.1f %9.1f %9.1f %9lld", ctl_text_of(w, "name"),
	       pid, json_is_true(json_object_get(w, "late")) ? "silent" : ctl_text_of(w, "state"),
	       up, ctl_number_of(w, "restarts"), ctl_number_of(counters, "connections"),
	       json_number_value(json_object_get(rates, "connections")),
	       json_number_value(json_object_get(rates, "requests")),
	       json_number_value(json_object_get(rates, "appends")),
	       ctl_number_of(counters, "subscribers"));
	if (!runs && *ctl_text_of(w, "last_exit"))
		printf("  last exit: %s", ctl_text_of(w, "last_exit"));
	putchar('\n');
}

static void print_alerts(const json_t *w)
{
	long long rows = ctl_number_of(json_object_get(w, "counters"), "rows_unreadable");
	if (rows > 0)
		printf("\n%s: %lld row%s of the store cannot be read, and what they belong to "
		       "stands still: see its log\n",
		       ctl_text_of(w, "name"), rows, rows == 1 ? "" : "s");
}

static void print_missing_links(const json_t *status)
{
	size_t i;
	const json_t *link;
	json_array_foreach (json_object_get(status, "missing_links"), i, link)
		printf("%s%s", i == 0 ? "\nmissing links: " : ", ", json_string_value(link));
	if (i > 0)
		putchar('\n');
}

static bool has_part(const json_t *worker, const char *part)
{
	size_t i;
	const json_t *name;
	json_array_foreach (json_object_get(worker, "sandbox"), i, name)
		if (strcmp(json_string_value(name), part) == 0)
			return true;
	return false;
}

/* Who is closed in by it. */
static void print_sandbox(const json_t *status, const char *part)
{
	size_t i, count = 0;
	const json_t *worker;
	json_array_foreach (json_object_get(status, "workers"), i, worker) {
		if (!has_part(worker, part))
			continue;
		if (count++ == 0)
			printf("\n%s: %s", part, ctl_text_of(worker, "name"));
		else
			printf(", %s", ctl_text_of(worker, "name"));
	}
	if (count > 0)
		putchar('\n');
}

static void print_status(const json_t *status)
{
	char up[32];
	size_t i;
	const json_t *w;
	printf("ringside %s  %s  %s  pid %lld  up %s\n\n", ctl_text_of(status, "version"),
	       ctl_text_of(status, "state"), ctl_text_of(status, "url"),
	       ctl_number_of(status, "pid"),
	       ctl_duration((uint64_t)ctl_number_of(status, "up_ms"), up));
	printf("%-11s %8s %-9s %8s %8s %8s %9s %9s %9s %9s\n", "WORKER", "PID", "STATE", "UP",
	       "RESTARTS", "CONNS", "CONN/S", "REQ/S", "APPEND/S", "READERS");
	json_array_foreach (json_object_get(status, "workers"), i, w)
		print_worker(w);
	json_array_foreach (json_object_get(status, "workers"), i, w)
		print_alerts(w);
	print_missing_links(status);
	print_sandbox(status, "landlock");
	print_sandbox(status, "seccomp");
}

int ctl_status(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"status"};
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	json_t *status;
	int code = too_many(ctl, argc, argv, 0);
	if (code == 0)
		code = ctl_ask(ctl, 1, command, &status);
	if (code != 0)
		return code;
	if (as_json)
		return ctl_print_json(status);
	print_status(status);
	json_decref(status);
	return EXIT_DONE;
}

/* ---- changing what runs ---- */

/* Says how the workers have settled. */
static int print_outcome(const json_t *answer)
{
	long long failed = ctl_number_of(answer, "failed"), sse = ctl_number_of(answer, "sse");
	if (failed > 0)
		return ctl_fail("%lld worker%s failed; see 'ringsidectl events' and the log",
		                failed, failed == 1 ? " has" : "s have");
	if (json_is_true(json_object_get(answer, "halted")))
		return ctl_fail("a replacement failed, so the workers that run stay; see "
		                "'ringsidectl events' and "
		                "the log");
	printf("%lld SSE worker%s; %lld ready, all roles counted\n", sse, sse == 1 ? "" : "s",
	       ctl_number_of(answer, "ready"));
	return EXIT_DONE;
}

static int ask_and_settle(const struct ctl *ctl, int argc, const char *const *argv)
{
	json_t *answer;
	int code = ctl_ask(ctl, argc, argv, &answer);
	if (code == 0)
		code = print_outcome(answer);
	json_decref(answer);
	return code;
}

int ctl_scale(const struct ctl *ctl, int argc, char **argv)
{
	if (argc != 2)
		return ctl_usage(ctl, "what to scale and to how many are expected");
	const char *const command[] = {"scale", argv[0], argv[1]};
	return ask_and_settle(ctl, 3, command);
}

int ctl_restart(const struct ctl *ctl, int argc, char **argv)
{
	if (argc != 1)
		return ctl_usage(ctl, "a worker, or all, is expected");
	const char *const command[] = {"restart", argv[0]};
	return ask_and_settle(ctl, 2, command);
}

static void print_keys(const char *title, const json_t *keys)
{
	size_t i;
	const json_t *key;
	if (json_array_size(keys) == 0)
		return;
	printf("%s:", title);
	json_array_foreach (keys, i, key)
		printf("%s %s", i > 0 ? "," : "", json_string_value(key));
	putchar('\n');
}

int ctl_reload(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"reload"};
	json_t *answer;
	int code = too_many(ctl, argc, argv, 0);
	if (code == 0)
		code = ctl_ask(ctl, 1, command, &answer);
	if (code != 0)
		return code;
	const json_t *changed = json_object_get(answer, "changed");
	if (json_array_size(changed) == 0)
		puts("nothing changed that can change while ringside runs");
	print_keys("changed", changed);
	print_keys("waiting for the next start of ringside",
	           json_object_get(answer, "needs_restart"));
	size_t i;
	const json_t *doubt;
	json_array_foreach (json_object_get(answer, "doubts"), i, doubt)
		printf("doubtful: %s\n", json_string_value(doubt));
	code = print_outcome(answer);
	json_decref(answer);
	return code;
}

/* Asks it to end and waits until it has. */
static int end(const struct ctl *ctl, int argc, char **argv, const char *const *command)
{
	struct ctl_reply reply;
	int code = too_many(ctl, argc, argv, 0);
	if (code != 0)
		return code;
	int fd = ctl_connect(ctl, false);
	if (fd < 0)
		return EXIT_FAILED;
	if (!ctl_send(fd, 1, command))
		return ctl_fail("the supervisor went away before it was asked");
	while (ctl_receive(fd, &reply)) {
		if (reply.status != ADMIN_OK)
			code = ctl_fail("%s", reply.body);
		free(reply.body);
		if (code != 0)
			break;
	}
	close(fd);
	if (code == 0)
		puts("stopped");
	return code;
}

int ctl_drain(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"drain"};
	return end(ctl, argc, argv, command);
}

int ctl_stop(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"stop"};
	return end(ctl, argc, argv, command);
}

int ctl_log_level(const struct ctl *ctl, int argc, char **argv)
{
	json_t *answer;
	if (argc != 1)
		return ctl_usage(ctl, "a level is expected");
	const char *const command[] = {"log-level", argv[0]};
	int code = ctl_ask(ctl, 2, command, &answer);
	if (code == 0)
		printf("log level is %s\n", ctl_text_of(answer, "level"));
	json_decref(answer);
	return code;
}

/* ---- looking ---- */

int ctl_events(const struct ctl *ctl, int argc, char **argv)
{
	bool follow = ctl_take_flag(&argc, argv, "--follow");
	const char *const command[] = {"events", "--follow"};
	struct ctl_reply reply;
	int code = too_many(ctl, argc, argv, 0);
	if (code != 0)
		return code;
	int fd = ctl_connect(ctl, false);
	if (fd < 0)
		return EXIT_FAILED;
	bool last = !ctl_send(fd, follow ? 2 : 1, command);
	while (!last && ctl_receive(fd, &reply)) {
		last = reply.last;
		if (reply.status != ADMIN_OK)
			code = ctl_fail("%s", reply.body);
		else if (!last)
			puts(reply.body);
		fflush(stdout);
		free(reply.body);
	}
	close(fd);
	return code;
}

int ctl_settings(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"settings"};
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	const char *key;
	json_t *answer, *value;
	int code = too_many(ctl, argc, argv, 0);
	if (code == 0)
		code = ctl_ask(ctl, 1, command, &answer);
	if (code != 0)
		return code;
	if (as_json)
		return ctl_print_json(answer);
	json_object_foreach (answer, key, value)
		printf("%-32s %s\n", key, json_string_value(value));
	json_decref(answer);
	return EXIT_DONE;
}
