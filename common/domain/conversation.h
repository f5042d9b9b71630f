/* Conversations: a long exchange between people and an agent, which its wires call a session. What
 * several programs agree on: names of rows and streams, what rows consist of, the rules that a
 * message, a piece of an answer and a generation are judged by, and how events look. Pure.
 *
 *     conversation/ID                    the row; and when it was created, for the order of lists:
 *     conversation.time/CCCCCCCCCCCCCCCC/ID
 *     conversation.message/ID/MESSAGE    a message that was begun or sent: digest, receipt, and how
 *                                        many pieces it has
 *     conversation.slot/ID/N             whose place among the remembered ones N is
 *     conversation.presence/ID           who is there
 *     conversation.agents/ID             who is asked by an endpoint, and where that is
 *     conversation.due/WWWWWWWWWWWWWWWW/ID
 *                                        there is something to deal with, since or from then on;
 *     conversation.ask/...               the same, where it is for agents with an endpoint
 *     /v1/stream/conversations/ID/events what happened, for everybody who watches
 *     /v1/stream/conversations/ID/inbox  what people sent, for the agent
 *     /v1/stream/conversations/changes   of all conversations: created, changed, deleted
 *
 * Everything that writes one of the streams changes the row in the same transaction: so two writers
 * exclude each other, and where a stream's tail will be is known before it is. */
#pragma once

#include "common/store/row.h"

#define CONVERSATION_KEY          "conversation/"
#define CONVERSATION_TIME_KEY     "conversation.time/"
#define CONVERSATION_MESSAGE_KEY  "conversation.message/"
#define CONVERSATION_SLOT_KEY     "conversation.slot/"
#define CONVERSATION_PRESENCE_KEY "conversation.presence/"
#define CONVERSATION_AGENTS_KEY   "conversation.agents/"
#define CONVERSATION_DUE_KEY      "conversation.due/"
#define CONVERSATION_ASK_KEY      "conversation.ask/"
#define CONVERSATION_ROOT         "/v1/stream/conversations/"
#define CONVERSATION_CHANGES      CONVERSATION_ROOT "changes"

enum {
	CONVERSATION_ID_MAX = 128,
	CONVERSATION_ID_ROOM = CONVERSATION_ID_MAX + 1,
	CONVERSATION_TITLE_MAX = 1024, /* bytes; the same of whoever created it and of names */
	CONVERSATION_NAME_MAX = 256,
	CONVERSATION_AGENT_MAX = 200, /* bytes of an agent's id */
	CONVERSATION_DIGEST_ROOM = 65,
	CONVERSATION_KEY_ROOM = 320,
	CONVERSATION_PATH_ROOM = sizeof CONVERSATION_ROOT + CONVERSATION_ID_MAX + 16,
	CONVERSATION_TIME_DIGITS = 16,
};

/* 1 to 128 of A-Z a-z 0-9 . _ ~ -, and neither "." nor "..", which clients take out of paths. */
bool conversation_id_good(struct span id);

/* ---- the row ---- */

struct conversation {
	char id[CONVERSATION_ID_ROOM];
	char title[CONVERSATION_TITLE_MAX + 1];
	char created_by[CONVERSATION_NAME_MAX + 1]; /* as whoever created it said; "": not said */
	char owner[CONVERSATION_DIGEST_ROOM];       /* principal; "": nobody's */
	uint64_t created_ms, changed_ms;            /* Unix */
	uint64_t revision;                          /* one more at each change of what is said */
	uint64_t messages; /* that were remembered, ever: the next one's slot */
	/* The message of the answer that is being generated; "": none. One at a time. */
	char generation[CONVERSATION_ID_ROOM];
	char fork_source[CONVERSATION_ID_ROOM]; /* whose events it began with; "": none */
	/* Where its streams ended when they were last written to: so the row is another with each
	 * thing that is said, and whoever said something at the same time begins again. */
	uint64_t said, handed;
	/* ---- who serves it (below) ---- */
	char agent[CONVERSATION_AGENT_MAX + 1];     /* who has the lease; "": nobody */
	char agent_owner[CONVERSATION_DIGEST_ROOM]; /* its principal */
	uint64_t epoch; /* of the lease that was given last; 0: none ever was */
	uint64_t lease_ms, lease_until_ms;
	uint64_t done;   /* position in the inbox: everything before it was dealt with */
	uint64_t due_ms; /* it may be given from then on; 0: there is nothing to deal with */
	uint64_t generation_epoch; /* by which lease the answer was begun; 0: by none */
	bool served;     /* an agent that takes no leases answers here: it is given to nobody */
	uint64_t agents; /* that are registered with an endpoint: it is given to them alone */
	uint64_t step;   /* how many of them have dealt with the item behind `done` */
};

