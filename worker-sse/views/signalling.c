#include "worker-sse/views/signalling.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/domain/render_session.h"
#include "common/store/row.h"
#include "proto/roles.h"
#include "worker-sse/views/call.h"
#include "worker-sse/views/signal_message.h"
#include "worker-sse/edge/websocket.h"
#include "worker-sse/views/worker.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	MESSAGE_BYTES = 65536,
	QUEUE_MAX = 64,      /* messages that wait for their turn */
	AGAIN_MS = 500,      /* until a page that is not there yet is asked again, */
	PATIENCE_MS = 30000, /* ... for so long */
	VIEWER_ROOM = 128,
};

struct queued {
	struct queued *next;
	struct signal_message message;
};

struct signalling {
	struct sse_worker *worker;
	struct websocket *websocket; /* NULL: it is over */
	char session[RENDER_SESSION_ID_MAX + 1], owner[RENDER_OWNER_MAX + 1];
	char viewer[VIEWER_ROOM]; /* its path, from the offer on */
	struct party renderer;    /* whose it is: none but this process knows it */
	uint64_t asked;           /* number of the call under way; 0: none */
	bool answering;           /* it brings the client's answer */
	uint64_t give_up_ms;
	struct wheel_node again;
	struct queued *first, **last;
	size_t queued;
	bool complained; /* of what the client says: once, or it fills the log */
};

/* ---- the end ---- */

static void drop_queue(struct signalling *s)
{
	while (s->first != NULL) {
		struct queued *q = s->first;
		s->first = q->next;
		signal_message_finish(&q->message);
		free(q);
	}
	s->last = &s->first;
	s->queued = 0;
}

/* A client who says goodbye has done with the picture; one whose connection breaks may still see
 * it, and when it does not, ICE finds out. */
static void on_closed(void *arg, unsigned code)
{
	struct signalling *s = arg;
	const struct proto_call leave = {.method = CALL_DELETE,
	                                 .path = span_str(s->viewer),
	                                 .principal = span_str(s->owner)};
	if (*s->viewer != '\0' && code != WEBSOCKET_ABNORMAL)
		asks_send(s->worker->asks, &s->renderer, &leave, NULL, NULL, NULL);
	wheel_cancel(&s->again);
	if (s->asked != 0)
		asks_forget(s->worker->asks, s->asked);
	drop_queue(s);
	free(s);
}

/* Known clients end their session at any error: it is said only when there will be no picture. */
static void say_error(struct signalling *s, const char *reason)
{
	char *text = signal_message_error(reason);
	websocket_send(s->websocket, span_str(text));
	free(text);
}

/* `s` may be gone when this returns. */
static void give_up(struct signalling *s, const char *reason)
{
	say_error(s, reason);
	websocket_close(s->websocket, WEBSOCKET_TRY_LATER, "there is no picture");
}

/* The other worker's one line, as the client is to see it; it is over then. */
static void refuse(struct signalling *s, const struct proto_call_reply *reply)
{
	char text[256];
	size_t len = reply->body.len < sizeof text ? reply->body.len : sizeof text - 1;
	memcpy(text, reply->body.at, len);
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	give_up(s, text);
}

/* ---- what the client says, one after another ---- */

static bool complains(struct signalling *s)
{
	bool first = !s->complained;
	s->complained = true;
	return first;
}

static const char renderer_gone[] = "the worker that renders has gone; begin anew";

static void next(struct signalling *s);

static void on_taken(void *arg, enum ask_outcome outcome, const struct party *from,
                     const struct proto_call_reply *reply)
{
	struct signalling *s = arg;
	(void)from;
	s->asked = 0;
	if (outcome != ASK_ANSWERED) {
		give_up(s, renderer_gone);
	} else if (reply->status == 404 || reply->status == 410 ||
	           (reply->status >= 400 && s->answering)) {
		refuse(s, reply);
	} else {
		/* One address of many, or once too often. */
		if (reply->status >= 400 && complains(s))
			log_info("a viewer's candidates are not taken", "session=%s status=%u",
			         s->session, (unsigned)reply->status);
		next(s);
	}
}

