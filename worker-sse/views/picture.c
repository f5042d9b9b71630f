#include "worker-sse/views/picture.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

/* One request that waits for a picture. */
struct look {
	struct request *request;
	struct call_options options; /* but the path */
	struct picture *picture;
	struct look *prev, *next;
};

/* One that has been asked for. */
struct picture {
	struct sse_worker *worker;
	struct look *looks;
	uint64_t asked; /* of asks_send(); 0: is being handed out */
	UT_hash_handle hh;
	char key[]; /* principal, what he may, and path */
};

/* Off the list; the request is the caller's again. */
static struct request *take_back(struct look *look)
{
	struct request *request = look->request;
	DL_DELETE(look->picture->looks, look);
	request->on_gone = NULL;
	request->feature = look->options.kept;
	free(look);
	return request;
}

static void on_gone(struct request *request)
{
	struct look *look = request->feature;
	struct picture *picture = look->picture;
	void (*gone)(struct request *) = look->options.on_gone;
	take_back(look);
	if (picture->looks == NULL && picture->asked != 0) {
		asks_forget(picture->worker->asks, picture->asked);
		HASH_DEL(picture->worker->pictures, picture);
		free(picture);
	}
	if (gone != NULL)
		gone(request);
}

static void fail(struct request *request, const struct call_options *options)
{
	const char *reason = "the worker that has the picture does not answer";
	if (options->on_failed != NULL)
		options->on_failed(request, reason);
	else
		reply_error(request, 503, reason);
}

static void answer(struct request *request, const struct call_options *options,
                   const struct proto_call_reply *reply)
{
	if (reply == NULL)
		fail(request, options);
	else if (reply->status > 599 || !reply_status_known((unsigned)reply->status))
		reply_error(request, 500, "the worker that has the picture gave no proper answer");
	else if (options->on_reply != NULL)
		options->on_reply(request, reply);
	else
		call_relay(request, reply);
}

static void on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                       const struct proto_call_reply *reply)
{
	struct picture *picture = arg;
	(void)outcome;
	(void)from;
	HASH_DEL(picture->worker->pictures, picture); /* who comes meanwhile gets the next one */
	picture->asked = 0;
	while (picture->looks != NULL) {
		const struct call_options options = picture->looks->options;
		answer(take_back(picture->looks), &options, reply);
	}
	free(picture);
}

static struct picture *ask(struct sse_worker *w, const char *key, const struct identity *identity,
                           unsigned may, struct span path)
{
	static const struct party owner = {.role = ROLE_CAPTURE};
	const struct proto_call question = {.method = CALL_GET,
	                                    .may = may,
	                                    .path = path,
	                                    .principal = span_str(identity->principal),
	                                    .former = identity->former};
	size_t len = strlen(key) + 1;
	struct picture *picture = xcalloc(1, sizeof *picture + len);
	memcpy(picture->key, key, len);
	picture->worker = w;
	if (asks_send(w->asks, &owner, &question, on_outcome, picture, &picture->asked) !=
	    ASK_SENT) {
		free(picture);
		return NULL;
	}
	HASH_ADD_STR(w->pictures, key, picture);
	return picture;
}

void picture_send(struct request *request, const struct call_options *options)
{
	struct sse_worker *w = worker_of(request);
	const struct identity *identity = request->identity;
	char room[REQUEST_RESOURCE_ROOM];
	unsigned may = identities_may(request->edge->identities, identity,
	                              request_resource(request, room));
	char key[IDENTITY_PRINCIPAL_ROOM + PROTO_CALL_PATH_MAX + 16];
	struct picture *picture;
	snprintf(key, sizeof key, "%s %x %.*s", identity->principal, may, (int)options->path.len,
	         (const char *)options->path.at);
	HASH_FIND_STR(w->pictures, key, picture);
	if (picture == NULL)
		picture = ask(w, key, identity, may, options->path);
	if (picture == NULL) {
		request->feature = options->kept;
		fail(request, options);
		return;
	}
	struct look *look = xcalloc(1, sizeof *look);
	*look = (struct look){.request = request, .options = *options, .picture = picture};
	DL_APPEND(picture->looks, look);
	request->feature = look;
	request->on_gone = on_gone;
}
