/* Coarse timers for very many things: a wheel of intrusive nodes. Setting and cancelling is O(1); a
 * due node is looked at once. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct wheel_node {
	struct wheel_node *next, **previous;  /* previous NULL: not set */
	uint64_t due_ms;                      /* monotonic */
	void (*due)(struct wheel_node *node); /* set by the owner, once */
};

enum { WHEEL_TICK_MS = 50, WHEEL_SLOTS = 1024 /* about 51 s; what is due later goes round */ };

struct wheel {
	struct wheel_node *slots[WHEEL_SLOTS];
	uint64_t tick;   /* all slots before it are empty of due nodes */
	uint64_t now_ms; /* monotonic, of this turn of the loop: set by whoever runs it, for all
	                    who set nodes */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/* Sets or moves the node. It fires up to one tick late, never early. */
void wheel_set(struct wheel *wheel, struct wheel_node *node, uint64_t due_ms);
void wheel_cancel(struct wheel_node *node);

/* Calls due() of each node whose time has come, after taking it off the wheel. */
void wheel_run(struct wheel *wheel, uint64_t now_ms);
