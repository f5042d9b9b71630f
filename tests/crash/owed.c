/* The books (owed.h). */
#include "tests/crash/owed.h"
#include "common/base/check.h"
#include "common/store/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS_MAX = 1 << 14, OPS_MAX = 1 << 17, VALUES_MAX = 512, GENERATION_SHIFT = 24 };

struct owed owed;
static int stream_slots[2 * STREAMS_MAX], op_slots[2 * OPS_MAX]; /* 1 + index; open addressing */

void owed_clear(void)
{
	if (owed.streams == NULL) {
		owed.streams = xcalloc(STREAMS_MAX, sizeof *owed.streams);
		owed.ops = xcalloc(OPS_MAX, sizeof *owed.ops);
		owed.values = xcalloc(VALUES_MAX, sizeof *owed.values);
	}
	owed = (struct owed){.streams = owed.streams, .ops = owed.ops, .values = owed.values};
	memset(stream_slots, 0, sizeof stream_slots);
	memset(op_slots, 0, sizeof op_slots);
}

void owed_crashed(void)
{
	owed.served = false;
}

/* ---- looking up ---- */

static uint32_t hash_text(const char *text)
{
	uint32_t hash = 2166136261u;
	while (*text != '\0')
		hash = (hash ^ (uint8_t)*text++) * 16777619u;
	return hash;
}

static int *stream_slot(const char *path)
{
	for (uint32_t hash = hash_text(path);; hash++) {
		int *slot = &stream_slots[hash % (2 * STREAMS_MAX)];
		if (*slot == 0 || strcmp(owed.streams[*slot - 1].path, path) == 0)
			return slot;
	}
}

int owed_find_stream(const char *path)
{
	return *stream_slot(path) - 1;
}

static struct owed_stream *stream_of(const char *path)
{
	int *slot = stream_slot(path);
	if (*slot == 0) {
		check(owed.streams_count < STREAMS_MAX);
		*slot = ++owed.streams_count;
		struct owed_stream *stream = &owed.streams[*slot - 1];
		*stream = (struct owed_stream){.source = -1, .ops = -1};
		snprintf(stream->path, sizeof stream->path, "%s", path);
	}
	return &owed.streams[*slot - 1];
}

static int *op_slot(uint32_t id)
{
	for (uint32_t hash = id * 2654435761u;; hash++) {
		int *slot = &op_slots[hash % (2 * OPS_MAX)];
		if (*slot == 0 || owed.ops[*slot - 1].id == id)
			return slot;
	}
}

struct owed_op *owed_find_op(uint32_t id)
{
	int slot = *op_slot(id);
	return slot != 0 ? &owed.ops[slot - 1] : NULL;
}

static struct owed_op *op_of(uint32_t id)
{
	int *slot = op_slot(id);
	if (*slot == 0) {
		check(owed.ops_count < OPS_MAX);
		*slot = ++owed.ops_count;
		owed.ops[*slot - 1] = (struct owed_op){
		        .id = id, .stream = -1, .second_stream = -1, .links = {-1, -1}};
	}
	return &owed.ops[*slot - 1];
}

static struct owed_value *value_of(const char *key)
{
	for (int i = 0; i < owed.values_count; i++)
		if (strcmp(owed.values[i].key, key) == 0)
			return &owed.values[i];
	check(owed.values_count < VALUES_MAX);
	struct owed_value *value = &owed.values[owed.values_count++];
	*value = (struct owed_value){.count = 1, .absent = {true}};
	snprintf(value->key, sizeof value->key, "%s", key);
	return value;
}

/* ---- values ---- */

static void value_may_be(struct owed_value *value, uint32_t op, bool absent)
{
	check(value->count < OWED_CHOICES_MAX);
	value->ops[value->count] = op;
	value->absent[value->count++] = absent;
}

static void value_is(struct owed_value *value, uint32_t op, bool absent)
{
	value->count = 0;
	value_may_be(value, op, absent);
}

static void value_is_not(struct owed_value *value, uint32_t op)
{
	int kept = 0;
	for (int i = 0; i < value->count; i++)
		if (value->ops[i] != op || op == 0) {
			value->ops[kept] = value->ops[i];
			value->absent[kept++] = value->absent[i];
		}
	value->count = kept;
}

/* ---- asked ---- */

static void link_op(struct owed_op *op, int stream, int which)
{
	*(which == 0 ? &op->stream : &op->second_stream) = stream;
	op->links[which] = owed.streams[stream].ops;
	owed.streams[stream].ops = 2 * (int)(op - owed.ops) + which;
}

void owed_txn_streams(const struct owed_op *op, char first[MARK_NAME_MAX],
                      char second[MARK_NAME_MAX], char created[MARK_NAME_MAX])
{
	snprintf(first, MARK_NAME_MAX, "/ta/%.30s", op->key + 2);
	snprintf(second, MARK_NAME_MAX, "/tb/%.30s", op->key + 2);
	snprintf(created, MARK_NAME_MAX, "/tc/%x", op->id);
}

static void ask_txn(struct owed_op *op)
{
	char first[MARK_NAME_MAX], second[MARK_NAME_MAX], created[MARK_NAME_MAX];
	owed_txn_streams(op, first, second, created);
	link_op(op, (int)(stream_of(first) - owed.streams), 0);
	link_op(op, (int)(stream_of(second) - owed.streams), 1);
	stream_of(created)->create_asked = true;
	value_may_be(value_of(op->key), op->id, false);
}

