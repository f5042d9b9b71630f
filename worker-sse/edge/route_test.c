#include "worker-sse/edge/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void allow_lists_the_methods_of_a_route(void **state)
{
	static const struct {
		unsigned methods;
		const char *allow;
	} rows[] = {{0, "OPTIONS"},
	            {1u << METHOD_GET, "GET, OPTIONS"},
	            {1u << METHOD_GET | 1u << METHOD_HEAD, "GET, HEAD, OPTIONS"},
	            {1u << METHOD_POST | 1u << METHOD_DELETE, "POST, DELETE, OPTIONS"},
	            {1u << METHOD_PATCH | 1u << METHOD_PUT, "PUT, PATCH, OPTIONS"},
	            {~0u, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct route route = {.path = "/", .methods = rows[i].methods};
		char allow[ROUTE_ALLOW_ROOM];
		memset(allow, '?', sizeof allow);
		route_allow(&route, allow);
		assert_string_equal(allow, rows[i].allow);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(allow_lists_the_methods_of_a_route)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
