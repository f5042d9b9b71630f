/* WebSocket (RFC 6455), the client's side, for frames that are handed on as they are: to an agent
 * that registered where it listens.
 *
 * The host is looked up, and each of its addresses that the policy of outgoing connections allows
 * (common/base/address.h) is tried in turn, all within one time. The handshake is read as it comes,
 * byte by byte if need be, and its proof is checked; what stands behind it are frames. Pings and
 * closes are answered here. Loop thread only. */
#pragma once

#include "common/base/address.h"
#include "common/base/wheel.h"

#include <uv.h>

struct websocket_client;

enum websocket_client_fault {
	WEBSOCKET_CLIENT_NAME,      /* no address, or none that is allowed */
	WEBSOCKET_CLIENT_REACH,     /* nobody answers there, or not in time */
	WEBSOCKET_CLIENT_HANDSHAKE, /* it closed, or broke off, or was too slow; */
	WEBSOCKET_CLIENT_PROTOCOL,  /* ... or what it answered is no acceptance */
};

struct websocket_client_events {
	/* Frames may go both ways. */
	void (*on_open)(void *arg);
	/* It came to nothing, for this constant reason; it is gone when this returns. */
	void (*on_failed)(void *arg, enum websocket_client_fault fault, const char *reason);
	/* As in websocket.h. */
	void (*on_frame)(void *arg, uint8_t first, uint64_t len);
	void (*on_piece)(void *arg, struct span bytes);
	void (*on_goodbye)(void *arg, unsigned code, struct span reason);
	void (*on_drained)(void *arg);
	/* After on_open(): it is over and gone; `said`: a goodbye came. */
	void (*on_closed)(void *arg, bool said);
	void *arg;
};

struct websocket_client_target {
	const char *host; /* a name or an address */
	uint16_t port;
	const char *path; /* from its '/' */
	enum address_reach reach;
	uint64_t timeout_ms;  /* until it is open */
	uint64_t frame_bytes; /* longer ones end it with 1009 */
};

/* Nothing is told before this returns. Loop and wheel are the caller's and outlive it. */
struct websocket_client *websocket_client_open(uv_loop_t *loop, struct wheel *wheel,
                                               const struct websocket_client_target *target,
                                               const struct websocket_client_events *events);

/* As websocket_frame() and websocket_piece(); masked anew on the way. */
bool websocket_client_frame(struct websocket_client *client, uint8_t first, uint64_t len);
bool websocket_client_piece(struct websocket_client *client, struct span bytes);
/* True: nothing more is read. */
void websocket_client_hold(struct websocket_client *client, bool hold);
/* Says goodbye, in the middle of a frame cuts, and is gone to the caller: no event follows. Also
 * while it is being opened. */
void websocket_client_leave(struct websocket_client **client, unsigned code, const char *reason);
