/* Render sessions: what clients order. */
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/store/row.h"
#include "worker-capture/render_parts.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static struct render_sessions *sessions_of(const struct call *call)
{
	return ((struct capture *)call->context)->render;
}

/* The stream-kit web client asks at this path and wants another form of answer. */
static bool for_client(const struct call *call)
{
	return span_equal(call->path, SPAN("/stream/session"));
}

static void answer_created(struct call *call, struct render_live *live)
{
	struct render_session *paper = live->paper;
	char location[RENDER_LOCATION_ROOM];
	render_session_location(live->all->settings->newest, paper->id, location);
	call_header(call, "location", location);
	if (for_client(call)) {
		char *url;
		struct span base = call->base_url;
		if (base.len >= 4 && memcmp(base.at, "http", 4) == 0) /* or "https" */
			base = span_of(base.at + 4, base.len - 4);
		check(asprintf(&url, "ws%.*s/v1/signal/%s?token=%s", (int)base.len,
		               (const char *)base.at, paper->id, paper->signal_token) > 0);
		call_reply(call, 201,
		           json_pack("{s:s, s:s, s:O, s:s}", "sessionId", paper->id, "status",
		                     render_status_client_name(paper->status), "iceServers",
		                     live->all->ice.list, "signalingUrl", url));
		free(url);
	} else {
		call_reply(call, 201,
		           json_pack("{s:s, s:O, s:O}", "streamId", paper->id, "initialState",
		                     paper->published, "ignoredOptions", paper->order.ignored));
	}
}

/* One name for what this principal calls by this key. "" without a key. */
static void retry_key_of(const struct call *call, struct span principal, char out[65])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	*out = '\0';
	if (call->idempotency_key.len > 0 &&
	    render_session_may_own(sessions_of(call)->settings->newest, principal)) {
		check(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		      EVP_DigestUpdate(context, principal.at, principal.len) == 1 &&
		      EVP_DigestUpdate(context, "\n", 1) == 1 &&
		      EVP_DigestUpdate(context, call->idempotency_key.at,
		                       call->idempotency_key.len) == 1 &&
		      EVP_DigestFinal_ex(context, digest, NULL) == 1);
		hex_print(digest, 32, out);
	}
	EVP_MD_CTX_free(context);
}

/* The session that this key has made already: answered. */
static bool answered_by(struct render_sessions *all, struct call *call, const char *retry_key)
{
	char digest[65];
	if (*retry_key == '\0')
		return false;
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next)
		if (render_life_is_new(live->state) &&
		    strcmp(live->paper->retry_key, retry_key) == 0) {
			call_header(call, "retry-after", "1");
			call_refuse(call, 409,
			            "the first request with this Idempotency-Key is under way");
			return true;
		}
	json_t *row;
	enum row_found found = render_retry_row(all, retry_key, &row);
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503,
		            "this release cannot read what was ordered with this Idempotency-Key");
	if (found != ROW_PRESENT)
		return found == ROW_UNREADABLE;
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *was = json_string_value(json_object_get(row, "digest"));
	struct render_live *live = render_find(all, span_str(id));
	render_retry_digest(call, digest);
	if (strcmp(was, digest) != 0)
		call_refuse(call, 422, "this Idempotency-Key was used for another request");
	else if (live != NULL && live->state != RENDER_FORGETTING)
		answer_created(call, live);
	else if (live != NULL || !render_refused_unreadable(all, call, span_str(id)))
		call_refuse(call, 410, "the session of this Idempotency-Key is over");
	json_decref(row);
	return true;
}

/* The same, also when it was made before who asks had the name that he has now. */
static bool answered_again(struct render_sessions *all, struct call *call, const char *retry_key)
{
	char former_key[65];
	if (answered_by(all, call, retry_key))
		return true;
	for (size_t at = 0; at + OWNER_DIGEST_LEN <= call->former.len; at += OWNER_DIGEST_LEN) {
		retry_key_of(call, span_of(call->former.at + at, OWNER_DIGEST_LEN), former_key);
		if (answered_by(all, call, former_key))
			return true;
	}
	return false;
}

