/* Connections: one person's pipe, a live stream of events and the requests beside it. Its id is
 * chosen by the client and stays over every break; it is an address, and nothing that gives rights.
 * What several workers agree on: the row, and the rules by which it changes. Pure.
 *
 *     connection/CID     who, which generation, whose stream (slot and generation of the worker),
 *                        what it watches, and from where
 *
 *                       open: a stream is here          its holder has ended
 *     (none) --open--> OPEN --close, lost--> WAITING --expire--> (none)
 *                       ^  \                    |
 *                       |   \-- open: taken over, generation + 1
 *                       +------- open ----------+
 *
 * The generation fences everything late. Each stream that is accepted has one, higher than all
 * before it; a close, a write that failed, a timer carry the one that they belong to, and change
 * nothing when the row has another: CONNECTION_STALE. They are judged where the row is written, in
 * the transaction.
 *
 * What is watched is the generation's: a stream that begins without a position has nothing, and is
 * told what to watch; one that begins with a position (the browser's Last-Event-ID) has what was
 * watched, from there on. What is stated is never united with what was before.
 *
 * Every change of what is watched has a revision. A position of the client (an event's id) carries
 * the one that it was made under, and a watch the one that it began with: so a position that is
 * older than a watch says nothing about it. */
#pragma once

#include "common/domain/conversation.h"

#define CONNECTION_KEY "connection/"

enum {
	CONNECTION_CID_LEN = 40,
	CONNECTION_CID_ROOM = CONNECTION_CID_LEN + 1,
	CONNECTION_ID_BYTES = 16, /* of the UUID */
	CONNECTION_SUBJECT_ROOM = 65,
	CONNECTION_KEY_ROOM = sizeof CONNECTION_KEY + CONNECTION_CID_LEN,
	CONNECTION_WATCHES_MAX = 256, /* that a row may have; connections.sessions is below it */
};

/* "cid-" and a UUID of whatever version, in any case: /^cid-HEX8-HEX4-HEX4-HEX4-HEX12$/i. `out` is
 * in lower case, so that there is one of each. No colon ever occurs in one. */
bool connection_cid_read(struct span text, char out[CONNECTION_CID_ROOM]);
/* The UUID of one that is good, and back. */
void connection_cid_bytes(const char *cid, uint8_t out[CONNECTION_ID_BYTES]);
void connection_cid_print(const uint8_t id[CONNECTION_ID_BYTES], char out[CONNECTION_CID_ROOM]);
/* One that the server chooses: a random UUID, version 4. */
void connection_cid_make(const uint8_t random[16], char out[CONNECTION_CID_ROOM]);
struct span connection_key(const char *cid, char out[CONNECTION_KEY_ROOM]);
/* False: it is no such key. */
bool connection_key_cid(struct span key, char out[CONNECTION_CID_ROOM]);

/* ---- the row ---- */

/* A conversation that is watched. */
struct connection_watch {
	char id[CONVERSATION_ID_ROOM];
	uint64_t from;  /* the client has everything before it: a position in its events */
	uint64_t since; /* the revision that it began with, or began anew */
	/* Of the stream that `from` counts in. 0: unknown, of a row of an older release or of one
	 * that was made with its stream. */
	uint64_t lineage;
};

struct connection {
	char cid[CONNECTION_CID_ROOM];
	char subject[CONNECTION_SUBJECT_ROOM]; /* principal; "": nobody in particular */
	uint64_t generation;                   /* of the stream, never 0 */
	uint32_t slot;                         /* of the worker that has it, */
	uint64_t worker;                       /* ... and its generation */
	bool open;
	bool suspended;     /* the client said that it goes to sleep */
	uint64_t due_ms;    /* WAITING: Unix, when it expires */
	uint64_t opened_ms; /* Unix, when this generation began */
	uint64_t revision;  /* of what is watched, never 0 */
	uint64_t stated;    /* the revision in which the client last stated everything */
	uint64_t switched;  /* ... and put another in the foreground */
	char active[CONVERSATION_ID_ROOM]; /* in the foreground; "": none */
	uint32_t takeovers;                /* of a stream that was open, since takeovers_ms */
	uint64_t takeovers_ms;
	struct connection_watch *watches; /* owned */
	size_t count;
	/* Owned: what was watched before a stream began that has nothing, until its client states
	 * what it has. Only their lineages mean anything. */
	struct connection_watch *before;
	size_t before_count;
};