static void next(struct signalling *s)
{
	while (s->first != NULL && s->asked == 0 && *s->viewer != '\0') {
		struct queued *q = s->first;
		bool answers = q->message.kind == SIGNAL_ANSWER;
		const struct proto_call question = {
		        .method = CALL_PATCH,
		        .path = span_str(s->viewer),
		        .principal = span_str(s->owner),
		        .content_type = answers ? SPAN("application/sdp")
		                                : SPAN("application/trickle-ice-sdpfrag"),
		        .body = span_str(q->message.text)};
		enum ask_outcome outcome =
		        asks_send(s->worker->asks, &s->renderer, &question, on_taken, s, &s->asked);
		s->answering = answers;
		s->first = q->next;
		if (s->first == NULL)
			s->last = &s->first;
		s->queued--;
		signal_message_finish(&q->message);
		free(q);
		if (outcome != ASK_SENT) {
			give_up(s, outcome == ASK_STALE ? renderer_gone
			                                : "no worker for this is running");
			return;
		}
	}
}

static void on_text(void *arg, struct span text)
{
	struct signalling *s = arg;
	struct signal_message message = signal_message_read(text);
	if (message.kind == SIGNAL_BAD) {
		if (complains(s))
			log_info("a viewer's message is not understood", "session=%s reason=\"%s\"",
			         s->session, message.text);
	} else if (message.kind != SIGNAL_NOTHING && s->queued == QUEUE_MAX) {
		websocket_close(s->websocket, WEBSOCKET_POLICY, "too many messages at once");
	} else if (message.kind != SIGNAL_NOTHING) {
		struct queued *q = xcalloc(1, sizeof *q);
		q->message = message;
		*s->last = q;
		s->last = &q->next;
		s->queued++;
		next(s);
		return;
	}
	signal_message_finish(&message);
}

/* ---- our offer ---- */

/* The value of "location" in lines of "name: value"; false: there is none that fits. */
static bool read_location(struct span headers, char out[VIEWER_ROOM])
{
	static const char name[] = "location: ";
	const uint8_t *at = memmem(headers.at, headers.len, name, sizeof name - 1);
	const uint8_t *end = headers.at + headers.len;
	if (at == NULL)
		return false;
	at += sizeof name - 1;
	const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
	size_t len = (size_t)((stop != NULL ? stop : end) - at);
	if (len == 0 || len >= VIEWER_ROOM)
		return false;
	memcpy(out, at, len);
	out[len] = '\0';
	return true;
}

static void ask_again(struct signalling *s, const char *reason)
{
	struct sse_worker *w = s->worker;
	if (w->wheel.now_ms >= s->give_up_ms)
		give_up(s, reason);
	else
		wheel_set(&w->wheel, &s->again, w->wheel.now_ms + AGAIN_MS);
}

static void on_offer(void *arg, enum ask_outcome outcome, const struct party *from,
                     const struct proto_call_reply *reply)
{
	struct signalling *s = arg;
	s->asked = 0;
	if (outcome != ASK_ANSWERED || reply->status == 409) { /* the page is on its way */
		ask_again(s, "the page is not there");
	} else if (reply->status != 201 || !read_location(reply->headers, s->viewer)) {
		refuse(s, reply);
	} else {
		s->renderer = *from;
		char *sdp = xmemdup_text(reply->body.at, reply->body.len),
		     *text = signal_message_offer(sdp);
		websocket_send(s->websocket, span_str(text));
		free(text);
		free(sdp);
		next(s);
	}
}

static void ask_for_offer(struct signalling *s)
{
	char path[RENDER_SESSION_ID_MAX + 16];
	int len = snprintf(path, sizeof path, "/stream/%s/whep", s->session);
	static const struct party whoever = {.role = ROLE_CAPTURE};
	const struct proto_call question = {.method = CALL_POST,
	                                    .path = span_of(path, (size_t)len),
	                                    .principal = span_str(s->owner)};
	if (asks_send(s->worker->asks, &whoever, &question, on_offer, s, &s->asked) != ASK_SENT)
		ask_again(s, "no worker for this is running");
}

