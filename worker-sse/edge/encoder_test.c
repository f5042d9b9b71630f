#include "worker-sse/edge/encoder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <brotli/decode.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

struct coded {
	uint8_t *at;
	size_t len;
};

static void put(void *arg, struct span piece)
{
	struct coded *coded = arg;
	assert_true(piece.len > 0 && piece.len <= 65536);
	coded->at = realloc(coded->at, coded->len + piece.len);
	memcpy(coded->at + coded->len, piece.at, piece.len);
	coded->len += piece.len;
}

/* By the libraries' decoders, in one go. */
static size_t decode(enum content_coding coding, const struct coded *coded, uint8_t *out,
                     size_t room)
{
	size_t len = room;
	z_stream z = {.next_in = coded->at,
	              .avail_in = (uInt)coded->len,
	              .next_out = out,
	              .avail_out = (uInt)room};
	switch (coding) {
	case CODING_ZSTD: {
		ZSTD_DCtx *zstd = ZSTD_createDCtx();
		len = ZSTD_decompressDCtx(zstd, out, room, coded->at, coded->len);
		assert_false(ZSTD_isError(len));
		ZSTD_freeDCtx(zstd);
		return len;
	}
	case CODING_BR:
		assert_int_equal(BrotliDecoderDecompress(coded->len, coded->at, &len, out),
		                 BROTLI_DECODER_RESULT_SUCCESS);
		return len;
	case CODING_GZIP:
		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		assert_int_equal(z.avail_in, 0);
		inflateEnd(&z);
		return room - z.avail_out;
	case CODING_COUNT:
		break;
	}
	return 0;
}

static void fill(uint8_t *bytes, size_t len, bool noise)
{
	unsigned seed = 7;
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = noise ? (uint8_t)(seed >> 16)
		                 : (uint8_t)("{\"n\":12,}"[i % 9] + (i / 9000 % 3));
	}
}

static void what_is_coded_reads_back(void **state)
{
	static const size_t sizes[] = {0, 1, 1000, 65536, 1000000},
	                    pieces[] = {1000, 65536, 1000000};
	uint8_t *bytes = malloc(1000000), *back = malloc(1000001);
	(void)state;
	for (enum content_coding coding = 0; coding < CODING_COUNT; coding++)
		for (size_t i = 0; i < 5 * 3 * 2; i++) {
			size_t len = sizes[i % 5], piece = pieces[i / 5 % 3], at = 0;
			struct coded coded = {0};
			struct encoder *encoder = encoder_create(coding);
			fill(bytes, len, i >= 15);
			do {
				size_t next = len - at < piece ? len - at : piece;
				assert_true(encoder_take(encoder, span_of(bytes + at, next),
				                         at + next == len, put, &coded));
				at += next;
			} while (at < len);
			assert_int_equal(decode(coding, &coded, back, 1000001), len);
			assert_memory_equal(back, bytes, len);
			if (len > 10000 && i < 15)
				assert_true(coded.len < len / 5);
			free(coded.at);
			encoder_destroy(&encoder);
			assert_null(encoder);
		}
	free(bytes);
	free(back);
}

static void one_that_is_left_in_the_middle_leaks_nothing(void **state)
{
	uint8_t bytes[3000];
	(void)state;
	fill(bytes, sizeof bytes, true);
	for (enum content_coding coding = 0; coding < CODING_COUNT; coding++) {
		struct coded coded = {0};
		struct encoder *encoder = encoder_create(coding);
		assert_true(
		        encoder_take(encoder, span_of(bytes, sizeof bytes), false, put, &coded));
		encoder_destroy(&encoder);
		free(coded.at);
	}
	struct encoder *none = NULL;
	encoder_destroy(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_coded_reads_back),
	        cmocka_unit_test(one_that_is_left_in_the_middle_leaks_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
