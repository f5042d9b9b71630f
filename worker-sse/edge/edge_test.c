/* What is the edge's own: what stands on every answer, its ceilings, its way out. */
#include "worker-sse/edge/edge.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/certificate_made.h"
#include "tests/doubles/edge_bench.h"
#include "worker-sse/edge/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct edge_bench *bench;
static struct wire_memory memory;

static void answer(struct request *request)
{
	reply(request, 200, NULL, 0, SPAN("hi"));
}

static void open_bench(void)
{
	bench = edge_bench_create(NULL);
	edge_bench_route()->handler = answer;
	memory = (struct wire_memory){0};
	edge_bench_connect(bench, &memory);
}

static void finish(void)
{
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
}

static const char *ask(void)
{
	wire_memory_forget(&memory);
	wire_memory_give_text(&memory, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	edge_bench_turn(bench, &memory);
	return (const char *)memory.out;
}

/* The dates of RFC 9110 5.6.7, and one with a leading zero. */
static void the_date_stands_on_every_answer(void **state)
{
	(void)state;
	open_bench();
	edge_tick(&bench->edge, 784111777000);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	edge_tick(&bench->edge, 784111777999);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	edge_tick(&bench->edge, 784111778000);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:38 GMT\r\n"));
	edge_tick(&bench->edge, 0); /* the clock was set back */
	assert_non_null(strstr(ask(), "\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
	assert_non_null(strstr(ask(), "\r\nx-content-type-options: nosniff\r\n"));
	finish();
}

static void ceilings_are_kept_and_shown(void **state)
{
	(void)state;
	open_bench();
	edge_set_ceilings(&bench->edge,
	                  &(struct ceilings){.body_bytes = 1000, .waiting_bytes = 2000});
	assert_int_equal(bench->edge.body_bytes_max, 1000);
	assert_int_equal(bench->edge.waiting.max, 2000);
	assert_int_equal(counter_get(&bench->counters, body_bytes_max), 1000);
	assert_int_equal(counter_get(&bench->counters, waiting_bytes_max), 2000);
	finish();
}

/* Answers of a turn leave before the loop sleeps, whoever wrote them. */
static struct request *kept;

static void keep(struct request *request)
{
	kept = request;
}

static void answers_leave_when_the_turn_ends(void **state)
{
	(void)state;
	open_bench();
	edge_bench_route()->handler = keep;
	assert_string_equal(ask(), "");
	reply(kept, 200, NULL, 0, SPAN("late"));
	edge_flush(&bench->edge);
	assert_non_null(strstr((const char *)memory.out, "\r\n\r\nlate"));
	finish();
}

static void it_is_empty_when_all_have_left(void **state)
{
	(void)state;
	open_bench();
	ask();
	assert_false(edge_is_empty(&bench->edge));
	assert_false(bench->edge.draining);
	edge_stop_accepting(&bench->edge);
	assert_true(bench->edge.draining);
	assert_false(memory.shut);
	edge_drain(&bench->edge);
	edge_bench_turn(bench, &memory);
	assert_true(memory.shut);
	wire_memory_give_end(&memory);
	edge_bench_turn(bench, &memory);
	assert_true(edge_is_empty(&bench->edge));
	finish();
}

/* ---- rights ---- */

static const struct route_rights reads = {.get = RIGHT(READ), .put = RIGHT(CREATE)};

static void open_strict(void)
{
	static const char *const settings[] = {"dev=false", "auth.publish_tokens=writer,other",
	                                       "auth.subscribe_tokens=reader", NULL};
	bench = edge_bench_create(settings);
	edge_bench_route()->handler = answer;
	edge_bench_route()->rights = reads;
	memory = (struct wire_memory){0};
	edge_bench_connect(bench, &memory);
}

static const char *say(const char *head)
{
	wire_memory_forget(&memory);
	wire_memory_give_text(&memory, head);
	edge_bench_turn(bench, &memory);
	return (const char *)memory.out;
}

static const char *ask_as(const char *method, const char *authorization)
{
	char head[200];
	snprintf(head, sizeof head, "%s /v1/stream/a HTTP/1.1\r\nHost: h\r\n%s%s\r\n\r\n", method,
	         *authorization != '\0' ? "Authorization: " : "X: y", authorization);
	return say(head);
}

static void finish_strict(void)
{
	edge_bench_route()->rights = (struct route_rights){0};
	finish();
}

static void assert_refused(const char *answer, const char *status, const char *challenge)
{
	char line[200];
	assert_non_null(strstr(answer, status));
	snprintf(line, sizeof line, "\r\nwww-authenticate: Bearer realm=\"ringside\"%s\r\n",
	         challenge);
	assert_non_null(strstr(answer, line));
}

/* RFC 6750 3.1 */
static void a_refusal_says_what_would_help(void **state)
{
	(void)state;
	open_strict();
	assert_refused(ask_as("GET", ""), " 401 ", "");
	assert_refused(ask_as("GET", "Basic YTpi"), " 401 ", "");
	assert_refused(ask_as("GET", "Bearer nobody"), " 401 ", ", error=\"invalid_token\"");
	assert_refused(ask_as("GET", "Bearer a b"), " 401 ", ", error=\"invalid_token\"");
	assert_refused(ask_as("PUT", "Bearer reader"), " 403 ", ", error=\"insufficient_scope\"");
	assert_non_null(strstr(ask_as("GET", "Bearer reader"), " 200 "));
	finish_strict();
}

static void use(const char *key, const char *value)
{
	char reason[SETTINGS_REASON_MAX];
	check(settings_set(&bench->settings, span_str(key), span_str(value), reason));
	edge_use(&bench->edge, &bench->settings);
	edge_bench_turn(bench, &memory);
}

static void left(struct request *request)
{
	(void)request; /* is freed behind this */
}

static void begin_answer(struct request *request)
{
	kept = request;
	request->on_gone = left;
	reply_start(request, 200, NULL, 0, UINT64_MAX);
}

static void who_may_no_longer_is_cut_and_others_are_not(void **state)
{
	(void)state;
	open_strict();
	edge_bench_route()->handler = begin_answer;
	assert_non_null(strstr(ask_as("GET", "Bearer writer"), " 200 "));
	use("auth.publish_tokens", "other,another");
	assert_null(memory.wire); /* revoked */
	wire_memory_finish(&memory);
	memory = (struct wire_memory){0};
	edge_bench_connect(bench, &memory);
	assert_non_null(strstr(ask_as("GET", "Bearer other"), " 200 "));
	use("auth.publish_tokens", "third,other");
	assert_non_null(memory.wire);
	use("auth.publish_tokens", "third");
	assert_null(memory.wire);
	finish_strict();
}

static unsigned judged;

static void on_judge(struct request *request)
{
	judged++;
	if (request->identity->refusal == REFUSAL_REVOKED)
		reply_end(request);
}

static void begin_judged(struct request *request)
{
	begin_answer(request);
	request->on_judge = on_judge;
}

static void a_handler_judges_for_itself(void **state)
{
	(void)state;
	open_strict();
	judged = 0;
	edge_bench_route()->handler = begin_judged;
	ask_as("GET", "Bearer writer");
	use("auth.session_tokens", "somebody"); /* nothing to do with it */
	assert_int_equal(judged, 0);
	use("auth.source_token", "writer");
	assert_int_equal(judged, 1); /* it may more than it might */
	use("auth.publish_tokens", "");
	use("auth.source_token", "");
	assert_int_equal(judged, 3);
	assert_non_null(memory.wire); /* a whole answer */
	assert_non_null(strstr((const char *)memory.out, "0\r\n\r\n"));
	finish_strict();
}

/* What is under way in the store has happened, and is told. */
static void what_is_worked_on_is_answered(void **state)
{
	(void)state;
	open_strict();
	edge_bench_route()->handler = keep;
	ask_as("GET", "Bearer writer");
	use("auth.publish_tokens", "other");
	assert_non_null(memory.wire);
	reply(kept, 200, NULL, 0, SPAN("done"));
	edge_flush(&bench->edge);
	assert_non_null(strstr((const char *)memory.out, "\r\n\r\ndone"));
	finish_strict();
}

static void who_may_no_longer_before_the_body_is_there_may_not(void **state)
{
	(void)state;
	open_strict();
	say("PUT /v1/stream/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
	    "Authorization: Bearer writer\r\n\r\nab");
	use("auth.publish_tokens", "other");
	wire_memory_give_text(&memory, "cd");
	edge_bench_turn(bench, &memory);
	assert_refused((const char *)memory.out, " 401 ", ", error=\"invalid_token\"");
	finish_strict();
}

/* A certificate that has expired since the supervisor took it is still shown; without any, a socket
 * of TLS is none that speaks in the clear. */
static void tls_is_never_in_the_clear(void **state)
{
	(void)state;
	char text[8192], reason[CERTIFICATE_REASON_ROOM];
	struct certificate_made old = certificate_make(CERTIFICATE_EC, NULL, -200000, -100000);
	struct edge_bench *b = edge_bench_create(NULL);
	const struct tls_material wrong = {.pairs = span_of((const uint8_t *)"x\0y", 4)};
	assert_false(edge_use_tls(&b->edge, 2, &wrong, reason));
	assert_null(b->edge.tls);
	assert_int_equal(b->edge.listens_tls, 2);
	size_t chain_len = strlen(old.chain) + 1, key_len = strlen(old.key) + 1;
	memcpy(text, old.chain, chain_len);
	memcpy(text + chain_len, old.key, key_len);
	const struct tls_material expired = {.pairs = span_of(text, chain_len + key_len)};
	assert_true(edge_use_tls(&b->edge, 2, &expired, reason));
	assert_non_null(b->edge.tls);
	assert_false(edge_use_tls(&b->edge, 2, &wrong, reason));
	assert_non_null(b->edge.tls);
	certificate_made_finish(&old);
	edge_bench_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_date_stands_on_every_answer),
	        cmocka_unit_test(ceilings_are_kept_and_shown),
	        cmocka_unit_test(tls_is_never_in_the_clear),
	        cmocka_unit_test(answers_leave_when_the_turn_ends),
	        cmocka_unit_test(it_is_empty_when_all_have_left),
	        cmocka_unit_test(a_refusal_says_what_would_help),
	        cmocka_unit_test(who_may_no_longer_is_cut_and_others_are_not),
	        cmocka_unit_test(a_handler_judges_for_itself),
	        cmocka_unit_test(what_is_worked_on_is_answered),
	        cmocka_unit_test(who_may_no_longer_before_the_body_is_there_may_not),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
