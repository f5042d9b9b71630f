#include "common/base/hash.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

struct row {
	uint64_t key;
	UT_hash_handle hh;
};

enum { ROWS = 1 << 21 };

/* Only the tables grow: the rows are there before. */
static void fill_without_memory(void)
{
	const struct rlimit none = {0, 0};
	struct row *rows = calloc(ROWS, sizeof *rows), *table = NULL;
	const struct rlimit now = {.rlim_cur = ROWS * sizeof *rows, .rlim_max = RLIM_INFINITY};
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if (rows == NULL || setrlimit(RLIMIT_AS, &now) != 0)
		_exit(2);
	close(STDERR_FILENO);
	for (uint64_t i = 0; i < ROWS; i++) {
		rows[i].key = i;
		HASH_ADD(hh, table, key, sizeof rows[i].key, &rows[i]);
	}
	_exit(0);
}

/* Not by exit(-1), as uthash has it, which leaves no word in the log. */
static void without_memory_it_aborts_as_xmalloc_does(void **state)
{
	int status;
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* its allocator ends the process in its own way */
#endif
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		fill_without_memory();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(without_memory_it_aborts_as_xmalloc_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
