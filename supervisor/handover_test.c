#include "supervisor/handover.h"
#include "common/base/check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static int an_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd > STDERR_FILENO);
	return fd;
}

static bool outlives_exec(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	assert_true(flags >= 0);
	return (flags & FD_CLOEXEC) == 0;
}

static struct handover *full(void)
{
	struct handover *h = handover_create();
	strcpy(h->version, "1.2.3");
	static const char settings[] = "a=\"x\"\nb=ä\n";
	h->settings = xmemdup_text(settings, strlen(settings));
	strcpy(h->program, "/bin/ringside");
	strcpy(h->reason, "sse-0: code 1");
	h->back = true;
	h->program_fd = an_fd();
	h->programs[ROLE_INDEX_BRIDGE] = an_fd();
	h->run_lock_fd = an_fd();
	h->admin_fd = an_fd();
	h->generation = 77;
	handover_add_socket(h, an_fd(), 3);
	handover_add_socket(h, an_fd(), LISTENER_SHARED);
	h->workers[h->workers_count++] =
	        (struct handover_worker){"sse", 3, 76, 4711, an_fd(), true, true};
	json_array_append_new(h->started, json_pack("{s:i, s:s, s:s}", "pid", 4712, "name", "agent",
	                                            "subject", "anna"));
	json_array_append_new(h->events, json_string("{\"event\":\"ready\"}"));
	return h;
}

static void close_all(const struct handover *h)
{
	const int fds[] = {h->program_fd,       h->programs[ROLE_INDEX_BRIDGE],
	                   h->run_lock_fd,      h->admin_fd,
	                   h->sockets[0].fd,    h->sockets[1].fd,
	                   h->workers[0].bus_fd};
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		close(fds[i]);
}

static void test_what_is_left_is_taken(void **state)
{
	char reason[HANDOVER_REASON_MAX + 1];
	struct handover *left = full();
	(void)state;
	assert_true(handover_leave(left));
	assert_true(outlives_exec(left->program_fd));
	assert_true(outlives_exec(left->sockets[1].fd));
	assert_true(outlives_exec(left->workers[0].bus_fd));
	struct handover *taken = handover_take(reason);
	assert_string_equal(reason, "");
	assert_non_null(taken);
	assert_true(taken->back);
	assert_string_equal(taken->reason, left->reason);
	assert_string_equal(taken->version, left->version);
	assert_string_equal(taken->settings, left->settings);
	assert_string_equal(taken->program, left->program);
	assert_int_equal(taken->program_fd, left->program_fd);
	assert_memory_equal(taken->programs, left->programs, sizeof left->programs);
	assert_int_equal(taken->run_lock_fd, left->run_lock_fd);
	assert_int_equal(taken->data_lock_fd, -1);
	assert_int_equal(taken->admin_fd, left->admin_fd);
	assert_int_equal(taken->generation, 77);
	assert_int_equal(taken->sockets_count, 2);
	assert_int_equal(taken->sockets[0].slot, 3);
	assert_int_equal(taken->sockets[1].slot, LISTENER_SHARED);
	assert_int_equal(taken->workers_count, 1);
	assert_string_equal(taken->workers[0].role, "sse");
	assert_int_equal(taken->workers[0].pid, 4711);
	assert_int_equal(taken->workers[0].generation, 76);
	assert_true(taken->workers[0].confined);
	assert_true(taken->workers[0].serves);
	assert_int_equal(taken->format, HANDOVER_FORMAT);
	assert_true(json_equal(taken->started, left->started));
	assert_int_equal(json_array_size(taken->events), 1);
	/* Once, and not by what is executed next. */
	assert_null(getenv("RINGSIDE_HANDOVER"));
	assert_false(outlives_exec(taken->program_fd));
	assert_false(outlives_exec(taken->workers[0].bus_fd));
	close_all(taken);
	handover_free(&taken);
	handover_free(&left);
}

static void test_what_is_kept_is_as_before(void **state)
{
	char reason[HANDOVER_REASON_MAX + 1];
	struct handover *left = full();
	(void)state;
	assert_true(handover_leave(left));
	handover_keep(left);
	assert_null(getenv("RINGSIDE_HANDOVER"));
	assert_false(outlives_exec(left->admin_fd));
	assert_null(handover_take(reason));
	assert_string_equal(reason, "");
	close_all(left);
	handover_free(&left);
}

/* In the environment is a memory file with that text. */
static void refused(const char *text)
{
	char reason[HANDOVER_REASON_MAX + 1], number[16];
	int fd = memfd_create("test", 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	snprintf(number, sizeof number, "%d", fd);
	setenv("RINGSIDE_HANDOVER", number, 1);
	assert_null(handover_take(reason));
	assert_true(*reason != '\0');
	assert_null(getenv("RINGSIDE_HANDOVER"));
}

/* A slot that no release of ours has is none, and would be written behind the others. */
static void test_odd_sockets_are_left_out(void **state)
{
	static const char text[] = "{\"format\":1,\"sockets\":[{\"fd\":-1,\"slot\":0},"
	                           "{\"fd\":70,\"slot\":258},{\"fd\":70,\"slot\":-1},"
	                           "{\"slot\":1},{\"fd\":70,\"slot\":2}]}";
	char reason[HANDOVER_REASON_MAX + 1], number[16];
	(void)state;
	int fd = memfd_create("test", 0);
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	snprintf(number, sizeof number, "%d", fd);
	setenv("RINGSIDE_HANDOVER", number, 1);
	assert_true(handover_waits());
	struct handover *taken = handover_take(reason);
	assert_non_null(taken);
	assert_false(handover_waits());
	assert_int_equal(taken->sockets_count, 1);
	assert_int_equal(taken->sockets[0].slot, 2);
	handover_free(&taken);
}

static void test_what_cannot_be_understood_is_refused(void **state)
{
	char reason[HANDOVER_REASON_MAX + 1];
	(void)state;
	refused("");
	refused("{");
	refused("[]");
	refused("{\"format\":0}");
	refused("{\"format\":2}");
	refused("{\"format\":\"1\"}");
	setenv("RINGSIDE_HANDOVER", "987654", 1);
	assert_null(handover_take(reason));
	assert_true(*reason != '\0');
	/* Never a standard one. */
	setenv("RINGSIDE_HANDOVER", "x", 1);
	assert_null(handover_take(reason));
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void test_sockets_of_a_service_manager(void **state)
{
	struct fleet_socket *sockets;
	char pid[16];
	(void)state;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(handover_listen_fds(&sockets), 0); /* somebody else's */
	assert_null(sockets);
	assert_null(getenv("LISTEN_FDS"));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	int kept = fcntl(3, F_GETFD) >= 0 && fd != 3 ? fcntl(3, F_DUPFD_CLOEXEC, 20) : -1;
	if (fd != 3)
		assert_int_equal(dup2(fd, 3), 3);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDNAMES", "ringside.socket", 1);
	assert_int_equal(handover_listen_fds(&sockets), 1);
	assert_int_equal(sockets[0].fd, 3);
	assert_int_equal(sockets[0].slot, LISTENER_SHARED);
	assert_false(outlives_exec(3));
	assert_null(getenv("LISTEN_FDNAMES"));
	free(sockets);
	if (kept >= 0) {
		dup2(kept, 3);
		close(kept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_is_left_is_taken),
	        cmocka_unit_test(test_what_is_kept_is_as_before),
	        cmocka_unit_test(test_odd_sockets_are_left_out),
	        cmocka_unit_test(test_what_cannot_be_understood_is_refused),
	        cmocka_unit_test(test_sockets_of_a_service_manager),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
