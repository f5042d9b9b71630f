#include "common/worker/ask.h"
#include "common/base/check.h"
#include "common/worker/call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* One SSE worker that asks another, each with its end of their link; a wheel by hand. */
struct fixture {
	uv_loop_t loop;
	struct worker asker, answerer;
	struct settings settings;
	struct counters_slot counters[2];
	struct wheel wheel;
	struct asks *asks;
	struct calls *calls;
	struct call *kept;
	size_t handled;

	size_t outcomes;
	enum ask_outcome outcome; /* the last */
	struct party from;
	uint64_t status;
};

enum { ASKER_GENERATION = 4, GENERATION = 9 };

/* ---- the one that answers ---- */

static void on_place(struct call *call)
{
	struct fixture *f = call->context;
	f->handled++;
	assert_int_equal(call->from.role, ROLE_SSE);
	assert_int_equal(call->from.slot, 0);
	assert_int_equal(call->from.generation, ASKER_GENERATION);
	call_reply(call, 204, NULL);
}

static void on_later(struct call *call)
{
	struct fixture *f = call->context;
	f->handled++;
	f->kept = call;
}

static const struct call_route routes[] = {{CALL_METHOD(GET), "/place", on_place},
                                           {CALL_METHOD(POST), "/later", on_later}};

static enum proto_verdict on_call_frame(void *arg, struct peer *peer, unsigned type,
                                        struct span body, int fd)
{
	struct fixture *f = arg;
	struct proto_call m;
	(void)fd;
	assert_int_equal(type, PROTO_TYPE_CALL);
	assert_true(proto_get_call(body, &m));
	calls_take(f->calls, peer_party(peer), &m);
	return PROTO_HANDLED;
}

/* ---- the one that asks ---- */

static enum proto_verdict on_reply_frame(void *arg, struct peer *peer, unsigned type,
                                         struct span body, int fd)
{
	struct fixture *f = arg;
	struct proto_call_reply m;
	(void)fd;
	assert_int_equal(type, PROTO_TYPE_CALL_REPLY);
	assert_true(proto_get_call_reply(body, &m));
	asks_take(f->asks, peer_party(peer), &m);
	return PROTO_HANDLED;
}

static void on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                       const struct proto_call_reply *reply)
{
	struct fixture *f = arg;
	f->outcomes++;
	f->outcome = outcome;
	assert_int_equal(outcome == ASK_ANSWERED, reply != NULL && from != NULL);
	f->from = from != NULL ? *from : (struct party){0};
	f->status = reply != NULL ? reply->status : 0;
}

/* ---- both ---- */

static void unlink_both(struct fixture *f)
{
	if (f->asker.peers_count == 0)
		return;
	struct peer *near = f->asker.peers[0].peer, *far = f->answerer.peers[0].peer;
	const struct party gone = *peer_party(near);
	f->asker.peers_count = f->answerer.peers_count = 0;
	asks_peer_gone(f->asks, &gone);
	peer_destroy(&near);
	peer_destroy(&far);
}

