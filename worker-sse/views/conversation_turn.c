#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/base/hash.h"

enum { TRIES_MAX = 64 };

/* Who is at work on one conversation, and who waits. */
struct conversation_queue {
	struct conversation_call *first, **last;
	size_t count;
	bool running; /* queue_run() is on the stack */
	bool busy;    /* the first has its turn */
	UT_hash_handle hh;
	char id[CONVERSATION_ID_ROOM];
};

static const char unreadable[] =
        "this conversation cannot be read: the store is damaged, or has it "
        "from a newer release";

/* ---- answers ---- */

struct span conversation_etag(struct span text, char out[32])
{
	int len = snprintf(out, 32, "\"%016llx\"",
	                   (unsigned long long)XXH3_64bits(text.at, text.len));
	return span_of(out, (size_t)len);
}

static void send_text(struct request *request, unsigned status, struct span text, bool tagged)
{
	struct header headers[4] = {
	        {"cache-control", tagged ? SPAN("no-cache") : SPAN("no-store")}};
	size_t count = 1;
	char etag[32];
	if (tagged) {
		headers[count++] = (struct header){"etag", conversation_etag(text, etag)};
		bool reads = request->method == METHOD_GET || request->method == METHOD_HEAD;
		if (reads && etag_matches(request->headers[HEADER_IF_NONE_MATCH],
		                          headers[count - 1].value)) {
			reply(request, 304, headers, count, (struct span){0});
			return;
		}
	}
	if (text.at != NULL)
		headers[count++] = (struct header){"content-type", SPAN("application/json")};
	if (status == 503 || status == 429)
		headers[count++] = (struct header){"retry-after", SPAN("1")};
	reply(request, status, headers, count, text);
}

static void send_json(struct request *request, unsigned status, const json_t *answer, bool tagged)
{
	char *text = answer != NULL ? json_dumps(answer, JSON_COMPACT) : NULL;
	send_text(request, status, span_str(text), tagged);
	free(text);
}

void conversation_reply(struct request *request, unsigned status, const json_t *answer)
{
	send_json(request, status, answer, false);
}

static json_t *fault_json(const char *code, const char *id, const char *text)
{
	json_t *answer = json_pack("{s:s}", "error", text);
	if (code != NULL)
		json_object_set_new(answer, "code", json_string(code));
	if (code != NULL && id != NULL)
		json_object_set_new(answer, "sessionId", json_string(id));
	return answer;
}

void conversation_reply_fault(struct request *request, unsigned status, const char *code,
                              const char *id, const char *text)
{
	json_t *answer = fault_json(code, id, text);
	send_json(request, status, answer, false);
	json_decref(answer);
}

void conversation_answer(struct conversation_call *call, unsigned status, json_t *answer)
{
	json_decref(call->answer);
	call->status = status;
	call->answer = answer;
}

void conversation_fault(struct conversation_call *call, unsigned status, const char *code,
                        const char *text)
{
	conversation_answer(call, status, fault_json(call->coded ? code : NULL, call->id, text));
	call->write = call->tagged = false;
}

/* ---- a step ---- */

static struct conversation_call *call_of(struct actor *actor)
{
	return (struct conversation_call *)((char *)actor -
	                                    offsetof(struct conversation_call, actor));
}

static enum row_found load(struct conversation_call *call)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	conversation_key(call->id, key);
	enum row_found found = rows_find(call->change->rows, key, &value);
	call->there = found == ROW_PRESENT;
	if (call->there && (conversation_read(&call->row, value) != ROW_PRESENT ||
	                    strcmp(call->row.id, call->id) != 0))
		found = ROW_UNREADABLE;
	call->due_ms = call->row.due_ms;
	call->due_asked = call->row.agents > 0;
	if (found == ROW_UNREADABLE)
		rows_mark(call->change->rows, key);
	return found;
}

bool conversation_owned(const struct request *request, const struct conversation *conversation)
{
	const struct identity *identity = request->identity;
	const size_t len = IDENTITY_DIGEST_TEXT;
	if (strlen(conversation->owner) != len)
		return false;
	bool owned = strcmp(conversation->owner, identity->principal) == 0;
	for (size_t i = 0; i + len <= identity->former.len; i += len)
		owned |= memcmp(conversation->owner, identity->former.at + i, len) == 0;
	return owned;
}

bool conversation_allowed(struct conversation_call *call, unsigned verbs, struct span path)
{
	const char *reason;
	unsigned status = request_refusal(call->request, verbs, path, &reason);
	if (status == 401 && call->coded)
		conversation_fault(call, 401, NULL, "Unauthorized");
	else if (status != 0)
		conversation_fault(call, status, "FORBIDDEN", reason);
	return status == 0;
}

