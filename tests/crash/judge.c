/* The judge (judge.h). Works in a process that may die of what it finds. */
#include "tests/crash/judge.h"
#include "tests/crash/owed.h"
#include "tests/crash/work.h"
#include "common/base/check.h"
#include "common/store/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FAULTS_SHOWN = 8,
	TRIM_SLACK = 160000, /* of what retention keeps, by appends that are never cut */
	ROW_BYTES = 3 * 4096,
	GOES_ON_STREAMS = 4,
};

#define ULL(n) ((unsigned long long)(n))

struct judge_totals judge_totals;

static struct {
	struct store *store;
	struct state *view;
	const struct judge_options *options;
	unsigned faults;
	/* By op: how often it was met in the stream in hand; and in which of a TXN's at all. */
	uint8_t *met, *in_first, *in_second;
	int *met_list, met_count;
	int stream;  /* in hand */
	uint64_t at; /* how far its messages went */
} trial;

static void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fault(const char *format, ...)
{
	va_list args;
	if (trial.faults++ >= FAULTS_SHOWN)
		return;
	va_start(args, format);
	printf("    ");
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
}

static void on_finding(void *arg, const char *text)
{
	(void)arg;
	fault("store check: %s", text);
}

/* ---- messages ---- */

static const char *path_in_hand(void)
{
	return owed.streams[trial.stream].path;
}

static bool in_line(int stream)
{
	for (int i = trial.stream; i >= 0; i = owed.streams[i].source)
		if (i == stream)
			return true;
	return false;
}

static void note(const struct owed_op *op, bool second)
{
	size_t i = (size_t)(op - owed.ops);
	if (trial.met[i]++ != 0)
		fault("%s: op %x is there twice", path_in_hand(), op->id);
	else
		trial.met_list[trial.met_count++] = (int)i;
	if (op->ask == ASK_TXN)
		(second ? trial.in_second : trial.in_first)[i] = 1;
	if (!op->answered_well)
		judge_totals.there++;
}

static void on_known(const struct owed_op *op, const char *stream, uint64_t ends_at)
{
	int owner = owed_find_stream(stream);
	bool second = op->ask == ASK_TXN && owner == op->second_stream;
	uint64_t tail = second ? op->second_tail : op->tail;
	if (!in_line(owner))
		fault("%s: a message of %s", path_in_hand(), stream);
	if (op->answered_well && tail != 0 && tail != ends_at)
		fault("%s: op %x was acknowledged at %llu, is at %llu", path_in_hand(), op->id,
		      ULL(tail), ULL(ends_at));
	if (op->verdict == VERDICT_NO_SPACE)
		fault("%s: op %x was refused with 507 and is there", path_in_hand(), op->id);
	note(op, second);
}

static bool visit_message(void *arg, const struct store_message *message)
{
	struct body_head head;
	size_t bytes = message->bytes.len;
	(void)arg;
	judge_totals.messages++;
	if (message->ends_at != trial.at + bytes)
		fault("%s: a message of %zu bytes behind %llu ends at %llu", path_in_hand(), bytes,
		      ULL(trial.at), ULL(message->ends_at));
	trial.at = message->ends_at;
	if (bytes < sizeof head) {
		fault("%s: a message of %zu bytes", path_in_hand(), bytes);
		return true;
	}
	memcpy(&head, message->bytes.at, sizeof head);
	const struct owed_op *op = head.magic == BODY_MAGIC ? owed_find_op(head.op) : NULL;
	if (op == NULL || !op->asked)
		fault("%s: at %llu a message that nobody sent (op %x)", path_in_hand(),
		      ULL(message->ends_at), head.op);
	else if (!body_whole(message->bytes.at, (uint32_t)bytes, head.op))
		fault("%s: the message of op %x is damaged", path_in_hand(), head.op);
	else
		on_known(op, head.stream, message->ends_at);
	return true;
}

/* ---- one stream ---- */

static bool sends_message(const struct owed_op *op)
{
	return op->ask == ASK_APPEND || op->ask == ASK_TXN ||
	       (op->ask == ASK_CREATE && op->body_bytes != 0);
}

