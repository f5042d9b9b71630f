#include "common/domain/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static void a_row_is_its_principals_and_of_whom_he_was(void **state)
{
	static const struct {
		const char *owner, *principal, *former;
		bool is;
	} rows[] = {{A, A, "", true},      {A, B, "", false},   {A, B, A, true},
	            {A, B, C A, true},     {C, B, C A, true},   {B, B, C A, true},
	            {B, A, C A, false},    {"", "", "", false}, {"", A, "", false},
	            {A, "", "", false},    {A, "", A, true},    {"aaaa", "aaaa", "", false},
	            {A, B, "bb" A, false}, /* no digest begins there */
	            {A, B, "aaaa", false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(owner_is(span_str(rows[i].owner), span_str(rows[i].principal),
		                          span_str(rows[i].former)),
		                 rows[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_row_is_its_principals_and_of_whom_he_was)};
	return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
