/* What a client of the stream-kit says: a candidate is one line of its fragment, whatever is in it.
 */
#include "common/base/check.h"
#include "worker-sse/views/signal_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct signal_message m = signal_message_read(span_of(data, size));
	if (m.kind == SIGNAL_CANDIDATE) {
		unsigned lines = 0;
		for (const char *at = m.text; (at = strchr(at, '\n')) != NULL; at++)
			lines++;
		check(lines == (strstr(m.text, "a=ice-ufrag:") == m.text ? 3 : 2));
	}
	signal_message_finish(&m);
	return 0;
}
