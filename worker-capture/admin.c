/* What `ringsidectl capture` asks for. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "worker-capture/inbox.h"
#include "worker-capture/outputs.h"

#include <stdlib.h>

enum { ARGUMENTS_MAX = 7, STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct asked {
	struct capture *capture;
	uint64_t id;
	unsigned argc;
	const char *argv[ARGUMENTS_MAX];
};

static void answer_text(const struct asked *asked, unsigned status, const char *text)
{
	size_t len = strlen(text);
	const struct span body = span_of(
	        text, len < PROTO_MAX_WORKER_ANSWER - 32 ? len : PROTO_MAX_WORKER_ANSWER - 32);
	peer_put(worker_supervisor(asked->capture->worker), worker_answer, WORKER_ANSWER,
	         {.id = asked->id, .status = (uint8_t)status, .body = body});
}

/* `json` is taken. */
static void answer(const struct asked *asked, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	check(text != NULL);
	answer_text(asked, STATUS_OK, text);
	free(text);
	json_decref(json);
}

/* ---- which session ---- */

struct choice {
	struct session *only, *feed;
	size_t count;
};

static void consider(void *arg, struct session *session)
{
	struct choice *choice = arg;
	choice->count++;
	choice->only = session;
	if (*session_feed(session) != '\0')
		choice->feed = session;
}

/* The named one; without a name the only one, or the feed's. NULL: it has been answered. */
static struct session *choose(const struct asked *asked, const char *id)
{
	struct choice choice = {0};
	struct session *session = id != NULL ? session_find(asked->capture->sessions, id) : NULL;
	if (id == NULL) {
		sessions_each(asked->capture->sessions, consider, &choice);
		session = choice.feed != NULL ? choice.feed
		          : choice.count == 1 ? choice.only
		                              : NULL;
	}
	if (session == NULL)
		answer_text(
		        asked, STATUS_FAILED,
		        id != NULL ? "there is no such session; 'ringsidectl capture ls' lists them"
		        : choice.count == 0 ? "no session is open"
		                            : "there are several sessions: say which");
	return session;
}

/* ---- commands ---- */

static void list(void *arg, struct session *session)
{
	json_array_append_new(arg, session_describe(session));
}

static void on_ls(const struct asked *asked)
{
	json_t *sessions = json_array();
	sessions_each(asked->capture->sessions, list, sessions);
	answer(asked, json_pack("{s:o}", "sessions", sessions));
}

static void on_show(const struct asked *asked)
{
	struct session *session = choose(asked, asked->argc > 1 ? asked->argv[1] : NULL);
	if (session != NULL)
		answer(asked, session_describe(session));
}

static void on_restart(const struct asked *asked)
{
	struct session *session = choose(asked, asked->argc > 1 ? asked->argv[1] : NULL);
	if (session == NULL)
		return;
	session_restart(session, "asked for by ringsidectl");
	answer(asked, session_describe(session));
}

static void on_screenshot(const struct asked *asked)
{
	struct session *session = choose(asked, asked->argc > 1 ? asked->argv[1] : NULL);
	if (session == NULL)
		return;
	const struct frame *frame = session_last_frame(session);
	if (frame == NULL) {
		answer_text(asked, STATUS_FAILED, "no picture has been taken yet");
		return;
	}
	char *text = base64_text(span_of(frame->bytes, frame->len));
	json_t *json = json_pack("{s:s, s:i, s:i, s:s}", "session", session_id(session), "width",
	                         (int)frame->width, "height", (int)frame->height, "jpeg", text);
	free(text);
	if (json_string_length(json_object_get(json, "jpeg")) > PROTO_MAX_WORKER_ANSWER - 1024) {
		json_decref(json);
		answer_text(asked, STATUS_FAILED, "the picture is larger than an answer may be");
		return;
	}
	answer(asked, json);
}

/* Who asked for a change of outputs, until it is durable. */
struct waiting {
	struct capture *capture;
	uint64_t id;
};

