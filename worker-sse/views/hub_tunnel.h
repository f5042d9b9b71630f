/* Tunnels: dashboards of an agent that cannot be reached come to it in its own socket, in channels.
 *
 *     dashboard - hub_proxy.c - hub_tunnel ~ letters ~ hub_channel - the agent's socket
 *
 * The two ends may be in two workers: what passes between them are letters, calls that are answered
 * at once. Credit bounds what is under way in either direction (docs/hub.md). Loop thread only. */
#pragma once

#include "worker-sse/views/hub_parts.h"

enum {
	HUB_WINDOW_BYTES = 65536, /* of payload, of a channel, in one direction */
	HUB_DATA_BYTES = 32768,   /* of one message; inter-worker letters stay small by it */
};

struct call;
struct hub_tunnel;

struct hub_tunnel_events {
	void (*on_data)(void *arg, uint8_t first, struct span payload);
	/* More may be sent. */
	void (*on_more)(void *arg);
	/* It is over, and gone when this returns. */
	void (*on_goodbye)(void *arg, unsigned code, struct span reason);
	void *arg;
};

/* A dashboard's end. NULL: the agent's worker cannot be asked. */
struct hub_tunnel *hub_tunnel_open(struct hub *hub, const struct agent *agent,
                                   const struct hub_tunnel_events *events);
/* As websocket_client_frame() and websocket_client_piece(); on_more() follows false. */
bool hub_tunnel_frame(struct hub_tunnel *tunnel, uint8_t first, uint64_t len);
bool hub_tunnel_piece(struct hub_tunnel *tunnel, struct span bytes);
/* The dashboard has done with so many bytes of on_data(). */
void hub_tunnel_taken(struct hub_tunnel *tunnel, size_t bytes);
void hub_tunnel_leave(struct hub_tunnel **tunnel, unsigned code, const char *reason);

/* The agent's end: a binary message of its socket. */
void hub_channels_take(struct hub_conn *conn, struct span message);
/* Its socket is closed. */
void hub_channels_drop(struct hub_conn *conn);

/* The worker in this slot has gone. */
void hub_tunnels_lose(struct hub *hub, unsigned slot);

/* Letters: to the agent's end, and to the dashboard's. */
void hub_tunnel_letter_handle(struct call *call);
