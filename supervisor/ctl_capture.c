/* ringsidectl capture: the browser sessions, and where their picture goes. Asked as calls, the
 * outputs' the same that HTTP has. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "proto/roles.h"
#include "supervisor/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- printing ---- */

static void print_session(const json_t *session)
{
	char up[32], age[32] = "-";
	const json_t *health = json_object_get(session, "health");
	const char *reason = ctl_text_of(health, "degradedReason"),
	           *detail = ctl_text_of(health, "detail");
	ctl_duration((uint64_t)ctl_number_of(session, "upMs"), up);
	if (json_is_integer(json_object_get(session, "frameAgeMs")))
		ctl_duration((uint64_t)ctl_number_of(session, "frameAgeMs"), age);
	printf("%-36s %-10s %8s %6.1f %8s %9lld  %s%s%s\n", ctl_text_of(session, "id"),
	       ctl_text_of(session, "state"), up,
	       json_number_value(json_object_get(session, "fps")), age,
	       ctl_number_of(session, "recoveries"), *reason != '\0' ? reason : "healthy",
	       *detail != '\0' ? ": " : "", detail);
	if (!json_is_true(json_object_get(session, "sandbox")))
		puts("  UNSAFE: its browser runs without a sandbox (capture.no_sandbox)");
}

static void print_all(const json_t *answer)
{
	size_t i;
	const json_t *session, *sessions = json_object_get(answer, "sessions");
	printf("%-36s %-10s %8s %6s %8s %9s  %s\n", "SESSION", "STATE", "UP", "FPS", "FRAME",
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
		printf("%-16s %-10s %8s %8lld %8lld %7lld  %s%s%s\n", ctl_text_of(o, "name"),
		       ctl_text_of(o, "state"),
		       ctl_duration((uint64_t)ctl_number_of(o, "sinceMs"), since),
		       ctl_number_of(o, "encoded"), ctl_number_of(o, "leftOut"),
		       ctl_number_of(o, "starts"), ctl_text_of(o, "to"),
		       *ctl_text_of(o, "said") != '\0' ? "  " : "", ctl_text_of(o, "said"));
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
		printf("%s: %lld x %lld, %lld bytes\n", path, ctl_number_of(answer, "width"),
		       ctl_number_of(answer, "height"), (long long)len);
	return EXIT_DONE;
}

/* ---- asking ---- */

/* Of the session named, or of the only one, or the feed's. */
static int ask_session(const struct ctl *ctl, const char *method, const char *id, const char *rest,
                       json_t **answer)
{
	char path[512];
	snprintf(path, sizeof path, "/v1/capture/sessions/%.256s%s", id != NULL ? id : "-", rest);
	return ctl_call(ctl, method, path, NULL, answer);
}

static int list(const struct ctl *ctl, bool as_json, int argc, char **argv)
{
	json_t *answer;
	(void)argc, (void)argv;
	int code = ctl_call(ctl, "GET", "/v1/capture/sessions", NULL, &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	print_all(answer);
	json_decref(answer);
	return EXIT_DONE;
}

static int show(const struct ctl *ctl, bool as_json, int argc, char **argv)
{
	json_t *answer;
	(void)as_json;
	int code = ask_session(ctl, "GET", argc > 1 ? argv[1] : NULL, "", &answer);
	return code != 0 ? code : ctl_print_json(answer);
}

static int restart(const struct ctl *ctl, bool as_json, int argc, char **argv)
{
	json_t *answer;
	int code = ask_session(ctl, "POST", argc > 1 ? argv[1] : NULL, "/restart", &answer);
	if (code != 0 || as_json)
		return code != 0 ? code : ctl_print_json(answer);
	printf("%s gets a new browser\n", ctl_text_of(answer, "id"));
	json_decref(answer);
	return EXIT_DONE;
}

static int screenshot(const struct ctl *ctl, bool as_json, int argc, char **argv)
{
	json_t *answer;
	(void)as_json;
	if (argc < 2)
		return ctl_usage(ctl, "a FILE is expected, before it maybe a session");
	int code = ask_session(ctl, "GET", argc == 3 ? argv[1] : NULL, "/screenshot", &answer);
	if (code == 0)
		code = save(answer, argv[argc - 1]);
	json_decref(answer);
	return code;
}

/* ---- outputs ---- */

enum { OUTPUT_NAME_MAX = 32 }; /* as in worker-capture/output_target.h */
static const char outputs_usage[] =
        "outputs [ls | add NAME=URL | rm NAME | pause NAME | resume NAME] is expected";

static int list_outputs(const struct ctl *ctl, bool as_json)
{
	json_t *answer;
	int code = ctl_call(ctl, "GET", "/v1/outputs", NULL, &answer);
	if (code != 0)
		return code;
	json_object_del(answer, "feed");
	if (as_json)
		return ctl_print_json(answer);
	print_outputs(answer);
	json_decref(answer);
	return EXIT_DONE;
}

static int change_output(const struct ctl *ctl, const char *method, const char *name, json_t *body)
{
	char path[128];
	json_t *answer;
	snprintf(path, sizeof path, "/v1/outputs/%.64s", name);
	int code = ctl_call(ctl, method, path, body, &answer);
	json_decref(answer);
	return code;
}

static int add_output(const struct ctl *ctl, const char *text)
{
	char name[OUTPUT_NAME_MAX + 1];
	size_t len = strcspn(text, "=");
	if (len == 0 || len > OUTPUT_NAME_MAX || text[len] == '\0' ||
	    memchr(text, '/', len) != NULL)
		return ctl_fail("an output is NAME=URL, the name 1 to 32 of a-z, 0-9 and -");
	snprintf(name, sizeof name, "%.*s", (int)len, text);
	json_t *body = json_pack("{s:s}", "url", text + len + 1);
	return body != NULL ? change_output(ctl, "PUT", name, body)
	                    : ctl_fail("an output's url has no bytes outside of UTF-8");
}

static int outputs(const struct ctl *ctl, bool as_json, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "ls";
	bool pauses = strcmp(what, "pause") == 0;
	int code = EXIT_DONE;
	if (argc <= 2 && strcmp(what, "ls") == 0)
		return list_outputs(ctl, as_json);
	if (argc == 3 && strcmp(what, "add") == 0)
		code = add_output(ctl, argv[2]);
	else if (argc == 3 && strcmp(what, "rm") == 0)
		code = change_output(ctl, "DELETE", argv[2], NULL);
	else if (argc == 3 && (pauses || strcmp(what, "resume") == 0))
		code = change_output(ctl, "PATCH", argv[2], json_pack("{s:b}", "paused", pauses));
	else
		return ctl_usage(ctl, "%s", outputs_usage);
	return code != 0 ? code : list_outputs(ctl, as_json);
}

/* ---- the commands ---- */

const struct ctl_text ctl_text_capture = {
        "ls | show [ID] | restart [ID] | screenshot [ID] FILE | outputs [ls | add NAME=URL | "
        "rm NAME | pause NAME | resume NAME]",
        "  --json   as JSON\n"
        "ID is a session as ls shows it; without one the only session, or the feed's, is meant.\n"
        "restart ends its browser and starts another. screenshot writes the newest picture, a\n"
        "JPEG, to FILE (- is standard output). outputs shows where the feed's picture goes; add,\n"
        "rm, pause and resume change it, and the change lasts.\n"};

static const struct {
	const char *name, *synopsis;
	int most; /* arguments, with the name */
	int (*run)(const struct ctl *ctl, bool as_json, int argc, char **argv);
} commands[] = {
        {"ls", "ls", 1, list},
        {"show", "show [ID]", 2, show},
        {"restart", "restart [ID]", 2, restart},
        {"screenshot", "a FILE is expected, before it maybe a session", 3, screenshot},
        {"outputs", outputs_usage, 3, outputs},
};

int ctl_capture(const struct ctl *ctl, int argc, char **argv)
{
	bool as_json = ctl_take_flag(&argc, argv, "--json");
	if (argc == 0)
		return ctl_usage(ctl, "what to do is expected");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, argv[0]) == 0)
			return argc > commands[i].most ? ctl_usage(ctl, "%s", commands[i].synopsis)
			                               : commands[i].run(ctl, as_json, argc, argv);
	return ctl_usage(ctl, "what to do is expected: ls, show, restart, screenshot or outputs");
}
