/* GET /sessions: all, or a page, newest first; looked up in slices, for there may be very many. */
#include "common/base/check.h"
#include "common/store/offset.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLICE_ROWS = 256, LIMIT_MAX = 1000, WORDS_MAX = 256 };
enum {
	WORDS_ROOM = 8 + 3 * WORDS_MAX, /* as it stands in a link */
	LINK_ROOM = CONVERSATION_KEY_ROOM + 128 + WORDS_ROOM,
};

struct list {
	struct slices_job job; /* first */
	struct request *request;
	struct sse_worker *worker;
	uint64_t limit; /* 0: all */
	uint64_t count;
	unsigned slice;           /* rows of this one */
	bool more;                /* there are that match, behind the page */
	bool damaged;             /* a row cannot be read */
	uint8_t words[WORDS_MAX]; /* ?q, decoded */
	size_t words_len;
	size_t behind_len, last_len;
	char behind[CONVERSATION_KEY_ROOM]; /* looked at up to here */
	char last[CONVERSATION_KEY_ROOM];   /* the last that is in the page */
	char *text;
	size_t len;
	FILE *out;
};

static void list_free(struct list *list)
{
	slices_remove(&list->worker->slices, &list->job);
	if (list->out != NULL)
		fclose(list->out);
	free(list->text);
	free(list);
}

static void gone(struct request *request)
{
	list_free(request->feature);
}

static bool may_see(const struct list *list, const struct conversation *row)
{
	char path[CONVERSATION_PATH_ROOM];
	conversation_path(row->id, "events", path);
	return request_may(list->request, RIGHT(READ), span_str(path)) ||
	       conversation_owned(list->request, row);
}

/* Is it one that is looked for, and may be seen? */
static bool take_one(struct list *list, struct span id, struct conversation *row)
{
	char text[CONVERSATION_ID_ROOM], key[CONVERSATION_KEY_ROOM];
	struct span value;
	memcpy(text, id.at, id.len);
	text[id.len] = '\0';
	struct state *view = store_view(list->worker->store);
	if (!state_kv_get(view, conversation_key(text, key), &value)) {
		list->damaged |= view->unreadable;
		return false; /* it went meanwhile */
	}
	if (conversation_read(row, value) != ROW_PRESENT) {
		row_alert(list->worker->counters, key);
		list->damaged = true;
		return false;
	}
	return conversation_matches(row, span_of(list->words, list->words_len)) &&
	       may_see(list, row);
}

static void put_one(struct list *list, const struct conversation *row)
{
	json_t *info = conversation_info(row);
	char *json = json_dumps(info, JSON_COMPACT);
	check(json != NULL);
	fprintf(list->out, "%s%s", list->count > 0 ? "," : "", json);
	free(json);
	json_decref(info);
	list->count++;
	memcpy(list->last, list->behind, list->behind_len);
	list->last_len = list->behind_len;
}

/* The page is full: a row behind it counts where it would be in the next one. What is wrong with it
 * is told there. */
static void look_behind(struct list *list, struct span id)
{
	struct conversation row;
	bool damaged = list->damaged;
	list->more = take_one(list, id, &row) || list->damaged != damaged;
	list->damaged = damaged;
}

static bool visit(void *arg, struct span key, struct span value)
{
	struct list *list = arg;
	struct conversation row;
	struct span id;
	(void)value;
	check(key.len < sizeof list->behind);
	memcpy(list->behind, key.at, key.len);
	list->behind_len = key.len;
	if (conversation_time_key_id(span_of(list->behind, key.len), &id)) {
		if (list->limit != 0 && list->count == list->limit)
			look_behind(list, id);
		else if (take_one(list, id, &row))
			put_one(list, &row);
	}
	return ++list->slice < SLICE_ROWS && !list->more;
}

/* "&q=..." as it must stand in a link; nothing where nothing is looked for. */
static void print_words(const struct list *list, char out[WORDS_ROOM])
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                            "0123456789-._~";
	size_t len = list->words_len > 0 ? (size_t)snprintf(out, WORDS_ROOM, "&q=") : 0;
	for (size_t i = 0; i < list->words_len; i++) {
		uint8_t c = list->words[i];
		bool bare = c != '\0' && strchr(plain, c) != NULL;
		len += (size_t)snprintf(out + len, WORDS_ROOM - len, bare ? "%c" : "%%%02X", c);
	}
	out[len] = '\0';
}

