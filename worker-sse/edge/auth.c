#include "worker-sse/edge/auth.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/hex.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#define A(NAME) (1u << PERMISSION_##NAME)
#define PERMISSION_ROW(NAME, setting, also, instead, alone, unconfigured)                          \
	[PERMISSION_##NAME] = {also, instead, alone, unconfigured},
static const struct {
	unsigned also, instead;
	bool alone;
	const char *unconfigured;
} permissions[PERMISSION_COUNT] = {PERMISSIONS(PERMISSION_ROW, A)};
#undef PERMISSION_ROW
#undef A

static void add_tokens(struct auth_list *list, const char *tokens)
{
	while (*tokens != '\0') {
		check(list->count < SETTINGS_TOKENS_MAX);
		size_t len = strcspn(tokens, ",");
		if (len > 0)
			SHA256((const uint8_t *)tokens, len, list->digests[list->count++]);
		tokens += len + (tokens[len] == ',');
	}
}

void auth_init(struct auth *auth, const struct settings *settings)
{
	*auth = (struct auth){.open = settings->dev,
	                      .render_asks = *settings->sessions_validate_url != '\0'};
#define PERMISSION_TOKENS(NAME, setting, ...)                                                      \
	add_tokens(&auth->lists[PERMISSION_##NAME], settings->setting);
	PERMISSIONS(PERMISSION_TOKENS, )
#undef PERMISSION_TOKENS
	add_tokens(&auth->others, settings->auth_ledger_token);
	add_tokens(&auth->bet_sync, settings->bet_sync_token);
	add_tokens(&auth->bet_sync_previous, settings->bet_sync_token_previous);
	auth->bet_sync_previous_expires_ms = settings->bet_sync_token_previous_expires;
}

/* Looks at every digest, so that time tells nothing. */
static bool holds(const struct auth_list *list, const uint8_t digest[AUTH_DIGEST_BYTES])
{
	unsigned found = 0;
	for (size_t i = 0; i < list->count; i++)
		found |= CRYPTO_memcmp(list->digests[i], digest, AUTH_DIGEST_BYTES) == 0;
	return found != 0;
}

/* Of each permission: is the token one of its own? A set. */
static unsigned held(const struct auth *auth, const uint8_t digest[AUTH_DIGEST_BYTES])
{
	unsigned found = 0;
	for (unsigned p = 0; p < PERMISSION_COUNT; p++)
		found |= (unsigned)holds(&auth->lists[p], digest) << p;
	return found;
}

static bool may(const struct auth *auth, enum permission permission,
                const uint8_t digest[AUTH_DIGEST_BYTES])
{
	unsigned good = 1u << permission | permissions[permission].also;
	if (auth->lists[permission].count == 0)
		good |= permissions[permission].instead;
	return (held(auth, digest) & good) != 0;
}

static bool known(const struct auth *auth, const uint8_t digest[AUTH_DIGEST_BYTES])
{
	unsigned found = held(auth, digest);
	found |= holds(&auth->bet_sync, digest);
	found |= holds(&auth->others, digest);
	return found != 0;
}

/* ---- credentials ---- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool has_blank(struct span text)
{
	return memchr(text.at, ' ', text.len) != NULL || memchr(text.at, '\t', text.len) != NULL;
}

/* RFC 9110 §11.4: a scheme, spaces, and what it takes for proof. False: there is none, or a byte
 * that somebody may strip or read as another (obs-text, controls). */
static bool split(struct span authorization, struct span *scheme, struct span *proof)
{
	size_t len = authorization.at != NULL ? authorization.len : 0, from = 0;
	for (size_t i = 0; i < len; i++)
		if (!is_blank(authorization.at[i]) &&
		    (authorization.at[i] < '!' || authorization.at[i] > '~'))
			return false;
	while (len > 0 && is_blank(authorization.at[len - 1]))
		len--;
	while (from < len && !is_blank(authorization.at[from]))
		from++;
	*scheme = span_of(authorization.at, from);
	while (from < len && is_blank(authorization.at[from]))
		from++;
	*proof = span_of(authorization.at + from, len - from);
	return scheme->len > 0 && proof->len > 0;
}

/* In any other spelling a lenient reader would take one name and password for those of many. */
static bool is_canonical_base64(struct span text)
{
	uint8_t *bytes = xmalloc(text.len + 4);
	int64_t len = base64_decode(text, bytes);
	char *again = len >= 0 ? base64_text(span_of(bytes, (size_t)len)) : NULL;
	bool same = again != NULL && span_equal(text, span_str(again));
	free(again);
	free(bytes);
	return same;
}

static void print_digest(struct span text, char out[AUTH_PRINCIPAL_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(text.at, text.len, digest);
	hex_print(digest, sizeof digest, out);
}

/* The scheme in lower case, one space wherever there are some. */
static void print_whole(struct span scheme, struct span proof, char out[AUTH_PRINCIPAL_ROOM])
{
	uint8_t *text = xmalloc(scheme.len + proof.len + 1);
	size_t len = 0;
	for (; len < scheme.len; len++)
		text[len] = (uint8_t)tolower(scheme.at[len]);
	text[len++] = ' ';
	for (size_t i = 0; i < proof.len; i++)
		if (!is_blank(proof.at[i]))
			text[len++] = proof.at[i];
		else if (text[len - 1] != ' ')
			text[len++] = ' ';
	print_digest(span_of(text, len), out);
	free(text);
}

void auth_principal(struct span authorization, char out[AUTH_PRINCIPAL_ROOM])
{
	struct span scheme, proof;
	*out = '\0';
	if (split(authorization, &scheme, &proof) && span_equal_nocase(scheme, SPAN("bearer")) &&
	    !has_blank(proof))
		print_digest(proof, out);
}

void auth_owner(struct span authorization, char out[AUTH_PRINCIPAL_ROOM])
{
	struct span scheme, proof;
	auth_principal(authorization, out);
	if (*out != '\0' || !split(authorization, &scheme, &proof))
		return;
	if (!span_equal_nocase(scheme, SPAN("basic")) || is_canonical_base64(proof))
		print_whole(scheme, proof, out);
}

/* RFC 6750 §2.1: the scheme in any case, one token, nothing else. */
static bool bearer_digest(struct span authorization, uint8_t digest[AUTH_DIGEST_BYTES])
{
	struct span scheme, token;
	if (!split(authorization, &scheme, &token) || !span_equal_nocase(scheme, SPAN("bearer")) ||
	    has_blank(token))
		return false;
	SHA256(token.at, token.len, digest);
	return true;
}

enum auth_result auth_bet_sync(const struct auth *auth, struct span authorization, uint64_t now_ms,
                               uint64_t *expires_ms)
{
	uint8_t digest[AUTH_DIGEST_BYTES];
	if (auth->bet_sync.count == 0)
		return AUTH_UNCONFIGURED;
	if (!bearer_digest(authorization, digest))
		return AUTH_MISSING;
	bool current = holds(&auth->bet_sync, digest);
	bool previous = holds(&auth->bet_sync_previous, digest) &&
	                now_ms < auth->bet_sync_previous_expires_ms;
	*expires_ms = current ? UINT64_MAX : auth->bet_sync_previous_expires_ms;
	return current || previous ? AUTH_ALLOWED : AUTH_UNKNOWN;
}

/* Is there anybody who may? */
static bool configured(const struct auth *auth, enum permission permission)
{
	size_t count = 0;
	for (unsigned p = 0; p < PERMISSION_COUNT; p++)
		if (permissions[permission].alone ? p == permission : !permissions[p].alone)
			count += auth->lists[p].count;
	return count > 0;
}

enum auth_result auth_check(const struct auth *auth, enum permission permission,
                            struct span authorization)
{
	uint8_t digest[AUTH_DIGEST_BYTES];
	if (auth->open || permission == PERMISSION_NONE ||
	    (permission == PERMISSION_RENDER && auth->render_asks))
		return AUTH_ALLOWED;
	if (!configured(auth, permission))
		return AUTH_UNCONFIGURED;
	if (!bearer_digest(authorization, digest))
		return AUTH_MISSING;
	if (may(auth, permission, digest))
		return AUTH_ALLOWED;
	return known(auth, digest) ? AUTH_FORBIDDEN : AUTH_UNKNOWN;
}

unsigned auth_refusal(const struct auth *auth, enum permission permission,
                      struct span authorization, const char **reason)
{
	*reason = NULL;
	switch (auth_check(auth, permission, authorization)) {
	case AUTH_ALLOWED:
		return 0;
	case AUTH_MISSING:
		*reason = "a Bearer token is needed";
		return 401;
	case AUTH_UNKNOWN:
		*reason = "this token is not known here";
		return 401;
	case AUTH_FORBIDDEN:
		*reason = "this token may not do that";
		return 403;
	case AUTH_UNCONFIGURED:
		*reason = permissions[permission].unconfigured;
		return 503;
	}
	return 503;
}
