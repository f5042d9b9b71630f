#include "common/domain/glob_set.h"
#include "common/base/check.h"
#include "common/domain/glob.h"

#include <stdlib.h>

/* A tree of segments: node 0 is where every path begins, and what leads from one node to another is
 * a literal segment (found in `edges`), one with stars (a list), or "**". */
struct node {
	struct span segment;
	uint32_t pattern;         /* that ends here, + 1; 0: none */
	uint16_t wild, next_wild; /* below it with stars, the first; its own next sister */
	uint16_t star;            /* "**" below it */
	bool is_star;
};

struct edge {
	uint16_t from, to; /* to 0: free */
};

struct glob_set {
	size_t count;
	size_t mask; /* of edges */
	struct edge *edges;
	struct node nodes[];
};

static uint64_t hash_of(struct span segment)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	for (size_t i = 0; i < segment.len; i++)
		hash = (hash ^ segment.at[i]) * 0x100000001b3u;
	return hash;
}

/* Where the edge is, or is to be. */
static struct edge *edge_of(const struct glob_set *set, unsigned from, struct span segment,
                            uint64_t hash)
{
	hash = (hash ^ from) * 0x9e3779b97f4a7c15u;
	for (size_t at = hash >> 32;; at++) {
		struct edge *edge = &set->edges[at & set->mask];
		if (edge->to == 0 ||
		    (edge->from == from && span_equal(set->nodes[edge->to].segment, segment)))
			return edge;
	}
}

/* Up to the next slash, which *more says there is, and which is skipped. */
static struct span take_segment(struct span *path, bool *more)
{
	const uint8_t *slash = path->len > 0 ? memchr(path->at, '/', path->len) : NULL;
	struct span segment =
	        span_of(path->at, slash != NULL ? (size_t)(slash - path->at) : path->len);
	size_t used = segment.len + (slash != NULL);
	*path = span_of(path->at + used, path->len - used);
	*more = slash != NULL;
	return segment;
}

size_t glob_segments(struct span pattern)
{
	size_t count = 1;
	for (size_t i = 0; i < pattern.len; i++)
		count += pattern.at[i] == '/';
	return count;
}

/* ---- making one ---- */

static uint16_t make(struct glob_set *set, struct span segment)
{
	set->nodes[set->count] = (struct node){.segment = segment};
	return (uint16_t)set->count++;
}

static uint16_t step_wild(struct glob_set *set, unsigned from, struct span segment)
{
	uint16_t to = set->nodes[from].wild;
	while (to != 0 && !span_equal(set->nodes[to].segment, segment))
		to = set->nodes[to].next_wild;
	if (to != 0)
		return to;
	to = make(set, segment);
	set->nodes[to].next_wild = set->nodes[from].wild;
	set->nodes[from].wild = to;
	return to;
}

static uint16_t step(struct glob_set *set, unsigned from, struct span segment)
{
	if (span_equal(segment, SPAN("**"))) {
		if (set->nodes[from].star == 0) {
			set->nodes[from].star = make(set, segment);
			set->nodes[set->nodes[from].star].is_star = true;
		}
		return set->nodes[from].star;
	}
	if (segment.len > 0 && memchr(segment.at, '*', segment.len) != NULL)
		return step_wild(set, from, segment);
	struct edge *edge = edge_of(set, from, segment, hash_of(segment));
	if (edge->to == 0)
		*edge = (struct edge){(uint16_t)from, make(set, segment)};
	return edge->to;
}

struct glob_set *glob_set_create(const struct span *patterns, size_t count)
{
	size_t segments = 0, room = 4;
	for (size_t i = 0; i < count; i++)
		segments += glob_segments(patterns[i]);
	check(segments <= GLOB_SET_SEGMENTS_MAX);
	while (room < 2 * segments)
		room *= 2;
	struct glob_set *set = xcalloc(1, sizeof *set + (segments + 1) * sizeof *set->nodes);
	set->edges = xcalloc(room, sizeof *set->edges);
	set->mask = room - 1;
	set->count = 1;
	for (size_t i = 0; i < count; i++) {
		struct span left = patterns[i];
		uint16_t at = 0;
		for (bool more = true; more;) {
			struct span segment = take_segment(&left, &more);
			at = step(set, at, segment);
		}
		if (set->nodes[at].pattern == 0)
			set->nodes[at].pattern = (uint32_t)i + 1;
	}
	return xrealloc(set, sizeof *set + set->count * sizeof *set->nodes);
}

void glob_set_destroy(struct glob_set **out)
{
	struct glob_set *set = *out;
	*out = NULL;
	if (set == NULL)
		return;
	free(set->edges);
	free(set);
}

/* ---- asking ---- */

/* The nodes that the path so far leads to, each once: of `nodes` the first count. A "**" that it
 * has come to stays. */
struct walk {
	const struct node *tree;
	uint16_t *nodes;
	size_t count;
	uint64_t stars[GLOB_SET_SEGMENTS_MAX / 64 + 1]; /* that have been come to: bits */
	uint32_t found;                                 /* as pattern of a node: whatever follows */
};

static void come_to(struct walk *walk, uint16_t node)
{
	walk->nodes[walk->count++] = node;
	/* No segment at all will do for "**". */
	for (uint16_t star = walk->tree[node].star; star != 0; star = walk->tree[star].star) {
		uint64_t bit = 1ull << (star & 63);
		if ((walk->stars[star >> 6] & bit) != 0)
			return;
		walk->stars[star >> 6] |= bit;
		walk->nodes[walk->count++] = star;
		if (walk->tree[star].pattern != 0)
			walk->found = walk->tree[star].pattern;
	}
}

static void go_on(const struct glob_set *set, struct walk *walk, uint16_t node, struct span segment,
                  uint64_t hash)
{
	const struct edge *edge = edge_of(set, node, segment, hash);
	if (set->nodes[node].is_star)
		walk->nodes[walk->count++] = node;
	if (edge->to != 0)
		come_to(walk, edge->to);
	for (uint16_t wild = set->nodes[node].wild; wild != 0; wild = set->nodes[wild].next_wild)
		if (glob_segment_matches(set->nodes[wild].segment, segment))
			come_to(walk, wild);
}

size_t glob_set_find(const struct glob_set *set, struct span path)
{
	uint16_t rooms[2][GLOB_SET_SEGMENTS_MAX + 1];
	struct walk walk;
	walk.tree = set->nodes;
	walk.nodes = rooms[0];
	walk.count = 0;
	walk.found = 0;
	memset(walk.stars, 0, (set->count / 64 + 1) * sizeof *walk.stars);
	come_to(&walk, 0);
	bool more = true;
	for (unsigned turn = 1; more && walk.count > 0 && walk.found == 0; turn++) {
		const uint16_t *former = walk.nodes;
		size_t count = walk.count;
		struct span segment = take_segment(&path, &more);
		uint64_t hash = hash_of(segment);
		walk.nodes = rooms[turn & 1];
		walk.count = 0;
		for (size_t i = 0; i < count; i++)
			go_on(set, &walk, former[i], segment, hash);
	}
	for (size_t i = 0; i < walk.count && walk.found == 0; i++)
		walk.found = set->nodes[walk.nodes[i]].pattern;
	return walk.found != 0 ? walk.found - 1 : SIZE_MAX;
}
