/* Agents with an endpoint: what a person says goes to each of them as a POST with all that was said
 * before, and what it answers becomes its message, piece by piece, as it comes.
 *
 *     due -> lease -> the next item in the inbox -> for each agent: POST, pieces, end -> the item
 *                     is done, in the transaction that ends the last answer -> ... -> release
 *
 * Whichever worker is first has the lease of the conversation, and every piece carries its epoch. A
 * worker that dies in the middle leaves half an answer; when its lease is over, another ends that
 * one and asks again. An answer that was ended is never asked for again. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/domain/webhook_url.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"

#define AGENT_NAME "registered agents"

enum {
	TRIES_MAX = 3, /* of an endpoint that says nothing */
	RETRY_MS = 1000,
	HISTORY_BYTES = 256 << 10, /* of events, from the end */
	HISTORY_MAX = 100,         /* messages */
	LINE_BYTES_MAX = 1 << 20,
	LOOK_BYTES = 256 << 10, /* of the inbox at a time, for a stop */
	BATCH_MAX = 200,
	PIECES_MAX = 16384, /* that wait to be written: the smallest takes hundreds of bytes */
};

/* What is asked of an endpoint at the moment; outlives an invocation that wants it no more. */
struct transfer {
	struct conversation_invocation *inv;
};

struct conversation_invocation {
	struct request asked; /* first: of the turns of the conversation */
	struct span headers[HEADER_COUNT];
	struct conversations *all;
	UT_hash_handle hh;
	char id[CONVERSATION_ID_ROOM];
	uint64_t epoch, done, lease_ms;
	/* Told what came of a turn. */
	void (*then)(struct conversation_invocation *inv, unsigned status, const json_t *answer);
	bool busy; /* a turn is under way */
	/* Where the last stop that names no answer ends in the inbox, and how far that is known. */
	uint64_t stop_end, looked;
	/* ---- the item that is dealt with ---- */
	uint64_t item_end;               /* its inboxSeq */
	char item[CONVERSATION_ID_ROOM]; /* its message, */
	uint64_t item_seq;               /* where that ends among the events, */
	json_t *words;                   /* and what it says; NULL: nothing */
	json_t *agents;
	size_t agent;
	/* ---- the answer that is given ---- */
	char message[CONVERSATION_ID_ROOM];
	uint64_t seq;        /* of the next piece */
	json_t *pieces;      /* chunks that came and are not written yet */
	size_t pieces_bytes; /* of their texts */
	char *line;          /* what came behind the last line's end */
	size_t line_len;
	unsigned tries;
	struct transfer *transfer; /* NULL: the endpoint has ended its answer */
	bool lost;                 /* the lease */
	struct wheel_node timer;   /* of the lease, and of the next try */
	bool retry;
};

static void next_item(struct conversation_invocation *inv);
static void next_agent(struct conversation_invocation *inv);
static void write_pieces(struct conversation_invocation *inv);
static void end_answer(struct conversation_invocation *inv);

/* ---- turns ---- */

static void clear_pieces(struct conversation_invocation *inv)
{
	json_array_clear(inv->pieces);
	inv->pieces_bytes = 0;
}

/* No more of it is taken: it was stopped, or the lease is lost. */
static void drop_transfer(struct conversation_invocation *inv)
{
	if (inv->transfer != NULL) {
		inv->transfer->inv = NULL;
		http_posts_cancel(inv->all->posts, inv->transfer);
	}
	inv->transfer = NULL;
	inv->retry = false;
	inv->line_len = 0;
	clear_pieces(inv);
}

static void invocation_free(struct conversation_invocation *inv)
{
	struct conversations *all = inv->all;
	drop_transfer(inv);
	HASH_DEL(all->invocations, inv);
	wheel_cancel(&inv->timer);
	json_decref(inv->agents);
	json_decref(inv->pieces);
	json_decref(inv->words);
	free(inv->line);
	free(inv);
	conversation_due_changed(all); /* there may be room for another, and more for this one */
}

