/* What a disk may show of the store's directory after the power failed at one point of a trace.
 *
 * What a sync that ended well covered is there. Every 512-byte sector written since shows any of
 * what it held since, each for itself, in any order; so do sizes and names (those in the order they
 * were made). A sync that failed has left its pages clean: a later one does not cover them, unless
 * they were written again. `control`, which is no file that anybody syncs, is missing, as it is,
 * or as it was some time before; so is what LMDB keeps of its locks.
 *
 * Which of all this a state has, a seed says. One volume at a time. */
#pragma once

#include "tests/crash/trace.h"

enum volume_policy {
	VOLUME_NONE, /* nothing that was not synced */
	VOLUME_ALL,
	VOLUME_RANDOM, /* each sector at any of its versions */
	VOLUME_MOST,
	VOLUME_FEW,
	VOLUME_PAGES,  /* as RANDOM, by 4 KiB */
	VOLUME_NEWEST, /* the last writes, without those before */
	VOLUME_OLDEST,
	VOLUME_RING, /* all of the ring, nothing of the rest */
	VOLUME_ROWS, /* the other way round */
	VOLUME_ALL_BUT_ONE,
	VOLUME_HEADS, /* of each write its first sector */
	VOLUME_WHOLE, /* whole writes, some */
	VOLUME_POLICIES,
};

const char *volume_policy_name(enum volume_policy policy);

/* Before the first event: what `base` has is there, or the directory is not (NULL). `unsynced`:
 * data.mdb has been copied there, and nobody has synced it. */
void volume_begin(const char *base, bool unsynced);
void volume_step(const struct trace *trace, int index);

/* Is there anything that a power cut may show one way or another? */
bool volume_open(void);

/* Makes a state in `dir`, where only such states were made before. */
enum volume_policy volume_make(const char *dir, uint64_t seed);

/* For trying the judge: syncs of this file do nothing. */
void volume_weaken(const char *file);
