#include "worker-sse/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

static void add_tokens(struct auth_list *list, const char *tokens)
{
	while (*tokens != '\0' && list->count < AUTH_TOKENS_MAX) {
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
	add_tokens(&auth->publish, settings->auth_publish_tokens);
	add_tokens(&auth->subscribe, settings->auth_subscribe_tokens);
	add_tokens(&auth->metrics, settings->auth_metrics_token);
	add_tokens(&auth->render, settings->auth_session_tokens);
}

/* Looks at every digest, so that time tells nothing. */
static bool holds(const struct auth_list *list, const uint8_t digest[AUTH_DIGEST_BYTES])
{
	unsigned found = 0;
	for (size_t i = 0; i < list->count; i++)
		found |= CRYPTO_memcmp(list->digests[i], digest, AUTH_DIGEST_BYTES) == 0;
	return found != 0;
}

static bool may(const struct auth *auth, enum permission permission,
                const uint8_t digest[AUTH_DIGEST_BYTES])
{
	bool publish = holds(&auth->publish, digest);
	bool subscribe = holds(&auth->subscribe, digest) || publish;
	switch (permission) {
	case PERMISSION_NONE:
		return true;
	case PERMISSION_PUBLISH:
		return publish;
	case PERMISSION_SUBSCRIBE:
		return subscribe;
	case PERMISSION_METRICS:
		return auth->metrics.count > 0 ? holds(&auth->metrics, digest) : subscribe;
	case PERMISSION_RENDER:
		return holds(&auth->render, digest) || publish;
	}
	return false;
}

enum auth_result auth_check(const struct auth *auth, enum permission permission,
                            struct span authorization)
{
	static const char scheme[] = "bearer ";
	if (auth->open || permission == PERMISSION_NONE ||
	    (permission == PERMISSION_RENDER && auth->render_asks))
		return AUTH_ALLOWED;
	if (auth->publish.count + auth->subscribe.count + auth->metrics.count +
	            auth->render.count ==
	    0)
		return AUTH_UNCONFIGURED;
	size_t len = sizeof scheme - 1;
	if (authorization.at == NULL || authorization.len <= len ||
	    !span_equal_nocase(span_of(authorization.at, len), span_of(scheme, len)))
		return AUTH_MISSING;
	uint8_t digest[AUTH_DIGEST_BYTES];
	SHA256(authorization.at + len, authorization.len - len, digest);
	return may(auth, permission, digest) ? AUTH_ALLOWED : AUTH_WRONG;
}

const char *auth_refusal(const struct auth *auth, enum permission permission,
                         struct span authorization)
{
	switch (auth_check(auth, permission, authorization)) {
	case AUTH_ALLOWED:
		return NULL;
	case AUTH_MISSING:
		return "a Bearer token is needed";
	case AUTH_WRONG:
		return "this token may not do that";
	case AUTH_UNCONFIGURED:
		return "no tokens are configured: set auth.publish_tokens and auth.subscribe_tokens";
	}
	return NULL;
}
