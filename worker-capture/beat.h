/* The heartbeat that a page sends: what the script in it is, and what a beat says. */
#pragma once

#include "worker-capture/health.h"

enum { BEAT_EVERY_MS = 500 };

/* Name of the binding that scripts call with one text; it is taken out of the page's reach before any
 * script of the page runs. */
#define BEAT_BINDING "__ringsideCall"
/* The world that our further scripts live in: they see the page's document, not its variables, and the
 * page sees nothing of them. */
#define BEAT_WORLD "ringside"

/* Runs first in every document; also gives the page its __ringside(kind, value). `webrtc_closed`:
 * RTCPeerConnection is taken from the page. */
const char *beat_script(bool webrtc_closed);
/* Runs first in our own world: defines __ringside(kind, value). */
const char *beat_own_prelude(void);

/* Counters of the beat before, to see what moved. Zeroed with each document. */
struct beat_counts {
	double pulses, draws;
};

/* Takes one beat into the signals. False: it is none. */
bool beat_take(const json_t *beat, struct beat_counts *counts, struct health_signals *signals,
               uint64_t now_ms, uint64_t wall_ms);
