/* Leases: one agent at a time has a conversation to itself, and what it says carries the lease's
 * epoch. The rules are conversation.h's. */
#include "common/base/check.h"
#include "common/store/offset.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>

enum { LEASE_MS_MIN = 1000, LEASE_MS_MAX = 600000 };

/* ---- what a body has ---- */

static bool take_number(const json_t *body, const char *name, uint64_t *out, const char **fault)
{
	const json_t *value = json_object_get(body, name);
	if (value == NULL || json_is_null(value))
		return false;
	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		*fault = "epoch, done and leaseMs must be whole numbers";
		return false;
	}
	*out = (uint64_t)json_integer_value(value);
	return true;
}

const char *conversation_lease_members(struct conversation_call *call)
{
	const char *fault = NULL;
	const json_t *last = json_object_get(call->body, "finish");
	if (last != NULL && !json_is_null(last) && !json_is_boolean(last))
		return "finish must be true or false";
	call->last = json_is_true(last);
	if (take_number(call->body, "epoch", &call->epoch, &fault) && call->epoch == 0)
		return "an epoch is 1 or more";
	if (take_number(call->body, "done", &call->done, &fault) && call->epoch == 0)
		return "what is done is said with the lease's epoch";
	return fault;
}

static const char *lease_ms_fault(const struct conversation_call *call)
{
	uint64_t ms = LEASE_MS_MIN;
	const char *fault = NULL;
	take_number(call->body, "leaseMs", &ms, &fault);
	if (fault == NULL && (ms < LEASE_MS_MIN || ms > LEASE_MS_MAX))
		fault = "leaseMs must be from 1000 to 600000";
	return fault;
}

const char *conversation_lease_take(struct conversation_call *call)
{
	const char *fault = NULL;
	const char *agent = conversation_body_text(call, "agent", CONVERSATION_AGENT_MAX, &fault);
	if (agent == NULL || *agent == '\0' ||
	    strlen(agent) != json_string_length(json_object_get(call->body, "agent")))
		return "agent must be a string of 1 to 200 bytes";
	return lease_ms_fault(call);
}

const char *conversation_keep_take(struct conversation_call *call)
{
	const char *fault = conversation_lease_members(call);
	if (fault == NULL && call->epoch == 0)
		fault = "epoch must be that of the lease";
	return fault != NULL ? fault : lease_ms_fault(call);
}

/* ---- what is answered ---- */

static void set(json_t *object, const char *name, json_t *value)
{
	check(json_object_set_new(object, name, value) == 0);
}

static void fault_with_holder(struct conversation_call *call, const char *code, const char *text)
{
	conversation_fault(call, 409, code, text);
	set(call->answer, "epoch", json_integer((json_int_t)call->row.epoch));
	if (*call->row.agent == '\0')
		return;
	set(call->answer, "agent", json_string(call->row.agent));
	set(call->answer, "leaseUntil", conversation_time(call->row.lease_until_ms));
}

/* Where in the inbox whoever has the lease goes on. */
static json_t *inbox_offset(struct conversation_call *call)
{
	char path[CONVERSATION_PATH_ROOM], text[OFFSET_ROOM];
	const struct stream *inbox =
	        state_find(store_view(call->all->worker->store),
	                   span_str(conversation_path(call->id, "inbox", path)));
	struct span offset = offset_print(inbox != NULL ? inbox->lineage : 0, call->row.done, text);
	return json_stringn((const char *)offset.at, offset.len);
}

static bool set_generation(struct conversation_call *call, json_t *answer)
{
	struct conversation_message message = {0};
	bool known;
	if (*call->row.generation == '\0')
		return true;
	if (!conversation_recall(call, call->row.generation, &message, &known))
		return false;
	set(answer, "generation",
	    json_pack("{s:s, s:I}", "messageId", call->row.generation, "pieces",
	              (json_int_t)message.pieces));
	return true;
}

static void answer_lease(struct conversation_call *call)
{
	const struct conversation *row = &call->row;
	json_t *answer = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:b}", "sessionId",
	                           call->id, "agent", row->agent, "epoch", (json_int_t)row->epoch,
	                           "leaseMs", (json_int_t)row->lease_ms, "leaseUntil",
	                           conversation_time(row->lease_until_ms), "inbox",
	                           inbox_offset(call), "done", (json_int_t)row->done, "pending",
	                           conversation_inbox_tail(call) > row->done);
	check(answer != NULL);
	if (set_generation(call, answer))
		conversation_answer(call, 200, answer);
	else
		json_decref(answer);
}

void conversation_lease_look_step(struct conversation_call *call)
{
	const struct conversation *row = &call->row;
	bool held = *row->agent != '\0' && call->now_ms < row->lease_until_ms;
	json_t *answer = json_pack("{s:s, s:I, s:I, s:b, s:b, s:b}", "sessionId", call->id, "epoch",
	                           (json_int_t)row->epoch, "done", (json_int_t)row->done, "pending",
	                           row->due_ms != 0, "waiting", row->due_ms != 0 && !held, "served",
	                           row->served);
	check(answer != NULL);
	if (held) {
		set(answer, "agent", json_string(row->agent));
		set(answer, "leaseUntil", conversation_time(row->lease_until_ms));
	}
	conversation_answer(call, 200, answer);
}

