/* The render sessions that there are: found, added, removed. Calls nothing above it. */
#include "common/base/check.h"
#include "worker-capture/render_parts.h"

#include <stdlib.h>

enum { SECOND_MS = 1000 };

struct render_live *render_find(struct render_sessions *all, struct span id)
{
	struct render_live *live = NULL;
	if (render_session_id_valid(id))
		HASH_FIND(hh, all->lives, id.at, id.len, live);
	return live;
}

void render_count(struct render_sessions *all)
{
	uint64_t count = 0;
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next)
		count += live->state != RENDER_OVER && live->state != RENDER_FORGETTING;
	counter_set(all->capture->worker->mine, render_sessions, count);
}

void render_add(struct render_sessions *all, struct render_live *live)
{
	live->all = all;
	if (live->signals == NULL)
		live->signals = json_array();
	HASH_ADD(hh, all->lives, paper->id, RENDER_SESSION_ID_MAX, live);
	render_count(all);
}

void render_live_on(struct render_live *live, enum render_life_event event)
{
	live->state = (enum render_state)machine_step(&render_life, live->state, event);
}

void render_close_browser(struct render_live *live)
{
	struct session *browser = live->browser;
	live->browser = NULL;
	live->viewers_count = 0;
	session_unwatch(&live->watcher);
	if (browser != NULL)
		session_close(browser);
}

void render_remove(struct render_live *live, enum render_life_event event)
{
	struct render_sessions *all = live->all;
	render_live_on(live, event);
	check(live->state == RENDER_GONE && !actor_busy(&live->actor));
	render_close_browser(live);
	HASH_DEL(all->lives, live);
	render_count(all);
	while (live->asked != NULL) {
		struct render_answer *a = live->asked;
		live->asked = a->next;
		call_refuse(a->call, 503, "the session was lost; try again");
		free(a);
	}
	json_decref(live->signals);
	render_session_destroy(&live->paper);
	free(live->document);
	free(live);
}

bool render_within(struct render_rate *rate, uint64_t max, struct call *call, const char *reason)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (now_ms >= rate->from_ms + SECOND_MS)
		*rate = (struct render_rate){now_ms, 0};
	if (++rate->count <= max)
		return true;
	call_header(call, "retry-after", "1");
	call_refuse(call, 429, reason);
	return false;
}
