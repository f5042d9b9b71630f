#include "worker-bridge/renderer_health.h"
#include "common/base/json_take.h"

#include <jansson.h>
#include <stdio.h>

static bool stale(uint64_t then_ms, const struct renderer_health_inputs *in)
{
	return in->now_ms > then_ms && in->now_ms - then_ms > in->stale_ms;
}

static const char *reason_or(const char *reason)
{
	return *reason != '\0' ? reason : "renderer_scene_not_ready";
}

static const char *judge_status(const struct renderer_health_inputs *in)
{
	const struct renderer_status *s = in->status;
	if (stale(s->updated_ms, in))
		return "renderer_health_stale";
	if (!s->health_present)
		return "renderer_scene_evidence_missing";
	if (!s->ready)
		return reason_or(s->reason);
	if (in->duel_id != NULL && s->client_known && !s->client_connected)
		return "capture_client_disconnected";
	if (in->duel_id != NULL && s->pipeline_known && !s->pipeline_runs)
		return "capture_pipeline_inactive";
	return NULL;
}

static bool shows_phase(const struct renderer_health_inputs *in)
{
	const char *shown = in->report->page_phase;
	bool fresh = in->now_ms < in->phase_start_ms + in->phase_grace_ms;
	return strcmp(shown, in->phase) == 0 ||
	       (fresh && in->previous_phase != NULL && strcmp(shown, in->previous_phase) == 0);
}

static const char *judge_report(const struct renderer_health_inputs *in)
{
	const struct renderer_report *r = in->report;
	if (r == NULL || !r->present)
		return "capture_client_disconnected";
	if (stale(r->received_ms, in))
		return "renderer_health_stale";
	if (!r->ready)
		return reason_or(r->reason);
	if (in->duel_id == NULL)
		return NULL;
	if (r->page_ms == 0 || *r->page_duel_id == '\0' || *r->page_phase == '\0')
		return "renderer_scene_evidence_missing";
	if (stale(r->page_ms, in))
		return "renderer_health_stale";
	if (strcmp(r->page_duel_id, in->duel_id) != 0)
		return "renderer_cycle_mismatch";
	return shows_phase(in) ? NULL : "renderer_phase_mismatch";
}

void renderer_health_derive(struct renderer_health *h, const struct renderer_health_inputs *in)
{
	const struct renderer_report *r = in->report;
	bool reported = r != NULL && r->present, status = in->status != NULL && in->status->present;
	const char *reason = in->guardrail;
	*h = (struct renderer_health){.source = "guardrail", .updated_ms = in->now_ms};
	if (reported && r->page_ms != 0) {
		memcpy(h->page_duel_id, r->page_duel_id, sizeof h->page_duel_id);
		memcpy(h->page_phase, r->page_phase, sizeof h->page_phase);
		h->page_ms = r->page_ms;
	}
	if (reason == NULL && status) {
		h->source = "status_file";
		h->updated_ms = in->status->updated_ms;
		reason = judge_status(in);
	} else if (reason == NULL) {
		h->source = reported ? "capture" : "none";
		h->updated_ms = reported ? r->updated_ms : in->now_ms;
		reason = judge_report(in);
	}
	h->ready = reason == NULL;
	snprintf(h->reason, sizeof h->reason, "%s", reason != NULL ? reason : "");
}

/* ---- reading ---- */

/* A text that fits, or null ("" then). */
static bool take(const json_t *o, const char *name, char *into, size_t room)
{
	const json_t *value = json_object_get(o, name);
	const char *text = json_string_value(value);
	if (!json_is_string(value) && value != NULL && !json_is_null(value))
		return false;
	return (size_t)snprintf(into, room, "%s", text != NULL ? text : "") < room;
}

static uint64_t time_of(const json_t *o, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(o, name));
	return value > 0 ? (uint64_t)value : 0;
}

bool renderer_report_read(struct renderer_report *report, struct span text, uint64_t now_ms)
{
	struct renderer_report r = {.present = true, .received_ms = now_ms};
	json_t *json = json_take(text, JSON_REJECT_DUPLICATES, NULL, NULL);
	const json_t *page = json_object_get(json, "page");
	bool good = json_is_boolean(json_object_get(json, "ready")) &&
	            take(json, "degradedReason", r.reason, sizeof r.reason) &&
	            (!json_is_object(page) ||
	             (take(page, "duelId", r.page_duel_id, sizeof r.page_duel_id) &&
	              take(page, "phase", r.page_phase, sizeof r.page_phase)));
	r.ready = json_is_true(json_object_get(json, "ready"));
	r.updated_ms = time_of(json, "updatedAt");
	r.page_ms = time_of(page, "at");
	json_decref(json);
	if (good)
		*report = r;
	return good;
}
