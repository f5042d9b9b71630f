/* What Authorization says: never read past its end, and one token has one owner however it is
 * spaced. */
#include "common/base/check.h"
#include "worker-sse/edge/credential.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same, one blank more behind the scheme. */
static void look_at_spaced(struct span text, struct span token)
{
	size_t scheme = sizeof "Bearer" - 1;
	uint8_t *spaced = xmalloc(scheme + 2 + token.len);
	struct span again;
	memcpy(spaced, "bEARER", scheme);
	memcpy(spaced + scheme, "  ", 2);
	memcpy(spaced + scheme + 2, token.at, token.len);
	check(token.at >= text.at && token.at + token.len <= text.at + text.len);
	check(credential_read(span_of(spaced, scheme + 2 + token.len), &again) ==
	              CREDENTIAL_BEARER &&
	      span_equal(token, again));
	free(spaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = (uint8_t *)xmemdup_text(data, size);
	struct span text = span_of(copy, size), token = {0};
	char owner[CREDENTIAL_DIGEST_ROOM];
	enum credential_kind kind = credential_read(text, &token);
	credential_owner(text, owner);
	check(strlen(owner) == 0 || strlen(owner) == CREDENTIAL_DIGEST_ROOM - 1);
	check(kind != CREDENTIAL_NONE || size == 0);
	if (kind == CREDENTIAL_BEARER)
		look_at_spaced(text, token);
	free(copy);
	return 0;
}
