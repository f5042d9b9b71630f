/* Who may act: a row that goes into each transaction of whoever holds it, so that of several
 * bridges over one store only one can act, and the others' transactions fail.
 *
 *     {"holder": "SUPERVISOR:SLOT:GENERATION", "fence": 7, "until": Unix ms}
 *
 * The fence grows whenever the holder changes. Works on rows, and is pure beside them. */
#pragma once

#include "common/store/rows.h"

enum { LEASE_HOLDER_ROOM = 96 };

struct lease {
	const char *key;
	char holder[LEASE_HOLDER_ROOM]; /* who we are */
	uint64_t supervisor_ms, generation;
	unsigned slot;
	uint64_t fence;
	bool mine;                          /* at the last look, or it was free */
	bool entered;                       /* that is durable */
	uint64_t seen_fence, seen_until_ms; /* as it was at the last look */
};

/* `key` is kept. One process holds a slot at a time, and one supervisor a data directory: who held
 * it as an earlier generation of this slot, or under an earlier supervisor, is dead. */
void lease_init(struct lease *lease, const char *key, uint64_t supervisor_ms, unsigned slot,
                uint64_t generation);

enum lease_look {
	LEASE_MINE,
	LEASE_OTHERS,     /* look again in a while */
	LEASE_UNREADABLE, /* it is somebody's whom this release does not understand; marked */
};
/* LEASE_MINE: it was mine or is free, and is mine with the transaction that lease_put() goes into.
 * *moved is set when somebody else has held it since the last look: what was read before is as old
 * as that. */
enum lease_look lease_take(struct lease *lease, struct rows *rows, uint64_t now_ms, bool *moved);
void lease_put(const struct lease *lease, struct rows *rows, uint64_t now_ms);
