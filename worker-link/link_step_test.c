#include "worker-link/link_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* What happens, and what the link must do then. */
struct said {
	enum link_event on;
	enum link_state in;
	enum link_action action;
};

static void follow(const struct said *said, size_t count)
{
	enum link_state state = LINK_NONE;
	for (size_t i = 0; i < count; i++) {
		enum link_action action = link_step(&state, said[i].on);
		if (state != said[i].in || action != said[i].action)
			fail_msg("at %zu, on %s: %s", i, link_event_name(said[i].on),
			         link_state_name(state));
	}
}
#define FOLLOW(...)                                                                                \
	follow((const struct said[]){__VA_ARGS__},                                                 \
	       sizeof(const struct said[]){__VA_ARGS__} / sizeof(struct said))

static void test_an_empty_node_joins(void **state)
{
	(void)state;
	FOLLOW({LINK_ON_EMPTY, LINK_ASKING, LINK_DO_ASK},
	       {LINK_ON_LOST, LINK_ASKING, LINK_DO_ASK_LATER},
	       {LINK_ON_FITS, LINK_FETCHING, LINK_DO_FETCH},
	       {LINK_ON_LOST, LINK_ASKING, LINK_DO_ASK_LATER},
	       {LINK_ON_FITS, LINK_FETCHING, LINK_DO_FETCH},
	       {LINK_ON_CAME, LINK_OPENING, LINK_DO_OPEN},
	       {LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW},
	       {LINK_ON_CONNECTED, LINK_CATCHING, LINK_DO_NOTHING},
	       {LINK_ON_AT_END, LINK_LIVE, LINK_DO_NOTHING});
}

/* It serves what it has, whether or not the other is there. */
static void test_a_copy_is_served_alone(void **state)
{
	(void)state;
	FOLLOW({LINK_ON_COPY, LINK_OPENING, LINK_DO_OPEN},
	       {LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW},
	       {LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
	       {LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER},
	       {LINK_ON_CONNECTED, LINK_CATCHING, LINK_DO_NOTHING},
	       {LINK_ON_LOST, LINK_ISOLATED, LINK_DO_FOLLOW_LATER});
}

static void test_falls_behind_and_catches_up(void **state)
{
	(void)state;
	FOLLOW({LINK_ON_COPY, LINK_OPENING, LINK_DO_OPEN},
	       {LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW},
	       {LINK_ON_CONNECTED, LINK_CATCHING, LINK_DO_NOTHING},
	       {LINK_ON_BEHIND, LINK_CATCHING, LINK_DO_NOTHING},
	       {LINK_ON_AT_END, LINK_LIVE, LINK_DO_NOTHING},
	       {LINK_ON_AT_END, LINK_LIVE, LINK_DO_NOTHING},
	       {LINK_ON_BEHIND, LINK_CATCHING, LINK_DO_NOTHING},
	       {LINK_ON_AT_END, LINK_LIVE, LINK_DO_NOTHING});
}

/* The store that leads nowhere is served until another is there. */
static void test_away_beyond_the_log(void **state)
{
	(void)state;
	FOLLOW({LINK_ON_COPY, LINK_OPENING, LINK_DO_OPEN},
	       {LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW},
	       {LINK_ON_PARTED, LINK_RENEWING, LINK_DO_ASK},
	       {LINK_ON_LOST, LINK_RENEWING, LINK_DO_ASK_LATER},
	       {LINK_ON_FITS, LINK_REFETCHING, LINK_DO_FETCH},
	       {LINK_ON_LOST, LINK_RENEWING, LINK_DO_ASK_LATER},
	       {LINK_ON_FITS, LINK_REFETCHING, LINK_DO_FETCH},
	       {LINK_ON_CAME, LINK_OPENING, LINK_DO_RESTART});
	FOLLOW({LINK_ON_COPY, LINK_OPENING, LINK_DO_OPEN},
	       {LINK_ON_BUSY, LINK_OPENING, LINK_DO_OPEN_LATER},
	       {LINK_ON_OPEN, LINK_JOINING, LINK_DO_FOLLOW});
	assert_true(link_state_serves(LINK_RENEWING) && link_state_serves(LINK_REFETCHING));
}

/* Whatever happens in whatever order: it never stands still where only an action of its own could
 * move it, and the store is let go of only with another one there. */
static void test_any_order_of_events(void **state)
{
	(void)state;
	srand(1);
	for (unsigned run = 0; run < 20000; run++) {
		enum link_state is = LINK_NONE;
		for (unsigned i = 0; i < 30; i++) {
			enum link_state was = is;
			enum link_event on = (enum link_event)(rand() % LINK_EVENTS_COUNT);
			enum link_action action = link_step(&is, on);
			assert_in_range(is, 0, LINK_STATES_COUNT - 1);
			if (on == LINK_ON_LOST && was != LINK_NONE && was != LINK_OPENING)
				assert_true(action == LINK_DO_ASK_LATER ||
				            action == LINK_DO_FOLLOW_LATER);
			if (link_state_serves(was) && !link_state_serves(is))
				assert_true(on == LINK_ON_CAME && action == LINK_DO_RESTART);
			if (was == is && on != LINK_ON_LOST && on != LINK_ON_BUSY)
				assert_int_equal(action, LINK_DO_NOTHING);
			assert_true(!link_state_ready(is, true) || link_state_serves(is));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_an_empty_node_joins),
	        cmocka_unit_test(test_a_copy_is_served_alone),
	        cmocka_unit_test(test_falls_behind_and_catches_up),
	        cmocka_unit_test(test_away_beyond_the_log),
	        cmocka_unit_test(test_any_order_of_events),
	};
	return cmocka_run_group_tests_name("link_step", tests, NULL, NULL);
}
