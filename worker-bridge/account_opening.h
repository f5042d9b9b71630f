/* Opening an account: POST /v1/ledger/accounts. */
#pragma once

#include "common/worker/call.h"

/* Answers. */
void account_opening_take(struct call *call);