static bool may(struct conversation_call *call)
{
	char path[CONVERSATION_PATH_ROOM];
	bool makes = !call->there && call->makes;
	if (call->own || (call->there && conversation_owned(call->request, &call->row)))
		return true;
	conversation_path(call->id, makes ? "events" : call->about, path);
	return conversation_allowed(call, makes ? RIGHT(CREATE) : call->verbs, span_str(path));
}

static void begin_step(struct conversation_call *call, struct actor_change *change)
{
	call->change = change;
	call->now_ms = clock_wall_ms();
	call->write = call->tagged = false;
	call->count = NULL;
	call->pieces = 0;
	call->tail = call->inbox_tail = UINT64_MAX;
	call->row = (struct conversation){0};
	conversation_answer(call, 500, NULL);
}

static enum actor_decision decide(struct actor *actor, struct actor_change *change)
{
	struct conversation_call *call = call_of(actor);
	begin_step(call, change);
	if (load(call) == ROW_UNREADABLE)
		conversation_fault(call, 503, "UNREADABLE", unreadable);
	else if (may(call))
		call->step(call);
	bool stopped = rows_marked(change->rows) != NULL;
	call->change = NULL;
	return call->write && !stopped ? ACTOR_WRITE : stopped ? ACTOR_STOP : ACTOR_REST;
}

/* It stands among those that are due as its row says. */
static void put_due(struct conversation_call *call)
{
	char key[CONVERSATION_KEY_ROOM];
	uint64_t before = call->due_ms, now = call->row.due_ms;
	bool asked = call->row.agents > 0;
	if (before == now && asked == call->due_asked)
		return;
	if (before != 0) {
		conversation_due_key(call->id, call->due_asked, before, key);
		rows_put(call->change->rows, key, (struct span){0});
	}
	if (now != 0) {
		conversation_due_key(call->id, asked, now, key);
		rows_put(call->change->rows, key, SPAN("1"));
	}
	call->due_ms = now;
	call->due_asked = asked;
}

void conversation_put(struct conversation_call *call)
{
	char key[CONVERSATION_KEY_ROOM];
	put_due(call);
	char *text = conversation_text(&call->row);
	conversation_key(call->id, key);
	rows_put(call->change->rows, key, span_str(text));
	free(text);
	call->write = true;
}

static void publish(struct conversation_call *call, const char *path, json_t *message, size_t *len)
{
	char *text = json_dumps(message, JSON_COMPACT);
	check(text != NULL);
	*len = strlen(text);
	txn_publish(call->change->txn, path, span_of(text, *len));
	free(text);
	json_decref(message);
}

void conversation_tell_change(struct conversation_call *call, const char *type)
{
	size_t len;
	publish(call, CONVERSATION_CHANGES, conversation_change(type, &call->row), &len);
}

bool conversation_make(struct conversation_call *call, const char *title, const char *created_by)
{
	char key[CONVERSATION_KEY_ROOM], path[CONVERSATION_PATH_ROOM];
	if (call->all->count >= call->all->worker->settings->conversations_max) {
		conversation_fault(call, 507, "LIMIT", "conversations.max is reached");
		return false;
	}
	call->row = (struct conversation){
	        .created_ms = call->now_ms, .changed_ms = call->now_ms, .revision = 1};
	memcpy(call->row.id, call->id, sizeof call->row.id);
	snprintf(call->row.title, sizeof call->row.title, "%s", title);
	snprintf(call->row.created_by, sizeof call->row.created_by, "%s", created_by);
	snprintf(call->row.owner, sizeof call->row.owner, "%s", call->request->identity->principal);
	conversation_time_key(call->id, call->row.created_ms, key);
	rows_put(call->change->rows, key, SPAN("1"));
	txn_stream(call->change->txn, conversation_path(call->id, "events", path));
	txn_stream(call->change->txn, conversation_path(call->id, "inbox", path));
	conversation_put(call);
	conversation_tell_change(call, "created");
	return true;
}

void conversation_open_streams(struct conversation_call *call)
{
	char path[CONVERSATION_PATH_ROOM];
	struct state *view = store_view(call->all->worker->store);
	conversation_path(call->id, "events", path);
	if (call->write || state_find(view, span_str(path)) != NULL || view->unreadable)
		return;
	txn_stream(call->change->txn, path);
	txn_stream(call->change->txn, conversation_path(call->id, "inbox", path));
	conversation_put(call);
}

