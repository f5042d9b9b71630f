/* Durable Streams, the reading half: catch-up pages, and the way into the live modes. */
#include "common/base/check.h"
#include "worker-sse/edge/accept_encoding.h"
#include "worker-sse/edge/encoder.h"
#include "common/base/clock.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/worker.h"
#include "worker-sse/live/touch.h"
#include "common/store/offset.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/views/streams.h"
#include "worker-sse/views/streams_live.h"

#include <stdio.h>
#include <stdlib.h>

/* A coded slice costs the loop more. */
enum { SLICE_BYTES = 256 * 1024, CODED_SLICE_BYTES = 64 * 1024 };

/* ---- pages ---- */

/* A page under way: one slice of it at each of its turns, when the connection takes it. */
struct page {
	struct request *request;
	struct stream *stream; /* pinned */
	uint64_t at, to;
	bool json, opened;
	struct encoder *encoder; /* counted in the worker's; NULL: as it is */
	bool all;                /* of what was written last, the connection has taken */
};

static void page_finish(struct page *page, struct sse_worker *w)
{
	page->stream->pins--;
	w->compressions -= page->encoder != NULL;
	encoder_destroy(&page->encoder);
	free(page);
}

static void on_gone(struct request *request)
{
	page_finish(request->feature, worker_of(request));
}

static void put_coded(void *arg, struct span coded)
{
	struct page *page = arg;
	const struct iovec iov = {(void *)(uintptr_t)coded.at, coded.len};
	counter_add(worker_of(page->request)->counters, compressed_out_bytes_total, coded.len);
	page->all = reply_write(page->request, &iov, 1);
}

/* False: its coding failed. */
static bool put(struct page *page, const struct iovec *iov, int count, bool last)
{
	if (page->encoder == NULL) {
		page->all = reply_write(page->request, iov, count);
		return true;
	}
	page->all = true; /* nothing may come out of this piece */
	for (int i = 0; i < count; i++) {
		struct span piece = span_of(iov[i].iov_base, iov[i].iov_len);
		counter_add(worker_of(page->request)->counters, compressed_in_bytes_total,
		            piece.len);
		if (!encoder_take(page->encoder, piece, last && i == count - 1, put_coded, page))
			return false;
	}
	return true;
}

/* One slice with its brackets. False: it could not be coded. */
static bool write_slice(struct page *page, struct store_slice *slice)
{
	struct iovec iov[64];
	int count = 0;
	bool last = slice->to == page->to;
	if (page->json && !page->opened)
		iov[count++] = (struct iovec){(void *)(uintptr_t) "[", 1};
	for (int i = 0; i < slice->count; i++)
		iov[count++] = slice->iov[i];
	if (page->json && last) {
		iov[count - 1].iov_len--; /* the comma behind the last value */
		iov[count++] = (struct iovec){(void *)(uintptr_t) "]", 1};
	}
	page->opened = true;
	page->at = slice->to;
	bool fine = put(page, iov, count, last);
	store_slice_release(worker_of(page->request)->store, slice);
	return fine;
}

static enum store_read_result read_slice(struct page *page, struct store_slice *slice)
{
	if (page->stream->dropped)
		return STORE_READ_TRIMMED;
	return store_read(worker_of(page->request)->store, page->stream, page->at, page->to,
	                  waiting_piece(&page->request->edge->waiting,
	                                page->encoder != NULL ? CODED_SLICE_BYTES : SLICE_BYTES),
	                  slice);
}

static void page_abort(struct page *page)
{
	struct request *request = page->request;
	page_finish(page, worker_of(request));
	reply_abort(request);
}

/* A slice, and behind it the end, or another turn. */
static void page_go_on(struct page *page, struct store_slice *slice)
{
	struct request *request = page->request;
	if (!write_slice(page, slice)) {
		page_abort(page);
	} else if (page->at == page->to) {
		page_finish(page, worker_of(request));
		reply_end(request);
	} else if (page->all) {
		reply_again(request);
	}
}

