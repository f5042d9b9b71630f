/* What a run did to its files, in one order for all its processes, and what its clients asked and
 * were told: a file of events, written by the preloaded recorder (disk.c), read by trace.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_MAGIC = 0x45434154 };

enum trace_kind {
	TRACE_OPEN = 1,    /* data: the path; flags: O_*; len: bytes then; result: of fstat */
	TRACE_WRITE_BEGIN, /* inode, at, data; flags 1: of a descriptor with O_DSYNC */
	TRACE_WRITE_END,   /* inode, at, result */
	TRACE_TRUNCATE,    /* inode, at: the new size */
	TRACE_SYNC_BEGIN,  /* inode; of a file or a directory */
	TRACE_SYNC_END,    /* inode; result: 0 or -1 */
	TRACE_RENAME,      /* data: from, NUL, to, NUL */
	TRACE_UNLINK,      /* data: the path */
	TRACE_MAPPED,      /* inode; data: the path: it is written to through memory, unseen */
	TRACE_CONTROL,     /* data: the control file, as a sync found it */
	TRACE_FAULT,       /* data: which one was put in here */
	TRACE_MARK,        /* data: struct mark */
};

struct trace_event {
	uint32_t magic, kind, pid, tid;
	uint64_t inode, at, len;
	int64_t result;
	uint32_t flags, data_bytes; /* the data follow, padded to 8 */
};

/* What the workload says. */
enum mark_kind {
	MARK_ASKED = 1,
	MARK_ANSWERED,
	MARK_SAW_MESSAGE, /* a store that was opened after a crash showed this: it must stay */
	MARK_SAW_STREAM,
	MARK_SAW_VALUE,
	MARK_SAW_ALL,      /* and no more */
	MARK_OPENED,       /* tail: the store's epoch */
	MARK_BACKUP_BEGUN, /* what was answered before is in it */
	MARK_BACKUP_DONE,  /* verdict: 0, made; what was asked from here on is not in it */
};

enum ask_kind { ASK_APPEND = 1, ASK_CREATE, ASK_DELETE, ASK_VALUE, ASK_TXN, ASK_CLOSE };

enum { MARK_NAME_MAX = 40 };

struct mark {
	uint32_t kind, op, ask, verdict;
	char name[MARK_NAME_MAX];   /* the stream's path or the value's key; TXN: its key */
	char source[MARK_NAME_MAX]; /* of a fork */
	uint64_t tail, second_tail; /* answers; TXN: of both streams */
	uint64_t seq;               /* of the producer */
	uint32_t epoch;             /* of the producer; 0: none */
	uint32_t body_bytes;        /* 0: none */
	uint32_t present;           /* VALUE: it is put, not removed */
	uint32_t pad;
};

/* Every message says whose it is. */
enum { BODY_MAGIC = 0x59444f42 };

struct body_head {
	uint32_t magic, op, bytes, pad;
	char stream[MARK_NAME_MAX];
};

/* The bytes of a whole message of at least a head. They say little, so that a kept state is small.
 */
void body_fill(uint8_t *at, uint32_t bytes, uint32_t op, const char *stream);
/* Is it the one that this op sent? */
bool body_whole(const uint8_t *at, uint32_t bytes, uint32_t op);

/* A read trace. */
struct trace_item {
	const struct trace_event *event;
	const uint8_t *data;
	int other; /* of a begin its end, INT_MAX: it never came; of an end its begin */
};

struct trace {
	struct trace_item *items;
	int count;
	void *map;
	size_t map_bytes;
};

/* Aborts when the file is not one; a last event that is cut short is left out. */
void trace_load(struct trace *trace, const char *path);
void trace_free(struct trace *trace);
