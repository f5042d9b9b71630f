#include "supervisor/tokens.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/domain/short_keys.h"
#include "common/store/offset.h"
#include "supervisor/token_file.h"
#include "supervisor/weak_token.h"

#include <stdlib.h>

enum {
	DIGEST_SHOWN = 12,     /* hexadecimal digits that people are told */
	DIGEST_PREFIX_MIN = 8, /* and that they must give */
};

_Static_assert((int)SETTINGS_REASON_MAX == (int)TOKEN_ROWS_REASON_ROOM, "reasons are passed on");

/* ---- what is in effect ---- */

static bool public_fits(const struct options *options, const struct settings *configured,
                        char reason[SETTINGS_REASON_MAX])
{
	const struct setting_row *row = setting_find(SPAN("auth.public"));
	char why[RIGHTS_REASON_ROOM], place[SETTING_PLACE_ROOM];
	struct rights *rights = rights_of_text(span_str(configured->auth_public), why);
	bool fits = rights != NULL;
	rights_release(&rights);
	if (fits)
		return true;
	settings_place_text(configured, row, options->config, place);
	snprintf(reason, SETTINGS_REASON_MAX, "%.200s: auth.public: %.250s", place, why);
	return false;
}

/* The rows that stand in the configuration itself, by the name of their file if they have one. */
static bool read_configured(struct token_rows *rows, const struct settings *configured,
                            char reason[SETTINGS_REASON_MAX])
{
	size_t at = (size_t)(setting_find(SPAN("auth.token_rows")) - setting_rows);
	const char *path = configured->places[at].path;
	return token_rows_read(rows, path != NULL ? path : "auth.token_rows",
	                       span_str(configured->auth_token_rows), reason);
}

/* Digests and canonical patterns may be longer than what stood there. */
static char *print(const struct token_rows *rows, char reason[SETTINGS_REASON_MAX])
{
	char *text = token_rows_text(rows);
	struct token_rows *again = token_rows_create();
	bool fits = token_rows_read(again, "rows, when all is spelled out", span_str(text), reason);
	token_rows_destroy(&again);
	if (fits)
		return text;
	free(text);
	return NULL;
}

/* `text` is what the file says, or is to say. */
static char *gather(const struct settings *configured, const char *text,
                    char reason[SETTINGS_REASON_MAX])
{
	struct token_rows *rows = token_rows_create();
	char *printed = NULL;
	if (read_configured(rows, configured, reason) &&
	    token_rows_read(rows, configured->auth_tokens, span_str(text), reason))
		printed = print(rows, reason);
	token_rows_destroy(&rows);
	return printed;
}

static char *read_file(const struct settings *configured, char reason[SETTINGS_REASON_MAX])
{
	if (*configured->auth_tokens == '\0')
		return xmemdup_text((const uint8_t *)"", 0);
	return token_file_read(configured->auth_tokens, configured->dev, reason);
}

char *tokens_in_effect(const struct options *options, const struct settings *configured,
                       char reason[SETTINGS_REASON_MAX])
{
	if (!public_fits(options, configured, reason))
		return NULL;
	char *text = read_file(configured, reason);
	char *rows = text != NULL ? gather(configured, text, reason) : NULL;
	free(text);
	return rows;
}

/* ---- judging ---- */

/* Of a digest only those words are known that everybody knows. */
static const char *guessed(const struct token_row *row)
{
	uint8_t digest[TOKEN_DIGEST_BYTES];
	const char *word;
	for (size_t i = 0; (word = placeholder_token(i)) != NULL; i++) {
		token_digest(span_str(word), digest);
		if (memcmp(digest, row->digest, sizeof digest) == 0)
			return "is a placeholder";
	}
	return NULL;
}

static void judge(const struct token_row *row,
                  void (*say)(void *arg, bool certain, const char *text), void *arg)
{
	char text[SETTINGS_REASON_MAX];
	const char *weak = row->token.at != NULL ? weak_token(row->token) : guessed(row),
	           *doubtful = row->token.at != NULL ? doubtful_token(row->token) : NULL;
	snprintf(text, sizeof text, "%.200s:%u: the token of %.128s %s", row->source, row->line,
	         row->name, weak != NULL ? weak : doubtful);
	if (weak != NULL || doubtful != NULL)
		say(arg, weak != NULL, text);
}

