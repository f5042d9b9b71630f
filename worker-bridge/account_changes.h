/* What changes an account that is there: POST /v1/ledger/accounts/ID/top-up, /close, /name. */
#pragma once

#include "common/worker/call.h"

/* {amount, actor, reason}, of the house. */
void account_changes_top_up(struct call *call, const char *id);
/* {}, of its owner; {actor, reason} of the house. */
void account_changes_close(struct call *call, const char *id);
/* {displayName}, "" or null: none; of its owner. */
void account_changes_name(struct call *call, const char *id);
