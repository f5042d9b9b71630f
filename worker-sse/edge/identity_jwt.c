#include "worker-sse/edge/identity_jwt.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/domain/jwt_rights.h"
#include "worker-sse/edge/jwks.h"

#include <stdio.h>
#include <stdlib.h>

/* It owns what its digest does, as every Bearer of a stranger: sessions.validate_url may know more
 * of it. */
static struct identity *bad(const char *digest, enum refusal refusal, const char *why)
{
	struct identity *identity =
	        identity_create(IDENTITY_JWT, &(struct identity_facts){.principal = digest});
	identity->refusal = refusal;
	identity->why = why;
	return identity;
}

static struct identity *unknown_key(struct jwks *jwks, const char *digest)
{
	switch (jwks_ask(jwks)) {
	case JWKS_SOON:
		return bad(digest, REFUSAL_PENDING, NULL);
	case JWKS_FAILING:
		return bad(digest, REFUSAL_NO_KEYS, NULL);
	case JWKS_NONE:
		break;
	}
	return bad(digest, REFUSAL_INVALID, jwt_fault_text(JWT_KEY_UNKNOWN));
}

static struct identity *good(const struct jwt_claims *claims, const char *digest,
                             struct rights *rights, uint64_t generation)
{
	char *subject = NULL;
	bool named = *claims->subject != '\0';
	check(asprintf(&subject, "jwt:%s %s", claims->issuer, claims->subject) > 0);
	struct identity *identity = identity_create(
	        IDENTITY_JWT,
	        &(struct identity_facts){
	                .subject = named ? subject : "",
	                .principal = named ? NULL : digest,
	                .former = named ? span_str(digest) : (struct span){0},
	                .rights = rights,
	                .expires_ms = claims->expires_ms != UINT64_MAX ? claims->expires_ms : 0,
	                .generation = generation});
	free(subject);
	return identity;
}

static struct identity *make(void *context, struct span text,
                             const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	struct jwks *jwks = context;
	struct jwt_claims claims;
	uint64_t generation;
	char owner[IDENTITY_PRINCIPAL_ROOM], reason[RIGHTS_REASON_ROOM];
	if (!jwks_configured(jwks) || !jwt_is_meant(text))
		return NULL;
	hex_print(digest, IDENTITY_DIGEST_BYTES, owner);
	enum jwt_fault fault = jwks_verify(jwks, text, now_ms, &claims, &generation);
	if (fault == JWT_KEY_UNKNOWN)
		return unknown_key(jwks, owner);
	if (fault != JWT_VALID)
		return bad(owner, fault == JWT_EXPIRED ? REFUSAL_EXPIRED : REFUSAL_INVALID,
		           jwt_fault_text(fault));
	struct rights *rights = jwt_rights(claims.all, jwks_rights_claim(jwks), reason);
	if (rights == NULL)
		log_debug("rights of a token are malformed", "why=\"%s\"", reason);
	struct identity *identity =
	        rights != NULL ? good(&claims, owner, rights, generation)
	                       : bad(owner, REFUSAL_INVALID,
	                             "the rights that this token claims are malformed");
	jwt_claims_finish(&claims);
	return identity;
}

/* A cookie may have come from a worker before this one, and sooner than the keys. */
static struct identity *again(void *context, struct identity *was, uint64_t now_ms)
{
	(void)now_ms;
	if (jwks_knows(context, was->generation))
		return identity_hold(was);
	struct identity *unknown = unknown_key(context, was->principal);
	if (unknown->refusal == REFUSAL_INVALID)
		identity_release(&unknown); /* sets it to NULL */
	return unknown;
}

static bool configured(void *context)
{
	return jwks_configured(context);
}

struct identity_source identity_jwt_source(struct jwks *jwks)
{
	return (struct identity_source){
	        .make = make, .again = again, .configured = configured, .context = jwks};
}
