#include "worker-sse/views/hls.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/domain/output_row.h"
#include "common/store/row.h"
#include "worker-sse/views/hls_late.h"
#include "worker-sse/views/hls_range.h"
#include "worker-sse/views/live_right.h"
#include "worker-sse/views/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_ROOM = OUTPUT_ROW_DIR_MAX + 76,
	PIECE_BYTES = 1 << 18,
	PLAYLIST_BYTES_MAX = 1 << 20, /* that is made anew for who sees it later */
};

/* One answer under way. The request may leave while a thread works for it. */
struct hls {
	uv_work_t work;
	struct request *request; /* NULL: the client has left */
	char path[PATH_ROOM];
	bool playlist, begun, working;
	uint64_t delay_ms; /* he sees it so much later; 0: as it is written */
	char *late;        /* the playlist as it was, late_len bytes */
	size_t late_len;
	int fd, error; /* of the last piece of work */
	struct stat found;
	uint64_t at, end; /* what is left of the file */
	size_t piece_len;
	struct chunk *piece; /* its length is how much is read at a time */
};

/* ---- which file ---- */

struct asked {
	struct span feed, output, file; /* output at NULL: the first there is */
};

static bool take_segment(struct span *rest, struct span *segment)
{
	const uint8_t *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
	if (slash == NULL)
		return false;
	*segment = span_of(rest->at, (size_t)(slash - rest->at));
	*rest = span_of(slash + 1, rest->len - segment->len - 1);
	return segment->len > 0;
}

static bool is_name(struct span text, size_t max)
{
	for (size_t i = 0; i < text.len; i++)
		if ((text.at[i] < 'a' || text.at[i] > 'z') &&
		    (text.at[i] < '0' || text.at[i] > '9') && text.at[i] != '-')
			return false;
	return text.len > 0 && text.len <= max;
}

static bool split_path(struct span path, struct asked *asked)
{
	static const size_t prefix = sizeof "/v1/hls/" - 1;
	*asked = (struct asked){0};
	struct span rest = span_of(path.at + prefix, path.len - prefix);
	if (!take_segment(&rest, &asked->feed) || !is_name(asked->feed, 64))
		return false;
	if (memchr(rest.at, '/', rest.len) != NULL &&
	    (!take_segment(&rest, &asked->output) || !is_name(asked->output, 32)))
		return false;
	asked->file = rest;
	return hls_name_valid(rest);
}

/* The directory that a row names, with ROW_PRESENT; ROW_ABSENT: it is none of HLS, or was removed.
 */
static enum row_found read_row(struct span value, char dir[PATH_ROOM])
{
	struct output_row row;
	if (output_row_read(&row, value) != ROW_PRESENT)
		return ROW_UNREADABLE;
	if (*row.hls == '\0' || row.removed)
		return ROW_ABSENT;
	strcpy(dir, row.hls);
	return ROW_PRESENT;
}

/* Of the rows of a feed the first that is of HLS, or cannot be read: it may be. */
struct choice {
	struct request *request;
	enum row_found found;
	char key[OUTPUT_ROW_KEY_ROOM], dir[PATH_ROOM];
};

static enum row_found read_alerting(struct request *request, const char *key, struct span row,
                                    char dir[PATH_ROOM])
{
	enum row_found found = read_row(row, dir);
	if (found == ROW_UNREADABLE)
		row_alert(worker_of(request)->worker->mine, key);
	return found;
}

/* Rows come in no order. */
static bool consider(void *arg, struct span key, struct span row)
{
	struct choice *choice = arg;
	char dir[PATH_ROOM] = "", text[OUTPUT_ROW_KEY_ROOM];
	if (key.len >= sizeof text)
		return true;
	memcpy(text, key.at, key.len);
	text[key.len] = '\0';
	enum row_found found = read_alerting(choice->request, text, row, dir);
	if (found == ROW_ABSENT || (*choice->key != '\0' && strcmp(choice->key, text) <= 0))
		return true;
	choice->found = found;
	strcpy(choice->key, text);
	strcpy(choice->dir, dir);
	return true;
}

/* *dir is set with ROW_PRESENT. */
static enum row_found find_dir(struct request *request, const struct asked *asked,
                               char dir[PATH_ROOM])
{
	struct state *state = store_view(worker_of(request)->store);
	struct choice choice = {.request = request};
	struct span row;
	char key[OUTPUT_ROW_KEY_ROOM];
	if (worker_of(request)->settings->capture_workers == 0)
		return ROW_ABSENT;
	int len = snprintf(key, sizeof key, OUTPUT_ROW_PREFIX "%.*s/%.*s", (int)asked->feed.len,
	                   asked->feed.at, (int)asked->output.len,
	                   asked->output.at != NULL ? (const char *)asked->output.at : "");
	if (asked->output.at != NULL)
		return state_kv_get(state, span_of(key, (size_t)len), &row)
		               ? read_alerting(request, key, row, dir)
		       : state->unreadable ? ROW_UNREADABLE
		                           : ROW_ABSENT;
	state_kv_each(state, span_of(key, (size_t)len), consider, &choice);
	strcpy(dir, choice.dir);
	return state->unreadable ? ROW_UNREADABLE : choice.found;
}

