/* Conversations that wait, and agents that wait for one: POST /v1/sessions/$next/lease. An agent
 * that is at the hub and accepts sessions is given the one that has waited longest, now or within
 * the time that it wants to wait. Which one is found in the view; the lease itself is a turn of
 * that conversation, which another worker's may have had before. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/domain/agent.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PAGE = 64,
	LOOKS_MAX = 512, /* conversations that one look goes through, or all that stand in line */
	LOOK_AGAIN_MS = 1000,
	LOOK_SOON_MS = 20,
	WAIT_S_MAX = 60,
};

/* ---- those that are due ---- */

struct page {
	char keys[PAGE][CONVERSATION_KEY_ROOM];
	size_t count;
	uint64_t now_ms, next_ms;
	bool whole; /* there is no further one that is due */
};

static bool collect(void *arg, struct span key, struct span value)
{
	struct page *page = arg;
	uint64_t due_ms;
	struct span id;
	(void)value;
	if (key.len >= CONVERSATION_KEY_ROOM || !conversation_due_key_read(key, &due_ms, &id))
		return true;
	if (due_ms > page->now_ms) {
		page->next_ms = due_ms;
		page->whole = true;
		return false;
	}
	if (page->count == PAGE)
		return false;
	memcpy(page->keys[page->count], key.at, key.len);
	page->keys[page->count++][key.len] = '\0';
	return true;
}

static bool read_due(struct state *view, const char *key, struct conversation *row)
{
	char text[CONVERSATION_ID_ROOM], name[CONVERSATION_KEY_ROOM];
	uint64_t due_ms;
	struct span id, value;
	check(conversation_due_key_read(span_str(key), &due_ms, &id));
	memcpy(text, id.at, id.len);
	text[id.len] = '\0';
	return state_kv_get(view, conversation_key(text, name), &value) &&
	       conversation_read(row, value) == ROW_PRESENT && row->due_ms == due_ms;
}

/* As conversation_due_each(), of those behind the key `behind`, a page at least and then as many as
 * `*looks` has. `behind` is then where to go on; "": all were gone through. `visit` NULL: nothing
 * but the time is wanted. */
static uint64_t due_from(struct conversations *all, bool asked, char behind[CONVERSATION_KEY_ROOM],
                         size_t *looks, bool (*visit)(void *arg, const struct conversation *row),
                         void *arg)
{
	struct state *view = store_view(all->worker->store);
	const char *prefix = asked ? CONVERSATION_ASK_KEY : CONVERSATION_DUE_KEY;
	struct conversation row;
	struct page page;
	do {
		page.count = 0;
		page.now_ms = clock_wall_ms();
		page.next_ms = UINT64_MAX;
		page.whole = false;
		state_kv_page(view, span_str(prefix),
		              *behind != '\0' ? span_str(behind) : (struct span){0}, collect,
		              &page);
		for (size_t i = 0; i < page.count; i++)
			if (visit != NULL && read_due(view, page.keys[i], &row) &&
			    !visit(arg, &row))
				return page.now_ms + LOOK_AGAIN_MS;
		*looks -= page.count < *looks ? page.count : *looks;
		if (page.whole || page.count < PAGE) {
			*behind = '\0';
			return page.next_ms;
		}
		memcpy(behind, page.keys[PAGE - 1], CONVERSATION_KEY_ROOM);
	} while (*looks > 0);
	return page.now_ms + LOOK_AGAIN_MS;
}

uint64_t conversation_due_each(struct conversations *all, bool asked,
                               bool (*visit)(void *arg, const struct conversation *row), void *arg)
{
	char behind[CONVERSATION_KEY_ROOM] = "";
	size_t looks = LOOKS_MAX;
	return due_from(all, asked, behind, &looks, visit, arg);
}

/* ---- those who wait ---- */

struct conversation_waiter {
	struct request asked; /* first: the turn of a conversation that it may get */
	struct span headers[HEADER_COUNT];
	struct request *request; /* whose agent it is */
	struct conversations *all;
	struct conversation_waiter *next, **previous; /* previous NULL: it does not stand in line */
	json_t *body;
	uint64_t end_ms; /* monotonic */
	struct wheel_node end;
	/* Where its last look came to; "": it has gone through all. So one that may serve few of
	 * many finds them by and by. */
	char behind[CONVERSATION_KEY_ROOM];
};

static void leave_line(struct conversation_waiter *waiter)
{
	if (waiter->previous == NULL)
		return;
	*waiter->previous = waiter->next;
	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	else
		waiter->all->waiters_last = waiter->previous;
	waiter->previous = NULL;
	wheel_cancel(&waiter->end);
}

