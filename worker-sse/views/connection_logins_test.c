/* Each login's connections, whatever comes and goes while they are counted anew. */
#include "worker-sse/views/connection_logins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void each_login_has_its_own(void **state)
{
	struct connection_logins logins = {0};
	(void)state;
	assert_int_equal(connection_logins_count(&logins, "ann"), 0);
	connection_logins_add(&logins, "ann", false);
	connection_logins_add(&logins, "ann", false);
	connection_logins_add(&logins, "bob", false);
	connection_logins_add(&logins, "", false);
	assert_int_equal(connection_logins_count(&logins, "ann"), 2);
	assert_int_equal(connection_logins_count(&logins, "bob"), 1);
	assert_int_equal(connection_logins_count(&logins, ""), 0);
	connection_logins_take(&logins, "ann", false);
	connection_logins_take(&logins, "bob", false);
	connection_logins_take(&logins, "bob", false);
	assert_int_equal(connection_logins_count(&logins, "ann"), 1);
	assert_int_equal(connection_logins_count(&logins, "bob"), 0);
	connection_logins_take(&logins, "ann", false);
	assert_null(logins.by_subject);
}

/* A sweep finds what other workers did, and loses nothing that is done here meanwhile. */
static void a_sweep_counts_anew(void **state)
{
	struct connection_logins logins = {0};
	(void)state;
	connection_logins_add(&logins, "ann", false);
	connection_logins_add(&logins, "ann", false); /* another worker lets it expire */
	connection_logins_begin(&logins);
	connection_logins_see(&logins, "ann");
	connection_logins_see(&logins, "bob"); /* opened by another worker */
	connection_logins_see(&logins, "");
	connection_logins_add(&logins, "ann", true); /* where the sweep has been, */
	connection_logins_add(&logins, "ann", false);
	connection_logins_see(&logins, "ann"); /* ... and where it comes to */
	connection_logins_take(&logins, "bob", true);
	assert_int_equal(connection_logins_count(&logins, "ann"), 4);
	connection_logins_end(&logins);
	assert_int_equal(connection_logins_count(&logins, "ann"), 3);
	assert_int_equal(connection_logins_count(&logins, "bob"), 0);
	connection_logins_begin(&logins);
	connection_logins_end(&logins);
	assert_null(logins.by_subject);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_login_has_its_own),
	        cmocka_unit_test(a_sweep_counts_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
