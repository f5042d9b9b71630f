#include "supervisor/limits.h"
#include "common/store/tables.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	/* Each knows each other; the supervisor has a bus and some listening sockets for each. */
	FILES_MIN = 96,
	FILES_PER_WORKER = 4,
	PROCESSES_MIN = 4,
	PROCESSES_PER_WORKER = 8, /* itself, the store's threads, libuv's */
	STACK_BYTES_MIN = 1 << 20,
	ADDRESS_BYTES_MORE =
	        512 << 20,       /* for all but the maps: programs, stacks, heaps of threads */
	MAP_BYTES_MIN = 8 << 20, /* the least store.map_bytes */
};

static uint64_t hard_limit(int resource)
{
	struct rlimit limit;
	if (getrlimit((__rlimit_resource_t)resource, &limit) != 0 ||
	    limit.rlim_max == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_max;
}

void limits_read(struct limits *limits)
{
	*limits = (struct limits){.files = hard_limit(RLIMIT_NOFILE),
	                          .file_bytes = hard_limit(RLIMIT_FSIZE),
	                          .address_bytes = hard_limit(RLIMIT_AS),
	                          .stack_bytes = hard_limit(RLIMIT_STACK),
	                          .processes =
	                                  geteuid() == 0 ? UINT64_MAX : hard_limit(RLIMIT_NPROC)};
}

struct need {
	uint64_t have, least;
	const char *what, *how, *for_what;
};

bool limits_suffice(const struct limits *limits, const struct settings *settings, unsigned workers,
                    char *reason, size_t room)
{
	const struct need needs[] = {
	        {limits->files, FILES_MIN + FILES_PER_WORKER * workers, "descriptors",
	         "RLIMIT_NOFILE, ulimit -n, LimitNOFILE", "as many workers as there are"},
	        {limits->file_bytes, settings->store_ring_bytes, "bytes of a file",
	         "RLIMIT_FSIZE, ulimit -f, LimitFSIZE", "store.ring_bytes"},
	        {limits->file_bytes, tables_map_room(MAP_BYTES_MIN), "bytes of a file",
	         "RLIMIT_FSIZE, ulimit -f, LimitFSIZE", "data.mdb"},
	        {limits->address_bytes,
	         tables_map_room(settings->store_map_bytes) + settings->store_ring_bytes +
	                 ADDRESS_BYTES_MORE,
	         "bytes of address space", "RLIMIT_AS, ulimit -v, LimitAS",
	         "store.map_bytes and store.ring_bytes"},
	        {limits->stack_bytes, STACK_BYTES_MIN, "bytes of stack",
	         "RLIMIT_STACK, ulimit -s, LimitSTACK", "its threads"},
	        {limits->processes, PROCESSES_MIN + PROCESSES_PER_WORKER * workers,
	         "processes and threads", "RLIMIT_NPROC, ulimit -u, LimitNPROC",
	         "as many workers as there are"},
	};
	for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
		const struct need *n = &needs[i];
		if (n->have >= n->least)
			continue;
		snprintf(reason, room,
		         "only %" PRIu64 " %s are allowed (%s), %" PRIu64 " are needed for %s",
		         n->have, n->what, n->how, n->least, n->for_what);
		return false;
	}
	return true;
}