static void waiter_free(struct conversation_waiter *waiter)
{
	leave_line(waiter);
	identity_release(&waiter->asked.identity);
	json_decref(waiter->body);
	free(waiter);
}

static void on_gone(struct request *request)
{
	waiter_free(request->feature);
}

/* The end of it; `body` as a lease's answer. */
static void answer_waiter(struct conversation_waiter *waiter, unsigned status, struct span body)
{
	const struct header headers[] = {{"cache-control", SPAN("no-store")},
	                                 {"content-type", SPAN("application/json")}};
	struct request *request = waiter->request;
	request->on_gone = NULL;
	reply(request, status, headers, status == 204 ? 1 : 2, body);
	waiter_free(waiter);
}

static void on_end(struct wheel_node *node)
{
	struct conversation_waiter *waiter =
	        (struct conversation_waiter *)((char *)node -
	                                       offsetof(struct conversation_waiter, end));
	if (*waiter->behind == '\0') /* else when it is through with them, soon */
		answer_waiter(waiter, 204, (struct span){0});
}

static void stand_in_line(struct conversation_waiter *waiter)
{
	struct conversations *all = waiter->all;
	struct wheel *wheel = &all->worker->wheel;
	bool through = *waiter->behind == '\0';
	if (all->stopping || (through && wheel->now_ms >= waiter->end_ms) ||
	    request_left(waiter->request)) { /* while it was asked for */
		answer_waiter(waiter, 204, (struct span){0});
		return;
	}
	waiter->next = NULL;
	waiter->previous = all->waiters_last;
	*all->waiters_last = waiter;
	all->waiters_last = &waiter->next;
	waiter->request->feature = waiter;
	waiter->request->on_gone = on_gone;
	wheel_set(wheel, &waiter->end, waiter->end_ms);
	all->look_soon |= !through;
	conversation_due_changed(all); /* when the next one may be given is to be known */
}

/* ---- one of those for one of these ---- */

struct choice {
	struct conversation_waiter *waiter;
	char id[CONVERSATION_ID_ROOM];
};

/* The hub hands out what is said there (hub_sessions.c): to whoever may not hear it, nothing. */
static bool may_hear(const struct request *request, const struct conversation *row)
{
	char path[CONVERSATION_PATH_ROOM];
	return request->exchange != NULL ||
	       request_may(request, RIGHT(READ),
	                   span_str(conversation_path(row->id, "inbox", path)));
}

static bool may_serve(const struct request *request, const struct conversation *row)
{
	char path[CONVERSATION_PATH_ROOM];
	if (!may_hear(request, row))
		return false;
	return conversation_owned(request, row) ||
	       request_may(request, RIGHT(APPEND),
	                   span_str(conversation_path(row->id, "events", path)));
}

static bool choose(void *arg, const struct conversation *row)
{
	struct choice *choice = arg;
	struct conversations *all = choice->waiter->all;
	if (!may_serve(choice->waiter->request, row))
		return true;
	if (conversation_at_work(all, row->id)) { /* perhaps somebody is about to get it */
		all->look_soon = true;
		return true;
	}
	memcpy(choice->id, row->id, sizeof choice->id);
	return false;
}

static bool is_registered(const struct conversation_waiter *waiter)
{
	char key[AGENT_KEY_ROOM];
	struct agent agent;
	struct span value;
	struct span id = span_str(json_string_value(json_object_get(waiter->body, "agent")));
	const struct identity *identity = waiter->request->identity;
	return agent_id_good(id) &&
	       state_kv_get(store_view(waiter->all->worker->store), agent_key(id, key), &value) &&
	       agent_read(&agent, value) == ROW_PRESENT && agent.sessions && !agent.evicted &&
	       agent.status == AGENT_ACTIVE &&
	       agent_owned(&agent, span_str(identity->principal), identity->former);
}

/* Given, or another was faster: then the next is looked for. */
static void on_answer(struct request *asked, unsigned status, struct span body)
{
	struct conversation_waiter *waiter = (struct conversation_waiter *)asked;
	if (status == 409)
		stand_in_line(waiter);
	else
		answer_waiter(waiter, status, body);
}

static void ask_for(struct conversation_waiter *waiter, const char *id)
{
	struct request *asked = &waiter->asked;
	waiter->request->on_gone = NULL; /* until it is known what came of it */
	identity_release(&asked->identity);
	asked->identity = identity_hold(waiter->request->identity);
	struct conversation_call *call = conversation_call_create(asked, span_str(id), true);
	call->body = json_incref(waiter->body);
	call->step = conversation_lease_step;
	call->due_only = true;
	call->verbs = RIGHT(APPEND);
	conversation_call_run(call);
}

