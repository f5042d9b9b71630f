#include "scripts/duel/engine.h"
#include "scripts/duel/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, END_MS = 500, DEPTH_MAX = 99 };

struct engine {
	const struct engine_order *order;
	uint64_t patience_ms;
	pid_t pid;
	int in, out;   /* ours */
	char told[64]; /* what an answer is awaited to */
	uint64_t told_ms;
	char product[ENGINE_TEXT_MAX], author[ENGINE_TEXT_MAX];
	char line[LINE_MAX_BYTES]; /* what has been read of lines */
	size_t len, used;
	bool skipping; /* the rest of a line that was too long */
};

/* As much of it as has room. */
static void keep(char out[ENGINE_TEXT_MAX], const char *text, size_t len)
{
	len = len < ENGINE_TEXT_MAX ? len : ENGINE_TEXT_MAX - 1;
	memcpy(out, text, len);
	out[len] = '\0';
}

/* ---- orders ---- */

static bool read_count(const char *value, int max, int *count)
{
	char *end;
	long number = strtol(value, &end, 10);
	*count = (int)number;
	return *value != '\0' && *end == '\0' && number >= 0 && number <= max;
}

static bool set_member(struct engine_order *order, const char *name, const char *value,
                       char reason[160])
{
	if (strcmp(name, "id") == 0) {
		keep(order->id, value, strlen(value));
	} else if (strcmp(name, "name") == 0) {
		keep(order->name, value, strlen(value));
	} else if (strcmp(name, "resign") == 0) {
		if (!read_count(value, ENGINE_MATE, &order->resign)) {
			snprintf(reason, 160, "resign must be centipawns, 0 to %d", ENGINE_MATE);
			return false;
		}
	} else if (strcmp(name, "depth") == 0) {
		if (!read_count(value, DEPTH_MAX, &order->depth)) {
			snprintf(reason, 160, "depth must be plies, 0 to %d", DEPTH_MAX);
			return false;
		}
	} else if (order->count == ENGINE_OPTIONS_MAX) {
		snprintf(reason, 160, "more than %d options", ENGINE_OPTIONS_MAX);
		return false;
	} else {
		keep(order->options[order->count].name, name, strlen(name));
		keep(order->options[order->count++].value, value, strlen(value));
	}
	return true;
}

static void name_by_command(struct engine_order *order)
{
	size_t len = strcspn(order->command, " "), from = len;
	while (from > 0 && order->command[from - 1] != '/')
		from--;
	if (*order->id == '\0')
		keep(order->id, order->command + from, len - from);
	if (*order->name == '\0')
		memcpy(order->name, order->id, sizeof order->name);
}

bool engine_order_read(struct engine_order *order, const char *text, char reason[160])
{
	*order = (struct engine_order){0};
	size_t len = strcspn(text, ",");
	if (len == 0 || len >= sizeof order->command) {
		snprintf(reason, 160, "it must begin with a command of 1 to %zu bytes",
		         sizeof order->command - 1);
		return false;
	}
	memcpy(order->command, text, len);
	for (text += len; *text == ','; text += len) {
		char member[2 * ENGINE_TEXT_MAX];
		len = strcspn(++text, ",");
		snprintf(member, sizeof member, "%.*s", (int)len, text);
		char *value = strchr(member, '=');
		if (len >= sizeof member || value == NULL || value == member ||
		    value - member >= ENGINE_TEXT_MAX || strlen(value + 1) >= ENGINE_TEXT_MAX) {
			snprintf(reason, 160, "'%.60s' is not NAME=VALUE", member);
			return false;
		}
		*value++ = '\0';
		if (!set_member(order, member, value, reason))
			return false;
	}
	name_by_command(order);
	return true;
}

/* ---- the process ---- */

static void become(const char *command, int in, int out)
{
	char text[256], *words[16] = {0}, *rest = NULL;
	size_t count = 0;
	sigset_t none;
	snprintf(text, sizeof text, "%s", command);
	for (char *word = strtok_r(text, " ", &rest); word != NULL && count < 15;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	setpgid(0, 0); /* Ctrl-C is for us: we end it when the duel has been closed */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || count == 0)
		_exit(127);
	close_range(3, ~0u, 0); /* libcurl's connections, which outlive an exec */
	const char *path = getenv("PATH");
	char wider[4096];
	snprintf(wider, sizeof wider, "%s:/usr/games", path != NULL ? path : "/usr/bin:/bin");
	setenv("PATH", wider, 1);
	execvp(words[0], words);
	_exit(127);
}

