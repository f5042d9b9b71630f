/* The run (work.h). */
#include "tests/crash/work.h"
#include "tests/crash/disk.h"
#include "tests/crash/trace.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SHARED_STREAMS = 6,
	BODY_MAX = 1 << 16,
	TEXT_MAX = MARK_NAME_MAX,
	PROCESSES_MAX = 15, /* of a generation: 4 bits of an op's id */
	HANGS_S = 30,
	EXIT_SURPRISED = 40,
};

/* What a client does, over and over. */
enum habit {
	HABIT_SHARED,   /* appends to streams that all use */
	HABIT_PRODUCER, /* appends to its own with a producer's seq */
	HABIT_VALUE,
	HABIT_TXN,
	HABIT_LIFE, /* creates, appends, forks, closes, deletes */
	HABIT_FORK, /* of a shared one, then as LIFE */
	HABITS,
};

struct client {
	enum habit habit;
	uint32_t index, left;
	struct command command, parts[4];
	struct mark mark;
	char path[TEXT_MAX], second_path[TEXT_MAX], created_path[TEXT_MAX], source[TEXT_MAX];
	char key[TEXT_MAX], value[16], expected[16], producer[TEXT_MAX];
	char own[TEXT_MAX]; /* the stream of LIFE and FORK */
	enum { OWN_NONE, OWN_THERE, OWN_FORKED } own_state;
	bool value_there;
	uint64_t seq;
	uint8_t *body, *second_body;
	uint32_t bytes, second_bytes;
};

static struct work_options run;
static struct store *store;
static uint32_t process, ops_begun, under_way, surprises;
static uint64_t random_state;
static int wake_fd;

const struct span work_type = {(const uint8_t *)"application/octet-stream", 24};

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

static void say(const struct mark *mark)
{
	if (disk_mark != NULL)
		disk_mark(mark, sizeof *mark);
}

struct store_options work_store_options(const char *dir, uint64_t ring_bytes,
                                        uint64_t retention_bytes, bool maintain)
{
	return (struct store_options){
	        .dir = dir,
	        .ring_bytes = ring_bytes,
	        .map_bytes = 256 << 20,
	        .readers_max = 126,
	        .checkpoint_ms = 25,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .retention_bytes = retention_bytes,
	        .limits = {.streams_max = 100000, .producers_per_stream_max = 16},
	        .maintain = maintain};
}

const char *work_own_name(const char *path)
{
	size_t len = sizeof REAL_ROOT - 1;
	return strncmp(path, REAL_ROOT "/", len + 1) == 0 ? path + len : path;
}

uint64_t work_epoch(struct store *of)
{
	struct span value;
	char text[32] = "";
	if (!state_kv_get(store_view(of), SPAN("store.epoch"), &value) || value.len >= sizeof text)
		return 0;
	memcpy(text, value.at, value.len);
	return strtoull(text, NULL, 10);
}

/* ---- asking ---- */

static uint32_t next_op(void)
{
	return run.generation << 24 | process << 20 | (ops_begun + 1);
}

/* Mostly small ones, some of several rows, a few that go beyond the half of a record. */
static uint32_t body_bytes(void)
{
	uint32_t kind = below(100);
	return (uint32_t)sizeof(struct body_head) + (kind < 70   ? below(150)
	                                             : kind < 92 ? 300 + below(2500)
	                                             : kind < 98 ? 4000 + below(12000)
	                                                         : 20000 + below(20000));
}

static void on_done(struct command *command);

static void ask(struct client *client, enum ask_kind kind, const char *name)
{
	client->mark.kind = MARK_ASKED;
	client->mark.ask = kind;
	client->mark.op = next_op();
	ops_begun++;
	snprintf(client->mark.name, sizeof client->mark.name, "%s", name);
	say(&client->mark);
	client->command.done = on_done;
	client->command.owner = client;
	under_way++;
	store_submit(store, &client->command);
}

static struct batch make_body(struct client *client, const char *path)
{
	client->bytes = body_bytes();
	body_fill(client->body, client->bytes, next_op(), path);
	client->mark.body_bytes = client->bytes;
	return (struct batch){&client->bytes, 1, span_of(client->body, client->bytes)};
}

