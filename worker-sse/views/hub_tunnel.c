#include "worker-sse/views/hub_tunnel.h"
#include "common/base/check.h"
#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "proto/codec.h"
#include "proto/roles.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HEADER_BYTES = 5,   /* of a message: kind, channel */
	GIVE_BYTES = 16384, /* credit is given back in no smaller pieces */
	LETTER_HEAD = 10,   /* to whom, number, kind */
	LETTER_ROOM = LETTER_HEAD + 8 + AGENT_ID_MAX + 1 + HUB_DATA_BYTES,
};

enum kind { KIND_OPEN = 1, KIND_DATA = 2, KIND_CLOSE = 3, KIND_CREDIT = 4 };
enum side { SIDE_AGENT = 1, SIDE_DASHBOARD = 2 }; /* to whom a letter goes */

static const char path[] = "/hub/letters";

/* A dashboard's end. */
struct hub_tunnel {
	UT_hash_handle hh; /* by number */
	struct hub *hub;
	struct hub_tunnel_events events;
	uint64_t number; /* in this worker */
	unsigned slot;   /* of the agent's worker */
	int64_t credit;  /* bytes that may be sent */
	size_t taken;    /* that are not given back yet */
	bool wants;      /* its dashboard waits for credit */
	/* the frame of the dashboard that is on its way: */
	uint8_t first;
	uint64_t left;
	size_t len;
	uint8_t bytes[HUB_DATA_BYTES];
};

struct channel_key {
	uint64_t slot, generation, number;
};

/* The agent's end. */
struct hub_channel {
	UT_hash_handle hh;      /* hub->channels, by key */
	UT_hash_handle hh_conn; /* conn->channels, by channel */
	struct channel_key key; /* whose it is */
	struct hub_conn *conn;
	uint32_t channel;
};

/* ---- numbers ---- */

static void put_number(uint8_t *out, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
}

static uint64_t take_number(const uint8_t *in, size_t bytes)
{
	uint64_t number = 0;
	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | in[i];
	return number;
}

static size_t put_close(uint8_t out[128], unsigned code, struct span reason)
{
	size_t len = reason.len < 123 ? reason.len : 123;
	if (code == WEBSOCKET_NO_CODE)
		return 0;
	put_number(out, code, 2);
	memcpy(out + 2, reason.at, len);
	return 2 + len;
}

/* ---- letters ---- */

static bool receive(struct hub *hub, const struct party *from, struct span letter);

static struct party ourselves(const struct hub *hub)
{
	const struct worker *worker = hub->worker->worker;
	return (struct party){ROLE_SSE, worker->slot, worker->generation};
}

struct sent {
	struct hub *hub;
	enum side side;
	uint64_t number;
	struct party to;
};

static void lose_tunnel(struct hub *hub, uint64_t number);
static void lose_channel(struct hub *hub, const struct party *from, uint64_t number);

static void on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                       const struct proto_call_reply *reply)
{
	struct sent *sent = arg;
	(void)from;
	if (outcome == ASK_ANSWERED && reply->status == 204) {
		free(sent);
		return;
	}
	if (sent->side == SIDE_AGENT)
		lose_tunnel(sent->hub, sent->number);
	else
		lose_channel(sent->hub, &sent->to, sent->number);
	free(sent);
}

/* False: it does not get there. */
static bool post(struct hub *hub, const struct party *to, enum side side, uint64_t number,
                 enum kind kind, struct span body)
{
	uint8_t letter[LETTER_ROOM];
	const struct party us = ourselves(hub);
	check(LETTER_HEAD + body.len <= sizeof letter);
	letter[0] = (uint8_t)side;
	put_number(letter + 1, number, 8);
	letter[9] = (uint8_t)kind;
	if (body.len > 0)
		memcpy(letter + LETTER_HEAD, body.at, body.len);
	const struct span whole = span_of(letter, LETTER_HEAD + body.len);
	if (to->slot == us.slot)
		return receive(hub, &us, whole);
	const struct proto_call call = {.method = CALL_POST, .path = span_str(path), .body = whole};
	struct sent *sent = xcalloc(1, sizeof *sent);
	*sent = (struct sent){hub, side, number, *to};
	if (asks_send(hub->worker->asks, to, &call, on_outcome, sent, NULL) == ASK_SENT)
		return true;
	free(sent);
	return false;
}

void hub_tunnel_letter_handle(struct call *call)
{
	struct hub *hub = ((struct sse_worker *)call->context)->hub;
	bool known = call->from.role == ROLE_SSE && receive(hub, &call->from, call->body);
	call_reply(call, known ? 204 : 404, NULL);
}