static void page_continue(struct request *request)
{
	struct page *page = request->feature;
	struct store_slice slice;
	if (read_slice(page, &slice) == STORE_READ_OK)
		page_go_on(page, &slice);
	else
		page_abort(page);
}

/* ---- its headers ---- */

struct page_headers {
	struct header headers[12];
	size_t count;
	struct span tag;
	char offset[OFFSET_ROOM], etag[96], coded_etag[ACCEPT_ENCODING_ETAG_ROOM], cursor[24];
};

static void add(struct page_headers *h, const char *name, struct span value)
{
	h->headers[h->count++] = (struct header){name, value};
}

static void add_position(struct page_headers *h, const struct stream *stream, uint64_t to)
{
	add(h, "stream-next-offset", offset_print(stream->lineage, to, h->offset));
	if (to == stream->tail) {
		add(h, "stream-up-to-date", SPAN("true"));
		if (stream->closed)
			add(h, "stream-closed", SPAN("true"));
	}
}

static void add_cursor(struct page_headers *h, uint64_t cursor)
{
	if (cursor == 0)
		return;
	int len = snprintf(h->cursor, sizeof h->cursor, "%llu", (unsigned long long)cursor);
	add(h, "stream-cursor", span_of(h->cursor, (size_t)len));
}

static void build_headers(struct page_headers *h, struct request *request,
                          const struct stream *stream, uint64_t from, uint64_t to, uint64_t cursor,
                          enum content_coding coding)
{
	bool at_tail = to == stream->tail;
	bool guarded = request->identity->way != IDENTITY_ANONYMOUS;
	h->count = 0;
	add(h, "content-type", span_of(stream->content_type, stream->content_type_len));
	add(h, STREAMS_POLICY_NAME, STREAMS_POLICY);
	add_position(h, stream, to);
	add_cursor(h, cursor);
	h->tag = accept_encoding_etag(
	        etag_print(stream, from, to, at_tail && stream->closed, h->etag), coding,
	        h->coded_etag);
	add(h, "etag", h->tag);
	add(h, "vary", SPAN("accept-encoding"));
	/* A page that does not reach the tail will never change. */
	add(h, "cache-control",
	    at_tail   ? SPAN("no-cache")
	    : guarded ? SPAN("private, max-age=60, stale-while-revalidate=300")
	              : SPAN("public, max-age=60, stale-while-revalidate=300"));
}

/* What the page is coded in: short ones, and those that would not get shorter, are not; nor beyond
 * http.compressions, for an encoder has memory that a reader has not. */
static enum content_coding choose_coding(struct request *request, const struct stream *stream,
                                         uint64_t len)
{
	const struct sse_worker *w = worker_of(request);
	unsigned have;
	struct span type = span_of(stream->content_type, stream->content_type_len);
	if (len < w->settings->http_compression_min_bytes ||
	    w->compressions >= w->settings->http_compressions ||
	    !content_coding_list(w->settings->http_compression, &have) ||
	    !accept_encoding_worth(type))
		return CODING_IDENTITY;
	return accept_encoding_choose(request->headers[HEADER_ACCEPT_ENCODING], have);
}

