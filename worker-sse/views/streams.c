/* Durable Streams, the writing half: create, append, close, fork, delete; and HEAD. */
#include "worker-sse/views/streams.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/stream_append.h"
#include "worker-sse/views/worker.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "common/store/stream_name.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HEADERS_ROOM = 12,
	BASE_URL_ROOM = 2048,
};

/* A command on its way, and the request it answers. */
struct operation {
	struct stream_write write; /* first */
	struct request *request;
};

/* ---- answers ---- */

struct answer {
	struct header headers[HEADERS_ROOM];
	size_t count;
	char offset[OFFSET_ROOM], numbers[3][24];
	size_t numbers_used;
	char location[BASE_URL_ROOM + 8192], expires[40];
};

/* The rest is written as it is used: an answer is ten kilobytes. */
static void answer_begin(struct answer *a)
{
	a->count = a->numbers_used = 0;
}

static void add(struct answer *a, const char *name, struct span value)
{
	check(a->count < HEADERS_ROOM);
	a->headers[a->count++] = (struct header){name, value};
}

static void add_number(struct answer *a, const char *name, uint64_t n)
{
	check(a->numbers_used < 3);
	char *text = a->numbers[a->numbers_used++];
	int len = snprintf(text, sizeof a->numbers[0], "%llu", (unsigned long long)n);
	add(a, name, span_of(text, (size_t)len));
}

static void add_offset(struct answer *a, uint64_t lineage, uint64_t position)
{
	add(a, "stream-next-offset", offset_print(lineage, position, a->offset));
}

static void add_closed(struct answer *a, bool closed)
{
	if (closed)
		add(a, "stream-closed", SPAN("true"));
}

static void answer_send(struct request *request, struct answer *a, unsigned status,
                        const char *reason)
{
	char text[256] = "";
	int len = 0;
	if (reason != NULL) {
		len = snprintf(text, sizeof text, "%s\n", reason);
		add(a, "content-type", SPAN("text/plain; charset=utf-8"));
		add(a, "cache-control", SPAN("no-store"));
	}
	if (status == 503 || status == 507 || status == 429)
		add(a, "retry-after", SPAN("1"));
	reply(request, status, a->headers, a->count, span_of(text, (size_t)len));
}

static void operation_free(struct operation *op)
{
	stream_write_finish(&op->write);
	free(op);
}

/* ---- PUT ---- */

static void created(struct command *command)
{
	struct operation *op = command->owner;
	struct request *request = op->request;
	struct answer a;
	struct verdict_row row = stream_verdict(command->verdict);
	answer_begin(&a);
	if (row.reason == NULL) {
		struct stream *stream =
		        state_find_id(store_view(worker_of(request)->store), command->id);
		size_t len = request_base_url(request, a.location, BASE_URL_ROOM);
		len += stream_name_canonical(command->path, (uint8_t *)a.location + len);
		if (command->verdict == VERDICT_CREATED)
			add(&a, "location", span_of(a.location, len));
		if (stream != NULL)
			add(&a, "content-type",
			    span_of(stream->content_type, stream->content_type_len));
		add_offset(&a, command->lineage, command->tail);
		add_closed(&a, command->closed);
		reply(request, row.status, a.headers, a.count, (struct span){0});
	} else {
		char fault[STREAM_FAULT_ROOM];
		const char *reason =
		        command->verdict == VERDICT_BAD_BODY && command->body_fault != NULL
		                ? stream_write_fault(&op->write, fault)
		                : row.reason;
		answer_send(request, &a, row.status, reason);
	}
	operation_free(op);
}

static void on_taken(struct stream_write *write)
{
	struct operation *op = (struct operation *)write;
	request_hold(op->request, false);
	store_submit(worker_of(op->request)->store, &write->command);
}

/* Appends of a connection are submitted in their order: while one is read aside, the next is not
 * begun. */
