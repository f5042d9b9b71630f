#include "worker-sse/edge/websocket_deflate.h"
#include "common/base/check.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <zlib.h>
#include <cmocka.h>

static void offers(void **state)
{
#define PLAIN "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	static const struct {
		const char *offers;
		unsigned bits;
		const char *answer;
	} rows[] = {
	        {"permessage-deflate", 15, PLAIN},
	        {"permessage-deflate; client_max_window_bits", 15, PLAIN},
	        {"Permessage-Deflate ; client_max_window_bits = 9", 15, PLAIN},
	        {"permessage-deflate; server_max_window_bits=10", 10,
	         PLAIN "; server_max_window_bits=10"},
	        {"permessage-deflate; server_max_window_bits=\"9\"", 9,
	         PLAIN "; server_max_window_bits=9"},
	        {"x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover", 15,
	         PLAIN},
	        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, PLAIN},
	        {"permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
	         "server_max_window_bits=15; client_max_window_bits=15",
	         15, PLAIN "; server_max_window_bits=15"},
	        {"", 0, NULL},
	        {"permessage-bzip2", 0, NULL},
	        {"permessage-deflate; mode=fast", 0, NULL},
	        {"permessage-deflate;", 0, NULL},
	        {"permessage-deflate; server_max_window_bits", 0, NULL},
	        {"permessage-deflate; server_max_window_bits=16", 0, NULL},
	        {"permessage-deflate; server_max_window_bits=010", 0, NULL},
	        {"permessage-deflate; client_max_window_bits=7", 0, NULL},
	        {"permessage-deflate; server_no_context_takeover=1", 0, NULL},
	        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0,
	         NULL},
	};
	char answer[WEBSOCKET_DEFLATE_ANSWER_ROOM];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(websocket_deflate_negotiate(span_str(rows[i].offers), answer),
		                 rows[i].bits);
		if (rows[i].bits != 0)
			assert_string_equal(answer, rows[i].answer);
	}
}

/* Text that packs, longer than any window. */
static struct span made(uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)("abcdefghijklmnop"[i * i % 13 % 16] + (i / 1000) % 7);
	return span_of(at, len);
}

static void what_is_packed_is_unpacked(void **state)
{
	enum { LEN = 200000 };
	struct websocket_packer *packer = websocket_packer_create();
	uint8_t *bytes = malloc(LEN);
	struct span message = made(bytes, LEN), out;
	(void)state;
	for (unsigned bits = 9; bits <= 15; bits++) {
		struct span packed = websocket_pack(packer, bits, message);
		assert_true(packed.at != NULL && packed.len < LEN / 2);
		uint8_t *copy = malloc(packed.len);
		memcpy(copy, packed.at, packed.len);
		assert_int_equal(websocket_unpack(packer, span_of(copy, packed.len), LEN, &out),
		                 WEBSOCKET_UNPACKED);
		assert_true(span_equal(out, message));
		assert_int_equal(websocket_unpack(packer, span_of(copy, packed.len), LEN - 1, &out),
		                 WEBSOCKET_UNPACK_LONG);
		free(copy);
	}
	assert_null(websocket_pack(packer, 15, span_of(bytes, 100)).at);
	free(bytes);
	websocket_packer_destroy(&packer);
	assert_null(packer);
}

/* While one is packed all others wait. */
static void what_is_long_goes_as_it_is(void **state)
{
	enum { MAX = 1 << 20 };
	struct websocket_packer *packer = websocket_packer_create();
	uint8_t *bytes = calloc(1, MAX + 1);
	(void)state;
	assert_non_null(websocket_pack(packer, 15, span_of(bytes, MAX)).at);
	assert_null(websocket_pack(packer, 15, span_of(bytes, MAX + 1)).at);
	free(bytes);
	websocket_packer_destroy(&packer);
}

/* The examples of RFC 7692 7.2.3. */
static void examples(void **state)
{
	static const struct {
		struct span payload, message;
	} rows[] = {
	        {SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), SPAN("Hello")},
	        {SPAN("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), SPAN("Hello")},
	        {SPAN("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), SPAN("Hello")}, /* BFINAL */
	        {SPAN("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), SPAN("Hello")},
	        {SPAN("\x00"), SPAN("")},
	};
	struct websocket_packer *packer = websocket_packer_create();
	struct span out;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(websocket_unpack(packer, rows[i].payload, 100, &out),
		                 WEBSOCKET_UNPACKED);
		assert_true(span_equal(out, rows[i].message));
	}
	websocket_packer_destroy(&packer);
}

static void what_is_not_deflated(void **state)
{
	static const struct span bad[] = {SPAN("\xff\xff\xff\xff"), SPAN("\x06"),
	                                  SPAN("\x00\x05\x00\x05\x00"), SPAN("plain text")};
	struct websocket_packer *packer = websocket_packer_create();
	struct span out;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(websocket_unpack(packer, bad[i], 100, &out),
		                 WEBSOCKET_UNPACK_BROKEN);
	websocket_packer_destroy(&packer);
}

/* A thousand times as long when it is unpacked: no more is made of it than may be. */
static void a_bomb(void **state)
{
	enum { LEN = 32 << 20, MAX = 64 << 10 };
	z_stream z = {0};
	uint8_t *zeros = calloc(1, LEN), *payload = malloc(LEN);
	struct websocket_packer *packer = websocket_packer_create();
	struct span out;
	(void)state;
	check(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = zeros;
	z.avail_in = LEN;
	z.next_out = payload;
	z.avail_out = LEN;
	check(deflate(&z, Z_SYNC_FLUSH) == Z_OK);
	assert_int_equal(websocket_unpack(packer, span_of(payload, z.total_out), MAX, &out),
	                 WEBSOCKET_UNPACK_LONG);
	assert_true(out.len <= 2 * MAX);
	deflateEnd(&z);
	free(zeros);
	free(payload);
	websocket_packer_destroy(&packer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(offers),   cmocka_unit_test(what_is_packed_is_unpacked),
	        cmocka_unit_test(examples), cmocka_unit_test(what_is_not_deflated),
	        cmocka_unit_test(a_bomb),   cmocka_unit_test(what_is_long_goes_as_it_is),
	};
	return cmocka_run_group_tests_name("websocket_deflate", tests, NULL, NULL);
}
