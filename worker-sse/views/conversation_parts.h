/* Inside conversations: a call and its turn (conversation_turn.c), the registry
 * (conversation_registry.c, conversation_list.c), what is said (conversation_talk.c,
 * conversation_answer.c), who is there and the rest (conversation_room.c), an old registry
 * (conversation_import.c); who serves one: leases (conversation_lease.c), whoever waits for the
 * next one (conversation_next.c), agents that are asked by an endpoint (conversation_agents.c,
 * conversation_invoke.c). */
#pragma once

#include "common/domain/conversation.h"
#include "common/store/actor.h"
#include "worker-sse/views/worker.h"

struct conversation_queue;
struct conversation_waiter;
struct conversation_invocation;
struct http_posts;

/* Of one worker. */
struct conversations {
	struct sse_worker *worker;
	struct fanout_observer observer;
	uint64_t count;                    /* that there are, as the view has it */
	struct conversation_queue *queues; /* hash by id: who is at work, and who waits behind */
	uint64_t due_count;                /* conversations with something to deal with */
	struct wheel_node due;             /* one of them may be given now, or has changed */
	struct conversation_waiter *waiters, **waiters_last; /* in the order in which they came */
	struct conversation_invocation *invocations;         /* hash by id */
	struct http_posts *posts;                            /* NULL: nobody was asked yet */
	bool look_soon; /* one that is due was passed over, as somebody is at work on it */
	bool stopping;
};

/* One request that reads or changes a conversation. Calls of one conversation have their turns one
 * after another in this worker, in the order in which they came; other workers' are excluded by the
 * row, and a step then runs again. */
struct conversation_call {
	struct actor actor;
	struct request *request;
	struct conversations *all;
	struct conversation_queue *queue;
	struct conversation_call *next;
	bool coded; /* faults have a code and the id (/v1/sessions), else a text alone */
	/* Judges, and says what to answer; puts and publishes what is to become. Has no other
	 * effect, for it may run again. */
	void (*step)(struct conversation_call *call);
	void (*verb_step)(struct conversation_call *call); /* behind it, where there is one */
	/* What who asks must be allowed about its stream `about`, unless it is his: bits, of which
	 * one is enough. To make what is not there it is CREATE. */
	unsigned verbs;
	const char *about;
	bool makes;
	char id[CONVERSATION_ID_ROOM];
	char argument[CONVERSATION_ID_ROOM]; /* what follows the verb in the path; "": nothing */
	json_t *body;                        /* NULL: none */
	char actor_id[CONVERSATION_NAME_MAX + 1]; /* who speaks */
	char message[CONVERSATION_ID_ROOM];       /* of what is said */
	char digest[CONVERSATION_DIGEST_ROOM];
	bool strict, cascade;
	bool own;       /* the product itself asks: it may */
	bool due_only;  /* a lease of one that is due, of none else */
	bool last;      /* its piece is the answer's last */
	uint64_t dealt; /* agents with an endpoint that have dealt with the item; 0: not said */
	uint64_t dealt_from; /* with `dealt`: what was done before the item */
	uint64_t epoch;      /* of the lease by which it is said; 0: by none */
	uint64_t done;       /* what the holder of the lease has dealt with; UINT64_MAX: not said */

	/* ---- of a step ---- */
	struct actor_change *change;
	uint64_t now_ms; /* Unix */
	bool there;      /* the conversation is */
	struct conversation row;
	/* Of its events and its inbox, with what was published; UINT64_MAX: not looked up. */
	uint64_t tail, inbox_tail;
	uint64_t due_ms; /* where its row among those that are due stands; 0: nowhere */
	bool due_asked;
	bool write;
	unsigned status;
	json_t *answer;                                /* NULL: none */
	void (*count)(struct conversation_call *call); /* when it is durable; may be NULL */
	uint32_t pieces;
	bool tagged; /* the answer has an ETag, and with HEAD and GET may be 304 */
};

/* ---- conversation_turn.c ---- */

/* Of the conversation `id`, a good one. */
struct conversation_call *conversation_call_create(struct request *request, struct span id,
                                                   bool coded);
/* Takes the call; answers by and by. */
void conversation_call_run(struct conversation_call *call);
/* Is somebody at work on it here? */
bool conversation_at_work(struct conversations *all, const char *id);
/* For one that is not run. */
void conversation_call_free(struct conversation_call *call);

/* Of a step: what is answered. `code` NULL: of the status. Takes `answer`. */
void conversation_answer(struct conversation_call *call, unsigned status, json_t *answer);
void conversation_fault(struct conversation_call *call, unsigned status, const char *code,
                        const char *text);

/* May who asks do it about this stream of a conversation, whoever owns that? False: answered. */
bool conversation_allowed(struct conversation_call *call, unsigned verbs, struct span path);
/* Is it who asks whose it is? */
bool conversation_owned(const struct request *request, const struct conversation *conversation);

/* The row is written as it is in call->row: with everything that is published. */
void conversation_put(struct conversation_call *call);
/* Makes it. False: conversations.max is reached, answered. */
bool conversation_make(struct conversation_call *call, const char *title, const char *created_by);
/* Its streams are there when this is durable: one from an old registry has none yet. */
void conversation_open_streams(struct conversation_call *call);
/* Tells those who follow the registry. */
void conversation_tell_change(struct conversation_call *call, const char *type);
/* One more event; returns the position behind it. Takes `event`. */
uint64_t conversation_say(struct conversation_call *call, json_t *event);
/* For the agent. Takes `item`, which gets its `inboxSeq`: the position behind it. */
void conversation_hand_in(struct conversation_call *call, json_t *item);
uint64_t conversation_inbox_tail(struct conversation_call *call);

