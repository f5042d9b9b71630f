/* Reads and changes one small value of a store that nobody else has open, as a release of another
 * time would have left it: row DIR get KEY, row DIR put KEY TEXT, row DIR move KEY TO. */
#include "common/base/log.h"
#include "common/store/txn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int get(struct store *store, const char *key)
{
	struct span value;
	if (!state_kv_get(store_view(store), span_str(key), &value))
		return 1;
	printf("%.*s\n", (int)value.len, (const char *)value.at);
	return 0;
}

static int put(struct store *store, const char *key, struct span value)
{
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(key), value);
	return txn_execute(&txn, store) == VERDICT_OK ? 0 : 1;
}

static int move(struct store *store, const char *key, const char *to)
{
	struct span value;
	if (!state_kv_get(store_view(store), span_str(key), &value))
		return 1;
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(to), value);
	txn_put_always(txn, span_str(key), (struct span){0});
	return txn_execute(&txn, store) == VERDICT_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct store *store;
	char reason[256] = "";
	if (argc < 4)
		return 2;
	log_init("row");
	const struct store_options options = {.dir = argv[1],
	                                      .ring_bytes = 8 << 20,
	                                      .map_bytes = (uint64_t)1 << 34,
	                                      .readers_max = 256,
	                                      .checkpoint_ms = 1000,
	                                      .chunk_bytes = 8192,
	                                      .streams_cached = 20000,
	                                      .limits = {.streams_max = 100000,
	                                                 .producers_per_stream_max = 100,
	                                                 .producer_idle_ms = 1}};
	if (store_open(&store, &options, reason) != 0) {
		fprintf(stderr, "%s\n", reason);
		return 1;
	}
	while (store_advance(store, 0)) {
	}
	int code = 2;
	if (strcmp(argv[2], "get") == 0)
		code = get(store, argv[3]);
	else if (strcmp(argv[2], "put") == 0 && argc == 5)
		code = put(store, argv[3], span_str(argv[4]));
	else if (strcmp(argv[2], "move") == 0 && argc == 5)
		code = move(store, argv[3], argv[4]);
	store_close(&store);
	return code;
}
