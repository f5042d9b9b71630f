/* The bridges of one world: processes with the real feeds, book and operators over one log, of
 * which each may be killed, paused and started again; and the way to them, on which requests and
 * answers are lost, come twice and late. */
#pragma once

#include "common/worker/call.h"

enum { BRIDGES_MAX = 2 };

/* Every bridge that starts has this setting. */
void bridges_set(const char *key, const char *value);
void bridges_begin(void);
/* From now on requests arrive once and are answered. */
void bridges_calm(void);

void bridge_start(unsigned slot);
void bridge_kill(unsigned slot);
bool bridge_runs(unsigned slot);
void bridge_pause(unsigned slot, uint64_t ms);

/* Sent to one that runs. `principal` "" is the house, which may everything. */
struct bridge_question {
	enum call_method method;
	char path[160], body[512], key[64], principal[65];
	/* The answer, once; status 0: none came. */
	void (*done)(void *arg, unsigned status, const json_t *body);
	void *arg;
};
void bridges_ask(const struct bridge_question *question);