/* Of one stream in the line of forks: what ends in (first, limit] must have been met. */
static void check_acknowledged(int owner, uint64_t first, uint64_t limit)
{
	for (int link = owed.streams[owner].ops; link >= 0;
	     link = owed.ops[link / 2].links[link % 2]) {
		const struct owed_op *op = &owed.ops[link / 2];
		if (!op->answered_well || !sends_message(op) || op->verdict == VERDICT_EXISTS ||
		    op->verdict == VERDICT_DUPLICATE)
			continue;
		uint64_t tail = link % 2 == 1 ? op->second_tail : op->tail;
		if (tail > first && tail <= limit && trial.met[link / 2] == 0)
			fault("%s: LOST: acknowledged op %x that ended at %llu", path_in_hand(),
			      op->id, ULL(tail));
	}
}

static void check_line(const struct stream *stream, uint64_t first)
{
	uint64_t limit = UINT64_MAX;
	for (int i = trial.stream; i >= 0 && stream != NULL; i = owed.streams[i].source) {
		check_acknowledged(i, first, limit);
		if (stream->source_id == 0)
			break;
		if (stream->fork_offset < limit)
			limit = stream->fork_offset;
		stream = state_find_id(trial.view, stream->source_id);
		if (stream == NULL)
			fault("%s: LOST: the stream that it is a fork of", path_in_hand());
	}
}

static void read_stream(struct stream *stream, uint64_t first)
{
	for (int i = 0; i < trial.met_count; i++)
		trial.met[trial.met_list[i]] = 0;
	trial.met_count = 0;
	trial.at = first;
	if (first < stream->tail && store_scan(trial.store, stream, first, stream->tail, SIZE_MAX,
	                                       visit_message, NULL) != STORE_READ_OK)
		fault("%s: cannot be read", path_in_hand());
	if (trial.at != stream->tail)
		fault("%s: its messages end at %llu, its tail is %llu", path_in_hand(),
		      ULL(trial.at), ULL(stream->tail));
}

/* Retention takes whole rows: of what it keeps a row may be missing, which ends where the stream
 * begins. It has several small messages, or a large one and a few small before it. */
static uint64_t row_before(uint64_t first)
{
	for (int link = owed.streams[trial.stream].ops; link >= 0;
	     link = owed.ops[link / 2].links[link % 2]) {
		const struct owed_op *op = &owed.ops[link / 2];
		if (link % 2 == 0 && op->answered_well && op->tail == first && op->body_bytes != 0)
			return op->body_bytes + ROW_BYTES;
	}
	return TRIM_SLACK; /* nobody was told where it ends */
}

static void check_stream(const struct owed_stream *owing, struct stream *stream)
{
	uint64_t first = stream_first(trial.view, stream), keep = trial.options->retention_bytes;
	read_stream(stream, first);
	check_line(stream, first);
	if (stream->tail < owing->seen_tail)
		fault("%s: ends at %llu, was seen up to %llu", owing->path, ULL(stream->tail),
		      ULL(owing->seen_tail));
	if (stream->first > stream->fork_offset &&
	    (keep == 0 || stream->first + keep > stream->tail + row_before(stream->first)))
		fault("%s: trimmed to %llu of %llu", owing->path, ULL(stream->first),
		      ULL(stream->tail));
	if (owing->closed && !stream->closed)
		fault("%s: LOST: an acknowledged close", owing->path);
	if (!owing->close_asked && stream->closed)
		fault("%s: closed by nobody", owing->path);
}

static void check_streams(void)
{
	for (int i = 0; i < owed.streams_count; i++) {
		const struct owed_stream *owing = &owed.streams[i];
		struct stream *stream = state_find(trial.view, span_str(owing->path));
		bool there = stream != NULL && !stream->deleted;
		trial.stream = i;
		if (owing->created && !owing->delete_asked && !there)
			fault("LOST: stream %s", owing->path);
		if (owing->deleted && there)
			fault("deleted stream %s is back", owing->path);
		if (there)
			check_stream(owing, stream);
	}
}

