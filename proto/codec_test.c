#include "proto/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static size_t encode(uint8_t *buf, size_t room)
{
	struct writer w = {buf, buf + room, true};
	const struct proto_admin_reply in = {.id = 7, .last = 1, .body = SPAN("{\"ok\":true}")};
	assert_true(proto_put_admin_reply(&w, &in));
	return (size_t)(w.at - buf);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t buf[128];
	struct proto_admin_reply out;
	size_t len = encode(buf, sizeof buf);
	assert_true(proto_get_admin_reply(span_of(buf, len), &out));
	assert_int_equal(out.id, 7);
	assert_true(span_equal(out.body, SPAN("{\"ok\":true}")));
	assert_string_equal(proto_name(PROTO_TYPE_ADMIN_REPLY), "admin_reply");
}

/* In blocks of exact size, so that a sanitizer sees any overread. */
static bool decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);
	memcpy(copy, bytes, len);
	struct proto_admin_reply out;
	bool ok = proto_get_admin_reply(span_of(copy, len), &out);
	free(copy);
	return ok;
}

static void test_every_truncation_is_malformed(void **state)
{
	(void)state;
	uint8_t buf[128] = {0};
	size_t len = encode(buf, sizeof buf);
	for (size_t n = 0; n < len; n++)
		assert_false(decodes(buf, n));
	assert_false(decodes(buf, len + 1));
	memset(buf + 10, 0xff, 4); /* the hostile length */
	assert_false(decodes(buf, len));
}

static void test_random_bodies(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 100000; i++) {
		uint8_t body[40];
		size_t n = (size_t)rand() % sizeof body;
		for (size_t k = 0; k < n; k++)
			body[k] = (uint8_t)(rand() % 4 ? 0 : rand());
		decodes(body, n);
	}
}

/* Each message of the table, from random bytes: what decodes encodes to the same bytes, and nothing
 * above its ceiling decodes. */
#define ROUND_TRIP(id, NAME, lname, from)                                                          \
	__attribute__((noinline)) static size_t again_##lname(struct span body)                    \
	{                                                                                          \
		struct proto_##lname m;                                                            \
		if (!proto_get_##lname(body, &m))                                                  \
			return 0;                                                                  \
		uint8_t *out = malloc(body.len);                                                   \
		assert_non_null(out);                                                              \
		struct writer w = {out, out + body.len, true};                                     \
		assert_int_equal(proto_len_##lname(&m), body.len);                                 \
		assert_true(proto_put_##lname(&w, &m));                                            \
		assert_ptr_equal(w.at, w.end);                                                     \
		assert_memory_equal(out, body.at, body.len);                                       \
		free(out);                                                                         \
		return 1;                                                                          \
	}
PROTO_ALL(ROUND_TRIP)

static void test_every_message_round_trips(void **state)
{
	(void)state;
	size_t decoded = 0;
	srand(2);
	for (int i = 0; i < 20000; i++) {
		size_t len = 1 + (size_t)rand() % 64;
		uint8_t *body = malloc(len);
		assert_non_null(body);
		for (size_t k = 0; k < len; k++)
			body[k] = (uint8_t)(rand() % 8 ? 0 : rand() % 16);
#define TRY(id, NAME, lname, from) decoded += again_##lname(span_of(body, len));
		PROTO_ALL(TRY)
		free(body);
	}
	assert_true(decoded > 1000);
}

static void test_ceilings(void **state)
{
	(void)state;
	static uint8_t text[32], buf[64];
	struct writer w = {buf, buf + sizeof buf, true};
	const struct proto_log_level fits = {.level = span_of(text, 16)},
	                             over = {.level = span_of(text, 17)};
	assert_true(proto_put_log_level(&w, &fits));
	assert_int_equal(w.at - buf, PROTO_MAX_LOG_LEVEL);
	assert_int_equal(proto_body_max(PROTO_TYPE_LOG_LEVEL), PROTO_MAX_LOG_LEVEL);
	assert_int_equal(proto_body_max(0), SIZE_MAX);
	assert_int_equal(proto_body_max(65535), SIZE_MAX);
	assert_string_equal(proto_name(0), "unknown");
	w = (struct writer){buf, buf + sizeof buf, true};
	assert_false(proto_put_log_level(&w, &over));
	w = (struct writer){buf, buf + 5, true};
	assert_false(proto_put_log_level(&w, &fits));
	static const uint8_t longer[4 + 17] = {0, 0, 0, 17};
	struct proto_log_level out;
	assert_false(proto_get_log_level(span_of(longer, sizeof longer), &out));
}

/* One inbox over the rows for workers. */
struct seen {
	unsigned drains;
	uint64_t due_ms;
	struct party from;
};
#define CTX struct seen
PROTO_HANDLER(6, DRAIN, drain, 0)

static void on_drain(struct seen *seen, const struct party *from, const struct proto_drain *m)
{
	seen->from = *from;
	seen->drains++;
	seen->due_ms = m->due_ms;
}

static enum proto_verdict dispatch(struct seen *ctx, const struct party *from, unsigned type,
                                   struct span body)
{
	switch (type) {
		PROTO_DISPATCH(6, DRAIN, drain, ROLE_SUPERVISOR)
	default:
		return PROTO_NOT_MINE;
	}
}

static void test_dispatch(void **state)
{
	(void)state;
	static const uint8_t body[9] = {0, 0, 0, 0, 0, 0, 0, 99};
	static const struct party supervisor = {.role = ROLE_SUPERVISOR}, sse = {ROLE_SSE, 3, 8};
	struct seen seen = {0};
	assert_int_equal(dispatch(&seen, &supervisor, PROTO_TYPE_DRAIN, span_of(body, 8)),
	                 PROTO_HANDLED);
	assert_int_equal(seen.due_ms, 99);
	assert_int_equal(seen.from.role, ROLE_SUPERVISOR);
	assert_int_equal(dispatch(&seen, &sse, PROTO_TYPE_DRAIN, span_of(body, 8)),
	                 PROTO_FORBIDDEN);
	assert_int_equal(dispatch(&seen, &supervisor, PROTO_TYPE_DRAIN, span_of(body, 9)),
	                 PROTO_MALFORMED);
	assert_int_equal(dispatch(&seen, &supervisor, PROTO_TYPE_READY, span_of(body, 8)),
	                 PROTO_NOT_MINE);
	assert_int_equal(seen.drains, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_round_trip),
	        cmocka_unit_test(test_every_truncation_is_malformed),
	        cmocka_unit_test(test_random_bodies),
	        cmocka_unit_test(test_every_message_round_trips),
	        cmocka_unit_test(test_ceilings),
	        cmocka_unit_test(test_dispatch),
	};
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