/* ---- work, on a thread ---- */

/* A file is as old as its last byte: ffmpeg has gone on to the next by then. */
static bool is_old_enough(const struct hls *h, const struct stat *file)
{
	uint64_t written_ms =
	        (uint64_t)file->st_mtim.tv_sec * 1000 + (uint64_t)file->st_mtim.tv_nsec / 1000000;
	return written_ms + h->delay_ms <= clock_wall_ms();
}

static bool is_old_segment(void *arg, struct span name)
{
	const struct hls *h = arg;
	char path[PATH_ROOM];
	struct stat file;
	const char *slash = strrchr(h->path, '/');
	int len = snprintf(path, sizeof path, "%.*s/%.*s", (int)(slash - h->path), h->path,
	                   (int)name.len, (const char *)name.at);
	return hls_name_valid(name) && len > 0 && (size_t)len < sizeof path &&
	       lstat(path, &file) == 0 && is_old_enough(h, &file);
}

static int read_late(struct hls *h)
{
	size_t size = (size_t)h->found.st_size;
	if (h->found.st_size > PLAYLIST_BYTES_MAX)
		return EFBIG;
	char *now = xmalloc(size + 1);
	ssize_t n = pread(h->fd, now, size, 0);
	if (n > 0)
		h->late = hls_late(span_of(now, (size_t)n), OUTPUT_ROW_HLS_LISTED, is_old_segment,
		                   h, &h->late_len);
	free(now);
	return h->late != NULL ? 0 : ENOENT;
}