/* Soft-deleted ones have a path for their forks' sake. */
static bool visit_path(void *arg, struct span path, uint64_t id)
{
	char text[MARK_NAME_MAX];
	(void)arg;
	snprintf(text, sizeof text, "%.*s", (int)path.len, (const char *)path.at);
	int i = owed_find_stream(text);
	const struct stream *stream = state_find_id(trial.view, id);
	bool living = stream != NULL && !stream->deleted;
	if (trial.options->real && work_own_name(text) == text)
		return true;
	if (living && (i < 0 || !owed.streams[i].create_asked))
		fault("stream %s, which nobody has created", text);
	return true;
}

/* ---- values and transactions ---- */

/* 0: absent. */
static uint32_t present_value(const char *key, bool *there)
{
	struct span value;
	char text[16] = "";
	*there = state_kv_get(trial.view, span_str(key), &value);
	if (*there && value.len < sizeof text)
		memcpy(text, value.at, value.len);
	return (uint32_t)strtoul(text, NULL, 16);
}

static void check_values(void)
{
	for (int i = 0; i < owed.values_count; i++) {
		const struct owed_value *value = &owed.values[i];
		bool there, fine = false;
		uint32_t op = present_value(value->key, &there);
		for (int k = 0; k < value->count; k++)
			fine |= there ? !value->absent[k] && value->ops[k] == op : value->absent[k];
		if (!fine)
			fault("value %s is %x%s; it may be one of %d, the first %x", value->key, op,
			      there ? "" : " (absent)", value->count, value->ops[0]);
	}
}

static void check_txn(const struct owed_op *op)
{
	char names[3][MARK_NAME_MAX];
	size_t i = (size_t)(op - owed.ops);
	owed_txn_streams(op, names[0], names[1], names[2]);
	const struct stream *first = state_find(trial.view, span_str(names[0]));
	uint64_t first_from = first != NULL ? first->first : 0;
	const struct stream *second = state_find(trial.view, span_str(names[1]));
	uint64_t second_from = second != NULL ? second->first : 0;
	bool both = first != NULL && second != NULL,
	     created = state_find(trial.view, span_str(names[2])) != NULL, value_there;
	/* What is not answered stands where nobody knows: it may be trimmed. */
	bool see_first = op->answered_well ? op->tail > first_from : first_from == 0;
	bool see_second = op->answered_well ? op->second_tail > second_from : second_from == 0;
	if (!both ? created
	          : (see_first && created != (trial.in_first[i] != 0)) ||
	                    (see_second && created != (trial.in_second[i] != 0)))
		fault("txn %x is half there: stream %d, messages %d and %d", op->id, created,
		      trial.in_first[i], trial.in_second[i]);
	uint32_t now = present_value(op->key, &value_there);
	if (created && now < op->id && (now >> 24) == (op->id >> 24))
		fault("txn %x is there, its value is %x", op->id, now);
}

static void check_txns(void)
{
	for (int i = 0; i < owed.ops_count; i++)
		if (owed.ops[i].ask == ASK_TXN && owed.ops[i].asked)
			check_txn(&owed.ops[i]);
}

/* ---- it goes on ---- */

static enum verdict append(const char *path, uint32_t bytes, struct producer_tag producer,
                           uint64_t *tail)
{
	static uint8_t body[8192];
	struct command command = {.kind = COMMAND_APPEND,
	                          .path = span_str(path),
	                          .content_type = work_type,
	                          .body = {&bytes, 1, span_of(body, bytes)},
	                          .producer = producer};
	store_execute(trial.store, &command);
	*tail = command.tail;
	return command.verdict;
}

/* What was accepted of a producer is known as accepted: of the last one of the stream. */
static void check_producer(int stream)
{
	const struct owed_op *last = NULL;
	bool newer = false;
	char id[MARK_NAME_MAX];
	for (int link = owed.streams[stream].ops; link >= 0;
	     link = owed.ops[link / 2].links[link % 2]) {
		const struct owed_op *op = &owed.ops[link / 2];
		if (op->answered_well && op->verdict == VERDICT_OK && op->epoch != 0 &&
		    (last == NULL || op->epoch > last->epoch ||
		     (op->epoch == last->epoch && op->seq > last->seq)))
			last = op;
	}
	if (last == NULL)
		return;
	for (int link = owed.streams[stream].ops; link >= 0;
	     link = owed.ops[link / 2].links[link % 2])
		newer |= owed.ops[link / 2].asked && owed.ops[link / 2].epoch > last->epoch;
	snprintf(id, sizeof id, "w%.30s", work_own_name(owed.streams[stream].path) + 3);
	uint64_t tail;
	enum verdict verdict =
	        append(owed.streams[stream].path, sizeof(struct body_head),
	               (struct producer_tag){true, span_str(id), last->epoch, last->seq}, &tail);
	if (verdict != VERDICT_DUPLICATE && !(newer && verdict == VERDICT_PRODUCER_STALE))
		fault("%s: seq %llu of its producer, accepted before, is %s now",
		      owed.streams[stream].path, ULL(last->seq), verdict_name(verdict));
}