void connection_finish(struct connection *connection);
/* ROW_PRESENT, to be finished; or ROW_UNREADABLE, of another release or damaged. */
enum row_found connection_read(struct connection *connection, struct span value);
/* malloc'd. */
char *connection_text(const struct connection *connection);

/* NULL: it does not watch that. */
const struct connection_watch *connection_find(const struct connection *connection, const char *id);
/* The lineage that the client's cursor in this one counts in; 0: unknown. */
uint64_t connection_lineage(const struct connection *connection, const char *id);
/* Is it this one's? `former`: digests by which he owned before, one behind the other. */
bool connection_is_of(const struct connection *connection, const char *principal,
                      struct span former);

/* ---- how it changes ---- */

enum connection_verdict {
	CONNECTION_DONE,
	CONNECTION_SAME,      /* it is so already: nothing to write */
	CONNECTION_STALE,     /* of a generation that is over */
	CONNECTION_EARLY,     /* its time has not come */
	CONNECTION_CONTESTED, /* open: two clients take it from each other */
	CONNECTION_FULL,      /* more than so many conversations */
};

/* A stream that begins. */
struct connection_opening {
	const char *cid, *subject;
	uint32_t slot;
	uint64_t worker;
	uint64_t now_ms; /* Unix */
	/* More than so many takeovers of an open stream within so long are no accident. */
	uint32_t takeovers_max;
	uint64_t takeovers_window_ms;
	/* It goes on from a position: of this revision, with these conversations in it. */
	bool resumes;
	uint64_t revision;
	const struct connection_watch *places; /* `since` is not looked at */
	size_t places_count;
	bool whole; /* all that the position has is in `places`; else some of it is gone */
};

/* `there`: the row is, else *connection becomes one, to be finished. *took_over: a stream was open.
 * DONE, CONTESTED: then nothing has changed. */
enum connection_verdict connection_open(struct connection *connection, bool there,
                                        const struct connection_opening *opening, bool *took_over);
/* The stream of this generation has ended. It waits for `wait_ms`, suspended for `suspended_ms`. */
enum connection_verdict connection_close(struct connection *connection, uint64_t generation,
                                         uint64_t now_ms, uint64_t wait_ms, uint64_t suspended_ms);
/* Its holder has ended without a word. */
enum connection_verdict connection_lose(struct connection *connection, uint32_t slot,
                                        uint64_t worker, uint64_t now_ms, uint64_t wait_ms);
/* Its holder has the stream, whatever somebody thought: it is open. */
enum connection_verdict connection_hold(struct connection *connection, uint64_t generation);
/* DONE: the row is to go. */
enum connection_verdict connection_expire(const struct connection *connection, uint64_t generation,
                                          uint64_t now_ms);

/* One more; from now on (`tail`), or from where the client says (`stated`). One that is watched
 * stays as it is, unless something is stated. */
enum connection_verdict connection_watch_one(struct connection *connection, const char *id,
                                             bool stated, uint64_t from, size_t max);
enum connection_verdict connection_unwatch(struct connection *connection, const char *id);
/* It counts in this lineage from now on, if it is watched. */
void connection_count_in(struct connection *connection, const char *id, uint64_t lineage);
/* It is not watched, where it counts in another lineage. */
void connection_leave_other(struct connection *connection, const char *id, uint64_t lineage);
/* What the stream of this generation has told of these, as they began (`since`). Without a lineage:
 * that they are not watched; else that they count in that one, and where they are of another, from
 * there. */
enum connection_verdict connection_told(struct connection *connection, uint64_t generation,
                                        const struct connection_watch *told, size_t count);
/* Exactly these, from there on; whatever else was watched is not any more. */
enum connection_verdict connection_state(struct connection *connection,
                                         const struct connection_watch *set, size_t count,
                                         size_t max);
/* The one in the foreground, which is watched from now on, in place of the one before; NULL: none.
 */
enum connection_verdict connection_switch(struct connection *connection, const char *id,
                                          bool stated, uint64_t from, size_t max);
/* It goes to sleep: a hint. What it says to have is believed where it is more than was known. */
enum connection_verdict connection_suspend(struct connection *connection,
                                           const struct connection_watch *places, size_t count,
                                           uint64_t now_ms, uint64_t suspended_ms);

/* A stream stands at `position` in a conversation that it watches since `since`: does the row want
 * it elsewhere? Never back within one watch, for what it was handed is on its way. */
bool connection_moves(const struct connection_watch *watch, uint64_t since, uint64_t position);
