/* What programs and dashboards say to the hub, and what rows of agents say. */
#include "common/base/check.h"
#include "common/domain/agent.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void register_it(const struct agent_request *request)
{
	struct agent *agent = xcalloc(2, sizeof *agent);
	if (agent_take(request->params, &agent[0]) == NULL) {
		char path[AGENT_PATH_ROOM], key[AGENT_KEY_ROOM];
		agent_begin(&agent[0], NULL, 1);
		agent_path(span_str(agent[0].id), path);
		agent_key(span_str(agent[0].id), key);
		agent_place_key(&agent[0], key);
		char *text = agent_text(&agent[0]);
		check(agent_read(&agent[1], span_str(text)) == ROW_PRESENT);
		char *again = agent_text(&agent[1]);
		check(strcmp(text, again) == 0);
		json_decref(agent_joined(&agent[1]));
		free(again);
		free(text);
	}
	free(agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_request request;
	struct agent *row = xcalloc(1, sizeof *row);
	if (agent_request_read(&request, span_of(data, size))) {
		register_it(&request);
		char *reply = agent_reply(request.id, NULL, request.method);
		free(reply);
		agent_request_finish(&request);
	}
	if (agent_read(row, span_of(data, size)) == ROW_PRESENT)
		json_decref(agent_node(row));
	free(row);
	return 0;
}