static void on_outputs_done(void *arg, enum outputs_result result, const char *reason)
{
	struct waiting *waiting = arg;
	const struct asked asked = {.capture = waiting->capture, .id = waiting->id};
	if (result == OUTPUTS_DONE || result == OUTPUTS_UNCHANGED)
		answer(&asked,
		       json_pack("{s:o}", "outputs", outputs_describe(asked.capture->outputs)));
	else
		answer_text(&asked, STATUS_FAILED, reason);
	free(waiting);
}

static void add_output(const struct asked *asked, const struct outputs_answer *then)
{
	struct output_target target;
	char reason[256];
	if (output_target_parse(&target, span_str(asked->argv[2]), reason)) {
		target.own = true; /* who may open the admin socket runs the suite */
		outputs_add(asked->capture->outputs, &target, false, then);
		return;
	}
	free(then->arg);
	answer_text(asked, STATUS_FAILED, reason);
}

static void on_outputs(const struct asked *asked)
{
	struct outputs *outputs = asked->capture->outputs;
	const char *what = asked->argc > 1 ? asked->argv[1] : "ls";
	bool adds = strcmp(what, "add") == 0, removes = strcmp(what, "rm") == 0;
	bool pauses = strcmp(what, "pause") == 0, resumes = strcmp(what, "resume") == 0;
	if (strcmp(what, "ls") == 0 && asked->argc <= 2) {
		answer(asked, json_pack("{s:o}", "outputs", outputs_describe(outputs)));
		return;
	}
	if (asked->argc != 3 || (!adds && !removes && !pauses && !resumes)) {
		answer_text(asked, STATUS_USAGE,
		            "outputs [ls | add NAME=URL | rm NAME | pause NAME | resume NAME] is "
		            "expected");
		return;
	}
	struct waiting *waiting = xcalloc(1, sizeof *waiting);
	*waiting = (struct waiting){asked->capture, asked->id};
	const struct outputs_answer then = {on_outputs_done, waiting};
	if (adds)
		add_output(asked, &then);
	else if (removes)
		outputs_remove(outputs, asked->argv[2], &then);
	else
		outputs_pause(outputs, asked->argv[2], pauses, &then);
}

static const struct {
	const char *name, *synopsis;
	unsigned most;
	void (*handle)(const struct asked *asked);
} commands[] = {
        {"ls", "ls", 1, on_ls},
        {"show", "show [ID]", 2, on_show},
        {"restart", "restart [ID]", 2, on_restart},
        {"screenshot", "screenshot [ID]", 2, on_screenshot},
        {"outputs", "outputs [ls | add NAME=URL | rm NAME | pause NAME | resume NAME]", 3,
         on_outputs},
};

static void run(const struct asked *asked)
{
	for (size_t i = 0; asked->argc > 0 && i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(commands[i].name, asked->argv[0]) != 0)
			continue;
		if (asked->argc > commands[i].most)
			answer_text(asked, STATUS_USAGE, commands[i].synopsis);
		else
			commands[i].handle(asked);
		return;
	}
	answer_text(asked, STATUS_USAGE,
	            "what to do is expected: ls, show, restart, screenshot or outputs");
}

void on_worker_command(struct capture *capture, const struct party *from,
                       const struct proto_worker_command *m)
{
	struct asked asked = {.capture = capture, .id = m->id};
	char *line = xmemdup_text(m->line.at, m->line.len);
	const char *end = line + m->line.len;
	(void)from;
	bool fits = true;
	for (const char *at = line; fits && at < end; at += strlen(at) + 1) {
		fits = asked.argc < ARGUMENTS_MAX;
		if (fits)
			asked.argv[asked.argc++] = at;
	}
	if (fits && asked.argc > 0) {
		asked.argc--; /* "capture" */
		memmove(asked.argv, asked.argv + 1, asked.argc * sizeof *asked.argv);
		run(&asked);
	} else
		answer_text(&asked, STATUS_USAGE, "too many arguments");
	free(line);
}