/* The answerer in its slot 1 is a new process from here on. */
static void introduce(struct fixture *f, uint64_t generation)
{
	int fds[2];
	const struct peer_events near = {.on_frame = on_reply_frame,
	                                 .arg = f,
	                                 .queue_bytes_max = PEER_QUEUE_BYTES_MIN,
	                                 .link = true},
	                         far = {.on_frame = on_call_frame,
	                                .arg = f,
	                                .queue_bytes_max = PEER_QUEUE_BYTES_MIN,
	                                .link = true};
	const struct party answerer = {ROLE_SSE, 1, generation},
	                   asker = {ROLE_SSE, 0, ASKER_GENERATION};
	unlink_both(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	f->answerer.generation = generation;
	f->asker.peers[0].peer = peer_create(&f->loop, fds[0], answerer, &near);
	f->answerer.peers[0].peer = peer_create(&f->loop, fds[1], asker, &far);
	f->asker.peers_count = f->answerer.peers_count = 1;
}

static int begin(void **state)
{
	static const struct worker_program program = {.role = ROLE_SSE};
	struct fixture *f = xcalloc(1, sizeof *f);
	*state = f;
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->settings = (struct settings){.call_timeout_ms = 1000};
	f->asker = (struct worker){.program = &program,
	                           .loop = &f->loop,
	                           .slot = 0,
	                           .generation = ASKER_GENERATION,
	                           .mine = &f->counters[0]};
	f->asker.settings.newest = &f->settings;
	f->answerer = (struct worker){
	        .program = &program, .loop = &f->loop, .slot = 1, .mine = &f->counters[1]};
	wheel_init(&f->wheel, 1000);
	f->asks = asks_create(&f->asker, &f->wheel);
	f->calls = calls_create(&f->answerer, routes, 2, f);
	introduce(f, GENERATION);
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	unlink_both(f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	asks_destroy(&f->asks);
	free(f->calls);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 4; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
}

static enum ask_outcome ask(struct fixture *f, uint64_t generation, enum call_method method,
                            const char *path, uint64_t *id)
{
	const struct party to = {ROLE_SSE, 1, generation};
	const struct proto_call m = {.method = (uint8_t)method, .path = span_str(path)};
	return asks_send(f->asks, &to, &m, on_outcome, f, id);
}

/* ---- tests ---- */

static void test_sse_workers_ask_each_other(void **state)
{
	struct fixture *f = *state;
	uint64_t id;
	assert_int_equal(ask(f, 0, CALL_GET, "/place", &id), ASK_SENT);
	assert_int_not_equal(id, 0);
	assert_int_equal(f->outcomes, 0);
	turn(f);
	assert_int_equal(f->outcomes, 1);
	assert_int_equal(f->outcome, ASK_ANSWERED);
	assert_int_equal(f->status, 204);
	assert_int_equal(f->from.role, ROLE_SSE);
	assert_int_equal(f->from.slot, 1);
	assert_int_equal(f->from.generation, GENERATION);
	assert_int_equal(counter_get(f->asker.mine, calls_total), 1);
	assert_int_equal(counter_get(f->asker.mine, calls_failed_total), 0);
}

static void test_the_owner_is_asked(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, GENERATION, CALL_GET, "/place", NULL), ASK_SENT);
	turn(f);
	assert_int_equal(f->outcome, ASK_ANSWERED);
	assert_int_equal(f->handled, 1);
}

static void test_the_successor_is_not_asked_in_its_place(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 5;
	introduce(f, GENERATION + 1);
	assert_int_equal(ask(f, GENERATION, CALL_GET, "/place", &id), ASK_STALE);
	assert_int_equal(id, 0);
	turn(f);
	assert_int_equal(f->handled, 0);
	assert_int_equal(f->outcomes, 0);
	assert_int_equal(counter_get(f->asker.mine, calls_failed_total), 1);
	assert_int_equal(ask(f, GENERATION + 1, CALL_GET, "/place", NULL), ASK_SENT);
	turn(f);
	assert_int_equal(f->handled, 1);
}

/* Its link is lost, or we have not been introduced to it yet: it may live. */
static void test_who_is_not_known_is_absent(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, GENERATION + 1, CALL_GET, "/place", NULL), ASK_ABSENT);
	unlink_both(f);
	assert_int_equal(ask(f, GENERATION, CALL_GET, "/place", NULL), ASK_ABSENT);
	assert_int_equal(ask(f, 0, CALL_GET, "/place", NULL), ASK_ABSENT);
}

/* However it got there: over a link that was made for the one before, say. */
static void test_the_successor_refuses_what_was_for_another(void **state)
{
	struct fixture *f = *state;
	f->answerer.generation = GENERATION + 1;
	assert_int_equal(ask(f, GENERATION, CALL_GET, "/place", NULL), ASK_SENT);
	turn(f);
	assert_int_equal(f->handled, 0);
	assert_int_equal(f->outcome, ASK_STALE);
	assert_int_equal(f->outcomes, 1);
}

static void test_gone_before_it_answered(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, 0, CALL_POST, "/later", NULL), ASK_SENT);
	turn(f);
	struct call *first = f->kept;
	assert_int_equal(ask(f, 0, CALL_POST, "/later", NULL), ASK_SENT);
	turn(f);
	introduce(f, GENERATION + 1);
	assert_int_equal(f->outcomes, 2);
	assert_int_equal(f->outcome, ASK_GONE);
	turn(f);
	assert_int_equal(f->outcomes, 2);
	call_reply(first, 200, NULL);
	call_reply(f->kept, 200, NULL);
}

