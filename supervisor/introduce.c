#include "supervisor/introduce.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LOST_MS = 200, /* a worker that has died is known to be dead by then, and was not cut off */
	AGAIN_MS = 1000,  /* between attempts that fail */
	ANSWER_MS = 5000, /* both say by then that it has come, or it is made again */
};

/* Two workers, by their place in the fleet, the smaller first. */
struct missing {
	size_t a, b;
	uint64_t due_ms;
	bool said;   /* in /readyz and so on */
	unsigned up; /* how many of the two say that the present link has come */
};

struct links {
	uint64_t last;
	uint64_t numbers[FLEET_CHILDREN_MAX][FLEET_CHILDREN_MAX]; /* of the present link; [a][b] */
	struct missing *missing;
	size_t count, room;
};

struct links *links_create(void)
{
	return xcalloc(1, sizeof(struct links));
}

void links_destroy(struct links **links)
{
	if (*links != NULL)
		free((*links)->missing);
	free(*links);
	*links = NULL;
}

static bool should_know(const struct child *a, const struct child *b)
{
	return a != b && (a->role->knows & b->role->bit) != 0;
}

static bool can_be_told(const struct child *child)
{
	return child->said_hello && child->peer != NULL;
}

/* ---- what is missing ---- */

static void show_missing(struct fleet *fleet)
{
	const struct links *links = fleet->links;
	uint32_t count = 0;
	for (size_t i = 0; i < links->count; i++) {
		const struct missing *m = &links->missing[i];
		if (m->said && count++ < COUNTERS_LINKS_SHOWN)
			atomic_store(&fleet->counters->links_shown[count - 1],
			             (uint32_t)(m->a << 16 | m->b));
	}
	atomic_store(&fleet->counters->links_missing, count);
}

static void remove_missing(struct fleet *fleet, size_t index)
{
	struct links *links = fleet->links;
	bool said = links->missing[index].said;
	links->missing[index] = links->missing[--links->count];
	if (said)
		show_missing(fleet);
}

static struct missing *find_missing(const struct links *links, size_t a, size_t b)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->missing[i].a == a && links->missing[i].b == b)
			return &links->missing[i];
	return NULL;
}

static void forget_missing(struct fleet *fleet, size_t a, size_t b)
{
	struct missing *m = find_missing(fleet->links, a, b);
	if (m != NULL)
		remove_missing(fleet, (size_t)(m - fleet->links->missing));
}

/* In the list until it is made, or one of the two has ended. */
static struct missing *add_missing(struct fleet *fleet, size_t a, size_t b, uint64_t due_ms)
{
	struct links *links = fleet->links;
	struct missing *m = find_missing(links, a, b);
	if (m != NULL)
		return m;
	if (links->count == links->room) {
		links->room = links->room != 0 ? 2 * links->room : 16;
		links->missing = xrealloc(links->missing, links->room * sizeof *m);
	}
	m = &links->missing[links->count++];
	*m = (struct missing){.a = a, .b = b, .due_ms = due_ms};
	return m;
}

static void emit(struct fleet *fleet, enum log_level level, const char *event,
                 const struct missing *m)
{
	events_emit(fleet->events, level, event,
	            json_pack("{s:s, s:s}", "a", fleet->children[m->a].name, "b",
	                      fleet->children[m->b].name));
}

static void say_missing(struct fleet *fleet, struct missing *m)
{
	if (m->said)
		return;
	m->said = true;
	show_missing(fleet);
	emit(fleet, LOG_LEVEL_WARN, "link-missing", m);
}

/* ---- making them ---- */

static bool send_end(struct child *to, const struct child *about, uint64_t link, int fd)
{
	uint8_t body[PROTO_MAX_PEER];
	struct writer w = {body, body + sizeof body, true};
	const struct proto_peer message = {.role = (uint8_t)about->role->bit,
	                                   .slot = about->slot,
	                                   .generation = about->generation,
	                                   .link = link};
	check(proto_put_peer(&w, &message));
	return peer_send(to->peer, PROTO_TYPE_PEER, span_of(body, (size_t)(w.at - body)), fd);
}

