#include "worker-sse/views/login.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "worker-sse/edge/cookie.h"
#include "worker-sse/edge/credential.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/views/passes.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- answers ---- */

static void send_json(struct request *request, unsigned status, json_t *answer)
{
	static const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                        {"cache-control", SPAN("no-store")}};
	char *text = json_dumps(answer, JSON_COMPACT);
	reply(request, status, headers, 2, span_str(text));
	free(text);
	json_decref(answer);
}

static void send_cookie(struct request *request, const char *cookie)
{
	const struct header headers[] = {{"set-cookie", span_str(cookie)},
	                                 {"cache-control", SPAN("no-store")}};
	reply(request, 204, headers, 2, (struct span){0});
}

static json_t *time_json(uint64_t unix_ms)
{
	char text[40];
	if (unix_ms == UINT64_MAX)
		return json_null();
	struct span s = timestamp_print((int64_t)unix_ms, text);
	return json_stringn((const char *)s.at, s.len);
}

/* No page of a foreign origin logs its visitor in as somebody else, or out. */
static bool from_friend(struct request *request)
{
	if (request_page(request) != PAGE_FOREIGN)
		return true;
	reply_error(request, 403, "pages of this origin may not (http.allowed_origin)");
	return false;
}

/* ---- who it is ---- */

enum { TAG_DIGITS = 32 };

static bool has_token(const struct identity *identity)
{
	return identity->way == IDENTITY_TOKEN || identity->way == IDENTITY_JWT;
}

static enum refusal refusal_of(const struct identity *identity, bool welcome)
{
	return identity->refusal != REFUSAL_NONE ? (enum refusal)identity->refusal
	       : welcome                         ? REFUSAL_NONE
	                                         : REFUSAL_MISSING;
}

static const char *kind_of(const struct identity *identity)
{
	switch (identity->way) {
	case IDENTITY_TOKEN:
		return "token";
	case IDENTITY_JWT:
		return "jwt";
	case IDENTITY_COOKIE:
		return "cookie";
	case IDENTITY_TICKET:
		return "ticket";
	case IDENTITY_STRANGER:
	case IDENTITY_OTHER:
	case IDENTITY_ANONYMOUS:
	case IDENTITY_WAYS:
		break;
	}
	return "anonymous";
}

/* The same for who may as much by the same credential's owner, another for everybody else. Says
 * nothing of the credential: what a principal is made of is a digest already. */
static void print_tag(const struct identity *identity, json_t *rights, char out[TAG_DIGITS + 1])
{
	char *may = json_dumps(rights, JSON_COMPACT | JSON_SORT_KEYS), *text = NULL;
	char digest[IDENTITY_PRINCIPAL_ROOM];
	check(may != NULL && asprintf(&text, "ringside identity\n%s\n%s\n%s", identity->principal,
	                              may, identity->subject) > 0);
	credential_digest(span_str(text), digest);
	snprintf(out, TAG_DIGITS + 1, "%.*s", TAG_DIGITS, digest);
	free(text);
	free(may);
}

void me_handle(struct request *request)
{
	const struct identity *identity = request->identity;
	if (identity->refusal != REFUSAL_NONE) {
		reply_refusal(request, (enum refusal)identity->refusal);
		return;
	}
	json_t *rights = rights_json(identity->rights);
	char tag[TAG_DIGITS + 1];
	print_tag(identity, rights, tag);
	json_t *answer = json_pack("{ss ss ss so so}", "subject", identity->subject, "kind",
	                           kind_of(identity), "tag", tag, "rights", rights, "expiresAt",
	                           time_json(identity->expires_ms));
	check(answer != NULL);
	if (request->edge->settings->dev)
		json_object_set_new(answer, "dev", json_true());
	send_json(request, 200, answer);
}

/* ---- cookies ---- */

/* A browser that forgot the cookie when it ends would come back as nobody in particular, and read
 * on as that where nobody may read: it is to hear 401 once, which takes the cookie away. */
enum { LINGERS_S = 7 * 24 * 3600 };

void login_handle(struct request *request)
{
	struct sse_worker *w = worker_of(request);
	const struct identity *identity = request->identity;
	uint64_t now_ms = clock_wall_ms(), end_ms = now_ms + w->settings->auth_cookie_max_ms;
	enum refusal refusal = refusal_of(identity, has_token(identity));
	char *pass, *cookie;
	if (!from_friend(request) || !request_take(request, LIMIT_LOGINS) ||
	    !request_may_guess(request))
		return;
	if (refusal != REFUSAL_NONE) {
		reply_refusal(request, refusal);
		return;
	}
	if (end_ms > identity->expires_ms)
		end_ms = identity->expires_ms;
	enum passes_made made = passes_make(w, PASS_COOKIE, identity, NULL, end_ms, &pass);
	if (made == PASSES_NO_SECRET) {
		reply_refusal(request, REFUSAL_UNAVAILABLE);
	} else if (made != PASSES_MADE || strlen(pass) > COOKIE_BYTES_MAX) {
		reply_error(request, 422, "this token says more than fits into a cookie");
	} else {
		cookie = cookie_text(span_str(pass), request_over_tls(request),
		                     (end_ms - now_ms + 999) / 1000 + LINGERS_S);
		send_cookie(request, cookie);
		free(cookie);
	}
	free(pass);
}