static void on_again(struct wheel_node *node)
{
	ask_for_offer((struct signalling *)((char *)node - offsetof(struct signalling, again)));
}

/* ---- the session ---- */

/* *paper is the caller's with ROW_PRESENT, else NULL. */
static enum row_found load(struct sse_worker *w, struct span id, struct render_session **paper)
{
	char text[RENDER_SESSION_ID_MAX + 1], key[RENDER_PATH_ROOM];
	struct state *view = store_view(w->store);
	struct span document;
	*paper = NULL;
	if (!render_session_id_valid(id))
		return ROW_ABSENT;
	memcpy(text, id.at, id.len);
	text[id.len] = '\0';
	size_t len = render_session_key(text, key);
	if (!state_kv_get(view, span_of(key, len), &document))
		return view->unreadable ? ROW_UNREADABLE : ROW_ABSENT;
	*paper = render_session_load(document, 0);
	if (*paper == NULL)
		row_alert(w->worker->mine, key);
	return *paper != NULL ? ROW_PRESENT : ROW_UNREADABLE;
}

/* The session may have ended meanwhile. One that cannot be read now may not. */
static void on_beat(void *arg)
{
	struct signalling *s = arg;
	struct render_session *paper;
	enum row_found found = load(s->worker, span_str(s->session), &paper);
	if (found == ROW_ABSENT || (found == ROW_PRESENT && paper->ended_ms != 0))
		websocket_close(s->websocket, WEBSOCKET_GOING_AWAY, "this session is over");
	render_session_destroy(&paper);
}

/* By the query: a browser gives no other header to a WebSocket. */
static bool holds_token(const struct request *request, const struct render_session *paper)
{
	struct span token;
	return query_find(request->query, "token", &token) == 1 &&
	       token.len == RENDER_SIGNAL_TOKEN_LEN &&
	       strlen(paper->signal_token) == RENDER_SIGNAL_TOKEN_LEN &&
	       CRYPTO_memcmp(token.at, paper->signal_token, RENDER_SIGNAL_TOKEN_LEN) == 0;
}

/* A page of another origin may connect where it might also read. */
static bool welcome(const struct request *request)
{
	return request->edge->cors.origins.any || request_page(request) != PAGE_FOREIGN;
}

static void begin(struct request *request, const struct render_session *paper)
{
	struct sse_worker *w = worker_of(request);
	struct signalling *s = xcalloc(1, sizeof *s);
	const struct websocket_events events = {
	        .on_text = on_text, .on_beat = on_beat, .on_closed = on_closed, .arg = s};
	s->worker = w;
	s->last = &s->first;
	s->again.due = on_again;
	s->give_up_ms = w->wheel.now_ms + PATIENCE_MS;
	strcpy(s->session, paper->id);
	strcpy(s->owner, paper->owner);
	s->websocket = websocket_accept(request, &events, MESSAGE_BYTES);
	if (s->websocket == NULL) {
		free(s);
		return;
	}
	request_forget(request);
	ask_for_offer(s);
}

void signalling_handle(struct request *request)
{
	size_t len = strlen("/v1/signal/");
	struct render_session *paper;
	enum row_found found =
	        load(worker_of(request), span_of(request->path.at + len, request->path.len - len),
	             &paper);
	if (found == ROW_UNREADABLE)
		reply_error(request, 503, "this session cannot be read: it stands still, as it is");
	else if (found == ROW_ABSENT)
		reply_error(request, 404, "no such session");
	else if (!holds_token(request, paper))
		reply_error(request, 403, "the token of signalingUrl is needed, as it was given");
	else if (paper->ended_ms != 0)
		reply_error(request, 410, "this session is over");
	else if (!welcome(request))
		reply_error(request, 403, "pages of this origin may not (http.allowed_origin)");
	else
		begin(request, paper);
	render_session_destroy(&paper);
}
