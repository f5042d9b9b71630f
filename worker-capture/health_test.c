#include "worker-capture/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 100000, WALL = 1700000000 };

static const struct health_limits limits = {.silent_ms = 3000,
                                            .hang_ms = 3000,
                                            .freeze_ms = 3000,
                                            .frozen_ms = 10000,
                                            .first_frame_ms = 5000,
                                            .dialog_ms = 2000};

/* All is well: a page that fights. */
static struct health_signals well(void)
{
	return (struct health_signals){
	        .heard_ms = NOW - 500,
	        .document_ms = NOW - 60000,
	        .first_frame_ms = NOW - 59000,
	        .frame_ms = NOW - 30,
	        .picture_ms = NOW - 900,
	        .first_beat_ms = NOW - 59000,
	        .beat_ms = NOW - 200,
	        .pulse_ms = NOW - 200,
	        .drawn_ms = NOW - 200,
	        .reports = true,
	        .ready = true,
	        .canvas = true,
	        .page = {.duel_id = "d1", .phase = "FIGHTING", .at_ms = WALL - 200}};
}

static enum health_reason reason_of(const struct health_signals *signals)
{
	struct health health = {0};
	health_judge(&health, signals, &limits, NOW, WALL);
	return health.reason;
}

#define IS(REASON, ...)                                                                            \
	do {                                                                                       \
		struct health_signals s = well();                                                  \
		__VA_ARGS__;                                                                       \
		assert_string_equal(health_reason_name(reason_of(&s)), REASON);                    \
	} while (0)

static void each_fault_has_its_name(void **state)
{
	(void)state;
	IS("", (void)0);
	IS("browser_missing", s.browser_missing = true);
	IS("browser_failed", s.browser_failed = true);
	IS("browser_exit", s.browser_ended = true);
	IS("browser_silent", s.asked_ms = NOW - 3000);
	IS("", s.asked_ms = NOW - 2999);
	IS("navigation_blocked", s.blocked = true);
	IS("target_crashed", s.crashed = true);
	IS("navigation_failed", s.load_failed = true);
	IS("gpu_lost", s.gpu_lost = true);
	IS("webgl_lost", s.contexts_lost = 1);
	IS("dialog", s.dialog_ms = NOW - 100);
	IS("", s.dialog_ms = NOW - 2000);
	IS("hang", s.beat_ms = NOW - 3000);
	IS("starting", s.beat_ms = 0);
	IS("freeze", s.pulse_ms = NOW - 3000);
	IS("freeze", s.pulse_ms = 0);
	IS("freeze", s.drawn_ms = NOW - 3000);
	IS("starting", s.first_frame_ms = 0; s.first_beat_ms = NOW - 100);
	IS("no_first_frame", s.first_frame_ms = 0);
	IS("page_not_ready", s.ready = false);
	IS("probe_failed", s.unreadable = true);
	IS("initialization_failed", s.broken = true);
	IS("frozen_frame", s.picture_ms = NOW - 10000);
	IS("flat_frame", s.flat = true);
	IS("encoder_stalled", s.encoder = "no progress");
}

static void a_page_without_a_word_is_judged_by_what_it_shows(void **state)
{
	(void)state;
	IS("", s.reports = s.ready = false);
	IS("canvas_missing", s.reports = s.ready = s.canvas = false);
	IS("loading_overlay_active", s.reports = s.ready = false; s.boots = true);
	IS("", s.reports = s.canvas = false);
}

static void a_quiet_phase_may_stand_still(void **state)
{
	(void)state;
	IS("", strcpy(s.page.phase, "IDLE"); s.drawn_ms = s.picture_ms = NOW - 60000);
	IS("", strcpy(s.page.phase, ""); s.drawn_ms = s.picture_ms = NOW - 60000);
	IS("", s.drawn_ms = 0); /* it draws without animation frames */
	IS("freeze", strcpy(s.page.phase, "IDLE"); s.pulse_ms = NOW - 3000);
}

static void the_cause_is_named_before_its_effects(void **state)
{
	(void)state;
	IS("browser_exit", s.browser_ended = true; s.beat_ms = NOW - 9000; s.crashed = true);
	IS("target_crashed", s.crashed = true; s.beat_ms = NOW - 9000);
	IS("gpu_lost", s.gpu_lost = true; s.contexts_lost = 1);
	IS("hang", s.beat_ms = s.pulse_ms = s.drawn_ms = NOW - 9000; s.picture_ms = NOW - 20000);
	IS("navigation_blocked", s.blocked = true; s.beat_ms = 0);
}

static void since_moves_with_the_reason_only(void **state)
{
	struct health health = {0};
	struct health_signals s = well();
	(void)state;
	assert_true(health_judge(&health, &s, &limits, NOW, WALL));
	assert_false(health_judge(&health, &s, &limits, NOW + 100, WALL + 100));
	assert_int_equal(health.since_ms, WALL);
	s.ready = false;
	strcpy(s.reason, "one");
	assert_true(health_judge(&health, &s, &limits, NOW + 200, WALL + 200));
	assert_int_equal(health.since_ms, WALL + 200);
	strcpy(s.reason, "another");
	assert_true(health_judge(&health, &s, &limits, NOW + 300, WALL + 300));
	assert_int_equal(health.since_ms, WALL + 200);
	assert_string_equal(health.detail, "another");
}

static void a_report_is_as_old_as_its_news(void **state)
{
	struct health health = {0};
	struct health_signals s = well();
	(void)state;
	health_judge(&health, &s, &limits, NOW, WALL);
	assert_int_equal(health.updated_ms, WALL - 200);
	s.crashed = true;
	health_judge(&health, &s, &limits, NOW, WALL);
	assert_int_equal(health.updated_ms, WALL);
}

static void the_report_says_it_all(void **state)
{
	struct health health = {0};
	struct health_signals s = well();
	(void)state;
	s.crashed = true;
	strcpy(s.note, "killed");
	health_judge(&health, &s, &limits, NOW, WALL);
	json_t *json = health_json(&health);
	assert_true(json_is_false(json_object_get(json, "ready")));
	assert_string_equal(json_string_value(json_object_get(json, "degradedReason")),
	                    "target_crashed");
	assert_string_equal(json_string_value(json_object_get(json, "detail")), "killed");
	const json_t *page = json_object_get(json, "page");
	assert_string_equal(json_string_value(json_object_get(page, "duelId")), "d1");
	json_decref(json);
	health.page = (struct health_page){0};
	json = health_json(&health);
	assert_true(json_is_null(json_object_get(json, "page")));
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_fault_has_its_name),
	        cmocka_unit_test(a_page_without_a_word_is_judged_by_what_it_shows),
	        cmocka_unit_test(a_quiet_phase_may_stand_still),
	        cmocka_unit_test(the_cause_is_named_before_its_effects),
	        cmocka_unit_test(since_moves_with_the_reason_only),
	        cmocka_unit_test(a_report_is_as_old_as_its_news),
	        cmocka_unit_test(the_report_says_it_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
