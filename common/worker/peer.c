#include "common/worker/peer.h"
#include "common/base/check.h"
#include "common/base/counters.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors of frames that are not whole yet. The kernel ends a read behind a descriptor, so more
 * than two are an attack. */
enum { RECEIVED_FDS_MAX = 4 };

/* A frame with its head; in the lane of large ones, a body alone. */
struct outgoing {
	struct outgoing *next;
	size_t len, sent;
	unsigned type;
	int fd;
	uint8_t bytes[];
};

struct lane {
	struct outgoing *first, **last;
	size_t bytes; /* that wait, sent or not */
};

/* A large frame that comes in parts. */
struct assembly {
	uint8_t *bytes; /* owned; NULL: none */
	size_t len, total;
	unsigned type;
};

struct peer {
	uv_poll_t poll;
	int fd;
	struct party party;
	struct peer_events events;
	struct frame_reader reader;
	struct lane queue;
	struct lane large; /* sent in parts, each of which is queued when the queue is empty */
	struct assembly assembly;
	uint64_t durable_unsent;            /* 0: none */
	int received_fds[RECEIVED_FDS_MAX]; /* in the order they came; oldest first; -1: was lost */
	size_t received_fds_count;
	bool closed, watching_writes, cut /* we hung up on it */;
	bool refusing; /* said once until everything that waited is sent */
};

const struct party *peer_party(const struct peer *peer)
{
	return &peer->party;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct peer *peer)
{
	bool writes = peer->queue.first != NULL;
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
	peer->queue.last = &peer->queue.first;
	peer->large.last = &peer->large.first;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	check(uv_poll_init(loop, &peer->poll, fd) == 0);
	peer->poll.data = peer;
	uv_poll_start(&peer->poll, UV_READABLE, on_poll);
	return peer;
}

