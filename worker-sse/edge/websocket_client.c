#include "worker-sse/edge/websocket_client.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/query.h"
#include "worker-sse/edge/websocket_proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

enum {
	READ_BYTES = 65536,
	HEAD_MAX = 8192,        /* of the answer to the handshake */
	HIGH_BYTES = 256 << 10, /* that wait to be sent: from here on it says so */
	LOW_BYTES = 64 << 10,
	PIECE_BYTES = 16384, /* masked at a time */
	LEAVE_MS = 5000,     /* for its part of the closing handshake */
};

enum client_state {
	CLIENT_LOOKING,    /* for its addresses */
	CLIENT_CONNECTING, /* to one of them */
	CLIENT_SHAKING,    /* the handshake is sent */
	CLIENT_OPEN,
	CLIENT_LEAVING, /* we said goodbye; nobody is told any more */
	CLIENT_OVER,    /* its handle is being closed */
};

struct websocket_client {
	struct websocket_client_events events;
	enum client_state state;
	uv_loop_t *loop;
	struct wheel *wheel;
	struct wheel_node timer;
	uv_getaddrinfo_t lookup;
	struct addrinfo *found, *next; /* addresses; `next` is to be tried */
	bool looking, any_allowed;
	uv_tcp_t *tcp; /* NULL: there is none at present; freed by its own close */
	uv_connect_t *connecting;
	enum address_reach reach;
	char *host, *path;
	uint16_t port;
	uint64_t frame_bytes;
	char key[32];
	uint8_t *head; /* of the answer, while it is incomplete */
	size_t head_len;
	wslay_event_context_ptr wslay;
	struct span in;
	uint8_t mask[4];
	size_t masked; /* bytes of this frame so far */
	uint64_t owed;
	size_t pending; /* bytes given to libuv and not yet sent */
	bool relays, held, blocked, taking, said, reading;
};

static void try_next(struct websocket_client *c);

/* ---- the end ---- */

static void free_tcp(uv_handle_t *handle)
{
	free(handle);
}

static void drop_tcp(struct websocket_client *c)
{
	if (c->tcp == NULL)
		return;
	c->tcp->data = NULL;
	if (c->connecting != NULL)
		c->connecting->data = NULL;
	c->connecting = NULL;
	uv_close((uv_handle_t *)c->tcp, free_tcp);
	c->tcp = NULL;
	c->reading = false;
}

/* Its memory goes when nothing of libuv's knows it any more. */
static void dispose(struct websocket_client *c)
{
	c->state = CLIENT_OVER;
	wheel_cancel(&c->timer);
	drop_tcp(c);
	if (c->wslay != NULL && !c->taking) {
		wslay_event_context_free(c->wslay);
		c->wslay = NULL;
	}
	if (c->looking || c->taking)
		return; /* on_found(), or take(), comes here again */
	uv_freeaddrinfo(c->found);
	free(c->host);
	free(c->path);
	free(c->head);
	free(c);
}

static void fail(struct websocket_client *c, enum websocket_client_fault fault, const char *reason)
{
	const struct websocket_client_events events = c->events;
	dispose(c);
	events.on_failed(events.arg, fault, reason);
}

static void end(struct websocket_client *c)
{
	const struct websocket_client_events events = c->events;
	bool tell = c->state == CLIENT_OPEN, said = c->said;
	dispose(c);
	if (tell)
		events.on_closed(events.arg, said);
}

/* ---- output ---- */

struct write {
	uv_write_t request;
	struct websocket_client *client; /* NULL: it does not care */
	size_t len;
	uint8_t bytes[];
};

static void on_written(uv_write_t *request, int status)
{
	struct write *write = (struct write *)request;
	uv_handle_t *tcp = (uv_handle_t *)request->handle;
	struct websocket_client *c = tcp->data;
	size_t len = write->len;
	(void)status; /* reading says it too */
	free(write);
	if (c == NULL)
		return;
	c->pending -= len;
	if (c->blocked && c->pending <= LOW_BYTES && c->state == CLIENT_OPEN) {
		c->blocked = false;
		c->events.on_drained(c->events.arg);
	}
}

