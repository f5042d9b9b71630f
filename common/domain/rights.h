/* Rights: which verbs somebody has, and on which paths. Pure but for memory.
 *
 * A right is a verb and a pattern of paths. Patterns are those of /v1/events (glob.h): "*" within
 * one segment, "**" as a segment of its own for any number of them. One that begins with '/' is a
 * whole path; any other stands below its verb's root, so that read=arena/... means
 * /v1/stream/arena/...
 *
 * Paths and patterns are compared in the canonical form of stream_name.h, which is made here of
 * whatever comes: "%61" is "a", "%2f" is "%2F" and parts no segments, so no other spelling gets
 * around a right. Dot segments are names like others, as they are in streams: nothing resolves
 * them. A query does not belong to a path. A pattern with an escaped '*' is refused: the canonical
 * form of "%2A" is a wildcard, and whoever wrote it meant none.
 *
 * `struct rights` never changes once it is made, and is counted; NULL is one that allows nothing.
 * The count is of one thread. A check takes no memory and goes over the path once, whatever the
 * number of patterns (glob_set.h). */
#pragma once

#include "proto/bytes.h"

#include <jansson.h>

/* V(NAME, text, root, what it is for) */
#define VERBS(V)                                                                                   \
	V(READ, "read", "/v1/stream/", "read streams, markets, duels and feeds")                   \
	V(APPEND, "append", "/v1/stream/", "append to streams and close them")                     \
	V(CREATE, "create", "/v1/stream/", "create and fork streams")                              \
	V(DELETE, "delete", "/v1/stream/", "delete streams")                                       \
	V(RENDER, "render", "/stream/", "order browsers")                                          \
	V(VIEW, "view", "/stream/", "look at pictures, and nothing else")                          \
	V(POST, "post", "/v1/source/", "post a game's facts")                                      \
	V(BET, "bet", "/v1/ledger/", "open an account of one's own")                               \
	V(OPERATE, "operate", "/v1/", "the house, outputs, aborting duels, deciding markets")      \
	V(METRICS, "metrics", "/", "read metrics")                                                 \
	V(SPAWN, "spawn", "/v1/hub/", "see directories, and start the hub's programs there")       \
	V(FRAMES, "frames", "/v1/feeds/", "read the betting services' frames, and nothing else")

#define VERB_ENUM(NAME, ...) VERB_##NAME,
enum verb { VERBS(VERB_ENUM) VERB_COUNT };
#undef VERB_ENUM
/* As a bit, for sets of them. */
#define RIGHT(NAME) (1u << VERB_##NAME)

enum {
	RIGHTS_PATTERNS_MAX = 256, /* of one set, all verbs together; of segments as glob_set.h */
	RIGHTS_PATTERN_MAX = 1024, /* bytes of one, as a whole canonical path */
	RIGHTS_PATH_MAX = 4500,    /* bytes of a canonical path; longer ones are nobody's */
	RIGHTS_REASON_ROOM = 256,  /* for why something is no right */
};

const char *verb_name(enum verb verb);
const char *verb_root(enum verb verb); /* begins and ends with '/' */
const char *verb_about(enum verb verb);
/* False: there is no verb of this name. */
bool verb_find(struct span name, enum verb *verb);

struct rights;

/* ---- making one: a draft takes pieces, and becomes a set ---- */

struct rights_draft;
struct rights_draft *rights_draft_create(void);
/* False, with the reason and the draft as it was before: it is none, or there are too many. What
 * the draft has already is not taken twice. `pattern` in any spelling, whole or below the root. */
bool rights_draft_add(struct rights_draft *draft, enum verb verb, struct span pattern,
                      char reason[RIGHTS_REASON_ROOM]);
/* Every path, of every verb that there is. */
void rights_draft_add_all(struct rights_draft *draft);
/* Words VERB=PATTERN[,PATTERN...] with blanks between them, as in the tokens' file, auth.public and
 * ringsidectl. A comma in a pattern is written %2C. False: what came before the fault is in the
 * draft, which is good for nothing any more. */
bool rights_draft_add_text(struct rights_draft *draft, struct span text,
                           char reason[RIGHTS_REASON_ROOM]);
/* {"read": ["arena/..."], ...}; an unknown verb is a fault. False as above. */
bool rights_draft_add_json(struct rights_draft *draft, const json_t *object,
                           char reason[RIGHTS_REASON_ROOM]);
/* Mercure's claim {"subscribe": [...], "publish": [...]}: to subscribe is to read, to publish to
 * append and create. "*" is everything, an absolute URL its path, "{name}" a segment's "*"; a path
 * stands below the stream root, unless it begins with "/v1/". Other members are not looked at. */
bool rights_draft_add_mercure(struct rights_draft *draft, const json_t *claim,
                              char reason[RIGHTS_REASON_ROOM]);
/* The draft ends; one reference. */
struct rights *rights_draft_finish(struct rights_draft **draft);
void rights_draft_destroy(struct rights_draft **draft);

/* A set of one text; NULL: it is none, with the reason. "" is a set that allows nothing. */
struct rights *rights_of_text(struct span text, char reason[RIGHTS_REASON_ROOM]);

/* What both allow: new, and holds both. Depth is not bounded: whoever makes them of others' sets
 * sees to it. */
struct rights *rights_both(struct rights *one, struct rights *other);

struct rights *rights_hold(struct rights *rights);
/* Gives up one reference; NULL is fine. */
void rights_release(struct rights **rights);

/* ---- asking ---- */

/* `path`: a whole one, from its '/', without a query. */
bool rights_may(const struct rights *rights, enum verb verb, struct span path);
/* Has it the verb at all, be it anywhere? */
bool rights_any(const struct rights *rights, enum verb verb);
/* May it whatever the pattern can match, now and later? `pattern` as in a right. Sure when true;
 * false also where only several patterns together would cover it. */
bool rights_covers(const struct rights *rights, enum verb verb, struct span pattern);
/* The pattern that allows it, whole; NULL: none does. As long as `rights`. */
const char *rights_which(const struct rights *rights, enum verb verb, struct span path);

/* ---- printing: what is read again to the same. Of what both of two allow: those patterns of
 * either that the other covers, so never more than it allows ---- */

/* Words as above, in the order of VERBS; malloc'ed. */
char *rights_text(const struct rights *rights);
/* As above; new reference. Verbs without a pattern are left out. */
json_t *rights_json(const struct rights *rights);
