#include "supervisor/links.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SENT_MAX = 1024 };

/* ---- buses that only say what was sent ---- */

static struct {
	const struct peer *to;
	struct proto_peer message;
} sent[SENT_MAX];
static size_t sent_count;
static const struct peer *broken; /* takes nothing */

bool peer_send(struct peer *peer, unsigned type, struct span body, int fd)
{
	assert_true(sent_count < SENT_MAX);
	assert_int_equal(type, PROTO_TYPE_PEER);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	sent[sent_count].to = peer;
	assert_true(proto_get_peer(body, &sent[sent_count].message));
	sent_count++;
	return peer != broken;
}

/* ---- children ---- */

static struct child *children;
static struct counters *counters;
static struct events events;
static struct links *links;
static char lines[1024]; /* the names of events */

static void on_event(void *arg, const char *line)
{
	(void)arg;
	json_t *json = json_loads(line, 0, NULL);
	size_t len = strlen(lines);
	snprintf(lines + len, sizeof lines - len, "%s %s %s;",
	         json_string_value(json_object_get(json, "event")),
	         json_string_value(json_object_get(json, "a")),
	         json_string_value(json_object_get(json, "b")));
	json_decref(json);
}

static int begin(void **state)
{
	(void)state;
	children = xcalloc(ROLE_PLACES_COUNT, sizeof *children);
	counters = xcalloc(1, sizeof *counters);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		for (unsigned slot = 0; slot < roles[i].slots; slot++) {
			struct child *c = &children[roles[i].first + slot];
			c->role = &roles[i];
			c->slot = slot;
			c->generation = 1;
			snprintf(c->name, sizeof c->name, "%s-%u", roles[i].name, slot);
		}
	events.on_line = on_event;
	*lines = '\0';
	sent_count = 0;
	broken = NULL;
	links = links_create(children, counters, &events);
	return 0;
}

static int end(void **state)
{
	(void)state;
	links_destroy(&links);
	events_finish(&events);
	free(counters);
	free(children);
	return 0;
}

static struct child *at(enum role_index role, unsigned slot)
{
	return &children[roles[role].first + slot];
}

/* Stands for its bus. */
static struct peer *bus_of(struct child *child)
{
	return (struct peer *)(void *)child->name;
}

static struct child *says_hello(enum role_index role, unsigned slot)
{
	struct child *child = at(role, slot);
	child->said_hello = true;
	child->peer = bus_of(child);
	links_introduce(links, child);
	return child;
}

static bool reports(const struct child *child, const struct child *other, uint64_t link, bool up)
{
	return links_report(links, child,
	                    &(struct proto_link_state){.role = (uint8_t)other->role->bit,
	                                               .slot = other->slot,
	                                               .link = link,
	                                               .up = up});
}

static uint64_t last_link(void)
{
	return sent[sent_count - 1].message.link;
}

/* ---- tests ---- */

static void test_both_are_told_of_each_other(void **state)
{
	(void)state;
	struct child *sse = says_hello(ROLE_INDEX_SSE, 3);
	assert_int_equal(sent_count, 0);
	struct child *bridge = says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_int_equal(sent_count, 2);
	for (size_t i = 0; i < 2; i++) {
		struct child *about = sent[i].to == bus_of(sse) ? bridge : sse;
		assert_int_equal(sent[i].message.role, about->role->bit);
		assert_int_equal(sent[i].message.slot, about->slot);
		assert_int_equal(sent[i].message.link, last_link());
	}
	assert_ptr_not_equal(sent[0].to, sent[1].to);
	assert_true(links_repair(links, UINT64_MAX - 1) == UINT64_MAX);
}

static void test_who_has_not_said_hello_is_told_nothing(void **state)
{
	(void)state;
	struct child *mute = at(ROLE_INDEX_SSE, 0);
	mute->peer = bus_of(mute);
	says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_int_equal(sent_count, 0);
}

static void test_a_link_that_cannot_be_made_is_said_and_made_again(void **state)
{
	(void)state;
	struct child *sse = says_hello(ROLE_INDEX_SSE, 0);
	broken = bus_of(sse);
	struct child *bridge = says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_string_equal(lines, "link-missing sse-0 bridge-0;");
	assert_int_equal(counters->links_missing, 1);
	broken = NULL;
	uint64_t due_ms = links_repair(links, 0);
	assert_int_equal(sent_count, 2); /* it is not due */
	links_repair(links, due_ms);
	assert_int_equal(sent_count, 4);
	assert_false(reports(sse, bridge, last_link(), true));
	assert_int_equal(counters->links_missing, 1); /* one end alone is none */
	assert_false(reports(bridge, sse, last_link(), true));
	assert_int_equal(counters->links_missing, 0);
	assert_string_equal(lines, "link-missing sse-0 bridge-0;link-made-again sse-0 bridge-0;");
	assert_true(links_repair(links, UINT64_MAX - 1) == UINT64_MAX);
}

static void test_a_lost_link_is_made_again_while_both_live(void **state)
{
	(void)state;
	struct child *sse = says_hello(ROLE_INDEX_SSE, 0);
	struct child *bridge = says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_true(reports(sse, bridge, last_link(), false));
	assert_string_equal(lines, ""); /* the other may have died */
	links_repair(links, links_repair(links, 0));
	assert_string_equal(lines, "link-missing sse-0 bridge-0;");
	assert_int_equal(sent_count, 4);
	/* Nobody answers: once more. */
	links_repair(links, links_repair(links, 0));
	assert_int_equal(sent_count, 6);
}

static void test_the_link_of_one_who_died_is_not_missed(void **state)
{
	(void)state;
	struct child *sse = says_hello(ROLE_INDEX_SSE, 0);
	struct child *bridge = says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_true(reports(sse, bridge, last_link(), false));
	bridge->said_hello = false;
	bridge->peer = NULL;
	links_forget(links, bridge);
	assert_true(links_repair(links, UINT64_MAX - 1) == UINT64_MAX);
	assert_string_equal(lines, "");
	says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_int_equal(sent_count, 4);
}

static void test_a_report_of_a_former_link_is_of_no_interest(void **state)
{
	(void)state;
	struct child *sse = says_hello(ROLE_INDEX_SSE, 0);
	struct child *bridge = says_hello(ROLE_INDEX_BRIDGE, 0);
	uint64_t former = last_link();
	says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_true(last_link() != former);
	assert_false(reports(sse, bridge, former, false));
	assert_true(links_repair(links, UINT64_MAX - 1) == UINT64_MAX);
}

static void test_no_more_are_shown_than_there_is_room_for(void **state)
{
	(void)state;
	for (unsigned slot = 0; slot < COUNTERS_LINKS_SHOWN + 4; slot++)
		says_hello(ROLE_INDEX_SSE, slot);
	sent_count = 0;
	broken = bus_of(at(ROLE_INDEX_BRIDGE, 0));
	says_hello(ROLE_INDEX_BRIDGE, 0);
	assert_int_equal(counters->links_missing, COUNTERS_LINKS_SHOWN + 4);
	links_forget(links, at(ROLE_INDEX_BRIDGE, 0));
	assert_int_equal(counters->links_missing, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(both_are_told_of_each_other),
	        TEST(who_has_not_said_hello_is_told_nothing),
	        TEST(a_link_that_cannot_be_made_is_said_and_made_again),
	        TEST(a_lost_link_is_made_again_while_both_live),
	        TEST(the_link_of_one_who_died_is_not_missed),
	        TEST(a_report_of_a_former_link_is_of_no_interest),
	        TEST(no_more_are_shown_than_there_is_room_for),
	};
#undef TEST
	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
