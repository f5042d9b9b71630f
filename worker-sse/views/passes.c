#include "worker-sse/views/passes.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "worker-sse/edge/cookie.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

static const char secret_key[] = "auth/secret";

/* ---- the secret ---- */

struct secret {
	struct command command; /* first */
	uint8_t bytes[PASS_SECRET_BYTES];
};

/* Whoever was first has made it. */
static void secret_made(struct command *command)
{
	OPENSSL_cleanse(((struct secret *)command)->bytes, PASS_SECRET_BYTES);
	free(command);
}

/* In a new store, once: whoever finds it open may log in. Without it there are no passes, and that
 * is said. */
static void wait_for_secret(struct sse_worker *w)
{
	enum { TRIES = 2000, PAUSE_US = 1000 };
	struct span present;
	store_kick(w->store);
	for (unsigned i = 0; i < TRIES; i++) {
		usleep(PAUSE_US);
		uint64_t durable = store_durable(w->store);
		if (store_collect(w->store) > 0)
			worker_announce_durable(w->worker, durable);
		store_advance(w->store, 0);
		if (state_kv_get(store_view(w->store), span_str(secret_key), &present))
			return;
	}
}

void passes_start(struct sse_worker *w)
{
	struct span present;
	if (state_kv_get(store_view(w->store), span_str(secret_key), &present))
		return;
	struct secret *secret = xcalloc(1, sizeof *secret);
	clock_random(secret->bytes, sizeof secret->bytes);
	secret->command = (struct command){.kind = COMMAND_KV,
	                                   .done = secret_made,
	                                   .key = span_str(secret_key),
	                                   .value = span_of(secret->bytes, sizeof secret->bytes),
	                                   .expect_present = true};
	store_submit(w->store, &secret->command);
	wait_for_secret(w);
}

static bool find_keys(struct sse_worker *w, struct pass_keys *keys)
{
	struct span secret;
	if (!state_kv_get(store_view(w->store), span_str(secret_key), &secret) ||
	    secret.len != PASS_SECRET_BYTES)
		return false;
	pass_keys_make(secret.at, keys);
	return true;
}

/* ---- whose it is ---- */

static char *text_of(struct span s)
{
	return xmemdup_text(s.at, s.len);
}

/* NULL: it does not allow anything that is known here. */
static struct rights *rights_of(struct span text)
{
	char reason[RIGHTS_REASON_ROOM];
	return rights_of_text(text, reason);
}