static void append(struct client *client, const char *path, bool produced)
{
	snprintf(client->path, sizeof client->path, "%s", path);
	client->mark = (struct mark){0};
	client->command = (struct command){.kind = COMMAND_APPEND,
	                                   .path = span_str(client->path),
	                                   .content_type = work_type,
	                                   .body = make_body(client, path)};
	if (produced) {
		client->command.producer = (struct producer_tag){true, span_str(client->producer),
		                                                 run.generation, client->seq};
		client->mark.seq = client->seq++;
		client->mark.epoch = run.generation;
	}
	ask(client, ASK_APPEND, client->path);
}

static void create(struct client *client, const char *path, const char *source)
{
	snprintf(client->path, sizeof client->path, "%s", path);
	client->mark = (struct mark){0};
	client->command = (struct command){
	        .kind = COMMAND_CREATE, .path = span_str(client->path), .content_type = work_type};
	if (source != NULL) {
		snprintf(client->source, sizeof client->source, "%s", source);
		snprintf(client->mark.source, sizeof client->mark.source, "%s", source);
		client->command.fork = true;
		client->command.fork_source = span_str(client->source);
	} else if (below(2) == 0) {
		client->command.body = make_body(client, client->path);
	}
	ask(client, ASK_CREATE, client->path);
}

static void delete_stream(struct client *client, const char *path)
{
	snprintf(client->path, sizeof client->path, "%s", path);
	client->mark = (struct mark){0};
	client->command = (struct command){.kind = COMMAND_DELETE, .path = span_str(client->path)};
	ask(client, ASK_DELETE, client->path);
}

static void close_stream(struct client *client, const char *path)
{
	snprintf(client->path, sizeof client->path, "%s", path);
	client->mark = (struct mark){0};
	client->command = (struct command){
	        .kind = COMMAND_APPEND, .path = span_str(client->path), .close = true};
	ask(client, ASK_CLOSE, client->path);
}

static void put_value(struct client *client)
{
	bool removed = below(6) == 0;
	snprintf(client->key, sizeof client->key, "k/%u.%u", process, client->index);
	snprintf(client->value, sizeof client->value, "%08x", next_op());
	client->mark = (struct mark){.present = !removed};
	client->command =
	        (struct command){.kind = COMMAND_KV,
	                         .key = span_str(client->key),
	                         .value = removed ? (struct span){0} : span_str(client->value)};
	ask(client, ASK_VALUE, client->key);
}

static void txn(struct client *client)
{
	memcpy(client->expected, client->value, sizeof client->expected);
	snprintf(client->key, sizeof client->key, "t/%u.%u", process, client->index);
	snprintf(client->value, sizeof client->value, "%08x", next_op());
	snprintf(client->path, sizeof client->path, "/ta/%u.%u", process, client->index);
	snprintf(client->second_path, sizeof client->second_path, "/tb/%u.%u", process,
	         client->index);
	snprintf(client->created_path, sizeof client->created_path, "/tc/%x", next_op());
	client->mark = (struct mark){0};
	const struct batch body = make_body(client, client->path);
	client->second_bytes = body_bytes() % 4000 + (uint32_t)sizeof(struct body_head);
	body_fill(client->second_body, client->second_bytes, next_op(), client->second_path);
	client->parts[0] = (struct command){
	        .kind = COMMAND_KV,
	        .key = span_str(client->key),
	        .value = span_str(client->value),
	        .expect_present = true,
	        .expect = client->value_there ? span_str(client->expected) : (struct span){0}};
	client->parts[1] = (struct command){.kind = COMMAND_APPEND,
	                                    .path = span_str(client->path),
	                                    .content_type = work_type,
	                                    .body = body};
	client->parts[2] =
	        (struct command){.kind = COMMAND_APPEND,
	                         .path = span_str(client->second_path),
	                         .content_type = work_type,
	                         .body = {&client->second_bytes, 1,
	                                  span_of(client->second_body, client->second_bytes)}};
	client->parts[3] = (struct command){.kind = COMMAND_CREATE,
	                                    .path = span_str(client->created_path),
	                                    .content_type = work_type};
	client->command =
	        (struct command){.kind = COMMAND_TXN, .parts = client->parts, .part_count = 4};
	ask(client, ASK_TXN, client->key);
}

/* ---- habits ---- */

static void name_own(struct client *client)
{
	snprintf(client->own, sizeof client->own, "/%c/%x.%u",
	         client->habit == HABIT_LIFE ? 'c' : 'f', next_op(), client->index);
}

