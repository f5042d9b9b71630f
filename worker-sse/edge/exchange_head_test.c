#include "worker-sse/edge/exchange_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Parses, keeps, and then lets the bytes that were received go. NULL: refused. */
static struct exchange_head *keep(const char *text)
{
	struct http1_field fields[32];
	struct http1_head head = {.fields = fields, .fields_max = 32};
	const struct http1_limits limits = {16384, 8192};
	unsigned status;
	const char *reason;
	size_t len = strlen(text);
	uint8_t *bytes = malloc(len);
	memcpy(bytes, text, len);
	assert_int_equal(http1_parse(span_of(bytes, len), &limits, &head, &status, &reason),
	                 HTTP1_WHOLE);
	struct exchange_head *kept = exchange_head_create(&head, bytes);
	const char *fault = exchange_head_read(kept, &head, bytes);
	memset(bytes, 'X', len);
	free(bytes);
	if (fault == NULL)
		return kept;
	exchange_head_free(kept);
	return NULL;
}

static void fields_point_into_the_copy(void **state)
{
	struct exchange_head *h =
	        keep("GET / HTTP/1.1\r\nHost: a.example\r\nIF-NONE-MATCH:  \"x\" \r\n\r\n");
	(void)state;
	assert_true(span_equal(h->headers[HEADER_HOST], SPAN("a.example")));
	assert_true(span_equal(h->headers[HEADER_IF_NONE_MATCH], SPAN("\"x\"")));
	assert_null(h->headers[HEADER_ORIGIN].at);
	exchange_head_free(h);
}

/* RFC 9110 5.3: fields of one name are one list, in their order. */
static void lists_of_several_fields_are_one(void **state)
{
	struct exchange_head *h =
	        keep("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nAccept: a/b\r\n"
	             "x-forwarded-for: 2.2.2.2,3.3.3.3\r\nAccept: c/d\r\nX-FORWARDED-FOR: "
	             "4.4.4.4\r\n\r\n");
	(void)state;
	assert_true(span_equal(h->headers[HEADER_X_FORWARDED_FOR],
	                       SPAN("1.1.1.1, 2.2.2.2,3.3.3.3, 4.4.4.4")));
	assert_true(span_equal(h->headers[HEADER_ACCEPT], SPAN("a/b, c/d")));
	exchange_head_free(h);
}

static void what_may_stand_once_stands_once(void **state)
{
	(void)state;
	assert_null(
	        keep("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: x\r\n\r\n"));
	assert_null(
	        keep("GET / HTTP/1.1\r\nHost: a\r\nProducer-Seq: 1\r\nproducer-seq: 1\r\n\r\n"));
}

static void the_host_of_an_absolute_target_counts(void **state)
{
	struct exchange_head *h = keep("GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
	(void)state;
	assert_true(span_equal(h->headers[HEADER_HOST], SPAN("b.example")));
	exchange_head_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fields_point_into_the_copy),
	        cmocka_unit_test(lists_of_several_fields_are_one),
	        cmocka_unit_test(what_may_stand_once_stands_once),
	        cmocka_unit_test(the_host_of_an_absolute_target_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