static void drop_first(struct lane *lane)
{
	struct outgoing *out = lane->first;
	lane->first = out->next;
	if (lane->first == NULL)
		lane->last = &lane->first;
	lane->bytes -= out->len;
	if (out->fd >= 0)
		close(out->fd);
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
	while (peer->queue.first != NULL)
		drop_first(&peer->queue);
	while (peer->large.first != NULL)
		drop_first(&peer->large);
	free(peer->assembly.bytes);
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

static struct outgoing *append(struct lane *lane, size_t len)
{
	struct outgoing *out = xmalloc(sizeof *out + len);
	*out = (struct outgoing){.len = len, .fd = -1};
	*lane->last = out;
	lane->last = &out->next;
	lane->bytes += len;
	return out;
}

/* `fd` is the queue's from here on. */
static void enqueue(struct peer *peer, unsigned type, struct span body, int fd)
{
	struct outgoing *out = append(&peer->queue, FRAME_HEAD_BYTES + body.len);
	out->fd = fd;
	frame_head(out->bytes, type, body.len);
	if (body.len != 0)
		memcpy(out->bytes + FRAME_HEAD_BYTES, body.at, body.len);
}

static void enqueue_large(struct peer *peer, unsigned type, struct span body)
{
	struct outgoing *out = append(&peer->large, body.len);
	out->type = type;
	memcpy(out->bytes, body.at, body.len);
}

static void enqueue_durable(struct peer *peer)
{
	uint8_t body[PROTO_MAX_LOG_DURABLE];
	struct writer w = {body, body + sizeof body, true};
	const struct proto_log_durable notice = {.lsn = peer->durable_unsent};
	check(proto_put_log_durable(&w, &notice));
	peer->durable_unsent = 0;
	enqueue(peer, PROTO_TYPE_LOG_DURABLE, span_of(body, (size_t)(w.at - body)), -1);
}

static void enqueue_part(struct peer *peer)
{
	struct outgoing *whole = peer->large.first;
	size_t left = whole->len - whole->sent;
	size_t len = left < PROTO_PART_BYTES_MAX ? left : PROTO_PART_BYTES_MAX;
	uint8_t body[PROTO_MAX_PART];
	struct writer w = {body, body + sizeof body, true};
	const struct proto_part part = {.type = whole->type,
	                                .total = whole->len,
	                                .bytes = span_of(whole->bytes + whole->sent, len)};
	check(proto_put_part(&w, &part));
	enqueue(peer, PROTO_TYPE_PART, span_of(body, (size_t)(w.at - body)), -1);
	whole->sent += len;
	if (whole->sent == whole->len)
		drop_first(&peer->large);
}

/* False: the socket is broken; the poll handler will find out. */
static bool flush(struct peer *peer)
{
	for (;;) {
		if (peer->queue.first == NULL && peer->durable_unsent != 0)
			enqueue_durable(peer);
		if (peer->queue.first == NULL && peer->large.first != NULL)
			enqueue_part(peer);
		if (peer->queue.first == NULL) {
			peer->refusing = false;
			break;
		}
		int sent = send_one(peer, peer->queue.first);
		if (sent < 0)
			return false;
		if (sent == 0)
			break;
		drop_first(&peer->queue);
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

/* False: this frame does not go. */
static bool take_large(struct peer *peer, unsigned type, struct span body)
{
	if (peer->large.bytes + body.len > peer->events.queue_bytes_max)
		return false;
	enqueue_large(peer, type, body);
	return flush(peer);
}

static bool refuse(struct peer *peer)
{
	if (!peer->refusing)
		log_warn("link full", "peer=%s-%u queued=%zu large=%zu",
		         role_name(peer->party.role), peer->party.slot, peer->queue.bytes,
		         peer->large.bytes);
	peer->refusing = true;
	return false;
}

bool peer_send(struct peer *peer, unsigned type, struct span body, int fd)
{
	bool link = peer->events.link;
	if (peer->closed || peer->cut)
		return false;
	if (link && body.len > PROTO_PART_BYTES_MAX)
		return take_large(peer, type, body) || refuse(peer);
	if (peer->queue.bytes + FRAME_HEAD_BYTES + body.len > peer->events.queue_bytes_max) {
		if (link)
			return refuse(peer);
		log_warn("peer does not read", "peer=%s-%u queued=%zu", role_name(peer->party.role),
		         peer->party.slot, peer->queue.bytes);
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

/* Parts of one frame at a time. Its size is checked before anything is allocated. */
static enum frame_result take_part(struct peer *peer, struct span body)
{
	struct assembly *a = &peer->assembly;
	struct proto_part part;
	if (!peer->events.link || !proto_get_part(body, &part))
		return FRAME_CONDEMNED;
	if (a->bytes == NULL) {
		size_t max =
		        part.type <= UINT16_MAX ? proto_body_max((unsigned)part.type) : SIZE_MAX;
		if (max == SIZE_MAX || part.total > max || part.total <= PROTO_PART_BYTES_MAX)
			return FRAME_CONDEMNED;
		*a = (struct assembly){.bytes = xmalloc(part.total),
		                       .total = part.total,
		                       .type = (unsigned)part.type};
	}
	if (part.type != a->type || part.total != a->total || part.bytes.len == 0 ||
	    part.bytes.len > a->total - a->len)
		return FRAME_CONDEMNED;
	memcpy(a->bytes + a->len, part.bytes.at, part.bytes.len);
	a->len += part.bytes.len;
	return a->len == a->total ? FRAME_WHOLE : FRAME_MORE;
}

/* The verdict on a frame; a part is judged with its whole. */
static enum proto_verdict hand_over(struct peer *peer, unsigned type, struct span body)
{
	if (type != PROTO_TYPE_PART) {
		int fd = type == PROTO_TYPE_PEER ? take_received_fd(peer) : -1;
		return peer->events.on_frame(peer->events.arg, peer, type, body, fd);
	}
	switch (take_part(peer, body)) {
	case FRAME_MORE:
		return PROTO_HANDLED;
	case FRAME_CONDEMNED:
		return PROTO_MALFORMED;
	case FRAME_WHOLE:
		break;
	}
	const struct assembly whole = peer->assembly;
	peer->assembly = (struct assembly){0};
	enum proto_verdict verdict = peer->events.on_frame(peer->events.arg, peer, whole.type,
	                                                   span_of(whole.bytes, whole.len), -1);
	free(whole.bytes);
	return verdict;
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