/* Who made it, as he is now: one reference; NULL: he is nobody any more. */
static struct identity *maker_of(struct sse_worker *w, const struct pass *pass, uint64_t now_ms)
{
	if (!pass->jwt)
		return identities_of_token(w->edge.identities, pass->digest, now_ms);
	char *subject = text_of(pass->subject), digest[IDENTITY_PRINCIPAL_ROOM];
	bool named = *subject != '\0';
	hex_print(pass->digest, PASS_DIGEST_BYTES, digest);
	struct identity *maker = identities_of_jwt(
	        w->edge.identities,
	        &(struct identity_facts){.subject = subject,
	                                 .principal = named ? NULL : digest,
	                                 .former = named ? span_str(digest) : (struct span){0},
	                                 .rights = rights_of(pass->maker),
	                                 .expires_ms = pass->expires_ms,
	                                 .generation = pass->key},
	        now_ms);
	free(subject);
	return maker;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* With a cookie one is who made it. With a ticket one is nobody, and may some of what he may. */
static struct identity *holder(const struct pass *pass, struct identity *maker, struct span text)
{
	bool ticket = pass->kind == PASS_TICKET;
	struct rights *own = ticket ? rights_of(pass->rights) : NULL;
	struct identity_facts facts = {.subject = ticket ? "" : maker->subject,
	                               .principal = ticket ? "" : maker->principal,
	                               .former = ticket ? (struct span){0} : maker->former,
	                               .rights = ticket ? rights_both(own, maker->rights)
	                                                : rights_hold(maker->rights),
	                               .expires_ms = sooner(pass->expires_ms, maker->expires_ms),
	                               .generation = maker->generation,
	                               .note = text};
	rights_release(&own);
	return identity_create(ticket ? IDENTITY_TICKET : IDENTITY_COOKIE, &facts);
}

static struct identity *judge(struct sse_worker *w, enum pass_kind kind, struct span text,
                              uint64_t now_ms)
{
	enum identity_way way = kind == PASS_TICKET ? IDENTITY_TICKET : IDENTITY_COOKIE;
	struct pass_keys keys;
	struct pass pass;
	uint8_t *bytes;
	if (!find_keys(w, &keys))
		return identity_bad(way, REFUSAL_UNAVAILABLE);
	enum pass_result result = pass_open(&keys, kind, text, now_ms, &pass, &bytes);
	OPENSSL_cleanse(&keys, sizeof keys);
	if (result != PASS_GOOD)
		return identity_bad(way, result == PASS_EXPIRED ? REFUSAL_EXPIRED : REFUSAL_PASS);
	struct identity *maker = maker_of(w, &pass, now_ms), *found;
	if (maker == NULL)
		found = identity_bad(way, REFUSAL_REVOKED);
	else if (maker->refusal != REFUSAL_NONE)
		found = identity_bad(way, maker->refusal);
	else
		found = holder(&pass, maker, text);
	identity_release(&maker);
	free(bytes);
	return found;
}

/* ---- as sources ---- */

static struct span find_cookie(void *context, const struct request *request)
{
	const struct sse_worker *w = context;
	struct span header = request->headers[HEADER_COOKIE];
	struct span found = cookie_find(header, SPAN(COOKIE_HOST));
	return found.at == NULL && w->settings->dev ? cookie_find(header, SPAN(COOKIE_BARE))
	                                            : found;
}

static struct identity *make_of_cookie(void *context, struct span text,
                                       const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	(void)digest;
	return judge(context, PASS_COOKIE, text, now_ms);
}

static struct span find_ticket(void *context, const struct request *request)
{
	struct span ticket = {0};
	(void)context;
	if (request->method == METHOD_GET || request->method == METHOD_HEAD)
		query_find(request->query, "ticket", &ticket);
	return ticket;
}

static struct identity *make_of_ticket(void *context, struct span text,
                                       const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	(void)digest;
	return judge(context, PASS_TICKET, text, now_ms);
}

static struct identity *again(void *context, struct identity *was, uint64_t now_ms)
{
	enum pass_kind kind = was->way == IDENTITY_TICKET ? PASS_TICKET : PASS_COOKIE;
	return judge(context, kind, was->note, now_ms);
}

void passes_sources(struct sse_worker *w, struct identity_source sources[IDENTITY_WAYS])
{
	sources[IDENTITY_COOKIE] = (struct identity_source){
	        .find = find_cookie, .make = make_of_cookie, .again = again, .context = w};
	sources[IDENTITY_TICKET] = (struct identity_source){
	        .find = find_ticket, .make = make_of_ticket, .again = again, .context = w};
}

/* ---- making one ---- */

/* What the maker's own credential says of him: his token, or the cookie that he has for it. */
static bool says(const struct pass_keys *keys, const struct identity *maker, uint64_t now_ms,
                 struct pass *pass, uint8_t **bytes, char **rights)
{
	*bytes = NULL;
	*rights = NULL;
	switch (maker->way) {
	case IDENTITY_COOKIE:
		return pass_open(keys, PASS_COOKIE, maker->note, now_ms, pass, bytes) == PASS_GOOD;
	case IDENTITY_JWT:
		*rights = rights_text(maker->rights);
		pass->jwt = true;
		pass->key = maker->generation;
		pass->subject = span_str(maker->subject);
		pass->maker = span_str(*rights);
		break;
	case IDENTITY_TOKEN:
		break;
	case IDENTITY_TICKET:
	case IDENTITY_STRANGER:
	case IDENTITY_OTHER:
	case IDENTITY_ANONYMOUS:
	case IDENTITY_WAYS:
		return false;
	}
	memcpy(pass->digest, maker->digest, PASS_DIGEST_BYTES);
	return true;
}

enum passes_made passes_make(struct sse_worker *w, enum pass_kind kind,
                             const struct identity *maker, const struct rights *rights,
                             uint64_t expires_ms, char **text)
{
	struct pass_keys keys;
	struct pass pass = {0};
	uint8_t *bytes;
	char *makers, *own = rights != NULL ? rights_text(rights) : NULL;
	enum passes_made made = PASSES_NO_TOKEN;
	*text = NULL;
	if (!find_keys(w, &keys)) {
		free(own);
		return PASSES_NO_SECRET;
	}
	if (says(&keys, maker, clock_wall_ms(), &pass, &bytes, &makers)) {
		pass.kind = kind;
		pass.expires_ms = expires_ms;
		pass.rights = span_str(own);
		*text = pass_seal(&keys, &pass);
		made = *text != NULL ? PASSES_MADE : PASSES_TOO_LONG;
	}
	OPENSSL_cleanse(&keys, sizeof keys);
	free(makers);
	free(bytes);
	free(own);
	return made;
}
