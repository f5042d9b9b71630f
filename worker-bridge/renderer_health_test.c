#include "worker-bridge/renderer_health.h"
#include "worker-bridge/status_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 100000, STALE = 15000 };

static struct renderer_report report(const char *duel, const char *phase)
{
	struct renderer_report r = {.present = true,
	                            .ready = true,
	                            .updated_ms = NOW,
	                            .received_ms = NOW,
	                            .page_ms = NOW};
	snprintf(r.page_duel_id, sizeof r.page_duel_id, "%s", duel);
	snprintf(r.page_phase, sizeof r.page_phase, "%s", phase);
	return r;
}

static void assert_health(const struct renderer_health_inputs *in, const char *reason,
                          const char *source)
{
	struct renderer_health h;
	renderer_health_derive(&h, in);
	assert_string_equal(h.reason, reason);
	assert_int_equal(h.ready, *reason == '\0');
	assert_string_equal(h.source, source);
}

static struct renderer_health_inputs inputs(const struct renderer_report *r, const char *phase)
{
	return (struct renderer_health_inputs){.duel_id = phase != NULL ? "d" : NULL,
	                                       .phase = phase,
	                                       .phase_start_ms = NOW - 5000,
	                                       .report = r,
	                                       .now_ms = NOW,
	                                       .stale_ms = STALE,
	                                       .phase_grace_ms = 1500};
}

static void nothing_known_is_never_ready(void **state)
{
	struct renderer_report none = {0};
	struct renderer_health_inputs in = inputs(NULL, NULL);
	(void)state;
	assert_health(&in, "capture_client_disconnected", "none");
	in = inputs(&none, "FIGHTING");
	assert_health(&in, "capture_client_disconnected", "none");
}

static void guardrails_come_first(void **state)
{
	struct renderer_report r = report("d", "FIGHTING");
	struct renderer_health_inputs in = inputs(&r, "FIGHTING");
	(void)state;
	in.guardrail = "agents_missing";
	assert_health(&in, "agents_missing", "guardrail");
}

