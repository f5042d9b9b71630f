/* JSON-RPC to a node of Solana (solana.rpc_url), without blocking. A few questions at a time; who
 * says when to come back is asked nothing before. Loop thread only. */
#pragma once

#include "common/base/counters.h"
#include "common/base/settings.h"
#include "worker-bridge/solana_step.h"

#include <uv.h>

struct solana_rpc;

/* The newest settings at each question; tls.ca_file as it is now. */
struct solana_rpc *solana_rpc_create(uv_loop_t *loop, const struct settings_source *settings,
                                     struct counters_slot *counters);

/* Called once, never from within the call. `reply` and what is in it are borrowed. */
struct solana_rpc_done {
	void (*call)(void *arg, const struct solana_reply *reply);
	void *arg;
};

/* The account, where `owner` has it; owner NULL: whoever. */
void solana_rpc_account(struct solana_rpc *rpc, const struct solana_address *address,
                        const struct solana_address *owner, enum solana_level level,
                        struct solana_rpc_done done);
void solana_rpc_blockhash(struct solana_rpc *rpc, struct solana_rpc_done done);
/* The height of the newest block that no fork takes back. */
void solana_rpc_height(struct solana_rpc *rpc, struct solana_rpc_done done);
/* `transaction`: base64. */
void solana_rpc_send(struct solana_rpc *rpc, const char *transaction, struct solana_rpc_done done);
/* `signature`: base58. */
void solana_rpc_status(struct solana_rpc *rpc, const char *signature, struct solana_rpc_done done);
/* In reply->height: lamports. */
void solana_rpc_balance(struct solana_rpc *rpc, const struct solana_address *address,
                        struct solana_rpc_done done);
