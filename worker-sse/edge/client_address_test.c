#include "worker-sse/edge/client_address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* As inet_ntop() prints the sixteen bytes. */
static const char *text_of(const uint8_t bytes[16], char out[INET6_ADDRSTRLEN])
{
	return inet_ntop(AF_INET6, bytes, out, INET6_ADDRSTRLEN);
}

static void the_nearest_proxy_is_believed(void **state)
{
	static const struct {
		const char *list, *address; /* NULL: none */
	} rows[] = {{"203.0.113.7", "::ffff:203.0.113.7"},
	            {"10.9.9.9, 203.0.113.7", "::ffff:203.0.113.7"},
	            {"203.0.113.7, ", "::ffff:203.0.113.7"},
	            {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
	            {"::ffff:203.0.113.7", "::ffff:203.0.113.7"},
	            {"unknown", NULL},
	            {"203.0.113.7:1234", "::ffff:203.0.113.7"}, /* some say the port, too */
	            {"10.9.9.9:1, [2001:db8:1:2:3:4:5:6]:1234", "2001:db8:1:2::"},
	            {"[2001:db8:1:2::9]", "2001:db8:1:2::"},
	            {"[", NULL},
	            {"[]:1", NULL},
	            {":80", NULL},
	            {"", NULL},
	            {"1.2.3", NULL}};
	uint8_t bytes[16];
	char text[INET6_ADDRSTRLEN];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool found = client_address_forwarded(span_str(rows[i].list), bytes);
		assert_int_equal(found, rows[i].address != NULL);
		if (found)
			assert_string_equal(text_of(bytes, text), rows[i].address);
	}
}

static void a_socket_tells_who_is_there(void **state)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof name;
	uint8_t bytes[16];
	char text[INET6_ADDRSTRLEN];
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof name), 0);
	assert_true(client_address_of(client, bytes));
	assert_string_equal(text_of(bytes, text), "::ffff:127.0.0.1");
	assert_false(client_address_of(listener, bytes)); /* nobody is */
	close(client);
	close(listener);
}

static void each_has_so_many_connections(void **state)
{
	struct address *all = NULL, *held[3];
	const uint8_t one[16] = {1}, two[16] = {2};
	(void)state;
	assert_non_null(held[0] = client_address_hold(&all, one, 2));
	assert_non_null(held[1] = client_address_hold(&all, one, 2));
	assert_null(client_address_hold(&all, one, 2));
	assert_non_null(held[2] = client_address_hold(&all, two, 2));
	client_address_release(&all, held[0]);
	assert_non_null(held[0] = client_address_hold(&all, one, 2));
	for (int i = 0; i < 3; i++)
		client_address_release(&all, held[i]);
	client_address_release(&all, NULL);
	assert_null(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_nearest_proxy_is_believed),
	        cmocka_unit_test(a_socket_tells_who_is_there),
	        cmocka_unit_test(each_has_so_many_connections),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
