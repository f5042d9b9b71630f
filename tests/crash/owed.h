/* What a store owes its clients at one point of a run, from the marks up to there: what was asked,
 * what was answered, and what a store that was opened after a crash has shown.
 *
 * One set of books at a time. The judge (judge.h) compares. */
#pragma once

#include "tests/crash/trace.h"

struct owed_stream {
	char path[MARK_NAME_MAX];
	int source; /* -1: no fork */
	bool create_asked, created, delete_asked, deleted, close_asked, closed;
	bool seen;          /* since the last crash */
	uint64_t seen_tail; /* it was at least this long */
	int ops;            /* the first of its ops, by owed_link; -1 */
};

struct owed_op {
	uint32_t id, ask, verdict, body_bytes;
	int stream, second_stream; /* -1: none; TXN: both it appends to */
	int links[2];              /* the next op of each stream, as 2 * op + which; -1 */
	bool asked, answered_well;
	uint64_t tail, second_tail;
	uint64_t seq;
	uint32_t epoch;
	bool present;
	char key[MARK_NAME_MAX];
};

/* What a value may be: the ops that may have put it, or removed it. */
enum { OWED_CHOICES_MAX = 256 };

struct owed_value {
	char key[MARK_NAME_MAX];
	uint32_t ops[OWED_CHOICES_MAX];
	bool absent[OWED_CHOICES_MAX];
	int count;
	bool seen;
};

struct owed {
	struct owed_stream *streams;
	int streams_count;
	struct owed_op *ops;
	int ops_count;
	struct owed_value *values;
	int values_count;
	uint64_t epoch_min; /* the store's */
	bool served;        /* since the last crash: somebody was answered */
	bool backup;        /* one was made, and stands there */
};

extern struct owed owed;

void owed_clear(void);
void owed_take(const struct mark *mark);
/* Does the run end with a store that nobody was served by? Before its first mark. */
void owed_crashed(void);

/* -1, NULL: not known. */
int owed_find_stream(const char *path);
struct owed_op *owed_find_op(uint32_t id);
/* The streams of a TXN op that is named by its key: /ta/..., /tb/..., and the one it creates. */
void owed_txn_streams(const struct owed_op *op, char first[MARK_NAME_MAX],
                      char second[MARK_NAME_MAX], char created[MARK_NAME_MAX]);