/* ---- the dashboard's end ---- */

static struct hub_tunnel *tunnel_find(struct hub *hub, uint64_t number)
{
	struct hub_tunnel *t;
	HASH_FIND(hh, hub->tunnels, &number, sizeof number, t);
	return t;
}

static void tunnel_free(struct hub_tunnel *t)
{
	HASH_DEL(t->hub->tunnels, t);
	free(t);
}

static void tunnel_end(struct hub_tunnel *t, unsigned code, struct span reason)
{
	const struct hub_tunnel_events events = t->events;
	tunnel_free(t);
	events.on_goodbye(events.arg, code, reason);
}

static void lose_tunnel(struct hub *hub, uint64_t number)
{
	struct hub_tunnel *t = tunnel_find(hub, number);
	if (t != NULL)
		tunnel_end(t, WEBSOCKET_BAD_GATEWAY, SPAN("the agent's connection broke"));
}

static bool tell_agent(struct hub_tunnel *t, enum kind kind, struct span body)
{
	const struct party to = {.role = ROLE_SSE, .slot = t->slot};
	return post(t->hub, &to, SIDE_AGENT, t->number, kind, body);
}

struct hub_tunnel *hub_tunnel_open(struct hub *hub, const struct agent *agent,
                                   const struct hub_tunnel_events *events)
{
	uint8_t body[8 + AGENT_ID_MAX];
	size_t len = strlen(agent->id);
	struct hub_tunnel *t = xcalloc(1, sizeof *t);
	t->hub = hub;
	t->events = *events;
	t->number = ++hub->tunnels_made;
	t->slot = agent->slot;
	t->credit = HUB_WINDOW_BYTES;
	HASH_ADD(hh, hub->tunnels, number, sizeof t->number, t);
	put_number(body, agent->generation, 8);
	memcpy(body + 8, agent->id, len);
	if (tell_agent(t, KIND_OPEN, span_of(body, 8 + len)))
		return t;
	tunnel_free(t);
	return NULL;
}

/* What was gathered is one DATA. False: the tunnel is gone. */
static bool send_data(struct hub_tunnel *t, bool last)
{
	uint8_t body[1 + HUB_DATA_BYTES];
	uint64_t number = t->number;
	struct hub *hub = t->hub;
	size_t len = t->len;
	body[0] = last ? t->first : (uint8_t)(t->first & 0x7f);
	memcpy(body + 1, t->bytes, len);
	t->first &= 0xf0; /* what follows of it are continuations */
	t->len = 0;
	t->credit -= (int64_t)len;
	if (!tell_agent(t, KIND_DATA, span_of(body, 1 + len))) {
		lose_tunnel(hub, number);
		return false;
	}
	return tunnel_find(hub, number) == t;
}

bool hub_tunnel_frame(struct hub_tunnel *t, uint8_t first, uint64_t len)
{
	t->first = first;
	t->left = len;
	t->len = 0;
	if (len == 0 && !send_data(t, true))
		return true;
	t->wants = t->credit <= 0;
	return !t->wants;
}

bool hub_tunnel_piece(struct hub_tunnel *t, struct span bytes)
{
	while (bytes.len > 0) {
		size_t room = sizeof t->bytes - t->len, n = bytes.len < room ? bytes.len : room;
		memcpy(t->bytes + t->len, bytes.at, n);
		t->len += n;
		t->left -= n;
		bytes = span_of(bytes.at + n, bytes.len - n);
		bool last = t->left == 0;
		if ((last || t->len == sizeof t->bytes) && !send_data(t, last))
			return true;
	}
	t->wants = t->credit <= 0;
	return !t->wants;
}

void hub_tunnel_taken(struct hub_tunnel *t, size_t bytes)
{
	uint8_t body[4];
	uint64_t number = t->number;
	struct hub *hub = t->hub;
	t->taken += bytes;
	if (t->taken < GIVE_BYTES)
		return;
	put_number(body, t->taken, 4);
	t->taken = 0;
	if (!tell_agent(t, KIND_CREDIT, span_of(body, 4)))
		lose_tunnel(hub, number);
}

void hub_tunnel_leave(struct hub_tunnel **tunnel, unsigned code, const char *reason)
{
	struct hub_tunnel *t = *tunnel;
	uint8_t body[128];
	*tunnel = NULL;
	if (t == NULL)
		return;
	struct hub_tunnel last = *t;
	tunnel_free(t); /* first: nothing comes back to it */
	tell_agent(&last, KIND_CLOSE, span_of(body, put_close(body, code, span_str(reason))));
}

