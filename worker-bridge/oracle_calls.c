/* What anybody asks of the oracle over HTTP. */
#include "worker-bridge/book_call.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/oracle.h"

void book_on_oracle_call(struct call *call)
{
	struct span rest = book_call_below(call->path, "/v1/oracle/");
	char duel_id[64];
	if (span_equal(rest, SPAN("keys"))) {
		call_reply(call, 200, oracle_keys(book_call_view(call)));
		return;
	}
	json_t *attestation = NULL;
	enum row_found found =
	        book_call_text(rest, duel_id, sizeof duel_id)
	                ? oracle_attestation(book_call_view(call), duel_id, &attestation)
	                : ROW_ABSENT;
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (attestation != NULL)
		call_reply(call, 200, attestation);
	else
		call_refuse(call, 404,
		            "this duel has not ended, never was, or is older than market.keep; "
		            "keys: /v1/oracle/keys");
}