void logout_handle(struct request *request)
{
	if (from_friend(request))
		send_cookie(request, cookie_gone(request_over_tls(request)));
}

/* ---- tickets ---- */

struct wish {
	struct rights_draft *draft;
	size_t patterns;
	uint64_t expires_s;
	unsigned status; /* not 0: why not */
	char reason[RIGHTS_REASON_ROOM];
};

static bool bad(struct wish *wish, unsigned status, const char *reason)
{
	wish->status = status;
	snprintf(wish->reason, sizeof wish->reason, "%s", reason);
	return false;
}

static bool add(struct wish *wish, const struct rights *makers, enum verb verb,
                const json_t *pattern)
{
	struct span text = span_of(json_string_value(pattern), json_string_length(pattern));
	if (!json_is_string(pattern))
		return bad(wish, 400, "patterns are texts");
	if (!rights_draft_add(wish->draft, verb, text, wish->reason)) {
		wish->status = 400;
		return false;
	}
	wish->patterns++;
	return rights_covers(makers, verb, text) ||
	       bad(wish, 403, "a ticket allows nothing that its maker may not");
}

static bool add_all(struct wish *wish, const struct rights *makers, enum verb verb,
                    const json_t *patterns)
{
	size_t i;
	json_t *pattern;
	if (!json_is_array(patterns))
		return bad(wish, 400, "read and view are lists of patterns");
	json_array_foreach (patterns, i, pattern)
		if (!add(wish, makers, verb, pattern))
			return false;
	return true;
}

static bool set_expiry(struct wish *wish, const json_t *value, uint64_t most_s)
{
	json_int_t seconds = json_integer_value(value);
	if (!json_is_integer(value) || seconds < 1)
		return bad(wish, 400, "expiresIn is a number of seconds, at least 1");
	if ((uint64_t)seconds > most_s)
		return bad(wish, 400, "expiresIn is more than auth.ticket_max");
	wish->expires_s = (uint64_t)seconds;
	return true;
}

static bool read_wish(struct wish *wish, const struct rights *makers, json_t *body, uint64_t most_s)
{
	const char *name;
	json_t *value;
	if (!json_is_object(body))
		return bad(wish, 400,
		           "a ticket is ordered by {\"read\": [patterns], \"expiresIn\": "
		           "seconds}");
	json_object_foreach (body, name, value) {
		bool good = strcmp(name, "read") == 0   ? add_all(wish, makers, VERB_READ, value)
		            : strcmp(name, "view") == 0 ? add_all(wish, makers, VERB_VIEW, value)
		            : strcmp(name, "expiresIn") == 0
		                    ? set_expiry(wish, value, most_s)
		                    : bad(wish, 400, "a ticket has read, view and expiresIn");
		if (!good)
			return false;
	}
	return wish->patterns > 0 || bad(wish, 400, "a ticket for nothing");
}

static void send_ticket(struct request *request, const struct wish *wish,
                        const struct rights *rights)
{
	const struct identity *maker = request->identity;
	uint64_t end_ms = clock_wall_ms() + wish->expires_s * 1000;
	char *ticket;
	if (end_ms > maker->expires_ms)
		end_ms = maker->expires_ms;
	switch (passes_make(worker_of(request), PASS_TICKET, maker, rights, end_ms, &ticket)) {
	case PASSES_MADE:
		send_json(request, 201,
		          json_pack("{ss so}", "ticket", ticket, "expiresAt", time_json(end_ms)));
		break;
	case PASSES_NO_SECRET:
		reply_refusal(request, REFUSAL_UNAVAILABLE);
		break;
	case PASSES_NO_TOKEN:
		reply_refusal(request, REFUSAL_MISSING);
		break;
	case PASSES_TOO_LONG:
		reply_error(request, 422, "these patterns are more than fits into a ticket");
		break;
	}
	free(ticket);
}

void tickets_handle(struct request *request)
{
	const struct identity *maker = request->identity;
	uint64_t most_s = request->edge->settings->auth_ticket_max_ms / 1000;
	struct wish wish = {.expires_s = most_s};
	enum refusal refusal = refusal_of(maker, has_token(maker) || maker->way == IDENTITY_COOKIE);
	if (refusal != REFUSAL_NONE) {
		reply_refusal(request, refusal);
		return;
	}
	if (!request_take(request, LIMIT_TICKETS))
		return;
	json_t *body = json_loadb((const char *)request->body, request->body_len,
	                          JSON_REJECT_DUPLICATES, NULL);
	wish.draft = rights_draft_create();
	bool good = read_wish(&wish, maker->rights, body, most_s);
	struct rights *rights = rights_draft_finish(&wish.draft);
	if (good)
		send_ticket(request, &wish, rights);
	else
		reply_error(request, wish.status, wish.reason);
	rights_release(&rights);
	json_decref(body);
}