static void live(struct client *client)
{
	char path[TEXT_MAX];
	if (client->own_state == OWN_NONE) {
		snprintf(path, sizeof path, "/s/%u", below(SHARED_STREAMS));
		name_own(client);
		create(client, client->own, client->habit == HABIT_FORK ? path : NULL);
		return;
	}
	uint32_t what = below(8);
	if (client->own_state == OWN_FORKED || what < 2) { /* the source goes, the fork stays */
		client->own_state = OWN_NONE;
		delete_stream(client, client->own);
	} else if (what == 2) {
		client->own_state = OWN_NONE;
		close_stream(client, client->own);
	} else if (what == 3 && client->habit == HABIT_LIFE) {
		client->own_state = OWN_FORKED;
		snprintf(path, sizeof path, "/f/%x.%u", next_op(), client->index);
		create(client, path, client->own);
	} else {
		append(client, client->own, false);
	}
}

static void step(struct client *client)
{
	char path[TEXT_MAX];
	if (client->left == 0)
		return;
	client->left--;
	switch (client->habit) {
	case HABIT_SHARED:
		snprintf(path, sizeof path, "/s/%u", below(SHARED_STREAMS));
		append(client, path, false);
		break;
	case HABIT_PRODUCER:
		snprintf(path, sizeof path, "/p/%u.%u", process, client->index);
		append(client, path, true);
		break;
	case HABIT_VALUE:
		put_value(client);
		break;
	case HABIT_TXN:
		txn(client);
		break;
	case HABIT_LIFE:
	case HABIT_FORK:
	case HABITS:
		live(client);
		break;
	}
}

/* ---- answers ---- */

static void read_value(struct client *client)
{
	struct span value;
	client->value_there = state_kv_get(store_view(store), span_str(client->key), &value);
	if (client->value_there && value.len < sizeof client->value) {
		memcpy(client->value, value.at, value.len);
		client->value[value.len] = '\0';
	}
}

static bool is_refusal(enum verdict verdict)
{
	return verdict == VERDICT_IO_ERROR || verdict == VERDICT_NO_SPACE ||
	       verdict == VERDICT_STALLED;
}

static void on_refused(struct client *client, enum verdict verdict)
{
	if (!run.faulty && surprises++ == 0)
		printf("    op %x was answered: %s\n", client->mark.op, verdict_name(verdict));
	if (client->command.producer.present)
		client->seq--; /* again; it may be a duplicate */
	usleep(1000);
}

static void on_done(struct command *command)
{
	struct client *client = command->owner;
	bool done = command->verdict == VERDICT_OK || command->verdict == VERDICT_CREATED ||
	            command->verdict == VERDICT_EXISTS;
	under_way--;
	client->mark.kind = MARK_ANSWERED;
	client->mark.verdict = command->verdict;
	client->mark.tail = command->tail;
	if (command->kind == COMMAND_TXN) {
		client->mark.tail = command->parts[1].tail;
		client->mark.second_tail = command->parts[2].tail;
	}
	say(&client->mark);
	if (command->kind == COMMAND_CREATE && client->own_state == OWN_NONE &&
	    (client->habit == HABIT_LIFE || client->habit == HABIT_FORK))
		client->own_state = done ? OWN_THERE : OWN_NONE;
	if (command->kind == COMMAND_TXN && done)
		client->value_there = true;
	else if (command->kind == COMMAND_TXN)
		read_value(client);
	if (is_refusal(command->verdict))
		on_refused(client, command->verdict);
	step(client);
}

/* ---- what a store shows after a crash ---- */

struct names {
	char (*at)[TEXT_MAX];
	size_t count;
};

static bool collect_path(void *arg, struct span path, uint64_t id)
{
	struct names *names = arg;
	(void)id;
	names->at = xrealloc(names->at, (names->count + 1) * sizeof *names->at);
	snprintf(names->at[names->count++], TEXT_MAX, "%.*s", (int)path.len, (const char *)path.at);
	return true;
}

static bool see_message(void *arg, const struct store_message *message)
{
	struct body_head head;
	(void)arg;
	if (message->bytes.len < sizeof head)
		return true;
	memcpy(&head, message->bytes.at, sizeof head);
	/* A fork's first ones are its source's, which may be gone. */
	struct mark mark = {.kind = MARK_SAW_MESSAGE, .op = head.op, .tail = message->ends_at};
	memcpy(mark.name, head.stream, sizeof mark.name);
	say(&mark);
	return true;
}