/* False: there is no such tunnel, or no such letter. */
static bool tunnel_receive(struct hub *hub, uint64_t number, enum kind kind, struct span body)
{
	struct hub_tunnel *t = tunnel_find(hub, number);
	if (t == NULL)
		return kind == KIND_CLOSE || kind == KIND_CREDIT;
	if (kind == KIND_DATA && body.len > 0) {
		t->events.on_data(t->events.arg, body.at[0], span_of(body.at + 1, body.len - 1));
	} else if (kind == KIND_CLOSE) {
		bool coded = body.len >= 2;
		tunnel_end(t, coded ? (unsigned)take_number(body.at, 2) : WEBSOCKET_NO_CODE,
		           coded ? span_of(body.at + 2, body.len - 2) : (struct span){0});
	} else if (kind == KIND_CREDIT && body.len == 4) {
		t->credit += (int64_t)take_number(body.at, 4);
		if (t->credit > HUB_WINDOW_BYTES)
			t->credit = HUB_WINDOW_BYTES;
		if (t->wants && t->credit > 0) {
			t->wants = false;
			t->events.on_more(t->events.arg);
		}
	} else {
		return false;
	}
	return true;
}

/* ---- the agent's end ---- */

static struct channel_key key_of(const struct party *from, uint64_t number)
{
	return (struct channel_key){from->slot, from->generation, number};
}

static struct hub_channel *channel_find(struct hub *hub, const struct party *from, uint64_t number)
{
	const struct channel_key key = key_of(from, number);
	struct hub_channel *c;
	HASH_FIND(hh, hub->channels, &key, sizeof key, c);
	return c;
}

static void say(const struct hub_channel *c, enum kind kind, struct span body)
{
	uint8_t header[HEADER_BYTES];
	struct websocket *websocket = c->conn->websocket;
	if (websocket == NULL)
		return;
	header[0] = (uint8_t)kind;
	put_number(header + 1, c->channel, 4);
	websocket_frame(websocket, 0x82, HEADER_BYTES + body.len);
	websocket_piece(websocket, span_of(header, HEADER_BYTES));
	if (body.len > 0)
		websocket_piece(websocket, body);
}

static void channel_free(struct hub *hub, struct hub_channel *c)
{
	HASH_DEL(hub->channels, c);
	HASH_DELETE(hh_conn, c->conn->channels, c);
	free(c);
}

static void lose_channel(struct hub *hub, const struct party *from, uint64_t number)
{
	uint8_t body[128];
	struct hub_channel *c = channel_find(hub, from, number);
	if (c == NULL)
		return;
	say(c, KIND_CLOSE,
	    span_of(body, put_close(body, WEBSOCKET_GOING_AWAY, SPAN("the dashboard is gone"))));
	channel_free(hub, c);
}

/* False: it does not get there, and the channel is gone. */
static bool tell_dashboard(struct hub *hub, struct hub_channel *c, enum kind kind, struct span body)
{
	const struct party to = {ROLE_SSE, (unsigned)c->key.slot, c->key.generation};
	uint64_t number = c->key.number;
	if (post(hub, &to, SIDE_DASHBOARD, number, kind, body))
		return true;
	lose_channel(hub, &to, number);
	return false;
}

static bool channel_open(struct hub *hub, const struct party *from, uint64_t number,
                         struct span body)
{
	struct hub_entry *e =
	        body.len > 8 ? hub_entry_find(hub, span_of(body.at + 8, body.len - 8)) : NULL;
	struct hub_conn *conn = e != NULL ? e->conn : NULL;
	if (conn == NULL || !conn->tunnel || conn->websocket == NULL ||
	    conn->generation != take_number(body.at, 8))
		return false;
	struct hub_channel *c = xcalloc(1, sizeof *c);
	c->key = key_of(from, number);
	c->conn = conn;
	c->channel = ++conn->channels_made;
	HASH_ADD(hh, hub->channels, key, sizeof c->key, c);
	HASH_ADD(hh_conn, conn->channels, channel, sizeof c->channel, c);
	say(c, KIND_OPEN, SPAN("{}"));
	return true;
}

static bool channel_receive(struct hub *hub, const struct party *from, uint64_t number,
                            enum kind kind, struct span body)
{
	if (kind == KIND_OPEN)
		return channel_open(hub, from, number, body);
	struct hub_channel *c = channel_find(hub, from, number);
	if (c == NULL)
		return kind == KIND_CLOSE;
	say(c, kind, body);
	if (kind == KIND_CLOSE)
		channel_free(hub, c);
	return true;
}

