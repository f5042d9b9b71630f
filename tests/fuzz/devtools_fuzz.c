/* What a browser, whose renderers are not trusted, may say: never a crash, never a frame that is
 * none. */
#include "common/base/check.h"
#include "worker-capture/devtools_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct devtools_message m;
	devtools_message_parse(span_of(data, size), &m);
	check((m.kind == DEVTOOLS_KIND_FRAME) <= (m.picture != NULL));
	check(m.kind != DEVTOOLS_KIND_FRAME || (m.picture->width != 0 && m.picture->height != 0));
	check(m.kind != DEVTOOLS_KIND_EVENT || (m.body != NULL && m.event < DEVTOOLS_EVENT_COUNT));
	check(m.error != NULL && strlen(m.session) <= DEVTOOLS_SESSION_MAX);
	devtools_message_finish(&m);
	return 0;
}
