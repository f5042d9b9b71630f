/* What GET /v1/cluster/log answers with: records of the ring back to back, of a pad the head alone
 * (common/store/ring.h), and between any two of them beats, which say how far the sender is. All as
 * they lie in memory; a node of another byte order does not join (the format in its status). */
#pragma once

#include <stdint.h>

enum {
	CLUSTER_BEAT_MAGIC = 0x54414542, /* where a record has its own */
	CLUSTER_BEAT_MS = 500,
	CLUSTER_SILENCE_MS = 3000, /* without a byte for so long, the connection is dead */
	CLUSTER_FORMAT = 1, /* of entries, records and beats, on machines of this byte order */
};

struct cluster_beat {
	uint64_t hash; /* of what ends at lsn */
	uint32_t magic, bytes;
	uint64_t lsn; /* durable there */
	uint64_t unused;
};
_Static_assert(sizeof(struct cluster_beat) == 32, "as long as the head of a record");
