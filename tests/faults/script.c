/* The script (script.h). */
#include "tests/faults/script.h"
#include "tests/crash/disk.h"
#include "tests/crash/trace.h"
#include "tests/crash/work.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	STREAMS = 5,
	BODY_MAX = 1 << 16,
	RING_BYTES = 1 << 20,
	WRAP_APPENDS = 30,
	WRAP_BYTES = 40000,
	HEALS_MS = 8000,
	HEAL_PAUSE_US = 20000,
	OPENS_MAX = 3,
};

/* A stream, and whether what the script knows of it must be true. */
struct known {
	char path[MARK_NAME_MAX];
	bool sure, there, closed;
	uint64_t tail;
};

static struct store *store;
static struct known streams[STREAMS];
static uint32_t ops;
static int worst;

static void say(const struct mark *mark)
{
	if (disk_mark != NULL)
		disk_mark(mark, sizeof *mark);
}

static void wrong(enum script_result what, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void wrong(enum script_result what, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("    ");
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
	worst = what;
}

static bool refused(enum verdict verdict)
{
	return verdict == VERDICT_IO_ERROR || verdict == VERDICT_NO_SPACE ||
	       verdict == VERDICT_STALLED;
}

/* ---- asking ---- */

static uint32_t next_op(void)
{
	return 1u << 24 | (ops + 1);
}

/* True: it was not refused, and is one of both. */
static bool ask(struct command *command, struct mark mark, bool sure, enum verdict good,
                enum verdict also_good)
{
	mark.kind = MARK_ASKED;
	mark.op = next_op();
	ops++;
	say(&mark);
	store_execute(store, command);
	mark.kind = MARK_ANSWERED;
	mark.verdict = command->verdict;
	mark.tail = command->tail;
	if (command->kind == COMMAND_TXN) {
		mark.tail = command->parts[1].tail;
		mark.second_tail = command->parts[2].tail;
	}
	say(&mark);
	bool fine = command->verdict == good || command->verdict == also_good;
	if (!fine && !refused(command->verdict) && sure)
		wrong(SCRIPT_LIED, "op %x on %s was answered %s", mark.op, mark.name,
		      verdict_name(command->verdict));
	return fine;
}

static struct mark mark_of(enum ask_kind kind, const char *name)
{
	struct mark mark = {.ask = kind};
	snprintf(mark.name, sizeof mark.name, "%s", name);
	return mark;
}

/* What was answered shows at once, unless it cannot be read. */
static void look(const struct known *known)
{
	struct state *view = store_view(store);
	struct stream *stream = state_find(view, span_str(known->path));
	if (view->unreadable || !known->sure)
		return;
	bool there = stream != NULL && !stream->deleted;
	if (there != known->there)
		wrong(SCRIPT_LIED, "%s is %s", known->path, there ? "there" : "not there");
	else if (there && stream->tail != known->tail)
		wrong(SCRIPT_LIED, "%s ends at %llu, was acknowledged up to %llu", known->path,
		      (unsigned long long)stream->tail, (unsigned long long)known->tail);
}

static void create(struct known *known, const char *source)
{
	struct command command = {
	        .kind = COMMAND_CREATE, .path = span_str(known->path), .content_type = work_type};
	struct mark mark = mark_of(ASK_CREATE, known->path);
	if (source != NULL) {
		command.fork = true;
		command.fork_source = span_str(source);
		snprintf(mark.source, sizeof mark.source, "%s", source);
	}
	enum verdict good = known->there ? VERDICT_EXISTS : VERDICT_CREATED;
	ask(&command, mark, known->sure && source == NULL, good,
	    known->sure ? good : VERDICT_EXISTS);
	bool taken = command.verdict == VERDICT_CREATED || command.verdict == VERDICT_EXISTS;
	if (taken) {
		known->sure = true;
		known->there = true;
		known->tail = command.tail;
		known->closed = false;
		look(known);
	} else if (!known->there) {
		known->sure = false;
	}
}

static void append_as(struct known *known, uint32_t bytes, struct producer_tag producer)
{
	static uint8_t body[BODY_MAX];
	struct mark mark = mark_of(ASK_APPEND, known->path);
	mark.body_bytes = bytes;
	mark.seq = producer.seq;
	mark.epoch = (uint32_t)producer.epoch;
	body_fill(body, bytes, next_op(), known->path);
	struct command command = {.kind = COMMAND_APPEND,
	                          .path = span_str(known->path),
	                          .content_type = work_type,
	                          .body = {&bytes, 1, span_of(body, bytes)},
	                          .producer = producer};
	bool sure = known->sure && known->there && !known->closed;
	bool tried = producer.present && !sure; /* it may have been taken before */
	if (ask(&command, mark, sure, VERDICT_OK, tried ? VERDICT_DUPLICATE : VERDICT_OK)) {
		if (known->sure && command.tail != known->tail + bytes)
			wrong(SCRIPT_LIED, "op %x on %s ends at %llu, begins at %llu",
			      next_op() - 1, known->path, (unsigned long long)command.tail,
			      (unsigned long long)known->tail);
		known->sure = known->there = true;
		known->tail = command.tail;
		look(known);
	} else if (command.verdict == VERDICT_IO_ERROR || command.verdict == VERDICT_STALLED) {
		known->sure = false;
	}
}

static void append(struct known *known, uint32_t bytes)
{
	append_as(known, bytes, (struct producer_tag){0});
}

static void close_stream(struct known *known)
{
	struct command command = {
	        .kind = COMMAND_APPEND, .path = span_str(known->path), .close = true};
	if (ask(&command, mark_of(ASK_CLOSE, known->path), known->sure && known->there, VERDICT_OK,
	        VERDICT_OK))
		known->closed = true;
	else
		known->sure = false;
}

static void delete_stream(struct known *known)
{
	struct command command = {.kind = COMMAND_DELETE, .path = span_str(known->path)};
	bool sure = known->sure;
	if (ask(&command, mark_of(ASK_DELETE, known->path), sure && known->there, VERDICT_OK,
	        VERDICT_OK)) {
		known->there = false;
		known->sure = true;
		look(known);
	} else {
		known->sure = false;
	}
}

static void put(const char *key, bool removed)
{
	char text[16];
	snprintf(text, sizeof text, "%08x", next_op());
	struct command command = {.kind = COMMAND_KV,
	                          .key = span_str(key),
	                          .value = removed ? (struct span){0} : span_str(text)};
	struct mark mark = mark_of(ASK_VALUE, key);
	mark.present = !removed;
	ask(&command, mark, true, VERDICT_OK, VERDICT_OK);
}

static void do_txn(void)
{
	static uint8_t bodies[2][4096];
	static const char *const names[] = {"/ta/0", "/tb/0"};
	uint32_t bytes[2] = {300, 2000};
	char text[16], created[MARK_NAME_MAX];
	snprintf(text, sizeof text, "%08x", next_op());
	snprintf(created, sizeof created, "/tc/%x", next_op());
	struct command parts[4] = {
	        {.kind = COMMAND_KV, .key = SPAN("t/0"), .value = span_str(text)}};
	for (int i = 0; i < 2; i++) {
		body_fill(bodies[i], bytes[i], next_op(), names[i]);
		parts[1 + i] =
		        (struct command){.kind = COMMAND_APPEND,
		                         .path = span_str(names[i]),
		                         .content_type = work_type,
		                         .body = {&bytes[i], 1, span_of(bodies[i], bytes[i])}};
	}
	parts[3] = (struct command){
	        .kind = COMMAND_CREATE, .path = span_str(created), .content_type = work_type};
	struct command command = {.kind = COMMAND_TXN, .parts = parts, .part_count = 4};
	ask(&command, mark_of(ASK_TXN, "t/0"), streams[3].there && streams[4].there, VERDICT_OK,
	    VERDICT_OK);
	streams[3].sure = streams[4].sure = false; /* how far they go, the judge knows */
}

/* ---- the parts of the script ---- */

static bool open_store(const char *dir, bool for_ever)
{
	struct store_options options = work_store_options(dir, RING_BYTES, 0, true);
	options.checkpoint_ms = 5;
	for (int tries = 0; tries < OPENS_MAX; tries++) {
		char reason[256] = "";
		int error = store_open(&store, &options, reason);
		if (error == 0) {
			const struct mark mark = {.kind = MARK_OPENED, .tail = work_epoch(store)};
			say(&mark);
			return true;
		}
		if (reason[0] == '\0' || store != NULL)
			wrong(SCRIPT_UNCLEAR, "not opened, error %d, no reason", error);
		if (for_ever && disk_disarm != NULL)
			disk_disarm();
	}
	wrong(SCRIPT_UNHEALED, "the fault had ended, and the store does not open");
	return false;
}

static void back_up(const char *dir)
{
	char path[512], reason[256] = "";
	struct mark mark = {.kind = MARK_BACKUP_BEGUN};
	snprintf(path, sizeof path, "%s/backup", dir);
	say(&mark);
	mark.kind = MARK_BACKUP_DONE;
	mark.verdict = store_backup(store, path, reason) != 0;
	say(&mark);
	if (mark.verdict != 0 && reason[0] == '\0')
		wrong(SCRIPT_UNCLEAR, "no backup, and no reason");
}

static void checkpoint(void)
{
	char reason[256] = "";
	if (store_checkpoint(store, reason) != 0 && reason[0] == '\0')
		wrong(SCRIPT_UNCLEAR, "no checkpoint, and no reason");
}

static void first_part(const char *dir)
{
	static const char *const paths[STREAMS] = {"/s/0", "/p/0.0", "/c/0", "/ta/0", "/tb/0"};
	for (int i = 0; i < STREAMS; i++) {
		streams[i].sure = true;
		snprintf(streams[i].path, sizeof streams[i].path, "%s", paths[i]);
		create(&streams[i], NULL);
	}
	for (uint32_t i = 0; i < 6; i++) {
		append(&streams[0], 100 + 700 * i);
		append_as(&streams[1], 80 + i, (struct producer_tag){true, SPAN("w0.0"), 1, i});
		put("k/0", i == 3);
	}
	do_txn();
	checkpoint();
	create(&streams[0], NULL); /* again: it is there */
	append(&streams[2], 20000);
	back_up(dir);
	close_stream(&streams[2]);
	delete_stream(&streams[2]);
	do_txn();
	for (int i = 0; i < WRAP_APPENDS; i++) {
		append(&streams[0], WRAP_BYTES);
		if (i % 4 == 3)
			checkpoint();
	}
}

static void second_part(void)
{
	struct known fork = {.path = "/f/0", .sure = true};
	for (int i = 0; i < STREAMS; i++)
		look(&streams[i]);
	create(&streams[0], NULL);
	create(&fork, streams[0].path);
	append(&streams[0], 200);
	put("k/1", false);
	do_txn();
	checkpoint();
}

/* Without a fault, all is accepted again: by this process, in a while. */
static void heal(void)
{
	struct known last = {.path = "/s/9", .sure = false};
	uint64_t due_ms = clock_monotonic_ms() + HEALS_MS;
	for (;;) {
		create(&last, NULL);
		if (last.there)
			append(&last, 500);
		if (last.there && last.sure)
			break;
		if (clock_monotonic_ms() > due_ms) {
			wrong(SCRIPT_UNHEALED,
			      "the fault had ended, and nothing was accepted again");
			return;
		}
		usleep(HEAL_PAUSE_US);
	}
}

int script(const char *dir, bool for_ever)
{
	if (disk_arm != NULL)
		disk_arm();
	if (!open_store(dir, for_ever))
		return worst;
	first_part(dir);
	store_close(&store);
	if (!open_store(dir, for_ever))
		return worst;
	second_part();
	printf("calls %ld\n", disk_calls != NULL ? disk_calls() : 0);
	if (disk_disarm != NULL)
		disk_disarm();
	heal();
	store_close(&store);
	return worst;
}
