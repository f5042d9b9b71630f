#include "common/domain/connection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define CID "cid-123e4567-e89b-12d3-a456-426614174000"

enum {
	WAIT_MS = 60000,
	SUSPENDED_MS = 120000,
	BEGIN_MS = 1000000,
	WINDOW_MS = 10000,
	TAKEOVERS = 3,
	MAX = 4,
};

static struct connection_opening opening(uint64_t now_ms)
{
	return (struct connection_opening){.cid = CID,
	                                   .subject = "me",
	                                   .slot = 1,
	                                   .worker = 7,
	                                   .now_ms = now_ms,
	                                   .takeovers_max = TAKEOVERS,
	                                   .takeovers_window_ms = WINDOW_MS};
}

static struct connection opened(uint64_t now_ms)
{
	struct connection c;
	bool took_over;
	struct connection_opening o = opening(now_ms);
	assert_int_equal(connection_open(&c, false, &o, &took_over), CONNECTION_DONE);
	assert_false(took_over);
	return c;
}

static void again(struct connection *c, uint64_t now_ms)
{
	bool took_over;
	struct connection_opening o = opening(now_ms);
	assert_int_equal(connection_open(c, true, &o, &took_over), CONNECTION_DONE);
}

static void cids_are_uuids_of_any_version(void **state)
{
	static const char *const good[] = {
	        CID, "cid-123E4567-e89B-42d3-A456-426614174000", /* case, version 4 */
	        "CID-017f22e2-79b0-7cc3-98c4-dc0c0c07398f",      /* version 7 */
	        "cid-00000000-0000-0000-0000-000000000000"};
	static const char *const bad[] = {"",
	                                  "cid-",
	                                  "123e4567-e89b-12d3-a456-426614174000",
	                                  "conn-123e4567-e89b-12d3-a456-42661417400",
	                                  "cid-123e4567-e89b-12d3-a456-42661417400",
	                                  "cid-123e4567-e89b-12d3-a456-4266141740000",
	                                  "cid-123e4567-e89b-12d3-a456-42661417400g",
	                                  "cid-------------------------------------",
	                                  "cid_123e4567-e89b-12d3-a456-426614174000",
	                                  "cid-123e4567:e89b-12d3-a456-426614174000",
	                                  "cid-123e4567-e89b-12d3-a456-42661417400 "};
	char out[CONNECTION_CID_ROOM], key[CONNECTION_KEY_ROOM];
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(connection_cid_read(span_str(good[i]), out));
		for (const char *c = out; *c != '\0'; c++)
			assert_true(*c < 'A' || *c > 'Z');
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(connection_cid_read(span_str(bad[i]), out));
	assert_false(connection_cid_read(span_of(CID "\0", CONNECTION_CID_LEN + 1), out));
	const uint8_t random[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	connection_cid_make(random, out);
	assert_string_equal(out, "cid-ffffffff-ffff-4fff-bfff-ffffffffffff");
	uint8_t id[CONNECTION_ID_BYTES];
	connection_cid_bytes(CID, id);
	assert_int_equal(id[0], 0x12);
	assert_int_equal(id[10], 0x42);
	connection_cid_print(id, out);
	assert_string_equal(out, CID);
	assert_true(connection_key_cid(connection_key(CID, key), out));
	assert_string_equal(out, CID);
	assert_false(connection_key_cid(SPAN("connection/x"), out));
	assert_false(connection_key_cid(SPAN("connection/CID-123e4567-e89b-12d3-a456-426614174000"),
	                                out));
	assert_false(connection_key_cid(SPAN("conversation/" CID), out));
}

static void rows_come_back_as_they_were(void **state)
{
	struct connection c = opened(BEGIN_MS), back;
	(void)state;
	connection_watch_one(&c, "one", true, 5, MAX);
	connection_switch(&c, "two", false, 9, MAX);
	connection_suspend(&c, NULL, 0, BEGIN_MS, SUSPENDED_MS);
	char *text = connection_text(&c);
	assert_int_equal(connection_read(&back, span_str(text)), ROW_PRESENT);
	char *again_text = connection_text(&back);
	assert_string_equal(text, again_text);
	assert_int_equal(back.count, 2);
	assert_string_equal(back.watches[1].id, "two");
	assert_string_equal(back.active, "two");
	assert_true(back.open && back.suspended);
	assert_int_equal(back.generation, BEGIN_MS);
	free(text);
	free(again_text);
	connection_finish(&back);
	connection_finish(&c);
	static const char *const bad[] = {
	        "",
	        "{}",
	        "[]",
	        "7",
	        "{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":1}",
	        "{\"cid\":\"" CID "\",\"generation\":0,\"slot\":0,\"worker\":1,\"revision\":1,"
	        "\"watches\":[]}",
	        "{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":0,"
	        "\"watches\":[]}",
	        "{\"cid\":\"x\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":1,"
	        "\"watches\":[]}",
	        "{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":1,"
	        "\"watches\":[{\"id\":\"a b\",\"from\":0,\"since\":1}]}",
	        "{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":1,"
	        "\"watches\":[{\"id\":\"a\",\"since\":1}]}",
	        "{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,\"worker\":1,\"revision\":1,"
	        "\"watches\":[7]}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(connection_read(&back, span_str(bad[i])), ROW_UNREADABLE);
	assert_int_equal(
	        connection_read(&back,
	                        SPAN("{\"cid\":\"" CID "\",\"generation\":1,\"slot\":0,"
	                             "\"worker\":1,\"revision\":1,\"watches\":[],\"new\":1}")),
	        ROW_PRESENT);
	connection_finish(&back);
}

static void it_is_whose_it_was(void **state)
{
	struct connection c = opened(BEGIN_MS);
	char digest[CONNECTION_SUBJECT_ROOM];
	(void)state;
	assert_true(connection_is_of(&c, "me", (struct span){0}));
	assert_false(connection_is_of(&c, "you", (struct span){0}));
	assert_false(connection_is_of(&c, "", (struct span){0}));
	memset(digest, 'a', sizeof digest - 1);
	digest[sizeof digest - 1] = '\0';
	memcpy(c.subject, digest, sizeof digest);
	assert_false(connection_is_of(&c, "me", (struct span){0}));
	assert_true(connection_is_of(&c, "me", span_str(digest)));
	connection_finish(&c);
}

/* A close, an expiry, a hold of a generation that is over change nothing. */
static void whatever_is_late_changes_nothing(void **state)
{
	struct connection c = opened(BEGIN_MS);
	uint64_t first = c.generation;
	(void)state;
	connection_watch_one(&c, "one", true, 5, MAX);
	again(&c, BEGIN_MS);
	uint64_t second = c.generation;
	assert_true(second > first);
	assert_int_equal(c.count, 0);
	assert_int_equal(connection_close(&c, first, BEGIN_MS, WAIT_MS, SUSPENDED_MS),
	                 CONNECTION_STALE);
	assert_true(c.open);
	assert_int_equal(connection_expire(&c, first, BEGIN_MS + 10 * WAIT_MS), CONNECTION_STALE);
	assert_int_equal(connection_expire(&c, second, BEGIN_MS + 10 * WAIT_MS), CONNECTION_STALE);
	assert_int_equal(connection_hold(&c, first), CONNECTION_STALE);
	assert_int_equal(connection_hold(&c, second), CONNECTION_SAME);
	assert_int_equal(connection_lose(&c, 1, 8, BEGIN_MS, WAIT_MS), CONNECTION_STALE);
	assert_int_equal(connection_lose(&c, 2, 7, BEGIN_MS, WAIT_MS), CONNECTION_STALE);
	assert_int_equal(connection_close(&c, second, BEGIN_MS, WAIT_MS, SUSPENDED_MS),
	                 CONNECTION_DONE);
	assert_int_equal(connection_close(&c, second, BEGIN_MS, WAIT_MS, SUSPENDED_MS),
	                 CONNECTION_STALE);
	assert_int_equal(connection_lose(&c, 1, 7, BEGIN_MS, WAIT_MS), CONNECTION_STALE);
	assert_int_equal(connection_expire(&c, second, BEGIN_MS + WAIT_MS - 1), CONNECTION_EARLY);
	assert_int_equal(connection_expire(&c, second, BEGIN_MS + WAIT_MS), CONNECTION_DONE);
	assert_int_equal(connection_hold(&c, second), CONNECTION_DONE); /* it has it all the same */
	assert_true(c.open);
	assert_int_equal(connection_lose(&c, 1, 7, BEGIN_MS, WAIT_MS), CONNECTION_DONE);
	connection_finish(&c);
}

/* What happens when the second stream begins `gap` before or behind the first one's end, whatever
 * is told first. */
static void every_order_and_every_gap(void **state)
{
	(void)state;
	for (uint64_t gap_ms = 0; gap_ms <= 70000; gap_ms += 500) {
		for (unsigned order = 0; order < 4; order++) {
			bool close_first = (order & 1) != 0, resumes = (order & 2) != 0, took_over;
			struct connection c = opened(BEGIN_MS);
			uint64_t first = c.generation, close_at = BEGIN_MS + 1000,
			         open_at = close_first ? close_at + gap_ms : close_at;
			connection_watch_one(&c, "one", true, 5, MAX);
			const struct connection_watch place = {.id = "one", .from = 8};
			struct connection_opening o = opening(open_at);
			o.resumes = resumes;
			o.revision = c.revision;
			o.places = &place;
			o.places_count = 1;
			bool there = true;
			if (close_first) {
				assert_int_equal(connection_close(&c, first, close_at, WAIT_MS,
				                                  SUSPENDED_MS),
				                 CONNECTION_DONE);
				enum connection_verdict expired =
				        connection_expire(&c, first, open_at);
				assert_int_equal(expired == CONNECTION_DONE, gap_ms >= WAIT_MS);
				there = expired != CONNECTION_DONE;
				if (!there)
					connection_finish(&c);
			}
			assert_int_equal(connection_open(&c, there, &o, &took_over),
			                 CONNECTION_DONE);
			assert_int_equal(took_over, !close_first);
			assert_true(c.generation > first);
			/* The late end of the first, and the timers that it had set. */
			assert_int_equal(connection_close(&c, first, open_at + gap_ms, WAIT_MS,
			                                  SUSPENDED_MS),
			                 CONNECTION_STALE);
			for (uint64_t late = 0; late <= 140000; late += 70000)
				assert_int_equal(connection_expire(&c, first, open_at + late),
				                 CONNECTION_STALE);
			assert_true(c.open);
			assert_int_equal(c.count, resumes ? 1 : 0);
			if (resumes)
				assert_int_equal(c.watches[0].from, 8);
			connection_finish(&c);
		}
	}
}

static void what_is_watched_is_what_was_stated(void **state)
{
	struct connection c = opened(BEGIN_MS);
	const struct connection_watch set[] = {{.id = "b", .from = 7}, {.id = "c", .from = 1}};
	(void)state;
	assert_int_equal(connection_watch_one(&c, "a", false, 3, MAX), CONNECTION_DONE);
	assert_int_equal(connection_watch_one(&c, "b", true, 4, MAX), CONNECTION_DONE);
	assert_int_equal(connection_watch_one(&c, "b", false, 99, MAX), CONNECTION_SAME);
	assert_int_equal(connection_find(&c, "b")->from, 4);
	uint64_t revision = c.revision, since = connection_find(&c, "b")->since;
	assert_int_equal(connection_state(&c, set, 2, MAX), CONNECTION_DONE);
	assert_int_equal(c.revision, revision + 1);
	assert_int_equal(c.stated, c.revision);
	assert_int_equal(c.count, 2);
	assert_null(connection_find(&c, "a"));
	/* More of the same watch is believed; a stream that stands further on goes on there. */
	assert_int_equal(connection_find(&c, "b")->from, 7);
	assert_int_equal(connection_find(&c, "b")->since, since);
	assert_false(connection_moves(connection_find(&c, "b"), since, 7));
	assert_false(connection_moves(connection_find(&c, "b"), since, 10));
	assert_true(connection_moves(connection_find(&c, "b"), since, 6));
	/* Less is said by whoever has not got it: it begins anew. */
	assert_int_equal(connection_watch_one(&c, "b", true, 2, MAX), CONNECTION_DONE);
	assert_true(connection_moves(connection_find(&c, "b"), since, 10));
	assert_int_equal(connection_state(&c, NULL, 0, MAX), CONNECTION_DONE);
	assert_int_equal(c.count, 0);
	for (unsigned i = 0; i < MAX; i++) {
		const char id[] = {(char)('p' + i), '\0'};
		assert_int_equal(connection_watch_one(&c, id, false, 1, MAX), CONNECTION_DONE);
	}
	assert_int_equal(connection_watch_one(&c, "more", false, 1, MAX), CONNECTION_FULL);
	assert_int_equal(connection_unwatch(&c, "q"), CONNECTION_DONE);
	assert_int_equal(connection_unwatch(&c, "q"), CONNECTION_SAME);
	assert_string_equal(c.watches[1].id, "r");
	assert_int_equal(c.count, MAX - 1);
	assert_int_equal(connection_state(&c, c.watches, MAX + 1, MAX), CONNECTION_FULL);
	connection_finish(&c);
}

static void one_is_in_the_foreground(void **state)
{
	struct connection c = opened(BEGIN_MS);
	(void)state;
	assert_int_equal(connection_switch(&c, "a", false, 3, 2), CONNECTION_DONE);
	assert_string_equal(c.active, "a");
	assert_int_equal(connection_watch_one(&c, "b", false, 1, 2), CONNECTION_DONE);
	/* The one before goes, so there is room for its successor. */
	assert_int_equal(connection_switch(&c, "c", false, 3, 2), CONNECTION_DONE);
	assert_null(connection_find(&c, "a"));
	assert_int_equal(c.count, 2);
	assert_int_equal(connection_switch(&c, "b", false, 0, 2), CONNECTION_DONE);
	assert_int_equal(c.count, 1);
	assert_int_equal(connection_find(&c, "b")->from, 1);
	assert_int_equal(c.switched, c.revision);
	assert_int_equal(connection_switch(&c, NULL, false, 0, 2), CONNECTION_DONE);
	assert_int_equal(c.count, 0);
	assert_string_equal(c.active, "");
	connection_watch_one(&c, "x", false, 1, 2);
	connection_watch_one(&c, "y", false, 1, 2);
	assert_int_equal(connection_switch(&c, "z", false, 1, 2), CONNECTION_FULL);
	assert_int_equal(c.count, 2);
	connection_switch(&c, "x", false, 1, 2);
	connection_unwatch(&c, "x");
	assert_string_equal(c.active, "");
	connection_finish(&c);
}

static void sleep_waits_longer(void **state)
{
	struct connection c = opened(BEGIN_MS);
	const struct connection_watch places[] = {{.id = "a", .from = 9}, {.id = "n", .from = 1}};
	(void)state;
	connection_watch_one(&c, "a", true, 5, MAX);
	connection_suspend(&c, places, 2, BEGIN_MS, SUSPENDED_MS);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.watches[0].from, 9);
	connection_close(&c, c.generation, BEGIN_MS, WAIT_MS, SUSPENDED_MS);
	assert_int_equal(c.due_ms, BEGIN_MS + SUSPENDED_MS);
	connection_suspend(&c, places, 0, BEGIN_MS + 5, SUSPENDED_MS); /* said again */
	assert_int_equal(c.due_ms, BEGIN_MS + 5 + SUSPENDED_MS);
	again(&c, BEGIN_MS + 10);
	assert_false(c.suspended);
	connection_finish(&c);
}

