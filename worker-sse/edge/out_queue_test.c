#include "worker-sse/edge/out_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct chunk *chunk_of(const char *text)
{
	struct chunk *chunk = chunk_create(strlen(text));
	memcpy(chunk->bytes, text, strlen(text));
	return chunk;
}

static void take_all(struct out_queue *q, char *into)
{
	struct iovec iov[64];
	*into = '\0';
	while (q->count > 0) {
		int count = out_queue_iov(q, iov, 64);
		for (int i = 0; i < count; i++)
			strncat(into, iov[i].iov_base, iov[i].iov_len);
		size_t bytes = 0;
		for (int i = 0; i < count; i++)
			bytes += iov[i].iov_len;
		out_queue_pop(q, bytes);
	}
}

static void small_ones_share_a_chunk(void **state)
{
	struct out_queue q = {0};
	char all[64];
	(void)state;
	out_queue_copy(&q, "one ", 4);
	out_queue_copy(&q, "two ", 4);
	assert_int_equal(q.count, 1);
	out_queue_push(&q, chunk_of("three "), 0, 6);
	out_queue_copy(&q, "four", 4);
	assert_int_equal(q.count, 3);
	assert_int_equal(q.bytes, 18);
	take_all(&q, all);
	assert_string_equal(all, "one two three four");
	assert_null(q.pieces);
}

/* A chunk that others hold is never written into. */
static void shared_chunks_stay_as_they_are(void **state)
{
	struct out_queue q = {0};
	struct chunk *chunk = chunk_create(8);
	char all[64];
	(void)state;
	memcpy(chunk->bytes, "abcdefgh", 8);
	out_queue_push(&q, chunk_ref(chunk), 0, 4);
	out_queue_copy(&q, "xy", 2);
	assert_memory_equal(chunk->bytes, "abcdefgh", 8);
	take_all(&q, all);
	assert_string_equal(all, "abcdxy");
	assert_int_equal(chunk->refs, 1);
	chunk_unref(&chunk);
}

/* Against a plain text, by a seed. */
static void any_order_of_pushing_and_popping(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct out_queue q = {0};
		char wanted[8192], got[8192];
		size_t wanted_len = 0, got_len = 0;
		srand(seed);
		for (int step = 0; step < 300; step++) {
			char text[24];
			int len = 1 + rand() % 20;
			for (int i = 0; i < len; i++)
				text[i] = (char)('a' + rand() % 26);
			text[len] = '\0';
			memcpy(wanted + wanted_len, text, (size_t)len);
			wanted_len += (size_t)len;
			if (rand() % 2)
				out_queue_copy(&q, text, (size_t)len);
			else
				out_queue_push(&q, chunk_of(text), 0, (uint32_t)len);
			if (rand() % 3 != 0)
				continue;
			struct iovec iov[8];
			int count = out_queue_iov(&q, iov, 8);
			size_t some = 0;
			for (int i = 0; i < count; i++)
				some += iov[i].iov_len;
			some = (size_t)rand() % (some + 1);
			size_t left = some;
			for (int i = 0; i < count && left > 0; i++) {
				size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
				memcpy(got + got_len, iov[i].iov_base, n);
				got_len += n;
				left -= n;
			}
			out_queue_pop(&q, some);
			assert_int_equal(q.bytes, wanted_len - got_len);
		}
		assert_memory_equal(got, wanted, got_len);
		out_queue_drop(&q);
		assert_int_equal(q.bytes, 0);
		assert_null(q.pieces);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(small_ones_share_a_chunk),
	        cmocka_unit_test(shared_chunks_stay_as_they_are),
	        cmocka_unit_test(any_order_of_pushing_and_popping),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
