/* Whole connections of HTTP/2 with a real client: libnghttp2's other half says what the input has
 * it say (requests with bodies, resets, pings, settings, windows), and looks at every frame that
 * the server sends; raw frames may be put between. As long as the client has said nothing wrong the
 * server must say nothing that the client finds wrong, each answer must be its request's, and the
 * books are even at the end. */
#include "common/base/check.h"
#include "tests/fuzz/http_talk.h"
#include "worker-sse/edge/http2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS_MAX = 128, STEPS_MAX = 200, BODY_MAX = 255 };

static struct talk_input input;
static struct wire_memory memory;
static nghttp2_session *client;
static bool wild, failed;
static unsigned requests;
static struct upload {
	struct span left;
	bool open;
} uploads[STREAMS_MAX];

/* ---- the client ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *at, size_t len, int flags,
                       void *arg)
{
	(void)session;
	(void)flags;
	(void)arg;
	if (memory.wire != NULL && !memory.in_end && !memory.reset)
		wire_memory_give(&memory, span_of(at, len));
	return (ssize_t)len;
}

static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	(void)session;
	(void)frame;
	(void)arg;
	(void)error;
	if (!wild)
		abort();
	return 0;
}

/* x-n is the path of the request. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
	unsigned how, number;
	char text[32];
	(void)flags;
	(void)arg;
	if (name_len != 3 || memcmp(name, "x-n", 3) != 0)
		return 0;
	snprintf(text, sizeof text, "%.*s", (int)(value_len < 31 ? value_len : 31), value);
	const unsigned *wanted = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!wild && wanted != NULL &&
	    (sscanf(text, "/%u/%u", &how, &number) != 2 || number != *wanted))
		abort();
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct upload *upload = source->ptr;
	size_t n = upload->left.len < room ? upload->left.len : room;
	(void)session;
	(void)id;
	(void)arg;
	memcpy(into, upload->left.at, n);
	upload->left = span_of(upload->left.at + n, upload->left.len - n);
	if (upload->left.len == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void begin_client(void)
{
	nghttp2_session_callbacks *callbacks;
	check(nghttp2_session_callbacks_new(&callbacks) == 0);
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	check(nghttp2_session_client_new(&client, callbacks, NULL) == 0);
	nghttp2_session_callbacks_del(callbacks);
	check(nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
}

/* What the server has said since. */
static void hear(void)
{
	if (memory.out_len == 0 || failed)
		return;
	ssize_t n = nghttp2_session_mem_recv(client, memory.out, memory.out_len);
	failed = n < 0;
	if (failed && !wild)
		abort();
	wire_memory_forget(&memory);
}

static void say(void)
{
	if (!failed && nghttp2_session_send(client) != 0)
		failed = true;
}

#define FIELD(name, value, len)                                                                    \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,     \
		        len, NGHTTP2_NV_FLAG_NONE                                                  \
	}

static void submit_request(void)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "HEAD", "DELETE"};
	static unsigned numbers[STREAMS_MAX];
	uint8_t kind = talk_byte(&input), how = talk_byte(&input);
	struct span body = talk_bytes(&input, talk_byte(&input));
	const char *method = methods[kind % 5];
	char path[32];
	if (requests == STREAMS_MAX)
		return;
	numbers[requests] = requests;
	size_t len = (size_t)snprintf(path, sizeof path, "/%u/%u", how % 5, requests);
	const nghttp2_nv fields[] = {FIELD(":method", method, strlen(method)),
	                             FIELD(":scheme", "http", 4),
	                             FIELD(":authority", "localhost", 9),
	                             FIELD(":path", path, len),
	                             FIELD("x-more", body.at, how & 0x80 ? 0 : 0),
	                             FIELD("content-type", "text/plain", 10)};
	uploads[requests] = (struct upload){.left = body, .open = true};
	nghttp2_data_provider provider = {.source.ptr = &uploads[requests],
	                                  .read_callback = read_body};
	bool has_body = kind & 0x40 && kind % 5 != 0 && kind % 5 != 3;
	nghttp2_submit_request(client, NULL, fields, sizeof fields / sizeof *fields,
	                       has_body ? &provider : NULL, &numbers[requests]);
	requests++;
}

static void submit_settings(void)
{
	const nghttp2_settings_entry entries[] = {
	        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, talk_byte(&input) * 600u},
	        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384u + talk_byte(&input) * 1000u},
	        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, talk_byte(&input) * 32u}};
	nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, entries, 1 + talk_byte(&input) % 3);
}

static int32_t any_stream(void)
{
	return 1 + 2 * (int32_t)(talk_byte(&input) % (requests + 1));
}

/* A frame of any type with any flags. */
static void say_raw(void)
{
	uint8_t head[9] = {0}, len = talk_byte(&input);
	wild = true;
	struct span body = talk_bytes(&input, len);
	head[2] = (uint8_t)body.len;
	head[3] = talk_byte(&input) % 12;
	head[4] = talk_byte(&input);
	head[8] = talk_byte(&input);
	on_send(NULL, head, sizeof head, 0, NULL);
	on_send(NULL, body.at, body.len, 0, NULL);
}

static void act(struct edge_bench *bench, uint8_t what)
{
	uint8_t payload[8] = {what};
	switch (what % 16) {
	case 0:
		say_raw();
		break;
	case 1:
	case 2:
		talk_answer(talk_byte(&input));
		break;
	case 3:
		wire_memory_take(&memory, talk_byte(&input) * 16u);
		break;
	case 4:
		wire_memory_take(&memory, SIZE_MAX);
		break;
	case 5:
		edge_bench_wait(bench, &memory, 25u * (what >> 4));
		break;
	case 6:
		if (what == 0xf6)
			wire_memory_give_end(&memory);
		if (what == 0xe6)
			wire_memory_give_reset(&memory);
		break;
	case 7:
		nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, any_stream(),
		                          talk_byte(&input));
		break;
	case 8:
		nghttp2_submit_ping(client, NGHTTP2_FLAG_NONE, payload);
		break;
	case 9:
		submit_settings();
		break;
	case 10:
		nghttp2_submit_window_update(client, NGHTTP2_FLAG_NONE,
		                             what & 0x80 ? 0 : any_stream(),
		                             1 + talk_byte(&input) * 100);
		break;
	default:
		submit_request();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const settings[] = {"http.h2c=true", NULL};
	input = (struct talk_input){data, data + size};
	memory = (struct wire_memory){0};
	wild = failed = false;
	requests = 0;
	struct edge_bench *bench = edge_bench_create(settings);
	edge_bench_route()->handler = talk_handler;
	talk_begin();
	edge_bench_connect(bench, &memory);
	begin_client();
	say();
	for (int i = 0; i < STEPS_MAX && input.at < input.end && memory.wire != NULL; i++) {
		uint8_t what = talk_byte(&input);
		act(bench, what);
		say();
		if ((what & 0x10) != 0) {
			edge_bench_turn(bench, &memory);
			hear();
			say();
		}
	}
	if (memory.wire != NULL)
		wire_memory_take(&memory, SIZE_MAX);
	talk_answer_all();
	edge_bench_turn(bench, &memory);
	hear();
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	talk_check_books(bench);
	nghttp2_session_del(client);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
	return 0;
}
