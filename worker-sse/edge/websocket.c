#include "worker-sse/edge/websocket.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "worker-sse/edge/edge.h"
#include "worker-sse/edge/websocket_deflate.h"
#include "worker-sse/edge/websocket_proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

enum {
	CLOSE_MS = 5000,  /* for the client's part of the closing handshake */
	KEY_BYTES = 16,   /* RFC 6455 4.1 */
	MASK_BYTES = 4,   /* 5.3; every frame of a client's has one */
	REASON_MAX = 123, /* 5.5 */
};

/*     OPEN -> CLOSE_DUE -> CLOSING        OPEN -> CLOSING        OPEN, CLOSE_DUE -> BROKEN
 *
 * In each of them it may be over at any moment: finish() alone frees it, and tells its holder.
 * While bytes are being taken (`taking`) nothing may end, for wslay stands on the stack: what is to
 * be closed then is CLOSE_DUE until they have been taken. */
enum websocket_state {
	WEBSOCKET_OPEN,
	WEBSOCKET_CLOSE_DUE, /* to be closed once what came has been taken */
	WEBSOCKET_CLOSING,   /* our close is said; the client's is waited for, CLOSE_MS */
	WEBSOCKET_BROKEN,    /* nothing can be said any more: the timer cuts it */
	WEBSOCKET_STATES
};

/* Nearly all of them say nothing at nearly all times. What wslay has of one is 8 KiB of buffers, so
 * it has one only while it is in the middle of something: codec() makes it, rest() takes it away.
 */
struct websocket {
	struct request *request;
	wslay_event_context_ptr wslay; /* NULL: between two messages, with nothing to say */
	size_t message_bytes;
	uint64_t begun;     /* bytes that wslay was given of frames that are not whole yet */
	uint64_t frame_len; /* of the frame that it is told of, header and all */
	bool within;        /* a message whose last fragment has not come */
	struct websocket_events events;
	struct span in; /* of what is being taken */
	struct wheel_node timer;
	uint64_t heard_ms;
	uint64_t said;              /* bytes it was ever sent, */
	uint64_t taken;             /* ... and of them those that had left at the last beat */
	uint64_t owed;              /* bytes of a frame that was begun: nothing else may be sent */
	enum websocket_state state; /* changed by enter() alone */
	unsigned window; /* permessage-deflate: of what it is sent; 0: it was not agreed to */
	bool taking;
	bool asks;    /* its route asks a right */
	bool full;    /* at the last beat it had more to take than it may, and was not read */
	bool held;    /* websocket_hold() */
	bool broken;  /* what came is no frame, and wslay does not say so */
	bool relays;  /* what comes is a frame that on_frame() was told of */
	void *holder; /* of the sink; NULL: nobody */
	const struct sink_events *holder_events;
	struct websocket *next, **previous; /* edge->websockets */
	unsigned close_code;
	char *close_reason;
};

static void enter(struct websocket *s, enum websocket_state state)
{
	static const unsigned after[WEBSOCKET_STATES] = {
	        [WEBSOCKET_OPEN] = 1u << WEBSOCKET_CLOSE_DUE | 1u << WEBSOCKET_CLOSING |
	                           1u << WEBSOCKET_BROKEN,
	        [WEBSOCKET_CLOSE_DUE] = 1u << WEBSOCKET_CLOSING | 1u << WEBSOCKET_BROKEN,
	};
	check((after[s->state] & 1u << state) != 0);
	s->state = state;
}

/* ---- the handshake ---- */

static bool lists(struct span list, struct span token)
{
	struct span element;
	while (list_next(&list, &element))
		if (span_equal_nocase(element, token))
			return true;
	return false;
}

static bool is_key(struct span key)
{
	uint8_t bytes[WEBSOCKET_KEY_LEN / 4 * 3];
	return key.len == WEBSOCKET_KEY_LEN && base64_decode(key, bytes) == KEY_BYTES;
}

