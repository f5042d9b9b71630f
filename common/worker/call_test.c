#include "common/worker/call.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* A worker that answers, and the other end of its bus to an SSE worker. */
struct fixture {
	struct worker worker;
	struct calls *calls;
	struct peer *near, *far;
	struct proto_call_reply reply; /* spans into `bytes` */
	uint8_t *bytes;
	size_t replies;
	struct call *kept;
	unsigned seen;
};

static enum proto_verdict on_reply_frame(void *arg, struct peer *peer, unsigned type,
                                         struct span body, int fd)
{
	struct fixture *f = arg;
	(void)peer;
	(void)fd;
	assert_int_equal(type, PROTO_TYPE_CALL_REPLY);
	free(f->bytes);
	f->bytes = xmalloc(body.len);
	memcpy(f->bytes, body.at, body.len);
	assert_true(proto_get_call_reply(span_of(f->bytes, body.len), &f->reply));
	f->replies++;
	return PROTO_HANDLED;
}

static enum proto_verdict on_no_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                      int fd)
{
	(void)arg, (void)peer, (void)type, (void)body, (void)fd;
	return PROTO_NOT_MINE;
}

static void on_closed(void *arg, struct peer *peer)
{
	(void)arg, (void)peer;
}

static void on_echo(struct call *call)
{
	json_t *body = call_json(call);
	if (body == NULL)
		return;
	call_header(call, "location", "/stream/7");
	call_header(call, "retry-after", "3");
	call_reply(call, 201,
	           json_pack("{s:o, s:s%, s:s%, s:s%}", "echo", body, "path", call->path.at,
	                     call->path.len, "principal", call->principal.at, call->principal.len,
	                     "base", call->base_url.at, call->base_url.len));
}

static void on_later(struct call *call)
{
	((struct fixture *)call->context)->kept = call;
}

static const struct call_route routes[] = {
        {CALL_METHOD(POST), "/stream", on_echo},
        {CALL_METHOD(DELETE) | CALL_METHOD(PATCH), "/stream/", on_later},
};

static void join(struct fixture *f, uint64_t generation)
{
	int fds[2];
	const struct peer_events near = {.on_frame = on_no_frame,
	                                 .on_close = on_closed,
	                                 .arg = f,
	                                 .queue_bytes_max = PEER_QUEUE_BYTES_MIN},
	                         far = {.on_frame = on_reply_frame,
	                                .on_close = on_closed,
	                                .arg = f,
	                                .queue_bytes_max = PEER_QUEUE_BYTES_MIN};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer_destroy(&f->near);
	peer_destroy(&f->far);
	f->near =
	        peer_create(f->worker.loop, fds[0], (struct party){ROLE_SSE, 1, generation}, &near);
	f->far = peer_create(f->worker.loop, fds[1], (struct party){ROLE_CAPTURE, 0, 1}, &far);
	f->worker.peers[0].peer = f->near;
	f->worker.peers_count = 1;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	f->worker.loop = xmalloc(sizeof *f->worker.loop);
	assert_int_equal(uv_loop_init(f->worker.loop), 0);
	static const struct worker_program program = {.role = ROLE_CAPTURE};
	f->worker.program = &program;
	f->worker.generation = 1;
	f->calls = calls_create(&f->worker, routes, 2, f);
	join(f, 5);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	peer_destroy(&f->near);
	peer_destroy(&f->far);
	uv_run(f->worker.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(f->worker.loop), 0);
	free(f->worker.loop);
	free(f->calls);
	free(f->bytes);
	free(f);
	return 0;
}

static void take(struct fixture *f, enum call_method method, const char *path, const char *body)
{
	const struct proto_call m = {.id = 9,
	                             .method = (uint8_t)method,
	                             .path = span_str(path),
	                             .principal = SPAN("ab"),
	                             .base_url = SPAN("http://h:1"),
	                             .body = span_str(body)};
	calls_take(f->calls, peer_party(f->near), &m);
}

