#include "supervisor/sandbox.h"
#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory with what a worker may see and what it may not. */
static char top[64];
static struct settings settings;

static const char *in_top(const char *name)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, 512, "%s/%s", top, name);
	return path;
}

static void make_file(const char *name)
{
	int fd = open(in_top(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text\n", 5), 5);
	close(fd);
}

static void set(const char *key, const char *value)
{
	char reason[SETTINGS_REASON_MAX];
	if (!settings_set(&settings, span_str(key), span_str(value), reason))
		fail_msg("%s: %s", key, reason);
}

static int setup(void **state)
{
	(void)state;
	static const char *const dirs[] = {"data", "run",    "log", "elsewhere", "hls",
	                                   "more", "output", "web", "health"};
	snprintf(top, sizeof top, "/tmp/sandbox-test-XXXXXX");
	assert_non_null(mkdtemp(top));
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		assert_int_equal(mkdir(in_top(dirs[i]), 0700), 0);
	make_file("data/file");
	make_file("elsewhere/file");
	make_file("hls/file");
	make_file("more/file");
	make_file("output/file");
	make_file("health/file");
	settings_init(&settings);
	set("data_dir", in_top("data"));
	set("run_dir", in_top("run"));
	set("log.file", in_top("log/ringside.log"));
	set("health.status_dir", in_top("health"));
	set("capture.output_dir", in_top("output"));
	char text[1024];
	snprintf(text, sizeof text, "tv=rtmp://127.0.0.1/live/key,disk=hls:%s/hls", top);
	set("capture.outputs", text);
	snprintf(text, sizeof text, "/nowhere,/nowhere/at/all, %s/more", top);
	set("sandbox_read", text);
	snprintf(text, sizeof text, "%s/web/.well-known/acme-challenge/", top);
	set("http.acme_dir", text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	settings_finish(&settings);
	snprintf(command, sizeof command, "rm -rf %s", top);
	return system(command);
}

/* ---- what is tried: 0, or errno ---- */

static int result(int value)
{
	return value < 0 ? errno : 0;
}

static int try_read(const char *name)
{
	char byte;
	int fd = open(*name == '/' ? name : in_top(name), O_RDONLY | O_CLOEXEC);
	return fd < 0 ? errno : result((int)read(fd, &byte, 1));
}

static int try_write(const char *name)
{
	return result(open(*name == '/' ? name : in_top(name), O_WRONLY | O_CLOEXEC));
}

static int try_make(const char *name)
{
	return result(open(in_top(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int try_list(const char *name)
{
	return result(open(*name == '/' ? name : in_top(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int try_truncate(const char *name)
{
	return result(truncate(in_top(name), 0));
}

static int try_unlink(const char *name)
{
	return result(unlink(in_top(name)));
}

static int try_move_out(const char *name)
{
	return result(rename(in_top(name), in_top("elsewhere/moved")));
}

static int try_rotate(const char *name)
{
	return result(rename(in_top(name), in_top("log/ringside.log.1")));
}

static int try_execute(const char *name)
{
	char *const argv[] = {(char *)"true", NULL};
	execv(name, argv);
	return errno;
}

static int try_listen(const char *name)
{
	(void)name;
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	any.sin_port = htons(1);
	return result(bind(fd, (const struct sockaddr *)&any, sizeof any));
}

static int try_signal(const char *name)
{
	(void)name;
	return result(kill(getppid(), 0));
}

static int try_raise(const char *name)
{
	(void)name;
	return result(kill(getpid(), 0));
}

/* The parent listens at this name of no file. */
static int try_abstract(const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(to.sun_path + 1, sizeof to.sun_path - 1, "%s", top);
	(void)name;
	return result(
	        connect(fd, (const struct sockaddr *)&to,
	                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(top))));
}

/* ACME's clients make the directory for one challenge. */
static int try_challenge(const char *name)
{
	return try_read(name);
}

static const struct attempt {
	const char *what, *name;
	int (*attempt)(const char *name);
	int expected;
	int since; /* ABI that knows of it */
} attempts[] = {
        {"its own files", "data/file", try_read, 0, 1},
        {"its own files, written", "data/file", try_write, 0, 1},
        {"a file of its own", "data/new", try_make, 0, 1},
        {"removed", "data/new", try_unlink, 0, 1},
        {"the run directory", "run/new", try_make, EACCES, 1},
        {"the log made anew", "log/ringside.log", try_make, 0, 1},
        {"the log rotated", "log/ringside.log", try_rotate, 0, 1},
        {"names", "/etc/passwd", try_read, 0, 1},
        {"the machine", "/proc/meminfo", try_read, 0, 1},
        {"nothing, written", "/dev/null", try_write, 0, 1},
        {"an output of the settings", "hls/file", try_read, 0, 1},
        {"outputs' directory", "output/file", try_read, 0, 1},
        {"what is allowed besides", "more/file", try_read, 0, 1},
        {"status files", "health/file", try_read, 0, 1},
        {"a challenge made later", "web/.well-known/acme-challenge/token", try_challenge, 0, 1},
        {"signals to itself", "", try_raise, 0, 1},
        {"files elsewhere", "elsewhere/file", try_read, EACCES, 1},
        {"files elsewhere, written", "elsewhere/file", try_write, EACCES, 1},
        {"files elsewhere, made", "elsewhere/new", try_make, EACCES, 1},
        {"files elsewhere, removed", "elsewhere/file", try_unlink, EACCES, 1},
        {"files elsewhere, made empty", "elsewhere/file", try_truncate, EACCES, 3},
        {"files moved out", "data/file", try_move_out, EACCES, 1},
        {"homes", "/root", try_list, EACCES, 1},
        {"the system's files, written", "/etc/passwd", try_write, EACCES, 1},
        {"outputs, written", "output/file", try_write, EACCES, 1},
        {"outputs, made", "hls/new", try_make, EACCES, 1},
        {"devices", "/dev/zero", try_write, EACCES, 1},
        {"other programs", "/bin/true", try_execute, EACCES, 1},
        {"a port of its own", "", try_listen, EACCES, 4},
        {"signals to others", "", try_signal, EPERM, 6},
        {"sockets without a file", "", try_abstract, EPERM, 6},
};

/* In a process that is closed in; each attempt in one of its own. Returns how many went wrong. */
static int try_all(int ruleset)
{
	int wrong = 0;
	if (!sandbox_enter(ruleset))
		return -1;
	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		const struct attempt *a = &attempts[i];
		if (a->since > sandbox_abi())
			continue;
		int got = a->attempt(a->name);
		if (got != a->expected) {
			fprintf(stderr, "%s: %s, expected %s\n", a->what, strerror(got),
			        strerror(a->expected));
			wrong++;
		}
	}
	return wrong;
}

static int within(int ruleset)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(try_all(ruleset));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int listen_without_a_file(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "%s", top);
	assert_int_equal(
	        bind(fd, (const struct sockaddr *)&at,
	             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(top))),
	        0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static void each_denial_and_each_leave(void **state)
{
	(void)state;
	char reason[256] = "";
	if (!sandbox_usable(reason))
		fail_msg("%s", reason);
	int socket = listen_without_a_file(), ruleset = sandbox_make(&settings, "/bin/false");
	assert_true(ruleset >= 0);
	assert_int_equal(mkdir(in_top("web/.well-known"), 0700), 0);
	assert_int_equal(mkdir(in_top("web/.well-known/acme-challenge"), 0700), 0);
	make_file("web/.well-known/acme-challenge/token");
	assert_int_equal(within(ruleset), 0);
	close(ruleset);
	close(socket);
}

static void the_data_directory_is_made_first(void **state)
{
	(void)state;
	struct stat found;
	set("data_dir", in_top("fresh"));
	int ruleset = sandbox_make(&settings, "/bin/false");
	assert_int_equal(stat(in_top("fresh"), &found), 0);
	assert_int_equal(found.st_mode & 0777, 0700);
	close(ruleset);
}

static void a_program_that_is_allowed_runs(void **state)
{
	(void)state;
	int status, ruleset = sandbox_make(&settings, "/bin/true");
	pid_t pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(ruleset) ? try_execute("/bin/true") : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ruleset);
}

/* Where a store lies, and what its worker has to see around it. */
static void data_directories_of_any_kind(void **state)
{
	(void)state;
	static const char *const dirs[] = {"data/", "linked", "linked/", "data/../data"};
	assert_int_equal(symlink("data", in_top("linked")), 0);
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		int status;
		set("data_dir", in_top(dirs[i]));
		int ruleset = sandbox_make(&settings, "/bin/false");
		pid_t pid = fork();
		if (pid == 0)
			_exit(!sandbox_enter(ruleset) || try_list("data/..") != 0 ||
			      try_read("data/file") != 0 || try_read("elsewhere/file") != EACCES);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			fail_msg("%s", dirs[i]);
		close(ruleset);
	}
}

static void off_is_off(void **state)
{
	(void)state;
	set("sandbox", "off");
	assert_int_equal(sandbox_make(&settings, "/bin/true"), SANDBOX_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(each_denial_and_each_leave, setup, teardown),
	        cmocka_unit_test_setup_teardown(the_data_directory_is_made_first, setup, teardown),
	        cmocka_unit_test_setup_teardown(a_program_that_is_allowed_runs, setup, teardown),
	        cmocka_unit_test_setup_teardown(data_directories_of_any_kind, setup, teardown),
	        cmocka_unit_test_setup_teardown(off_is_off, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