static void ask_stream(struct owed_op *op, const struct mark *mark)
{
	struct owed_stream *stream = stream_of(mark->name);
	link_op(op, (int)(stream - owed.streams), 0);
	stream->create_asked |= mark->ask == ASK_CREATE;
	stream->delete_asked |= mark->ask == ASK_DELETE;
	stream->close_asked |= mark->ask == ASK_CLOSE;
	if (mark->ask == ASK_CREATE && mark->source[0] != '\0')
		stream->source = (int)(stream_of(mark->source) - owed.streams);
}

static void on_asked(const struct mark *mark)
{
	struct owed_op *op = op_of(mark->op);
	op->asked = true;
	op->ask = mark->ask;
	op->body_bytes = mark->body_bytes;
	op->seq = mark->seq;
	op->epoch = mark->epoch;
	op->present = mark->present;
	snprintf(op->key, sizeof op->key, "%s", mark->name);
	switch ((enum ask_kind)mark->ask) {
	case ASK_VALUE:
		value_may_be(value_of(mark->name), mark->op, !mark->present);
		break;
	case ASK_TXN:
		ask_txn(op);
		break;
	case ASK_APPEND:
	case ASK_CREATE:
	case ASK_DELETE:
	case ASK_CLOSE:
		ask_stream(op, mark);
		break;
	}
}

/* ---- answered ---- */

static bool good(uint32_t verdict)
{
	return verdict == VERDICT_OK || verdict == VERDICT_CREATED || verdict == VERDICT_EXISTS ||
	       verdict == VERDICT_DUPLICATE;
}

/* May what was refused so be there all the same? */
static bool leaves_open(uint32_t verdict)
{
	return verdict == VERDICT_IO_ERROR || verdict == VERDICT_STALLED;
}

static void answer_well(struct owed_op *op)
{
	char first[MARK_NAME_MAX], second[MARK_NAME_MAX], created[MARK_NAME_MAX];
	struct owed_stream *stream = op->stream >= 0 ? &owed.streams[op->stream] : NULL;
	switch ((enum ask_kind)op->ask) {
	case ASK_VALUE:
		value_is(value_of(op->key), op->id, !op->present);
		break;
	case ASK_TXN:
		value_is(value_of(op->key), op->id, false);
		owed_txn_streams(op, first, second, created);
		stream_of(created)->created = true;
		break;
	case ASK_CREATE:
		stream->created = true;
		break;
	case ASK_DELETE:
		stream->deleted = true;
		break;
	case ASK_CLOSE:
		stream->closed = true;
		break;
	case ASK_APPEND:
		break;
	}
}

static void on_answered(const struct mark *mark)
{
	struct owed_op *op = op_of(mark->op);
	op->verdict = mark->verdict;
	op->tail = mark->tail;
	op->second_tail = mark->second_tail;
	op->answered_well = good(mark->verdict);
	owed.served = true;
	if (op->answered_well)
		answer_well(op);
	else if (!leaves_open(mark->verdict) && (op->ask == ASK_VALUE || op->ask == ASK_TXN))
		value_is_not(value_of(op->key), op->id);
}

/* ---- seen after a crash ---- */

static void on_message(const struct mark *mark)
{
	struct owed_op *op = op_of(mark->op);
	op->asked = op->answered_well = true;
	op->verdict = VERDICT_OK;
	if (op->ask == ASK_TXN && owed_find_stream(mark->name) == op->second_stream)
		op->second_tail = mark->tail;
	else
		op->tail = mark->tail;
}

static void on_stream(const struct mark *mark)
{
	struct owed_stream *stream = stream_of(mark->name);
	stream->seen = stream->create_asked = stream->created = true;
	stream->seen_tail = mark->tail;
}

/* What was under way when the power failed and is not here now must not come later. */
static void on_all(const struct mark *mark)
{
	for (int i = 0; i < owed.ops_count; i++)
		if (owed.ops[i].id >> GENERATION_SHIFT < mark->op && !owed.ops[i].answered_well)
			owed.ops[i].asked = false;
	for (int i = 0; i < owed.streams_count; i++) {
		struct owed_stream *stream = &owed.streams[i];
		if (stream->seen) {
			stream->delete_asked = stream->deleted = stream->seen = false;
			continue;
		}
		stream->deleted |= stream->delete_asked;
		stream->create_asked &= stream->created;
	}
	for (int i = 0; i < owed.values_count; i++) {
		if (!owed.values[i].seen)
			value_is(&owed.values[i], 0, true);
		owed.values[i].seen = false;
	}
	owed.served = true;
}

void owed_take(const struct mark *mark)
{
	switch ((enum mark_kind)mark->kind) {
	case MARK_ASKED:
		on_asked(mark);
		break;
	case MARK_ANSWERED:
		on_answered(mark);
		break;
	case MARK_SAW_MESSAGE:
		on_message(mark);
		break;
	case MARK_SAW_STREAM:
		on_stream(mark);
		break;
	case MARK_SAW_VALUE:
		value_of(mark->name)->seen = true;
		value_is(value_of(mark->name), mark->op, false);
		break;
	case MARK_SAW_ALL:
		on_all(mark);
		break;
	case MARK_OPENED:
		if (mark->tail > owed.epoch_min)
			owed.epoch_min = mark->tail;
		owed.served = true;
		break;
	case MARK_BACKUP_BEGUN:
		break;
	case MARK_BACKUP_DONE:
		owed.backup |= mark->verdict == 0;
		break;
	}
}