static uint64_t tail_of(const struct conversation_call *call, const char *name)
{
	char path[CONVERSATION_PATH_ROOM];
	struct stream *stream = state_find(store_view(call->all->worker->store),
	                                   span_str(conversation_path(call->id, name, path)));
	return stream != NULL && !stream->deleted ? stream->tail : 0;
}

uint64_t conversation_say(struct conversation_call *call, json_t *event)
{
	char path[CONVERSATION_PATH_ROOM];
	size_t len;
	if (call->tail == UINT64_MAX)
		call->tail = tail_of(call, "events");
	publish(call, conversation_path(call->id, "events", path), event, &len);
	call->tail += len + 1; /* as it is stored, with a comma */
	call->row.said = call->tail;
	conversation_put(call);
	return call->tail;
}

uint64_t conversation_inbox_tail(struct conversation_call *call)
{
	if (call->inbox_tail == UINT64_MAX)
		call->inbox_tail = tail_of(call, "inbox");
	return call->inbox_tail;
}

/* The position behind an item, which the item itself says: its digits count, too. */
static uint64_t number_item(json_t *item, uint64_t tail)
{
	uint64_t behind = tail, said;
	do {
		said = behind;
		json_object_set_new(item, "inboxSeq", json_integer((json_int_t)said));
		char *text = json_dumps(item, JSON_COMPACT);
		check(text != NULL);
		behind = tail + strlen(text) + 1;
		free(text);
	} while (behind != said);
	return behind;
}

void conversation_hand_in(struct conversation_call *call, json_t *item)
{
	char path[CONVERSATION_PATH_ROOM];
	size_t len;
	uint64_t before = conversation_inbox_tail(call);
	call->inbox_tail = number_item(item, before);
	conversation_received(&call->row, before, call->now_ms);
	publish(call, conversation_path(call->id, "inbox", path), item, &len);
	check(call->inbox_tail == before + len + 1);
	call->row.handed = call->inbox_tail;
	conversation_put(call);
}

/* ---- what is remembered ---- */

bool conversation_recall(struct conversation_call *call, const char *message,
                         struct conversation_message *into, bool *known)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	conversation_message_key(call->id, message, key);
	enum row_found found = rows_find(call->change->rows, key, &value);
	*known = found == ROW_PRESENT;
	if (*known)
		found = conversation_message_read(into, value);
	if (found != ROW_UNREADABLE)
		return true;
	rows_mark(call->change->rows, key);
	conversation_fault(call, 503, "UNREADABLE", unreadable);
	return false;
}

/* The place of the oldest in the ring of those that are remembered becomes this one's. */
static void take_slot(struct conversation_call *call, const char *message)
{
	char key[CONVERSATION_KEY_ROOM], old[CONVERSATION_KEY_ROOM];
	uint64_t slots = call->all->worker->settings->conversations_receipts;
	conversation_slot_key(call->id, call->row.messages++ % slots, key);
	struct span value = rows_get(call->change->rows, key);
	char text[CONVERSATION_ID_ROOM] = "";
	if (value.at != NULL && value.len < sizeof text)
		memcpy(text, value.at, value.len);
	if (*text != '\0') {
		conversation_message_key(call->id, text, old);
		rows_put(call->change->rows, old, (struct span){0});
	}
	rows_put(call->change->rows, key, span_str(message));
}

void conversation_remember(struct conversation_call *call, const char *message,
                           const struct conversation_message *what, bool fresh)
{
	char key[CONVERSATION_KEY_ROOM];
	char *text = conversation_message_text(what);
	if (fresh)
		take_slot(call, message);
	conversation_message_key(call->id, message, key);
	rows_put(call->change->rows, key, span_str(text));
	free(text);
	conversation_put(call);
}

static bool forget_row(void *arg, struct span key, struct span value)
{
	char text[CONVERSATION_KEY_ROOM];
	struct conversation_call *call = arg;
	(void)value;
	if (key.len < sizeof text) {
		memcpy(text, key.at, key.len);
		text[key.len] = '\0';
		rows_put(call->change->rows, text, (struct span){0});
	}
	return true;
}

void conversation_forget_rows(struct conversation_call *call, const char *prefix)
{
	state_kv_page(store_view(call->all->worker->store), span_str(prefix), (struct span){0},
	              forget_row, call);
}

/* ---- turns ---- */

void conversation_call_free(struct conversation_call *call)
{
	json_decref(call->body);
	json_decref(call->answer);
	free(call);
}