/* What is remembered of a message. False: unreadable, answered. */
bool conversation_recall(struct conversation_call *call, const char *message,
                         struct conversation_message *into, bool *known);
/* `fresh`: it was not known; the oldest may be forgotten for it. */
void conversation_remember(struct conversation_call *call, const char *message,
                           const struct conversation_message *what, bool fresh);
/* Below this prefix ("conversation.message/ID/") every row goes. */
void conversation_forget_rows(struct conversation_call *call, const char *prefix);

/* At once, without a call. */
void conversation_reply(struct request *request, unsigned status, const json_t *answer);
void conversation_reply_fault(struct request *request, unsigned status, const char *code,
                              const char *id, const char *text);
/* Of an answer's text; returns a span over `out`. */
struct span conversation_etag(struct span text, char out[32]);

/* A random id, a UUID. */
void conversation_random_id(char out[CONVERSATION_ID_ROOM]);

/* ---- conversation_registry.c ---- */

void conversation_ensure_step(struct conversation_call *call);
void conversation_get_step(struct conversation_call *call);
void conversation_delete_step(struct conversation_call *call);

/* ---- conversation_list.c ---- */

void conversation_list(struct request *request);

/* ---- conversation_talk.c, conversation_answer.c, conversation_room.c ---- */

/* Reads what a route needs from the body into the call. NULL: fine; else a fault, 400. */
const char *conversation_message_take(struct conversation_call *call);
void conversation_message_step(struct conversation_call *call);
const char *conversation_result_take(struct conversation_call *call);
void conversation_result_step(struct conversation_call *call);
const char *conversation_approval_take(struct conversation_call *call);
void conversation_approval_step(struct conversation_call *call);
const char *conversation_reply_take(struct conversation_call *call);
void conversation_reply_step(struct conversation_call *call);

const char *conversation_piece_take(struct conversation_call *call);
const char *conversation_pieces_take(struct conversation_call *call);
void conversation_pieces_step(struct conversation_call *call);
const char *conversation_end_take(struct conversation_call *call);
void conversation_begin_step(struct conversation_call *call);
void conversation_finish_step(struct conversation_call *call);
void conversation_stop_step(struct conversation_call *call);

/* Of the answer that is being generated: with `reason` one last piece that says so, and nothing
 * more of it is taken. False: unreadable, answered. */
bool conversation_end_generation(struct conversation_call *call, const char *actor,
                                 const char *reason);

const char *conversation_login_take(struct conversation_call *call);
void conversation_login_step(struct conversation_call *call);
const char *conversation_logout_take(struct conversation_call *call);
void conversation_logout_step(struct conversation_call *call);
void conversation_reset_step(struct conversation_call *call);
const char *conversation_fork_take(struct conversation_call *call);
void conversation_fork_step(struct conversation_call *call);

/* A member of the body that is to be a text of at most `max` bytes; NULL: it is not there, is null,
 * or (then *fault says so) is something else. */
const char *conversation_body_text(const struct conversation_call *call, const char *name,
                                   size_t max, const char **fault);
/* The message that `name` names, else a new one, into call->message. */
const char *conversation_body_message(struct conversation_call *call, const char *name);

/* ---- conversation_lease.c ---- */

/* `epoch` and `done` of the body into the call. NULL: fine, or not there; else a fault. */
const char *conversation_lease_members(struct conversation_call *call);
/* What an agent says: may it? False: answered. */
bool conversation_fenced(struct conversation_call *call);
/* It has said so: its lease lasts longer, and what it has dealt with is done. False: answered. */
bool conversation_spoken(struct conversation_call *call);

const char *conversation_lease_take(struct conversation_call *call);
void conversation_lease_step(struct conversation_call *call);
void conversation_lease_look_step(struct conversation_call *call);
const char *conversation_keep_take(struct conversation_call *call);
void conversation_renew_step(struct conversation_call *call);
void conversation_release_step(struct conversation_call *call);

/* ---- conversation_next.c ---- */

/* POST /v1/sessions/$next/lease: whichever conversation waits, now or within a time. */
void conversation_next(struct request *request);
/* Those that are due may have changed. */
void conversation_due_changed(struct conversations *all);
/* All that wait are answered that there is none: this worker stops. */
void conversation_next_stop(struct conversations *all);

/* Visits conversations that may be given now (with `asked` those that are for agents with an
 * endpoint), the longest due first, until it returns false. Returns when the next one may, Unix ms;
 * UINT64_MAX: none. */
uint64_t conversation_due_each(struct conversations *all, bool asked,
                               bool (*visit)(void *arg, const struct conversation *row), void *arg);

/* ---- conversation_agents.c ---- */

const char *conversation_agents_take(struct conversation_call *call);
void conversation_agents_step(struct conversation_call *call);
void conversation_agents_look_step(struct conversation_call *call);
void conversation_agents_drop_step(struct conversation_call *call);
/* All of them as events: for who has forgotten everything. False: unreadable, answered. */
bool conversation_agents_say(struct conversation_call *call);
/* What is registered, a new array; NULL: nothing, or it cannot be read. */
json_t *conversation_agents_read(struct span value);

/* ---- conversation_invoke.c ---- */

/* Asks the agents of those that wait for them, as many as may be. Returns when the next one may
 * wait, Unix ms; UINT64_MAX: none. */
uint64_t conversation_invoke_due(struct conversations *all);

/* ---- conversation_import.c ---- */

/* 0, or an exit code. */
int conversation_import_file(struct sse_worker *w);
