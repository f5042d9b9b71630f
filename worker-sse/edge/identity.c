#include "worker-sse/edge/identity.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/domain/rights_live.h"
#include "worker-sse/edge/credential.h"
#include "worker-sse/edge/identity_tokens.h"
#include "worker-sse/edge/request.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEPT_MAX = 4096 }; /* identities that are found again without their source */

/* One that its digest leads to. */
struct kept {
	struct identity *identity; /* a reference */
	UT_hash_handle hh;         /* by identity->digest */
};

struct identities {
	struct identities_events events;
	struct identity_source sources[IDENTITY_WAYS];
	struct identity_tokens *tokens;
	struct identity *anonymous;
	struct identity *all;                  /* that were given out, but those that are no good */
	struct kept *kept;                     /* hash, the oldest first */
	uint8_t made_of[SHA256_DIGEST_LENGTH]; /* the settings that count here */
	bool open;                             /* dev */
	struct rights_live live;
	bool render_asks; /* sessions.validate_url says who may, where a session's owner does not */
};

/* ---- one of them ---- */

static void print_principal(const struct identity_facts *facts, char out[IDENTITY_PRINCIPAL_ROOM])
{
	char *text = NULL;
	*out = '\0';
	if (facts->principal != NULL) {
		snprintf(out, IDENTITY_PRINCIPAL_ROOM, "%s", facts->principal);
	} else if (facts->subject != NULL && *facts->subject != '\0') {
		/* No token is spelled so, and no other digest is made of texts that begin so. */
		check(asprintf(&text, "ringside subject\n%s", facts->subject) > 0);
		credential_digest(span_str(text), out);
		free(text);
	}
}

struct identity *identity_create(enum identity_way way, const struct identity_facts *facts)
{
	struct identity *identity = xcalloc(1, sizeof *identity);
	const char *subject = facts->subject != NULL ? facts->subject : "";
	identity->way = way;
	identity->rights = facts->rights;
	identity->expires_ms = facts->expires_ms != 0 ? facts->expires_ms : UINT64_MAX;
	identity->generation = facts->generation;
	identity->subject = xmemdup_text(subject, strlen(subject));
	identity->former =
	        span_of(xmemdup_text(facts->former.at, facts->former.len), facts->former.len);
	identity->note = span_of(xmemdup_text(facts->note.at, facts->note.len), facts->note.len);
	identity->count = 1;
	print_principal(facts, identity->principal);
	return identity;
}

struct identity *identity_bad(enum identity_way way, enum refusal refusal)
{
	struct identity *identity = identity_create(way, &(struct identity_facts){0});
	identity->refusal = refusal;
	return identity;
}

void identity_release(struct identity **identity)
{
	struct identity *i = *identity;
	*identity = NULL;
	if (i == NULL || --i->count > 0)
		return;
	if (i->previous != NULL) {
		*i->previous = i->next;
		if (i->next != NULL)
			i->next->previous = i->previous;
	}
	identity_release(&i->successor);
	rights_release(&i->rights);
	free((void *)(uintptr_t)i->former.at);
	free((void *)(uintptr_t)i->note.at);
	free(i->subject);
	free(i);
}

struct identity *identity_now(struct identity *stale)
{
	while (stale->stale) {
		struct identity *next = identity_hold(stale->successor);
		identity_release(&stale);
		stale = next;
	}
	return stale;
}

/* ---- those that are held ---- */

/* It is told of changes from here on. */
static void list(struct identities *all, struct identity *identity,
                 const uint8_t digest[IDENTITY_DIGEST_BYTES])
{
	memcpy(identity->digest, digest, IDENTITY_DIGEST_BYTES);
	identity->next = all->all;
	identity->previous = &all->all;
	if (identity->next != NULL)
		identity->next->previous = &identity->next;
	all->all = identity;
}

static void drop(struct identities *all, struct kept *kept)
{
	HASH_DEL(all->kept, kept);
	identity_release(&kept->identity);
	free(kept);
}

static struct kept *find_kept(struct identities *all, const uint8_t digest[IDENTITY_DIGEST_BYTES])
{
	struct kept *kept;
	HASH_FIND(hh, all->kept, digest, IDENTITY_DIGEST_BYTES, kept);
	return kept;
}

static void keep(struct identities *all, struct identity *identity)
{
	struct kept *kept = xcalloc(1, sizeof *kept);
	if (HASH_COUNT(all->kept) >= KEPT_MAX)
		drop(all, all->kept);
	kept->identity = identity_hold(identity);
	HASH_ADD_KEYPTR(hh, all->kept, identity->digest, IDENTITY_DIGEST_BYTES, kept);
}

/* ---- judging them again ---- */