void tokens_judge(const struct settings *configured,
                  void (*say)(void *arg, bool certain, const char *text), void *arg)
{
	char reason[SETTINGS_REASON_MAX], *text = read_file(configured, reason);
	struct token_rows *rows = token_rows_create();
	const struct token_row *row;
	if (text != NULL && !configured->dev && read_configured(rows, configured, reason) &&
	    token_rows_read(rows, configured->auth_tokens, span_str(text), reason))
		for (size_t i = 0; (row = token_rows_at(rows, i)) != NULL; i++)
			judge(row, say, arg);
	token_rows_destroy(&rows);
	free(text);
}

/* ---- changing the file ---- */

static char *file_to_edit(const struct settings *configured, char reason[SETTINGS_REASON_MAX])
{
	if (*configured->auth_tokens != '\0')
		return token_file_read(configured->auth_tokens, configured->dev, reason);
	snprintf(reason, SETTINGS_REASON_MAX,
	         "auth.tokens names no file: set it, and install -m 600 /dev/null there");
	return NULL;
}

/* What would not be read again is not written. `text` is freed. */
static char *put(const struct options *options, const struct settings *configured, char *text,
                 char reason[SETTINGS_REASON_MAX])
{
	char *rows =
	        public_fits(options, configured, reason) ? gather(configured, text, reason) : NULL;
	if (rows != NULL && !token_file_write(configured->auth_tokens, text, reason)) {
		free(rows);
		rows = NULL;
	}
	free(text);
	return rows;
}

char *tokens_add(const struct options *options, const struct settings *configured,
                 const struct token_row *row, char reason[SETTINGS_REASON_MAX])
{
	char *former = file_to_edit(configured, reason);
	if (former == NULL)
		return NULL;
	char *line = token_row_text(row), *text = token_rows_with(span_str(former), line);
	free(line);
	free(former);
	return put(options, configured, text, reason);
}

/* Lower-case hexadecimal digits, or nothing where it is none that could begin a digest. */
static bool digest_prefix(const char *whose, char hex[2 * TOKEN_DIGEST_BYTES + 1])
{
	size_t len;
	whose += strncmp(whose, "sha256:", 7) == 0 ? 7 : 0;
	len = strlen(whose);
	if (len < DIGEST_PREFIX_MIN || len > (size_t)2 * TOKEN_DIGEST_BYTES ||
	    strspn(whose, "0123456789abcdefABCDEF") != len)
		return false;
	for (size_t i = 0; i <= len; i++)
		hex[i] = (char)(whose[i] >= 'A' && whose[i] <= 'F' ? whose[i] | 0x20 : whose[i]);
	return true;
}

struct meant {
	const char *name; /* NULL: by digest */
	char hex[2 * TOKEN_DIGEST_BYTES + 1];
};

static bool is_meant(const struct meant *meant, const struct token_row *row)
{
	char hex[2 * TOKEN_DIGEST_BYTES + 1];
	if (meant->name != NULL)
		return strcmp(meant->name, row->name) == 0;
	hex_print(row->digest, TOKEN_DIGEST_BYTES, hex);
	return strncmp(meant->hex, hex, strlen(meant->hex)) == 0;
}

static bool find_meant(struct meant *meant, const struct token_rows *rows, const char *whose,
                       char reason[SETTINGS_REASON_MAX])
{
	const struct token_row *row;
	size_t count = 0;
	*meant = (struct meant){0};
	if (token_rows_named(rows, span_str(whose)) != NULL)
		meant->name = whose;
	else if (!digest_prefix(whose, meant->hex))
		*meant->hex = 'x'; /* no digest begins so */
	for (size_t i = 0; (row = token_rows_at(rows, i)) != NULL; i++)
		count += is_meant(meant, row);
	if (count > 0 && (count == 1 || meant->name != NULL))
		return true;
	snprintf(reason, SETTINGS_REASON_MAX,
	         count == 0 ? "there is no token of %.130s" : "several digests begin with %.130s",
	         whose);
	return false;
}

