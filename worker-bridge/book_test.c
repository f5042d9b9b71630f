/* Two bridges over one store, each in a process of its own: whatever happens to them, every step of
 * every market is taken once. */
#include "worker-bridge/book.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/worker.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/markets.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 6, PATIENCE_MS = 60000 };

/* Seen by all processes. */
static struct shared {
	struct counters counters;
	_Atomic bool paused[2], stands[2]; /* its loop is to stand still, and does */
	_Atomic unsigned announced;        /* duels, from 0 on */
	_Atomic uint64_t generation;       /* bridges up to this one may begin */
} * shared;

static char dir[64];
static struct store *store;       /* the test's own */
static pid_t bridges[ROUNDS + 2]; /* by generation; 0: none */

static void open_store(void)
{
	char reason[256] = "";
	const struct store_options options = {
	        .dir = dir,
	        .ring_bytes = 4 << 20,
	        .map_bytes = 64 << 20,
	        .readers_max = 64,
	        .checkpoint_ms = 20,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 100, .producers_per_stream_max = 16},
	        .maintain = true};
	assert_int_equal(store_open(&store, &options, reason), 0);
}

/* ---- a bridge ---- */

static struct worker worker;
static struct book *book;

/* Both bridges are asked for the same bets until they have made them: by their keys they count
 * once. */
struct bettor {
	struct errand errand; /* first */
	unsigned duel;
	bool done;
};

static struct bettor bettors[ROUNDS];
static bool asked[ROUNDS];

static void run_bets(struct errand *errand, struct market_change *change)
{
	struct bettor *b = (struct bettor *)errand;
	char id[64];
	json_t *made = NULL;
	snprintf(id, sizeof id, "streaming-%u", b->duel);
	struct market *m;
	markets_find(change, id, &m);
	b->done = m != NULL && m->state != MARKET_CREATED;
	for (unsigned side = 0; b->done && side < 2; side++) {
		const struct ledger_bet bet = {side == 0 ? "anna" : "bert", side, 100 + b->duel,
		                               span_str(id), false};
		if (ledger_stake(change->rows, m, &bet, 100, change->now_ms, &made) == LEDGER_OK)
			markets_changed(change, m, true);
		json_decref(made);
		made = NULL;
	}
}

static void finish_bets(struct errand *errand, bool durable)
{
	struct bettor *b = (struct bettor *)errand;
	asked[b->duel] = durable && b->done;
}

static void ask_for_bets(void)
{
	for (unsigned duel = 0; duel < atomic_load(&shared->announced); duel++) {
		if (asked[duel])
			continue;
		bettors[duel] = (struct bettor){.errand = {.run = run_bets, .finish = finish_bets},
		                                .duel = duel};
		asked[duel] = true;
		assert_true(book_submit(book, &bettors[duel].errand));
	}
}

static void on_millisecond(uv_timer_t *timer)
{
	(void)timer;
	while (atomic_load(&shared->paused[worker.slot])) {
		atomic_store(&shared->stands[worker.slot], true);
		usleep(200);
	}
	atomic_store(&shared->stands[worker.slot], false);
	store_collect(store);
	while (store_advance(store, 0)) {
	}
	ask_for_bets();
	book_turn(book);
}

static void set(const char *key, const char *value)
{
	char why[512];
	assert_true(
	        settings_renew_key(&worker.settings.newest, span_str(key), span_str(value), why));
}

static void run_bridge(unsigned slot, uint64_t generation)
{
	uv_timer_t timer;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (atomic_load(&shared->generation) < generation)
		usleep(200);
	open_store();
	worker = (struct worker){.loop = uv_default_loop(),
	                         .slot = slot,
	                         .generation = generation,
	                         .counters = &shared->counters,
	                         .mine = &shared->counters.slots[slot]};
	struct settings defaults;
	settings_init(&defaults);
	settings_renew(&worker.settings.newest, &defaults);
	set("feeds.scheduled", "");
	set("feeds.source_driven", "arena");
	book = book_create(&worker, store);
	uv_timer_init(worker.loop, &timer);
	uv_timer_start(&timer, on_millisecond, 1, 1);
	uv_run(worker.loop, UV_RUN_DEFAULT);
	_exit(1);
}

/* Before the test opens its store: who forks beside threads may find the heap locked for ever. */
static void fork_bridge(unsigned slot, uint64_t generation)
{
	bridges[generation] = fork();
	assert_true(bridges[generation] >= 0);
	if (bridges[generation] == 0)
		run_bridge(slot, generation);
}

static void kill_bridge(uint64_t generation)
{
	if (bridges[generation] <= 0)
		return;
	kill(bridges[generation], SIGKILL);
	waitpid(bridges[generation], NULL, 0);
	bridges[generation] = 0;
}

/* ---- what the test sees and does ---- */