static void reply_page(struct request *request, struct stream *stream, uint64_t from,
                       uint64_t cursor)
{
	struct sse_worker *w = worker_of(request);
	struct page_headers h;
	uint64_t to = from < stream->tail ? store_page_end(w->store, stream, from, stream->tail,
	                                                   w->settings->http_page_bytes)
	                                  : from;
	enum content_coding coding = choose_coding(request, stream, to - from);
	build_headers(&h, request, stream, from, to, cursor, coding);
	if (etag_matches(request->headers[HEADER_IF_NONE_MATCH], h.tag)) {
		reply(request, 304, h.headers, h.count, (struct span){0});
		return;
	}
	if (from == to) {
		reply(request, 200, h.headers, h.count,
		      stream->json ? SPAN("[]") : (struct span){0});
		return;
	}
	struct page *page = xmalloc(sizeof *page);
	*page = (struct page){
	        .request = request, .stream = stream, .at = from, .to = to, .json = stream->json};
	stream->pins++;
	if (coding != CODING_IDENTITY) {
		page->encoder = encoder_create(coding);
		w->compressions++;
	}
	/* The status says whether it can be read; so the first of it is read before. */
	struct store_slice first;
	enum store_read_result result = read_slice(page, &first);
	if (result != STORE_READ_OK) {
		page_finish(page, w);
		reply_error(request, result == STORE_READ_FAILED ? 503 : 410,
		            result == STORE_READ_FAILED
		                    ? store_unreadable_reason
		                    : "this offset is before the first retained one");
		return;
	}
	request->feature = page;
	request->on_gone = on_gone;
	request->on_drain = page_continue;
	if (coding != CODING_IDENTITY)
		add(&h, "content-encoding", span_str(content_coding_name(coding)));
	reply_start(request, 200, h.headers, h.count,
	            coding != CODING_IDENTITY ? UINT64_MAX : to - from + (stream->json ? 1 : 0));
	page_go_on(page, &first);
}

static void reply_nothing(struct request *request, const struct stream *stream, uint64_t cursor)
{
	struct page_headers h = {.count = 0};
	add_position(&h, stream, stream->tail);
	add_cursor(&h, cursor);
	add(&h, "cache-control", SPAN("no-store"));
	reply(request, 204, h.headers, h.count, (struct span){0});
}

/* offset=now: the tail as it is, for whoever wants only what comes. */
static void reply_now(struct request *request, const struct stream *stream)
{
	struct page_headers h = {.count = 0};
	add(&h, "content-type", span_of(stream->content_type, stream->content_type_len));
	add(&h, STREAMS_POLICY_NAME, STREAMS_POLICY);
	add_position(&h, stream, stream->tail);
	add(&h, "cache-control", SPAN("no-store"));
	reply(request, 200, h.headers, h.count, stream->json ? SPAN("[]") : (struct span){0});
}

/* ---- what is asked for ---- */

enum live { LIVE_NONE, LIVE_LONG_POLL, LIVE_SSE };

/* False: answered. */
static bool take_offset(struct request *request, struct offset *offset, bool *given)
{
	struct span raw;
	uint8_t text[64];
	unsigned count = query_find(request->query, "offset", &raw);
	*given = count > 0;
	*offset = (struct offset){.kind = OFFSET_START};
	if (count == 0)
		return true;
	size_t len = raw.len <= sizeof text ? percent_decode(raw, text) : SIZE_MAX;
	*offset = len == SIZE_MAX ? (struct offset){0} : offset_parse(span_of(text, len));
	if (count == 1 && offset->kind != OFFSET_BAD)
		return true;
	reply_error(request, 400, count > 1 ? "offset is given twice" : "malformed offset");
	return false;
}

static enum live live_mode(struct request *request)
{
	struct span live = {0};
	query_find(request->query, "live", &live);
	return span_equal(live, SPAN("long-poll")) ? LIVE_LONG_POLL
	       : span_equal(live, SPAN("sse"))     ? LIVE_SSE
	                                           : LIVE_NONE;
}