/* ROW_PRESENT or ROW_UNREADABLE, of another release or damaged. */
enum row_found conversation_read(struct conversation *conversation, struct span value);
/* malloc'd. */
char *conversation_text(const struct conversation *conversation);

struct span conversation_key(const char *id, char out[CONVERSATION_KEY_ROOM]);
/* Newest first: below CONVERSATION_TIME_KEY in byte order. */
struct span conversation_time_key(const char *id, uint64_t created_ms,
                                  char out[CONVERSATION_KEY_ROOM]);
/* False: it is no such key. *id points into it. */
bool conversation_time_key_id(struct span key, struct span *id);
struct span conversation_message_key(const char *id, const char *message,
                                     char out[CONVERSATION_KEY_ROOM]);
struct span conversation_slot_key(const char *id, uint64_t slot, char out[CONVERSATION_KEY_ROOM]);
struct span conversation_presence_key(const char *id, char out[CONVERSATION_KEY_ROOM]);
struct span conversation_agents_key(const char *id, char out[CONVERSATION_KEY_ROOM]);
/* Soonest first: below CONVERSATION_DUE_KEY in byte order, or with `asked` CONVERSATION_ASK_KEY. */
struct span conversation_due_key(const char *id, bool asked, uint64_t due_ms,
                                 char out[CONVERSATION_KEY_ROOM]);
/* False: it is neither. *id points into it. */
bool conversation_due_key_read(struct span key, uint64_t *due_ms, struct span *id);
/* `stream` is "events" or "inbox". */
const char *conversation_path(const char *id, const char *stream, char out[CONVERSATION_PATH_ROOM]);

/* ---- what is remembered of a message ---- */

/* Of a person's message the receipt; of an answer where it is. At most so many of a conversation,
 * in a ring of slots: then the oldest is forgotten. */
struct conversation_message {
	char digest[CONVERSATION_DIGEST_ROOM]; /* of what was sent; "": pieces of an answer */
	uint64_t pieces;                       /* events it has: the number of the next */
	uint64_t position; /* in events, behind its last one: "seq" on the wire */
	uint64_t at_ms;
	bool ended;    /* finished or stopped: it takes no more */
	bool finished; /* by its own last piece */
};

enum row_found conversation_message_read(struct conversation_message *message, struct span value);
char *conversation_message_text(const struct conversation_message *message);

/* Of everything that was sent but its transport: SHA-256 in hexadecimal of the JSON with its
 * members in order. */
void conversation_digest(const json_t *payload, char out[CONVERSATION_DIGEST_ROOM]);

/* ---- rules ---- */

enum conversation_verdict {
	CONVERSATION_TAKEN,
	CONVERSATION_REPEATED,   /* it is there, the same: the receipt of then */
	CONVERSATION_CONFLICT,   /* its id is there with something else */
	CONVERSATION_GENERATING, /* another answer is being generated */
	CONVERSATION_ENDED,      /* this answer was finished or stopped */
};

/* What a person sends; `known` at NULL: nothing of that id is remembered. */
enum conversation_verdict conversation_judge_message(const struct conversation_message *known,
                                                     const char *digest);
/* A piece of an answer: it begins the generation where none runs. */
enum conversation_verdict conversation_judge_piece(const struct conversation *conversation,
                                                   const struct conversation_message *known,
                                                   const char *message);
/* The end of one, by its agent or because somebody stopped it; `message` NULL: whichever runs. */
enum conversation_verdict conversation_judge_end(const struct conversation *conversation,
                                                 const char *message);

