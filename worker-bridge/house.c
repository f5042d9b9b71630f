/* The house, which decides what no market can by itself: whoever has the right to operate here (the
 * holder of auth.ledger_token, say), or may use the admin socket. */
#include "worker-bridge/bridge.h"
#include "common/base/log.h"
#include "common/domain/rights.h"

bool bridge_is_house(const struct call *call)
{
	return (call->may & RIGHT(OPERATE)) != 0;
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
	if (bridge_is_house(call))
		return true;
	if (!(call->configured & RIGHT(OPERATE))) {
		refuse_all(call);
		return false;
	}
	if (call->principal.len == 0)
		call_header(call, "WWW-Authenticate", "Bearer realm=\"operators\"");
	call_refuse(call, call->principal.len == 0 ? 401 : 403,
	            "this is for the holder of auth.ledger_token");
	return false;
}
