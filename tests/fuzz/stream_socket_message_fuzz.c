/* What clients of /v1/ws say: text or binary by the first byte. Never reads past its end; what is
 * taken has what its type needs, within its bounds. */
#include "common/base/check.h"
#include "worker-sse/views/stream_socket_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct stream_socket_message *m)
{
	switch (m->said) {
	case STREAM_SOCKET_BAD:
		check(m->code != NULL && m->fault != NULL);
		break;
	case STREAM_SOCKET_SUBSCRIBE:
		check(m->streams_count > 0 && m->streams_count <= STREAM_SOCKET_STREAMS_MAX);
		check(m->subscription != NULL && m->stream == NULL);
		break;
	case STREAM_SOCKET_UNSUBSCRIBE:
		check(m->subscription != NULL && m->streams_count == 0 && m->body.at == NULL);
		break;
	case STREAM_SOCKET_APPEND:
		check(*m->stream != '\0' && *m->content_type != '\0');
		check(m->producer == (m->producer_id != NULL));
		check(m->producer_epoch < 1ull << 53 && m->producer_seq < 1ull << 53);
		break;
	}
	check(m->subscription == NULL || strlen(m->subscription) <= STREAM_SOCKET_NAME_MAX);
	check(m->request == NULL || strlen(m->request) <= STREAM_SOCKET_NAME_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	uint8_t *copy = malloc(size), sum = 0;
	memcpy(copy, data + 1, size - 1);
	struct stream_socket_message m =
	        stream_socket_message_read(span_of(copy, size - 1), data[0] & 1, 32);
	judge(&m);
	for (size_t i = 0; i < m.body.len; i++)
		sum += m.body.at[i]; /* it is there */
	check(sum <= UINT8_MAX);
	stream_socket_message_finish(&m);
	free(copy);
	return 0;
}