static bool same_text(char *one, char *other)
{
	bool same = strcmp(one, other) == 0;
	free(one);
	free(other);
	return same;
}

static bool same(const struct identity *a, const struct identity *b)
{
	return a->refusal == b->refusal && a->expires_ms == b->expires_ms &&
	       strcmp(a->principal, b->principal) == 0 && strcmp(a->subject, b->subject) == 0 &&
	       span_equal(a->former, b->former) &&
	       (a->rights == b->rights ||
	        same_text(rights_text(a->rights), rights_text(b->rights)));
}

static struct identity *anonymous_create(struct rights *open_to_all)
{
	return identity_create(IDENTITY_ANONYMOUS,
	                       &(struct identity_facts){.rights = rights_hold(open_to_all)});
}

/* One reference; NULL: good no longer. */
static struct identity *judged(struct identities *all, struct identity *was, uint64_t now_ms)
{
	const struct identity_source *source = &all->sources[was->way];
	switch (was->way) {
	case IDENTITY_TOKEN:
		return identity_tokens_find(all->tokens, was->digest, now_ms);
	case IDENTITY_JWT:
	case IDENTITY_COOKIE:
	case IDENTITY_TICKET:
		return source->again != NULL ? source->again(source->context, was, now_ms)
		                             : identity_hold(was);
	case IDENTITY_OTHER:
		return identity_create(
		        IDENTITY_OTHER,
		        &(struct identity_facts){.principal = was->principal,
		                                 .rights = rights_hold(all->anonymous->rights)});
	case IDENTITY_ANONYMOUS:
		return identity_hold(all->anonymous);
	case IDENTITY_STRANGER:
	case IDENTITY_WAYS:
		break;
	}
	return identity_hold(was); /* it has no rights to lose */
}

/* True: it is stale now. */
static bool judge(struct identities *all, struct identity *was, uint64_t now_ms)
{
	struct identity *next = judged(all, was, now_ms);
	struct kept *kept = find_kept(all, was->digest);
	if (next != NULL && (next == was || same(next, was))) {
		identity_release(&next);
		return false;
	}
	if (next == NULL)
		next = identity_bad(was->way, REFUSAL_REVOKED);
	if (next->refusal == REFUSAL_NONE && next->previous == NULL)
		list(all, next, was->digest);
	was->stale = true;
	was->successor = next;
	if (kept != NULL && kept->identity == was)
		drop(all, kept);
	return true;
}

void identities_judge(struct identities *all, uint64_t now_ms)
{
	bool any = false;
	for (struct identity *i = all->all, *next; i != NULL; i = next) {
		next = i->next; /* of those in front of it, new ones stand there */
		any |= !i->stale && judge(all, i, now_ms);
	}
	if (any)
		all->events.stale(all->events.context);
}

/* ---- life ---- */

/* The supervisor has read them before, and refused what cannot be read. */
static struct rights *public_rights(const struct settings *settings)
{
	char reason[RIGHTS_REASON_ROOM];
	struct rights *rights = rights_of_text(span_str(settings->auth_public), reason);
	if (rights == NULL)
		log_error("auth.public counts for nothing", "reason=\"%s\"", reason);
	return rights;
}

/* Of all that is made of settings here. */
static void print_made_of(const struct settings *s, uint8_t digest[SHA256_DIGEST_LENGTH])
{
	const char *const texts[] = {s->dev ? "dev" : "",       s->sessions_validate_url,
	                             s->auth_token_rows,        s->auth_public,
	                             s->auth_publish_tokens,    s->auth_subscribe_tokens,
	                             s->auth_metrics_token,     s->auth_session_tokens,
	                             s->auth_source_token,      s->auth_ledger_token,
	                             s->auth_outputs_token,     s->bet_sync_token,
	                             s->bet_sync_token_previous};
	uint8_t digests[sizeof texts / sizeof *texts + 1][SHA256_DIGEST_LENGTH] = {0};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		SHA256((const uint8_t *)texts[i], strlen(texts[i]), digests[i]);
	memcpy(digests[sizeof texts / sizeof *texts], &s->bet_sync_token_previous_expires,
	       sizeof s->bet_sync_token_previous_expires);
	SHA256((const uint8_t *)digests, sizeof digests, digest);
}

static void take_settings(struct identities *all, const struct settings *settings)
{
	static const uint8_t no_digest[IDENTITY_DIGEST_BYTES];
	struct rights *open_to_all = public_rights(settings);
	print_made_of(settings, all->made_of);
	identity_tokens_destroy(&all->tokens);
	all->tokens = identity_tokens_create(settings);
	all->open = settings->dev;
	all->live = (struct rights_live){.frames_by_read = settings->feeds_frames_by_read,
	                                 .delayed = settings->feeds_spectator_delay_ms != 0};
	all->render_asks = *settings->sessions_validate_url != '\0';
	identity_release(&all->anonymous);
	all->anonymous = anonymous_create(open_to_all);
	rights_release(&open_to_all);
	list(all, all->anonymous, no_digest);
}

