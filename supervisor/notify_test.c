#include "supervisor/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int manager;

/* A service manager's end; returns its name for NOTIFY_SOCKET. */
static const char *manage(bool abstract)
{
	static char name[64];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(name, sizeof name, abstract ? "@ringside-notify-%d" : "/tmp/ringside-notify-%d",
	         (int)getpid());
	memcpy(address.sun_path, name, strlen(name));
	if (abstract)
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&address,
	                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
	                 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return name;
}

static int teardown(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	close(manager);
	return 0;
}

static void expect(struct notify *notify)
{
	char got[64] = "";
	notify_send(notify, "READY=%d\nSTATUS=%s", 1, "fine");
	assert_int_equal(recv(manager, got, sizeof got - 1, MSG_DONTWAIT), 19);
	assert_string_equal(got, "READY=1\nSTATUS=fine");
	notify_finish(notify);
}

static void test_path(void **state)
{
	(void)state;
	struct notify notify;
	const char *name = manage(false);
	notify_init(&notify);
	expect(&notify);
	unlink(name);
}

static void test_abstract(void **state)
{
	(void)state;
	struct notify notify;
	manage(true);
	notify_init(&notify);
	expect(&notify);
}

static void test_nobody_asked(void **state)
{
	(void)state;
	struct notify notify;
	manager = -1;
	notify_init(&notify);
	assert_int_equal(notify.fd, -1);
	notify_send(&notify, "READY=1");
	setenv("NOTIFY_SOCKET", "relative/path", 1);
	notify_init(&notify);
	assert_int_equal(notify.fd, -1);
}

static void test_watchdog(void **state)
{
	(void)state;
	struct notify notify;
	char pid[16];
	manage(true);
	setenv("WATCHDOG_USEC", "3000000", 1);
	notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 1500);
	notify_finish(&notify);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 0);
	notify_finish(&notify);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	notify_init(&notify);
	assert_int_equal(notify.watchdog_ms, 1500);
	notify_finish(&notify);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(name, teardown)
	        T(test_path),
	        T(test_abstract),
	        T(test_nobody_asked),
	        T(test_watchdog),
#undef T
	};
	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