static void break_off(struct hub_conn *conn, unsigned code, const char *reason)
{
	websocket_close(conn->websocket, code, reason);
}

/* May a Close frame have this code? RFC 6455 7.4: some are only said to who asks in the program. */
static bool code_may_travel(unsigned code)
{
	bool defined = code >= 1000 && code <= 1014 && code != 1004 && code != WEBSOCKET_NO_CODE &&
	               code != WEBSOCKET_ABNORMAL;
	return defined || (code >= 3000 && code <= 4999);
}

static const char *close_fault(struct span body)
{
	if (body.len == 0)
		return NULL;
	if (body.len == 1 || body.len > 125)
		return "CLOSE that is no Close frame";
	return code_may_travel((unsigned)take_number(body.at, 2))
	               ? NULL
	               : "CLOSE with a code that no Close frame may have";
}

/* NULL: fine. */
static const char *fault_of(enum kind kind, struct span body)
{
	switch (kind) {
	case KIND_DATA:
		return body.len == 0                   ? "DATA without the first byte of its frame"
		       : body.len > 1 + HUB_DATA_BYTES ? "DATA with more than 32768 bytes"
		       : (body.at[0] & 0x70) != 0 || (body.at[0] & 15) > 2
		               ? "DATA that is no frame of data"
		               : NULL;
	case KIND_CREDIT:
		return body.len == 4 ? NULL : "CREDIT without four bytes";
	case KIND_CLOSE:
		return close_fault(body);
	case KIND_OPEN:
		break;
	}
	return NULL;
}

void hub_channels_take(struct hub_conn *conn, struct span message)
{
	struct hub *hub = conn->hub;
	struct hub_channel *c;
	if (!conn->tunnel) {
		break_off(conn, WEBSOCKET_UNSUPPORTED, "text only: it registered no tunnel");
		return;
	}
	if (message.len < HEADER_BYTES) {
		break_off(conn, WEBSOCKET_POLICY, "a message of a tunnel has five bytes or more");
		return;
	}
	enum kind kind = (enum kind)message.at[0];
	uint32_t channel = (uint32_t)take_number(message.at + 1, 4);
	struct span body = span_of(message.at + HEADER_BYTES, message.len - HEADER_BYTES);
	const char *fault = fault_of(kind, body);
	if (fault != NULL) {
		break_off(conn, WEBSOCKET_POLICY, fault);
		return;
	}
	HASH_FIND(hh_conn, conn->channels, &channel, sizeof channel, c);
	if (c == NULL || (kind != KIND_DATA && kind != KIND_CLOSE && kind != KIND_CREDIT))
		return;
	if (tell_dashboard(hub, c, kind, body) && kind == KIND_CLOSE)
		channel_free(hub, c);
}

void hub_channels_drop(struct hub_conn *conn)
{
	struct hub_channel *c, *next;
	uint8_t body[128];
	size_t len = put_close(body, WEBSOCKET_BAD_GATEWAY, SPAN("the agent's connection broke"));
	HASH_ITER (hh_conn, conn->channels, c, next)
		if (tell_dashboard(conn->hub, c, KIND_CLOSE, span_of(body, len)))
			channel_free(conn->hub, c);
}

/* ---- both ---- */

static bool receive(struct hub *hub, const struct party *from, struct span letter)
{
	if (letter.len < LETTER_HEAD)
		return false;
	uint64_t number = take_number(letter.at + 1, 8);
	enum kind kind = (enum kind)letter.at[9];
	struct span body = span_of(letter.at + LETTER_HEAD, letter.len - LETTER_HEAD);
	return letter.at[0] == SIDE_AGENT ? channel_receive(hub, from, number, kind, body)
	                                  : tunnel_receive(hub, number, kind, body);
}

void hub_tunnels_lose(struct hub *hub, unsigned slot)
{
	struct hub_tunnel *t, *next_tunnel;
	struct hub_channel *c, *next_channel;
	HASH_ITER (hh, hub->tunnels, t, next_tunnel)
		if (t->slot == slot)
			tunnel_end(t, WEBSOCKET_BAD_GATEWAY, SPAN("the agent's worker is gone"));
	HASH_ITER (hh, hub->channels, c, next_channel) {
		const struct party from = {ROLE_SSE, (unsigned)c->key.slot, c->key.generation};
		if (c->key.slot == slot)
			lose_channel(hub, &from, c->key.number);
	}
}