/* ---- steps ---- */

static uint64_t lease_ms(const struct conversation_call *call, uint64_t standard)
{
	const json_t *value = json_object_get(call->body, "leaseMs");
	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : standard;
}

static void count_lease(struct conversation_call *call)
{
	counter_add(call->all->worker->counters, conversation_leases_total, 1);
}

static bool is_due(const struct conversation_call *call)
{
	const struct conversation *row = &call->row;
	return call->there && row->due_ms != 0 && row->due_ms <= call->now_ms &&
	       (row->agents > 0) == call->own;
}

void conversation_lease_step(struct conversation_call *call)
{
	const char *agent = json_string_value(json_object_get(call->body, "agent"));
	const char *owner = call->own ? "" : call->request->identity->principal;
	if (call->due_only && !is_due(call)) {
		conversation_fault(call, 409, "NOT_WAITING", "somebody else was faster");
		return;
	}
	if (!call->there && !conversation_make(call, call->id, ""))
		return;
	if (!conversation_is_free(&call->row, agent, owner, call->now_ms)) {
		fault_with_holder(call, "LEASED", "another agent has this conversation");
		return;
	}
	conversation_open_streams(call);
	conversation_give(&call->row, agent, owner,
	                  lease_ms(call, call->all->worker->settings->conversations_lease_ms),
	                  conversation_inbox_tail(call), call->now_ms);
	conversation_put(call);
	call->count = count_lease;
	answer_lease(call);
}

static void fault_fenced(struct conversation_call *call, enum conversation_fence fence)
{
	counter_add(call->all->worker->counters, conversation_fenced_total, 1);
	if (fence == CONVERSATION_LOST)
		fault_with_holder(call, "LEASE_LOST", "this lease is over");
	else
		fault_with_holder(call, "LEASED",
		                  "another agent has this conversation: what is said without the "
		                  "epoch of its lease is not taken");
}

bool conversation_fenced(struct conversation_call *call)
{
	enum conversation_fence fence = conversation_fence(&call->row, call->epoch, call->now_ms);
	if (fence != CONVERSATION_OPEN)
		fault_fenced(call, fence);
	return fence == CONVERSATION_OPEN;
}

/* Is that between two items, and there? */
static bool is_place(struct conversation_call *call, uint64_t done)
{
	char path[CONVERSATION_PATH_ROOM];
	struct store *store = call->all->worker->store;
	const struct stream *inbox =
	        state_find(store_view(store), span_str(conversation_path(call->id, "inbox", path)));
	return inbox != NULL && done <= inbox->tail && store_boundary(store, inbox, done);
}

/* Its agents know one another without leases: it waits for nobody. */
static void mark_served(struct conversation_call *call)
{
	struct conversation *row = &call->row;
	if (row->served || row->epoch != 0 || row->agents > 0 || !call->write)
		return;
	row->served = true;
	conversation_forgo(row, conversation_inbox_tail(call));
	conversation_put(call);
}

bool conversation_spoken(struct conversation_call *call)
{
	struct conversation *row = &call->row;
	uint64_t tail = conversation_inbox_tail(call);
	if (call->epoch == 0) {
		mark_served(call);
		return true;
	}
	/* What it had said already is fine, also where retention has taken that since. */
	if (call->done != UINT64_MAX && call->done > row->done && !is_place(call, call->done)) {
		conversation_fault(call, 400, "INVALID_BODY",
		                   "done must be the inboxSeq of an item that is there");
		return false;
	}
	if (call->dealt != 0 && call->dealt_from == row->done) /* else it was forgone */
		row->step = call->dealt;
	if (call->done != UINT64_MAX)
		check(conversation_deal(row, call->done, tail, call->now_ms));
	/* Not at each piece: that would move its row among those that are due. */
	if (row->lease_until_ms < call->now_ms + row->lease_ms / 2)
		conversation_renew(row, tail, call->now_ms);
	conversation_put(call);
	return true;
}

void conversation_renew_step(struct conversation_call *call)
{
	if (!conversation_fenced(call))
		return;
	call->row.lease_ms = lease_ms(call, call->row.lease_ms);
	call->row.lease_until_ms = 0; /* whatever is left of it */
	if (conversation_spoken(call))
		answer_lease(call);
}

void conversation_release_step(struct conversation_call *call)
{
	if (!conversation_fenced(call) || !conversation_spoken(call))
		return;
	conversation_release(&call->row, conversation_inbox_tail(call), call->now_ms);
	conversation_put(call);
	conversation_answer(call, 200, json_pack("{s:b}", "ok", true));
}
