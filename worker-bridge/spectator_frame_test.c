#include "worker-bridge/spectator_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char frame_text[] =
        "{\"schemaVersion\":2,\"feed\":\"arena\",\"sourceEpoch\":1,\"seq\":7,\"previousSeq\":6,"
        "\"emittedAt\":1700000000000,\"cycleId\":\"c\",\"duelId\":\"streaming-c\",\"duelKey\":"
        "\"k\",\"phase\":\"RESOLUTION\",\"seed\":\"5\",\"replayHash\":\"r\",\"agent1\":{\"id\":"
        "\"a\",\"hp\":0.1,\"secret\":1},\"agent2\":null,\"scene\":{\"fen\":\"\\u00e4\",\"x\":"
        "1e21},\"rendererHealth\":{\"ready\":true,\"degradedReason\":null,\"updatedAt\":3,"
        "\"source\":\"capture\",\"page\":{\"duelId\":\"streaming-c\"}},\"newcomer\":1}";

static void what_spectators_are_told(void **state)
{
	(void)state;
	json_t *frame = json_loads(frame_text, 0, NULL);
	assert_non_null(frame);
	char *text = spectator_frame_text(frame);
	assert_string_equal(
	        text,
	        "{\"schemaVersion\":2,\"feed\":\"arena\",\"sourceEpoch\":1,\"seq\":7,"
	        "\"previousSeq\":6,\"emittedAt\":"
	        "1700000000000,\"cycleId\":\"c\",\"duelId\":\"streaming-c\",\"phase\":"
	        "\"RESOLUTION\",\"agent1\":{\"id\":\"a\",\"hp\":0.1},\"agent2\":null,\"scene\":{"
	        "\"fen\":\"ä\",\"x\":1e+21},\"rendererHealth\":{\"ready\":true,\"degradedReason\":"
	        "null,\"updatedAt\":3}}");
	free(text);
	json_decref(frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_spectators_are_told)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
