#include "worker-bridge/posts.h"
#include "common/base/counters.h"

#include <stdio.h>
#include <stdlib.h>

void posts_init(struct posts *posts)
{
	*posts = (struct posts){.last = &posts->first};
}

void posts_add(struct posts *posts, struct post *post)
{
	post->next = NULL;
	*posts->last = post;
	posts->last = &post->next;
	posts->count++;
}

struct post *posts_take(struct posts *posts)
{
	struct post *post = posts->first;
	if (post == NULL)
		return NULL;
	posts->first = post->next;
	if (posts->first == NULL)
		posts->last = &posts->first;
	posts->count--;
	return post;
}

void posts_requeue(struct posts *queue, struct posts *posts)
{
	for (struct post *post = posts->first; post != NULL; post = post->next) {
		json_decref(post->answer);
		post->answer = NULL;
		post->status = 0;
	}
	if (posts->first == NULL)
		return;
	*posts->last = queue->first;
	if (queue->first == NULL)
		queue->last = posts->last;
	queue->first = posts->first;
	queue->count += posts->count;
	posts_init(posts);
}

void post_refuse(struct post *post, unsigned status, const char *reason)
{
	post->status = status;
	snprintf(post->reason, sizeof post->reason, "%s", reason);
}

void post_answer(struct post *post, struct counters_slot *counters)
{
	if (post->queued)
		counter_add(counters, source_queue, -1);
	if (post->answer != NULL)
		call_reply(post->call, post->status, post->answer);
	else {
		counter_add(counters, source_refused_total, 1);
		if (post->status == 503)
			call_header(post->call, "Retry-After", "1");
		call_refuse(post->call, post->status, post->reason);
	}
	fact_post_finish(&post->facts);
	free(post);
}

void posts_answer(struct posts *posts, struct counters_slot *counters)
{
	for (struct post *post; (post = posts_take(posts)) != NULL;)
		post_answer(post, counters);
}

void posts_refuse(struct posts *posts, const char *reason, struct counters_slot *counters)
{
	for (struct post *post; (post = posts_take(posts)) != NULL;) {
		json_decref(post->answer);
		post->answer = NULL;
		post_refuse(post, 503, reason);
		post_answer(post, counters);
	}
}