static bool see_value(void *arg, struct span key, struct span value)
{
	char text[16];
	(void)arg;
	struct mark mark = {.kind = MARK_SAW_VALUE};
	if (key.len > 2 && key.at[1] != '/')
		return true; /* the store's own */
	snprintf(text, sizeof text, "%.*s", (int)value.len, (const char *)value.at);
	mark.op = (uint32_t)strtoul(text, NULL, 16);
	snprintf(mark.name, sizeof mark.name, "%.*s", (int)key.len, (const char *)key.at);
	say(&mark);
	return true;
}

static void see_stream(const char *path)
{
	struct stream *stream = state_find(store_view(store), span_str(path));
	if (stream == NULL || stream->deleted)
		return;
	struct mark mark = {.kind = MARK_SAW_STREAM, .tail = stream->tail};
	snprintf(mark.name, sizeof mark.name, "%s", path);
	say(&mark);
	uint64_t first = stream_first(store_view(store), stream);
	if (first < stream->tail)
		store_scan(store, stream, first, stream->tail, SIZE_MAX, see_message, NULL);
}

static void observe(void)
{
	struct names names = {0};
	const struct mark all = {.kind = MARK_SAW_ALL, .op = run.generation};
	while (store_advance(store, 0)) {
	}
	state_path_each(store_view(store), SPAN(""), collect_path, &names);
	for (size_t i = 0; i < names.count; i++)
		if (!run.real || work_own_name(names.at[i]) != names.at[i])
			see_stream(names.at[i]);
	if (!run.real) /* the product's own are no clients' */
		state_kv_each(store_view(store), SPAN(""), see_value, NULL);
	say(&all);
	free(names.at);
}

/* ---- one process ---- */

static void notify(void *arg)
{
	const uint64_t one = 1;
	(void)arg;
	check(write(wake_fd, &one, sizeof one) == sizeof one);
}

static bool open_store(bool maintain)
{
	char reason[256] = "";
	struct store_options options =
	        work_store_options(run.dir, run.ring_bytes, run.retention_bytes, maintain);
	options.checkpoint_ms = run.checkpoint_ms;
	options.gather = true;
	options.notify = notify;
	wake_fd = eventfd(0, EFD_CLOEXEC);
	int error = store_open(&store, &options, reason);
	if (error != 0) {
		printf("    the store does not open: %s\n", reason);
		return false;
	}
	const struct mark mark = {.kind = MARK_OPENED, .tail = work_epoch(store)};
	say(&mark);
	return true;
}

static void create_shared(const char *path)
{
	struct command command = {
	        .kind = COMMAND_CREATE, .path = span_str(path), .content_type = work_type};
	struct mark mark = {.kind = MARK_ASKED, .ask = ASK_CREATE, .op = next_op()};
	ops_begun++;
	snprintf(mark.name, sizeof mark.name, "%s", path);
	say(&mark);
	store_execute(store, &command);
	mark.kind = MARK_ANSWERED;
	mark.verdict = command.verdict;
	mark.tail = command.tail;
	say(&mark);
}

static void make_client(struct client *client, uint32_t index)
{
	char path[TEXT_MAX];
	client->index = index;
	client->habit = (enum habit)(index % HABITS);
	client->left = run.ops;
	client->body = xcalloc(1, BODY_MAX);
	client->second_body = xcalloc(1, BODY_MAX);
	snprintf(client->producer, sizeof client->producer, "w%u.%u", process, index);
	if (client->habit == HABIT_PRODUCER) {
		snprintf(path, sizeof path, "/p/%u.%u", process, index);
		create_shared(path);
	}
	if (client->habit == HABIT_TXN) {
		snprintf(path, sizeof path, "/ta/%u.%u", process, index);
		create_shared(path);
		snprintf(path, sizeof path, "/tb/%u.%u", process, index);
		create_shared(path);
		snprintf(client->key, sizeof client->key, "t/%u.%u", process, index);
		read_value(client);
	}
}

/* On a thread of its own the loop would go on; here the commit thread does, and other processes. */
static void back_up(void)
{
	char path[512], reason[256] = "";
	struct mark mark = {.kind = MARK_BACKUP_BEGUN};
	snprintf(path, sizeof path, "%s/backup", run.dir);
	say(&mark);
	mark.kind = MARK_BACKUP_DONE;
	mark.verdict = store_backup(store, path, reason) != 0;
	mark.tail = work_epoch(store);
	say(&mark);
	if (mark.verdict != 0 && !run.faulty) {
		printf("    no backup: %s\n", reason);
		surprises++;
	}
}