static void ask_for_upgrade(struct request *request)
{
	static const struct header headers[] = {{"upgrade", SPAN("websocket")},
	                                        {"connection", SPAN("upgrade")},
	                                        {"sec-websocket-version", SPAN("13")},
	                                        {"content-type", SPAN("text/plain; charset=utf-8")},
	                                        {"cache-control", SPAN("no-store")}};
	reply(request, 426, headers, sizeof headers / sizeof *headers,
	      SPAN("this is a WebSocket, version 13\n"));
}

/* False: answered. */
bool websocket_expect(struct request *request)
{
	const struct span *headers = request->headers;
	if (request->edge->draining) {
		reply_error(request, 503, "this worker is on its way out");
	} else if (!lists(headers[HEADER_UPGRADE], SPAN("websocket")) ||
	           !lists(headers[HEADER_CONNECTION], SPAN("upgrade")) ||
	           !span_equal(headers[HEADER_SEC_WEBSOCKET_VERSION], SPAN("13"))) {
		ask_for_upgrade(request);
	} else if (request->close_delimited || request->method != METHOD_GET ||
	           request->body_len > 0 || !is_key(headers[HEADER_SEC_WEBSOCKET_KEY])) {
		reply_error(request, 400,
		            "a WebSocket begins by GET of HTTP/1.1 with a Sec-WebSocket-Key");
	} else {
		return true;
	}
	return false;
}

/* ---- what reads and writes frames ---- */

static const struct wslay_event_callbacks callbacks;

static wslay_event_context_ptr codec(struct websocket *s)
{
	if (s->wslay != NULL)
		return s->wslay;
	check(wslay_event_context_server_init(&s->wslay, &callbacks, s) == 0);
	wslay_event_config_set_max_recv_msg_length(s->wslay, s->message_bytes);
	wslay_event_config_set_no_buffering(s->wslay, s->events.on_frame != NULL);
	if (s->window != 0)
		wslay_event_config_set_allowed_rsv_bits(s->wslay, WSLAY_RSV1_BIT);
	return s->wslay;
}

static bool has_to_say(const struct websocket *s)
{
	return s->wslay != NULL && wslay_event_want_write(s->wslay);
}

static void rest(struct websocket *s)
{
	if (s->wslay == NULL || s->state != WEBSOCKET_OPEN || s->taking || s->begun > 0 ||
	    s->within || has_to_say(s) || wslay_event_get_close_received(s->wslay) ||
	    wslay_event_get_close_sent(s->wslay))
		return;
	wslay_event_context_free(s->wslay);
	s->wslay = NULL;
}

/* ---- the end ---- */

/* The request is the caller's, to end or to cut. */
static struct request *finish(struct websocket *s, unsigned code)
{
	struct request *request = s->request;
	const struct websocket_events events = s->events;
	void *holder = s->holder;
	const struct sink_events *holder_events = s->holder_events;
	wheel_cancel(&s->timer);
	*s->previous = s->next;
	if (s->next != NULL)
		s->next->previous = s->previous;
	counter_add(request->edge->counters, websockets, -1);
	request->feature = NULL;
	request->on_gone = NULL;
	request->on_drain = NULL;
	if (s->wslay != NULL)
		wslay_event_context_free(s->wslay);
	if (holder != NULL)
		holder_events->gone(holder);
	free(s->close_reason);
	free(s);
	events.on_closed(events.arg, code);
	return request;
}

static void on_gone(struct request *request)
{
	finish(request->feature, WEBSOCKET_ABNORMAL);
}

static unsigned code_of(const struct websocket *s)
{
	return s->wslay != NULL && wslay_event_get_close_received(s->wslay)
	               ? wslay_event_get_status_code_received(s->wslay)
	               : WEBSOCKET_ABNORMAL;
}

static void flush(struct websocket *s)
{
	if (s->owed > 0 || s->wslay == NULL)
		return;
	bool failed = wslay_event_send(s->wslay) != 0; /* no memory */
	if (failed && (s->state == WEBSOCKET_OPEN || s->state == WEBSOCKET_CLOSE_DUE))
		enter(s, WEBSOCKET_BROKEN);
}

