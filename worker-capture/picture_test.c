#include "worker-capture/picture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* SOI, a comment, SOF0 of 1280x720, SOS. */
static const uint8_t small[] = {0xff, 0xd8, 0xff, 0xfe, 0x00, 0x04, 'h',  'i',
                                0xff, 0xff, 0xc0, 0x00, 0x0b, 0x08, 0x02, 0xd0,
                                0x05, 0x00, 0x01, 0x01, 0x11, 0x00, 0xff, 0xda};

static bool measure(const uint8_t *at, size_t len, uint32_t *width, uint32_t *height)
{
	uint8_t *copy = malloc(len != 0 ? len : 1); /* so that a sanitizer sees reads beyond it */
	memcpy(copy, at, len);
	bool ok = picture_measure(span_of(copy, len), width, height);
	free(copy);
	return ok;
}

static void size_is_read_from_the_header(void **state)
{
	uint32_t width = 0, height = 0;
	(void)state;
	assert_true(measure(small, sizeof small, &width, &height));
	assert_int_equal(width, 1280);
	assert_int_equal(height, 720);
}

static void every_cut_before_the_size_is_refused(void **state)
{
	uint32_t width, height;
	(void)state;
	for (size_t len = 0; len < 22; len++)
		assert_false(measure(small, len, &width, &height));
}

static void what_is_no_jpeg_is_refused(void **state)
{
	uint8_t bytes[sizeof small];
	uint32_t width, height;
	(void)state;
	assert_false(measure((const uint8_t *)"\x89PNG\r\n", 6, &width, &height));
	memcpy(bytes, small, sizeof small);
	bytes[16] = bytes[17] = 0; /* no width */
	assert_false(measure(bytes, sizeof bytes, &width, &height));
	memcpy(bytes, small, sizeof small);
	bytes[4] = 0, bytes[5] = 1; /* a segment shorter than its own length */
	assert_false(measure(bytes, sizeof bytes, &width, &height));
	memcpy(bytes, small, sizeof small);
	bytes[10] = 0xda; /* picture data before any size */
	assert_false(measure(bytes, sizeof bytes, &width, &height));
}

static void references_are_counted(void **state)
{
	(void)state;
	struct picture *picture = picture_create(3), *second = picture_ref(picture);
	picture_unref(&picture);
	assert_null(picture);
	second->bytes[2] = 1;
	assert_int_equal(second->refs, 1);
	picture_unref(&second);
	picture_unref(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(size_is_read_from_the_header),
	        cmocka_unit_test(every_cut_before_the_size_is_refused),
	        cmocka_unit_test(what_is_no_jpeg_is_refused),
	        cmocka_unit_test(references_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