static void on_answer(struct request *asked, unsigned status, struct span body)
{
	struct conversation_invocation *inv = (struct conversation_invocation *)asked;
	json_t *answer = json_take(body, JSON_DECODE_ANY, NULL, NULL);
	inv->busy = false;
	inv->then(inv, status, answer);
	json_decref(answer);
}

/* Takes `body`. */
static struct conversation_call *turn(struct conversation_invocation *inv, json_t *body,
                                      void (*step)(struct conversation_call *call))
{
	struct conversation_call *call =
	        conversation_call_create(&inv->asked, span_str(inv->id), true);
	check(body != NULL);
	call->own = true;
	call->body = body;
	call->step = step;
	call->epoch = inv->epoch;
	return call;
}

static void run(struct conversation_invocation *inv, struct conversation_call *call,
                void (*then)(struct conversation_invocation *inv, unsigned status,
                             const json_t *answer))
{
	inv->busy = true;
	inv->then = then;
	conversation_call_run(call);
}

/* ---- the end ---- */

static void on_released(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	(void)status;
	(void)answer;
	invocation_free(inv);
}

/* Whoever is given it next goes on. */
static void leave(struct conversation_invocation *inv)
{
	if (inv->lost)
		invocation_free(inv);
	else
		run(inv, turn(inv, json_object(), conversation_release_step), on_released);
}

/* ---- one answer ---- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text != NULL ? text : "";
}

static const json_t *agent_of(const struct conversation_invocation *inv)
{
	return json_array_get(inv->agents, inv->agent);
}

static size_t text_len(const json_t *chunk)
{
	return json_dumpb(chunk, NULL, 0, JSON_COMPACT);
}

/* Takes `chunk`. False: more than can wait has come. */
static bool take_chunk(struct conversation_invocation *inv, json_t *chunk)
{
	size_t room = inv->all->worker->settings->conversations_message_bytes;
	if (!json_is_object(chunk)) {
		json_decref(chunk);
		return true; /* what is no chunk is passed over, as the original does */
	}
	inv->pieces_bytes += text_len(chunk);
	json_array_append_new(inv->pieces, chunk);
	return inv->pieces_bytes <= room && json_array_size(inv->pieces) <= PIECES_MAX;
}

/* An event's line ("data: {...}"), or JSON by itself. */
static bool take_line(struct conversation_invocation *inv, struct span line)
{
	static const char data[] = "data:";
	while (line.len > 0 && (line.at[line.len - 1] == '\r' || line.at[line.len - 1] == ' '))
		line.len--;
	if (line.len >= sizeof data - 1 && memcmp(line.at, data, sizeof data - 1) == 0)
		line = span_of(line.at + sizeof data - 1, line.len - (sizeof data - 1));
	json_t *chunk = json_take(line, 0, NULL, NULL);
	return chunk == NULL || take_chunk(inv, chunk);
}

static bool on_piece(void *arg, struct span piece)
{
	struct conversation_invocation *inv = ((struct transfer *)arg)->inv;
	bool fits = inv != NULL;
	for (size_t at = 0; at < piece.len && fits;) {
		const uint8_t *end = memchr(piece.at + at, '\n', piece.len - at);
		size_t len = end != NULL ? (size_t)(end - piece.at) - at : piece.len - at;
		if (inv->line_len + len > LINE_BYTES_MAX)
			return false;
		inv->line = xrealloc(inv->line, inv->line_len + len + 1);
		memcpy(inv->line + inv->line_len, piece.at + at, len);
		inv->line_len += len;
		at += len + (end != NULL);
		if (end == NULL)
			break;
		fits = take_line(inv, span_of(inv->line, inv->line_len));
		inv->line_len = 0;
	}
	if (inv != NULL)
		write_pieces(inv);
	return fits;
}

