/* The heartbeat that a page sends (injected/heartbeat.js): what a beat says. */
#pragma once

#include "worker-capture/health.h"

/* Name of the binding that scripts call with one text; it is taken out of the page's reach before
 * any script of the page runs. */
#define BEAT_BINDING "__ringsideCall"
/* The world that our further scripts live in: they see the page's document, not its variables, and
 * the page sees nothing of them. */
#define BEAT_WORLD "ringside"

/* Counters of the beat before, to see what moved. Zeroed with each document. */
struct beat_counts {
	double pulses, draws;
};

/* Takes one beat into the signals. False: it is none. */
bool beat_take(const json_t *beat, struct beat_counts *counts, struct health_signals *signals,
               uint64_t now_ms, uint64_t wall_ms);