static struct state *view(void)
{
	while (store_advance(store, 0)) {
	}
	return store_view(store);
}

static uint64_t patience(void)
{
	return clock_monotonic_ms() + PATIENCE_MS;
}

static void wait_a_little(uint64_t until_ms)
{
	assert_true(clock_monotonic_ms() < until_ms);
	usleep(500);
}

static json_t *row(const char *key)
{
	struct span value;
	return state_kv_get(view(), span_str(key), &value)
	               ? json_loadb((const char *)value.at, value.len, 0, NULL)
	               : NULL;
}

static bool read_market(unsigned duel, struct market *m)
{
	char key[MARKET_KEY_ROOM], id[64];
	snprintf(id, sizeof id, "streaming-%u", duel);
	market_key("arena", id, key);
	json_t *record = row(key);
	bool found = record != NULL && market_read(m, record);
	json_decref(record);
	return found;
}

static void wait_state(unsigned duel, enum market_state state)
{
	struct market m = {0};
	for (uint64_t end = patience(); !read_market(duel, &m) || m.state != state;)
		wait_a_little(end);
}

static void post_frame(unsigned duel, const char *more)
{
	char text[1024];
	struct txn *txn = txn_create();
	snprintf(text, sizeof text,
	         "{\"duelId\":\"streaming-%u\",\"cycleId\":\"%u\",\"duelKey\":\"k\","
	         "\"agent1\":{\"id\":\"a\",\"name\":\"A\"},\"agent2\":{\"id\":\"b\",\"name\":"
	         "\"B\"},\"betOpenTime\":1,\"betCloseTime\":%" PRIu64 ",%s}",
	         duel, duel, clock_wall_ms() + 3600000, more);
	txn_publish(txn, "/v1/stream/feeds/arena/frames", span_str(text));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
}

/* And bets are made. */
static void announce(unsigned duel)
{
	struct market m = {0};
	post_frame(duel, "\"terminal\":false,\"outcome\":null");
	atomic_store(&shared->announced, duel + 1);
	for (uint64_t end = patience(); !read_market(duel, &m) || m.bets < 2;)
		wait_a_little(end);
}

static void end(unsigned duel)
{
	post_frame(duel, "\"terminal\":true,\"outcome\":\"win\",\"winnerId\":\"a\",\"winReason\":"
	                 "\"kill\",\"seed\":\"1\",\"replayHash\":\"h\"");
}

/* Changes rows until nobody else was faster. */
static void change(void (*how)(struct rows *rows, unsigned duel), unsigned duel)
{
	for (uint64_t end = patience();; wait_a_little(end)) {
		struct rows *rows = rows_create(view());
		struct txn *txn = txn_create();
		how(rows, duel);
		rows_add(rows, txn);
		rows_destroy(&rows);
		enum verdict verdict = txn_execute(&txn, store);
		if (verdict == VERDICT_OK)
			return;
		assert_int_equal(verdict, VERDICT_KV_CONFLICT);
	}
}

static void open_accounts(struct rows *rows, unsigned duel)
{
	(void)duel;
	assert_int_equal(ledger_open(rows, "anna", "", "", 1000000, 1), LEDGER_OK);
	assert_int_equal(ledger_open(rows, "bert", "", "", 1000000, 1), LEDGER_OK);
}

static void begin_with(unsigned count)
{
	atomic_store(&shared->generation, count);
	open_store();
	change(open_accounts, 0);
}

static uint64_t lease(unsigned *slot)
{
	unsigned long long started, generation;
	json_t *o = row("market/lease");
	assert_int_equal(sscanf(json_string_value(json_object_get(o, "holder")), "%llu:%u:%llu",
	                        &started, slot, &generation),
	                 3);
	uint64_t fence = (uint64_t)json_integer_value(json_object_get(o, "fence"));
	json_decref(o);
	return fence;
}

static void expire_lease(struct rows *rows, unsigned duel)
{
	json_t *o;
	rows_json(rows, "market/lease", &o);
	(void)duel;
	json_object_set_new(o, "until", json_integer(1));
	rows_put_json(rows, "market/lease", o);
}

/* ---- what must have come of it ---- */

static const char *const steps[] = {"created", "opened", "outcome", "locked", "resolved"};
enum { STEPS = sizeof steps / sizeof *steps };

static bool count_event(void *arg, const struct store_message *message)
{
	unsigned(*seen)[STEPS] = arg, duel;
	json_t *line = json_loadb((const char *)message->bytes.at, message->bytes.len, 0, NULL);
	const char *event = json_string_value(json_object_get(line, "event"));
	assert_int_equal(
	        sscanf(json_string_value(json_object_get(line, "duelId")), "streaming-%u", &duel),
	        1);
	size_t step = 0;
	while (step < STEPS && strcmp(event, steps[step]) != 0)
		step++;
	assert_true(step < STEPS && duel < ROUNDS);
	seen[duel][step]++;
	json_decref(line);
	return true;
}

