/* ringsidectl capture: the browser sessions. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));
	return text != NULL ? text : "";
}

static long long number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void print_session(const json_t *session)
{
	char up[32], age[32] = "-";
	const json_t *health = json_object_get(session, "health");
	const char *reason = text_of(health, "degradedReason"), *detail = text_of(health, "detail");
	ctl_duration((uint64_t)number_of(session, "upMs"), up);
	if (json_is_integer(json_object_get(session, "frameAgeMs")))
		ctl_duration((uint64_t)number_of(session, "frameAgeMs"), age);
	printf("%-20s %-10s %8s %6.1f %8s %9lld  %s%s%s\n", text_of(session, "id"),
	       text_of(session, "state"), up, json_number_value(json_object_get(session, "fps")),
	       age, number_of(session, "recoveries"), *reason != '\0' ? reason : "healthy",
	       *detail != '\0' ? ": " : "", detail);
	if (!json_is_true(json_object_get(session, "sandbox")))
		puts("  UNSAFE: its browser runs without a sandbox (capture.no_sandbox)");
}

static void print_all(const json_t *answer)
{
	size_t i;
	const json_t *session, *sessions = json_object_get(answer, "sessions");
	printf("%-20s %-10s %8s %6s %8s %9s  %s\n", "SESSION", "STATE", "UP", "FPS", "FRAME",
	       "RECOVERED", "HEALTH");
	json_array_foreach (sessions, i, session)
		print_session(session);
}

static void print_outputs(const json_t *answer)
{
	size_t i;
	const json_t *o;
	printf("%-16s %-10s %8s %8s %8s %7s  %s\n", "OUTPUT", "STATE", "SINCE", "ENCODED",
	       "LEFT OUT", "STARTS", "TO");
	json_array_foreach (json_object_get(answer, "outputs"), i, o) {
		char since[32];
		printf("%-16s %-10s %8s %8lld %8lld %7lld  %s%s%s\n", text_of(o, "name"),
		       text_of(o, "state"), ctl_duration((uint64_t)number_of(o, "sinceMs"), since),
		       number_of(o, "encoded"), number_of(o, "leftOut"), number_of(o, "starts"),
		       text_of(o, "to"), *text_of(o, "said") != '\0' ? "  " : "",
		       text_of(o, "said"));
	}
}

static int save(const json_t *answer, const char *path)
{
	const json_t *text = json_object_get(answer, "jpeg");
	struct span jpeg = span_of(json_string_value(text), json_string_length(text));
	uint8_t *bytes = xmalloc(jpeg.len / 4 * 3);
	int64_t len = base64_decode(jpeg, bytes);
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdout : fopen(path, "wbe");
	bool ok = len > 0 && file != NULL && fwrite(bytes, 1, (size_t)len, file) == (size_t)len;
	if (file != NULL)
		ok = (standard ? fflush(file) : fclose(file)) == 0 && ok;
	free(bytes);
	if (!ok)
		return ctl_fail("cannot write %s: %s", path, strerror(errno));
	if (!standard)
		printf("%s: %lld x %lld, %lld bytes\n", path, number_of(answer, "width"),
		       number_of(answer, "height"), (long long)len);
	return EXIT_DONE;
}

static int screenshot(const struct ctl *ctl, int argc, char **argv)
{
	json_t *answer;
	if (argc < 2 || argc > 3)
		return ctl_usage(ctl, "a FILE is expected, before it maybe a session");
	const char *const command[] = {"capture", "screenshot", argv[1]};
	int code = ctl_ask(ctl, argc == 3 ? 3 : 2, command, &answer);
	if (code == 0)
		code = save(answer, argv[argc - 1]);
	json_decref(answer);
	return code;
}

int ctl_capture(const struct ctl *ctl, int argc, char **argv)
{
	const char *command[8] = {"capture"};
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	json_t *answer;
	if (argc == 0)
		return ctl_usage(ctl, "what to do is expected");
	if (argc > 6)
		return ctl_usage(ctl, "unexpected argument '%s'", argv[6]);
	if (strcmp(argv[0], "screenshot") == 0)
		return screenshot(ctl, argc, argv);
	for (int i = 0; i < argc; i++)
		command[i + 1] = argv[i];
	int code = ctl_ask(ctl, argc + 1, command, &answer);
	if (code != 0)
		return code;
	if (!as_json && strcmp(argv[0], "ls") == 0) {
		print_all(answer);
	} else if (!as_json && strcmp(argv[0], "outputs") == 0) {
		print_outputs(answer);
	} else if (!as_json && strcmp(argv[0], "restart") == 0) {
		printf("%s gets a new browser\n", text_of(answer, "id"));
	} else {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(answer);
	return EXIT_DONE;
}
