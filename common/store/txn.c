#include "common/store/txn.h"
#include "common/base/check.h"

#include <stdlib.h>

/* What is done to one stream. Messages of one stream are one append. */
struct publication {
	struct publication *next;
	char *path;
	enum { PUBLISH, FORK, DELETE } deed;
	char *source; /* FORK */
	uint64_t lineage, position;
	uint32_t *sizes;
	uint32_t count, sizes_room;
	uint8_t *bytes;
	size_t len, room;
	bool close;
};

struct txn {
	struct command command; /* first: done() gets its address */
	struct command *parts;
	uint32_t count, room;
	struct publication *publications, **publications_last;
	size_t bytes;
	void (*done)(void *owner, enum verdict verdict);
	void *owner;
};

struct txn *txn_create(void)
{
	struct txn *txn = xcalloc(1, sizeof *txn);
	txn->publications_last = &txn->publications;
	return txn;
}

static void publication_free(struct publication *p)
{
	free(p->path);
	free(p->source);
	free(p->sizes);
	free(p->bytes);
	free(p);
}

void txn_destroy(struct txn **txn_at)
{
	struct txn *txn = *txn_at;
	*txn_at = NULL;
	if (txn == NULL)
		return;
	for (uint32_t i = 0; i < txn->count; i++) {
		struct command *part = &txn->parts[i];
		if (part->kind != COMMAND_KV)
			continue;
		free((void *)(uintptr_t)part->key.at);
		free((void *)(uintptr_t)part->value.at);
		free((void *)(uintptr_t)part->expect.at);
	}
	for (struct publication *p = txn->publications, *next; p != NULL; p = next) {
		next = p->next;
		publication_free(p);
	}
	free(txn->parts);
	free(txn);
}

static struct command *add_part(struct txn *txn, struct command part)
{
	if (txn->count == txn->room) {
		txn->room = txn->room != 0 ? txn->room * 2 : 8;
		txn->parts = xrealloc(txn->parts, txn->room * sizeof *txn->parts);
	}
	txn->parts[txn->count] = part;
	return &txn->parts[txn->count++];
}

static struct span copy(struct txn *txn, struct span bytes)
{
	if (bytes.at == NULL)
		return bytes;
	uint8_t *at = xmalloc(bytes.len + 1);
	memcpy(at, bytes.at, bytes.len);
	txn->bytes += bytes.len;
	return span_of(at, bytes.len);
}

void txn_put(struct txn *txn, struct span key, struct span expect, struct span value)
{
	add_part(txn, (struct command){.kind = COMMAND_KV,
	                               .key = copy(txn, key),
	                               .value = copy(txn, value),
	                               .expect_present = true,
	                               .expect = copy(txn, expect)});
}

void txn_put_always(struct txn *txn, struct span key, struct span value)
{
	add_part(txn, (struct command){.kind = COMMAND_KV,
	                               .key = copy(txn, key),
	                               .value = copy(txn, value)});
}

static struct publication *publication_of(struct txn *txn, const char *path)
{
	for (struct publication *p = txn->publications; p != NULL; p = p->next)
		if (strcmp(p->path, path) == 0)
			return p;
	struct publication *p = xcalloc(1, sizeof *p);
	p->path = xmemdup_text(path, strlen(path));
	*txn->publications_last = p;
	txn->publications_last = &p->next;
	return p;
}

/* As the store keeps JSON: the raw value with a comma behind it. */
void txn_publish(struct txn *txn, const char *path, struct span json)
{
	struct publication *p = publication_of(txn, path);
	check(json.len != 0 && json.len < 1u << 30);
	if (p->room - p->len < json.len + 1) {
		p->room = (p->len + json.len + 1) * 2;
		p->bytes = xrealloc(p->bytes, p->room);
	}
	if (p->count == p->sizes_room) {
		p->sizes_room = p->sizes_room != 0 ? p->sizes_room * 2 : 4;
		p->sizes = xrealloc(p->sizes, p->sizes_room * sizeof *p->sizes);
	}
	memcpy(p->bytes + p->len, json.at, json.len);
	p->bytes[p->len + json.len] = ',';
	p->len += json.len + 1;
	p->sizes[p->count++] = (uint32_t)json.len + 1;
	txn->bytes += json.len;
}

void txn_stream(struct txn *txn, const char *path)
{
	publication_of(txn, path);
}

static struct publication *deed_of(struct txn *txn, const char *path)
{
	struct publication *p = publication_of(txn, path);
	check(p->count == 0 && !p->close && p->deed == PUBLISH);
	return p;
}

void txn_fork(struct txn *txn, const char *path, const char *source, uint64_t lineage,
              uint64_t position)
{
	struct publication *p = deed_of(txn, path);
	p->deed = FORK;
	p->source = xmemdup_text(source, strlen(source));
	p->lineage = lineage;
	p->position = position;
}

void txn_delete(struct txn *txn, const char *path)
{
	deed_of(txn, path)->deed = DELETE;
}

void txn_close(struct txn *txn, const char *path)
{
	publication_of(txn, path)->close = true;
}

size_t txn_bytes(const struct txn *txn)
{
	return txn->bytes;
}

static void add_deed(struct txn *txn, const struct publication *p)
{
	static const struct span type = {(const uint8_t *)"application/json", 16};
	struct command part = {.kind = COMMAND_CREATE,
	                       .by_owner = true,
	                       .adopt = p->deed == PUBLISH,
	                       .path = span_str(p->path),
	                       .content_type = type};
	if (p->deed == DELETE) {
		part.kind = COMMAND_DELETE;
	} else if (p->deed == FORK) {
		part.fork = true;
		part.fork_source = span_str(p->source);
		part.fork_offset_present = true;
		part.fork_offset = p->position;
		part.fork_offset_lineage = p->lineage;
	}
	add_part(txn, part);
	if (p->count == 0 && !p->close)
		return;
	check(p->deed != DELETE);
	part.fork = false;
	part.kind = COMMAND_APPEND;
	part.close = p->close;
	part.body = (struct batch){p->sizes, p->count, span_of(p->bytes, p->len)};
	add_part(txn, part);
}

static void finish(struct txn *txn)
{
	for (const struct publication *p = txn->publications; p != NULL; p = p->next)
		add_deed(txn, p);
	txn->command = (struct command){
	        .kind = COMMAND_TXN, .parts = txn->parts, .part_count = txn->count};
}

static void on_done(struct command *command)
{
	struct txn *txn = (struct txn *)command;
	txn->done(txn->owner, command->verdict);
	txn_destroy(&txn);
}

void txn_submit(struct txn **txn_at, struct store *store,
                void (*done)(void *owner, enum verdict verdict), void *owner)
{
	struct txn *txn = *txn_at;
	*txn_at = NULL;
	finish(txn);
	txn->done = done;
	txn->owner = owner;
	txn->command.done = on_done;
	store_submit(store, &txn->command);
}

enum verdict txn_execute(struct txn **txn_at, struct store *store)
{
	struct txn *txn = *txn_at;
	finish(txn);
	store_execute(store, &txn->command);
	enum verdict verdict = txn->command.verdict;
	txn_destroy(txn_at);
	return verdict;
}