static void check_producers(void)
{
	for (int i = 0; i < owed.streams_count; i++) {
		const struct stream *stream =
		        strncmp(work_own_name(owed.streams[i].path), "/p/", 3) == 0
		                ? state_find(trial.view, span_str(owed.streams[i].path))
		                : NULL;
		if (stream != NULL && !stream->deleted)
			check_producer(i);
	}
}

static void check_goes_on(void)
{
	int went = 0;
	for (int i = 0; i < owed.streams_count && went < GOES_ON_STREAMS; i++) {
		const struct stream *stream =
		        state_find(trial.view, span_str(owed.streams[i].path));
		if (stream == NULL || stream->deleted || stream->closed)
			continue;
		uint64_t before = stream->tail, tail;
		uint32_t bytes = (uint32_t)sizeof(struct body_head) + (uint32_t)i * 37 % 4000;
		enum verdict verdict =
		        append(owed.streams[i].path, bytes, (struct producer_tag){0}, &tail);
		if (verdict != VERDICT_OK || tail != before + bytes)
			fault("%s: an append after it: %s", owed.streams[i].path,
			      verdict_name(verdict));
		if (++went == GOES_ON_STREAMS / 2 && i < owed.streams_count / 2)
			i = owed.streams_count / 2;
	}
	struct command create = {
	        .kind = COMMAND_CREATE, .path = SPAN("/after"), .content_type = work_type};
	store_execute(trial.store, &create);
	if (create.verdict != VERDICT_CREATED)
		fault("a create after it: %s", verdict_name(create.verdict));
}

/* ---- the whole ---- */

static void check_epoch(void)
{
	uint64_t epoch = work_epoch(trial.store);
	if (epoch < owed.epoch_min)
		fault("the epoch of the store is %llu, was %llu", ULL(epoch), ULL(owed.epoch_min));
}

static void check_store(void)
{
	struct store_check_totals totals;
	store_check(trial.store, on_finding, NULL, &totals);
	if (*totals.unfinished != '\0')
		fault("store check: %s", totals.unfinished);
}

static void compare(void)
{
	char reason[256] = "";
	while (store_advance(trial.store, 0)) {
	}
	check_epoch();
	state_path_each(trial.view, SPAN(""), visit_path, NULL);
	check_streams();
	check_values();
	check_txns();
	check_store();
	check_producers();
	check_goes_on();
	if (store_checkpoint(trial.store, reason) != 0)
		fault("%s", reason);
	check_store();
}

unsigned judge(const char *dir, const struct judge_options *options)
{
	char reason[256] = "";
	struct store_options store_options = work_store_options(dir, options->ring_bytes, 0, false);
	trial.faults = 0;
	trial.met_count = 0;
	trial.options = options;
	if (store_open(&trial.store, &store_options, reason) != 0) {
		judge_totals.refused++;
		if (owed.served || !options->may_refuse)
			fault("does not open: %s", reason);
		return trial.faults;
	}
	size_t ops = (size_t)owed.ops_count + 1;
	trial.view = store_view(trial.store);
	trial.met = xcalloc(3 * ops, 1);
	trial.in_first = trial.met + ops;
	trial.in_second = trial.in_first + ops;
	trial.met_list = xcalloc(ops, sizeof *trial.met_list);
	compare();
	for (int i = 0; i < owed.ops_count; i++)
		judge_totals.not_there += owed.ops[i].asked && owed.ops[i].verdict == 0;
	store_close(&trial.store);
	free(trial.met);
	free(trial.met_list);
	return trial.faults;
}