/* What came is no frame. wslay would say goodbye without a code, so we say it. */
static void end_broken(struct websocket *s)
{
	static const uint8_t protocol_error[] = {0x88, 2, 1002 >> 8, 1002 & 255};
	const struct iovec iov = {(void *)(uintptr_t)protocol_error, sizeof protocol_error};
	if (!wslay_event_get_close_sent(codec(s)) && s->owed == 0)
		reply_write(s->request, &iov, 1);
	reply_end(finish(s, WEBSOCKET_ABNORMAL));
}

static void end_if_over(struct websocket *s)
{
	if (s->wslay != NULL && !wslay_event_want_read(s->wslay) &&
	    !wslay_event_want_write(s->wslay))
		reply_end(finish(s, code_of(s)));
	else
		rest(s);
}

/* A close is a control frame, which wslay sends before all messages that wait, and none after it:
 * what was said before must have left. */
static void say_close(struct websocket *s)
{
	flush(s);
	if (s->state == WEBSOCKET_BROKEN)
		return;
	if (s->owed > 0) {
		enter(s, WEBSOCKET_BROKEN);
		wheel_set(s->request->edge->wheel, &s->timer, s->request->edge->wheel->now_ms);
		return;
	}
	enter(s, WEBSOCKET_CLOSING);
	bool coded = s->close_code != WEBSOCKET_NO_CODE;
	wslay_event_queue_close(codec(s), coded ? (uint16_t)s->close_code : 0,
	                        (const uint8_t *)s->close_reason,
	                        coded ? strlen(s->close_reason) : 0);
	flush(s);
}

void websocket_close(struct websocket *s, unsigned code, const char *reason)
{
	struct edge *edge = s->request->edge;
	if (s->state != WEBSOCKET_OPEN)
		return;
	s->close_code = code;
	s->close_reason = xmemdup_text(reason, strnlen(reason, REASON_MAX));
	wheel_set(edge->wheel, &s->timer, edge->wheel->now_ms + CLOSE_MS);
	if (s->taking)
		enter(s, WEBSOCKET_CLOSE_DUE);
	else
		say_close(s);
}

/* ---- output ---- */

/* At once, where nothing that wslay has is before it. */
static void say(struct websocket *s, const struct wslay_event_msg *message)
{
	if (s->taking || s->owed > 0 || has_to_say(s)) {
		wslay_event_queue_msg(codec(s), message);
		if (!s->taking)
			flush(s);
		return;
	}
	uint8_t header[WEBSOCKET_HEADER_MAX];
	const struct iovec iov[] = {
	        {header, websocket_header(header, 0x80 | message->opcode, message->msg_length)},
	        {(void *)(uintptr_t)message->msg, message->msg_length}};
	s->said += iov[0].iov_len + message->msg_length;
	reply_write(s->request, iov, message->msg_length > 0 ? 2 : 1);
}

static bool is_full(const struct websocket *s)
{
	return reply_pending(s->request) >= websocket_output_max(s->request->edge);
}

static void end_full(struct websocket *s)
{
	counter_add(s->request->edge->counters, timeouts_total, 1);
	websocket_close(s, WEBSOCKET_POLICY, "what is said to you is not read");
}

/* ---- time ---- */

/* Where no right is asked, a credential is nobody's matter. */
static bool may_no_longer(const struct websocket *s)
{
	const struct identity *identity = s->request->identity;
	return s->asks &&
	       (identity->refusal != REFUSAL_NONE || identity->expires_ms <= clock_wall_ms());
}

/* Who may something else now is judged as whoever comes: what it was let in for, it may not be
 * any more. */
static void judge(struct request *request)
{
	struct websocket *s = request->feature;
	if (may_no_longer(s))
		websocket_close(s, WEBSOCKET_EXPIRED, "this credential is good no longer");
	else if (s->asks)
		websocket_close(s, WEBSOCKET_RESTART, "what you may has changed: come again");
}

