/* /ws/agent/ID: a dashboard's socket, and one that we open to the agent; frames go through as they
 * are. Neither side is read while the other does not take what it is sent.
 *
 *     LOOKING -> OPEN -> over
 *
 * With ?strict=1 the agent's side comes first, and what is in the way is answered by HTTP: 404,
 * 502, 503. Else the handshake is answered at once, and a fault is one message and a close, as
 * these clients know it. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-sse/edge/websocket_client.h"
#include "worker-sse/views/hub_tunnel.h"

#include <stdio.h>
#include <stdlib.h>

struct hub_proxy {
	struct hub *hub;
	struct request *request;             /* strict, while it waits; else NULL */
	struct websocket *websocket;         /* the dashboard's; NULL: not yet, or no more */
	struct websocket_client *agent;      /* NULL: no more, or it has a tunnel */
	struct hub_tunnel *tunnel;           /* the same the other way round */
	size_t untaken;                      /* of it, that the dashboard does not take yet */
	uint64_t from_agent, from_dashboard; /* bytes of the message under way */
	char id[AGENT_ID_ROOM];
};

/* ---- faults ---- */

struct fault {
	unsigned status;
	const char *text;
};

static const struct fault not_found = {404, "Agent not found"}, offline = {503, "Agent is offline"},
                          crowded = {503, "too many dashboards of this agent "
                                          "(hub.dashboards_max)"},
                          unreadable = {503, "this agent's row cannot be read"},
                          no_address = {502, "Cannot resolve agent address"};

static void say_fault(struct websocket *websocket, const char *text)
{
	char message[256];
	json_t *json = json_pack("{s:s}", "error", text);
	size_t len = json_dumpb(json, message, sizeof message, JSON_COMPACT);
	json_decref(json);
	if (len <= sizeof message)
		websocket_send(websocket, span_of(message, len));
	websocket_close(websocket, WEBSOCKET_TRY_LATER, "the agent cannot be reached");
}

/* ---- the agent's side, whichever it is ---- */

static bool agent_there(const struct hub_proxy *p)
{
	return p->agent != NULL || p->tunnel != NULL;
}

static bool agent_frame(struct hub_proxy *p, uint8_t first, uint64_t len)
{
	return p->tunnel != NULL ? hub_tunnel_frame(p->tunnel, first, len)
	                         : websocket_client_frame(p->agent, first, len);
}

static bool agent_piece(struct hub_proxy *p, struct span bytes)
{
	return p->tunnel != NULL ? hub_tunnel_piece(p->tunnel, bytes)
	                         : websocket_client_piece(p->agent, bytes);
}

static void agent_leave(struct hub_proxy *p, unsigned code, const char *reason)
{
	websocket_client_leave(&p->agent, code, reason);
	hub_tunnel_leave(&p->tunnel, code, reason);
}

/* ---- the end ---- */

static void proxy_free(struct hub_proxy *p)
{
	struct hub_entry *e = hub_entry_find(p->hub, span_str(p->id));
	e->proxies--;
	hub_entry_let_go(p->hub, e);
	counter_add(p->hub->worker->counters, hub_proxies, -1);
	free(p);
}

/* The one that goes last frees it. */
static void leave_agent(struct hub_proxy *p, unsigned code, const char *reason)
{
	agent_leave(p, code, reason);
	if (p->websocket == NULL && p->request == NULL)
		proxy_free(p);
}

static void leave_dashboard(struct hub_proxy *p, unsigned code, const char *reason)
{
	if (p->websocket != NULL) {
		websocket_hold(p->websocket, false); /* for its part of the goodbye */
		websocket_close(p->websocket, code, reason);
	}
}

/* ---- what the dashboard says ---- */

/* True: this frame is still within what a message may have. */
static bool counts(const struct hub_proxy *p, uint64_t *so_far, uint8_t first, uint64_t len)
{
	bool begins = (first & 15) != 0, ends = (first & 0x80) != 0;
	*so_far = (begins ? 0 : *so_far) + len;
	bool fits = *so_far <= p->hub->worker->settings->hub_message_bytes;
	if (ends)
		*so_far = 0;
	return fits;
}

