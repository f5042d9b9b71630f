/* One framed connection on a Unix stream socket: the bus. Never blocks the sender.
 *
 * Loop thread only. A descriptor may ride along with a frame (SCM_RIGHTS). The outgoing queue is
 * bounded; mergeable notices never queue twice. There are two kinds:
 *
 *   between supervisor and worker, or ringsidectl: frames keep their order, and a peer that does
 *   not read is closed with a log line, for what it was told must not be lost silently;
 *
 *   a link between workers: each frame stands for itself. A full queue refuses the one frame that
 *   does not fit. A body of PROTO_HANDED_BYTES_MIN or more does not go through the socket: a small
 *   frame hands it over in a memory file, in its turn, and the receiver says when it has done with
 *   it. A receiver that has no descriptor or no room to map it loses that one frame, after a log
 *   line; a sender without one refuses it. */
#pragma once

#include "common/base/ceilings.h"
#include "proto/frame.h"
#include "proto/roles.h"

#include <uv.h>

struct peer;

struct peer_events {
	/* One frame, whole. `fd` is -1 or, with PEER, a descriptor that is the callee's to close;
	 * one that came with any other frame has been closed. PEER with -1: there was no descriptor
	 * left for it in this process. Anything but PROTO_HANDLED closes the peer after a log line.
	 * The peer may be destroyed within the call. */
	enum proto_verdict (*on_frame)(void *arg, struct peer *peer, unsigned type,
	                               struct span body, int fd);
	/* End of file, error or condemned. The peer is gone when this returns. */
	void (*on_close)(void *arg, struct peer *peer);
	void *arg;
	/* So many bytes of small frames may wait, and on a link so many of large ones may be handed
	 * over and not done with; no less than PEER_QUEUE_BYTES_MIN. */
	size_t queue_bytes_max;
	bool link; /* of the second kind */
};

enum { PEER_QUEUE_BYTES_MIN = CEILINGS_LINK_MIN };

/* Takes over the descriptor. `party` says who is at the other end. */
struct peer *peer_create(uv_loop_t *loop, int fd, struct party party,
                         const struct peer_events *events);

/* Closes without on_close; sets *peer to NULL; NULL is fine. */
void peer_destroy(struct peer **peer);

/* Hands over all frames that have arrived, of a process that has ended, say: before peer_destroy().
 * May end with on_close. */
void peer_drain(struct peer *peer);

/* Who it is; as long as the peer. */
const struct party *peer_party(const struct peer *peer);

/* Queues one frame; `fd` -1 or a descriptor that is duplicated into the message (the caller keeps
 * its own; the receiver's is close-on-exec). False: the frame is lost, because the peer is gone,
 * its queue is full (where it is no link on_close follows from the loop), or the descriptor was not
 * to be copied. */
bool peer_send(struct peer *peer, unsigned type, struct span body, int fd);

/* Has everything been sent? Then whoever has the descriptor next can begin with a frame. */
bool peer_all_sent(const struct peer *peer);
/* Its descriptor, still its own. */
int peer_fd(const struct peer *peer);

/* A notice that replaces an unsent one of its kind. */
void peer_send_durable(struct peer *peer, uint64_t lsn);

/* Encodes and sends: peer_put(peer, drain, DRAIN, {.due_ms = 1}). */
#define peer_put(peer, lname, NAME, ...)                                                           \
	do {                                                                                       \
		bool ignored_;                                                                     \
		peer_try(ignored_, peer, lname, NAME, __VA_ARGS__);                                \
		(void)ignored_;                                                                    \
	} while (0)
/* The same; `sent` becomes what peer_send() says. */
#define peer_try(sent, peer, lname, NAME, ...)                                                     \
	do {                                                                                       \
		const struct proto_##lname message_ = __VA_ARGS__;                                 \
		size_t room_ = proto_len_##lname(&message_);                                       \
		uint8_t *body_ = xmalloc(room_);                                                   \
		struct writer w_ = {body_, body_ + room_, true};                                   \
		check(proto_put_##lname(&w_, &message_));                                          \
		sent = peer_send(peer, PROTO_TYPE_##NAME, span_of(body_, (size_t)(w_.at - body_)), \
		                 -1);                                                              \
		free(body_);                                                                       \
	} while (0)