static void on_ended(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	if (strcmp(text_of(answer, "code"), "GENERATION_MISMATCH") == 0) { /* people stopped it */
		clear_pieces(inv);
		end_answer(inv);
		return;
	}
	if (status != 200) {
		inv->lost = true;
		leave(inv);
		return;
	}
	if (++inv->agent < json_array_size(inv->agents)) {
		next_agent(inv);
		return;
	}
	inv->done = inv->item_end;
	next_item(inv);
}

/* The item is done with it, in the same transaction, where this was the last agent. */
static void end_item(const struct conversation_invocation *inv, struct conversation_call *call)
{
	call->last = true;
	call->dealt_from = inv->done;
	if (inv->agent + 1 < json_array_size(inv->agents))
		call->dealt = inv->agent + 1;
	else
		call->done = inv->item_end;
}

static void end_answer(struct conversation_invocation *inv)
{
	struct conversation_call *call = turn(inv, json_object(), conversation_finish_step);
	end_item(inv, call);
	run(inv, call, on_ended);
}

static void on_written(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	const char *code = text_of(answer, "code");
	if (status != 200) {
		inv->lost = strcmp(code, "GENERATION_MISMATCH") != 0; /* else people stopped it */
		drop_transfer(inv);
	}
	write_pieces(inv);
}

/* One that says that the answer is whole is held until that is so: it ends the answer. */
static bool is_last(const json_t *chunk)
{
	static const char *const types[] = {"finish", "done", "error"};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(text_of(chunk, "type"), types[i]) == 0)
			return true;
	return false;
}

/* NULL: there is none. */
static const struct stream *inbox_of(const struct conversation_invocation *inv)
{
	char path[CONVERSATION_PATH_ROOM];
	struct state *view = store_view(inv->all->worker->store);
	return state_find(view, span_str(conversation_path(inv->id, "inbox", path)));
}

static bool find_stop(void *arg, const struct store_message *message)
{
	struct conversation_invocation *inv = arg;
	json_t *item = json_take(message->bytes, 0, NULL, NULL);
	if (strcmp(text_of(item, "type"), "stop") == 0 &&
	    json_object_get(item, "messageId") == NULL)
		inv->stop_end = message->ends_at;
	inv->looked = message->ends_at;
	json_decref(item);
	return true;
}

/* Nothing was said yet that a stop could name: one behind the item is meant for it. */
static bool is_stopped(struct conversation_invocation *inv)
{
	struct store *store = inv->all->worker->store;
	const struct stream *inbox = inbox_of(inv);
	if (inv->seq > 0 || inbox == NULL)
		return false;
	uint64_t first = stream_first(store_view(store), inbox);
	if (inv->looked < first)
		inv->looked = first;
	if (inv->looked < inv->item_end) /* a boundary, too, and what is before it is over */
		inv->looked = inv->item_end;
	store_scan(store, inbox, inv->looked, inbox->tail, LOOK_BYTES, find_stop, inv);
	return inv->stop_end > inv->item_end;
}

/* The next of them, for the body of a turn. */
static json_t *take_batch(struct conversation_invocation *inv, size_t held)
{
	json_t *chunks = json_array(), *rest = json_array(), *piece;
	const char *actor = text_of(agent_of(inv), "id");
	size_t i, count = json_array_size(inv->pieces) - held;
	json_array_foreach (inv->pieces, i, piece) {
		if (i >= count || i >= BATCH_MAX) {
			json_array_append(rest, piece);
			continue;
		}
		json_array_append_new(chunks,
		                      json_pack("{s:s, s:s, s:s, s:O, s:I}", "messageId",
		                                inv->message, "actorId", actor, "role", "assistant",
		                                "chunk", piece, "seq", (json_int_t)inv->seq++));
		inv->pieces_bytes -= text_len(piece);
	}
	json_decref(inv->pieces);
	inv->pieces = rest;
	return chunks;
}

