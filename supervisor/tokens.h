/* Who has which token: the rows of auth.token_rows and of the file that auth.tokens names, and what
 * whoever shows none may. What the configuration says (`configured`, as options_load() gives it) is
 * not what is in effect: the workers get the rows of both in auth.token_rows, digests in place of
 * tokens. Reads and writes the file. */
#pragma once

#include "common/domain/token_rows.h"
#include "supervisor/options.h"

/* auth.token_rows as it is to be in effect, to be freed. NULL: a row or auth.public is none, two
 * rows have one token, or the file cannot be read: "FILE:LINE: why". */
char *tokens_in_effect(const struct options *options, const struct settings *configured,
                       char reason[SETTINGS_REASON_MAX]);

/* Says of each token that stands in the rows, and that somebody could guess, what is wrong with it,
 * as survey_access() does of settings. What cannot be read says nothing. */
void tokens_judge(const struct settings *configured,
                  void (*say)(void *arg, bool certain, const char *text), void *arg);

/* Both change the file and give what is in effect then, as above; NULL: nothing has changed. */
char *tokens_add(const struct options *options, const struct settings *configured,
                 const struct token_row *row, char reason[SETTINGS_REASON_MAX]);
/* `whose`: a name, or the beginning of a digest, "sha256:" before it or not. *revoked: what is
 * gone, an array of rows as below. */
char *tokens_revoke(const struct options *options, const struct settings *configured,
                    const char *whose, json_t **revoked, char reason[SETTINGS_REASON_MAX]);

/* {name, sha256, rights, expires}: what people are told of a row. Of the digest its beginning. */
json_t *tokens_row_json(const struct token_row *row);

/* May whoever it is, by what is in effect? `who`: a name, "anonymous", or "sha256:" and a digest;
 * `path` as in a right. {allowed, by | why}; NULL: no such verb, or nobody of that name. */
json_t *tokens_may(const struct settings *in_effect, const char *who, const char *verb,
                   const char *path, uint64_t now_ms, char reason[SETTINGS_REASON_MAX]);
