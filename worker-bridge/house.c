/* The house, which decides what no market can by itself: whoever holds auth.ledger_token, or may
 * use the admin socket. */
#include "worker-bridge/bridge.h"
#include "common/base/hex.h"
#include "common/base/log.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>

bool bridge_principal_is(const struct call *call, const char *digest)
{
	return call->principal.len == 64 && strlen(digest) == 64 &&
	       CRYPTO_memcmp(call->principal.at, digest, 64) == 0;
}

bool bridge_is_house(const struct call *call)
{
	const struct bridge *bridge = call->context;
	const char *token = bridge->worker->settings.newest->auth_ledger_token;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char text[65];
	if (call->local || bridge->worker->settings.newest->dev)
		return true;
	SHA256((const uint8_t *)token, strlen(token), digest);
	hex_print(digest, sizeof digest, text);
	return *token != '\0' && bridge_principal_is(call, text);
}

/* Nobody can be the house: said in the log once, whoever asks for it for ever. */
static void refuse_all(struct call *call)
{
	static const char reason[] =
	        "nobody but the admin socket is the house: set auth.ledger_token";
	static bool said;
	if (!said)
		log_warn("requests are refused", "why=\"%s\"", reason);
	said = true;
	call_refuse(call, 503, reason);
}

bool bridge_house(struct call *call)
{
	const struct bridge *bridge = call->context;
	if (bridge_is_house(call))
		return true;
	if (*bridge->worker->settings.newest->auth_ledger_token == '\0') {
		refuse_all(call);
		return false;
	}
	if (call->principal.len == 0)
		call_header(call, "WWW-Authenticate", "Bearer realm=\"operators\"");
	call_refuse(call, call->principal.len == 0 ? 401 : 403,
	            "this is for the holder of auth.ledger_token");
	return false;
}