/* What has come; and the end, when all of it has. */
static void write_pieces(struct conversation_invocation *inv)
{
	if (inv->busy)
		return;
	if (inv->seq == 0 && json_array_size(inv->pieces) > 0 && is_stopped(inv))
		drop_transfer(inv);
	bool more = inv->transfer != NULL || inv->retry;
	if (!more && inv->lost) {
		leave(inv);
		return;
	}
	if (!more && json_array_size(inv->pieces) == 0) {
		end_answer(inv);
		return;
	}
	size_t count = json_array_size(inv->pieces);
	size_t held = more && count > 0 && is_last(json_array_get(inv->pieces, count - 1));
	if (count == held)
		return;
	json_t *chunks = take_batch(inv, held);
	struct conversation_call *call =
	        turn(inv, json_pack("{s:o}", "chunks", chunks), conversation_pieces_step);
	bool last = !more && json_array_size(inv->pieces) == 0;
	if (last)
		end_item(inv, call);
	run(inv, call, last ? on_ended : on_written);
}

/* ---- what is asked ---- */

struct history {
	json_t *messages; /* {role, content}, in their order */
	json_t *by_id;    /* the same */
	uint64_t from;
	const struct conversation_invocation *inv;
};

static void add_words(json_t *message, const char *words)
{
	if (*words != '\0')
		json_object_set_new(message, "content",
		                    json_sprintf("%s%s", text_of(message, "content"), words));
}

/* What a person said behind the item that is dealt with has its own turn. */
static bool is_later(const struct history *history, const json_t *value, uint64_t ends_at)
{
	return strcmp(text_of(value, "role"), "user") == 0 && ends_at > history->inv->item_seq;
}

static void hear(struct history *history, const json_t *event, uint64_t ends_at)
{
	const json_t *value = json_object_get(event, "value"), *part;
	const char *id = text_of(value, "messageId");
	size_t i;
	if (strcmp(text_of(json_object_get(event, "headers"), "control"), "reset") == 0) {
		json_array_clear(history->messages);
		json_object_clear(history->by_id);
	}
	if (strcmp(text_of(event, "type"), "chunk") != 0 || is_later(history, value, ends_at))
		return;
	json_t *chunk = json_loads(text_of(value, "chunk"), 0, NULL);
	json_t *message = json_object_get(history->by_id, id);
	if (message == NULL) {
		message = json_pack("{s:s, s:s}", "role", text_of(value, "role"), "content", "");
		json_array_append(history->messages, message);
		json_object_set_new(history->by_id, id, message);
	}
	const char *more = json_object_get(chunk, "delta") != NULL  ? "delta"
	                   : json_object_get(chunk, "text") != NULL ? "text"
	                                                            : "content";
	add_words(message, text_of(chunk, more));
	json_array_foreach (json_object_get(json_object_get(chunk, "message"), "parts"), i, part)
		add_words(message, text_of(part, "content"));
	json_decref(chunk);
}

static bool hear_event(void *arg, const struct store_message *message)
{
	struct history *history = arg;
	if (message->ends_at <= history->from)
		return true; /* too long ago */
	json_t *event = json_take(message->bytes, 0, NULL, NULL);
	if (event != NULL)
		hear(history, event, message->ends_at);
	json_decref(event);
	return true;
}

static bool is_empty(const json_t *message)
{
	return *text_of(message, "content") == '\0';
}

/* The message that is to be answered is the last; also where an answer to the one before it is so
 * long, or retention so short, that it was not come upon. */
static void put_last(struct history *history)
{
	json_t *asked = json_object_get(history->by_id, history->inv->item);
	if (asked == NULL)
		json_array_append_new(history->messages, json_pack("{s:s, s:O*}", "role", "user",
		                                                   "content", history->inv->words));
	for (size_t i = json_array_size(history->messages); i-- > 0;)
		if (json_array_get(history->messages, i) == asked) {
			json_array_append(history->messages, asked);
			json_array_remove(history->messages, i);
			return;
		}
}

/* Where an append begins, at `at` or before it. */
static uint64_t append_before(struct store *store, const struct stream *events, uint64_t at)
{
	uint64_t first = stream_first(store_view(store), events);
	if (at <= first)
		return first;
	uint64_t begin = store_page_end(store, events, first, events->tail, at - first);
	return begin <= at ? begin : first; /* the first append is that large */
}