static void expect_reply(struct fixture *f, unsigned status, const char *type, const char *body)
{
	size_t before = f->replies;
	while (f->replies == before)
		uv_run(f->worker.loop, UV_RUN_ONCE);
	assert_int_equal(f->reply.id, 9);
	assert_int_equal(f->reply.status, status);
	assert_true(span_equal(f->reply.content_type, span_str(type)));
	assert_true(span_equal(f->reply.body, span_str(body)));
	assert_int_equal(calls_open(f->calls), 0);
}

static void test_answered(void **state)
{
	struct fixture *f = *state;
	take(f, CALL_POST, "/stream", "[1]");
	expect_reply(
	        f, 201, "application/json",
	        "{\"echo\":[1],\"path\":\"/stream\",\"principal\":\"ab\",\"base\":\"http://h:1\"}");
	assert_true(span_equal(f->reply.headers, SPAN("location: /stream/7\nretry-after: 3\n")));
}

/* What others gave us goes back as they gave it: no digit is lost. */
static void test_numbers_are_answered_whole(void **state)
{
	struct fixture *f = *state;
	take(f, CALL_POST, "/stream",
	     "[0.1,0.30000000000000004,1.7976931348623157e+308,9007199254740993]");
	expect_reply(f, 201, "application/json",
	             "{\"echo\":[0.1,0.30000000000000004,1.7976931348623157e+308,9007199254740993],"
	             "\"path\":\"/stream\",\"principal\":\"ab\",\"base\":\"http://h:1\"}");
}

static void see_call(void *context)
{
	struct fixture *f = context;
	assert_ptr_equal(f->kept, NULL); /* no handler before it */
	f->seen++;
}

/* What has been acknowledged before a call is to be visible to it. */
static void test_what_is_new_is_seen_before_a_call(void **state)
{
	struct fixture *f = *state;
	calls_before(f->calls, see_call);
	take(f, CALL_PATCH, "/stream/7", "{}");
	assert_int_equal(f->seen, 1);
	call_reply(f->kept, 204, NULL);
	expect_reply(f, 204, "", "");
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	take(f, CALL_POST, "/elsewhere", "");
	expect_reply(f, 404, "text/plain", "nothing here\n");
	take(f, CALL_GET, "/stream", "");
	expect_reply(f, 405, "text/plain", "this method is not for this path\n");
	take(f, CALL_DELETE, "/stream/", "");
	expect_reply(f, 404, "text/plain", "nothing here\n");
	take(f, (enum call_method)200, "/stream", "");
	expect_reply(f, 405, "text/plain", "this method is not for this path\n");
	take(f, CALL_POST, "/stream", "{\"a\":1,\"a\":2}");
	expect_reply(f, 400, "text/plain",
	             "the body is no JSON: duplicate object key near '\"a\"'\n");
}

static void test_answered_later(void **state)
{
	struct fixture *f = *state;
	take(f, CALL_PATCH, "/stream/7", "{}");
	assert_int_equal(calls_open(f->calls), 1);
	call_reply(f->kept, 204, NULL);
	expect_reply(f, 204, "", "");
}

/* Who took the asker's place has not asked. */
static void test_asker_replaced(void **state)
{
	struct fixture *f = *state;
	take(f, CALL_PATCH, "/stream/7", "{}");
	struct call *old = f->kept;
	join(f, 6);
	call_reply(old, 200, json_true());
	take(f, CALL_PATCH, "/stream/8", "{}");
	call_reply(f->kept, 204, NULL);
	expect_reply(f, 204, "", "");
	f->worker.peers_count = 0;
	take(f, CALL_PATCH, "/stream/7", "{}");
	call_reply(f->kept, 200, json_true());
	assert_int_equal(calls_open(f->calls), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_answered, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_numbers_are_answered_whole, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_what_is_new_is_seen_before_a_call, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_answered_later, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_asker_replaced, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