static void put(struct websocket_client *c, const uint8_t *bytes, size_t len)
{
	if (c->tcp == NULL)
		return;
	if (c->pending == 0) {
		uv_buf_t now = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
		int n = uv_try_write((uv_stream_t *)c->tcp, &now, 1);
		size_t taken = n > 0 ? (size_t)n : 0;
		bytes += taken;
		len -= taken;
	}
	if (len == 0)
		return;
	struct write *write = xmalloc(sizeof *write + len);
	write->len = len;
	memcpy(write->bytes, bytes, len);
	uv_buf_t rest = uv_buf_init((char *)write->bytes, (unsigned)len);
	if (uv_write(&write->request, (uv_stream_t *)c->tcp, &rest, 1, on_written) != 0)
		free(write); /* reading says that it broke */
	else
		c->pending += len;
}

static bool takes_more(struct websocket_client *c)
{
	c->blocked |= c->pending >= HIGH_BYTES;
	return !c->blocked;
}

static void flush(struct websocket_client *c)
{
	if (c->owed == 0 && c->wslay != NULL)
		wslay_event_send(c->wslay);
}

bool websocket_client_frame(struct websocket_client *c, uint8_t first, uint64_t len)
{
	uint8_t header[14] = {first};
	size_t extra = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
	if (c->state != CLIENT_OPEN)
		return true;
	check(c->owed == 0);
	flush(c);
	header[1] = (uint8_t)(0x80 | (extra == 0 ? len : extra == 2 ? 126 : 127));
	for (size_t i = 0; i < extra; i++)
		header[2 + i] = (uint8_t)(len >> 8 * (extra - 1 - i));
	clock_random(c->mask, sizeof c->mask); /* RFC 6455 5.3: nobody can tell the next */
	memcpy(header + 2 + extra, c->mask, sizeof c->mask);
	c->owed = len;
	c->masked = 0;
	put(c, header, 2 + extra + sizeof c->mask);
	return takes_more(c);
}

bool websocket_client_piece(struct websocket_client *c, struct span bytes)
{
	uint8_t masked[PIECE_BYTES];
	if (c->state != CLIENT_OPEN)
		return true;
	check(bytes.len <= c->owed);
	c->owed -= bytes.len;
	while (bytes.len > 0) {
		size_t n = bytes.len < sizeof masked ? bytes.len : sizeof masked;
		for (size_t i = 0; i < n; i++)
			masked[i] = bytes.at[i] ^ c->mask[(c->masked + i) % 4];
		c->masked += n;
		put(c, masked, n);
		bytes = span_of(bytes.at + n, bytes.len - n);
	}
	if (c->owed == 0 && !c->taking)
		flush(c);
	return takes_more(c);
}

/* ---- frames ---- */