static void on_timer(struct wheel_node *node)
{
	struct websocket *s =
	        (struct websocket *)((char *)node - offsetof(struct websocket, timer));
	struct edge *edge = s->request->edge;
	uint64_t beat_ms = edge->settings->http_sse_keepalive_ms;
	const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
	uint64_t taken = s->said - reply_pending(s->request);
	bool full = is_full(s), stuck = full && s->full && taken == s->taken;
	s->full = full;
	s->taken = taken;
	if (full || s->held)
		s->heard_ms = edge->wheel->now_ms; /* it may say what it likes: nobody listens */
	if (s->state != WEBSOCKET_OPEN || edge->wheel->now_ms - s->heard_ms > 2 * beat_ms) {
		reply_abort(finish(s, code_of(s)));
		return;
	}
	if (stuck) {
		end_full(s);
		return;
	}
	if (may_no_longer(s)) {
		judge(s->request);
		return;
	}
	say(s, &ping);
	rest(s);
	wheel_set(edge->wheel, &s->timer, edge->wheel->now_ms + beat_ms);
	if (s->events.on_beat != NULL)
		s->events.on_beat(s->events.arg);
}

void websockets_drain(struct edge *edge)
{
	for (struct websocket *s = edge->websockets; s != NULL; s = s->next)
		if (s->events.on_leaving != NULL)
			s->events.on_leaving(s->events.arg);
		else
			websocket_close(s, WEBSOCKET_GOING_AWAY, "this worker is on its way out");
}

/* ---- permessage-deflate ---- */

static struct websocket_packer *packer_of(struct edge *edge)
{
	if (edge->packer == NULL)
		edge->packer = websocket_packer_create();
	return edge->packer;
}

unsigned websocket_window(const struct websocket *s)
{
	return s->window;
}

struct span websocket_packed(struct edge *edge, unsigned window, struct span message)
{
	if (window == 0)
		return (struct span){0};
	struct span packed = websocket_pack(packer_of(edge), window, message);
	if (packed.at != NULL) {
		counter_add(edge->counters, websocket_deflated_in_bytes_total, message.len);
		counter_add(edge->counters, websocket_deflated_out_bytes_total, packed.len);
	}
	return packed;
}

/* ---- frames ---- */

static ssize_t give_bytes(wslay_event_context_ptr wslay, uint8_t *out, size_t len, int flags,
                          void *arg)
{
	struct websocket *s = arg;
	size_t n = len < s->in.len ? len : s->in.len;
	(void)flags;
	if (n == 0) {
		wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(out, s->in.at, n);
	s->in = span_of(s->in.at + n, s->in.len - n);
	s->begun += n;
	return (ssize_t)n;
}

static ssize_t take_bytes(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len,
                          int flags, void *arg)
{
	struct websocket *s = arg;
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};
	(void)wslay, (void)flags;
	s->said += len;
	reply_write(s->request, &iov, 1); /* what the kernel does not take waits there */
	return (ssize_t)len;
}

static void say_goodbye(struct websocket *s, struct span bytes)
{
	bool coded = bytes.len >= 2;
	unsigned code = coded ? (unsigned)bytes.at[0] << 8 | bytes.at[1] : WEBSOCKET_NO_CODE;
	struct span reason = coded ? span_of(bytes.at + 2, bytes.len - 2) : (struct span){0};
	s->events.on_goodbye(s->events.arg, code, reason);
}

static void on_frame_begun(wslay_event_context_ptr wslay,
                           const struct wslay_event_on_frame_recv_start_arg *m, void *arg)
{
	struct websocket *s = arg;
	uint8_t header[WEBSOCKET_HEADER_MAX];
	(void)wslay;
	s->frame_len =
	        websocket_header(header, 0, m->payload_length) + MASK_BYTES + m->payload_length;
	if (!wslay_is_ctrl_frame(m->opcode))
		s->within = !m->fin;
	/* RFC 7692 6.1: the first frame of a message says that it is packed. */
	s->broken |= m->rsv != WSLAY_RSV_NONE && m->opcode != WSLAY_TEXT_FRAME &&
	             m->opcode != WSLAY_BINARY_FRAME;
	s->relays = s->events.on_frame != NULL && s->state == WEBSOCKET_OPEN &&
	            !wslay_is_ctrl_frame(m->opcode);
	if (s->relays)
		s->events.on_frame(s->events.arg, (uint8_t)(m->fin << 7 | m->opcode),
		                   m->payload_length);
}

