/* What anybody asks of the oracle over HTTP. */
#include "worker-bridge/book_call.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/market_calls.h"
#include "worker-bridge/oracle.h"

/* By which transaction its market was settled, where it is one of a chain: beside what is attested,
 * which stays as it was signed. */
static json_t *with_transaction(const struct call *call, const char *duel_id, json_t *attestation)
{
	struct market m;
	const char *feed;
	enum row_found found = market_calls_stored(call, duel_id, &m, &feed);
	if (found == ROW_PRESENT && !market_calls_seen(call, &m))
		found = ROW_ABSENT;
	const struct market_receipt *receipt =
	        found == ROW_PRESENT && m.settled_ms != 0 ? market_last_receipt(&m) : NULL;
	if (receipt != NULL)
		json_object_set_new(attestation, "transaction",
		                    json_pack("{s:s,s:I}", "signature", receipt->reference, "slot",
		                              (json_int_t)receipt->place));
	return attestation;
}

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
	else if (attestation != NULL && oracle_attested_ms(attestation) <= book_call_until_ms(call))
		call_reply(call, 200, with_transaction(call, duel_id, attestation));
	else {
		json_decref(attestation);
		call_refuse(call, 404,
		            "this duel has not ended, never was, or is older than market.keep; "
		            "keys: /v1/oracle/keys");
	}
}