/* Is there room for one more of this principal? False: answered. */
static bool admitted(struct render_sessions *all, struct call *call)
{
	uint64_t lives = 0, own = 0;
	for (const struct render_live *live = all->lives; live != NULL; live = live->hh.next) {
		if (!render_life_lives(live->state))
			continue;
		lives++;
		own += render_session_is_of(live->paper, all->settings->newest, call->principal,
		                            call->former);
	}
	if (own < all->settings->newest->sessions_per_principal &&
	    lives < all->settings->newest->sessions_max)
		return true;
	bool mine = own >= all->settings->newest->sessions_per_principal;
	call_header(call, "retry-after", mine ? "30" : "10");
	call_refuse(
	        call, mine ? 429 : 503,
	        mine ? "you have as many sessions as one may have (sessions.per_principal): end one"
	             : "there are as many sessions as there may be (sessions.max)");
	return false;
}

static void make_signal_token(char token[RENDER_SIGNAL_TOKEN_LEN + 1])
{
	uint8_t random[32];
	clock_random(random, sizeof random);
	char *text = base64url_text(span_of(random, sizeof random));
	check(strlen(text) == RENDER_SIGNAL_TOKEN_LEN);
	strcpy(token, text);
	free(text);
}

static void create(struct render_sessions *all, struct call *call, struct render_order *order,
                   const char *retry_key, const json_t *caller)
{
	struct render_live *live = xcalloc(1, sizeof *live);
	char id[RENDER_SESSION_ID_MAX + 1], owner[RENDER_OWNER_MAX + 1] = "", reason[256];
	unsigned status;
	memcpy(owner, call->principal.at, call->principal.len);
	render_session_id(id);
	live->paper = render_session_create(id, owner, order, clock_wall_ms());
	live->paper->caller = caller != NULL ? json_deep_copy(caller) : NULL;
	strcpy(live->paper->retry_key, retry_key);
	make_signal_token(live->paper->signal_token);
	render_retry_digest(call, live->retry_digest);
	render_add(all, live);
	render_publish_start(live);
	if (!render_open_browser(live, &status, reason)) {
		if (status == 503)
			call_header(call, "retry-after", "10");
		render_error_tell(all, live->paper, false, reason);
		call_refuse(call, status, reason);
		render_remove(live, RENDER_LIFE_LOST);
		return;
	}
	counter_add(all->capture->worker->mine, render_sessions_created_total, 1);
	render_answer_later(live, call, answer_created);
}

static void drop_order(struct call *call)
{
	struct render_order *order = call->state;
	call->state = NULL;
	render_order_finish(order);
	free(order);
}

/* All questions are asked again: answers may have taken their time. */
static void on_validated(struct call *call, const json_t *caller)
{
	struct render_sessions *all = sessions_of(call);
	struct render_order order = *(struct render_order *)call->state;
	char retry_key[65];
	free(call->state);
	call->state = NULL;
	retry_key_of(call, call->principal, retry_key);
	if (!render_session_may_own(all->settings->newest, call->principal)) {
		call_header(call, "www-authenticate", "Bearer realm=\"ringside\"");
		call_refuse(call, 401, "a session belongs to somebody: credentials are needed");
	} else if (!answered_again(all, call, retry_key) && admitted(all, call))
		create(all, call, &order, retry_key, caller);
	render_order_finish(&order);
}

/* False: answered. */
static bool read_order(struct render_sessions *all, struct call *call, struct render_order *order)
{
	char reason[160];
	json_t *body = call_json_with(call, "initialData");
	if (body == NULL)
		return false;
	uint32_t width = (uint32_t)all->settings->newest->sessions_width & ~1u,
	         height = (uint32_t)all->settings->newest->sessions_height & ~1u;
	enum render_order_result result = render_order_read(order, body,
	                                                    width != 0         ? width
	                                                    : for_client(call) ? 1920
	                                                                       : 1280,
	                                                    height != 0        ? height
	                                                    : for_client(call) ? 1080
	                                                                       : 720,
	                                                    reason);
	json_decref(body);
	if (result == RENDER_ORDER_OK)
		return true;
	render_order_finish(order);
	call_refuse(call, result == RENDER_ORDER_MALFORMED ? 400 : 422, reason);
	return false;
}

void render_sessions_on_create(struct call *call)
{
	struct render_sessions *all = sessions_of(call);
	struct render_order order;
	char retry_key[65];
	retry_key_of(call, call->principal, retry_key);
	if (answered_again(all, call, retry_key) || !admitted(all, call) ||
	    !read_order(all, call, &order))
		return;
	struct render_order *kept = xmalloc(sizeof *kept);
	*kept = order;
	call->state = kept;
	if (render_validates(all))
		render_validate(all, call,
		                json_pack("{s:s, s:s, s:n}", "action", "create", "targetUrl",
		                          order.target_url, "streamId"),
		                on_validated, drop_order);
	else
		on_validated(call, NULL);
}
