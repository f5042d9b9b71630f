#include "common/worker/admin_call.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* A worker that answers, and the supervisor's end of its bus. */
struct fixture {
	struct worker worker;
	struct calls *calls;
	struct peer *far;
	unsigned status;
	char body[256];
	size_t answers;
	struct call *kept;
};

static enum proto_verdict on_answer_frame(void *arg, struct peer *peer, unsigned type,
                                          struct span body, int fd)
{
	struct fixture *f = arg;
	struct proto_worker_answer m;
	(void)peer, (void)fd;
	assert_int_equal(type, PROTO_TYPE_WORKER_ANSWER);
	assert_true(proto_get_worker_answer(body, &m));
	assert_int_equal(m.id, 7);
	assert_true(m.body.len < sizeof f->body);
	memcpy(f->body, m.body.at, m.body.len);
	f->body[m.body.len] = '\0';
	f->status = m.status;
	f->answers++;
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
	if (body != NULL)
		call_reply(call, 200, json_pack("{s:o, s:b}", "put", body, "local", call->local));
}

static void on_drop(struct call *call)
{
	call_reply(call, 204, NULL);
}

static void on_large(struct call *call)
{
	char *text = xmalloc(PROTO_MAX_WORKER_ANSWER);
	memset(text, 'x', PROTO_MAX_WORKER_ANSWER);
	call_reply_bytes(call, 200, "text/plain", span_of(text, PROTO_MAX_WORKER_ANSWER));
	free(text);
}

static void on_later(struct call *call)
{
	((struct fixture *)call->context)->kept = call;
}

static const struct call_route routes[] = {
        {CALL_METHOD(PUT), "/thing", on_echo},
        {CALL_METHOD(DELETE), "/thing", on_drop},
        {CALL_METHOD(GET), "/thing", on_large},
        {CALL_METHOD(PATCH) | CALL_METHOD(POST), "/thing", on_later},
};

static int setup(void **state)
{
	const struct peer_events near = {.on_frame = on_no_frame,
	                                 .on_close = on_closed,
	                                 .queue_bytes_max = PEER_QUEUE_BYTES_MIN},
	                         far = {.on_frame = on_answer_frame,
	                                .on_close = on_closed,
	                                .queue_bytes_max = PEER_QUEUE_BYTES_MIN};
	struct fixture *f = xcalloc(1, sizeof *f);
	struct peer_events far_events = far;
	int fds[2];
	far_events.arg = f;
	f->worker.loop = xmalloc(sizeof *f->worker.loop);
	assert_int_equal(uv_loop_init(f->worker.loop), 0);
	f->calls = calls_create(&f->worker, routes, sizeof routes / sizeof *routes, f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	f->worker.supervisor =
	        peer_create(f->worker.loop, fds[0], (struct party){.role = ROLE_SUPERVISOR}, &near);
	f->far = peer_create(f->worker.loop, fds[1], (struct party){.role = ROLE_CAPTURE},
	                     &far_events);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	peer_destroy(&f->worker.supervisor);
	peer_destroy(&f->far);
	uv_run(f->worker.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(f->worker.loop), 0);
	free(f->worker.loop);
	free(f->calls);
	free(f);
	return 0;
}

static void take(struct fixture *f, bool draining, struct span line)
{
	const struct proto_worker_command m = {.id = 7, .line = line};
	admin_call_take(&f->worker, f->calls, draining, &m);
}

static void expect(struct fixture *f, unsigned status, const char *body)
{
	size_t before = f->answers;
	while (f->answers == before)
		uv_run(f->worker.loop, UV_RUN_ONCE);
	assert_int_equal(f->status, status);
	assert_string_equal(f->body, body);
	assert_int_equal(calls_open(f->calls), 0);
}

static void test_answered(void **state)
{
	struct fixture *f = *state;
	take(f, false, SPAN("capture\0PUT\0/thing\0[1]"));
	expect(f, 0, "{\"put\":[1],\"local\":true}");
}

static void test_no_body_is_an_empty_object(void **state)
{
	struct fixture *f = *state;
	take(f, false, SPAN("capture\0DELETE\0/thing"));
	expect(f, 0, "{}");
}

static void test_a_refusal_is_one_line(void **state)
{
	struct fixture *f = *state;
	take(f, false, SPAN("capture\0GET\0/elsewhere"));
	expect(f, 1, "nothing here");
}

static void test_later(void **state)
{
	struct fixture *f = *state;
	take(f, false, SPAN("capture\0PATCH\0/thing"));
	assert_non_null(f->kept);
	call_refuse(f->kept, 409, "not now");
	expect(f, 1, "not now");
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	take(f, false, SPAN("capture\0GET\0/thing"));
	expect(f, 1, "the answer is too long");
}

static void test_usage(void **state)
{
	struct fixture *f = *state;
	const struct span lines[] = {SPAN(""), SPAN("capture"), SPAN("capture\0GET"),
	                             SPAN("capture\0BREW\0/thing")};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		take(f, false, lines[i]);
		expect(f, 2, "a method, a path, and maybe a body are expected");
	}
}

static void test_draining(void **state)
{
	struct fixture *f = *state;
	take(f, true, SPAN("capture\0GET\0/thing"));
	expect(f, 1, "this worker stops; try again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_answered, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_no_body_is_an_empty_object, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_a_refusal_is_one_line, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_later, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_draining, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