struct identities *identities_create(const struct settings *settings,
                                     const struct identity_source sources[IDENTITY_WAYS],
                                     const struct identities_events *events)
{
	struct identities *all = xcalloc(1, sizeof *all);
	memcpy(all->sources, sources, sizeof all->sources);
	all->events = *events;
	take_settings(all, settings);
	return all;
}

void identities_destroy(struct identities **identities)
{
	struct identities *all = *identities;
	*identities = NULL;
	while (all->kept != NULL)
		drop(all, all->kept);
	identity_release(&all->anonymous);
	identity_tokens_destroy(&all->tokens);
	check(all->all == NULL);
	free(all);
}

void identities_use(struct identities *all, const struct settings *settings, uint64_t now_ms)
{
	uint8_t made_of[SHA256_DIGEST_LENGTH];
	print_made_of(settings, made_of);
	if (memcmp(made_of, all->made_of, sizeof made_of) == 0)
		return; /* ten thousand rows are not read for nothing */
	take_settings(all, settings);
	identities_judge(all, now_ms);
}

/* ---- whose request it is ---- */

static void digest_of(enum identity_way way, struct span text,
                      uint8_t digest[IDENTITY_DIGEST_BYTES])
{
	SHA256(text.at, text.len, digest);
	if (way == IDENTITY_COOKIE || way == IDENTITY_TICKET)
		digest[0] ^= (uint8_t)way;
}

static struct identity *from_source(const struct identities *all, enum identity_way way,
                                    struct span text, const uint8_t digest[IDENTITY_DIGEST_BYTES],
                                    uint64_t now_ms)
{
	const struct identity_source *source = &all->sources[way];
	return source->make != NULL ? source->make(source->context, text, digest, now_ms) : NULL;
}

static struct identity *stranger_create(const uint8_t digest[IDENTITY_DIGEST_BYTES])
{
	char principal[IDENTITY_PRINCIPAL_ROOM];
	hex_print(digest, IDENTITY_DIGEST_BYTES, principal);
	struct identity *stranger = identity_create(
	        IDENTITY_STRANGER, &(struct identity_facts){.principal = principal});
	stranger->refusal = REFUSAL_UNKNOWN;
	return stranger;
}

/* NULL: nobody's. `way`: IDENTITY_TOKEN stands for every Bearer. */
static struct identity *find(struct identities *all, enum identity_way way, struct span text,
                             uint64_t now_ms)
{
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	digest_of(way, text, digest);
	struct kept *kept = find_kept(all, digest);
	if (kept != NULL && kept->identity->expires_ms > now_ms)
		return identity_hold(kept->identity);
	if (kept != NULL)
		drop(all, kept);
	struct identity *found =
	        way == IDENTITY_TOKEN ? identity_tokens_find(all->tokens, digest, now_ms) : NULL;
	if (found == NULL)
		found = from_source(all, way == IDENTITY_TOKEN ? IDENTITY_JWT : way, text, digest,
		                    now_ms);
	if (found == NULL)
		return way == IDENTITY_TOKEN ? stranger_create(digest) : NULL;
	if (found->refusal == REFUSAL_NONE) {
		if (found->previous == NULL) /* else its source has given it before */
			list(all, found, digest);
		keep(all, found);
	}
	return found;
}

static struct identity *of_source(struct identities *all, enum identity_way way,
                                  const struct request *request, uint64_t now_ms)
{
	const struct identity_source *source = &all->sources[way];
	struct span text =
	        source->find != NULL ? source->find(source->context, request) : (struct span){0};
	return text.at != NULL ? find(all, way, text, now_ms) : NULL;
}

/* What is no Bearer has no rights of its own; whose session it is may be known by it all the same.
 */
static struct identity *other_create(struct identities *all, struct span authorization,
                                     enum refusal refusal)
{
	static const uint8_t no_digest[IDENTITY_DIGEST_BYTES];
	char owner[CREDENTIAL_DIGEST_ROOM];
	credential_owner(authorization, owner);
	struct identity *other = identity_create(
	        IDENTITY_OTHER,
	        &(struct identity_facts){.principal = owner,
	                                 .rights = refusal == REFUSAL_NONE
	                                                   ? rights_hold(all->anonymous->rights)
	                                                   : NULL});
	other->refusal = refusal;
	if (refusal == REFUSAL_NONE)
		list(all, other, no_digest);
	return other;
}