static ssize_t give_bytes(wslay_event_context_ptr wslay, uint8_t *out, size_t len, int flags,
                          void *arg)
{
	struct websocket_client *c = arg;
	size_t n = len < c->in.len ? len : c->in.len;
	(void)flags;
	if (n == 0) {
		wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(out, c->in.at, n);
	c->in = span_of(c->in.at + n, c->in.len - n);
	return (ssize_t)n;
}

static ssize_t take_bytes(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t len,
                          int flags, void *arg)
{
	(void)wslay, (void)flags;
	put(arg, bytes, len);
	return (ssize_t)len;
}

static int make_mask(wslay_event_context_ptr wslay, uint8_t *out, size_t len, void *arg)
{
	(void)wslay, (void)arg;
	clock_random(out, len);
	return 0;
}

static void on_frame_begun(wslay_event_context_ptr wslay,
                           const struct wslay_event_on_frame_recv_start_arg *m, void *arg)
{
	struct websocket_client *c = arg;
	(void)wslay;
	c->relays = !wslay_is_ctrl_frame(m->opcode);
	if (c->relays && c->state == CLIENT_OPEN)
		c->events.on_frame(c->events.arg, (uint8_t)(m->fin << 7 | m->opcode),
		                   m->payload_length);
}

static void on_frame_piece(wslay_event_context_ptr wslay,
                           const struct wslay_event_on_frame_recv_chunk_arg *m, void *arg)
{
	struct websocket_client *c = arg;
	(void)wslay;
	if (c->relays && c->state == CLIENT_OPEN && m->data_length > 0)
		c->events.on_piece(c->events.arg, span_of(m->data, m->data_length));
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
	struct websocket_client *c = arg;
	(void)wslay;
	if (m->opcode != WSLAY_CONNECTION_CLOSE || c->state != CLIENT_OPEN)
		return;
	bool coded = m->msg_length >= 2;
	unsigned code = coded ? (unsigned)m->msg[0] << 8 | m->msg[1] : 1005;
	c->said = true;
	c->events.on_goodbye(c->events.arg, code,
	                     coded ? span_of(m->msg + 2, m->msg_length - 2) : (struct span){0});
}

/* `c` may be gone when this returns. */
static void take(struct websocket_client *c, struct span bytes)
{
	c->in = bytes;
	c->taking = true;
	bool broken = wslay_event_recv(c->wslay) != 0;
	c->taking = false;
	c->in = (struct span){0};
	if (c->state == CLIENT_OVER) {
		dispose(c);
		return;
	}
	flush(c);
	if (broken || (!wslay_event_want_read(c->wslay) && !wslay_event_want_write(c->wslay)))
		end(c);
}

/* ---- the handshake ---- */

static void send_handshake(struct websocket_client *c)
{
	uint8_t key[16];
	clock_random(key, sizeof key);
	char *text = base64_text(span_of(key, sizeof key)), *request;
	bool ipv6 = strchr(c->host, ':') != NULL;
	snprintf(c->key, sizeof c->key, "%s", text);
	free(text);
	int len = asprintf(&request,
	                   "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUpgrade: websocket\r\n"
	                   "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
	                   "Sec-WebSocket-Version: 13\r\n\r\n",
	                   c->path, ipv6 ? "[" : "", c->host, ipv6 ? "]" : "", c->port, c->key);
	check(len > 0);
	c->state = CLIENT_SHAKING;
	put(c, (const uint8_t *)request, (size_t)len);
	free(request);
}

/* The value of the one field of this name; at NULL: there is none, or several. */
static struct span field_of(struct span head, const char *name)
{
	struct span found = {0};
	size_t name_len = strlen(name);
	const uint8_t *at = head.at, *end = head.at + head.len;
	while ((at = memmem(at, (size_t)(end - at), "\r\n", 2)) != NULL) {
		at += 2;
		const uint8_t *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (stop == NULL)
			break;
		if ((size_t)(stop - at) <= name_len || at[name_len] != ':' ||
		    !span_equal_nocase(span_of(at, name_len), span_str(name)))
			continue;
		if (found.at != NULL)
			return (struct span){0};
		at += name_len + 1;
		while (at < stop && (*at == ' ' || *at == '\t'))
			at++;
		const uint8_t *last = stop;
		while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		found = span_of(at, (size_t)(last - at));
	}
	return found;
}

static bool lists(struct span list, struct span token)
{
	struct span element;
	while (list.at != NULL && list_next(&list, &element))
		if (span_equal_nocase(element, token))
			return true;
	return false;
}

/* RFC 6455 4.1: what we asked for, and nothing else. */
static bool accepts(const struct websocket_client *c, struct span head)
{
	static const char status[] = "HTTP/1.1 101";
	enum { STATUS_LEN = sizeof status - 1 };
	if (head.len <= STATUS_LEN || memcmp(head.at, status, STATUS_LEN) != 0 ||
	    (head.at[STATUS_LEN] != ' ' && head.at[STATUS_LEN] != '\r'))
		return false;
	char *proof = websocket_proof(span_str(c->key));
	bool proven = span_equal(field_of(head, "sec-websocket-accept"), span_str(proof));
	free(proof);
	return proven && lists(field_of(head, "upgrade"), SPAN("websocket")) &&
	       lists(field_of(head, "connection"), SPAN("upgrade")) &&
	       field_of(head, "sec-websocket-extensions").at == NULL &&
	       field_of(head, "sec-websocket-protocol").at == NULL;
}

static void begin(struct websocket_client *c)
{
	static const struct wslay_event_callbacks callbacks = {
	        .recv_callback = give_bytes,
	        .send_callback = take_bytes,
	        .genmask_callback = make_mask,
	        .on_frame_recv_start_callback = on_frame_begun,
	        .on_frame_recv_chunk_callback = on_frame_piece,
	        .on_msg_recv_callback = on_message};
	check(wslay_event_context_client_init(&c->wslay, &callbacks, c) == 0);
	wslay_event_config_set_max_recv_msg_length(c->wslay, c->frame_bytes);
	wslay_event_config_set_no_buffering(c->wslay, 1);
	c->state = CLIENT_OPEN;
	wheel_cancel(&c->timer);
}

/* `c` may be gone when this returns. */
static void shake(struct websocket_client *c, struct span bytes)
{
	c->head = xrealloc(c->head, c->head_len + bytes.len);
	memcpy(c->head + c->head_len, bytes.at, bytes.len);
	c->head_len += bytes.len;
	const uint8_t *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	size_t len = end != NULL ? (size_t)(end - c->head) + 4 : c->head_len;
	if (len > HEAD_MAX || (end != NULL && !accepts(c, span_of(c->head, len)))) {
		fail(c, WEBSOCKET_CLIENT_PROTOCOL, "invalid response");
		return;
	}
	if (end == NULL)
		return;
	uint8_t *head = c->head;
	struct span rest = span_of(head + len, c->head_len - len);
	c->head = NULL;
	begin(c);
	/* What stands behind it must find its place before anything that comes later. */
	c->taking = true;
	c->events.on_open(c->events.arg);
	c->taking = false;
	if (c->state == CLIENT_OVER)
		dispose(c);
	else if (rest.len > 0)
		take(c, rest);
	free(head);
}

/* ---- input ---- */

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	static uint8_t room[READ_BYTES]; /* of the loop thread, used up at once */
	(void)handle, (void)suggested;
	*buf = uv_buf_init((char *)room, sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct websocket_client *c = stream->data;
	if (c == NULL || n == 0)
		return;
	struct span bytes = span_of(buf->base, n > 0 ? (size_t)n : 0);
	if (n > 0 && c->state == CLIENT_SHAKING)
		shake(c, bytes);
	else if (n > 0)
		take(c, bytes);
	else if (c->state == CLIENT_SHAKING)
		fail(c, WEBSOCKET_CLIENT_HANDSHAKE, "no response");
	else
		end(c);
}

static void read_on(struct websocket_client *c)
{
	bool wanted = c->tcp != NULL && !c->held;
	if (c->tcp == NULL || wanted == c->reading)
		return;
	c->reading = wanted;
	if (wanted)
		uv_read_start((uv_stream_t *)c->tcp, allocate, on_read);
	else
		uv_read_stop((uv_stream_t *)c->tcp);
}

void websocket_client_hold(struct websocket_client *c, bool hold)
{
	c->held = hold;
	if (c->state == CLIENT_OPEN)
		read_on(c);
}

/* ---- getting there ---- */

static void on_connected(uv_connect_t *request, int status)
{
	struct websocket_client *c = request->data;
	free(request);
	if (c == NULL)
		return; /* its handle is being closed */
	c->connecting = NULL;
	if (status != 0) {
		drop_tcp(c);
		try_next(c);
		return;
	}
	uv_tcp_nodelay(c->tcp, 1);
	send_handshake(c);
	read_on(c);
}

static bool connect_to(struct websocket_client *c, const struct sockaddr *address)
{
	c->tcp = xcalloc(1, sizeof *c->tcp);
	check(uv_tcp_init(c->loop, c->tcp) == 0);
	c->tcp->data = c;
	c->connecting = xcalloc(1, sizeof *c->connecting);
	c->connecting->data = c;
	if (uv_tcp_connect(c->connecting, c->tcp, address, on_connected) == 0)
		return true;
	free(c->connecting);
	c->connecting = NULL;
	drop_tcp(c);
	return false;
}

static void set_port(struct sockaddr *address, uint16_t port)
{
	if (address->sa_family == AF_INET)
		((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
}

/* `c` may be gone when this returns. */
static void try_next(struct websocket_client *c)
{
	c->state = CLIENT_CONNECTING;
	while (c->next != NULL) {
		struct sockaddr *address = c->next->ai_addr;
		c->next = c->next->ai_next;
		if (!address_allowed(c->reach, address))
			continue;
		c->any_allowed = true;
		set_port(address, c->port);
		if (connect_to(c, address))
			return;
	}
	if (c->any_allowed)
		fail(c, WEBSOCKET_CLIENT_REACH, "connection refused or unreachable");
	else
		fail(c, WEBSOCKET_CLIENT_NAME, "its address is not allowed (hub.allow_private)");
}

static void on_found(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
	struct websocket_client *c =
	        (struct websocket_client *)((char *)lookup -
	                                    offsetof(struct websocket_client, lookup));
	c->looking = false;
	c->found = c->next = found;
	if (c->state == CLIENT_OVER)
		dispose(c);
	else if (status != 0)
		fail(c, WEBSOCKET_CLIENT_NAME, "no such host");
	else
		try_next(c);
}

static void on_timer(struct wheel_node *node)
{
	struct websocket_client *c =
	        (struct websocket_client *)((char *)node -
	                                    offsetof(struct websocket_client, timer));
	if (c->state == CLIENT_LEAVING)
		dispose(c);
	else if (c->state == CLIENT_SHAKING)
		fail(c, WEBSOCKET_CLIENT_HANDSHAKE, "no response");
	else if (c->looking)
		fail(c, WEBSOCKET_CLIENT_NAME, "the name is not found in time");
	else
		fail(c, WEBSOCKET_CLIENT_REACH, "timed out");
}

struct websocket_client *websocket_client_open(uv_loop_t *loop, struct wheel *wheel,
                                               const struct websocket_client_target *target,
                                               const struct websocket_client_events *events)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct websocket_client *c = xcalloc(1, sizeof *c);
	*c = (struct websocket_client){.events = *events,
	                               .loop = loop,
	                               .wheel = wheel,
	                               .timer = {.due = on_timer},
	                               .reach = target->reach,
	                               .host = xmemdup_text(target->host, strlen(target->host)),
	                               .path = xmemdup_text(target->path, strlen(target->path)),
	                               .port = target->port,
	                               .frame_bytes = target->frame_bytes};
	wheel_set(wheel, &c->timer, wheel->now_ms + target->timeout_ms);
	c->looking = uv_getaddrinfo(loop, &c->lookup, on_found, c->host, NULL, &hints) == 0;
	if (!c->looking) /* as if it had been found to be none: the timer says so */
		wheel_set(wheel, &c->timer, wheel->now_ms);
	return c;
}

void websocket_client_leave(struct websocket_client **client, unsigned code, const char *reason)
{
	struct websocket_client *c = *client;
	*client = NULL;
	if (c == NULL || c->state == CLIENT_OVER)
		return;
	if (c->state != CLIENT_OPEN || c->owed > 0) {
		dispose(c);
		return;
	}
	bool coded = code != 1005;
	wslay_event_queue_close(c->wslay, coded ? (uint16_t)code : 0, (const uint8_t *)reason,
	                        coded ? strlen(reason) : 0);
	c->state = CLIENT_LEAVING;
	c->held = false;
	wheel_set(c->wheel, &c->timer, c->wheel->now_ms + LEAVE_MS);
	if (!c->taking)
		flush(c);
	read_on(c);
}
