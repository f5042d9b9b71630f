#include "supervisor/links.h"
#include "common/base/check.h"
#include "common/base/clock.h"

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
	struct child *children;
	struct counters *counters;
	struct events *events;
	uint64_t last;
	uint64_t numbers[ROLE_PLACES_COUNT][ROLE_PLACES_COUNT]; /* of the present link; [a][b] */
	struct missing *missing;
	size_t count, room;
};

struct links *links_create(struct child *children, struct counters *counters, struct events *events)
{
	struct links *links = xcalloc(1, sizeof *links);
	links->children = children;
	links->counters = counters;
	links->events = events;
	return links;
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
	return a != b && roles_know_each_other(a->role, b->role);
}

static bool can_be_told(const struct child *child)
{
	return child->said_hello && child->peer != NULL;
}

/* ---- what is missing ---- */

static void show_missing(const struct links *links)
{
	uint32_t count = 0;
	for (size_t i = 0; i < links->count; i++) {
		const struct missing *m = &links->missing[i];
		if (m->said && count++ < COUNTERS_LINKS_SHOWN)
			atomic_store(&links->counters->links_shown[count - 1],
			             (uint32_t)(m->a << 16 | m->b));
	}
	atomic_store(&links->counters->links_missing, count);
}

static void remove_missing(struct links *links, size_t index)
{
	bool said = links->missing[index].said;
	links->missing[index] = links->missing[--links->count];
	if (said)
		show_missing(links);
}

static struct missing *find_missing(const struct links *links, size_t a, size_t b)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->missing[i].a == a && links->missing[i].b == b)
			return &links->missing[i];
	return NULL;
}

static void forget_missing(struct links *links, size_t a, size_t b)
{
	struct missing *m = find_missing(links, a, b);
	if (m != NULL)
		remove_missing(links, (size_t)(m - links->missing));
}

/* In the list until it is made, or one of the two has ended. */
static struct missing *add_missing(struct links *links, size_t a, size_t b, uint64_t due_ms)
{
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

static void emit(struct links *links, enum log_level level, const char *event,
                 const struct missing *m)
{
	events_emit(links->events, level, event,
	            json_pack("{s:s, s:s}", "a", links->children[m->a].name, "b",
	                      links->children[m->b].name));
}

static void say_missing(struct links *links, struct missing *m)
{
	if (m->said)
		return;
	m->said = true;
	show_missing(links);
	emit(links, LOG_LEVEL_WARN, "link-missing", m);
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
static bool join(struct links *links, size_t a, size_t b)
{
	struct child *one = &links->children[a], *other = &links->children[b];
	int ends[2];
	uint64_t link = links->numbers[a][b] = ++links->last;
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

void links_introduce(struct links *links, struct child *newcomer)
{
	size_t new = (size_t)(newcomer - links->children);
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++) {
		struct child *other = &links->children[i];
		size_t a = i < new ? i : new, b = i < new ? new : i;
		if (!can_be_told(other) || !can_be_told(newcomer) || !should_know(newcomer, other))
			continue;
		if (join(links, a, b))
			forget_missing(links, a, b);
		else
			say_missing(links,
			            add_missing(links, a, b, clock_monotonic_ms() + AGAIN_MS));
	}
}

void links_forget(struct links *links, const struct child *gone)
{
	size_t place = (size_t)(gone - links->children);
	for (size_t i = links->count; i-- > 0;)
		if (links->missing[i].a == place || links->missing[i].b == place)
			remove_missing(links, i);
}

/* True: it needs no more care. */
static bool make_again(struct links *links, struct missing *m, uint64_t now_ms)
{
	if (!can_be_told(&links->children[m->a]) || !can_be_told(&links->children[m->b]))
		return true; /* its HELLO introduces it */
	say_missing(links, m);
	m->up = 0;
	m->due_ms = now_ms + (join(links, m->a, m->b) ? ANSWER_MS : AGAIN_MS);
	return false;
}

uint64_t links_repair(struct links *links, uint64_t now_ms)
{
	uint64_t due_ms = UINT64_MAX;
	for (size_t i = links->count; i-- > 0;) {
		struct missing *m = &links->missing[i];
		if (now_ms >= m->due_ms && make_again(links, m, now_ms))
			remove_missing(links, i);
		else
			due_ms = m->due_ms < due_ms ? m->due_ms : due_ms;
	}
	return due_ms;
}

/* ---- what workers report ---- */

static void link_is_up(struct links *links, struct missing *m)
{
	if (m == NULL || ++m->up < 2)
		return; /* the usual: nobody has missed it */
	emit(links, LOG_LEVEL_INFO, "link-made-again", m);
	remove_missing(links, (size_t)(m - links->missing));
}

static void link_is_down(struct links *links, struct missing *m, size_t a, size_t b)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (m == NULL) {
		add_missing(links, a, b, now_ms + LOST_MS);
	} else if (m->said) {
		m->up = 0;
		m->due_ms = now_ms + AGAIN_MS;
	}
}

bool links_report(struct links *links, const struct child *child,
                  const struct proto_link_state *report)
{
	size_t place = (size_t)(child - links->children);
	for (size_t i = 0; i < ROLE_PLACES_COUNT; i++) {
		const struct child *other = &links->children[i];
		size_t a = i < place ? i : place, b = i < place ? place : i;
		if (other->role->bit != report->role || other->slot != report->slot || i == place ||
		    links->numbers[a][b] != report->link)
			continue;
		struct missing *missing = find_missing(links, a, b);
		if (report->up != 0)
			link_is_up(links, missing);
		else
			link_is_down(links, missing, a, b);
		return report->up == 0;
	}
	return false;
}