static bool spawn(struct engine *engine)
{
	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC) != 0)
		return false;
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		close(in[1]);
		return false;
	}
	engine->pid = fork();
	if (engine->pid == 0)
		become(engine->order->command, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	engine->in = in[1];
	engine->out = out[0];
	fcntl(engine->out, F_SETFL, O_NONBLOCK);
	fcntl(engine->in, F_SETFL, O_NONBLOCK);
	return engine->pid > 0;
}

/* One line to it. It reads all it gets, or is stuck: then the line is lost and its answer never
 * comes. */
static void say(struct engine *engine, const char *line)
{
	size_t len = strlen(line);
	snprintf(engine->told, sizeof engine->told, "%.*s", (int)strcspn(line, "\n"), line);
	engine->told_ms = wait_now_ms();
	while (len > 0) {
		ssize_t took = write(engine->in, line, len);
		if (took < 0 && errno == EINTR)
			continue;
		if (took <= 0)
			return;
		line += took;
		len -= (size_t)took;
	}
}

/* Moves what is left to the front and reads more behind it. */
static bool read_more(struct engine *engine)
{
	memmove(engine->line, engine->line + engine->used, engine->len - engine->used);
	engine->len -= engine->used;
	engine->used = 0;
	if (engine->len == sizeof engine->line) { /* nothing that we wait for is so long */
		engine->len = 0;
		engine->skipping = true;
	}
	ssize_t got =
	        read(engine->out, engine->line + engine->len, sizeof engine->line - engine->len);
	if (got > 0)
		engine->len += (size_t)got;
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The next line, without its end. Borrowed until the next call. ENGINE_MOVED: there is one. */
static enum engine_result hear(struct engine *engine, uint64_t due_ms, char **line)
{
	for (;;) {
		char *from = engine->line + engine->used;
		char *end = memchr(from, '\n', engine->len - engine->used);
		if (end != NULL) {
			bool skip = engine->skipping;
			engine->used = (size_t)(end + 1 - engine->line);
			engine->skipping = false;
			if (skip)
				continue;
			*end = '\0';
			from[strcspn(from, "\r")] = '\0';
			*line = from;
			return ENGINE_MOVED;
		}
		switch (wait_until(engine->out, due_ms)) {
		case WAIT_STOPPED:
			return ENGINE_STOPPED;
		case WAIT_DUE:
			return ENGINE_LATE;
		case WAIT_READY:
			if (!read_more(engine))
				return ENGINE_GONE;
		}
	}
}

static void keep_identity(struct engine *engine, const char *line)
{
	if (strncmp(line, "id name ", 8) == 0)
		keep(engine->product, line + 8, strlen(line + 8));
	if (strncmp(line, "id author ", 10) == 0)
		keep(engine->author, line + 10, strlen(line + 10));
}

/* How it ended, when it has. It closes its pipes a moment before it can be waited for. */
static void describe_end(struct engine *engine, char out[64])
{
	int status;
	uint64_t due_ms = wait_now_ms() + END_MS;
	pid_t pid;
	while ((pid = waitpid(engine->pid, &status, WNOHANG)) == 0 && wait_now_ms() < due_ms)
		usleep(2000);
	if (pid <= 0) {
		snprintf(out, 64, "closed its output");
		return;
	}
	engine->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(out, 64, "was ended by signal %d (%s)", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 127)
		snprintf(out, 64, "could not be started: is it installed?");
	else
		snprintf(out, 64, "ended with status %d", WEXITSTATUS(status));
}

/* Which engine, what it had been told, how long ago. */
static enum engine_result complain(struct engine *engine, enum engine_result result,
                                   const char *answer)
{
	char how[64];
	unsigned long long ms = wait_now_ms() - engine->told_ms;
	switch (result) {
	case ENGINE_MOVED:
	case ENGINE_STOPPED:
		return result;
	case ENGINE_LATE:
		snprintf(how, sizeof how, "has not said %s", answer);
		break;
	case ENGINE_ILLEGAL:
		snprintf(how, sizeof how, "played %.20s, which is no legal move,", answer);
		break;
	case ENGINE_GONE:
		describe_end(engine, how);
	}
	fprintf(stderr, "ringside-duel: engine '%s' %s %llu ms after it was told '%s'\n",
	        engine->order->id, how, ms, engine->told);
	return result;
}

/* Until it says `word`. */
static bool await(struct engine *engine, const char *word)
{
	uint64_t due_ms = wait_now_ms() + engine->patience_ms;
	enum engine_result result;
	char *line;
	while ((result = hear(engine, due_ms, &line)) == ENGINE_MOVED) {
		if (strcmp(line, word) == 0)
			return true;
		keep_identity(engine, line);
	}
	complain(engine, result, word);
	return false;
}

static bool greet(struct engine *engine)
{
	char line[2 * ENGINE_TEXT_MAX + 64];
	say(engine, "uci\n");
	if (!await(engine, "uciok"))
		return false;
	for (size_t i = 0; i < engine->order->count; i++) {
		snprintf(line, sizeof line, "setoption name %s value %s\n",
		         engine->order->options[i].name, engine->order->options[i].value);
		say(engine, line);
	}
	say(engine, "isready\n");
	return await(engine, "readyok");
}

struct engine *engine_start(const struct engine_order *order, uint64_t patience_ms)
{
	struct engine *engine = calloc(1, sizeof *engine);
	if (engine == NULL)
		abort();
	*engine = (struct engine){.order = order, .patience_ms = patience_ms, .in = -1, .out = -1};
	if (spawn(engine) && greet(engine))
		return engine;
	if (!wait_stopped())
		fprintf(stderr, "ringside-duel: '%s' does not start as an engine that speaks UCI\n",
		        order->command);
	engine_stop(&engine);
	return NULL;
}

/* It is asked first, and killed if it does not listen. */
void engine_stop(struct engine **engine)
{
	struct engine *e = *engine;
	if (e == NULL)
		return;
	*engine = NULL;
	if (e->pid > 0) {
		uint64_t due_ms = wait_now_ms() + END_MS;
		say(e, "stop\nquit\n");
		while (waitpid(e->pid, NULL, WNOHANG) == 0) {
			if (wait_now_ms() >= due_ms)
				kill(e->pid, SIGKILL);
			usleep(2000);
		}
	}
	if (e->in >= 0)
		close(e->in);
	if (e->out >= 0)
		close(e->out);
	free(e);
}

const char *engine_product(const struct engine *engine)
{
	return engine->product;
}

const char *engine_author(const struct engine *engine)
{
	return engine->author;
}

bool engine_new_game(struct engine *engine)
{
	say(engine, "ucinewgame\nisready\n");
	return await(engine, "readyok");
}

/* ---- moves ---- */

static void tell_position(struct engine *engine, const struct board_game *game)
{
	static char line[BOARD_PLIES_MAX * 6 + BOARD_FEN_MAX + 32];
	size_t len = (size_t)snprintf(line, sizeof line, "position fen %s", game->first);
	if (game->plies > 0)
		len += (size_t)snprintf(line + len, sizeof line - len, " moves");
	for (size_t i = 0; i < game->plies; i++) {
		char move[6];
		board_move_text(game->moves[i], move);
		len += (size_t)snprintf(line + len, sizeof line - len, " %s", move);
	}
	snprintf(line + len, sizeof line - len, "\n");
	say(engine, line);
}

/* "info ... score cp 31 ..." or "... score mate -4 ...". Bounds are no scores. */
static void read_score(const char *line, struct engine_score *score)
{
	int value;
	const char *at = strstr(line, " score ");
	if (at == NULL || strstr(at, "bound") != NULL)
		return;
	if (sscanf(at, " score cp %d", &value) == 1 && abs(value) < ENGINE_MATE - 1000)
		*score = (struct engine_score){true, value};
	else if (sscanf(at, " score mate %d", &value) == 1 && abs(value) < 1000)
		*score = (struct engine_score){true, value > 0 ? ENGINE_MATE - value
		                                               : -ENGINE_MATE - value};
}

enum engine_result engine_move(struct engine *engine, const struct board_game *game,
                               uint64_t think_ms, uint64_t due_ms, struct board_move *move,
                               struct engine_score *score)
{
	char go[64], depth[24] = "", *line;
	enum engine_result result;
	*score = (struct engine_score){0};
	tell_position(engine, game);
	if (engine->order->depth > 0)
		snprintf(depth, sizeof depth, "depth %d ", engine->order->depth);
	snprintf(go, sizeof go, "go %smovetime %llu\n", depth, (unsigned long long)think_ms);
	say(engine, go);
	while ((result = hear(engine, due_ms, &line)) == ENGINE_MOVED) {
		if (strncmp(line, "info ", 5) == 0)
			read_score(line, score);
		if (strncmp(line, "bestmove ", 9) != 0)
			continue;
		line[9 + strcspn(line + 9, " ")] = '\0';
		return board_move_read(&game->board, line + 9, move)
		               ? ENGINE_MOVED
		               : complain(engine, ENGINE_ILLEGAL, line + 9);
	}
	return complain(engine, result, "bestmove");
}