static void two_that_take_it_from_each_other_are_parted(void **state)
{
	struct connection c = opened(BEGIN_MS);
	bool took_over;
	(void)state;
	for (unsigned i = 1; i <= TAKEOVERS; i++)
		again(&c, BEGIN_MS + i);
	struct connection_opening o = opening(BEGIN_MS + 100);
	uint64_t generation = c.generation;
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_CONTESTED);
	assert_int_equal(c.generation, generation);
	/* One whose stream had ended takes it from nobody. */
	connection_close(&c, c.generation, BEGIN_MS + 200, WAIT_MS, SUSPENDED_MS);
	again(&c, BEGIN_MS + 300);
	/* Later it is another matter. */
	o = opening(BEGIN_MS + 1 + WINDOW_MS);
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(c.takeovers, 1);
	connection_finish(&c);
}

static void a_position_is_of_its_revision(void **state)
{
	struct connection c = opened(BEGIN_MS);
	bool took_over;
	(void)state;
	connection_watch_one(&c, "a", true, 5, MAX);
	const struct connection_watch places[] = {{.id = "a", .from = 50}, {.id = "b", .from = 7}};
	struct connection_opening o = opening(BEGIN_MS + 1);
	o.resumes = true;
	o.places = places;
	o.places_count = 2;
	o.revision = c.revision;
	/* Watched anew from further back, and the client has not heard of it: it is from there. */
	connection_unwatch(&c, "a");
	connection_watch_one(&c, "a", true, 20, MAX);
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.watches[0].from, 20);
	o.revision = c.revision;
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(c.watches[0].from, 50);
	connection_finish(&c);
	/* Of a row that has expired it is all there is. A revision that was made up is none. */
	o.revision = UINT64_MAX;
	assert_int_equal(connection_open(&c, false, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(c.count, 2);
	assert_int_equal(c.revision, BEGIN_MS + 1);
	connection_finish(&c);
}

static void what_was_told_as_not_watched_is_not(void **state)
{
	struct connection c = opened(BEGIN_MS);
	bool took_over;
	(void)state;
	connection_watch_one(&c, "a", true, 5, MAX);
	connection_watch_one(&c, "b", true, 5, MAX);
	const struct connection_watch place = {.id = "b", .from = 7};
	struct connection_opening o = opening(BEGIN_MS + 1);
	o.resumes = true;
	o.places = &place;
	o.places_count = 1;
	o.revision = c.revision;
	/* A place that stands for nothing any more may have been "a": it stays, to be told. */
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(c.count, 2);
	/* Else "a" had none; what came behind the position is not in it, and stays. */
	connection_watch_one(&c, "n", true, 1, MAX);
	o.whole = true;
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_null(connection_find(&c, "a"));
	assert_non_null(connection_find(&c, "b"));
	assert_non_null(connection_find(&c, "n"));
	/* The stream says it itself, of what it was told of and of its own generation. */
	struct connection_watch told[2] = {*connection_find(&c, "b"), *connection_find(&c, "n")};
	told[1].since++;
	assert_int_equal(connection_told(&c, c.generation - 1, told, 2), CONNECTION_STALE);
	assert_int_equal(connection_told(&c, c.generation, told, 2), CONNECTION_DONE);
	assert_int_equal(connection_told(&c, c.generation, told, 2), CONNECTION_SAME);
	assert_int_equal(c.count, 1);
	assert_string_equal(c.watches[0].id, "n");
	connection_finish(&c);
}

/* As a stream that begins without a position. */
static void begins_anew(struct connection *c, uint64_t now_ms)
{
	const struct connection_opening o = opening(now_ms);
	bool took_over;
	assert_int_equal(connection_open(c, true, &o, &took_over), CONNECTION_DONE);
}

static void cursors_count_in_a_lineage(void **state)
{
	static const char old_row[] =
	        "{\"cid\":\"cid-0193a1c2-7b3d-4abc-8def-0123456789ab\",\"generation\":7,"
	        "\"slot\":0,\"worker\":1,\"openedMs\":1,\"revision\":9,"
	        "\"watches\":[{\"id\":\"a\",\"from\":5,\"since\":9}]}";
	struct connection c, back;
	bool took_over;
	(void)state;
	/* A row of a release before knows of none; it is known when it has been told. */
	assert_int_equal(connection_read(&c, span_str(old_row)), ROW_PRESENT);
	assert_int_equal(connection_lineage(&c, "a"), 0);
	struct connection_watch told = {.id = "a", .from = 1, .since = 9, .lineage = 3};
	assert_int_equal(connection_told(&c, 7, &told, 1), CONNECTION_DONE);
	assert_int_equal(connection_told(&c, 7, &told, 1), CONNECTION_SAME);
	assert_int_equal(connection_lineage(&c, "a"), 3);
	assert_int_equal(c.watches[0].from, 5);
	/* Of another it counts from where it was told. */
	told.lineage = 4;
	assert_int_equal(connection_told(&c, 7, &told, 1), CONNECTION_DONE);
	assert_int_equal(c.watches[0].from, 1);
	/* A stream that has nothing forgets it no sooner than its client states what it has. */
	begins_anew(&c, BEGIN_MS);
	begins_anew(&c, BEGIN_MS + 1);
	char *text = connection_text(&c);
	assert_int_equal(connection_read(&back, span_str(text)), ROW_PRESENT);
	free(text);
	assert_int_equal(back.count, 0);
	assert_int_equal(connection_lineage(&back, "a"), 4);
	connection_finish(&back);
	assert_int_equal(connection_state(&c, &told, 1, MAX), CONNECTION_DONE);
	assert_int_equal(c.before_count, 0);
	/* A position without it, of which something is gone: it counts in what is not there. */
	struct connection_opening o = opening(BEGIN_MS + 2);
	o.resumes = true;
	o.revision = c.revision;
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_not_equal(connection_lineage(&c, "a"), 4);
	assert_int_not_equal(connection_lineage(&c, "a"), 0);
	/* One that has it in another stream is believed there. */
	const struct connection_watch place = {.id = "a", .from = 0, .lineage = 8};
	o.places = &place;
	o.places_count = 1;
	assert_int_equal(connection_open(&c, true, &o, &took_over), CONNECTION_DONE);
	assert_int_equal(connection_lineage(&c, "a"), 8);
	assert_int_equal(c.watches[0].from, 0);
	/* Watched anew is not what was watched. */
	connection_leave_other(&c, "a", 8);
	assert_int_equal(c.count, 1);
	connection_leave_other(&c, "a", 9);
	assert_int_equal(c.count, 0);
	connection_finish(&c);
}

/* ---- everything at once: two workers, one client, what is late in any order ---- */

enum { SESSIONS = 5, STREAMS = 6, ITEMS = 4096, STEPS = 8000, SEEDS = 1500 };

struct place {
	bool there;
	uint64_t position, since;
};

/* What a stream says: an event, or what is watched from here on. Each has the id that a browser
 * would send back. */
struct item {
	bool event, superseded;
	unsigned session;
	uint64_t position;
	uint64_t revision;
	struct place id[SESSIONS];
};

struct stream_of {
	bool live;   /* its worker has it */
	bool closed; /* its end is to be told */
	uint32_t slot;
	uint64_t worker, generation, revision;
	struct place places[SESSIONS];
	size_t head, tail;
	struct item items[ITEMS];
};

struct world {
	uint64_t dice, now_ms;
	bool there;
	struct connection row;
	uint64_t tails[SESSIONS];
	uint64_t workers[2];
	struct stream_of streams[STREAMS];
	/* The client. */
	struct stream_of *current; /* NULL: it has none */
	bool has_id, stated;
	uint64_t id_revision;
	struct place id[SESSIONS];
	struct place wants[SESSIONS]; /* position: what it has */
	uint64_t leaving[SESSIONS];   /* not wanted, but until this revision is heard of it comes */
	uint64_t expiries[16];        /* timers that are set: generations */
	size_t expiries_count;
	size_t events, stale, takeovers, expired;
};

static uint64_t roll(struct world *w, uint64_t below)
{
	w->dice = w->dice * 6364136223846793005u + 1442695040888963407u;
	return (w->dice >> 33) % below;
}

static const char *name_of(unsigned session)
{
	static const char *const names[SESSIONS] = {"a", "b", "c", "d", "e"};
	return names[session];
}

static void say(struct stream_of *s, struct item item)
{
	item.revision = s->revision;
	memcpy(item.id, s->places, sizeof item.id);
	assert_true(s->tail < ITEMS);
	s->items[s->tail++] = item;
}

/* What a worker does when it hears that the row has changed. */
static void project(struct world *w, struct stream_of *s)
{
	if (!w->there || w->row.generation != s->generation) {
		say(s, (struct item){.superseded = true});
		s->live = false;
		s->closed = true;
		return;
	}
	if (connection_hold(&w->row, s->generation) == CONNECTION_DONE)
		assert_true(w->row.open);
	for (unsigned i = 0; i < SESSIONS; i++) {
		const struct connection_watch *watch = connection_find(&w->row, name_of(i));
		struct place *place = &s->places[i];
		if (watch == NULL)
			place->there = false;
		else if (!place->there || connection_moves(watch, place->since, place->position))
			*place = (struct place){true, watch->from, watch->since};
	}
	s->revision = w->row.revision;
	say(s, (struct item){0});
}

static void client_opens(struct world *w, bool with_id)
{
	struct stream_of *s = NULL;
	struct connection_watch places[SESSIONS];
	size_t count = 0;
	bool took_over;
	for (unsigned i = 0; i < STREAMS; i++)
		if (!w->streams[i].live && !w->streams[i].closed)
			s = &w->streams[i];
	if (s == NULL)
		return;
	if (w->current != NULL && roll(w, 2) == 0)
		w->current->closed =
		        true; /* noticed by and by; else the worker thinks it is there */
	struct connection_opening o = opening(w->now_ms);
	o.takeovers_max = UINT32_MAX;
	o.slot = (uint32_t)roll(w, 2);
	o.worker = w->workers[o.slot];
	o.resumes = with_id && w->has_id;
	o.revision = w->id_revision;
	for (unsigned i = 0; i < SESSIONS; i++)
		if (w->id[i].there) {
			places[count] = (struct connection_watch){.from = w->id[i].position};
			strcpy(places[count++].id, name_of(i));
		}
	o.places = places;
	o.places_count = count;
	o.whole = true;
	bool was_there = w->there;
	assert_int_equal(connection_open(&w->row, w->there, &o, &took_over), CONNECTION_DONE);
	w->there = true;
	w->takeovers += took_over;
	s->live = true;
	s->closed = false;
	s->slot = o.slot;
	s->worker = o.worker;
	s->generation = w->row.generation;
	s->head = s->tail = 0;
	memset(s->places, 0, sizeof s->places);
	project(w, s);
	w->current = s;
	memset(w->leaving, 0, sizeof w->leaving);
	/* What had expired is what the id says: that may be more than is wanted by now. */
	w->stated = w->stated && o.resumes && was_there;
	if (!o.resumes)
		w->has_id = false;
	for (unsigned i = 0; i < SESSIONS; i++)
		if (s->places[i].there && !w->wants[i].there) {
			assert_false(w->stated);
			w->leaving[i] = UINT64_MAX;
		}
}

static void client_states(struct world *w)
{
	struct connection_watch set[SESSIONS];
	size_t count = 0;
	if (!w->there)
		return;
	for (unsigned i = 0; i < SESSIONS; i++)
		if (w->wants[i].there) {
			set[count] = (struct connection_watch){.from = w->wants[i].position};
			strcpy(set[count++].id, name_of(i));
		}
	for (unsigned i = 0; i < SESSIONS; i++)
		if (connection_find(&w->row, name_of(i)) != NULL && !w->wants[i].there)
			w->leaving[i] = w->row.revision + 1;
	assert_int_equal(connection_state(&w->row, set, count, SESSIONS), CONNECTION_DONE);
	w->stated = true;
}

static void client_changes(struct world *w)
{
	unsigned i = (unsigned)roll(w, SESSIONS);
	if (!w->there || !w->stated)
		return;
	switch (roll(w, 3)) {
	case 0:
		if (w->leaving[i] != 0)
			return; /* it waits until it is heard of */
		if (connection_watch_one(&w->row, name_of(i), false, w->tails[i], SESSIONS) ==
		    CONNECTION_DONE)
			w->wants[i] = (struct place){true, w->tails[i], 0};
		break;
	case 1:
		if (connection_unwatch(&w->row, name_of(i)) == CONNECTION_DONE)
			w->leaving[i] = w->row.revision;
		w->wants[i].there = false;
		break;
	default:
		client_states(w);
	}
}

/* The end of what is on its way for a session is the item that does not list it. */
static void client_reads(struct world *w)
{
	struct stream_of *s = w->current;
	if (s == NULL || s->head == s->tail)
		return;
	const struct item *item = &s->items[s->head++];
	if (item->superseded) {
		w->current = NULL;
		return;
	}
	w->has_id = true;
	w->id_revision = item->revision;
	memcpy(w->id, item->id, sizeof w->id);
	for (unsigned i = 0; i < SESSIONS; i++)
		if (!item->id[i].there && item->revision >= w->leaving[i])
			w->leaving[i] = 0;
	if (!item->event)
		return;
	struct place *mine = &w->wants[item->session];
	if (w->leaving[item->session] != 0)
		return;
	assert_true(mine->there);
	assert_int_equal(item->position, mine->position + 1); /* none lost, none twice */
	mine->position = item->position;
	w->events++;
}

static void worker_serves(struct world *w, struct stream_of *s)
{
	unsigned i = (unsigned)roll(w, SESSIONS);
	struct place *place = &s->places[i];
	if (!s->live || !place->there || place->position >= w->tails[i] || s->tail >= ITEMS - 64)
		return;
	place->position++;
	say(s, (struct item){.event = true, .session = i, .position = place->position});
}

static void worker_hears(struct world *w, struct stream_of *s)
{
	if (s->live && s->tail < ITEMS - 64 &&
	    (!w->there || w->row.generation != s->generation || w->row.revision > s->revision ||
	     !w->row.open))
		project(w, s);
}

static void worker_closes(struct world *w, struct stream_of *s)
{
	if (!s->closed)
		return;
	s->closed = s->live = false;
	if (w->current == s)
		w->current = NULL;
	if (!w->there)
		return;
	enum connection_verdict verdict =
	        connection_close(&w->row, s->generation, w->now_ms, WAIT_MS, SUSPENDED_MS);
	w->stale += verdict == CONNECTION_STALE;
	if (verdict == CONNECTION_DONE && w->expiries_count < 16)
		w->expiries[w->expiries_count++] = s->generation;
}

static void timer_fires(struct world *w)
{
	if (w->expiries_count == 0)
		return;
	size_t which = roll(w, w->expiries_count);
	uint64_t generation = w->expiries[which];
	enum connection_verdict verdict =
	        w->there ? connection_expire(&w->row, generation, w->now_ms) : CONNECTION_STALE;
	if (verdict == CONNECTION_EARLY)
		return;
	w->expiries[which] = w->expiries[--w->expiries_count];
	w->stale += verdict == CONNECTION_STALE;
	if (verdict != CONNECTION_DONE)
		return;
	w->expired++;
	w->there = false;
	connection_finish(&w->row);
}

static void worker_dies(struct world *w)
{
	unsigned slot = (unsigned)roll(w, 2);
	uint64_t died = w->workers[slot]++;
	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream_of *s = &w->streams[i];
		if (s->slot != slot || s->worker != died)
			continue;
		s->live = s->closed = false;
		if (w->current == s)
			w->current = NULL;
	}
	if (w->there &&
	    connection_lose(&w->row, slot, died, w->now_ms, WAIT_MS) == CONNECTION_DONE &&
	    w->expiries_count < 16)
		w->expiries[w->expiries_count++] = w->row.generation;
}