static void open_file(uv_work_t *work)
{
	struct hls *h = work->data;
	h->fd = open(h->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	h->error = h->fd < 0 || fstat(h->fd, &h->found) != 0 ? errno
	           : !S_ISREG(h->found.st_mode)              ? ENOENT
	                                                     : 0;
	if (h->error == 0 && h->delay_ms != 0 && h->playlist)
		h->error = read_late(h);
	else if (h->error == 0 && h->delay_ms != 0 && !is_old_enough(h, &h->found))
		h->error = ENOENT;
}

static void read_piece(uv_work_t *work)
{
	struct hls *h = work->data;
	uint64_t left = h->end - h->at;
	ssize_t n = pread(h->fd, h->piece->bytes,
	                  left < h->piece->len ? (size_t)left : h->piece->len, (off_t)h->at);
	h->error = n < 0    ? errno
	           : n == 0 ? EPIPE
	                    : 0; /* shorter than it was: never end it as if whole */
	h->piece_len = n > 0 ? (size_t)n : 0;
}

/* ---- the answer, on the loop ---- */

static void destroy(struct hls *h)
{
	if (h->request != NULL) {
		h->request->feature = NULL;
		h->request->on_gone = h->request->on_drain = NULL;
	}
	if (h->fd >= 0)
		close(h->fd);
	chunk_unref(&h->piece);
	free(h->late);
	free(h);
}

static void on_gone(struct request *request)
{
	struct hls *h = request->feature;
	h->request = NULL;
	if (!h->working)
		destroy(h);
}

static void on_worked(uv_work_t *work, int status);

static void work(struct hls *h, void (*what)(uv_work_t *work))
{
	h->request->feature = h;
	h->request->on_gone = on_gone;
	h->request->on_drain = NULL;
	h->working = true;
	check(uv_queue_work(worker_of(h->request)->worker->loop, &h->work, what, on_worked) == 0);
}

static void on_drain(struct request *request)
{
	work(request->feature, read_piece);
}

static void refuse(struct hls *h, unsigned status, const char *reason)
{
	struct request *request = h->request;
	destroy(h);
	reply_error(request, status, reason);
}

static void finish(struct hls *h)
{
	struct request *request = h->request;
	destroy(h);
	reply_end(request);
}

struct head {
	struct header headers[6];
	size_t count;
	char etag[48], range[80];
};

static void add(struct head *head, const char *name, struct span value)
{
	head->headers[head->count++] = (struct header){name, value};
}

static void begin_head(struct head *head, const struct hls *h)
{
	const struct stat *s = &h->found;
	int len = snprintf(head->etag, sizeof head->etag, "\"%" PRIx64 "-%" PRIx64 "%08lx\"",
	                   (uint64_t)s->st_size, (uint64_t)s->st_mtim.tv_sec,
	                   (unsigned long)s->st_mtim.tv_nsec);
	head->count = 0;
	add(head, "content-type",
	    h->playlist ? SPAN("application/vnd.apple.mpegurl") : SPAN("video/mp2t"));
	/* A name may come again, with other pictures, after its output was removed and made anew.
	 */
	add(head, "cache-control", h->playlist ? SPAN("no-cache") : SPAN("max-age=60"));
	add(head, "accept-ranges", SPAN("bytes"));
	add(head, "etag", span_of(head->etag, (size_t)len));
}

/* RFC 9110 §13.1.5: another version than the client has a part of is sent whole. */
static bool range_applies(const struct request *request, struct span etag)
{
	struct span condition = request->headers[HEADER_IF_RANGE];
	return request->method == METHOD_GET &&
	       (condition.at == NULL || span_equal(condition, etag));
}

static void answer_late(struct hls *h)
{
	struct request *request = h->request;
	const struct header headers[] = {{"content-type", SPAN("application/vnd.apple.mpegurl")},
	                                 {"cache-control", SPAN("no-cache")}};
	char *text = h->late;
	size_t len = h->late_len;
	bool head = request->method == METHOD_HEAD;
	h->late = NULL;
	destroy(h);
	reply(request, 200, headers, 2, head ? (struct span){NULL, len} : span_of(text, len));
	free(text);
}

static void answer(struct hls *h)
{
	struct request *request = h->request;
	uint64_t size = (uint64_t)h->found.st_size, from = 0, len = size;
	struct head head;
	begin_head(&head, h);
	struct span etag = head.headers[3].value;
	enum hls_range_result part = HLS_RANGE_WHOLE;
	if (span_equal(request->headers[HEADER_IF_NONE_MATCH], etag)) {
		destroy(h);
		reply(request, 304, head.headers, head.count, (struct span){0});
		return;
	}
	if (range_applies(request, etag))
		part = hls_range(request->headers[HEADER_RANGE], size, &from, &len);
	int written = part == HLS_RANGE_OUTSIDE
	                      ? snprintf(head.range, sizeof head.range, "bytes */%" PRIu64, size)
	                      : snprintf(head.range, sizeof head.range,
	                                 "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from,
	                                 from + len - 1, size);
	if (part != HLS_RANGE_WHOLE)
		add(&head, "content-range", span_of(head.range, (size_t)written));
	if (part == HLS_RANGE_OUTSIDE) {
		static const char reason[] = "the file ends before that range\n";
		head.headers[0].value = SPAN("text/plain");
		destroy(h);
		reply(request, 416, head.headers, head.count, span_str(reason));
		return;
	}
	if (request->method == METHOD_HEAD || len == 0) {
		destroy(h);
		reply(request, 200, head.headers, head.count, (struct span){NULL, (size_t)len});
		return;
	}
	h->at = from;
	h->end = from + len;
	h->begun = true;
	size_t room = waiting_piece(&request->edge->waiting, PIECE_BYTES);
	h->piece = chunk_create(len < room ? (size_t)len : room);
	reply_start(request, part == HLS_RANGE_PART ? 206 : 200, head.headers, head.count, len);
	work(h, read_piece);
}

static void send_piece(struct hls *h)
{
	const struct iovec iov = {h->piece->bytes, h->piece_len};
	h->at += h->piece_len;
	bool taken = reply_write(h->request, &iov, 1);
	if (h->at == h->end) {
		finish(h);
	} else if (taken) {
		work(h, read_piece);
	} else {
		h->request->feature = h;
		h->request->on_gone = on_gone;
		h->request->on_drain = on_drain;
	}
}

static void on_worked(uv_work_t *worked, int status)
{
	struct hls *h = worked->data;
	h->working = false;
	if (h->request == NULL) {
		destroy(h);
	} else if (!h->begun && (status != 0 || h->error != 0)) {
		refuse(h, h->error == EACCES ? 403 : 404,
		       h->error == EACCES ? "the file may not be read"
		                          : "no such file, or not yet");
	} else if (!h->begun && h->late != NULL) {
		answer_late(h);
	} else if (!h->begun) {
		answer(h);
	} else if (h->error != 0) {
		struct request *request = h->request;
		destroy(h);
		reply_abort(request);
	} else {
		send_piece(h);
	}
}

void hls_handle(struct request *request)
{
	struct asked asked;
	char dir[PATH_ROOM];
	sse_worker_catch_up(worker_of(request));
	enum row_found found =
	        split_path(request->path, &asked) ? find_dir(request, &asked, dir) : ROW_ABSENT;
	if (found == ROW_UNREADABLE) {
		reply_error(request, 503,
		            "the row of this feed's output cannot be read; another output is had "
		            "by its name: "
		            "/v1/hls/FEED/OUTPUT/index.m3u8");
		return;
	}
	if (found == ROW_ABSENT) {
		reply_error(request, 404,
		            "no such video: /v1/hls/FEED/index.m3u8 of a feed with an HLS output");
		return;
	}
	struct hls *h = xcalloc(1, sizeof *h);
	*h = (struct hls){.request = request, .fd = -1};
	h->work.data = h;
	h->playlist = span_equal(asked.file, span_str(OUTPUT_ROW_PLAYLIST));
	h->delay_ms = live_right_has(request, asked.feed)
	                      ? 0
	                      : worker_of(request)->settings->feeds_spectator_delay_ms;
	snprintf(h->path, sizeof h->path, "%s/%.*s", dir, (int)asked.file.len, asked.file.at);
	work(h, open_file);
}