/* A successor that says an old number answers nothing. */
static void test_only_who_was_asked_answers(void **state)
{
	struct fixture *f = *state;
	uint64_t id;
	assert_int_equal(ask(f, 0, CALL_POST, "/later", &id), ASK_SENT);
	turn(f);
	const struct proto_call_reply reply = {.id = id, .status = 200};
	const struct party others[] = {{ROLE_SSE, 1, GENERATION + 1},
	                               {ROLE_SSE, 2, GENERATION},
	                               {ROLE_BRIDGE, 1, GENERATION}};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		asks_take(f->asks, &others[i], &reply);
	assert_int_equal(f->outcomes, 0);
	call_reply(f->kept, 200, NULL);
	turn(f);
	assert_int_equal(f->outcome, ASK_ANSWERED);
}

static void test_no_answer_in_time(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, 0, CALL_POST, "/later", NULL), ASK_SENT);
	turn(f);
	f->wheel.now_ms = 1999;
	wheel_run(&f->wheel, f->wheel.now_ms);
	assert_int_equal(f->outcomes, 0);
	f->wheel.now_ms = 2000 + WHEEL_TICK_MS;
	wheel_run(&f->wheel, f->wheel.now_ms);
	assert_int_equal(f->outcome, ASK_LATE);
	call_reply(f->kept, 200, NULL);
	turn(f);
	assert_int_equal(f->outcomes, 1);
}

static void test_forgotten(void **state)
{
	struct fixture *f = *state;
	uint64_t id;
	assert_int_equal(ask(f, 0, CALL_GET, "/place", &id), ASK_SENT);
	asks_forget(f->asks, id);
	asks_forget(f->asks, id);
	asks_forget(f->asks, 0);
	turn(f);
	assert_int_equal(f->handled, 1);
	assert_int_equal(f->outcomes, 0);
}

static void test_a_full_link(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = xcalloc(1, 60000);
	const struct party to = {ROLE_SSE, 1, 0};
	const struct proto_call m = {
	        .method = CALL_GET, .path = SPAN("/place"), .body = span_of(body, 60000)};
	enum ask_outcome outcome = ASK_SENT;
	size_t sent = 0;
	while (outcome == ASK_SENT) {
		outcome = asks_send(f->asks, &to, &m, on_outcome, f, NULL);
		sent += outcome == ASK_SENT;
		assert_true(sent < 1000);
	}
	assert_int_equal(outcome, ASK_FULL);
	assert_int_equal(counter_get(f->asker.mine, calls_refused_total), 1);
	for (size_t i = 0; f->outcomes < sent && i < 1000; i++)
		turn(f);
	assert_int_equal(f->outcomes, sent);
	assert_int_equal(f->outcome, ASK_ANSWERED);
	free(body);
}

static void test_what_does_not_fit(void **state)
{
	struct fixture *f = *state;
	char path[PROTO_CALL_PATH_MAX + 2];
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(ask(f, 0, CALL_GET, path, NULL), ASK_UNFIT);
}

/* proto/roles.h says whose calls a role answers. */
static void test_calls_of_other_roles_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct party bridge = {ROLE_BRIDGE, 0, 3};
	const struct proto_call m = {.id = 1, .method = CALL_GET, .path = SPAN("/place")};
	calls_take(f->calls, &bridge, &m);
	assert_int_equal(f->handled, 0);
	assert_int_equal(calls_open(f->calls), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(test_sse_workers_ask_each_other),
	        TEST(test_the_owner_is_asked),
	        TEST(test_the_successor_is_not_asked_in_its_place),
	        TEST(test_who_is_not_known_is_absent),
	        TEST(test_the_successor_refuses_what_was_for_another),
	        TEST(test_gone_before_it_answered),
	        TEST(test_only_who_was_asked_answers),
	        TEST(test_no_answer_in_time),
	        TEST(test_forgotten),
	        TEST(test_a_full_link),
	        TEST(test_what_does_not_fit),
	        TEST(test_calls_of_other_roles_are_refused),
	};
	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
