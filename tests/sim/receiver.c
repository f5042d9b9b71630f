#include "tests/sim/receiver.h"
#include "common/base/check.h"
#include "common/base/http_post.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DUELS_MAX = 64, WAY_MS = 60, WAY_MS_MAX = 20000, LOST = 80, REFUSED = 80, TWICE = 60 };

struct duel {
	char id[64], state[12], side[2];
	unsigned taken; /* steps, as bits */
};

static struct duel duels[DUELS_MAX];
static size_t duels_count;
static uint64_t fence;
static bool calm;

static const char *const steps[] = {"create", "lock", "resolve", "cancel"};
static const char *const states[] = {"open", "locked", "resolved", "cancelled"};

void receiver_begin(void)
{
	duels_count = 0;
	fence = 0;
	calm = false;
}

void receiver_calm(void)
{
	calm = true;
}

static struct duel *duel_of(const char *id)
{
	for (size_t i = 0; i < duels_count; i++)
		if (strcmp(duels[i].id, id) == 0)
			return &duels[i];
	return NULL;
}

const char *receiver_state(const char *duel_id, const char **side)
{
	const struct duel *d = duel_of(duel_id);
	*side = d != NULL ? d->side : "";
	return d != NULL ? d->state : NULL;
}

/* ---- what it takes ---- */

static size_t step_of(const char *name)
{
	size_t i = 0;
	while (i < 4 && strcmp(steps[i], name) != 0)
		i++;
	if (i == 4)
		world_broken("the receiver was asked for a step \"%s\"", name);
	return i;
}

static void take_effect(struct duel *d, size_t step, const json_t *market)
{
	if (d->taken & (4 | 8))
		world_broken("%s: %s, and it was %s", d->id, steps[step], d->state);
	if (step == 1 && (d->taken & 1) == 0)
		world_broken("%s was locked before it was created", d->id);
	if (step == 2 && (d->taken & 2) == 0)
		world_broken("%s was resolved before it was locked", d->id);
	d->taken |= 1u << step;
	snprintf(d->state, sizeof d->state, "%s", states[step]);
	if (step == 2)
		snprintf(d->side, sizeof d->side, "%s",
		         json_string_value(json_object_get(market, "winnerSide")));
	world_trace("receiver: %s is %s%s", d->id, d->state, d->side);
}

/* The answer's status. */
static unsigned take(const char *key, uint64_t its_fence, const char *body)
{
	json_t *post = json_loads(body, 0, NULL);
	const json_t *market = json_object_get(post, "market");
	const char *id = json_string_value(json_object_get(market, "duelId")),
	           *name = json_string_value(json_object_get(post, "step"));
	char expected[128];
	if (id == NULL || name == NULL)
		world_broken("the receiver cannot read: %s", body);
	snprintf(expected, sizeof expected, "%s:%s", id, name);
	if (strcmp(key, expected) != 0)
		world_broken("the key of %s is %s", expected, key);
	size_t step = step_of(name);
	unsigned status = 200;
	if (its_fence < fence) {
		status = 409; /* of a bridge that was replaced */
	} else {
		fence = its_fence;
		struct duel *d = duel_of(id);
		if (d == NULL) {
			check(duels_count < DUELS_MAX);
			d = &duels[duels_count++];
			*d = (struct duel){0};
			snprintf(d->id, sizeof d->id, "%s", id);
		}
		if ((d->taken & 1u << step) == 0) /* else it has been done */
			take_effect(d, step, market);
	}
	json_decref(post);
	return status;
}

static char *view_of(const char *url)
{
	const char *at = strstr(url, "duel=");
	const struct duel *d = at != NULL ? duel_of(at + 5) : NULL;
	json_t *view =
	        d != NULL ? json_pack("{s:s,s:s}", "state", d->state, "winnerSide", d->side) : NULL;
	char *text = view != NULL ? json_dumps(view, JSON_COMPACT) : NULL;
	json_decref(view);
	return text;
}

/* ---- the network ---- */

struct http_posts {
	unsigned process;
	size_t in_flight;
};

struct asking {
	struct http_posts *posts;
	char *url, *body, key[160]; /* body NULL: a GET */
	uint64_t fence, timeout_ms;
	unsigned status;
	char *answer;
	bool answered;
	void (*done)(void *arg, const struct http_post_answer *answer);
	void *arg;
};

struct http_posts *http_posts_create(uv_loop_t *loop, const char *ca_file)
{
	struct http_posts *posts = xcalloc(1, sizeof *posts);
	(void)ca_file;
	posts->process = (unsigned)(uintptr_t)loop->data;
	return posts;
}

size_t http_posts_in_flight(const struct http_posts *posts)
{
	return posts->in_flight;
}

static void answer(struct asking *a, unsigned status, const char *why)
{
	if (a->answered)
		return;
	a->answered = true;
	a->posts->in_flight--;
	const struct http_post_answer answer = {.status = status,
	                                        .body = span_str(a->answer),
	                                        .error = why,
	                                        .cache_control = "",
	                                        .sent = true};
	a->done(a->arg, &answer);
}

static void on_back(void *arg)
{
	struct asking *a = arg;
	answer(a, a->status, "");
}

static void on_timeout(void *arg)
{
	answer(arg, 0, "no answer in time");
}

/* It arrives, maybe when nobody waits for it any more. */
static void on_arrival(void *arg)
{
	struct asking *a = arg;
	static const unsigned refusals[] = {500, 503, 429, 408};
	if (!calm && world_chance(REFUSED)) {
		a->status = refusals[world_below(4)];
		/* 500 and 408 may come from behind the effect. */
		if (a->body != NULL && a->status != 429 && a->status != 503 && world_chance(500))
			take(a->key, a->fence, a->body);
	} else if (a->body != NULL) {
		a->status = take(a->key, a->fence, a->body);
	} else {
		a->answer = view_of(a->url);
		a->status = a->answer != NULL ? 200 : 404;
	}
	if (calm || !world_chance(LOST))
		world_after(a->posts->process, world_wait(WAY_MS, calm ? WAY_MS : WAY_MS_MAX),
		            on_back, a);
}

static uint64_t way_ms(void)
{
	return world_wait(WAY_MS, calm ? WAY_MS : WAY_MS_MAX);
}

void http_posts_send(struct http_posts *posts, const struct http_post *post,
                     void (*done)(void *arg, const struct http_post_answer *answer), void *arg)
{
	struct asking *a = xcalloc(1, sizeof *a);
	*a = (struct asking){
	        .posts = posts, .timeout_ms = post->timeout_ms, .done = done, .arg = arg};
	a->url = xmemdup_text(post->url, strlen(post->url));
	a->body = post->get ? NULL : xmemdup_text(post->body.at, post->body.len);
	for (const char *const *h = post->headers; h != NULL && *h != NULL; h++) {
		sscanf(*h, "Idempotency-Key: %159s", a->key);
		sscanf(*h, "Ringside-Fence: %" SCNu64, &a->fence);
	}
	posts->in_flight++;
	world_after(posts->process, a->timeout_ms, on_timeout, a);
	if (calm || !world_chance(LOST))
		world_after(0, way_ms(), on_arrival, a);
	if (!calm && world_chance(TWICE))
		world_after(0, way_ms(), on_arrival, a);
}
