#include "supervisor/introduce.h"
#include "common/check.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* SSE workers write and follow the log; bridge and capture do too, and capture tells the bridge how the
 * picture is. */
static bool should_know(const struct child *a, const struct child *b)
{
	return a != b && (a->role != b->role || a->role == ROLE_SSE);
}

static void send_end(struct child *to, const struct child *about, int fd)
{
	uint8_t body[PROTO_MAX_PEER];
	struct writer w = {body, body + sizeof body, true};
	const struct proto_peer message = {.role = (uint8_t)about->role,
	                                   .slot = about->slot,
	                                   .generation = about->generation};
	check(proto_put_peer(&w, &message));
	peer_send(to->peer, PROTO_TYPE_PEER, span_of(body, (size_t)(w.at - body)), fd);
}

void introduce(struct fleet *fleet, struct child *newcomer)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *other = &fleet->children[i];
		int ends[2];
		if (!other->said_hello || other->peer == NULL || newcomer->peer == NULL ||
		    !should_know(newcomer, other))
			continue;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
			log_error("workers not introduced", "a=%s b=%s error=%s", newcomer->name,
			          other->name, strerror(errno));
			return;
		}
		send_end(newcomer, other, ends[0]);
		send_end(other, newcomer, ends[1]);
		close(ends[0]);
		close(ends[1]);
	}
}
