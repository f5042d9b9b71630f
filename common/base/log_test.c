#include "common/base/check.h"
#include "common/base/log.h"
#include "proto/roles.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <setjmp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/ringside-log-XXXXXX";
static int former_stderr;

/* What stands in the log file now. */
static const char *logged(const char *file)
{
	static char text[16384];
	log_flush();
	int fd = open(file, O_RDONLY);
	if (fd < 0)
		return "";
	ssize_t len = read(fd, text, sizeof text - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static int begin(void **state)
{
	(void)state;
	log_init("sse-0");
	log_set_level(LOG_LEVEL_INFO);
	log_set_json(false);
	former_stderr = dup(STDERR_FILENO);
	memcpy(path, "/tmp/ringside-log-XXXXXX", sizeof path);
	close(mkstemp(path));
	return !log_open(path);
}

static int end(void **state)
{
	(void)state;
	dup2(former_stderr, STDERR_FILENO);
	close(former_stderr);
	return unlink(path);
}

static void test_a_line(void **state)
{
	(void)state;
	log_info("ready", "url=%s n=%d", "http://[::1]:1", 7);
	log_warn("bare", "%s", "");
	const char *text = logged(path);
	/* 2026-01-02T03:04:05.678Z */
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[19], '.');
	assert_int_equal(text[23], 'Z');
	assert_string_equal(strchr(strchr(text, '\n') + 1, 'Z'), "Z warn  sse-0 bare\n");
	assert_memory_equal(text + 24, " info  sse-0 ready url=http://[::1]:1 n=7\n", 42);
}

static void test_levels(void **state)
{
	(void)state;
	static const char *const names[] = {"debug", "info", "warn", "error"};
	for (unsigned least = 0; least < 4; least++) {
		enum log_level level;
		assert_true(log_level_parse(names[least], &level));
		log_set_level(level);
		assert_int_equal(truncate(path, 0), 0);
		for (unsigned l = 0; l < 4; l++)
			log_line((enum log_level)l, names[l], "%s", "");
		for (unsigned l = 0; l < 4; l++)
			assert_int_equal(strstr(logged(path), names[l]) != NULL, l >= least);
	}
	enum log_level level;
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
}

static void test_one_event_is_one_line(void **state)
{
	(void)state;
	log_info("hostile", "path=%s",
	         "/a\r\n2026-01-01 forged\x1b[31m\x7f\xff\xc0\xaf\xed\xa0\x80");
	const char *text = logged(path);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_non_null(strstr(text, "path=/a??2026-01-01 forged?[31m????"));
	assert_int_equal(truncate(path, 0), 0);
	char *longest = malloc(100000);
	assert_non_null(longest);
	memset(longest, 'x', 99999);
	longest[99999] = '\0';
	log_info("long", "value=%s", longest);
	free(longest);
	text = logged(path);
	assert_true(strlen(text) < 4096);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

/* The line as JSON; NULL: it is none. */
static json_t *parsed(void)
{
	const char *text = logged(path);
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (json == NULL || strchr(text, '\n') != text + strlen(text) - 1)
		fail_msg("no JSON: %s", text);
	assert_int_equal(truncate(path, 0), 0);
	return json;
}

static const char *field(const json_t *json, const char *key)
{
	const char *value =
	        json_string_value(json_object_get(json_object_get(json, "fields"), key));
	return value != NULL ? value : "(none)";
}

static void test_json(void **state)
{
	(void)state;
	log_set_json(true);
	log_info("started", "pid=%d error=\"no such file\" path=/\xc3\xbc\\x", 12);
	json_t *json = parsed();
	assert_string_equal(json_string_value(json_object_get(json, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(json, "process")), "sse-0");
	assert_string_equal(json_string_value(json_object_get(json, "event")), "started");
	assert_string_equal(field(json, "pid"), "12");
	assert_string_equal(field(json, "error"), "no such file");
	assert_string_equal(field(json, "path"), "/\xc3\xbc\\x");
	assert_null(json_object_get(json, "detail"));
	json_decref(json);
	log_error("fatal", "bind: %s", "address \"x\" in use");
	json = parsed();
	assert_string_equal(json_string_value(json_object_get(json, "detail")),
	                    "bind: address \"x\" in use");
	assert_null(json_object_get(json, "fields"));
	json_decref(json);
	log_error("mixed", "a=%d and more", 1);
	json = parsed();
	assert_string_equal(field(json, "a"), "1");
	assert_string_equal(json_string_value(json_object_get(json, "detail")), "and more");
	json_decref(json);
}

/* Whatever is printed, it is one JSON object on one line. */
static void test_json_stays_json(void **state)
{
	(void)state;
	log_set_json(true);
	static const char alphabet[] = "ab=\"\\ \n\x01\xc3\xbc\xff{},:'";
	srand(7);
	for (int i = 0; i < 3000; i++) {
		char text[1500];
		size_t len = (size_t)rand() % (i % 10 == 0 ? sizeof text : 60);
		for (size_t k = 0; k < len; k++)
			text[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
		text[len] = '\0';
		log_info("random", "%s", text);
		const char *line = logged(path);
		json_t *json = json_loads(line, 0, NULL);
		if (json == NULL)
			fail_msg("no JSON: %s", line);
		json_decref(json);
		assert_int_equal(truncate(path, 0), 0);
	}
	char full[1200];
	memset(full, '\\', sizeof full - 1);
	full[sizeof full - 1] = '\0';
	log_info("escapes", "k=%s", full);
	json_decref(parsed());
}

static void test_reopened_by_path(void **state)
{
	(void)state;
	char rotated[64];
	snprintf(rotated, sizeof rotated, "%s.1", path);
	log_info("before", "%s", "");
	assert_int_equal(rename(path, rotated), 0);
	log_info("between", "%s", "");
	assert_true(log_open(path));
	log_info("after", "%s", "");
	assert_non_null(strstr(logged(rotated), "between"));
	assert_null(strstr(logged(rotated), "after"));
	assert_non_null(strstr(logged(path), "after"));
	assert_false(log_open("/dev/null/ringside.log"));
	log_info("still", "%s", "");
	assert_non_null(strstr(logged(path), "still"));
	unlink(rotated);
}

static int pipe_to[2], pipe_from[2];

static void *alone(void *arg)
{
	char byte;
	(void)arg;
	assert_int_equal(unshare(CLONE_FILES), 0);
	log_thread_alone();
	assert_int_equal(write(pipe_from[1], "", 1), 1);
	assert_int_equal(read(pipe_to[0], &byte, 1), 1);
	log_info("alone", "%s", "");
	return NULL;
}

/* A thread with descriptors of its own goes on in the new file too. */
static void test_reopened_for_threads_alone(void **state)
{
	(void)state;
	char rotated[64], byte;
	pthread_t thread;
	snprintf(rotated, sizeof rotated, "%s.2", path);
	assert_int_equal(pipe(pipe_to) | pipe(pipe_from), 0);
	assert_int_equal(pthread_create(&thread, NULL, alone, NULL), 0);
	assert_int_equal(read(pipe_from[0], &byte, 1), 1);
	assert_int_equal(rename(path, rotated), 0);
	assert_true(log_open(path));
	assert_int_equal(write(pipe_to[1], "", 1), 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_non_null(strstr(logged(path), "alone"));
	for (int i = 0; i < 2; i++) {
		close(pipe_to[i]);
		close(pipe_from[i]);
	}
	unlink(rotated);
}

static int status_of(void (*run)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		run();
		_exit(99);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void fail_a_check(void)
{
	signal(SIGABRT, SIG_DFL);
	check(1 + 1 == 3);
}

static void be_fatal(void)
{
	fatal("bind %s", "nowhere");
}

static void test_check_and_fatal_say_why(void **state)
{
	(void)state;
	int status = status_of(fail_a_check);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(logged(path), "condition=\"1 + 1 == 3\""));
	status = status_of(be_fatal);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILED);
	assert_non_null(strstr(logged(path), "bind nowhere"));
}

/* ---- a log that does not flow ---- */

enum { LINES = 20000 }; /* much more than may wait, and than any kind of descriptor holds */

/* Both ends of something that standard error may be: [0] reads. */
static void open_pipe(int ends[2])
{
	assert_int_equal(pipe(ends), 0);
}

static void open_socket(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void open_terminal(int ends[2])
{
	struct termios raw;
	assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(ends[1], &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(ends[1], TCSANOW, &raw), 0);
}

/* A file on a disk that hangs takes the open and blocks in write. */
static void open_file(int ends[2])
{
	char fifo[64];
	snprintf(fifo, sizeof fifo, "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	ends[0] = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(log_open(fifo));
	ends[1] = dup(STDERR_FILENO);
	unlink(fifo);
}

static void (*const kinds[])(int ends[2]) = {open_pipe, open_socket, open_terminal, open_file};

static void log_to(int ends[2], void (*kind)(int ends[2]))
{
	kind(ends);
	dup2(ends[1], STDERR_FILENO);
}

/* Reads until the lines and those that are said to be dropped are as many as were logged; how many
 * were dropped. */
static unsigned long long read_lines(int fd)
{
	static char text[4 << 20];
	static const char notice[] = "log lines dropped count=";
	size_t len = 0;
	unsigned long long dropped = 0, lines = 0;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	while (lines + dropped < LINES) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		assert_int_equal(poll(&p, 1, 20000), 1);
		ssize_t n = read(fd, text + len, sizeof text - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		text[len] = '\0';
		lines = dropped = 0;
		for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
			const char *said =
			        memmem(at, (size_t)(end - at), notice, sizeof notice - 1);
			lines += said == NULL;
			dropped += said != NULL ? strtoull(said + sizeof notice - 1, NULL, 10) : 0;
		}
	}
	assert_int_equal(lines + dropped, LINES);
	return dropped;
}

/* Nobody who logs waits, whatever standard error is; what is lost is counted, and said when it
 * flows again. */
static void test_a_log_that_nobody_reads_stops_nobody(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		int ends[2];
		uint64_t before = log_dropped();
		log_flush();
		log_to(ends, kinds[i]);
		for (int n = 0; n < LINES; n++)
			log_info("line", "n=%d", n);
		assert_true(log_dropped() > before);
		assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* others have it, too */
		unsigned long long said = read_lines(ends[0]);
		assert_int_equal(log_dropped() - before, said);
		log_flush();
		dup2(former_stderr, STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
	}
}

static void restore_stderr(void)
{
	dup2(former_stderr, STDERR_FILENO);
}

static void log_into_the_void(void)
{
	int ends[2];
	signal(SIGABRT, SIG_DFL);
	log_init("child");
	log_to(ends, open_pipe);
	for (int n = 0; n < LINES; n++)
		log_info("line", "n=%d", n);
}

static void log_and_exit(void)
{
	log_into_the_void();
	atexit(restore_stderr); /* a sanitizer has something to say there, too, at the end */
	exit(3);
}

static void log_and_fail(void)
{
	log_into_the_void();
	check(1 + 1 == 3);
}

/* What ends says what it has to say for a second, and ends. */
static void test_a_stalled_log_keeps_nobody_from_ending(void **state)
{
	(void)state;
	int status = status_of(log_and_exit);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = status_of(log_and_fail);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* With the thread in its own process, too: a child that has logged through it ends with its last
 * words. */
static void say_last_words(void)
{
	log_init("child");
	log_info("last", "%s", "words");
	exit(0);
}

static void test_last_words_are_written(void **state)
{
	(void)state;
	int status = status_of(say_last_words);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_non_null(strstr(logged(path), "child last words"));
}

static void test_a_rotation_is_behind_what_was_logged(void **state)
{
	(void)state;
	char rotated[64];
	snprintf(rotated, sizeof rotated, "%s.3", path);
	log_info("before", "%s", "");
	assert_int_equal(rename(path, rotated), 0);
	log_reopen(path);
	log_info("after", "%s", "");
	assert_non_null(strstr(logged(path), "after"));
	assert_non_null(strstr(logged(rotated), "before"));
	assert_null(strstr(logged(rotated), "after"));
	log_reopen("/dev/null/ringside.log");
	log_info("still", "%s", "");
	assert_non_null(strstr(logged(path), "still"));
	assert_non_null(strstr(logged(path), "log file not reopened"));
	unlink(rotated);
}

/* open() of a FIFO waits for its reader, who may never come. */
static void test_a_fifo_needs_no_reader(void **state)
{
	(void)state;
	char fifo[64], text[1024];
	snprintf(fifo, sizeof fifo, "%s.waits", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(log_open(fifo));
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	log_info("before its reader", "%s", "");
	log_flush();
	int reader = open(fifo, O_RDONLY);
	ssize_t len = read(reader, text, sizeof text - 1);
	assert_true(len > 0);
	text[len] = '\0';
	assert_non_null(strstr(text, "before its reader"));
	assert_true(log_open(path));
	close(reader);
	unlink(fifo);
}

int main(void)
{
	alarm(120); /* what blocks fails */
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_a_line, begin, end),
	        cmocka_unit_test_setup_teardown(test_levels, begin, end),
	        cmocka_unit_test_setup_teardown(test_one_event_is_one_line, begin, end),
	        cmocka_unit_test_setup_teardown(test_json, begin, end),
	        cmocka_unit_test_setup_teardown(test_json_stays_json, begin, end),
	        cmocka_unit_test_setup_teardown(test_reopened_by_path, begin, end),
	        cmocka_unit_test_setup_teardown(test_reopened_for_threads_alone, begin, end),
	        cmocka_unit_test_setup_teardown(test_check_and_fatal_say_why, begin, end),
	        cmocka_unit_test_setup_teardown(test_a_rotation_is_behind_what_was_logged, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(test_last_words_are_written, begin, end),
	        cmocka_unit_test_setup_teardown(test_a_log_that_nobody_reads_stops_nobody, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(test_a_stalled_log_keeps_nobody_from_ending, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(test_a_fifo_needs_no_reader, begin, end),
	};
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
