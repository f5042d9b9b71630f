/* Is the picture good, and is it the picture of this duel? Pure: what is known in, one answer out.
 *
 * The first that applies, in this order: a guardrail on the duel itself, an external status file (a
 * renderer that is not ours), the capture worker's report. Nothing known is never ready. While
 * there is a duel, the page has to prove that it shows it: its duel and its phase. */
#pragma once

#include "proto/bytes.h"

enum { RENDERER_REASON_MAX = 180, RENDERER_ID_MAX = 128, RENDERER_PHASE_MAX = 32 };

/* CAPTURE_HEALTH, read. Times are Unix ms. */
struct renderer_report {
	bool present;
	bool ready;
	char reason[RENDERER_REASON_MAX + 1];
	uint64_t updated_ms;  /* of the newest signal behind it */
	uint64_t received_ms; /* here */
	char page_duel_id[RENDERER_ID_MAX + 1], page_phase[RENDERER_PHASE_MAX + 1];
	uint64_t page_ms; /* 0: the page never said anything */
};

/* An external status file, read (status_file.h). */
struct renderer_status {
	bool present;
	bool health_present, ready;
	char reason[RENDERER_REASON_MAX + 1];
	uint64_t updated_ms; /* its own word, or when it was written */
	bool client_known, client_connected, pipeline_known, pipeline_runs;
};

struct renderer_health_inputs {
	const char *guardrail;       /* NULL: none */
	const char *duel_id, *phase; /* NULL: there is no duel */
	const char *previous_phase;  /* shown until phase_grace_ms after the change is no fault;
	                                NULL: none */
	uint64_t phase_start_ms;
	const struct renderer_report *report;
	const struct renderer_status *status;
	uint64_t now_ms, stale_ms, phase_grace_ms;
};

struct renderer_health {
	bool ready;
	char reason[RENDERER_REASON_MAX + 1]; /* "" when ready */
	const char *source;                   /* "guardrail", "status_file", "capture", "none" */
	uint64_t updated_ms;
	char page_duel_id[RENDERER_ID_MAX + 1], page_phase[RENDERER_PHASE_MAX + 1];
	uint64_t page_ms; /* 0: nothing is known of a page */
};

void renderer_health_derive(struct renderer_health *health,
                            const struct renderer_health_inputs *inputs);

/* Reads a report; false: it is none (then *report is as before). */
bool renderer_report_read(struct renderer_report *report, struct span json, uint64_t now_ms);