/* The file's text without them; NULL: none of them stands there. */
static char *without(const struct settings *configured, const char *text, const struct meant *meant,
                     json_t *revoked, char reason[SETTINGS_REASON_MAX])
{
	struct token_rows *rows = token_rows_create();
	unsigned *lines = xcalloc(TOKEN_ROWS_MAX, sizeof *lines);
	size_t count = 0;
	const struct token_row *row;
	char *left = NULL;
	if (token_rows_read(rows, configured->auth_tokens, span_str(text), reason)) {
		for (size_t i = 0; (row = token_rows_at(rows, i)) != NULL; i++) {
			if (!is_meant(meant, row))
				continue;
			lines[count++] = row->line;
			json_array_append_new(revoked, tokens_row_json(row));
		}
		if (count > 0)
			left = token_rows_without(span_str(text), lines, count);
		else
			snprintf(reason, SETTINGS_REASON_MAX,
			         "it stands in auth.token_rows, not in %.200s: change it there and "
			         "reload",
			         configured->auth_tokens);
	}
	free(lines);
	token_rows_destroy(&rows);
	return left;
}

char *tokens_revoke(const struct options *options, const struct settings *configured,
                    const char *whose, json_t **revoked, char reason[SETTINGS_REASON_MAX])
{
	char *text = file_to_edit(configured, reason), *left = NULL;
	struct token_rows *rows = token_rows_create();
	struct meant meant;
	*revoked = json_array();
	if (text != NULL && read_configured(rows, configured, reason) &&
	    token_rows_read(rows, configured->auth_tokens, span_str(text), reason) &&
	    find_meant(&meant, rows, whose, reason))
		left = without(configured, text, &meant, *revoked, reason);
	char *now = left != NULL ? put(options, configured, left, reason) : NULL;
	token_rows_destroy(&rows);
	free(text);
	if (now == NULL) {
		json_decref(*revoked);
		*revoked = NULL;
	}
	return now;
}

/* ---- telling ---- */

static void print_digest(const struct token_row *row, char shown[DIGEST_SHOWN + 1])
{
	char hex[2 * TOKEN_DIGEST_BYTES + 1];
	hex_print(row->digest, TOKEN_DIGEST_BYTES, hex);
	snprintf(shown, DIGEST_SHOWN + 1, "%.*s", DIGEST_SHOWN, hex);
}

json_t *tokens_row_json(const struct token_row *row)
{
	char shown[DIGEST_SHOWN + 1], time[40];
	char *rights = rights_text(row->rights);
	print_digest(row, shown);
	json_t *json =
	        json_pack("{s:s, s:s, s:s}", "name", row->name, "sha256", shown, "rights", rights);
	check(json != NULL);
	free(rights);
	if (row->expires_ms != UINT64_MAX) {
		struct span end = timestamp_print((int64_t)row->expires_ms, time);
		json_object_set_new(json, "expires", json_stringn((const char *)end.at, end.len));
	}
	return json;
}

/* ---- asking ---- */

/* A question, and the answer as far as it is found. */
struct question {
	const struct settings *settings;
	enum verb verb;
	char path[RIGHTS_PATH_MAX + 1];
	uint64_t now_ms;
	char by[1024];  /* "": nothing allows it yet */
	unsigned known; /* whose rights were looked at */
	unsigned ended; /* of those */
};

static void look_at(struct question *q, const char *whose, const struct rights *rights)
{
	const char *pattern = rights_which(rights, q->verb, span_str(q->path));
	q->known++;
	if (pattern != NULL && *q->by == '\0')
		snprintf(q->by, sizeof q->by, "%.200s: %s=%.700s", whose, verb_name(q->verb),
		         pattern);
}

static void look_at_text(struct question *q, const char *whose, const char *rights)
{
	char reason[RIGHTS_REASON_ROOM];
	struct rights *made = rights_of_text(span_str(rights), reason);
	look_at(q, whose, made);
	rights_release(&made);
}

