/* The states of one exchange, and which may follow which. Pure.
 *
 *     READING -> WORKING -> STREAMING -> ANSWERED
 *        |          |   `-> UPGRADED  -> ANSWERED
 *        |          `-----------------> ANSWERED
 *        `-> REFUSED
 *
 * Who frees it: while it has a connection, conn_advance(), when it is first in the row, over, and
 * its body has been read (or the connection closes behind it). When the connection goes it is freed
 * with it, unless somebody works on it who does not want to hear of that (request.on_gone is NULL):
 * then by its answer, which goes nowhere. */
#pragma once

#include <stdbool.h>

enum exchange_state {
	EXCHANGE_READING,   /* its head is there; nobody was asked */
	EXCHANGE_WORKING,   /* a handler has it, and no byte of the answer is written */
	EXCHANGE_STREAMING, /* the head of the answer is written; more follows */
	EXCHANGE_UPGRADED,  /* 101: the connection's bytes are the feature's, both ways */
	EXCHANGE_ANSWERED,  /* the answer is complete, or was cut */
	EXCHANGE_REFUSED,   /* answered by the edge itself: no handler has seen it */
	EXCHANGE_STATES
};

/* May `to` follow `from`? */
bool exchange_state_follows(enum exchange_state from, enum exchange_state to);

/* A handler has it and owes an answer, or the rest of one. */
static inline bool exchange_state_works(enum exchange_state state)
{
	return state == EXCHANGE_WORKING || state == EXCHANGE_STREAMING ||
	       state == EXCHANGE_UPGRADED;
}

/* Nothing more is written. */
static inline bool exchange_state_over(enum exchange_state state)
{
	return state == EXCHANGE_ANSWERED || state == EXCHANGE_REFUSED;
}
