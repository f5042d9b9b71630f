#include "worker-sse/views/mjpeg.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/picture.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { ETAG_ROOM = 40 };

struct mjpeg {
	struct request *request;
	struct wheel_node timer;
	struct span path;     /* owned */
	char etag[ETAG_ROOM]; /* of the last picture sent */
	uint64_t asked_ms;
	bool begun;
};

static void ask(struct mjpeg *m);

static void finish(struct mjpeg *m)
{
	wheel_cancel(&m->timer);
	m->request->feature = NULL;
	m->request->on_gone = NULL;
	m->request->on_drain = NULL;
	free((void *)(uintptr_t)m->path.at);
	free(m);
}

static void on_gone(struct request *request)
{
	finish(request->feature);
}

static void wait(struct mjpeg *m)
{
	struct sse_worker *w = worker_of(m->request);
	m->request->on_gone = on_gone;
	m->request->feature = m;
	wheel_set(&w->wheel, &m->timer, m->asked_ms + 1000 / w->settings->sessions_preview_fps);
}

static void on_timer(struct wheel_node *node)
{
	struct mjpeg *m = (struct mjpeg *)((char *)node - offsetof(struct mjpeg, timer));
	struct request *request = m->request;
	bool ended = request->identity->expires_ms <= clock_wall_ms();
	if (!request->edge->draining && !ended) {
		ask(m);
		return;
	}
	finish(m);
	reply_end(request);
}

static void on_drain(struct request *request)
{
	struct mjpeg *m = request->feature;
	request->on_drain = NULL;
	wait(m);
}

/* Is it another picture than the last one? */
static bool is_new(struct mjpeg *m, struct span headers)
{
	const uint8_t *at = memmem(headers.at, headers.len, "etag: ", 6),
	              *end = headers.at + headers.len;
	if (at == NULL)
		return true;
	const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
	size_t len = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);
	if (len >= ETAG_ROOM || (strlen(m->etag) == len && memcmp(m->etag, at, len) == 0))
		return len >= ETAG_ROOM;
	memcpy(m->etag, at, len);
	m->etag[len] = '\0';
	return true;
}

static void send_picture(struct mjpeg *m, struct span jpeg)
{
	char head[96];
	int len = snprintf(head, sizeof head,
	                   "--frame\r\ncontent-type: image/jpeg\r\ncontent-length: %zu\r\n\r\n",
	                   jpeg.len);
	const struct iovec iov[] = {{head, (size_t)len},
	                            {(void *)(uintptr_t)jpeg.at, jpeg.len},
	                            {(void *)(uintptr_t) "\r\n", 2}};
	if (reply_write(m->request, iov, 3)) {
		wait(m);
	} else {
		m->request->on_gone = on_gone;
		m->request->on_drain = on_drain;
		m->request->feature = m;
	}
}

static void begin(struct mjpeg *m)
{
	static const struct header headers[] = {
	        {"content-type", SPAN("multipart/x-mixed-replace; boundary=frame")},
	        {"cache-control", SPAN("no-store")},
	        {"x-accel-buffering", SPAN("no")}};
	m->begun = true;
	reply_start(m->request, 200, headers, 3, UINT64_MAX);
}

static void on_reply(struct request *request, const struct proto_call_reply *reply)
{
	struct mjpeg *m = request->feature;
	bool later = reply->status == 409 || reply->status == 503;
	if (reply->status != 200 && (!m->begun || !later)) {
		bool begun = m->begun;
		finish(m);
		if (begun)
			reply_end(request); /* the session is over */
		else
			call_relay(request, reply);
		return;
	}
	if (!m->begun)
		begin(m);
	bool fits =
	        waiting_fits(&m->request->edge->waiting, reply->body.len); /* else the next one */
	if (reply->status == 200 && fits && is_new(m, reply->headers))
		send_picture(m, reply->body);
	else
		wait(m);
}

static void on_failed(struct request *request, const char *reason)
{
	struct mjpeg *m = request->feature;
	if (m->begun) {
		wait(m); /* the capture worker comes back, and its sessions with it */
		return;
	}
	finish(m);
	reply_error(request, 503, reason);
}

static void ask(struct mjpeg *m)
{
	m->asked_ms = worker_of(m->request)->wheel.now_ms;
	picture_send(m->request, &(struct call_options){.path = m->path,
	                                                .on_reply = on_reply,
	                                                .on_failed = on_failed,
	                                                .on_gone = on_gone,
	                                                .kept = m});
}

void mjpeg_start(struct request *request, struct span path)
{
	if (!request_hold_reader(request))
		return;
	struct mjpeg *m = xcalloc(1, sizeof *m);
	*m = (struct mjpeg){.request = request,
	                    .path = span_of(xmemdup_text(path.at, path.len), path.len),
	                    .timer = {.due = on_timer}};
	ask(m);
}
