/* The roster's order, in blocks of neighbours, and the texts that whoever asks for it gets: a
 * change makes one block's text anew, and a list of ten thousand is a reference to each. */
#include "common/base/check.h"
#include "worker-sse/views/hub_parts.h"

#include <stdlib.h>

static int compare(const struct hub_entry *a, const struct hub_entry *b)
{
	int order = memcmp(a->id, b->id, a->id_len < b->id_len ? a->id_len : b->id_len);
	return order != 0 ? order : a->id_len < b->id_len ? -1 : a->id_len > b->id_len;
}

/* The block in which it stands, or is to stand: the last that does not begin behind it. */
static size_t block_of(const struct hub *hub, const struct hub_entry *e)
{
	size_t low = 0, high = hub->blocks_count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (compare(hub->blocks[middle]->entries[0], e) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static size_t place_of(const struct hub_block *block, const struct hub_entry *e)
{
	size_t place = 0;
	while (place < block->count && compare(block->entries[place], e) < 0)
		place++;
	return place;
}

static struct hub_block *add_block(struct hub *hub, size_t at)
{
	if (hub->blocks_count == hub->blocks_room) {
		hub->blocks_room = hub->blocks_room * 2 + 16;
		hub->blocks = xrealloc(hub->blocks, hub->blocks_room * sizeof *hub->blocks);
	}
	memmove(hub->blocks + at + 1, hub->blocks + at,
	        (hub->blocks_count - at) * sizeof *hub->blocks);
	hub->blocks_count++;
	return hub->blocks[at] = xcalloc(1, sizeof **hub->blocks);
}

static void remove_block(struct hub *hub, size_t at)
{
	chunk_unref(&hub->blocks[at]->text);
	free(hub->blocks[at]);
	hub->blocks_count--;
	memmove(hub->blocks + at, hub->blocks + at + 1,
	        (hub->blocks_count - at) * sizeof *hub->blocks);
}

/* Half of a full one becomes a block of its own. */
static void split(struct hub *hub, size_t at)
{
	struct hub_block *next = add_block(hub, at + 1), *block = hub->blocks[at];
	block->count = HUB_BLOCK_ENTRIES / 2;
	next->count = HUB_BLOCK_ENTRIES - block->count;
	memcpy(next->entries, block->entries + block->count, next->count * sizeof *next->entries);
	chunk_unref(&block->text);
}

void hub_blocks_insert(struct hub *hub, struct hub_entry *e)
{
	if (hub->blocks_count == 0)
		add_block(hub, 0);
	size_t at = block_of(hub, e);
	if (hub->blocks[at]->count == HUB_BLOCK_ENTRIES) {
		split(hub, at);
		at = block_of(hub, e);
	}
	struct hub_block *block = hub->blocks[at];
	size_t place = place_of(block, e);
	memmove(block->entries + place + 1, block->entries + place,
	        (block->count - place) * sizeof *block->entries);
	block->entries[place] = e;
	block->count++;
	hub->count++;
	chunk_unref(&block->text);
}

void hub_blocks_take_out(struct hub *hub, struct hub_entry *e)
{
	size_t at = block_of(hub, e);
	struct hub_block *block = hub->blocks[at];
	size_t place = place_of(block, e);
	check(place < block->count && block->entries[place] == e);
	block->count--;
	hub->count--;
	memmove(block->entries + place, block->entries + place + 1,
	        (block->count - place) * sizeof *block->entries);
	chunk_unref(&block->text);
	if (block->count == 0)
		remove_block(hub, at);
}

void hub_blocks_touch(struct hub *hub, struct hub_entry *e)
{
	chunk_unref(&hub->blocks[block_of(hub, e)]->text);
}

static struct chunk *make_text(const struct hub_block *block)
{
	size_t len = 0;
	for (size_t i = 0; i < block->count; i++)
		len += 1 + block->entries[i]->node_len;
	struct chunk *text = chunk_create(len);
	uint8_t *at = text->bytes;
	for (size_t i = 0; i < block->count; i++) {
		*at++ = ',';
		memcpy(at, block->entries[i]->node, block->entries[i]->node_len);
		at += block->entries[i]->node_len;
	}
	return text;
}

struct hub_list *hub_list_create(const struct hub *hub)
{
	size_t count = hub->blocks_count;
	struct hub_list *list = xmalloc(sizeof *list + count * sizeof *list->texts);
	*list = (struct hub_list){.count = count, .bytes = count > 0 ? 1 : 2};
	for (size_t i = 0; i < count; i++) {
		struct hub_block *block = hub->blocks[i];
		if (block->text == NULL)
			block->text = make_text(block);
		list->texts[i] = chunk_ref(block->text);
		list->bytes += block->text->len;
	}
	return list;
}

void hub_list_destroy(struct hub_list **list)
{
	if (*list == NULL)
		return;
	for (size_t i = 0; i < (*list)->count; i++)
		chunk_unref(&(*list)->texts[i]);
	free(*list);
	*list = NULL;
}
