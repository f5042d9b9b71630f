/* Who asks: what a credential of a request stands for, and what he may.
 *
 * A struct identity is made once for each credential and shared by all requests that come with it,
 * also over connections; it never changes while somebody looks at it. When what it was made of has
 * changed (a reload, a key that was withdrawn), another takes its place, or none: whoever holds one
 * over more than one turn of the loop asks identity_stale(), and is told by identities_events.
 *
 * Credentials are asked for in the order of `enum identity_way`; the first that a request has
 * counts, and must be good: a bad one never falls back to the next, nor to the anonymous identity.
 * Where no right is asked, a bad one is nobody's matter, for an account's secret is a Bearer there.
 *
 * A kind of credential is a source: it finds its text in a request and makes an identity of it.
 * Tokens are built in (identity_tokens.c). To add one, fill in a struct identity_source in
 * edge_options.sources, where main.c makes the edge; nothing else here has to know of it:
 *
 *     IDENTITY_JWT     make() gets a Bearer that is none of our tokens. NULL: it is no JWT. find()
 *                      is not called.
 *     IDENTITY_COOKIE  find() gives the value of our cookie
 *     IDENTITY_TICKET  find() gives the ticket in the query, of a GET or HEAD
 *
 * make() answers with identity_create(), rights and all, or with identity_bad(): a credential of
 * its kind that is no good, and why (a row of refusal.h). again() says whether what was made is
 * still good. When keys or passes have changed outside of a reload: identities_judge(). Loop thread
 * only. */
#pragma once

#include "common/base/settings.h"
#include "common/domain/rights.h"
#include "worker-sse/edge/refusal.h"

struct request;

enum identity_way {
	IDENTITY_TOKEN, /* a Bearer that is one of ours: a row of auth.tokens, or of the old keys */
	IDENTITY_JWT,   /* a Bearer that is signed by somebody we believe */
	IDENTITY_COOKIE,
	IDENTITY_TICKET,
	IDENTITY_STRANGER,  /* a Bearer of nobody here: it owns what its digest owns */
	IDENTITY_OTHER,     /* Authorization of another scheme: may what the anonymous one may */
	IDENTITY_ANONYMOUS, /* no credential: auth.public */
	IDENTITY_WAYS
};

enum { IDENTITY_DIGEST_BYTES = 32, IDENTITY_PRINCIPAL_ROOM = 65, IDENTITY_DIGEST_TEXT = 64 };

/* What makes one. Texts are copied, rights taken over. */
struct identity_facts {
	/* Who it is: a row's name, "jwt:ISS SUB". "": nobody in particular, who owns what
	 * `principal` says. */
	const char *subject;
	const char *principal; /* hexadecimal; NULL: that of the subject, or none */
	struct span former;    /* digests that owned what is his, one behind the other */
	struct rights *rights; /* NULL: none */
	uint64_t expires_ms;   /* Unix; 0: never */
	uint64_t generation;   /* the source's own: of the key that signed, say */
	struct span note;      /* the source's own: what again() needs */
};

struct identity {
	enum identity_way way;
	enum refusal refusal; /* not REFUSAL_NONE: it is no good, wherever a right is asked */
	const char *why; /* a constant text that says more of it for people; NULL: there is none */
	struct rights *rights;
	uint64_t expires_ms; /* Unix; UINT64_MAX: never */
	uint64_t generation; /* identity_facts */
	struct span note;    /* the same */
	char *subject;       /* "": none */
	/* Whom rows belong to: hexadecimal SHA-256. Of a subject: of its name, so that it stays
	 * when tokens come and go. Of a token of the old keys, and of a stranger: of the token
	 * itself. "": nobody, who owns nothing. */
	char principal[IDENTITY_PRINCIPAL_ROOM];
	/* By what he owned before he had a name: every token of it, and the one he shows. */
	struct span former;
	/* private: */
	uint8_t digest[IDENTITY_DIGEST_BYTES]; /* of the credential: identity_source */
	size_t count;
	bool stale;
	struct identity *successor; /* of a stale one */
	struct identity *next, **previous;
};

struct identities;

/* A kind of credential. `digest`: SHA-256 of its text, of cookies and tickets with the way in its
 * first byte (^=), so that neither is good in another's place. */
struct identity_source {
	/* Its text in the request; at NULL: there is none. Not asked of IDENTITY_JWT. */
	struct span (*find)(void *context, const struct request *request);
	/* One reference; it is kept as long as it is good, so the same text is rarely asked twice.
	 * NULL: this is none of this kind at all, and the next is asked. */
	struct identity *(*make)(void *context, struct span text,
	                         const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms);
	/* After a reload, or identities_judge(): the text's digest is was->digest. What it is now,
	 * one reference; NULL: good no longer. One that is the same as it was takes nobody's place.
	 * NULL in place of the function: nothing ever changes but time. */
	struct identity *(*again)(void *context, struct identity *was, uint64_t now_ms);
	/* Might anybody come with one at all? Else what nobody may for want of a setting is 503. */
	bool (*configured)(void *context);
	void *context;
};

struct identities_events {
	/* Some have become stale: whoever holds them is to look, soon. */
	void (*stale)(void *context);
	void *context;
};

/* `sources`: by way, copied; those of JWT, cookies and tickets are asked. */
struct identities *identities_create(const struct settings *settings,
                                     const struct identity_source sources[IDENTITY_WAYS],
                                     const struct identities_events *events);
/* Nobody holds any. */
void identities_destroy(struct identities **identities);
/* After a reload: auth.*, and all that are held are judged. */
void identities_use(struct identities *identities, const struct settings *settings,
                    uint64_t now_ms);
/* Judges all that are held: keys have changed, or what is revoked. */
void identities_judge(struct identities *identities, uint64_t now_ms);

/* Whose request it is; one reference. Never NULL. */
struct identity *identities_of(struct identities *identities, const struct request *request,
                               uint64_t now_ms);

/* What stands in a credential's place (a pass) is as good as that is now: of a token, its digest;
 * of a JWT, what it said and the generation of its key. One reference; NULL: good no longer. */
struct identity *identities_of_token(const struct identities *identities,
                                     const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms);
struct identity *identities_of_jwt(const struct identities *identities,
                                   const struct identity_facts *facts, uint64_t now_ms);

/* May it? `verbs`: bits, of which one is enough; `path` as in rights_may(), at NULL: anywhere. */
enum refusal identities_refusal(const struct identities *identities,
                                const struct identity *identity, unsigned verbs, struct span path);
/* May it whatever the pattern can match, now and later? As rights_covers(). */
bool identities_cover(const struct identities *identities, const struct identity *identity,
                      enum verb verb, struct span pattern);
/* Of the verbs, those that it has on this path: bits. What is open to everybody (dev) is in them,
 * but VIEW: sessions are their owners' there too. */
unsigned identities_may(const struct identities *identities, const struct identity *identity,
                        struct span path);
/* Of the verbs, those that anybody might have there: bits. */
unsigned identities_configured(const struct identities *identities, struct span path);

/* ---- identities ---- */

struct identity *identity_create(enum identity_way way, const struct identity_facts *facts);
/* One that is no good. */
struct identity *identity_bad(enum identity_way way, enum refusal refusal);
static inline struct identity *identity_hold(struct identity *identity)
{
	identity->count++;
	return identity;
}
/* NULL is fine. */
void identity_release(struct identity **identity);

static inline bool identity_stale(const struct identity *identity)
{
	return identity->stale;
}
/* In place of a stale one: its successor, which may be one that is no good. Takes over the
 * reference. */
struct identity *identity_now(struct identity *stale);