/* What was said, the newest last. NULL: it cannot be read. */
static json_t *history_of(struct conversation_invocation *inv)
{
	char path[CONVERSATION_PATH_ROOM];
	struct store *store = inv->all->worker->store;
	const struct stream *events =
	        state_find(store_view(store), span_str(conversation_path(inv->id, "events", path)));
	if (events == NULL)
		return NULL;
	struct history history = {.messages = json_array(), .by_id = json_object(), .inv = inv};
	history.from = events->tail > HISTORY_BYTES ? events->tail - HISTORY_BYTES : 0;
	enum store_read_result result =
	        store_scan(store, events, append_before(store, events, history.from), events->tail,
	                   SIZE_MAX, hear_event, &history);
	put_last(&history);
	json_decref(history.by_id);
	for (size_t i = json_array_size(history.messages); i-- > 0;)
		if (is_empty(json_array_get(history.messages, i)))
			json_array_remove(history.messages, i);
	while (json_array_size(history.messages) > HISTORY_MAX)
		json_array_remove(history.messages, 0);
	if (result == STORE_READ_OK)
		return history.messages;
	json_decref(history.messages);
	return NULL;
}

/* An answer that could not be had is told as one. */
static void say_failure(struct conversation_invocation *inv, const struct http_post_answer *answer)
{
	char text[160];
	char url[ADDRESS_URL_SHOWN_ROOM];
	if (answer->status != 0)
		snprintf(text, sizeof text, "Agent request failed: %u", answer->status);
	else
		snprintf(text, sizeof text, "Agent request failed: %s", answer->error);
	address_url_shown(text_of(agent_of(inv), "endpoint"), url);
	log_warn("an agent's endpoint failed", "url=%s status=%u error=\"%s\"", url, answer->status,
	         answer->error);
	counter_add(inv->all->worker->counters, conversation_invocation_failures_total, 1);
	take_chunk(inv, json_pack("{s:s, s:s}", "type", "error", "error", text));
}

static bool may_try_again(const struct conversation_invocation *inv,
                          const struct http_post_answer *answer)
{
	bool transient = answer->status == 0 || answer->status == 429 || answer->status >= 500;
	return transient && inv->seq == 0 && json_array_size(inv->pieces) == 0 &&
	       inv->tries < TRIES_MAX;
}

static void on_http(void *arg, const struct http_post_answer *answer)
{
	struct transfer *transfer = arg;
	struct conversation_invocation *inv = transfer->inv;
	bool good = answer->status >= 200 && answer->status < 300;
	free(transfer);
	if (inv == NULL)
		return;
	inv->transfer = NULL;
	if (inv->line_len > 0)
		take_line(inv, span_of(inv->line, inv->line_len));
	inv->line_len = 0;
	inv->retry = !good && may_try_again(inv, answer);
	if (!good && !inv->retry)
		say_failure(inv, answer);
	if (inv->retry)
		wheel_set(&inv->all->worker->wheel, &inv->timer,
		          inv->all->worker->wheel.now_ms + RETRY_MS * inv->tries);
	write_pieces(inv);
}

