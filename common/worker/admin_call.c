#include "common/worker/admin_call.h"
#include "common/base/check.h"

#include <stdlib.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, ARGUMENTS = 4, ANSWER_HEAD = 64 };

struct asked {
	struct worker *worker;
	uint64_t id;
};

static void answer(struct worker *worker, uint64_t id, unsigned status, struct span text)
{
	if (text.len > PROTO_MAX_WORKER_ANSWER - ANSWER_HEAD) {
		status = STATUS_FAILED;
		text = SPAN("the answer is too long");
	}
	peer_put(worker_supervisor(worker), worker_answer, WORKER_ANSWER,
	         {.id = id, .status = (uint8_t)status, .body = text});
}

static void on_answer(void *arg, unsigned status, struct span body)
{
	struct asked *asked = arg;
	bool good = status >= 200 && status < 300;
	while (!good && body.len > 0 && body.at[body.len - 1] == '\n')
		body.len--;
	if (good && body.len == 0)
		body = SPAN("{}");
	answer(asked->worker, asked->id, good ? STATUS_OK : STATUS_FAILED, body);
	free(asked);
}

/* CALL_METHOD_COUNT: none of that name. */
static enum call_method method_named(const char *name)
{
	static const char *const names[CALL_METHOD_COUNT] = {[CALL_GET] = "GET",
	                                                     [CALL_POST] = "POST",
	                                                     [CALL_PUT] = "PUT",
	                                                     [CALL_PATCH] = "PATCH",
	                                                     [CALL_DELETE] = "DELETE"};
	unsigned method = 0;
	while (method < CALL_METHOD_COUNT && strcmp(names[method], name) != 0)
		method++;
	return (enum call_method)method;
}

void admin_call_take(struct worker *worker, struct calls *calls, bool draining,
                     const struct proto_worker_command *m)
{
	char *line = xmemdup_text(m->line.at, m->line.len);
	const char *arguments[ARGUMENTS] = {"", "", "", ""}, *end = line + m->line.len;
	size_t count = 0;
	for (const char *at = line; at < end && count < ARGUMENTS; at += strlen(at) + 1)
		arguments[count++] = at;
	enum call_method method = method_named(arguments[1]);
	if (draining) {
		answer(worker, m->id, STATUS_FAILED, SPAN("this worker stops; try again"));
	} else if (count < 3 || method == CALL_METHOD_COUNT) {
		answer(worker, m->id, STATUS_USAGE,
		       SPAN("a method, a path, and maybe a body are expected"));
	} else {
		struct asked *asked = xcalloc(1, sizeof *asked);
		*asked = (struct asked){worker, m->id};
		calls_local(calls, method, arguments[2], arguments[3], on_answer, asked);
	}
	free(line);
}