/* The position to read from; false: answered. */
static bool resolve(struct request *request, struct stream *stream, const struct offset *offset,
                    uint64_t *from)
{
	struct store *store = worker_of(request)->store;
	uint64_t first = stream_first(store_view(store), stream);
	switch (offset->kind) {
	case OFFSET_START:
		*from = first;
		return true;
	case OFFSET_NOW:
		*from = stream->tail;
		return true;
	case OFFSET_AT:
	case OFFSET_BAD:
		break;
	}
	*from = offset->position;
	bool another =
	        offset->position != 0 && offset->lineage != 0 && offset->lineage != stream->lineage;
	if ((another || *from > stream->tail) && cluster_ahead(request, streams_handle))
		return false;
	if (another) {
		reply_error(request, 410, "this offset belongs to a stream that is gone");
		return false;
	}
	if (*from > stream->tail)
		*from = stream->tail; /* beyond the tail there is nothing yet */
	if (*from < first) {
		reply_error(request, 410, "this offset is before the first retained one");
		return false;
	}
	if (stream->json && !store_boundary(store, stream, *from)) {
		reply_error(request, 400, "this offset lies within a message");
		return false;
	}
	return true;
}

static uint64_t cursor_of(struct request *request)
{
	struct span echoed = {0};
	query_find(request->query, "cursor", &echoed);
	return cursor_next(clock_wall_ms(), echoed);
}

/* ---- long-poll ---- */

static void on_news(void *owner, struct stream *stream, uint64_t position, uint64_t cursor,
                    enum fanout_news news)
{
	struct request *request = owner;
	request->feature = NULL;
	request->on_gone = NULL;
	request->on_judge = NULL;
	switch (news) {
	case FANOUT_NEWS_DATA:
		reply_page(request, stream, position, cursor);
		return;
	case FANOUT_NEWS_GONE:
		reply_error(request, stream->dropped ? 404 : 410, "stream is deleted");
		return;
	case FANOUT_NEWS_CLOSED:
	case FANOUT_NEWS_NONE:
		reply_nothing(request, stream, cursor);
		return;
	}
}

static void on_poller_judged(struct request *request)
{
	struct live_reader *reader = request->feature;
	const char *reason;
	unsigned status = request_refusal(request, RIGHT(READ), request->path, &reason);
	if (status == 0)
		return;
	request->feature = NULL;
	request->on_gone = NULL;
	fanout_cancel(reader);
	reply_error(request, status, reason);
}

static void on_poller_gone(struct request *request)
{
	fanout_cancel(request->feature);
}

static void wait_for_news(struct request *request, struct stream *stream, uint64_t from,
                          uint64_t cursor)
{
	static const struct fanout_view view = {.name = "long-poll", .news = on_news};
	struct sse_worker *w = worker_of(request);
	struct live_reader *reader =
	        fanout_join(w->fanout, (struct sink){0}, &view, request, cursor,
	                    w->wheel.now_ms + w->settings->http_long_poll_timeout_ms);
	request->feature = reader;
	request->on_gone = on_poller_gone;
	reading_bind(request, reader, on_poller_judged);
	fanout_add(reader, stream, from);
}

static void read_long_poll(struct request *request, struct stream *stream, uint64_t from)
{
	uint64_t cursor = cursor_of(request);
	if (from < stream->tail)
		reply_page(request, stream, from, cursor);
	else if (stream->closed)
		reply_nothing(request, stream, cursor);
	else
		wait_for_news(request, stream, from, cursor);
}

void streams_read(struct request *request)
{
	struct stream *stream = streams_find(request);
	struct offset offset;
	bool given;
	uint64_t from;
	if (stream == NULL || !take_offset(request, &offset, &given))
		return;
	enum live live = live_mode(request);
	if (live != LIVE_NONE && !given) {
		reply_error(request, 400, "live needs an offset");
		return;
	}
	if (!resolve(request, stream, &offset, &from))
		return;
	touch_stream(worker_of(request)->store, stream, clock_wall_ms());
	if (live != LIVE_NONE && request->method == METHOD_GET && !request_hold_reader(request))
		return;
	switch (live) {
	case LIVE_NONE:
		if (offset.kind == OFFSET_NOW)
			reply_now(request, stream);
		else
			reply_page(request, stream, from, 0);
		return;
	case LIVE_LONG_POLL:
		read_long_poll(request, stream, from);
		return;
	case LIVE_SSE:
		streams_follow(request, stream, from, cursor_of(request));
		return;
	}
}
