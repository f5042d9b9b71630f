/* A receiver of webhooks (docs/market.md, the webhook operator) behind a network that loses
 * requests and answers, brings them twice and late; in place of common/base/http_post.h. It keeps
 * the rules that receivers are told, and notices where the bridge breaks one. */
#pragma once

#include <stdbool.h>

void receiver_begin(void);
/* From now on every request arrives and is answered. */
void receiver_calm(void);

/* "open", "locked", "resolved", "cancelled"; NULL: it never heard of it. *side as in a view. */
const char *receiver_state(const char *duel_id, const char **side);