static void step(struct world *w)
{
	struct stream_of *s = &w->streams[roll(w, STREAMS)];
	uint64_t what = roll(w, 1000);
	unsigned session = (unsigned)roll(w, SESSIONS);
	if (what < 200)
		w->tails[session]++;
	else if (what < 500)
		worker_serves(w, s);
	else if (what < 800)
		client_reads(w);
	else if (what < 870)
		worker_hears(w, s);
	else if (what < 900 && w->current != NULL && !w->stated)
		client_states(w);
	else if (what < 900)
		client_changes(w);
	else if (what < 920 && w->current == NULL)
		client_opens(w, roll(w, 3) != 0);
	else if (what < 922)
		client_opens(w, roll(w, 2) == 0);
	else if (what < 930 && w->current != NULL) {
		w->current->closed = true; /* the network: told when it is told */
		w->current = NULL;
	} else if (what < 950)
		worker_closes(w, s);
	else if (what < 970)
		timer_fires(w);
	else if (what < 972)
		worker_dies(w);
	else if (what < 990)
		w->now_ms += roll(w, 70001);
}

static void whatever_happens_each_event_comes_once(void **state)
{
	size_t events = 0, stale = 0, takeovers = 0, expired = 0;
	(void)state;
	struct world *w = malloc(sizeof *w);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		memset(w, 0, sizeof *w);
		w->dice = seed;
		w->now_ms = BEGIN_MS;
		w->workers[0] = w->workers[1] = 1;
		for (unsigned i = 0; i < STEPS; i++)
			step(w);
		events += w->events;
		stale += w->stale;
		takeovers += w->takeovers;
		expired += w->expired;
		if (w->there)
			connection_finish(&w->row);
	}
	free(w);
	printf("%zu events, %zu stale, %zu takeovers, %zu expired\n", events, stale, takeovers,
	       expired);
	/* It was tried. */
	assert_true(events > 50000 && stale > 10000 && takeovers > 10000 && expired > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(cids_are_uuids_of_any_version),
	        cmocka_unit_test(rows_come_back_as_they_were),
	        cmocka_unit_test(it_is_whose_it_was),
	        cmocka_unit_test(whatever_is_late_changes_nothing),
	        cmocka_unit_test(every_order_and_every_gap),
	        cmocka_unit_test(what_is_watched_is_what_was_stated),
	        cmocka_unit_test(one_is_in_the_foreground),
	        cmocka_unit_test(sleep_waits_longer),
	        cmocka_unit_test(two_that_take_it_from_each_other_are_parted),
	        cmocka_unit_test(a_position_is_of_its_revision),
	        cmocka_unit_test(what_was_told_as_not_watched_is_not),
	        cmocka_unit_test(cursors_count_in_a_lineage),
	        cmocka_unit_test(whatever_happens_each_event_comes_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
