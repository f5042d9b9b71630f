#include "common/worker/peer.h"
#include "common/base/check.h"
#include "common/base/counters.h"
#include "common/base/log.h"
#include "common/worker/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors of frames that are not whole yet. The kernel ends a read behind a descriptor, so more
 * than two are an attack. */
enum { RECEIVED_FDS_MAX = 4 };

/* Memory files that wait in the queue of one link, each a descriptor of this process. */
enum { QUEUED_FDS_MAX = 64 };

/* A frame with its head. */
struct outgoing {
	struct outgoing *next;
	size_t len, sent;
	int fd;
	uint8_t bytes[];
};

struct peer {
	uv_poll_t poll;
	int fd;
	struct party party;
	struct peer_events events;
	struct frame_reader reader;
	struct outgoing *first, **last;
	size_t queued_bytes, queued_fds;    /* sent in part or not at all */
	uint64_t durable_unsent;            /* 0: none */
	uint64_t handed_bytes;              /* that the other has not done with */
	uint64_t taken_unsent;              /* of its, done with and not said */
	int received_fds[RECEIVED_FDS_MAX]; /* in the order they came; oldest first; -1: was lost */
	size_t received_fds_count;
	bool closed, watching_writes, cut /* we hung up on it */;
	bool refusing; /* said once until everything has gone */
};

const struct party *peer_party(const struct peer *peer)
{
	return &peer->party;
}

bool peer_all_sent(const struct peer *peer)
{
	return peer->first == NULL;
}

int peer_fd(const struct peer *peer)
{
	return peer->fd;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct peer *peer)
{
	bool writes = peer->first != NULL;
	if (writes == peer->watching_writes)
		return;
	peer->watching_writes = writes;
	uv_poll_start(&peer->poll, UV_READABLE | (writes ? UV_WRITABLE : 0), on_poll);
}

struct peer *peer_create(uv_loop_t *loop, int fd, struct party party,
                         const struct peer_events *events)
{
	struct peer *peer = xcalloc(1, sizeof *peer);
	check(events->queue_bytes_max >= PEER_QUEUE_BYTES_MIN);
	*peer = (struct peer){.fd = fd, .party = party, .events = *events};
	peer->last = &peer->first;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	check(uv_poll_init(loop, &peer->poll, fd) == 0);
	peer->poll.data = peer;
	uv_poll_start(&peer->poll, UV_READABLE, on_poll);
	return peer;
}

static void drop_first(struct peer *peer)
{
	struct outgoing *out = peer->first;
	peer->first = out->next;
	if (peer->first == NULL)
		peer->last = &peer->first;
	peer->queued_bytes -= out->len;
	if (out->fd >= 0) {
		peer->queued_fds--;
		close(out->fd);
	}
	free(out);
}

static int take_received_fd(struct peer *peer)
{
	if (peer->received_fds_count == 0)
		return -1;
	int fd = peer->received_fds[0];
	peer->received_fds_count--;
	memmove(peer->received_fds, peer->received_fds + 1, peer->received_fds_count * sizeof fd);
	return fd;
}

static void close_received_fds(struct peer *peer)
{
	while (peer->received_fds_count > 0) {
		int fd = take_received_fd(peer);
		if (fd >= 0)
			close(fd);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct peer *peer = handle->data;
	close(peer->fd);
	while (peer->first != NULL)
		drop_first(peer);
	close_received_fds(peer);
	frame_reader_finish(&peer->reader);
	free(peer);
}

void peer_destroy(struct peer **out)
{
	struct peer *peer = *out;
	*out = NULL;
	if (peer == NULL || peer->closed)
		return;
	peer->closed = true;
	uv_poll_stop(&peer->poll);
	uv_close((uv_handle_t *)&peer->poll, on_closed);
}

static void fail(struct peer *peer)
{
	if (peer->closed)
		return;
	if (peer->events.on_close != NULL)
		peer->events.on_close(peer->events.arg, peer);
	peer_destroy(&peer);
}

/* 1: all sent, 0: would block, -1: broken. */
static int send_one(struct peer *peer, struct outgoing *out)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {out->bytes + out->sent, out->len - out->sent};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (out->fd >= 0 && out->sent == 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &out->fd, sizeof(int));
	}
	ssize_t n = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	out->sent += (size_t)n;
	return out->sent == out->len;
}

/* `fd` is the queue's from here on. */
static void enqueue(struct peer *peer, unsigned type, struct span body, int fd)
{
	size_t len = FRAME_HEAD_BYTES + body.len;
	struct outgoing *out = xmalloc(sizeof *out + len);
	*out = (struct outgoing){.len = len, .fd = fd};
	frame_head(out->bytes, type, body.len);
	if (body.len != 0)
		memcpy(out->bytes + FRAME_HEAD_BYTES, body.at, body.len);
	*peer->last = out;
	peer->last = &out->next;
	peer->queued_bytes += len;
	peer->queued_fds += fd >= 0;
}

