/* What `ringsidectl duels` and `markets` ask for: COMMAND METHOD PATH [BODY], a call as over HTTP.
 */
#include "common/base/check.h"
#include "worker-bridge/bridge.h"
#include "worker-bridge/inbox.h"

#include <stdlib.h>

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct asked {
	struct bridge *bridge;
	uint64_t id;
};

static void answer_text(const struct bridge *bridge, uint64_t id, unsigned status, struct span text)
{
	if (text.len > PROTO_MAX_WORKER_ANSWER - 64) {
		status = STATUS_FAILED;
		text = SPAN("the answer is too long");
	}
	peer_put(worker_supervisor(bridge->worker), worker_answer, WORKER_ANSWER,
	         {.id = id, .status = (uint8_t)status, .body = text});
}

static void on_answer(void *arg, unsigned status, struct span body)
{
	struct asked *asked = arg;
	bool good = status >= 200 && status < 300;
	while (!good && body.len > 0 && body.at[body.len - 1] == '\n')
		body.len--;
	answer_text(asked->bridge, asked->id, good ? STATUS_OK : STATUS_FAILED, body);
	free(asked);
}

void on_worker_command(struct bridge *bridge, const struct party *from,
                       const struct proto_worker_command *m)
{
	(void)from;
	char *line = xmemdup_text(m->line.at, m->line.len);
	const char *arguments[4] = {"", "", "", ""}, *end = line + m->line.len;
	size_t count = 0;
	for (const char *at = line; at < end && count < 4; at += strlen(at) + 1)
		arguments[count++] = at;
	bool post = strcmp(arguments[1], "POST") == 0;
	if (count < 3 || bridge->draining || (!post && strcmp(arguments[1], "GET") != 0)) {
		answer_text(bridge, m->id, bridge->draining ? STATUS_FAILED : STATUS_USAGE,
		            bridge->draining
		                    ? SPAN("this worker stops; try again")
		                    : SPAN("GET or POST, a path, and maybe a body are expected"));
	} else {
		struct asked *asked = xcalloc(1, sizeof *asked);
		*asked = (struct asked){bridge, m->id};
		calls_local(bridge->calls, post ? CALL_POST : CALL_GET, arguments[2], arguments[3],
		            on_answer, asked);
	}
	free(line);
}