/* False: it is missing. An end that was sent alone is closed by this, which its receiver reports.
 */
static bool join(struct fleet *fleet, size_t a, size_t b)
{
	struct child *one = &fleet->children[a], *other = &fleet->children[b];
	int ends[2];
	uint64_t link = fleet->links->numbers[a][b] = ++fleet->links->last;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		log_error("workers not introduced", "a=%s b=%s error=\"%s\"", one->name,
		          other->name, strerror(errno));
		return false;
	}
	bool sent = send_end(one, other, link, ends[0]);
	sent = send_end(other, one, link, ends[1]) && sent;
	close(ends[0]);
	close(ends[1]);
	return sent;
}

void introduce(struct fleet *fleet, struct child *newcomer)
{
	size_t new = (size_t)(newcomer - fleet->children);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *other = &fleet->children[i];
		size_t a = i < new ? i : new, b = i < new ? new : i;
		if (!can_be_told(other) || !can_be_told(newcomer) || !should_know(newcomer, other))
			continue;
		if (join(fleet, a, b))
			forget_missing(fleet, a, b);
		else
			say_missing(fleet,
			            add_missing(fleet, a, b, clock_monotonic_ms() + AGAIN_MS));
	}
}

void introduce_forget(struct fleet *fleet, const struct child *gone)
{
	size_t place = (size_t)(gone - fleet->children);
	for (size_t i = fleet->links->count; i-- > 0;)
		if (fleet->links->missing[i].a == place || fleet->links->missing[i].b == place)
			remove_missing(fleet, i);
}

/* True: it needs no more care. */
static bool make_again(struct fleet *fleet, struct missing *m, uint64_t now_ms)
{
	if (!can_be_told(&fleet->children[m->a]) || !can_be_told(&fleet->children[m->b]))
		return true; /* its HELLO introduces it */
	say_missing(fleet, m);
	m->up = 0;
	m->due_ms = now_ms + (join(fleet, m->a, m->b) ? ANSWER_MS : AGAIN_MS);
	return false;
}

uint64_t introduce_again(struct fleet *fleet, uint64_t now_ms)
{
	uint64_t due_ms = UINT64_MAX;
	for (size_t i = fleet->links->count; i-- > 0;) {
		struct missing *m = &fleet->links->missing[i];
		if (now_ms >= m->due_ms && make_again(fleet, m, now_ms))
			remove_missing(fleet, i);
		else
			due_ms = m->due_ms < due_ms ? m->due_ms : due_ms;
	}
	return due_ms;
}

/* ---- what workers report ---- */

static void link_is_up(struct fleet *fleet, struct missing *m)
{
	if (m == NULL || ++m->up < 2)
		return; /* the usual: nobody has missed it */
	emit(fleet, LOG_LEVEL_INFO, "link-made-again", m);
	remove_missing(fleet, (size_t)(m - fleet->links->missing));
}

static void link_is_down(struct fleet *fleet, struct missing *m, size_t a, size_t b)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (m == NULL) {
		add_missing(fleet, a, b, now_ms + LOST_MS);
	} else if (m->said) {
		m->up = 0;
		m->due_ms = now_ms + AGAIN_MS;
	}
	fleet_step(fleet);
}

void on_link_state(struct child *child, const struct party *from, const struct proto_link_state *m)
{
	(void)from;
	struct fleet *fleet = child->fleet;
	size_t place = (size_t)(child - fleet->children);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *other = &fleet->children[i];
		size_t a = i < place ? i : place, b = i < place ? place : i;
		if (other->role->bit != m->role || other->slot != m->slot || i == place ||
		    fleet->links->numbers[a][b] != m->link)
			continue;
		struct missing *missing = find_missing(fleet->links, a, b);
		if (m->up != 0)
			link_is_up(fleet, missing);
		else
			link_is_down(fleet, missing, a, b);
		return;
	}
}
