#include "tests/sim/game.h"
#include "common/base/check.h"
#include "tests/sim/bridges.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	POSTS_MAX = 24,
	SAID_MAX = 256,
	REPEAT_MS = 200,
	THINK_MS = 900,
	THINK_MS_MAX = 15000,
	BETTING_MS_MAX = 14000, /* it lets people bet */
	AWAY_MS_MAX = 25000,
};

struct post {
	char kind[16], members[200]; /* without the numbers; %s: the duel */
	/* What it says of the end: "" nothing. */
	const char *outcome, *winner;
};

static struct {
	unsigned life; /* grows with each death: what comes to an earlier one is lost */
	uint64_t epoch, seq;
	struct post posts[POSTS_MAX];
	size_t count, next;
	char duel[64];
	unsigned left;
} game;

static struct {
	char duel[64];
	const char *outcome, *winner;
} said[SAID_MAX];
static size_t said_count;

static void look(void *arg);
static void say(void *arg);

static void *this_life(void)
{
	return (void *)(uintptr_t)game.life;
}

static bool is_past(void *life)
{
	return (uintptr_t)life != game.life;
}

/* ---- what it wants to say ---- */

static void add(const char *kind, const char *members, const char *outcome, const char *winner)
{
	struct post *p = &game.posts[game.count++];
	check(game.count <= POSTS_MAX);
	*p = (struct post){.outcome = outcome, .winner = winner};
	snprintf(p->kind, sizeof p->kind, "%s", kind);
	snprintf(p->members, sizeof p->members, "%s", members);
}

static void plan_end(void)
{
	static const char *const ids[] = {"alpha", "beta"};
	char members[160];
	const char *winner = ids[world_below(2)], *loser = ids[*winner == 'a'];
	switch (world_below(5)) {
	case 0:
		snprintf(members, sizeof members, ",\"ids\":[\"%s\"]", loser);
		add("death", members, "win", winner);
		return;
	case 1:
		snprintf(members, sizeof members, ",\"id\":\"%s\"", loser);
		add("forfeit", members, "win", winner);
		return;
	case 2:
		snprintf(members, sizeof members, ",\"outcome\":\"win\",\"winnerId\":\"%s\"",
		         winner);
		add("result", members, "win", winner);
		return;
	case 3:
		add("result", ",\"outcome\":\"draw\"", "draw", "");
		return;
	default:
		return; /* by time */
	}
}

static bool plan_abort(void)
{
	if (!world_chance(80))
		return false;
	add("abort", ",\"reason\":\"game_stopped\"", "cancelled", "");
	return true;
}

/* The rest of a duel that is in this phase. */
static void plan_from(const char *phase)
{
	static const char *const fighters[] = {"alpha", "beta"};
	char members[160];
	game.count = game.next = 0;
	bool announced = strcmp(phase, "ANNOUNCEMENT") == 0,
	     counting = announced || strcmp(phase, "COUNTDOWN") == 0,
	     fighting = counting || strcmp(phase, "FIGHTING") == 0;
	if (announced) {
		if (plan_abort())
			return;
		add("positions", ",\"agent1\":[0,0,0],\"agent2\":[3,0,1]", "", "");
		add("phase", ",\"phase\":\"COUNTDOWN\"", "", "");
	}
	if (counting) {
		if (plan_abort())
			return;
		add("phase", ",\"phase\":\"FIGHTING\"", "", "");
	}
	if (fighting) {
		for (uint64_t i = world_below(4); i > 0; i--) {
			snprintf(members, sizeof members,
			         ",\"attackerId\":\"%s\",\"amount\":%" PRIu64,
			         fighters[world_below(2)], 1 + world_below(9));
			add("damage", members, "", "");
		}
		if (plan_abort())
			return;
		plan_end();
	}
	add("phase", ",\"phase\":\"IDLE\"", "", "");
}

static void plan_duel(void)
{
	char members[200];
	if (game.left == 0)
		return;
	game.left--;
	plan_from("ANNOUNCEMENT");
	memmove(game.posts + 1, game.posts, game.count * sizeof *game.posts);
	game.count++;
	snprintf(members, sizeof members,
	         "\"agent1\":{\"id\":\"alpha\",\"name\":\"A\",\"hp\":99,\"maxHp\":99},"
	         "\"agent2\":{\"id\":\"beta\",\"name\":\"B\",\"hp\":80,\"maxHp\":80},"
	         "\"announcementMs\":%" PRIu64,
	         1000 + world_below(15000));
	game.posts[0] = (struct post){.outcome = "", .winner = ""};
	snprintf(game.posts[0].kind, sizeof game.posts[0].kind, "cycle");
	memcpy(game.posts[0].members, members, sizeof members);
}