static void submit(struct operation *op, bool json, bool empty_array_ok)
{
	struct request *r = op->request;
	struct stream_write *w = &op->write;
	w->bytes = r->body;
	w->len = r->body_len;
	w->json = json;
	w->empty_array_ok = empty_array_ok;
	w->depth_max = worker_of(r)->settings->limits_json_depth;
	w->taken = on_taken;
	if (stream_write_take(w, worker_of(r)->worker->loop))
		store_submit(worker_of(r)->store, &w->command);
	else
		request_hold(r, true);
}

static const char *take_expiry(struct request *r, struct command *c)
{
	struct span ttl = r->headers[HEADER_STREAM_TTL], at = r->headers[HEADER_STREAM_EXPIRES_AT];
	if (ttl.len != 0 && at.len != 0)
		return "Stream-TTL and Stream-Expires-At exclude each other";
	if (ttl.len != 0) {
		uint64_t max = worker_of(r)->settings->limits_ttl_max_ms / 1000;
		if ((ttl.len > 1 && ttl.at[0] == '0') || !number_parse(ttl, max, &c->ttl_s))
			return "Stream-TTL must be whole seconds, at most limits.ttl_max";
		c->ttl_present = true;
	}
	if (at.len != 0) {
		if (!timestamp_parse(at, &c->expires_at_ms))
			return "Stream-Expires-At must be an RFC 3339 date-time";
		c->expires_present = true;
	}
	return NULL;
}

static const char *take_fork(struct request *r, struct command *c)
{
	struct span from = r->headers[HEADER_STREAM_FORKED_FROM];
	struct span offset = r->headers[HEADER_STREAM_FORK_OFFSET];
	struct span sub = r->headers[HEADER_STREAM_FORK_SUB_OFFSET];
	if (sub.at != NULL) {
		if (from.len == 0)
			return "Stream-Fork-Sub-Offset without Stream-Forked-From";
		if ((sub.len > 1 && sub.at[0] == '0') ||
		    !number_parse(sub, UINT32_MAX, &c->fork_sub_offset))
			return "malformed Stream-Fork-Sub-Offset";
		c->fork_sub_present = true;
	}
	if (from.len == 0)
		return NULL;
	c->fork = true;
	c->fork_source = from;
	if (offset.at != NULL) {
		struct offset o = offset_parse(offset);
		if (o.kind != OFFSET_AT)
			return "malformed Stream-Fork-Offset";
		c->fork_offset_present = true;
		c->fork_offset = o.position;
		c->fork_offset_lineage = o.lineage;
	}
	return NULL;
}

/* type "/" subtype, as the reference understands it; anything else counts as none given. */
static bool plausible_type(struct span type)
{
	const uint8_t *slash = type.len > 0 ? memchr(type.at, '/', type.len) : NULL;
	return slash != NULL && slash > type.at && slash + 1 < type.at + type.len;
}

static bool wants_close(const struct request *r)
{
	return span_equal_nocase(r->headers[HEADER_STREAM_CLOSED], SPAN("true"));
}

static struct operation *operation_create(struct request *r, enum command_kind kind,
                                          void (*done)(struct command *))
{
	struct operation *op = xcalloc(1, sizeof *op);
	op->request = r;
	op->write.command = (struct command){.kind = kind,
	                                     .done = done,
	                                     .owner = op,
	                                     .path = r->path,
	                                     .content_type = r->headers[HEADER_CONTENT_TYPE]};
	return op;
}

/* By what is the body to be read? A fork without a type of its own has the source's. */
static struct span type_for_body(struct request *r, struct command *c)
{
	if (c->content_type.len != 0 || !c->fork || r->body_len == 0)
		return c->content_type;
	struct stream *source = state_find(store_view(worker_of(r)->store), c->fork_source);
	if (source != NULL)
		c->content_type = span_of(source->content_type, source->content_type_len);
	return c->content_type;
}