static void the_page_must_prove_what_it_shows(void **state)
{
	static const struct {
		const char *duel, *phase, *reason;
	} rows[] = {
	        {"d", "FIGHTING", ""},
	        {"e", "FIGHTING", "renderer_cycle_mismatch"},
	        {"d", "COUNTDOWN", "renderer_phase_mismatch"},
	        {"", "FIGHTING", "renderer_scene_evidence_missing"},
	        {"d", "", "renderer_scene_evidence_missing"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct renderer_report r = report(rows[i].duel, rows[i].phase);
		struct renderer_health_inputs in = inputs(&r, "FIGHTING");
		assert_health(&in, rows[i].reason, "capture");
		in = inputs(&r, NULL); /* without a duel there is nothing to prove */
		assert_health(&in, "", "capture");
	}
}

static void a_change_of_phase_may_take_the_page_a_moment(void **state)
{
	struct renderer_report r = report("d", "COUNTDOWN");
	struct renderer_health_inputs in = inputs(&r, "FIGHTING");
	(void)state;
	in.previous_phase = "COUNTDOWN";
	in.phase_start_ms = NOW - 1499;
	assert_health(&in, "", "capture");
	in.phase_start_ms = NOW - 1500;
	assert_health(&in, "renderer_phase_mismatch", "capture");
	in.phase_start_ms = NOW;
	in.previous_phase = "ANNOUNCEMENT"; /* one phase back, not two */
	assert_health(&in, "renderer_phase_mismatch", "capture");
}

static void silence_is_stale(void **state)
{
	struct renderer_report r = report("d", "FIGHTING");
	struct renderer_health_inputs in = inputs(&r, "FIGHTING");
	(void)state;
	r.received_ms = NOW - STALE;
	assert_health(&in, "", "capture");
	r.received_ms = NOW - STALE - 1;
	assert_health(&in, "renderer_health_stale", "capture");
	r.received_ms = NOW;
	r.page_ms = NOW - STALE - 1;
	assert_health(&in, "renderer_health_stale", "capture");
	r.ready = false;
	snprintf(r.reason, sizeof r.reason, "freeze");
	assert_health(&in, "freeze", "capture");
}

static void external_status(void **state)
{
	struct renderer_status s = {
	        .present = true, .health_present = true, .ready = true, .updated_ms = NOW};
	struct renderer_report r = report("x", "FIGHTING");
	struct renderer_health_inputs in = inputs(&r, "FIGHTING");
	(void)state;
	in.status = &s;
	assert_health(&in, "", "status_file");
	s.client_known = true;
	assert_health(&in, "capture_client_disconnected", "status_file");
	s.client_connected = s.pipeline_known = true;
	assert_health(&in, "capture_pipeline_inactive", "status_file");
	in.duel_id = NULL;
	assert_health(&in, "", "status_file");
	s.ready = false;
	snprintf(s.reason, sizeof s.reason, "webgpu_required");
	assert_health(&in, "webgpu_required", "status_file");
	*s.reason = '\0';
	assert_health(&in, "renderer_scene_not_ready", "status_file");
	s.health_present = false;
	assert_health(&in, "renderer_scene_evidence_missing", "status_file");
	s.updated_ms = NOW - STALE - 1;
	assert_health(&in, "renderer_health_stale", "status_file");
}

static void status_files(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
	        {"{\"destinations\":[],\"stats\":{}}", NULL},
	        {"{\"destinations\":[],\"stats\":{},\"updatedAt\":5,\"clientConnected\":true,"
	         "\"ffmpegRunning\":false,"
	         "\"rendererHealth\":{\"ready\":false,\"degradedReason\":\"x\",\"updatedAt\":null,"
	         "\"phase\":\"IDLE\"}}",
	         NULL},
	        {"[", "not a JSON object"},
	        {"[]", "not a JSON object"},
	        {"{\"stats\":{}}", "destinations must be an array"},
	        {"{\"destinations\":[],\"stats\":[]}", "stats must be an object"},
	        {"{\"destinations\":[],\"stats\":{},\"updatedAt\":-5}",
	         "updatedAt must be a positive integer"},
	        {"{\"destinations\":[],\"stats\":{},\"clientConnected\":1}",
	         "clientConnected and ffmpegRunning must be booleans"},
	        {"{\"destinations\":[],\"stats\":{},\"rendererHealth\":{}}",
	         "rendererHealth must be an object with a boolean ready"},
	        {"{\"destinations\":[],\"stats\":{},\"rendererHealth\":{\"ready\":true,"
	         "\"degradedReason\":7}}",
	         "rendererHealth.degradedReason must be null or a text of at most 180 bytes"},
	        {"{\"destinations\":[],\"destinations\":[],\"stats\":{}}", "not a JSON object"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct renderer_status s = {0};
		const char *why = status_file_read(&s, span_str(rows[i].text), 77);
		assert_int_equal(s.present, rows[i].why == NULL);
		if (rows[i].why == NULL)
			assert_null(why);
		else
			assert_string_equal(why, rows[i].why);
		if (i == 0)
			assert_int_equal(s.updated_ms, 77);
		if (i == 1) {
			assert_int_equal(s.updated_ms, 5);
			assert_true(s.client_connected && s.pipeline_known && !s.pipeline_runs &&
			            !s.ready);
			assert_string_equal(s.reason, "x");
		}
	}
}

static void reports(void **state)
{
	struct renderer_report r = {0};
	(void)state;
	assert_true(renderer_report_read(
	        &r,
	        SPAN("{\"ready\":true,\"degradedReason\":null,\"updatedAt\":5,\"page\":"
	             "{\"duelId\":\"d\",\"phase\":null,\"at\":4}}"),
	        9));
	assert_true(r.ready && r.present && r.updated_ms == 5 && r.received_ms == 9 &&
	            r.page_ms == 4);
	assert_string_equal(r.page_duel_id, "d");
	assert_string_equal(r.page_phase, "");
	assert_false(renderer_report_read(&r, SPAN("{\"ready\":1}"), 9));
	assert_false(renderer_report_read(&r, SPAN("{\"ready\":true,\"page\":{\"duelId\":7}}"), 9));
	assert_false(renderer_report_read(&r, SPAN("nonsense"), 9));
	assert_true(r.ready);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_known_is_never_ready),
	        cmocka_unit_test(guardrails_come_first),
	        cmocka_unit_test(the_page_must_prove_what_it_shows),
	        cmocka_unit_test(a_change_of_phase_may_take_the_page_a_moment),
	        cmocka_unit_test(silence_is_stale),
	        cmocka_unit_test(external_status),
	        cmocka_unit_test(status_files),
	        cmocka_unit_test(reports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
