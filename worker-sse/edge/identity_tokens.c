#include "worker-sse/edge/identity_tokens.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hex.h"
#include "common/base/log.h"
#include "common/domain/short_keys.h"
#include "common/domain/token_rows.h"
#include "proto/messages.h"

#include <openssl/sha.h>
#include <stdlib.h>

/* What nobody may is 503 only where nobody has anything of its kind. */
enum kind { KIND_COMMON, KIND_SOURCE, KIND_OUTPUTS, KIND_HOUSE, KIND_FRAMES, KIND_BET, KINDS };

/* A token of the short keys. */
struct row {
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	struct rights_draft *draft; /* while they are read */
	struct rights *rights;
	uint64_t expires_ms; /* UINT64_MAX: never */
	UT_hash_handle hh;
};

struct identity_tokens {
	struct token_rows *named;
	struct row *rows; /* hash: of the short keys */
	unsigned kinds;   /* of which there is somebody: bits of enum kind */
};

static const unsigned verbs_of_kind[KINDS] = {
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
static void add_keys(struct identity_tokens *t, const char *tokens, const char *rights)
{
	uint8_t digest[IDENTITY_DIGEST_BYTES];
	while (*tokens != '\0') {
		size_t len = strcspn(tokens, ",");
		if (len > 0) {
			SHA256((const uint8_t *)tokens, len, digest);
			struct row *row = row_of(t, digest);
			allow(row, rights);
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
	allow(row, "frames=/**");
	row->expires_ms = s->bet_sync_token_previous_expires;
}

/* Outputs and the house have keys of their own; who is named may operate wherever his row says. */
static unsigned kinds_of(const struct rights *rights, bool named)
{
	unsigned kinds = 0;
	for (unsigned v = 0; v < VERB_COUNT; v++)
		for (unsigned k = 0; k < KINDS; k++)
			if ((verbs_of_kind[k] & 1u << v) && rights_any(rights, (enum verb)v))
				kinds |= 1u << k;
	bool operates = named && rights_any(rights, VERB_OPERATE);
	if (operates || rights_may(rights, VERB_OPERATE, SPAN("/v1/outputs")))
		kinds |= 1u << KIND_OUTPUTS;
	if (operates || rights_may(rights, VERB_OPERATE, SPAN("/v1/ledger/accounts")))
		kinds |= 1u << KIND_HOUSE;
	return kinds;
}

/* The supervisor has read them before, and refused what cannot be read. */
static void add_named(struct identity_tokens *t, const char *text)
{
	char reason[TOKEN_ROWS_REASON_ROOM];
	const struct token_row *row;
	t->named = token_rows_create();
	if (!token_rows_read(t->named, "auth.token_rows", span_str(text), reason)) {
		log_error("no row of tokens counts", "reason=\"%s\"", reason);
		token_rows_destroy(&t->named);
		t->named = token_rows_create();
	}
	for (size_t i = 0; (row = token_rows_at(t->named, i)) != NULL; i++)
		t->kinds |= kinds_of(row->rights, true);
}

struct identity_tokens *identity_tokens_create(const struct settings *s)
{
	struct identity_tokens *t = xcalloc(1, sizeof *t);
	add_named(t, s->auth_token_rows);
#define ADD_KEYS(setting, key, rights) add_keys(t, s->setting, rights);
	SHORT_KEYS(ADD_KEYS)
#undef ADD_KEYS
	if (*s->auth_metrics_token == '\0') { /* metrics are for readers then */
		add_keys(t, s->auth_subscribe_tokens, "metrics=/**");
		add_keys(t, s->auth_publish_tokens, "metrics=/**");
	}
	add_previous(t, s);
	for (struct row *row = t->rows; row != NULL; row = row->hh.next) {
		row->rights = rights_draft_finish(&row->draft);
		if (row->expires_ms == UINT64_MAX) /* the previous one stands beside another */
			t->kinds |= kinds_of(row->rights, false);
	}
	return t;
}

void identity_tokens_destroy(struct identity_tokens **tokens)
{
	struct identity_tokens *t = *tokens;
	struct row *row, *next;
	*tokens = NULL;
	if (t == NULL)
		return;
	token_rows_destroy(&t->named);
	HASH_ITER (hh, t->rows, row, next) {
		HASH_DEL(t->rows, row);
		rights_release(&row->rights);
		free(row);
	}
	free(t);
}

/* ---- asking ---- */

static void print_former(const struct token_rows *rows, const struct token_row *shown,
                         char out[PROTO_CALL_DIGEST * PROTO_CALL_FORMER_MAX + 1])
{
	const struct token_row *row = token_rows_named(rows, span_str(shown->name));
	size_t count = 1;
	hex_print(shown->digest, TOKEN_DIGEST_BYTES, out);
	for (; row != NULL && count < PROTO_CALL_FORMER_MAX; row = row->next)
		if (row != shown)
			hex_print(row->digest, TOKEN_DIGEST_BYTES,
			          out + PROTO_CALL_DIGEST * count++);
}

/* What either says; holds both. */
static struct rights *either(const struct rights *one, const struct rights *other)
{
	struct rights_draft *draft = rights_draft_create();
	char *texts[] = {rights_text(one), rights_text(other)}, reason[RIGHTS_REASON_ROOM];
	for (size_t i = 0; i < 2; i++) {
		rights_draft_add_text(draft, span_str(texts[i]), reason); /* as many as fit */
		free(texts[i]);
	}
	return rights_draft_finish(&draft);
}

static struct identity *named_create(const struct identity_tokens *t, const struct token_row *row,
                                     const struct row *old)
{
	char former[PROTO_CALL_DIGEST * PROTO_CALL_FORMER_MAX + 1];
	print_former(t->named, row, former);
	return identity_create(
	        IDENTITY_TOKEN,
	        &(struct identity_facts){.subject = row->name,
	                                 .former = span_str(former),
	                                 .rights = old != NULL ? either(row->rights, old->rights)
	                                                       : rights_hold(row->rights),
	                                 .expires_ms = row->expires_ms});
}

static struct identity *old_create(const struct row *row)
{
	char principal[IDENTITY_PRINCIPAL_ROOM];
	hex_print(row->digest, IDENTITY_DIGEST_BYTES, principal);
	return identity_create(IDENTITY_TOKEN,
	                       &(struct identity_facts){.principal = principal,
	                                                .rights = rights_hold(row->rights),
	                                                .expires_ms = row->expires_ms});
}

struct identity *identity_tokens_find(const struct identity_tokens *t,
                                      const uint8_t digest[IDENTITY_DIGEST_BYTES], uint64_t now_ms)
{
	const struct token_row *named = token_rows_find(t->named, digest);
	struct row *old;
	HASH_FIND(hh, t->rows, digest, IDENTITY_DIGEST_BYTES, old);
	if (old != NULL && old->expires_ms <= now_ms && named == NULL)
		return identity_bad(IDENTITY_TOKEN, REFUSAL_EXPIRED);
	if (old != NULL && old->expires_ms <= now_ms)
		old = NULL;
	if (named != NULL && !token_row_ended(named, now_ms))
		return named_create(t, named, old);
	if (named != NULL)
		return identity_bad(IDENTITY_TOKEN, REFUSAL_EXPIRED);
	return old != NULL ? old_create(old) : NULL;
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