/* ---- saying it ---- */

static void note_said(const struct post *p)
{
	if (*p->outcome == '\0')
		return;
	check(said_count < SAID_MAX);
	snprintf(said[said_count].duel, sizeof said->duel, "%s", game.duel);
	said[said_count].outcome = p->outcome;
	said[said_count++].winner = p->winner;
}

static void on_answer(void *life, unsigned status, const json_t *body)
{
	const struct post *p = &game.posts[game.next];
	if (is_past(life))
		return;
	if (status == 0 || status == 503) {
		world_after(0, world_wait(REPEAT_MS, 10 * REPEAT_MS), say, life);
		return;
	}
	if (status != 200) { /* it is not as we believed */
		world_trace("game: %s of %s: %u", p->kind, game.duel, status);
		game.duel[0] = '\0';
		game.life++;
		world_after(0, world_below(REPEAT_MS), look, this_life());
		game.epoch++;
		game.seq = 0;
		return;
	}
	game.seq++;
	game.next++;
	if (strcmp(p->kind, "cycle") == 0) {
		const char *id = json_string_value(json_object_get(body, "duelId"));
		snprintf(game.duel, sizeof game.duel, "%s", id != NULL ? id : "");
		world_trace("game: %s begins", game.duel);
		world_after(0, world_below(BETTING_MS_MAX), say, life);
		return;
	}
	world_after(0, world_wait(THINK_MS, THINK_MS_MAX), say, life);
}

static void say(void *life)
{
	struct bridge_question q = {.method = CALL_POST, .done = on_answer, .arg = life};
	if (is_past(life))
		return;
	if (game.next == game.count) {
		game.duel[0] = '\0';
		game.count = game.next = 0;
		plan_duel();
		if (game.count == 0)
			return; /* it has played them all */
	}
	const struct post *p = &game.posts[game.next];
	bool begins = strcmp(p->kind, "cycle") == 0;
	char duel[80] = "";
	if (!begins)
		snprintf(duel, sizeof duel, "\"duelId\":\"%s\"", game.duel);
	note_said(p);
	snprintf(q.path, sizeof q.path, "/v1/source/arena/%s", p->kind);
	snprintf(q.body, sizeof q.body,
	         "{%s%s,\"sourceEpoch\":%" PRIu64 ",\"sourceSeq\":%" PRIu64 "}", duel, p->members,
	         game.epoch, game.seq + 1);
	bridges_ask(&q);
}

/* ---- coming back ---- */

static void on_look(void *life, unsigned status, const json_t *body)
{
	if (is_past(life))
		return;
	if (status != 200) {
		world_after(0, world_wait(REPEAT_MS, 10 * REPEAT_MS), look, life);
		return;
	}
	const json_t *duel = json_object_get(body, "duel");
	const char *phase = json_string_value(json_object_get(duel, "phase")),
	           *id = json_string_value(json_object_get(duel, "duelId"));
	uint64_t epoch = (uint64_t)json_integer_value(json_object_get(body, "sourceEpoch"));
	game.epoch = epoch >= game.epoch ? epoch + 1 : game.epoch;
	game.seq = 0;
	game.count = game.next = 0;
	game.duel[0] = '\0';
	if (id != NULL && phase != NULL) {
		snprintf(game.duel, sizeof game.duel, "%s", id);
		plan_from(phase);
	}
	say(life);
}

static void look(void *life)
{
	struct bridge_question q = {
	        .method = CALL_GET, .path = "/v1/source/arena", .done = on_look, .arg = life};
	if (!is_past(life))
		bridges_ask(&q);
}

void game_die(void)
{
	world_trace("the game dies, in %s", game.duel);
	game.life++;
	game.epoch++;
	game.seq = 0;
	game.duel[0] = '\0';
	world_after(0, world_below(AWAY_MS_MAX), look, this_life());
}

void game_begin(unsigned duels)
{
	memset(&game, 0, sizeof game);
	game.epoch = 1;
	game.left = duels;
	said_count = 0;
	world_after(0, world_below(THINK_MS), look, this_life());
}

bool game_over(void)
{
	return game.left == 0 && game.next == game.count && *game.duel == '\0';
}

const char *game_duel(void)
{
	return game.duel;
}

bool game_said(const char *duel_id, const char *outcome, const char *winner)
{
	for (size_t i = 0; i < said_count; i++)
		if (strcmp(said[i].duel, duel_id) == 0 && strcmp(said[i].outcome, outcome) == 0 &&
		    strcmp(said[i].winner, winner) == 0)
			return true;
	return false;
}