static void look(struct conversation_waiter *waiter, size_t *looks)
{
	struct choice choice = {.waiter = waiter};
	static const char text[] =
	        "{\"error\":\"this agent is not at the hub, or does not accept sessions\","
	        "\"code\":\"NOT_REGISTERED\"}";
	if (!is_registered(waiter)) {
		answer_waiter(waiter, 409, SPAN(text));
		return;
	}
	due_from(waiter->all, false, waiter->behind, looks, choose, &choice);
	if (*choice.id != '\0')
		ask_for(waiter, choice.id);
	else
		stand_in_line(waiter);
}

/* ---- when there may be one ---- */

/* Whoever stands in line looks once; those that find nothing stand there again. Those for whom this
 * turn has no looks left are the first of the next. */
static void look_all(struct conversations *all)
{
	struct conversation_waiter *line = all->waiters, *end = NULL;
	size_t count = 0, looks = LOOKS_MAX;
	for (end = line; end != NULL; end = end->next)
		count++;
	for (; count > 0 && looks > 0 && all->waiters != NULL; count--) {
		struct conversation_waiter *first = all->waiters;
		leave_line(first);
		look(first, &looks);
	}
	all->look_soon |= count > 0 && all->waiters != NULL;
}

static void on_due(struct wheel_node *node)
{
	struct conversations *all =
	        (struct conversations *)((char *)node - offsetof(struct conversations, due));
	struct wheel *wheel = &all->worker->wheel;
	all->look_soon = false;
	look_all(all);
	uint64_t next_ms = conversation_invoke_due(all);
	wheel_cancel(node); /* which those who stand in line again have set */
	if (all->waiters != NULL) {
		uint64_t due_ms = conversation_due_each(all, false, NULL, NULL);
		next_ms = due_ms < next_ms ? due_ms : next_ms;
	}
	if ((next_ms == UINT64_MAX && !all->look_soon) || all->stopping)
		return;
	uint64_t now_ms = clock_wall_ms();
	if (all->look_soon && next_ms > now_ms + LOOK_SOON_MS)
		next_ms = now_ms + LOOK_SOON_MS;
	wheel_set(wheel, node, wheel->now_ms + (next_ms > now_ms ? next_ms - now_ms : 0) + 1);
}

void conversation_due_changed(struct conversations *all)
{
	all->due.due = on_due;
	if (!all->stopping)
		wheel_set(&all->worker->wheel, &all->due, all->worker->wheel.now_ms);
}

void conversation_next_stop(struct conversations *all)
{
	while (all->waiters != NULL)
		answer_waiter(all->waiters, 204, (struct span){0});
}

/* ---- the request ---- */

/* NULL: fine. */
static const char *wait_fault(const json_t *body)
{
	const json_t *wait = json_object_get(body, "wait");
	bool fits = wait == NULL || (json_is_integer(wait) && json_integer_value(wait) >= 0 &&
	                             json_integer_value(wait) <= WAIT_S_MAX);
	return fits ? NULL : "wait must be 0 to 60 (seconds)";
}

static const char *body_fault(struct request *request, json_t *body)
{
	struct conversation_call call = {.request = request, .body = body};
	if (!json_is_object(body))
		return "Invalid request body";
	const char *fault = conversation_lease_take(&call);
	return fault != NULL ? fault : wait_fault(body);
}

void conversation_next(struct request *request)
{
	struct conversations *all = worker_of(request)->conversations;
	json_t *body =
	        json_take(span_of(request->body, request->body_len), JSON_DECODE_ANY, NULL, NULL);
	const char *fault = body_fault(request, body);
	if (fault != NULL) {
		json_decref(body);
		conversation_reply_fault(request, 400, "INVALID_BODY", NULL, fault);
		return;
	}
	struct conversation_waiter *waiter = xcalloc(1, sizeof *waiter);
	waiter->request = request;
	waiter->all = all;
	waiter->body = body;
	waiter->end.due = on_end;
	waiter->end_ms = all->worker->wheel.now_ms +
	                 1000 * (uint64_t)json_integer_value(json_object_get(body, "wait"));
	waiter->asked.edge = request->edge;
	waiter->asked.method = METHOD_POST;
	waiter->asked.headers = waiter->headers;
	waiter->asked.answer = on_answer;
	size_t looks = LOOKS_MAX;
	look(waiter, &looks);
}