static void end_too_big(struct hub_proxy *p)
{
	static const char reason[] = "longer than hub.message_bytes";
	leave_dashboard(p, WEBSOCKET_TOO_BIG, reason);
	agent_leave(p, WEBSOCKET_TOO_BIG, reason);
}

static void on_dashboard_frame(void *arg, uint8_t first, uint64_t len)
{
	struct hub_proxy *p = arg;
	if (!agent_there(p))
		return;
	if (!counts(p, &p->from_dashboard, first, len))
		end_too_big(p);
	else if (!agent_frame(p, first, len))
		websocket_hold(p->websocket, true);
}

static void on_dashboard_piece(void *arg, struct span bytes)
{
	struct hub_proxy *p = arg;
	if (agent_there(p) && !agent_piece(p, bytes))
		websocket_hold(p->websocket, true);
}

static void on_dashboard_goodbye(void *arg, unsigned code, struct span reason)
{
	struct hub_proxy *p = arg;
	char text[128];
	snprintf(text, sizeof text, "%.*s", (int)reason.len, (const char *)reason.at);
	agent_leave(p, code, text);
}

static void on_dashboard_drained(void *arg)
{
	struct hub_proxy *p = arg;
	size_t untaken = p->untaken;
	p->untaken = 0;
	if (p->agent != NULL)
		websocket_client_hold(p->agent, false);
	else if (p->tunnel != NULL)
		hub_tunnel_taken(p->tunnel, untaken);
}

static void on_dashboard_closed(void *arg, unsigned code)
{
	struct hub_proxy *p = arg;
	p->websocket = NULL;
	leave_agent(p, code == WEBSOCKET_ABNORMAL ? WEBSOCKET_GOING_AWAY : code, "");
}

static bool accept_it(struct hub_proxy *p, struct request *request)
{
	const struct websocket_events events = {.on_frame = on_dashboard_frame,
	                                        .on_piece = on_dashboard_piece,
	                                        .on_goodbye = on_dashboard_goodbye,
	                                        .on_drained = on_dashboard_drained,
	                                        .on_closed = on_dashboard_closed,
	                                        .arg = p};
	request->feature = NULL;
	request->on_gone = NULL;
	p->websocket =
	        websocket_accept(request, &events, p->hub->worker->settings->hub_frame_bytes);
	if (p->websocket != NULL)
		request_forget(request);
	return p->websocket != NULL;
}

/* ---- what the agent says ---- */

static void on_agent_frame(void *arg, uint8_t first, uint64_t len)
{
	struct hub_proxy *p = arg;
	if (p->websocket == NULL)
		return;
	if (!counts(p, &p->from_agent, first, len))
		end_too_big(p);
	else if (!websocket_frame(p->websocket, first, len))
		websocket_client_hold(p->agent, true);
}

static void on_agent_piece(void *arg, struct span bytes)
{
	struct hub_proxy *p = arg;
	if (p->websocket != NULL && !websocket_piece(p->websocket, bytes) && p->agent != NULL)
		websocket_client_hold(p->agent, true);
}

static void on_agent_goodbye(void *arg, unsigned code, struct span reason)
{
	struct hub_proxy *p = arg;
	char text[128];
	snprintf(text, sizeof text, "%.*s", (int)reason.len, (const char *)reason.at);
	leave_dashboard(p, code, text);
}

static void on_agent_drained(void *arg)
{
	struct hub_proxy *p = arg;
	if (p->websocket != NULL)
		websocket_hold(p->websocket, false);
}

static void on_agent_closed(void *arg, bool said)
{
	struct hub_proxy *p = arg;
	p->agent = NULL;
	if (!said)
		leave_dashboard(p, WEBSOCKET_BAD_GATEWAY, "the agent's connection broke");
}

/* ---- the same through a tunnel ---- */

static void on_tunnel_data(void *arg, uint8_t first, struct span payload)
{
	struct hub_proxy *p = arg;
	if (p->websocket == NULL)
		return;
	if (!counts(p, &p->from_agent, first, payload.len)) {
		end_too_big(p);
		return;
	}
	bool taken = websocket_frame(p->websocket, first, payload.len);
	if (payload.len > 0)
		taken = websocket_piece(p->websocket, payload);
	if (!taken)
		p->untaken += payload.len;
	else if (p->tunnel != NULL)
		hub_tunnel_taken(p->tunnel, payload.len);
}

