#include "worker-sse/edge/credential.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/hex.h"

#include <ctype.h>
#include <openssl/sha.h>
#include <stdlib.h>

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

void credential_digest(struct span text, char out[CREDENTIAL_DIGEST_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(text.at, text.len, digest);
	hex_print(digest, sizeof digest, out);
}

/* The scheme in lower case, one space wherever there are some. */
static void print_whole(struct span scheme, struct span proof, char out[CREDENTIAL_DIGEST_ROOM])
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
	credential_digest(span_of(text, len), out);
	free(text);
}

void credential_owner(struct span authorization, char out[CREDENTIAL_DIGEST_ROOM])
{
	struct span scheme, proof;
	*out = '\0';
	if (!split(authorization, &scheme, &proof))
		return;
	if (!span_equal_nocase(scheme, SPAN("basic")) || is_canonical_base64(proof))
		print_whole(scheme, proof, out);
}

static bool begins_bearer(struct span text)
{
	static const size_t len = sizeof "bearer" - 1;
	size_t from = 0;
	while (from < text.len && is_blank(text.at[from]))
		from++;
	return text.len - from >= len &&
	       span_equal_nocase(span_of(text.at + from, len), SPAN("bearer")) &&
	       (text.len - from == len || is_blank(text.at[from + len]));
}

enum credential_kind credential_read(struct span authorization, struct span *token)
{
	struct span scheme;
	if (authorization.at == NULL || authorization.len == 0)
		return CREDENTIAL_NONE;
	if (!begins_bearer(authorization))
		return CREDENTIAL_OTHER;
	return split(authorization, &scheme, token) && !has_blank(*token) ? CREDENTIAL_BEARER
	                                                                  : CREDENTIAL_BROKEN;
}