/* Whoever forks a stream has what is in it. 0, or the status. */
static unsigned may_fork(struct request *r, const struct command *c, const char **reason)
{
	return c->fork ? request_refusal(r, RIGHT(READ), c->fork_source, reason) : 0;
}

static void put(struct request *r)
{
	struct operation *op = operation_create(r, COMMAND_CREATE, created);
	struct command *c = &op->write.command;
	const char *fault = take_expiry(r, c);
	if (fault == NULL)
		fault = take_fork(r, c);
	if (fault != NULL) {
		operation_free(op);
		reply_error(r, 400, fault);
		return;
	}
	unsigned status = may_fork(r, c, &fault);
	if (status != 0) {
		operation_free(op);
		reply_error(r, status, fault);
		return;
	}
	if (!plausible_type(c->content_type))
		c->content_type = (struct span){0};
	c->close = wants_close(r);
	submit(op, media_type_json(type_for_body(r, c)), true);
}

/* ---- POST ---- */

static unsigned append_headers(struct answer *a, const struct command *c)
{
	struct stream_append_told told = stream_append_told(c);
	if (told.offset)
		add_offset(a, c->lineage, c->tail);
	add_closed(a, told.closed);
	if (told.producer_epoch)
		add_number(a, "producer-epoch", c->producer_epoch);
	if (told.producer_seq)
		add_number(a, "producer-seq", c->producer_seq);
	if (told.sequence) {
		add_number(a, "producer-expected-seq", told.expected_seq);
		add_number(a, "producer-received-seq", told.received_seq);
	}
	return told.status;
}

static void appended(struct command *c)
{
	struct operation *op = c->owner;
	struct request *request = op->request;
	struct verdict_row row = stream_verdict(c->verdict);
	struct answer a;
	answer_begin(&a);
	unsigned status = append_headers(&a, c);
	if (c->verdict == VERDICT_OWNED)
		status = request_forbidden(request);
	if (c->verdict == VERDICT_OK) {
		counter_add(worker_of(request)->counters, appends_total, 1);
		counter_add(worker_of(request)->counters, append_bytes_total, c->body.bytes.len);
	}
	char fault[STREAM_FAULT_ROOM];
	const char *reason = status < 300 ? NULL
	                     : c->body_fault != NULL && c->verdict == VERDICT_BAD_BODY
	                             ? stream_write_fault(&op->write, fault)
	                             : row.reason;
	answer_send(request, &a, status, reason);
	operation_free(op);
}

/* All three or none. NULL: fine. */
static const char *take_producer(struct request *r, struct command *c)
{
	struct span id = r->headers[HEADER_PRODUCER_ID], epoch = r->headers[HEADER_PRODUCER_EPOCH],
	            seq = r->headers[HEADER_PRODUCER_SEQ];
	if (id.at == NULL && epoch.at == NULL && seq.at == NULL)
		return NULL;
	if (id.at == NULL || epoch.at == NULL || seq.at == NULL)
		return "Producer-Id, Producer-Epoch and Producer-Seq go together";
	c->producer = (struct producer_tag){.present = true, .id = id};
	if (!number_parse(epoch, UINT64_MAX, &c->producer.epoch))
		c->producer.epoch = UINT64_MAX; /* as malformed as one that is too large */
	if (!number_parse(seq, UINT64_MAX, &c->producer.seq))
		c->producer.seq = UINT64_MAX;
	return NULL;
}

static const char *append_fault(struct request *r, struct command *c)
{
	const char *fault = take_producer(r, c);
	c->close = wants_close(r);
	c->stream_seq = r->headers[HEADER_STREAM_SEQ];
	return fault != NULL ? fault : stream_append_fault(worker_of(r)->settings, c, r->body_len);
}

static void post(struct request *r)
{
	struct operation *op = operation_create(r, COMMAND_APPEND, appended);
	const char *fault = append_fault(r, &op->write.command);
	if (fault != NULL) {
		operation_free(op);
		reply_error(r, 400, fault);
		return;
	}
	submit(op, media_type_json(op->write.command.content_type), false);
}