/* The peer's own words: enqueue_own(peer, taken, TAKEN, fd, {.bytes = 1}). */
#define enqueue_own(peer, lname, NAME, fd, ...)                                                    \
	do {                                                                                       \
		uint8_t body_[PROTO_MAX_##NAME];                                                   \
		struct writer w_ = {body_, body_ + sizeof body_, true};                            \
		const struct proto_##lname message_ = __VA_ARGS__;                                 \
		check(proto_put_##lname(&w_, &message_));                                          \
		enqueue(peer, PROTO_TYPE_##NAME, span_of(body_, (size_t)(w_.at - body_)), fd);     \
	} while (0)

/* What is said when nothing else waits, in its newest form. */
static void enqueue_merged(struct peer *peer)
{
	if (peer->taken_unsent != 0)
		enqueue_own(peer, taken, TAKEN, -1, {.bytes = peer->taken_unsent});
	if (peer->durable_unsent != 0)
		enqueue_own(peer, log_durable, LOG_DURABLE, -1, {.lsn = peer->durable_unsent});
	peer->taken_unsent = peer->durable_unsent = 0;
}

/* False: the socket is broken; the poll handler will find out. */
static bool flush(struct peer *peer)
{
	for (;;) {
		if (peer->first == NULL)
			enqueue_merged(peer);
		if (peer->first == NULL) {
			peer->refusing = peer->refusing && peer->handed_bytes > 0;
			break;
		}
		int sent = send_one(peer, peer->first);
		if (sent < 0)
			return false;
		if (sent == 0)
			break;
		drop_first(peer);
	}
	watch(peer);
	return true;
}

/* The poll handler sees the end of file and closes: never within a call of the sender. */
static void hang_up(struct peer *peer)
{
	peer->cut = true;
	shutdown(peer->fd, SHUT_RDWR);
}

static bool refuse(struct peer *peer)
{
	if (!peer->refusing)
		log_warn("link full", "peer=%s-%u queued=%zu handed=%llu",
		         role_name(peer->party.role), peer->party.slot, peer->queued_bytes,
		         (unsigned long long)peer->handed_bytes);
	peer->refusing = true;
	return false;
}

/* False: this frame does not go. */
static bool hand(struct peer *peer, unsigned type, struct span body)
{
	if (peer->handed_bytes + body.len > peer->events.queue_bytes_max ||
	    peer->queued_fds >= QUEUED_FDS_MAX)
		return refuse(peer);
	int fd = handed_make(body);
	if (fd < 0) {
		log_error("body not handed over", "peer=%s-%u error=\"%s\"",
		          role_name(peer->party.role), peer->party.slot, strerror(errno));
		return false;
	}
	enqueue_own(peer, handed, HANDED, fd, {.type = type, .len = body.len});
	peer->handed_bytes += body.len;
	return flush(peer);
}

bool peer_send(struct peer *peer, unsigned type, struct span body, int fd)
{
	bool link = peer->events.link;
	if (peer->closed || peer->cut)
		return false;
	if (link && body.len >= PROTO_HANDED_BYTES_MIN)
		return hand(peer, type, body);
	if (peer->queued_bytes + FRAME_HEAD_BYTES + body.len > peer->events.queue_bytes_max) {
		if (link)
			return refuse(peer);
		log_warn("peer does not read", "peer=%s-%u queued=%zu", role_name(peer->party.role),
		         peer->party.slot, peer->queued_bytes);
		hang_up(peer);
		return false;
	}
	int own_fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd >= 0 && own_fd < 0) {
		log_error("descriptor not passed on", "peer=%s-%u error=\"%s\"",
		          role_name(peer->party.role), peer->party.slot, strerror(errno));
		return false;
	}
	enqueue(peer, type, body, own_fd);
	return flush(peer);
}

void peer_send_durable(struct peer *peer, uint64_t lsn)
{
	if (peer->closed || peer->cut)
		return;
	peer->durable_unsent = lsn;
	flush(peer);
}

/* False: more than any honest peer sends. When this process has no descriptor left the kernel drops
 * the one that was sent; its place is kept, or its frame would get the next one's. */
static bool take_fds(struct peer *peer, struct msghdr *message)
{
	bool cut = (message->msg_flags & MSG_CTRUNC) != 0, fit = true;
	if (cut && CMSG_FIRSTHDR(message) == NULL && peer->received_fds_count < RECEIVED_FDS_MAX) {
		log_error("no descriptor for what was sent", "peer=%s-%u",
		          role_name(peer->party.role), peer->party.slot);
		peer->received_fds[peer->received_fds_count++] = -1;
		cut = false;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (peer->received_fds_count < RECEIVED_FDS_MAX) {
				peer->received_fds[peer->received_fds_count++] = fd;
			} else {
				close(fd);
				fit = false;
			}
		}
	}
	return fit && !cut;
}

/* False: nobody may hand over this. Judged before anything is mapped. */
static bool may_be_handed(const struct proto_handed *m)
{
	size_t max = m->type <= UINT16_MAX ? proto_body_max((unsigned)m->type) : SIZE_MAX;
	return max != SIZE_MAX && m->len >= PROTO_HANDED_BYTES_MIN && m->len <= max;
}

/* The frame that a file holds; without the file it is lost. */
static enum proto_verdict open_and_deliver(struct peer *peer, const struct proto_handed *m, int fd)
{
	struct span body;
	switch (fd >= 0 ? handed_open(fd, m->len, &body) : HANDED_NO_ROOM) {
	case HANDED_FALSE:
		return PROTO_MALFORMED;
	case HANDED_NO_ROOM:
		log_error("large frame lost", "peer=%s-%u type=%s bytes=%llu",
		          role_name(peer->party.role), peer->party.slot,
		          proto_name((unsigned)m->type), (unsigned long long)m->len);
		return PROTO_HANDLED;
	case HANDED_OPEN:
		break;
	}
	enum proto_verdict verdict =
	        peer->events.on_frame(peer->events.arg, peer, (unsigned)m->type, body, -1);
	handed_close(&body);
	return verdict;
}

static enum proto_verdict take_handed(struct peer *peer, struct span body)
{
	struct proto_handed m;
	int fd = take_received_fd(peer);
	enum proto_verdict verdict = PROTO_MALFORMED;
	if (peer->events.link && proto_get_handed(body, &m) && may_be_handed(&m))
		verdict = open_and_deliver(peer, &m, fd);
	if (fd >= 0)
		close(fd);
	if (verdict == PROTO_HANDLED && !peer->closed) {
		peer->taken_unsent += m.len;
		flush(peer);
	}
	return verdict;
}

static enum proto_verdict take_taken(struct peer *peer, struct span body)
{
	struct proto_taken m;
	if (!peer->events.link || !proto_get_taken(body, &m) || m.bytes > peer->handed_bytes)
		return PROTO_MALFORMED;
	peer->handed_bytes -= m.bytes;
	return PROTO_HANDLED;
}

/* The verdict on a frame; one that was handed over is judged as what it holds. */
static enum proto_verdict hand_over(struct peer *peer, unsigned type, struct span body)
{
	if (type == PROTO_TYPE_HANDED)
		return take_handed(peer, body);
	if (type == PROTO_TYPE_TAKEN)
		return take_taken(peer, body);
	bool rides = type == PROTO_TYPE_PEER || type == PROTO_TYPE_SETTINGS;
	int fd = rides ? take_received_fd(peer) : -1;
	return peer->events.on_frame(peer->events.arg, peer, type, body, fd);
}

static const char *refusal(enum proto_verdict verdict)
{
	switch (verdict) {
	case PROTO_HANDLED:
		return "handled";
	case PROTO_MALFORMED:
		return "malformed";
	case PROTO_NOT_MINE:
		return "of no type that is for us";
	case PROTO_FORBIDDEN:
		return "its sender may not send it";
	}
	return "unknown";
}

static void deliver(struct peer *peer, struct span in)
{
	for (;;) {
		unsigned type;
		struct span body;
		enum frame_result result = frame_read(&peer->reader, &in, &type, &body);
		if (result == FRAME_MORE) {
			/* Between frames, what is left belonged to none that takes one. */
			if (peer->reader.len == 0)
				close_received_fds(peer);
			return;
		}
		if (result == FRAME_CONDEMNED) {
			log_warn("hostile frame", "peer=%s-%u type=%u", role_name(peer->party.role),
			         peer->party.slot, type);
			fail(peer);
			return;
		}
		enum proto_verdict verdict = hand_over(peer, type, body);
		if (peer->closed)
			return;
		if (verdict != PROTO_HANDLED) {
			log_warn("frame refused", "peer=%s-%u type=%s why=\"%s\"",
			         role_name(peer->party.role), peer->party.slot, proto_name(type),
			         refusal(verdict));
			fail(peer);
			return;
		}
	}
}

/* False: nothing is left to read, or the peer is closed. */
static bool receive(struct peer *peer)
{
	uint8_t bytes[65536];
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = {bytes, sizeof bytes};
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         .msg_controllen = sizeof control.room};
	ssize_t n = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		fail(peer);
		return false;
	}
	if (!take_fds(peer, &message)) {
		log_warn("too many descriptors", "peer=%s-%u", role_name(peer->party.role),
		         peer->party.slot);
		fail(peer);
		return false;
	}
	deliver(peer, span_of(bytes, (size_t)n));
	return !peer->closed;
}

void peer_drain(struct peer *peer)
{
	while (!peer->closed && receive(peer)) {
	}
}

/* Who went away with words of ours unread has reset the connection; what it said before that
 * counts. */
static void fail_after_last_words(struct peer *peer)
{
	peer_drain(peer);
	if (!peer->closed)
		fail(peer);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct peer *peer = handle->data;
	if (status < 0 || ((events & UV_WRITABLE) != 0 && !flush(peer))) {
		fail_after_last_words(peer);
		return;
	}
	if ((events & UV_READABLE) != 0)
		receive(peer);
}