static void look_at_row(struct question *q, const struct token_row *row)
{
	char shown[DIGEST_SHOWN + 1], whose[TOKEN_NAME_MAX + 32];
	print_digest(row, shown);
	snprintf(whose, sizeof whose, "%s sha256:%s", row->name, shown);
	q->ended += token_row_ended(row, q->now_ms);
	look_at(q, whose, token_row_ended(row, q->now_ms) ? NULL : row->rights);
}

static bool lists(const char *tokens, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
	uint8_t other[TOKEN_DIGEST_BYTES];
	bool found = false;
	while (*tokens != '\0') {
		struct span token = span_of(tokens, strcspn(tokens, ","));
		token_digest(token, other);
		found = found || memcmp(digest, other, sizeof other) == 0;
		tokens += token.len;
		tokens += *tokens == ',';
	}
	return found;
}

static void look_at_keys(struct question *q, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
	const struct settings *s = q->settings;
#define LOOK_AT_KEY(setting, key, rights)                                                          \
	if (lists(s->setting, digest))                                                             \
		look_at_text(q, key, rights);
	SHORT_KEYS(LOOK_AT_KEY)
#undef LOOK_AT_KEY
	/* Readers read metrics where nobody else is named. */
	if (*s->auth_metrics_token == '\0' && lists(s->auth_subscribe_tokens, digest))
		look_at_text(q, "auth.subscribe_tokens", "metrics=/**");
	if (*s->auth_metrics_token == '\0' && lists(s->auth_publish_tokens, digest))
		look_at_text(q, "auth.publish_tokens", "metrics=/**");
}

static void look_at_rows(struct question *q, const struct token_rows *rows, const char *who)
{
	uint8_t digest[TOKEN_DIGEST_BYTES];
	const struct token_row *row;
	bool by_digest =
	        strncmp(who, "sha256:", 7) == 0 && token_digest_read(span_str(who + 7), digest);
	if (by_digest) {
		look_at_keys(q, digest);
		row = token_rows_find(rows, digest);
		if (row != NULL)
			look_at_row(q, row);
		return;
	}
	for (row = token_rows_named(rows, span_str(who)); row != NULL; row = row->next)
		look_at_row(q, row);
}

/* Frames have no bypass. */
static bool open_to_all(const struct question *q)
{
	return q->settings->dev && q->verb != VERB_FRAMES;
}

static json_t *answer(const struct question *q, const char *who)
{
	char why[SETTINGS_REASON_MAX];
	if (open_to_all(q))
		return json_pack("{s:b, s:s}", "allowed", 1, "by", "dev: everybody may");
	if (*q->by != '\0')
		return json_pack("{s:b, s:s}", "allowed", 1, "by", q->by);
	snprintf(why, sizeof why, "%s may not %s %.300s%s", who, verb_name(q->verb), q->path,
	         q->ended > 0 ? ": a token has ended" : "");
	return json_pack("{s:b, s:s}", "allowed", 0, "why", why);
}

json_t *tokens_may(const struct settings *in_effect, const char *who, const char *verb,
                   const char *path, uint64_t now_ms, char reason[SETTINGS_REASON_MAX])
{
	struct question *q = xcalloc(1, sizeof *q);
	struct token_rows *rows = token_rows_create();
	bool anonymous = strcmp(who, "anonymous") == 0, hidden = strncmp(who, "sha256:", 7) == 0;
	json_t *json = NULL;
	q->settings = in_effect;
	q->now_ms = now_ms;
	bool known_verb = verb_find(span_str(verb), &q->verb);
	if (known_verb) {
		snprintf(q->path, sizeof q->path, "%s%s", *path == '/' ? "" : verb_root(q->verb),
		         path);
		check(token_rows_read(rows, "rows", span_str(in_effect->auth_token_rows), reason));
		if (anonymous)
			look_at_text(q, "auth.public", in_effect->auth_public);
		else
			look_at_rows(q, rows, who);
	}
	if (!known_verb)
		snprintf(reason, SETTINGS_REASON_MAX, "there is no verb %.64s", verb);
	else if (q->known == 0 && !open_to_all(q))
		snprintf(reason, SETTINGS_REASON_MAX, "there is no token of %.130s",
		         hidden ? "this kind" : who);
	else
		json = answer(q, hidden ? "this token" : who);
	token_rows_destroy(&rows);
	free(q);
	return json;
}