static void on_frame_piece(wslay_event_context_ptr wslay,
                           const struct wslay_event_on_frame_recv_chunk_arg *m, void *arg)
{
	struct websocket *s = arg;
	(void)wslay;
	if (s->relays && s->state == WEBSOCKET_OPEN && m->data_length > 0)
		s->events.on_piece(s->events.arg, span_of(m->data, m->data_length));
}

static void on_frame_ended(wslay_event_context_ptr wslay, void *arg)
{
	struct websocket *s = arg;
	(void)wslay;
	check(s->frame_len <= s->begun);
	s->begun -= s->frame_len;
}

/* False: it ends. */
static bool unpack(struct websocket *s, uint8_t opcode, struct span *bytes)
{
	struct span packed = *bytes;
	enum websocket_unpacked result =
	        websocket_unpack(packer_of(s->request->edge), packed, s->message_bytes, bytes);
	if (result == WEBSOCKET_UNPACK_LONG)
		websocket_close(s, WEBSOCKET_TOO_BIG, "a message is too long when it is unpacked");
	else if (result == WEBSOCKET_UNPACK_BROKEN)
		websocket_close(s, WEBSOCKET_BAD_DATA, "a message cannot be unpacked");
	else if (opcode == WSLAY_TEXT_FRAME && !utf8_valid(*bytes))
		websocket_close(s, WEBSOCKET_BAD_DATA, "text is UTF-8");
	else
		return true;
	return false;
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
	struct websocket *s = arg;
	struct span bytes = span_of(m->msg, m->msg_length);
	(void)wslay;
	if (m->opcode == WSLAY_CONNECTION_CLOSE && s->events.on_goodbye != NULL)
		say_goodbye(s, bytes);
	if (s->state != WEBSOCKET_OPEN || wslay_is_ctrl_frame(m->opcode) ||
	    s->events.on_frame != NULL)
		return; /* wslay answers pings and closes */
	if (may_no_longer(s)) {
		judge(s->request); /* the beat would say so a little later */
		return;
	}
	if (wslay_get_rsv1(m->rsv) && !unpack(s, m->opcode, &bytes))
		return;
	if (m->opcode == WSLAY_TEXT_FRAME)
		s->events.on_text(s->events.arg, bytes);
	else if (m->opcode == WSLAY_BINARY_FRAME && s->events.on_binary != NULL)
		s->events.on_binary(s->events.arg, bytes);
	else
		websocket_close(s, WEBSOCKET_UNSUPPORTED, "text only");
}

static const struct wslay_event_callbacks callbacks = {
        .recv_callback = give_bytes,
        .send_callback = take_bytes,
        .on_frame_recv_start_callback = on_frame_begun,
        .on_frame_recv_chunk_callback = on_frame_piece,
        .on_frame_recv_end_callback = on_frame_ended,
        .on_msg_recv_callback = on_message};

static void take(struct request *request, struct span bytes)
{
	struct websocket *s = request->feature;
	s->heard_ms = request->edge->wheel->now_ms;
	s->in = bytes;
	s->taking = true;
	bool broken = wslay_event_recv(codec(s)) != 0 || s->broken;
	s->taking = false;
	s->in = (struct span){0};
	if (broken) {
		end_broken(s);
		return;
	}
	flush(s);
	if (s->state == WEBSOCKET_CLOSE_DUE)
		say_close(s);
	end_if_over(s);
}

