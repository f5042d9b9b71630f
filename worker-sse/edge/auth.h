/* Who may do what: Bearer tokens, compared in constant time on their digests. */
#pragma once

#include "common/base/settings.h"

/* Every permission, a row:
 *
 *   P(NAME, setting, also, instead, alone, unconfigured)
 *
 * `setting`: whose tokens may it. `also`: a set, A(NAME), of permissions whose tokens are as good.
 * `instead`: the same, where the setting is empty. `alone`: without tokens in its setting nobody
 * may; else only where none of those that are not alone has any. `unconfigured`: what is said
 * then. */
#define PERMISSIONS(P, A)                                                                          \
	P(SUBSCRIBE, auth_subscribe_tokens, A(PUBLISH), 0, false,                                  \
	  "nobody may read here: set auth.subscribe_tokens")                                       \
	P(PUBLISH, auth_publish_tokens, 0, 0, false,                                               \
	  "nobody may write here: set auth.publish_tokens")                                        \
	P(METRICS, auth_metrics_token, 0, A(SUBSCRIBE) | A(PUBLISH), false,                        \
	  "nobody may read metrics: set auth.metrics_token")                                       \
	P(RENDER, auth_session_tokens, A(PUBLISH), 0, false,                                       \
	  "nobody may order sessions: set auth.session_tokens")                                    \
	P(SOURCE, auth_source_token, 0, 0, true, "no game may post here: set auth.source_token")   \
	P(OUTPUTS, auth_outputs_token, 0, 0, true,                                                 \
	  "nobody may manage outputs: set auth.outputs_token")

#define PERMISSION_ENUM(NAME, ...) PERMISSION_##NAME,
enum permission {
	PERMISSION_NONE, /* anybody */
	PERMISSIONS(PERMISSION_ENUM, ) PERMISSION_COUNT
};
#undef PERMISSION_ENUM

enum auth_result {
	AUTH_ALLOWED,
	AUTH_MISSING,      /* 401: no or a malformed Authorization */
	AUTH_UNKNOWN,      /* 401: a token of nobody here */
	AUTH_FORBIDDEN,    /* 403: known, and may not do this */
	AUTH_UNCONFIGURED, /* 503: no token is configured, so nobody may */
};

enum { AUTH_DIGEST_BYTES = 32, AUTH_PRINCIPAL_ROOM = 65 };

struct auth_list {
	uint8_t digests[SETTINGS_TOKENS_MAX][AUTH_DIGEST_BYTES];
	size_t count;
};

struct auth {
	bool open;        /* dev */
	bool render_asks; /* sessions.validate_url says who may, where a session's owner does not */
	struct auth_list lists[PERMISSION_COUNT];
	struct auth_list others; /* known, and good for nothing here: the bridge judges by them */
	struct auth_list bet_sync, bet_sync_previous; /* at most one in each */
	uint64_t bet_sync_previous_expires_ms;        /* Unix ms */
};

/* Reads auth.*, and keeps nothing of the settings but digests. */
void auth_init(struct auth *auth, const struct settings *settings);

/* Hexadecimal SHA-256 of the Bearer token, however many spaces stand before it; "": there is none.
 */
void auth_principal(struct span authorization, char out[AUTH_PRINCIPAL_ROOM]);
/* The same for credentials of any scheme, as a session's owner has them: of a Bearer token as
 * above, of others scheme and all, normalised. "": there are none, or such as could be spelled in
 * more than one way. */
void auth_owner(struct span authorization, char out[AUTH_PRINCIPAL_ROOM]);

/* 0: allowed; else the status, and why not, for people. */
unsigned auth_refusal(const struct auth *auth, enum permission permission,
                      struct span authorization, const char **reason);

/* The bet-sync feed has a token of its own, no other is as good, and there is no bypass.
 * *expires_ms: when the permission ends, Unix ms; UINT64_MAX: with the settings only. */
enum auth_result auth_bet_sync(const struct auth *auth, struct span authorization, uint64_t now_ms,
                               uint64_t *expires_ms);

/* `authorization` is the header's value, at NULL when absent. */
enum auth_result auth_check(const struct auth *auth, enum permission permission,
                            struct span authorization);
