#include "worker-sse/edge/identity_tokens.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hex.h"

#include <openssl/sha.h>
#include <stdlib.h>

/* Without any of the setting's tokens: of its kind nobody may, or those of other settings count. */
enum kind { KIND_COMMON, KIND_SOURCE, KIND_OUTPUTS, KIND_HOUSE, KIND_FRAMES, KIND_BET };

/* The old keys. O(NAME, setting, kind, what its tokens may) */
#define OLD_KEYS(O)                                                                                \
	O(SUBSCRIBE, auth_subscribe_tokens, KIND_COMMON, "read=/** view=/v1/hls/**")               \
	O(PUBLISH, auth_publish_tokens, KIND_COMMON,                                               \
	  "read=/** append=/** create=/** delete=/** render=/** view=/v1/hls/**")                  \
	O(METRICS, auth_metrics_token, KIND_COMMON, "metrics=/**")                                 \
	O(SESSION, auth_session_tokens, KIND_COMMON, "render=/**")                                 \
	O(SOURCE, auth_source_token, KIND_SOURCE, "post=/**")                                      \
	O(OUTPUTS, auth_outputs_token, KIND_OUTPUTS, "operate=/v1/outputs,/v1/outputs/**")         \
	O(LEDGER, auth_ledger_token, KIND_HOUSE,                                                   \
	  "operate=/v1/ledger/**,/v1/duels/**,/v1/markets/**")                                     \
	O(BET_SYNC, bet_sync_token, KIND_FRAMES, "frames=/**")

#define OLD_ENUM(NAME, ...) OLD_##NAME,
enum old_key { OLD_KEYS(OLD_ENUM) OLD_COUNT };
#undef OLD_ENUM
#define OLD_RIGHTS(NAME, setting, kind, rights) [OLD_##NAME] = rights,
static const char *const old_rights[OLD_COUNT] = {OLD_KEYS(OLD_RIGHTS)};
#undef OLD_RIGHTS

/* One token. */
struct row {
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	struct rights_draft *draft; /* while they are read */
	struct rights *rights;
	uint64_t expires_ms; /* UINT64_MAX: never */
	UT_hash_handle hh;
};

struct identity_tokens {
	struct row *rows; /* hash */
	unsigned kinds;   /* of which there is somebody: bits of enum kind */
};

static const unsigned verbs_of_kind[] = {
        [KIND_COMMON] = RIGHT(READ) | RIGHT(APPEND) | RIGHT(CREATE) | RIGHT(DELETE) |
                        RIGHT(RENDER) | RIGHT(VIEW) | RIGHT(METRICS),
        [KIND_SOURCE] = RIGHT(POST),
        [KIND_OUTPUTS] = 0, /* operate, by path */
        [KIND_HOUSE] = 0,
        [KIND_FRAMES] = RIGHT(FRAMES),
        [KIND_BET] = RIGHT(BET),
};

/* ---- reading ---- */

static struct row *row_of(struct identity_tokens *t, const uint8_t digest[IDENTITY_DIGEST_BYTES])
{
	struct row *row;
	HASH_FIND(hh, t->rows, digest, IDENTITY_DIGEST_BYTES, row);
	if (row != NULL)
		return row;
	row = xcalloc(1, sizeof *row);
	memcpy(row->digest, digest, IDENTITY_DIGEST_BYTES);
	row->draft = rights_draft_create();
	row->expires_ms = UINT64_MAX;
	HASH_ADD(hh, t->rows, digest, IDENTITY_DIGEST_BYTES, row);
	return row;
}

static void allow(struct row *row, const char *rights)
{
	char reason[RIGHTS_REASON_ROOM];
	check(rights_draft_add_text(row->draft, span_str(rights), reason));
}

/* A list, comma-separated. */
static void add_old(struct identity_tokens *t, const char *tokens, enum kind kind,
                    const char *rights, bool metrics_too)
{
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	while (*tokens != '\0') {
		size_t len = strcspn(tokens, ",");
		if (len > 0) {
			SHA256((const uint8_t *)tokens, len, digest);
			struct row *row = row_of(t, digest);
			allow(row, rights);
			if (metrics_too)
				allow(row, old_rights[OLD_METRICS]);
			t->kinds |= 1u << kind;
		}
		tokens += len + (tokens[len] == ',');
	}
}

/* Whoever may something else with it as well keeps that, and no more. */
static void add_previous(struct identity_tokens *t, const struct settings *s)
{
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	struct row *row;
	if (*s->bet_sync_token_previous == '\0')
		return;
	SHA256((const uint8_t *)s->bet_sync_token_previous, strlen(s->bet_sync_token_previous),
	       digest);
	HASH_FIND(hh, t->rows, digest, IDENTITY_DIGEST_BYTES, row);
	if (row != NULL)
		return;
	row = row_of(t, digest);
	allow(row, old_rights[OLD_BET_SYNC]);
	row->expires_ms = s->bet_sync_token_previous_expires;
}

struct identity_tokens *identity_tokens_create(const struct settings *s)
{
	struct identity_tokens *t = xcalloc(1, sizeof *t);
	/* Metrics are for readers where nobody else is named. */
	bool metrics_too = *s->auth_metrics_token == '\0';
#define OLD_ADD(NAME, setting, kind, rights)                                                       \
	add_old(t, s->setting, kind, rights,                                                       \
	        metrics_too && (OLD_##NAME == OLD_SUBSCRIBE || OLD_##NAME == OLD_PUBLISH));
	OLD_KEYS(OLD_ADD)
#undef OLD_ADD
	add_previous(t, s);
	for (struct row *row = t->rows; row != NULL; row = row->hh.next)
		row->rights = rights_draft_finish(&row->draft);
	return t;
}

void identity_tokens_destroy(struct identity_tokens **tokens)
{
	struct identity_tokens *t = *tokens;
	struct row *row, *next;
	*tokens = NULL;
	if (t == NULL)
		return;
	HASH_ITER (hh, t->rows, row, next) {
		HASH_DEL(t->rows, row);
		rights_release(&row->rights);
		free(row);
	}
	free(t);
}

/* ---- asking ---- */

struct identity *identity_tokens_find(const struct identity_tokens *t,
                                      const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	char principal[IDENTITY_PRINCIPAL_ROOM];
	struct row *row;
	HASH_FIND(hh, t->rows, digest, IDENTITY_DIGEST_BYTES, row);
	if (row == NULL)
		return NULL;
	if (row->expires_ms <= now_ms)
		return identity_bad(IDENTITY_TOKEN, REFUSAL_EXPIRED);
	hex_print(digest, IDENTITY_DIGEST_BYTES, principal);
	return identity_create(IDENTITY_TOKEN,
	                       &(struct identity_facts){.principal = principal,
	                                                .rights = rights_hold(row->rights),
	                                                .expires_ms = row->expires_ms});
}

static bool is_outputs(struct span path)
{
	static const struct span outputs = {(const uint8_t *)"/v1/outputs", 11};
	return path.len >= outputs.len && memcmp(path.at, outputs.at, outputs.len) == 0;
}

unsigned identity_tokens_configured(const struct identity_tokens *t, struct span path)
{
	enum kind operators = is_outputs(path) ? KIND_OUTPUTS : KIND_HOUSE;
	unsigned verbs = t->kinds & 1u << operators ? RIGHT(OPERATE) : 0;
	for (size_t i = 0; i < sizeof verbs_of_kind / sizeof *verbs_of_kind; i++)
		if (t->kinds & 1u << i)
			verbs |= verbs_of_kind[i];
	return verbs;
}
