/* ringsidectl: the commands that the supervisor carries out. */
#include "proto/roles.h"
#include "supervisor/admin.h"
#include "supervisor/ctl.h"

#include <stdlib.h>
#include <time.h>
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

/* ---- the same, again and again ---- */

const struct ctl_text ctl_text_top = {
        "[--every SECONDS] [--count N]",
        "  --every SECONDS   how often, 0.1 to 3600 [1]\n"
        "  --count N         end after so many; else with Ctrl-C, or when the supervisor is gone\n"
        "On a terminal each takes the place of the former one.\n"};

/* False: it is none between least and most. */
static bool take_number(const char *text, double least, double most, double *value)
{
	char *end;
	if (text == NULL)
		return true;
	*value = strtod(text, &end);
	return end != text && *end == '\0' && *value >= least && *value <= most;
}

int ctl_top(const struct ctl *ctl, int argc, char **argv)
{
	static const char *const command[] = {"status"};
	const char *every_text = NULL, *count_text = NULL;
	double every = 1, count = 0;
	if (!ctl_take_option(&argc, argv, "--every", &every_text) ||
	    !take_number(every_text, 0.1, 3600, &every))
		return ctl_usage(ctl, "--every needs 0.1 to 3600 seconds");
	if (!ctl_take_option(&argc, argv, "--count", &count_text) ||
	    !take_number(count_text, 1, 1e9, &count))
		return ctl_usage(ctl, "--count needs a number from 1 on");
	int code = too_many(ctl, argc, argv, 0);
	for (double n = 1; code == 0; n++) {
		json_t *status;
		code = ctl_ask(ctl, 1, command, &status);
		if (code != 0)
			break;
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		else if (n > 1)
			putchar('\n');
		print_status(status);
		json_decref(status);
		if (fflush(stdout) != 0 || n == count)
			break;
		nanosleep(&(struct timespec){.tv_sec = (time_t)every,
		                             .tv_nsec =
		                                     (long)((every - (double)(time_t)every) * 1e9)},
		          NULL);
	}
	return code;
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

/* The connection ends with the supervisor that was asked; the next one is at the same socket. */
static int await_outcome(const struct ctl *ctl, json_t **outcome)
{
	static const char *const command[] = {"upgrade", "--outcome"};
	enum { TRIES = 3000, PAUSE_NS = 100000000 };
	const char *state = "pending";
	*outcome = NULL;
	for (unsigned i = 0; i < TRIES && strcmp(state, "pending") == 0; i++) {
		struct ctl_reply reply;
		json_decref(*outcome);
		*outcome = NULL;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
		int fd = ctl_connect(ctl, true);
		bool ok = fd >= 0 && ctl_send(fd, 2, command) && ctl_receive(fd, &reply);
		if (fd >= 0)
			close(fd);
		if (!ok)
			continue;
		*outcome = reply.status == ADMIN_OK ? json_loads(reply.body, 0, NULL) : NULL;
		free(reply.body);
		state = *outcome != NULL ? ctl_text_of(*outcome, "state") : state;
	}
	if (strcmp(state, "pending") != 0)
		return EXIT_DONE;
	json_decref(*outcome);
	return ctl_fail("how it has ended cannot be learned; see 'ringsidectl events' and the log");
}

static int print_upgrade(const json_t *outcome)
{
	const char *state = ctl_text_of(outcome, "state"), *reason = ctl_text_of(outcome, "reason");
	if (strcmp(state, "back") == 0)
		return ctl_fail("rolled back to %s: %s", ctl_text_of(outcome, "to"), reason);
	if (strcmp(state, "done") != 0)
		return ctl_fail("not upgraded: %s", *reason != '\0' ? reason : "see the log");
	printf("upgraded from %s to %s\n", ctl_text_of(outcome, "from"),
	       ctl_text_of(outcome, "to"));
	return print_outcome(outcome);
}

int ctl_upgrade(const struct ctl *ctl, int argc, char **argv)
{
	bool check_only = ctl_take_flag(&argc, argv, "--check");
	int code = too_many(ctl, argc, argv, 1);
	if (code != 0)
		return code;
	if (check_only && argc > 0)
		return ctl_usage(ctl, "--check asks the program in place, and takes no other");
	const char *const command[] = {"upgrade", check_only ? "--check" : argc > 0 ? argv[0] : ""};
	json_t *answer, *outcome;
	code = ctl_ask(ctl, check_only || argc > 0 ? 2 : 1, command, &answer);
	if (code != 0)
		return code;
	if (check_only)
		printf("%s could take over from %s\n", ctl_text_of(answer, "to"),
		       ctl_text_of(answer, "from"));
	json_decref(answer);
	if (check_only)
		return EXIT_DONE;
	code = await_outcome(ctl, &outcome);
	if (code == EXIT_DONE) {
		code = print_upgrade(outcome);
		json_decref(outcome);
	}
	return code;
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
