#include "common/subscription.h"
void subscriptions_on_kv(struct state *state, struct span key, struct span value){(void)state;(void)key;(void)value;}
void subscription_decide(struct state *state, struct command *command, uint64_t now_ms, const struct entry_sink *sink){(void)state;(void)command;(void)now_ms;(void)sink;}
