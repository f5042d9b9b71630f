#include "proto/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_rows_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		assert_ptr_equal(role_of(roles[i].bit), &roles[i]);
		assert_string_equal(role_name(roles[i].bit), roles[i].name);
	}
	assert_null(role_of(ROLE_SUPERVISOR));
	assert_null(role_of(0));
	assert_string_equal(role_name(ROLE_SUPERVISOR), "ringside");
	assert_string_equal(role_name(ROLE_ADMIN), "admin");
	assert_string_equal(role_name(0), "unknown");
}

/* One bit each, that a message's role (u8) holds. */
static void test_bits_and_names_are_their_own(void **state)
{
	(void)state;
	unsigned seen = ROLE_SUPERVISOR | ROLE_ADMIN;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		unsigned bit = roles[i].bit;
		assert_true(bit != 0 && (bit & (bit - 1)) == 0 && bit <= UINT8_MAX);
		assert_int_equal(seen & bit, 0);
		seen |= bit;
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(roles[i].name, roles[k].name);
	}
	assert_int_equal(seen, ROLE_WORKERS | ROLE_SUPERVISOR | ROLE_ADMIN);
}

static void test_places_lie_one_behind_the_other(void **state)
{
	(void)state;
	unsigned next = 0;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		assert_int_equal(roles[i].first, next);
		next += roles[i].slots;
	}
	assert_int_equal(next, ROLE_PLACES_COUNT);
}

/* A call needs a link, and the sets of the message table are wide enough for it. */
static void test_who_asks_knows_who_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		for (size_t k = 0; k < ROLE_COUNT; k++) {
			if (!role_answers(&roles[i], &roles[k]))
				continue;
			assert_true(roles_know_each_other(&roles[i], &roles[k]));
			assert_true((ROLE_ANSWERING & roles[i].bit) != 0);
			assert_true((ROLE_CALLING & roles[k].bit) != 0);
		}
	assert_true(role_answers(role_of(ROLE_SSE), role_of(ROLE_SSE)));
	assert_true(role_answers(role_of(ROLE_BRIDGE), role_of(ROLE_SSE)));
	assert_false(role_answers(role_of(ROLE_SSE), role_of(ROLE_BRIDGE)));
}

/* Who commits tells all who follow. */
static void test_followers_know_each_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		for (size_t k = 0; k < ROLE_COUNT; k++)
			if ((roles[i].traits & roles[k].traits & ROLE_FOLLOWS) != 0 &&
			    (i != k || roles[i].slots > 1))
				assert_true(roles_know_each_other(&roles[i], &roles[k]));
}

/* So that a new role changes no row but its own. */
static void test_the_later_row_names_the_earlier(void **state)
{
	(void)state;
	unsigned seen = 0;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		seen |= roles[i].bit;
		assert_int_equal((roles[i].knows | roles[i].answers | roles[i].asks) & ~seen, 0);
	}
}

static void test_sets(void **state)
{
	(void)state;
	unsigned listeners = 0, followers = 0, answering = 0, calling = 0;
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		listeners |= (roles[i].traits & ROLE_LISTENS) != 0 ? roles[i].bit : 0;
		followers |= (roles[i].traits & ROLE_FOLLOWS) != 0 ? roles[i].bit : 0;
		for (size_t k = 0; k < ROLE_COUNT; k++)
			if (role_answers(&roles[i], &roles[k])) {
				answering |= roles[i].bit;
				calling |= roles[k].bit;
			}
	}
	assert_int_equal(listeners, ROLE_LISTENERS);
	assert_int_equal(followers, ROLE_FOLLOWERS);
	assert_int_equal(answering, ROLE_ANSWERING);
	assert_int_equal(calling, ROLE_CALLING);
	assert_int_equal(listeners & (listeners - 1), 0); /* listening sockets are by slot alone */
}

static void test_a_successor_is_another_party(void **state)
{
	(void)state;
	const struct party one = {ROLE_SSE, 2, 7}, same = one, successor = {ROLE_SSE, 2, 8},
	                   neighbour = {ROLE_SSE, 3, 7}, other = {ROLE_BRIDGE, 2, 7};
	assert_true(party_equal(&one, &same));
	assert_false(party_equal(&one, &successor));
	assert_false(party_equal(&one, &neighbour));
	assert_false(party_equal(&one, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_rows_are_found),
	        cmocka_unit_test(test_bits_and_names_are_their_own),
	        cmocka_unit_test(test_places_lie_one_behind_the_other),
	        cmocka_unit_test(test_who_asks_knows_who_answers),
	        cmocka_unit_test(test_followers_know_each_other),
	        cmocka_unit_test(test_the_later_row_names_the_earlier),
	        cmocka_unit_test(test_sets),
	        cmocka_unit_test(test_a_successor_is_another_party),
	};
	return cmocka_run_group_tests_name("roles", tests, NULL, NULL);
}