/* ---- who serves it ----
 *
 * A conversation with something to deal with is given to one agent at a time, under a lease:
 *
 *     nothing --received--> due --give--> leased --renew, done--> leased --release--> nothing, due
 *                                           \--time passes--> due: given to the next
 *
 * Each lease has an epoch, one more than the one before, and what an agent says carries it: of an
 * older one nothing is taken. The first is the time, so that one of a deleted conversation is none
 * of the next that has its name. A lease whose time is over is still its agent's as long as nobody
 * else was given it. `tail` is the inbox's, with what this transaction puts there. */

/* Something is about to be put into the inbox, whose tail was `before`. */
void conversation_received(struct conversation *conversation, uint64_t before, uint64_t now_ms);
/* May this agent of this principal have it now? It may take it from its own former life. */
bool conversation_is_free(const struct conversation *conversation, const char *agent,
                          const char *owner, uint64_t now_ms);
void conversation_give(struct conversation *conversation, const char *agent, const char *owner,
                       uint64_t lease_ms, uint64_t tail, uint64_t now_ms);

enum conversation_fence {
	CONVERSATION_OPEN, /* it may be said */
	CONVERSATION_LOST, /* this lease is over */
	CONVERSATION_HELD, /* it was said without a lease, and another has one */
};
/* `epoch` 0: it has none. */
enum conversation_fence conversation_fence(const struct conversation *conversation, uint64_t epoch,
                                           uint64_t now_ms);
/* The holder has said something. */
void conversation_renew(struct conversation *conversation, uint64_t tail, uint64_t now_ms);
/* It has dealt with everything up to there. False: that is beyond the tail. Less than it had said
 * is fine. */
bool conversation_deal(struct conversation *conversation, uint64_t done, uint64_t tail,
                       uint64_t now_ms);
void conversation_release(struct conversation *conversation, uint64_t tail, uint64_t now_ms);
/* Somebody answers without a lease, or it is for others from here on, or was reset: what is in the
 * inbox waits for nobody. */
void conversation_forgo(struct conversation *conversation, uint64_t tail);

/* ---- what is on the wires; each a new reference ---- */

/* Unix ms as text: RFC 3339, to the millisecond. */
json_t *conversation_time(uint64_t at_ms);
/* SessionInfo: sessionId, title, createdBy where it was said, createdAt, in that order. */
json_t *conversation_info(const struct conversation *conversation);
/* Is every word of `words` (UTF-8, parted by blanks) somewhere in its id, its title or who created
 * it? Case is the same for A to Z only. No word is in everything. */
bool conversation_matches(const struct conversation *conversation, struct span words);
/* An event of the registry: {"type":"created","session":INFO}; also changed, deleted. */
json_t *conversation_change(const char *type, const struct conversation *conversation);

/* Events are state messages, as the client's package reads them: type, key, value, headers. `chunk`
 * becomes a text within; `txid` NULL: none. */
json_t *conversation_piece_event(const char *message, uint64_t number, const char *actor,
                                 const char *role, const json_t *chunk, uint64_t at_ms,
                                 const char *txid);
/* A message of one piece, in the form that a user's has. */
json_t *conversation_whole_message(const char *message, const char *role, const char *content,
                                   uint64_t at_ms);
json_t *conversation_reset_event(void);

/* ---- who is there ---- */

/* "user" or "agent". */
struct conversation_presence {
	const char *actor, *device, *actor_type, *name; /* name NULL: not said */
	bool online;
};
json_t *conversation_presence_event(const struct conversation_presence *presence, uint64_t at_ms);
/* The row: an object of presence values by "ACTOR:DEVICE". NULL: unreadable. */
json_t *conversation_presence_read(struct span value);
/* Takes it into the row, or out of it when it is offline. False: `max` are there already. */
bool conversation_presence_put(json_t *row, const struct conversation_presence *presence,
                               uint64_t at_ms, size_t max);

/* ---- an old registry's sessions.json ---- */

/* One of its entries as a row, as far as it can be: numbers become texts, a time that cannot be
 * read `at_ms`. NULL: fine; else why it cannot be taken, for people. */
const char *conversation_import(const json_t *entry, uint64_t at_ms,
                                struct conversation *conversation);