static void post(struct conversation_invocation *inv)
{
	const struct settings *s = inv->all->worker->settings;
	const char *url = text_of(agent_of(inv), "endpoint"), *name;
	char *fields[20];
	const char *headers[20];
	json_t *value, *messages = history_of(inv);
	json_t *template = json_object_get(agent_of(inv), "bodyTemplate");
	json_t *body = template != NULL ? json_deep_copy(template) : json_object();
	size_t count = 0;
	json_object_set_new(body, "messages", messages != NULL ? messages : json_array());
	json_object_set_new(body, "stream", json_true());
	char *text = json_dumps(body, JSON_COMPACT);
	check(text != NULL);
	json_object_foreach (json_object_get(agent_of(inv), "headers"), name, value) {
		size_t len = strlen(name) + json_string_length(value) + 3;
		fields[count] = xmalloc(len);
		snprintf(fields[count], len, "%s: %s", name, json_string_value(value));
		headers[count] = fields[count];
		count++;
	}
	headers[count] = "Accept: text/event-stream";
	headers[count + 1] = NULL;
	if (inv->all->posts == NULL)
		inv->all->posts = http_posts_create(inv->all->worker->edge.loop, s->tls_ca_file);
	inv->transfer = xcalloc(1, sizeof *inv->transfer);
	inv->transfer->inv = inv;
	inv->retry = false;
	inv->tries++;
	counter_add(inv->all->worker->counters, conversation_invocations_total, 1);
	http_posts_send(inv->all->posts,
	                &(struct http_post){
	                        .url = url,
	                        .body = span_str(text),
	                        .headers = headers,
	                        .once = true,
	                        .timeout_ms = s->conversations_invocation_timeout_ms,
	                        .reach = webhook_url_reach(url, s->webhook_allow_private, s->dev),
	                        .never_public = strncmp(url, "http://", 7) == 0,
	                        .on_piece = on_piece},
	                on_http, inv->transfer);
	for (size_t i = 0; i < count; i++)
		free(fields[i]);
	free(text);
	json_decref(body);
}

static void on_renewed(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	bool stopped =
	        inv->seq > 0 ? json_object_get(answer, "generation") == NULL : is_stopped(inv);
	inv->lost = status != 200;
	if (inv->lost || stopped)
		drop_transfer(inv);
	write_pieces(inv);
}

/* An endpoint that thinks long: the lease lasts as long as it may. */
static void on_timer(struct wheel_node *node)
{
	struct conversation_invocation *inv =
	        (struct conversation_invocation *)((char *)node -
	                                           offsetof(struct conversation_invocation, timer));
	struct wheel *wheel = &inv->all->worker->wheel;
	if (inv->lost && !inv->busy) {
		invocation_free(inv);
		return;
	}
	wheel_set(wheel, node, wheel->now_ms + inv->lease_ms / 3);
	if (inv->busy)
		return;
	if (inv->retry && !is_stopped(inv))
		post(inv);
	else
		run(inv, turn(inv, json_object(), conversation_renew_step), on_renewed);
}

static void next_agent(struct conversation_invocation *inv)
{
	struct wheel *wheel = &inv->all->worker->wheel;
	conversation_random_id(inv->message);
	inv->seq = 0;
	inv->tries = 0;
	wheel_set(wheel, &inv->timer, wheel->now_ms + inv->lease_ms / 3);
	if (is_stopped(inv))
		end_answer(inv);
	else
		post(inv);
}

/* ---- the inbox ---- */

struct find {
	uint64_t end; /* of the item; 0: there is none */
	bool message;
	struct conversation_invocation *inv;
};

static bool find_message(void *arg, const struct store_message *message)
{
	struct find *find = arg;
	json_t *item = json_take(message->bytes, 0, NULL, NULL);
	const char *role = json_string_value(json_object_get(item, "role"));
	find->end = message->ends_at;
	find->message = strcmp(text_of(item, "type"), "message") == 0 &&
	                (role == NULL || strcmp(role, "user") == 0);
	snprintf(find->inv->item, sizeof find->inv->item, "%s", text_of(item, "messageId"));
	find->inv->item_seq = (uint64_t)json_integer_value(json_object_get(item, "seq"));
	json_decref(find->inv->words);
	find->inv->words = json_incref(json_object_get(item, "content"));
	json_decref(item);
	return !find->message;
}

static void on_passed(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	(void)answer;
	inv->lost = status != 200;
	if (inv->lost)
		leave(inv);
	else
		next_item(inv);
}

/* What is not said by a person is for nobody here. */
static void pass(struct conversation_invocation *inv, uint64_t end)
{
	struct conversation_call *call = turn(inv, json_object(), conversation_renew_step);
	inv->done = call->done = end;
	run(inv, call, on_passed);
}