static void assert_all_once(void)
{
	unsigned seen[ROUNDS][STEPS] = {0};
	struct ledger_sums sums;
	struct stream *audit = state_find(view(), SPAN("/v1/stream/feeds/arena/audit"));
	assert_non_null(audit);
	assert_int_equal(store_scan(store, audit, 0, audit->tail, SIZE_MAX, count_event, seen),
	                 STORE_READ_OK);
	int64_t won = 0;
	for (unsigned duel = 0; duel < ROUNDS; duel++) {
		struct market m;
		for (size_t step = 0; step < STEPS; step++)
			assert_int_equal(seen[duel][step], 1);
		assert_true(read_market(duel, &m));
		assert_int_equal(m.paid, 2 * (100 + duel));
		won += 100 + duel;
	}
	ledger_sum(view(), &sums);
	assert_int_equal(sums.accounts + sums.house + sums.pools, 0);
	assert_int_equal(sums.pools, 0);
	json_t *anna = row("ledger/account/anna");
	assert_int_equal(json_integer_value(json_object_get(anna, "balance")), 1000000 + won);
	json_decref(anna);
}

static void of_two_only_one_acts(void **state)
{
	unsigned slot, again;
	(void)state;
	fork_bridge(0, 1);
	fork_bridge(1, 2);
	begin_with(2);
	for (unsigned duel = 0; duel < ROUNDS; duel++) {
		announce(duel);
		end(duel);
		wait_state(duel, MARKET_RESOLVED);
		assert_int_equal(lease(duel == 0 ? &slot : &again), 1);
		assert_true(duel == 0 || slot == again);
	}
	assert_all_once();
	/* What is durable is counted, soon after. */
	for (uint64_t until = patience();
	     counter_get(&shared->counters.slots[slot], markets_settled_total) < ROUNDS;)
		wait_a_little(until);
	assert_int_equal(counter_get(&shared->counters.slots[slot], markets_settled_total), ROUNDS);
	assert_int_equal(counter_get(&shared->counters.slots[!slot], markets_created_total), 0);
	assert_int_equal(counter_get(&shared->counters.slots[!slot], markets_settled_total), 0);
}

/* The holder stands still in the middle of its work, the other takes over, and the first goes on as
 * if nothing had happened. */
static void who_was_replaced_changes_nothing(void **state)
{
	unsigned holder, next, seed = 5;
	(void)state;
	fork_bridge(0, 1);
	fork_bridge(1, 2);
	begin_with(2);
	for (unsigned duel = 0; duel < ROUNDS; duel++) {
		announce(duel);
		uint64_t fence = lease(&holder);
		end(duel);
		usleep((unsigned)rand_r(&seed) % 3000);
		atomic_store(&shared->paused[holder], true);
		for (uint64_t until = patience(); !atomic_load(&shared->stands[holder]);)
			wait_a_little(until);
		change(expire_lease, 0);
		for (uint64_t until = patience(); lease(&next) == fence;)
			wait_a_little(until);
		assert_int_equal(lease(&next), fence + 1);
		assert_int_not_equal(next, holder);
		if (duel % 2 == 0)
			wait_state(duel, MARKET_RESOLVED);
		atomic_store(&shared->paused[holder], false);
		wait_state(duel, MARKET_RESOLVED);
	}
	assert_all_once();
}

static void who_was_killed_is_replaced_at_once(void **state)
{
	unsigned slot, seed = 9;
	(void)state;
	for (unsigned generation = 1; generation <= ROUNDS + 1; generation++)
		fork_bridge(0, generation);
	begin_with(1);
	for (unsigned duel = 0; duel < ROUNDS; duel++) {
		announce(duel);
		end(duel);
		usleep((unsigned)rand_r(&seed) % 4000);
		kill_bridge(duel + 1);
		atomic_store(&shared->generation, duel + 2);
		wait_state(duel, MARKET_RESOLVED);
	}
	assert_all_once();
	assert_true(lease(&slot) <= ROUNDS + 1);
	assert_int_equal(slot, 0);
}

/* ---- */

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof dir, "/tmp/ringside-book-XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(shared, 0, sizeof *shared);
	atomic_store(&shared->counters.started_ms, 1);
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	for (unsigned generation = 1; generation <= ROUNDS + 1; generation++)
		kill_bridge(generation);
	store_close(&store);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(of_two_only_one_acts, setup, teardown),
	        cmocka_unit_test_setup_teardown(who_was_replaced_changes_nothing, setup, teardown),
	        cmocka_unit_test_setup_teardown(who_was_killed_is_replaced_at_once, setup,
	                                        teardown),
	};
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("book", tests, NULL, NULL);
}