static void send_failure(struct conversation_call *call, enum actor_end end)
{
	enum verdict verdict = call->actor.verdict;
	unsigned status = 503;
	const char *text = "the store is busy or failed; whether it was written is unknown";
	if (end == ACTOR_OVERTAKEN)
		text = "others changed this conversation at the same time, too often";
	else if (verdict == VERDICT_NO_SPACE || verdict == VERDICT_STREAM_LIMIT ||
	         verdict == VERDICT_OFFSET_LIMIT) {
		status = 507;
		text = "no space left in the store";
	} else if (verdict == VERDICT_PATH_SOFT_DELETED || verdict == VERDICT_CONFIG_DIFFERS) {
		status = 409;
		text = "forks still read from a deleted conversation of this name";
	} else if (verdict == VERDICT_FORK_TRIMMED || verdict == VERDICT_FORK_DEPTH ||
	           verdict == VERDICT_FORK_OFFSET) {
		status = 409;
		text = "it cannot be forked there: retention took that, or forks stand too deep";
	}
	conversation_reply_fault(call->request, status, call->coded ? "WRITE_FAILED" : NULL,
	                         call->id, text);
}

static void queue_run(struct conversation_call *call, struct conversation_queue *queue);

static void on_end(struct actor *actor, enum actor_end end)
{
	struct conversation_call *call = call_of(actor);
	struct conversation_queue *queue = call->queue;
	switch (end) {
	case ACTOR_DURABLE:
		if (call->count != NULL)
			call->count(call);
		send_json(call->request, call->status, call->answer, call->tagged);
		break;
	case ACTOR_RESTED:
	case ACTOR_STOPPED:
		send_json(call->request, call->status, call->answer, call->tagged);
		break;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		send_failure(call, end);
		break;
	}
	queue->first = call->next;
	if (queue->first == NULL)
		queue->last = &queue->first;
	queue->count--;
	queue->busy = false;
	queue_run(call, queue);
	conversation_call_free(call);
}

static const struct actor_type actor_type = {
        .decide = decide, .end = on_end, .tries_max = TRIES_MAX};

/* `call` is any of this queue's, also one that has just had its turn. */
static void queue_run(struct conversation_call *call, struct conversation_queue *queue)
{
	struct conversations *all = call->all;
	if (queue->running)
		return;
	queue->running = true;
	while (queue->first != NULL && !queue->busy) {
		queue->busy = true;
		check(actor_turn(&queue->first->actor));
	}
	queue->running = false;
	if (queue->first != NULL)
		return;
	HASH_DEL(all->queues, queue);
	free(queue);
}

static struct conversation_queue *queue_of(struct conversations *all, const char *id)
{
	struct conversation_queue *queue;
	HASH_FIND_STR(all->queues, id, queue);
	if (queue != NULL)
		return queue;
	queue = xcalloc(1, sizeof *queue);
	queue->last = &queue->first;
	memcpy(queue->id, id, sizeof queue->id);
	HASH_ADD_STR(all->queues, id, queue);
	return queue;
}

bool conversation_at_work(struct conversations *all, const char *id)
{
	struct conversation_queue *queue;
	HASH_FIND_STR(all->queues, id, queue);
	return queue != NULL;
}

void conversation_call_run(struct conversation_call *call)
{
	struct sse_worker *w = call->all->worker;
	struct conversation_queue *queue = queue_of(call->all, call->id);
	if (queue->count >= w->settings->conversations_queue) {
		conversation_reply_fault(call->request, 503, call->coded ? "BUSY" : NULL, call->id,
		                         "conversations.queue requests wait for this conversation");
		conversation_call_free(call);
		return;
	}
	actor_init(&call->actor, &actor_type, w->store, w->counters);
	call->queue = queue;
	*queue->last = call;
	queue->last = &call->next;
	queue->count++;
	queue_run(call, queue);
}

struct conversation_call *conversation_call_create(struct request *request, struct span id,
                                                   bool coded)
{
	struct conversation_call *call = xcalloc(1, sizeof *call);
	check(id.len < sizeof call->id);
	call->request = request;
	call->all = worker_of(request)->conversations;
	call->coded = coded;
	memcpy(call->id, id.at, id.len);
	call->about = "events";
	call->done = UINT64_MAX;
	return call;
}

void conversation_random_id(char out[CONVERSATION_ID_ROOM])
{
	uint8_t r[16];
	clock_random(r, sizeof r);
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	snprintf(out, CONVERSATION_ID_ROOM,
	         "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
	         r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
	         r[15]);
}
