#include "worker-sse/edge/http1_out.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void a_head_is_put_together(void **state)
{
	static struct http1_out out;
	(void)state;
	out.len = 0;
	http1_put_text(&out, http1_status_line(204));
	http1_put_text(&out, "n: ");
	http1_put_number(&out, 0);
	http1_put_number(&out, UINT64_MAX);
	http1_put(&out, "\r\nv: ", 5);
	http1_put_value(&out, SPAN("a value\t\x80"));
	assert_int_equal(
	        out.len,
	        strlen("HTTP/1.1 204 No Content\r\nn: 018446744073709551615\r\nv: a value\t\x80"));
	assert_memory_equal(out.bytes, "HTTP/1.1 204 No Content\r\nn: 0184467440737", 40);
}

static void only_known_statuses_have_a_line(void **state)
{
	(void)state;
	for (unsigned status = 0; status < 700; status++) {
		const char *line = http1_status_line(status);
		if (line == NULL)
			continue;
		assert_int_equal(strncmp(line, "HTTP/1.1 ", 9), 0);
		assert_int_equal(strtoul(line + 9, NULL, 10), status);
		assert_string_equal(line + strlen(line) - 2, "\r\n");
	}
	assert_non_null(http1_status_line(200));
	assert_null(http1_status_line(299));
}

/* What a client sent must not split the head that it comes back in: rather no process. */
static void a_value_never_splits_a_head(void **state)
{
	static const struct span values[] = {{(const uint8_t *)"a\rb", 3},
	                                     {(const uint8_t *)"a\nb", 3},
	                                     {(const uint8_t *)"a\0b", 3}};
	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			static struct http1_out out;
			signal(SIGABRT, SIG_DFL);
			close(2);
			http1_put_value(&out, values[i]);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_head_is_put_together),
	        cmocka_unit_test(only_known_statuses_have_a_line),
	        cmocka_unit_test(a_value_never_splits_a_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