/* Link: the page behind this one begins behind its last. */
static struct span print_link(const struct list *list, char out[LINK_ROOM])
{
	const size_t head = sizeof CONVERSATION_TIME_KEY - 1;
	char words[WORDS_ROOM];
	print_words(list, words);
	int len = snprintf(
	        out, LINK_ROOM, "</sessions?limit=%llu%s&after=:%.*s:%.*s>; rel=\"next\"",
	        (unsigned long long)list->limit, words, CONVERSATION_TIME_DIGITS, list->last + head,
	        (int)(list->last_len - head - CONVERSATION_TIME_DIGITS - 1),
	        list->last + head + CONVERSATION_TIME_DIGITS + 1);
	return span_of(out, (size_t)len);
}

static void send_list(struct list *list)
{
	char etag[32], next[LINK_ROOM];
	struct request *request = list->request;
	fputc(']', list->out);
	check(fclose(list->out) == 0);
	list->out = NULL;
	struct span body = span_of(list->text, list->len);
	struct header headers[4] = {{"content-type", SPAN("application/json")},
	                            {"cache-control", SPAN("no-cache")},
	                            {"etag", conversation_etag(body, etag)}};
	size_t count = 3;
	if (list->more)
		headers[count++] = (struct header){"link", print_link(list, next)};
	bool same = etag_matches(request->headers[HEADER_IF_NONE_MATCH], headers[2].value);
	reply(request, same ? 304 : 200, headers, count, same ? (struct span){0} : body);
}

static bool list_run(struct slices_job *job)
{
	struct list *list = (struct list *)job;
	struct state *view = store_view(list->worker->store);
	list->slice = 0;
	state_kv_page(view, SPAN(CONVERSATION_TIME_KEY), span_of(list->behind, list->behind_len),
	              visit, list);
	list->damaged |= view->unreadable;
	if (list->slice == SLICE_ROWS && !list->more)
		return true;
	list->request->on_gone = NULL;
	if (list->damaged)
		conversation_reply_fault(list->request, 503, NULL, NULL, store_unreadable_reason);
	else
		send_list(list);
	list_free(list);
	return false;
}

/* ?after: the id of a session, or what a Link says, which is good also when that is gone. NULL: it
 * is taken; else why not. */
static const char *take_after(struct list *list, struct span raw)
{
	static const char fault[] = "after names no session";
	char key[CONVERSATION_KEY_ROOM], text[CONVERSATION_ID_ROOM];
	struct conversation row;
	struct span value;
	uint8_t after[CONVERSATION_KEY_ROOM];
	size_t len = raw.len < sizeof after ? query_decode(raw, after) : SIZE_MAX;
	if (len == SIZE_MAX || len == 0)
		return fault;
	const size_t head = 1 + CONVERSATION_TIME_DIGITS + 1;
	struct span id = after[0] == ':' && len > head && after[head - 1] == ':'
	                         ? span_of(after + head, len - head)
	                         : span_of(after, len);
	if (!conversation_id_good(id))
		return fault;
	memcpy(text, id.at, id.len);
	text[id.len] = '\0';
	if (id.at != after) {
		int n = snprintf(list->behind, sizeof list->behind, CONVERSATION_TIME_KEY "%.*s/%s",
		                 CONVERSATION_TIME_DIGITS, (const char *)after + 1, text);
		list->behind_len = (size_t)n;
		return NULL;
	}
	if (!state_kv_get(store_view(list->worker->store), conversation_key(text, key), &value) ||
	    conversation_read(&row, value) != ROW_PRESENT)
		return fault;
	list->behind_len = conversation_time_key(text, row.created_ms, list->behind).len;
	return NULL;
}

static const char *take_query(struct list *list)
{
	struct span value;
	struct span query = list->request->query;
	if (query_find(query, "q", &value) > 0) {
		size_t len = value.len <= WORDS_MAX ? query_decode(value, list->words) : SIZE_MAX;
		if (len == SIZE_MAX)
			return "q must be words of at most 256 bytes";
		list->words_len = len;
	}
	if (query_find(query, "limit", &value) > 0 &&
	    (!number_parse(value, LIMIT_MAX, &list->limit) || list->limit == 0))
		return "limit must be 1 to 1000";
	return query_find(query, "after", &value) > 0 ? take_after(list, value) : NULL;
}

void conversation_list(struct request *request)
{
	struct list *list = xcalloc(1, sizeof *list);
	list->job.run = list_run;
	list->request = request;
	list->worker = worker_of(request);
	const char *fault = take_query(list);
	if (fault != NULL) {
		conversation_reply_fault(request, 400, NULL, NULL, fault);
		list_free(list);
		return;
	}
	list->out = open_memstream(&list->text, &list->len);
	check(list->out != NULL);
	fputc('[', list->out);
	request->feature = list;
	request->on_gone = gone;
	if (list_run(&list->job))
		slices_add(&list->worker->slices, &list->job);
}