/* ---- DELETE ---- */

static void deleted(struct command *c)
{
	struct operation *op = c->owner;
	struct verdict_row row = stream_verdict(c->verdict);
	struct answer a;
	answer_begin(&a);
	answer_send(op->request, &a, row.status, row.reason);
	operation_free(op);
}

/* ---- HEAD ---- */

struct stream *streams_find(struct request *r)
{
	struct stream *stream =
	        state_find_living(store_view(worker_of(r)->store), r->path, clock_wall_ms());
	if (stream != NULL && !stream->deleted)
		return stream;
	if (stream == NULL && store_view(worker_of(r)->store)->unreadable)
		reply_error(r, 503, store_unreadable_reason);
	else if (stream == NULL && cluster_follows(worker_of(r)))
		cluster_hand_on(r); /* it may be there already */
	else if (stream == NULL)
		reply_error(r, 404, "stream not found");
	else
		reply_error(r, 410, "stream is deleted");
	return NULL;
}

static void head(struct request *r)
{
	struct stream *stream = streams_find(r);
	if (stream == NULL)
		return;
	struct answer a;
	char etag[96];
	answer_begin(&a);
	add(&a, "content-type", span_of(stream->content_type, stream->content_type_len));
	add(&a, STREAMS_POLICY_NAME, STREAMS_POLICY);
	add_offset(&a, stream->lineage, stream->tail);
	add(&a, "cache-control", SPAN("no-store"));
	add(&a, "etag",
	    etag_print(stream, stream_first(store_view(worker_of(r)->store), stream), stream->tail,
	               stream->closed, etag));
	add_closed(&a, stream->closed);
	if (stream->ttl_present)
		add_number(&a, "stream-ttl", stream->ttl_s);
	if (stream->expires_present)
		add(&a, "stream-expires-at", timestamp_print(stream->expires_at_ms, a.expires));
	reply(r, 200, a.headers, a.count, (struct span){0});
}

/* Its length is that of the name that is stored. The reserved segment is so in any spelling. */
static const char *name_fault(const struct request *r, unsigned *status)
{
	static const struct span reserved = {(const uint8_t *)"/v1/stream/__ds/", 16};
	uint8_t canonical[STREAM_NAME_ROOM];
	struct span name = r->path;
	if (name.len <= STREAM_NAME_MAX && !stream_name_is_canonical(name))
		name = span_of(canonical, stream_name_canonical(name, canonical));
	*status = 414;
	if (name.len > worker_of(r)->settings->limits_path_bytes)
		return "path longer than limits.path_bytes";
	*status = 404;
	bool reserves = name.len >= reserved.len && memcmp(name.at, reserved.at, reserved.len) == 0;
	return r->method == METHOD_PUT && reserves ? "this segment is reserved" : NULL;
}

void streams_handle(struct request *r)
{
	const struct settings *s = worker_of(r)->settings;
	struct operation *op;
	unsigned status;
	const char *fault = name_fault(r, &status);
	if (fault != NULL) {
		reply_error(r, status, fault);
		return;
	}
	if (r->headers[HEADER_CONTENT_TYPE].len > s->limits_content_type_bytes) {
		reply_error(r, 400, "Content-Type longer than limits.content_type_bytes");
		return;
	}
	switch (r->method) {
	case METHOD_PUT:
		put(r);
		return;
	case METHOD_POST:
		if (request_take(r, LIMIT_APPENDS))
			post(r);
		return;
	case METHOD_GET:
		streams_read(r);
		return;
	case METHOD_HEAD:
		head(r);
		return;
	case METHOD_DELETE:
		op = operation_create(r, COMMAND_DELETE, deleted);
		store_submit(worker_of(r)->store, &op->write.command);
		return;
	case METHOD_OPTIONS:
	case METHOD_PATCH:
	case METHOD_OTHER:
		break;
	}
	reply_error(r, 405, "method not allowed here");
}