struct identity *identities_of(struct identities *all, const struct request *request,
                               uint64_t now_ms)
{
	struct span authorization = request->headers[HEADER_AUTHORIZATION], token;
	enum credential_kind kind = credential_read(authorization, &token);
	if (kind == CREDENTIAL_BEARER)
		return find(all, IDENTITY_TOKEN, token, now_ms);
	if (kind == CREDENTIAL_BROKEN)
		return other_create(all, authorization, REFUSAL_MALFORMED);
	struct identity *found = of_source(all, IDENTITY_COOKIE, request, now_ms);
	if (found == NULL)
		found = of_source(all, IDENTITY_TICKET, request, now_ms);
	if (found == NULL && kind == CREDENTIAL_OTHER)
		found = other_create(all, authorization, REFUSAL_NONE);
	return found != NULL ? found : identity_hold(all->anonymous);
}

struct identity *identities_of_token(const struct identities *all,
                                     const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	return identity_tokens_find(all->tokens, digest, now_ms);
}

struct identity *identities_of_jwt(const struct identities *all, const struct identity_facts *facts,
                                   uint64_t now_ms)
{
	const struct identity_source *source = &all->sources[IDENTITY_JWT];
	struct identity *said = identity_create(IDENTITY_JWT, facts), *now = NULL;
	if (source->again != NULL)
		now = source->again(source->context, said, now_ms);
	identity_release(&said);
	return now;
}

/* ---- what it may ---- */

static const unsigned every_verb = (1u << VERB_COUNT) - 1;

/* Without asking who it is. The betting services' frames are for their tokens even under dev. */
static unsigned open_verbs(const struct identities *all)
{
	return all->open ? every_verb & ~RIGHT(FRAMES) : all->render_asks ? RIGHT(RENDER) : 0;
}

static bool may(const struct identity *identity, enum verb verb, struct span path)
{
	return path.at != NULL ? rights_may(identity->rights, verb, path)
	                       : rights_any(identity->rights, verb);
}

/* It may do it, but not yet: the path tells of a feed as it happens, and its right is to what
 * spectators see. */
static bool too_early(const struct identities *all, const struct identity *identity, enum verb verb,
                      struct span path)
{
	char of[RIGHTS_LIVE_ROOM];
	return path.at != NULL && !all->open && rights_live(&all->live, verb, path, of) &&
	       !may(identity, VERB_FRAMES, span_str(of));
}

unsigned identities_may(const struct identities *all, const struct identity *identity,
                        struct span path)
{
	unsigned verbs = open_verbs(all) & ~RIGHT(VIEW);
	for (unsigned v = 0; v < VERB_COUNT; v++)
		if (!(verbs & 1u << v) && identity->refusal == REFUSAL_NONE &&
		    may(identity, (enum verb)v, path) &&
		    !too_early(all, identity, (enum verb)v, path))
			verbs |= 1u << v;
	return verbs;
}

bool identities_cover(const struct identities *all, const struct identity *identity, enum verb verb,
                      struct span pattern)
{
	return (open_verbs(all) & 1u << verb) != 0 ||
	       (identity->refusal == REFUSAL_NONE &&
	        rights_covers(identity->rights, verb, pattern) &&
	        (verb != VERB_READ || !rights_live_pattern(&all->live, pattern) ||
	         rights_covers(identity->rights, VERB_FRAMES, SPAN("/v1/feeds/*"))));
}

unsigned identities_configured(const struct identities *all, struct span path)
{
	unsigned verbs = open_verbs(all) | identity_tokens_configured(all->tokens, path);
	for (unsigned way = 0; way < IDENTITY_WAYS; way++) {
		const struct identity_source *source = &all->sources[way];
		if (source->configured != NULL && source->configured(source->context))
			verbs = every_verb;
	}
	return verbs;
}

enum refusal identities_refusal(const struct identities *all, const struct identity *identity,
                                unsigned verbs, struct span path)
{
	if ((verbs & open_verbs(all)) != 0)
		return REFUSAL_NONE;
	bool early = false;
	for (unsigned v = 0; v < VERB_COUNT && identity->refusal == REFUSAL_NONE; v++) {
		if (!(verbs & 1u << v) || !may(identity, (enum verb)v, path))
			continue;
		if (!too_early(all, identity, (enum verb)v, path))
			return REFUSAL_NONE;
		early = true;
	}
	if (early)
		return REFUSAL_LIVE;
	if ((identities_configured(all, path) & verbs) == 0)
		return REFUSAL_UNCONFIGURED;
	if (identity->refusal != REFUSAL_NONE)
		return identity->refusal;
	return identity->way == IDENTITY_ANONYMOUS || identity->way == IDENTITY_OTHER
	               ? REFUSAL_MISSING
	               : REFUSAL_FORBIDDEN;
}
