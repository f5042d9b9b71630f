/* The settings that list tokens without a name, as the short form of rights. K(setting, key, rights
 * of each of its tokens, in the words of rights.h) */
#pragma once

#define SHORT_KEYS(K)                                                                              \
	K(auth_subscribe_tokens, "auth.subscribe_tokens", "read=/** view=/v1/hls/**")              \
	K(auth_publish_tokens, "auth.publish_tokens",                                              \
	  "read=/** append=/** create=/** delete=/** render=/** view=/v1/hls/**")                  \
	K(auth_metrics_token, "auth.metrics_token", "metrics=/**")                                 \
	K(auth_session_tokens, "auth.session_tokens", "render=/**")                                \
	K(auth_source_token, "auth.source_token", "post=/**")                                      \
	K(auth_outputs_token, "auth.outputs_token", "operate=/v1/outputs,/v1/outputs/**")          \
	K(auth_ledger_token, "auth.ledger_token",                                                  \
	  "operate=/v1/ledger/**,/v1/duels/**,/v1/markets/**")                                     \
	K(bet_sync_token, "bet_sync.token", "frames=/**")
