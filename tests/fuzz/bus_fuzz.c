/* The bus with two real peers: they send frames of all sizes, with and without a descriptor, read
 * or do not, destroy one another, drain, and once in a while bytes come between that no peer said.
 * What arrives must be what was sent, whole and in order; between supervisor and worker nothing is
 * missing as long as the peer lives, on a link only what was refused, or larger than a small frame.
 * No descriptor stays open. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/worker/peer.h"
#include "tests/fuzz/http_talk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 300, SENT_MAX = 1024, TEXT_MAX = 60000, TURNS_MAX = 1000 };

static struct talk_input input;
static uv_loop_t loop;
static bool is_link, wild;

static struct side {
	struct peer *peer;
	int raw; /* a second hand on the same socket */
	struct sent {
		size_t len;
		uint8_t mark;
	} sent[SENT_MAX]; /* what the other has not got yet, in order */
	size_t from, count;
	bool destroys; /* within the next frame that it gets */
} sides[2];

static struct side *other_of(struct side *side)
{
	return side == &sides[0] ? &sides[1] : &sides[0];
}

static bool is_the_one(const struct sent *sent, struct span body)
{
	if (sent->len != body.len)
		return false;
	for (size_t i = 8; i < body.len; i++)
		if (body.at[i] != (uint8_t)(sent->mark + i))
			return false;
	return true;
}

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	struct side *side = arg, *sender = other_of(side);
	if (peer != side->peer)
		abort();
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && type != PROTO_TYPE_PEER)
		abort();
	/* On a link what was refused, or handed over and lost, is missing. */
	while (is_link && sender->from < sender->count &&
	       !is_the_one(&sender->sent[sender->from], body))
		sender->from++;
	if (!wild &&
	    (sender->from == sender->count || !is_the_one(&sender->sent[sender->from], body)))
		abort();
	sender->from += sender->from < sender->count;
	if (side->destroys)
		peer_destroy(&side->peer);
	return PROTO_HANDLED;
}

static void on_close(void *arg, struct peer *peer)
{
	struct side *side = arg;
	if (peer != side->peer)
		abort();
	side->peer = NULL;
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

/* A text of the longest kind that a message of the role has; else eight bytes. */
static void send_one(struct side *side, uint8_t what)
{
	static uint8_t body[TEXT_MAX];
	size_t len = what & 0x40 ? 8 : (size_t)talk_byte(&input) * (what & 0x80 ? 200 : 1) + 8;
	unsigned type = what & 0x20 ? PROTO_TYPE_PEER : PROTO_TYPE_CALL;
	uint8_t mark = talk_byte(&input);
	if (side->peer == NULL || side->count == SENT_MAX)
		return;
	if (type == PROTO_TYPE_PEER)
		len = PROTO_MAX_PEER;
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)(mark + i);
	int fd = type == PROTO_TYPE_PEER ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	if (peer_send(side->peer, type, span_of(body, len), fd))
		side->sent[side->count++] = (struct sent){len, mark};
	if (fd >= 0)
		close(fd);
}

static void step(void)
{
	uint8_t what = talk_byte(&input);
	struct side *side = &sides[what & 1];
	switch (what >> 1 & 7) {
	case 0:
		turn();
		break;
	case 1:
		if (what == 0xf2 || what == 0xf3)
			peer_destroy(&side->peer);
		break;
	case 2:
		if (side->peer != NULL && (what & 0x30) == 0)
			peer_drain(side->peer);
		break;
	case 3:
		side->destroys = what >= 0xe0;
		break;
	case 4:
		if (what >= 0xe0 && side->peer != NULL) { /* behind its back */
			struct span bytes = talk_bytes(&input, talk_byte(&input));
			wild = true;
			ssize_t n =
			        send(side->raw, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
			(void)n;
		}
		break;
	default:
		send_one(side, what);
		break;
	}
}

static bool under_way(void)
{
	return sides[0].from != sides[0].count || sides[1].from != sides[1].count;
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int ends[2];
	log_set_level(LOG_LEVEL_ERROR + 1);
	input = (struct talk_input){data, data + size};
	is_link = (talk_byte(&input) & 1) != 0;
	wild = false;
	check(uv_loop_init(&loop) == 0);
	unsigned before = open_descriptors();
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	for (int i = 0; i < 2; i++) {
		const struct peer_events events = {.on_frame = on_frame,
		                                   .on_close = on_close,
		                                   .arg = &sides[i],
		                                   .queue_bytes_max = PEER_QUEUE_BYTES_MIN,
		                                   .link = is_link};
		sides[i] = (struct side){.raw = dup(ends[i])};
		sides[i].peer =
		        peer_create(&loop, ends[i], (struct party){ROLE_SSE, 0, 1}, &events);
	}
	for (int i = 0; i < STEPS_MAX && input.at < input.end; i++)
		step();
	for (int i = 0; i < TURNS_MAX && (i < 10 || under_way()); i++)
		turn();
	for (int i = 0; i < 2; i++)
		if (!is_link && !wild && sides[0].peer != NULL && sides[1].peer != NULL &&
		    sides[i].from != sides[i].count)
			abort(); /* something has not arrived */
	for (int i = 0; i < 2; i++) {
		peer_destroy(&sides[i].peer);
		close(sides[i].raw);
	}
	turn();
	uv_run(&loop, UV_RUN_DEFAULT);
	if (open_descriptors() != before)
		abort();
	check(uv_loop_close(&loop) == 0);
	return 0;
}
