/* A client of HTTP/2 that says anything behind its preface: whatever it says, the session ends or
 * goes on, its books are even, and nothing is read outside of it. The first byte says into which
 * pieces the rest falls. */
#include "tests/doubles/edge_bench.h"
#include "worker-sse/edge/http2.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(struct request *request)
{
	reply(request, 200, NULL, 0, span_of(request->body, request->body_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const settings[] = {"http.h2c=true", NULL};
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct wire_memory memory = {0};
	struct edge_bench *bench = edge_bench_create(settings);
	size_t piece = size > 0 ? data[0] * 4u + 1 : 1;
	edge_bench_route()->handler = answer;
	edge_bench_connect(bench, &memory);
	wire_memory_give(&memory, span_of(preface, sizeof preface - 1));
	for (size_t at = 1; at < size && memory.wire != NULL; at += piece) {
		wire_memory_give(&memory,
		                 span_of(data + at, piece < size - at ? piece : size - at));
		edge_bench_turn(bench, &memory);
	}
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	if (counter_get(&bench->counters, http2_streams) != 0 ||
	    counter_get(&bench->counters, http2_connections) != 0 ||
	    counter_get(&bench->counters, http2_queued_bytes) != 0 ||
	    bench->edge.waiting.in_bytes != 0 || bench->edge.body_bytes != 0)
		abort();
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
	return 0;
}
