#include "common/worker/handed.h"
#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { LEN = 300000 };

static void test_what_is_made_opens(void **state)
{
	(void)state;
	uint8_t *bytes = xmalloc(LEN);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 7);
	int fd = handed_make(span_of(bytes, LEN));
	assert_true(fd >= 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	struct span body;
	assert_int_equal(handed_open(fd, LEN, &body), HANDED_OPEN);
	close(fd);
	assert_int_equal(body.len, LEN);
	assert_memory_equal(body.at, bytes, LEN);
	handed_close(&body);
	handed_close(&body);
	free(bytes);
}

static void test_it_does_not_change_any_more(void **state)
{
	(void)state;
	int fd = handed_make(SPAN("0123456789"));
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_ptr_equal(mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

static void test_another_length_is_false(void **state)
{
	(void)state;
	int fd = handed_make(SPAN("0123456789"));
	struct span body;
	assert_int_equal(handed_open(fd, 9, &body), HANDED_FALSE);
	assert_int_equal(handed_open(fd, 11, &body), HANDED_FALSE);
	assert_int_equal(handed_open(fd, 0, &body), HANDED_FALSE);
	assert_int_equal(handed_open(fd, SIZE_MAX, &body), HANDED_FALSE);
	close(fd);
}

/* Its sender could still cut it short beneath the reader, or change what has been judged. */
static void test_what_may_change_is_false(void **state)
{
	static const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_WRITE, F_SEAL_GROW};
	(void)state;
	struct span body;
	for (size_t i = 0; i < sizeof seals / sizeof *seals; i++) {
		int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(write(fd, "0123456789", 10), 10);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
		assert_int_equal(handed_open(fd, 10, &body), HANDED_FALSE);
		close(fd);
	}
}

static void test_what_is_no_file_is_false(void **state)
{
	(void)state;
	struct span body;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(handed_open(ends[0], 10, &body), HANDED_FALSE);
	assert_int_equal(handed_open(-1, 10, &body), HANDED_FALSE);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_is_made_opens),
	        cmocka_unit_test(test_it_does_not_change_any_more),
	        cmocka_unit_test(test_another_length_is_false),
	        cmocka_unit_test(test_what_may_change_is_false),
	        cmocka_unit_test(test_what_is_no_file_is_false),
	};
	return cmocka_run_group_tests_name("handed", tests, NULL, NULL);
}