static void on_tunnel_goodbye(void *arg, unsigned code, struct span reason)
{
	struct hub_proxy *p = arg;
	p->tunnel = NULL;
	on_agent_goodbye(p, code, reason);
}

/* False: its worker cannot be asked. */
static bool open_tunnel(struct hub_proxy *p, const struct agent *agent)
{
	const struct hub_tunnel_events events = {.on_data = on_tunnel_data,
	                                         .on_more = on_agent_drained,
	                                         .on_goodbye = on_tunnel_goodbye,
	                                         .arg = p};
	p->tunnel = hub_tunnel_open(p->hub, agent, &events);
	return p->tunnel != NULL;
}

/* ---- getting there ---- */

static void on_agent_open(void *arg)
{
	struct hub_proxy *p = arg;
	struct request *request = p->request;
	counter_add(p->hub->worker->counters, hub_proxies_total, 1);
	p->request = NULL;
	if (request == NULL) {
		websocket_hold(p->websocket, false);
	} else if (!accept_it(p, request)) { /* it was answered, and nobody is left */
		agent_leave(p, WEBSOCKET_GOING_AWAY, "");
		proxy_free(p);
	}
}

static const char *text_of(enum websocket_client_fault fault, const char *reason, char text[160])
{
	static const char *const names[] = {
	        [WEBSOCKET_CLIENT_NAME] = "Cannot resolve agent",
	        [WEBSOCKET_CLIENT_REACH] = "Cannot reach agent",
	        [WEBSOCKET_CLIENT_HANDSHAKE] = "Agent handshake failed",
	        [WEBSOCKET_CLIENT_PROTOCOL] = "Agent handshake failed",
	};
	snprintf(text, 160, "%s: %s", names[fault], reason);
	return text;
}

static void on_agent_failed(void *arg, enum websocket_client_fault fault, const char *reason)
{
	struct hub_proxy *p = arg;
	struct request *request = p->request;
	char text[160];
	text_of(fault, reason, text);
	log_info("an agent cannot be reached", "id=\"%s\" why=\"%s\"", p->id, text);
	counter_add(p->hub->worker->counters, hub_proxy_failures_total, 1);
	p->agent = NULL;
	p->request = NULL;
	if (request != NULL) {
		request->feature = NULL;
		request->on_gone = NULL;
		proxy_free(p);
		reply_error(request, 502, text);
	} else {
		websocket_hold(p->websocket, false);
		say_fault(p->websocket, text);
	}
}

/* The dashboard has gone before its agent was there. */
static void on_gone(struct request *request)
{
	struct hub_proxy *p = request->feature;
	p->request = NULL;
	leave_agent(p, WEBSOCKET_GOING_AWAY, "");
}

static void open_agent(struct hub_proxy *p, const struct agent *agent,
                       const struct address_host *host)
{
	struct sse_worker *w = p->hub->worker;
	const struct address_fence fence = {.open = w->settings->hub_allow_private,
	                                    .loopback = w->settings->dev};
	const struct websocket_client_target target = {.host = host->name,
	                                               .port = (uint16_t)agent->port,
	                                               .path = "/",
	                                               .reach = address_reach(&fence, host),
	                                               .timeout_ms =
	                                                       w->settings->hub_connect_timeout_ms,
	                                               .frame_bytes = w->settings->hub_frame_bytes};
	const struct websocket_client_events events = {.on_open = on_agent_open,
	                                               .on_failed = on_agent_failed,
	                                               .on_frame = on_agent_frame,
	                                               .on_piece = on_agent_piece,
	                                               .on_goodbye = on_agent_goodbye,
	                                               .on_drained = on_agent_drained,
	                                               .on_closed = on_agent_closed,
	                                               .arg = p};
	p->agent = websocket_client_open(w->worker->loop, &w->wheel, &target, &events);
}

/* Of a socket that hears one fault, and is closed. */
static void ignore_text(void *arg, struct span text)
{
	(void)arg, (void)text;
}

static void ignore_end(void *arg, unsigned code)
{
	(void)arg, (void)code;
}