void websocket_send(struct websocket *s, struct span text)
{
	const struct wslay_event_msg message = {WSLAY_TEXT_FRAME, text.at, text.len};
	if (s->state != WEBSOCKET_OPEN)
		return;
	if (is_full(s)) {
		end_full(s);
		return;
	}
	say(s, &message);
}

/* ---- frames as they are ---- */

size_t websocket_header(uint8_t out[WEBSOCKET_HEADER_MAX], uint8_t first, uint64_t len)
{
	size_t bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
	out[0] = first;
	out[1] = bytes == 0 ? (uint8_t)len : bytes == 2 ? 126 : 127;
	for (size_t i = 0; i < bytes; i++)
		out[2 + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
	return 2 + bytes;
}

static bool says(const struct websocket *s)
{
	return s->state == WEBSOCKET_OPEN || s->state == WEBSOCKET_CLOSE_DUE;
}

bool websocket_frame(struct websocket *s, uint8_t first, uint64_t len)
{
	uint8_t header[WEBSOCKET_HEADER_MAX];
	if (!says(s))
		return true;
	check(s->owed == 0);
	const struct iovec iov = {header, websocket_header(header, first, len)};
	if (!s->taking)
		flush(s); /* what waits goes before it */
	s->owed = len;
	s->said += iov.iov_len;
	return reply_write(s->request, &iov, 1);
}

bool websocket_open(const struct websocket *s)
{
	return s->state == WEBSOCKET_OPEN;
}

bool websocket_begin(struct websocket *s, uint8_t first, uint64_t len)
{
	if (s->state != WEBSOCKET_OPEN || s->owed > 0)
		return false;
	if (is_full(s)) {
		end_full(s);
		return false;
	}
	flush(s); /* what was answered before stays before it */
	websocket_frame(s, first, len);
	return true;
}

/* What waited for it goes behind it. */
static void end_frame(struct websocket *s)
{
	if (s->owed > 0 || s->taking)
		return;
	flush(s);
	rest(s);
}

bool websocket_piece(struct websocket *s, struct span bytes)
{
	const struct iovec iov = {(void *)(uintptr_t)bytes.at, bytes.len};
	if (!says(s))
		return true;
	check(bytes.len <= s->owed);
	s->owed -= bytes.len;
	s->said += bytes.len;
	bool taken = reply_write(s->request, &iov, 1);
	end_frame(s);
	return taken;
}

bool websocket_piece_shared(struct websocket *s, struct chunk *chunk, size_t from, size_t len)
{
	if (!says(s))
		return true;
	check(len <= s->owed);
	s->owed -= len;
	s->said += len;
	bool taken = reply_write_chunk(s->request, chunk, from, len);
	end_frame(s);
	return taken;
}

bool websocket_chunk(struct websocket *s, struct chunk *chunk, size_t from, size_t len)
{
	if (!says(s))
		return true;
	s->said += len;
	return reply_write_chunk(s->request, chunk, from, len);
}

void websocket_hold(struct websocket *s, bool hold)
{
	if (s->held == hold)
		return;
	s->held = hold;
	s->heard_ms = s->request->edge->wheel->now_ms;
	request_hold(s->request, hold);
}

static void on_drain(struct request *request)
{
	struct websocket *s = request->feature;
	if (s->owed > 0)
		s->heard_ms = request->edge->wheel->now_ms; /* it takes what no ping gets past */
	if (s->holder != NULL)
		s->holder_events->drained(s->holder);
	else if (s->events.on_drained != NULL)
		s->events.on_drained(s->events.arg);
}

/* ---- as a sink ---- */

static void sink_hold(void *to, void *holder, const struct sink_events *events)
{
	struct websocket *s = to;
	s->holder = holder;
	s->holder_events = events;
}

static void sink_release(void *to)
{
	struct websocket *s = to;
	s->holder = NULL;
}

static bool sink_write(void *to, const struct sse_frame *frame)
{
	return websocket_chunk(to, frame->chunk, frame->bare_from, frame->bare_len);
}

static size_t sink_pending(const void *to)
{
	return reply_pending(((const struct websocket *)to)->request);
}

static void sink_end(void *to, enum sink_end how)
{
	if (how == SINK_CUT)
		websocket_close(to, WEBSOCKET_TRY_LATER, "too far behind: come again");
	else
		websocket_close(to, WEBSOCKET_GOING_AWAY, "this worker is on its way out");
}

static void sink_prefetch(const void *to)
{
	__builtin_prefetch(to);
}

struct sink websocket_sink(struct websocket *s)
{
	static const struct sink_kind kind = {.hold = sink_hold,
	                                      .release = sink_release,
	                                      .write = sink_write,
	                                      .pending = sink_pending,
	                                      .end = sink_end,
	                                      .prefetch_far = sink_prefetch,
	                                      .prefetch_near = sink_prefetch};
	return (struct sink){&kind, s};
}

/* ---- beginning ---- */

/* Its handshake, and what is agreed to in it. */
static void answer_handshake(struct websocket *s, const struct websocket_options *options)
{
	enum { HEADERS_MAX = 5 };
	struct request *request = s->request;
	struct span offers = request->headers[HEADER_SEC_WEBSOCKET_EXTENSIONS];
	char *proof = websocket_proof(request->headers[HEADER_SEC_WEBSOCKET_KEY]);
	char agreed[WEBSOCKET_DEFLATE_ANSWER_ROOM];
	struct header headers[HEADERS_MAX] = {{"upgrade", SPAN("websocket")},
	                                      {"connection", SPAN("upgrade")},
	                                      {"sec-websocket-accept", span_str(proof)}};
	size_t count = 3;
	if (options->subprotocol != NULL &&
	    request->headers[HEADER_SEC_WEBSOCKET_PROTOCOL].at != NULL)
		headers[count++] =
		        (struct header){"sec-websocket-protocol", span_str(options->subprotocol)};
	if (options->deflates && s->events.on_frame == NULL)
		s->window = websocket_deflate_negotiate(offers, agreed);
	if (s->window != 0)
		headers[count++] = (struct header){"sec-websocket-extensions", span_str(agreed)};
	reply_upgrade(request, headers, count, take);
	free(proof);
}

static bool speaks(struct request *request, const struct websocket_options *options)
{
	struct span offers = request->headers[HEADER_SEC_WEBSOCKET_PROTOCOL], offer;
	if (options->subprotocol == NULL || offers.at == NULL)
		return true;
	while (list_next(&offers, &offer))
		if (span_equal(offer, span_str(options->subprotocol)))
			return true;
	reply_error(request, 400, "none of these subprotocols is spoken here");
	return false;
}

struct websocket *websocket_accept_as(struct request *request,
                                      const struct websocket_events *events,
                                      const struct websocket_options *options)
{
	struct edge *edge = request->edge;
	if (!websocket_expect(request) || !speaks(request, options))
		return NULL;
	struct websocket *s = xcalloc(1, sizeof *s);
	s->request = request;
	s->events = *events;
	s->message_bytes = options->message_bytes;
	s->timer.due = on_timer;
	s->heard_ms = edge->wheel->now_ms;
	s->next = edge->websockets;
	s->previous = &edge->websockets;
	if (s->next != NULL)
		s->next->previous = &s->next;
	edge->websockets = s;
	counter_add(edge->counters, websockets, 1);
	counter_add(edge->counters, websockets_total, 1);
	request->feature = s;
	request->on_gone = on_gone;
	request->on_judge = judge;
	request->on_drain = on_drain;
	s->asks = request_verbs(request) != 0;
	answer_handshake(s, options);
	wheel_set(edge->wheel, &s->timer,
	          edge->wheel->now_ms + edge->settings->http_sse_keepalive_ms);
	return s;
}

struct websocket *websocket_accept(struct request *request, const struct websocket_events *events,
                                   size_t message_bytes)
{
	const struct websocket_options options = {.message_bytes = message_bytes};
	return websocket_accept_as(request, events, &options);
}