static bool load_agents(struct conversation_invocation *inv)
{
	char key[CONVERSATION_KEY_ROOM];
	struct state *view = store_view(inv->all->worker->store);
	struct conversation row;
	struct span value;
	json_decref(inv->agents);
	inv->agents = NULL;
	if (!state_kv_get(view, conversation_key(inv->id, key), &value) ||
	    conversation_read(&row, value) != ROW_PRESENT)
		return false;
	inv->agent = row.done == inv->done ? row.step : 0;
	if (!state_kv_get(view, conversation_agents_key(inv->id, key), &value))
		value = (struct span){0};
	inv->agents = conversation_agents_read(value);
	return inv->agents != NULL;
}

static bool find_item(struct conversation_invocation *inv, struct find *find)
{
	struct store *store = inv->all->worker->store;
	const struct stream *inbox = inbox_of(inv);
	if (inbox == NULL)
		return false;
	uint64_t first = stream_first(store_view(store), inbox); /* retention may have taken some */
	return store_scan(store, inbox, inv->done > first ? inv->done : first, inbox->tail,
	                  SIZE_MAX, find_message, find) == STORE_READ_OK;
}

static void next_item(struct conversation_invocation *inv)
{
	struct find find = {.inv = inv};
	wheel_cancel(&inv->timer);
	sse_worker_catch_up(inv->all->worker);
	inv->lost = !load_agents(inv) || !find_item(inv, &find); /* when its time is over, again */
	if (inv->lost || find.end == 0 || inv->all->stopping) {
		leave(inv);
		return;
	}
	inv->item_end = find.end;
	if (find.message && inv->agent < json_array_size(inv->agents))
		next_agent(inv);
	else
		pass(inv, find.end);
}

/* ---- the lease ---- */

static void on_lease(struct conversation_invocation *inv, unsigned status, const json_t *answer)
{
	inv->lost = status != 200;
	if (status == 409) {
		invocation_free(inv); /* another worker was faster */
		return;
	}
	if (inv->lost) { /* the disk is full, say: not at once again */
		wheel_set(&inv->all->worker->wheel, &inv->timer,
		          inv->all->worker->wheel.now_ms + RETRY_MS);
		return;
	}
	inv->epoch = (uint64_t)json_integer_value(json_object_get(answer, "epoch"));
	inv->done = (uint64_t)json_integer_value(json_object_get(answer, "done"));
	inv->lease_ms = (uint64_t)json_integer_value(json_object_get(answer, "leaseMs"));
	next_item(inv);
}

static bool begin(void *arg, const struct conversation *row)
{
	struct conversations *all = arg;
	struct conversation_invocation *inv;
	HASH_FIND_STR(all->invocations, row->id, inv);
	if (HASH_COUNT(all->invocations) >= all->worker->settings->conversations_invocations)
		return false;
	if (inv != NULL)
		return true;
	if (conversation_at_work(all, row->id)) {
		all->look_soon = true;
		return true;
	}
	inv = xcalloc(1, sizeof *inv);
	inv->all = all;
	inv->asked.edge = &all->worker->edge;
	inv->asked.method = METHOD_POST;
	inv->asked.headers = inv->headers;
	inv->asked.answer = on_answer;
	inv->pieces = json_array();
	inv->timer.due = on_timer;
	memcpy(inv->id, row->id, sizeof inv->id);
	HASH_ADD_STR(all->invocations, id, inv);
	struct conversation_call *call =
	        turn(inv, json_pack("{s:s}", "agent", AGENT_NAME), conversation_lease_step);
	call->due_only = true;
	run(inv, call, on_lease);
	return true;
}

uint64_t conversation_invoke_due(struct conversations *all)
{
	if (all->stopping || all->worker->settings->conversations_invocations == 0)
		return UINT64_MAX;
	return conversation_due_each(all, true, begin, all);
}
