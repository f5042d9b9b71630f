/* publish DIR RING_BYTES PATH JSON: one message into a stream of a store that nobody has open, as
 * the product itself writes, whatever it is. For tests of readers that must bear what should not be
 * there. */
#include "common/store/txn.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct store *store;
	char reason[256] = "";
	if (argc != 5)
		return 2;
	const struct store_options options = {
	        .dir = argv[1],
	        .ring_bytes = strtoull(argv[2], NULL, 10),
	        .map_bytes = (size_t)1 << 30,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 1000, .producers_per_stream_max = 16}};
	if (store_open(&store, &options, reason) != 0) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}
	struct txn *txn = txn_create();
	txn_publish(txn, argv[3], span_str(argv[4]));
	enum verdict verdict = txn_execute(&txn, store);
	store_close(&store);
	if (verdict != VERDICT_OK)
		fprintf(stderr, "%s\n", verdict_name(verdict));
	return verdict != VERDICT_OK;
}