static void refuse(struct request *request, bool strict, const struct fault *fault)
{
	static const struct websocket_events events = {.on_text = ignore_text,
	                                               .on_closed = ignore_end};
	counter_add(request->edge->counters, hub_proxy_failures_total, 1);
	if (strict) {
		reply_error(request, fault->status, fault->text);
		return;
	}
	struct websocket *websocket = websocket_accept(request, &events, 65536);
	if (websocket == NULL)
		return;
	request_forget(request);
	say_fault(websocket, fault->text);
}

/* NULL: it can be led there. */
static const struct fault *judge(struct hub *hub, struct span id, struct agent *agent,
                                 struct address_host *host)
{
	switch (hub_agent_load(hub, id, agent)) {
	case ROW_ABSENT:
		return &not_found;
	case ROW_UNREADABLE:
		return &unreadable;
	case ROW_PRESENT:
		break;
	}
	if (agent->status != AGENT_ACTIVE)
		return &offline;
	if (hub_entry_of(hub, id)->proxies >= hub->worker->settings->hub_dashboards_max)
		return &crowded;
	if (!agent->tunnel && (!address_parse_host(span_str(agent->machine), host) ||
	                       host->port != 0 || agent->port == 0))
		return &no_address;
	return NULL;
}

/* It is up as soon as it is asked for. */
static void lead_through(struct hub_proxy *p, struct request *request, bool strict,
                         const struct agent *agent)
{
	if (!open_tunnel(p, agent)) {
		proxy_free(p);
		refuse(request, strict, &offline);
	} else if (!accept_it(p, request)) {
		agent_leave(p, WEBSOCKET_GOING_AWAY, "");
		proxy_free(p);
	} else if (p->tunnel == NULL) { /* it was over at once */
		leave_dashboard(p, WEBSOCKET_BAD_GATEWAY, "the agent's connection broke");
	} else {
		counter_add(p->hub->worker->counters, hub_proxies_total, 1);
	}
}

static void lead(struct request *request, bool strict, const struct agent *agent,
                 const struct address_host *host)
{
	struct hub *hub = worker_of(request)->hub;
	struct hub_proxy *p = xcalloc(1, sizeof *p);
	p->hub = hub;
	snprintf(p->id, sizeof p->id, "%s", agent->id);
	hub_entry_of(hub, span_str(p->id))->proxies++;
	counter_add(hub->worker->counters, hub_proxies, 1);
	if (agent->tunnel) {
		lead_through(p, request, strict, agent);
		return;
	}
	if (strict) {
		p->request = request;
		request->feature = p;
		request->on_gone = on_gone;
	} else if (!accept_it(p, request)) {
		proxy_free(p);
		return;
	} else {
		websocket_hold(p->websocket, true); /* nothing is lost meanwhile */
	}
	open_agent(p, agent, host);
}

static bool is_strict(const struct request *request)
{
	struct span value;
	return query_find(request->query, "strict", &value) != 0 && span_equal(value, SPAN("1"));
}

void hub_agent_handle(struct request *request)
{
	static const struct span prefix = {(const uint8_t *)"/ws/agent/", 10};
	struct sse_worker *w = worker_of(request);
	struct span raw = span_of(request->path.at + prefix.len, request->path.len - prefix.len);
	uint8_t room[3 * AGENT_ID_MAX];
	char path[AGENT_PATH_ROOM];
	struct address_host host;
	const char *reason;
	bool strict = is_strict(request);
	if (raw.len == 0) {
		reply_error(request, 400, "Missing node ID");
		return;
	}
	size_t len = raw.len <= sizeof room ? percent_decode(raw, room) : SIZE_MAX;
	struct span id = span_of(room, len != SIZE_MAX && len <= AGENT_ID_MAX ? len : 0);
	unsigned status = request_refusal(request, RIGHT(APPEND), agent_path(id, path), &reason);
	if (status != 0) {
		reply_error(request, status, reason);
		return;
	}
	if (!hub_welcomes(request) || !websocket_expect(request) || !request_hold_reader(request))
		return;
	struct agent *agent = xcalloc(1, sizeof *agent);
	const struct fault *fault = judge(w->hub, id, agent, &host);
	if (fault != NULL)
		refuse(request, strict, fault);
	else
		lead(request, strict, agent, &host);
	free(agent);
}