static uint32_t left_of(const struct client *clients)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < run.clients; i++)
		left += clients[i].left;
	return left;
}

static void serve(void)
{
	struct client *clients = xcalloc(run.clients, sizeof *clients);
	bool backup_due = run.backup && process == 0;
	for (uint32_t i = 0; i < run.clients; i++)
		make_client(&clients[i], i);
	for (uint32_t i = 0; i < run.clients; i++)
		step(&clients[i]);
	while (under_way > 0) {
		uint64_t ignored;
		store_kick(store);
		check(read(wake_fd, &ignored, sizeof ignored) == sizeof ignored);
		store_collect(store);
		if (backup_due && left_of(clients) < run.clients * run.ops / 2) {
			backup_due = false;
			store_kick(store);
			back_up();
		}
	}
	for (uint32_t i = 0; i < run.clients; i++) {
		free(clients[i].body);
		free(clients[i].second_body);
	}
	free(clients);
}

static int be_process(uint32_t number)
{
	char path[TEXT_MAX];
	process = number;
	random_state =
	        (run.seed * 977ull + number * 131ull + run.generation) * 0x9e3779b97f4a7c15ull | 1;
	alarm(HANGS_S);
	if (number == 0 && run.faulty && disk_arm != NULL)
		disk_arm();
	if (!open_store(true))
		return EXIT_FAILURE;
	for (uint32_t i = 0; i < SHARED_STREAMS; i++) {
		snprintf(path, sizeof path, "/s/%u", i);
		create_shared(path);
	}
	serve();
	store_close(&store);
	return surprises != 0 ? EXIT_SURPRISED : EXIT_SUCCESS;
}

/* ---- all of them ---- */

static pid_t pids[PROCESSES_MAX]; /* 0: it has ended */
static uint32_t started, living;

static int watch_over(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HANGS_S);
	if (!open_store(false))
		return EXIT_FAILURE;
	observe();
	store_close(&store);
	return EXIT_SUCCESS;
}

static pid_t fork_off(int (*be)(uint32_t), uint32_t number)
{
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int code = be != NULL ? be(number) : watch_over();
	fflush(stdout);
	log_flush();
	_exit(code);
}

static void start_next(void)
{
	pids[started] = fork_off(be_process, started);
	started++;
	living++;
}

static int reckon(int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		printf("    a process hung\n");
		return WORK_HUNG;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SURPRISED)
		return WORK_SURPRISED;
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	if (status == 0 || (killed && (run.kill || run.faulty)) ||
	    (run.faulty && WIFEXITED(status)))
		return WORK_CLEAN;
	printf("    a process ended with status 0x%x\n", status);
	return WORK_DIED;
}

static void kill_one(void)
{
	usleep(2000 + below(30000));
	pid_t pid = pids[below(started)];
	if (pid != 0)
		kill(pid, disk_mark != NULL ? DISK_DEATH_SIGNAL : SIGKILL);
}

static int reap_one(void)
{
	int status;
	pid_t pid = wait(&status);
	check(pid > 0);
	for (uint32_t i = 0; i < started; i++)
		if (pids[i] == pid)
			pids[i] = 0;
	living--;
	int result = reckon(status);
	if (status != 0 && result < WORK_HUNG && started < PROCESSES_MAX &&
	    (run.kill || run.faulty))
		start_next();
	return result;
}

static void end_all(void)
{
	for (uint32_t i = 0; i < started; i++)
		if (pids[i] != 0)
			kill(pids[i], SIGKILL);
}

int work(const struct work_options *options)
{
	int worst = WORK_CLEAN, status = 0;
	run = *options;
	random_state = run.seed * 0x9e3779b97f4a7c15ull | 1;
	if (run.observe) { /* before anybody writes */
		check(waitpid(fork_off(NULL, 0), &status, 0) > 0);
		worst = reckon(status);
	}
	while (started < run.processes)
		start_next();
	while (living > 0) {
		if (run.kill && started < PROCESSES_MAX)
			kill_one();
		int result = reap_one();
		worst = result > worst ? result : worst;
		if (worst == WORK_HUNG)
			end_all();
	}
	return worst;
}
