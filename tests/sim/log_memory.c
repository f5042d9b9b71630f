#include "tests/sim/log_memory.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/command_bytes.h"
#include "tests/sim/world.h"

#include <stdlib.h>

enum {
	STORES_MAX = 512,
	STREAMS_MAX = 64,
	DISK_MS = 12, /* a write usually takes less */
	DISK_MS_MAX = 1500,
	NEWS_MS = 3,
	NEWS_MS_MAX = 400,
	RECORD_BYTES_MAX = 1300000, /* of the smallest ring that store.ring_bytes may say */
};

struct record {
	struct entry entry; /* borrows from `bytes` */
	uint64_t lsn;
	uint64_t *bytes;
};

/* A message as a view may read it. */
struct message {
	struct log_memory_message shown;
	uint64_t from, to;
	bool append_ends;
};
struct messages {
	uint64_t stream;
	struct message *all;
	struct log_memory_message *shown;
	size_t count, room;
};

struct writing {
	struct store *store;
	struct command *command;
	bool lost; /* its process died before it came to the disk */
};

struct store {
	unsigned process;
	bool dead;
	struct state view;
	size_t applied; /* records */
	uint64_t position, disk_due_ms;
	struct command *done, **done_last;
	void (*turn)(void *arg);
	void *arg;
};

static struct state head;
static struct record *records;
static size_t records_count, records_room;
static uint64_t durable;
static struct messages streams[STREAMS_MAX];
static size_t streams_count;
static struct store *stores[STORES_MAX];
static size_t stores_count;
static unsigned fail_per_mille;
/* Those that wait for the disk, by their order; a store has few at a time. */
static struct writing *waiting[256];
static size_t waiting_count;

static const struct state_limits limits = {.streams_max = 1000, .producers_per_stream_max = 16};
static const struct state_backing alone;

void log_memory_begin(void)
{
	state_init(&head, &alone, &limits);
	records_count = streams_count = stores_count = waiting_count = 0;
	durable = 64;
	fail_per_mille = 0;
}

void log_memory_fail(unsigned per_mille)
{
	fail_per_mille = per_mille;
}

struct state *log_memory_head(void)
{
	return &head;
}

/* ---- writing ---- */

static struct messages *messages_of(uint64_t stream)
{
	size_t i = 0;
	while (i < streams_count && streams[i].stream != stream)
		i++;
	if (i == streams_count) {
		check(streams_count < STREAMS_MAX);
		streams[streams_count++] = (struct messages){.stream = stream};
	}
	return &streams[i];
}

static void keep_messages(const struct entry *e, uint64_t lsn)
{
	uint64_t at = e->offset;
	const struct stream *stream = state_find_id(&head, e->stream_id);
	const char *name = stream != NULL ? strrchr(stream->path, '/') : NULL;
	bool told = name != NULL && strcmp(name, "/audit") == 0;
	const uint8_t *bytes = e->data.bytes.at;
	struct messages *m = e->data.count != 0 ? messages_of(e->stream_id) : NULL;
	for (uint32_t i = 0; i < e->data.count; i++) {
		uint32_t size = e->data.sizes[i];
		if (m->count == m->room) {
			m->room = m->room != 0 ? 2 * m->room : 64;
			m->all = xrealloc(m->all, m->room * sizeof *m->all);
			m->shown = xrealloc(m->shown, m->room * sizeof *m->shown);
		}
		m->shown[m->count] = (struct log_memory_message){span_of(bytes, size - 1), lsn + i};
		m->all[m->count] =
		        (struct message){m->shown[m->count], at, at + size, i + 1 == e->data.count};
		m->count++;
		if (told)
			world_trace("audit: %.*s", (int)size - 1, (const char *)bytes);
		at += size;
		bytes += size;
	}
}

static uint64_t put(void *arg, const struct entry *entry)
{
	uint8_t *head_bytes = xmalloc(ENTRY_HEAD_MAX);
	size_t total, len = entry_encode_head(entry, head_bytes, &total);
	uint64_t *bytes = xcalloc(total / 8 + 1, 8);
	uint8_t *at = (uint8_t *)bytes;
	struct span data = entry->kind == ENTRY_KV ? entry->value : entry->data.bytes;
	(void)arg;
	memcpy(at, head_bytes, len);
	free(head_bytes);
	if (entry->data.count != 0)
		memcpy(at + len, entry->data.sizes, 4 * (size_t)entry->data.count);
	if (data.len != 0)
		memcpy(at + len + 4 * (size_t)entry->data.count, data.at, data.len);
	if (records_count == records_room) {
		records_room = records_room != 0 ? 2 * records_room : 1024;
		records = xrealloc(records, records_room * sizeof *records);
	}
	struct record *r = &records[records_count++];
	*r = (struct record){.lsn = durable, .bytes = bytes};
	check(entry_decode(span_of(at, total), &r->entry) == total);
	keep_messages(&r->entry, r->lsn);
	durable += total;
	return r->lsn;
}

static void on_news(void *arg)
{
	struct store *store = arg;
	store->turn(store->arg);
}

static void tell_all(void)
{
	for (size_t i = 0; i < stores_count; i++)
		if (!stores[i]->dead)
			world_after(stores[i]->process, world_wait(NEWS_MS, NEWS_MS_MAX), on_news,
			            stores[i]);
}

static void end(const struct writing *w)
{
	struct store *store = w->store;
	if (store->dead)
		return;
	w->command->next = NULL;
	*store->done_last = w->command;
	store->done_last = &w->command->next;
}

static void write_one(void *arg)
{
	struct writing *w = arg;
	const struct entry_sink sink = {NULL, put};
	if (!w->lost && world_chance(fail_per_mille)) {
		w->command->verdict = VERDICT_IO_ERROR;
		end(w);
		tell_all();
	} else if (!w->lost) {
		uint64_t before = durable;
		size_t most = command_bytes_now(w->command, &head);
		check(most <= RECORD_BYTES_MAX); /* else it would wait for ever */
		state_decide(&head, w->command, world_wall_ms(), &sink);
		check(!head.torn && durable - before <= most);
		w->command->lsn = durable;
		end(w);
		tell_all();
	}
	free(w);
}

static void on_disk(void *arg)
{
	struct writing *w = arg;
	size_t i = 0;
	while (waiting[i] != w)
		i++;
	memmove(waiting + i, waiting + i + 1, (--waiting_count - i) * sizeof *waiting);
	write_one(w);
}

void store_submit(struct store *store, struct command *command)
{
	struct writing *w = xcalloc(1, sizeof *w);
	uint64_t due_ms = world_ms() + world_wait(DISK_MS, DISK_MS_MAX);
	*w = (struct writing){store, command, false};
	/* Its order is kept. */
	store->disk_due_ms = due_ms > store->disk_due_ms ? due_ms : store->disk_due_ms + 1;
	check(waiting_count < sizeof waiting / sizeof *waiting);
	waiting[waiting_count++] = w;
	world_after(0, store->disk_due_ms - world_ms(), on_disk, w);
}

/* Nobody waits in a world: what is to be there at once is written by log_memory_head()'s. */
void store_execute(struct store *store, struct command *command)
{
	(void)store;
	(void)command;
	check(false);
}

/* ---- a process's store ---- */

struct store *log_memory_open(unsigned process, void (*turn)(void *arg), void *arg)
{
	struct store *store = xcalloc(1, sizeof *store);
	check(stores_count < STORES_MAX);
	stores[stores_count++] = store;
	state_init(&store->view, &alone, &limits);
	store->process = process;
	store->turn = turn;
	store->arg = arg;
	store->done_last = &store->done;
	store->position = 64;
	return store;
}

void log_memory_kill(struct store *store)
{
	bool lost = false;
	store->dead = true;
	for (size_t i = 0; i < waiting_count; i++) {
		if (waiting[i]->store != store)
			continue;
		lost = lost || world_chance(500);
		waiting[i]->lost = lost;
	}
}

bool store_advance(struct store *store, size_t bytes_max)
{
	(void)bytes_max;
	for (; store->applied < records_count; store->applied++)
		state_apply(&store->view, &records[store->applied].entry,
		            records[store->applied].lsn);
	store->position = durable;
	return false;
}

size_t store_collect(struct store *store)
{
	size_t count = 0;
	store_advance(store, 0);
	struct command *c = store->done, *next;
	store->done = NULL;
	store->done_last = &store->done;
	for (; c != NULL; c = next, count++) {
		next = c->next;
		c->done(c);
		store_advance(store, 0);
	}
	return count;
}

struct state *store_view(struct store *store)
{
	return &store->view;
}

uint64_t store_durable(struct store *store)
{
	(void)store;
	return durable;
}

uint64_t store_position(struct store *store)
{
	return store->position;
}

enum store_read_result store_scan(struct store *store, const struct stream *stream, uint64_t from,
                                  uint64_t to, size_t bytes_max,
                                  bool (*visit)(void *arg, const struct store_message *), void *arg)
{
	const struct messages *m = messages_of(stream->id);
	size_t seen = 0;
	(void)store;
	for (size_t i = 0; i < m->count && seen < bytes_max; i++) {
		const struct message *one = &m->all[i];
		const struct store_message message = {one->shown.text, one->to, one->append_ends};
		if (one->from < from || one->from >= to)
			continue;
		seen += (size_t)(one->to - one->from);
		if (!visit(arg, &message))
			break;
	}
	return STORE_READ_OK;
}

/* ---- what is in the log ---- */

size_t log_memory_messages(const char *path, const struct log_memory_message **messages)
{
	const struct stream *stream = state_find(&head, span_str(path));
	*messages = NULL;
	if (stream == NULL)
		return 0;
	const struct messages *m = messages_of(stream->id);
	*messages = m->shown;
	return m->count;
}
